"""The HTTP face: an ASGI app that hands each request to the model and its answer back, or breaks the connection when told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, ClassVar

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.kit.stand_in import AnyStandIn
from sandbox.kit.wire import Reply, Request

LONG_CALL_S = 20.0
Peer = tuple[str, int]


class TrackedProtocol(H11Protocol):
    """Remembers its connection by the caller's address, so that a fault can tear it down."""

    open_connections: ClassVar[dict[Peer, asyncio.Transport]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            self.open_connections[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            self.open_connections.pop(self.client, None)
        super().connection_lost(exc)


class SandboxApp:
    """The app of one stand-in. The model is single-threaded: requests are answered one after another."""

    def __init__(self, sandbox: AnyStandIn) -> None:
        self.sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        incoming = HttpRequest(scope, receive)
        request = Request(
            method=incoming.method,
            path=incoming.url.path,
            query=dict(incoming.query_params),
            headers=dict(incoming.headers),
            body=await incoming.body(),
            base_url=str(incoming.base_url).rstrip("/"),
            pairs=incoming.query_params.multi_items(),
        )
        fits = _address_length(scope) <= self.sandbox.longest_uri
        reply = self.sandbox.handle(request) if fits else self.sandbox.uri_too_long()
        await self._wait(reply.delay_s)
        if reply.effect:
            await self._break(scope, reply, send)
        else:
            await respond(reply, self.sandbox.clock.now())(scope, receive, send)

    async def _wait(self, seconds: float) -> None:
        """A long call counts against the limit on concurrent ones while it lasts."""
        if not seconds:
            return
        long = seconds >= LONG_CALL_S
        self.sandbox.long_call(int(long))
        try:
            await asyncio.sleep(seconds)
        finally:
            self.sandbox.long_call(-int(long))

    async def _break(self, scope: Scope, reply: Reply, send: Send) -> None:
        """Half an answer if it is to be truncated; then an abrupt end."""
        if reply.effect == "truncated":
            await self._send_half(reply, send)
        transport = TrackedProtocol.open_connections.get(tuple(scope["client"]))
        if transport is not None:
            transport.abort()
        while tuple(scope["client"]) in TrackedProtocol.open_connections:
            await asyncio.sleep(0)

    async def _send_half(self, reply: Reply, send: Send) -> None:
        content = reply.content()
        headers: list[Any] = [
            (b"content-length", str(len(content)).encode()),
            (b"content-type", reply.content_type.encode()),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        await asyncio.sleep(0.05)  # let the half leave before the connection goes


def _address_length(scope: Scope) -> int:
    return len(scope["raw_path"]) + 1 + len(scope["query_string"])


def respond(reply: Reply, now: datetime) -> Response:
    """The answer, dated by the stand-in's own clock: some connectors go by the vendor's time."""
    headers = {"Date": format_datetime(now.astimezone(UTC), usegmt=True), **reply.headers}
    return Response(reply.content(), reply.status, headers, media_type=reply.content_type)
