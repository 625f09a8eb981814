"""Webhooks come in here: a bare ASGI application in front of the API, because every layer between costs deliveries a second.

A request that arrived whole need not even become an ASGI call: the connection hands it to `IntakeApp.take` (`api.protocol`).

It reads a body within limits of size and time, hands it on, and answers after the commit. What it cannot store now it answers
with 503, so that the sender keeps it and tries again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from api.errors import PROBLEM
from api.protocol import Answer, Whole
from connectors.kit import jwks
from connectors.kit.outward import Poster
from domain.errors import RecordRejectedError, SynclineError, TransientError
from storage.intake import InboxWriter
from storage.tracing import enabled, span
from webhooks.inbound.addresses import PREFIX, parse_ref
from webhooks.inbound.contract import Incoming, Refused, Reply
from webhooks.inbound.intake import Endpoints, Intake, Known, lookup_in
from webhooks.inbound.keysets import KeySets

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bootstrap.wiring import Hub

log = logging.getLogger("syncline.intake")

ROUTE: Final = "POST /hooks/{endpoint}"
BODY_WITHIN_S: Final = 10.0
KEYS_WITHIN_S: Final = 5.0
HELD_BYTES_MOST: Final = 64 << 20
RETRY_AFTER_S: Final = 5
_UNREAD: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
)


class _Gone(Exception):
    """The sender hung up before its body was complete: there is nobody to answer."""


class IntakeApp:
    """Answers everything under ``/hooks/``; ``app`` answers the rest.

    ``on_stored`` hears which (tenant, endpoint) pairs have something new, after each commit; it must not block.
    """

    def __init__(
        self, app: ASGIApp, hub: Hub, *, on_stored: Callable[[Collection[tuple[UUID, UUID]]], None] = lambda _: None
    ) -> None:
        self._app, self._hub, self._on_stored = app, hub, on_stored
        self._base_url = hub.settings.public_url.rstrip("/")
        self._body_most = hub.settings.webhook_body_max_bytes
        self._held = 0
        self._traces = enabled()  # tracing starts before anything is served
        self._writer: InboxWriter | None = None
        self.intake: Intake | None = None
        self._answer_within_s = hub.settings.webhook_answer_within_s
        self._endpoints = Endpoints(lookup_in(hub.db, hub.vault), within_s=self._answer_within_s)
        self._keysets = KeySets(jwks.outward(Poster(hub.webhook_allow, total_s=KEYS_WITHIN_S)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            if self._traces:
                await self._traced(scope, receive, send)
            else:
                await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, self._closing(send))
        else:
            await self._app(scope, receive, send)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The receipt as a span: all that the delivery leads to follows from it. A stranger's own trace is not gone on with."""
        with span(ROUTE, kind=SpanKind.SERVER) as current:

            async def tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    current.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
                        current.set_status(StatusCode.ERROR)
                await send(message)

            await self._answer(scope, receive, tell)

    def _closing(self, send: Send) -> Send:
        async def tell(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown"):
                await self.close()
            await send(message)

        return tell

    async def close(self) -> None:
        """Store what is under way. The server calls it once every request is answered."""
        self._keysets.close()
        if self._writer is not None:
            await self._writer.close()

    def _started(self) -> Intake:
        if self.intake is None:
            self._writer = InboxWriter(
                self._hub.db.url, on_stored=self._on_stored, answer_within_s=self._answer_within_s
            )
            self.intake = Intake(self._writer, self._keysets)
        return self.intake

    def take(self, request: Whole, answer: Callable[[Answer], None]) -> bool:
        """Take a request that arrived whole; ``answer`` hears once what to send, after the commit. False: call the application.

        That is for what has to wait for something else first: an endpoint that is not known yet, published keys, traces.
        """
        ref = parse_ref(request.path[len(PREFIX) :].partition("/")[0])
        known = None if ref is None else self._endpoints.at_hand(*ref)
        if known is None or known.scheme.keys_at() is not None or self._traces:
            return False
        size = len(request.body)

        def told(heard: Reply | SynclineError) -> None:
            self._held -= size
            answer(_refusal(heard, whole=True) if isinstance(heard, SynclineError) else Answer(heard))

        self._held += size
        try:
            _check_headers(request.headers, self._body_most)
            if size > self._body_most:
                raise _too_large(self._body_most)
            incoming = Incoming.of(
                request.method, self._base_url, request.path, request.query, request.headers, request.body
            )
            self._started().begin(known, incoming, told)
        except SynclineError as error:
            told(error)
        except BaseException:
            self._held -= size
            raise
        return True

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = False
        try:
            known, request = await self._read(scope, receive)
            whole = True
            answer = Answer(await self._received(known, request))
        except _Gone:
            return
        except SynclineError as error:
            answer = _refusal(error, whole=whole)
        await send({"type": "http.response.start", "status": answer.reply.status, "headers": answer.headers()})
        await send({"type": "http.response.body", "body": answer.reply.body})

    async def _read(self, scope: Scope, receive: Receive) -> tuple[Known, Incoming]:
        """Raises Refused and what looking the endpoint up raises: then the request may not have been read to its end."""
        path: str = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        ref = parse_ref(path[len(PREFIX) :].partition("/")[0])
        known = None if ref is None else await self._endpoints.get(*ref)
        if ref is None or known is None:
            raise Refused("There is no webhook endpoint at this address.", code="no_such_endpoint", status=404)
        trace.get_current_span().set_attributes({"syncline.tenant": str(ref[0]), "syncline.endpoint": str(ref[1])})
        _check_headers(scope["headers"], self._body_most)
        body = await self._body(receive)
        query = scope["query_string"].decode("latin-1")
        return known, Incoming.of(scope["method"], self._base_url, path, query, scope["headers"], body)

    async def _received(self, known: Known, request: Incoming) -> Reply:
        self._held += len(request.body)
        try:
            return await self._started().receive(known, request)
        finally:
            self._held -= len(request.body)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body, read within its limits. Raises Refused and TransientError."""
        reserved = 0
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    piece: bytes = message.get("body", b"")
                    size += len(piece)
                    if size > self._body_most:
                        raise _too_large(self._body_most)
                    if not message.get("more_body", False):
                        return piece if not pieces else b"".join((*pieces, piece))
                    pieces.append(piece)
                    self._held += len(piece)
                    reserved += len(piece)
                    if self._held > HELD_BYTES_MOST:
                        raise TransientError(
                            "Too much is being received at once.", code="intake_busy", retry_after_s=RETRY_AFTER_S
                        )
        except TimeoutError:
            raise Refused(
                f"The body was not complete after {BODY_WITHIN_S:.0f} seconds.", code="webhook_too_slow", status=408
            ) from None
        finally:
            self._held -= reserved


def _check_headers(headers: Iterable[tuple[bytes, bytes]], body_most: int) -> None:
    """Refuse by the headers alone what will not be read. Raises Refused."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > body_most:
            raise _too_large(body_most)
        if name == b"content-encoding" and value.strip().lower() != b"identity":
            raise Refused(
                "Send the body as it is: signatures are made over what arrives, and no sender that the hub knows compresses it.",
                code="webhook_encoded",
                status=415,
            )


def _too_large(body_most: int) -> Refused:
    return Refused(f"A body may have {body_most:,} bytes.", code="webhook_body_too_large", status=413)


def _refusal(error: SynclineError, *, whole: bool = False) -> Answer:
    """A problem document. Whatever is not the sender's fault tells it to come again.

    ``whole``: the request was read to its end, so that its connection may stay. While the database is away every sender would
    have to make a new one for each try, which costs more than the answer.
    """
    retry_s: int | None = None
    if isinstance(error, Refused):
        status = error.status
    elif isinstance(error, RecordRejectedError):
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    else:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        said = error.retry_after_s if isinstance(error, TransientError) else None
        retry_s = max(1, math.ceil(said)) if said else RETRY_AFTER_S
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s", error.message, extra={"code": error.code, "status": int(status)})
    document = {
        "type": f"https://syncline.dev/errors/{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": error.code,
        "detail": error.message if isinstance(error, Refused) else "The delivery was not stored. Send it again.",
    }
    # Of what may not have been read to its end, the rest would still be read, however much there is of it.
    close = status in _UNREAD or not whole
    return Answer(Reply(int(status), PROBLEM, orjson.dumps(document)), retry_s, close=close)
