"""The server's side of a connection, with what uvicorn leaves to proxies: headers have a time and a size."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import PROBLEM

HEADERS_WITHIN_S: Final = 10.0
HEADERS_BYTES_MAX: Final = 65_536


class Punctual(HttpToolsProtocol):
    """Ends connections on which no request begins, or whose headers trickle in or never end (CWE-400).

    The time of a body is the application's business. Without this, a thousand callers who never finish take every place.
    """

    _timer: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is not None:
            self._received += len(data)
            if self._received > HEADERS_BYTES_MAX:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", "The headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._begin()

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(HEADERS_WITHIN_S, self._late)

    def _end(self) -> None:
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
