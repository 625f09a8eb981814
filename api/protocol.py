"""The server's side of a connection, with what uvicorn leaves to proxies: headers have a time and a size.

Webhooks that arrive whole take a short way: no task, no events, one write. All else, and whatever is not plain about a webhook
(a body in pieces, a request behind another, a sender that wants to be told to go on), goes uvicorn's way, with all that guards it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import ClassVar, Final, NamedTuple, Protocol, runtime_checkable

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import PROBLEM
from webhooks.inbound.addresses import PREFIX
from webhooks.inbound.contract import Reply

log = logging.getLogger("syncline.intake")

HOOKS: Final = PREFIX.encode()

HEADERS_WITHIN_S: Final = 10.0
HEADERS_BYTES_MAX: Final = 65_536


class Whole(NamedTuple):
    """A request with its whole body. ``path`` and ``query`` as they were sent, ``headers`` with lower-case names."""

    method: str
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Answer(NamedTuple):
    """What to send. ``close``: end the connection after it."""

    reply: Reply
    retry_after_s: int | None = None
    close: bool = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        reply = self.reply
        found = [(b"content-type", reply.content_type.encode()), (b"content-length", b"%d" % len(reply.body))]
        if self.retry_after_s is not None:
            found.append((b"retry-after", b"%d" % self.retry_after_s))
        if self.close:
            found.append((b"connection", b"close"))
        return found


@runtime_checkable
class Door(Protocol):
    """An application that takes requests under ``/hooks/`` which arrived whole."""

    def take(self, request: Whole, answer: Callable[[Answer], None]) -> bool: ...


class _Unheard:
    """In the place of the event that a call of the application waits for: here nobody waits."""

    def set(self) -> None: ...


@dataclass(slots=True)
class _Receipt:
    """A request on the short way, in the place of uvicorn's cycle: what uvicorn asks of one while it is unanswered."""

    keep_alive: bool
    message_event: ClassVar[_Unheard] = _Unheard()
    response_complete: bool = False
    disconnected: bool = False


class Punctual(HttpToolsProtocol):
    """Ends connections on which no request begins, or whose headers trickle in or never end (CWE-400).

    The time of a body is the application's business. Without this, a thousand callers who never finish take every place.
    """

    _timer: asyncio.TimerHandle | None = None
    _received = 0
    _door: Door | None = None
    _pieces: list[bytes] | None = None
    """The body so far of a request that may take the short way."""
    _in_headers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if isinstance(self.app, Door):
            self._door = self.app
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._pieces is not None:
            self._go_the_long_way()
        if self._in_headers and self._timer is None:
            self._begin()
        if self._timer is not None:
            self._received += len(data)
            if self._received > HEADERS_BYTES_MAX:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", "The headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True

    def on_headers_complete(self) -> None:
        self._end()
        if self._may_be_whole():
            self._pieces = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._pieces is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._pieces is None:
            super().on_message_complete()
        elif not self._taken(b"".join(self._pieces)):
            self._go_the_long_way()
            super().on_message_complete()

    # ---------------------------------------------------------------- the short way

    def _may_be_whole(self) -> bool:
        """Is this a plain webhook that nothing stands in the way of? What else there is to ask, the application knows."""
        return (
            self._door is not None
            and self.url.startswith(HOOKS)
            and self.parser.get_method() == b"POST"
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (self.limit_concurrency is None or len(self.connections) < self.limit_concurrency)
            and not self.parser.should_upgrade()
            and self.url.isascii()
            and b"#" not in self.url
        )

    def _taken(self, body: bytes) -> bool:
        """Hand a whole request to the application; False: it has to be called."""
        assert self._door is not None  # noqa: S101  # as `_may_be_whole` saw to
        path, _, query = self.url.decode().partition("?")
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        receipt = _Receipt(keep_alive)
        before, self.cycle = self.cycle, receipt  # type: ignore[assignment]
        try:
            taken = self._door.take(Whole("POST", path, query, self.headers, body), partial(self._answer, receipt))
        except Exception:
            log.exception("a request was not taken")
            taken = False
        if taken or receipt.response_complete:
            self._pieces = None
            return True
        self.cycle, receipt.response_complete = before, True  # whatever it still hears is no answer any more
        return False

    def _go_the_long_way(self) -> None:
        """Call the application after all, with what came of the body."""
        pieces, self._pieces = self._pieces or [], None
        super().on_headers_complete()
        for piece in pieces:
            super().on_body(piece)

    def _answer(self, receipt: _Receipt, answer: Answer) -> None:
        if receipt.response_complete:
            return
        receipt.response_complete = True
        if receipt.disconnected or self.transport.is_closing():
            return
        reply, close = answer.reply, answer.close or not receipt.keep_alive
        content = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *answer.headers()):
            content += (name, b": ", value, b"\r\n")
        if close and not answer.close:
            content.append(b"connection: close\r\n")
        content += (b"\r\n", reply.body)
        self.transport.write(b"".join(content))
        if close:
            self.transport.close()
        self.on_response_complete()

    # ---------------------------------------------------------------- the time of headers

    def _begin(self) -> None:
        """From now on headers have their time; those that arrive in one go need no timer at all."""
        self._received = 0
        self._timer = self.loop.call_later(HEADERS_WITHIN_S, self._late)

    def _end(self) -> None:
        self._in_headers = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._received:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "too_slow", "The headers did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        self._end()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else an answer to an earlier request is on its way
            document = {
                "type": f"https://syncline.dev/errors/{code}",
                "title": status.phrase,
                "status": int(status),
                "code": code,
                "detail": detail,
            }
            body = orjson.dumps(document)
            head = (
                f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: {PROBLEM}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
