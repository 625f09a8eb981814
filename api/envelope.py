"""What surrounds every call: an id, lines in the log that name it, headers that keep browsers from harm; HEAD and OPTIONS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Match

from bootstrap.logs import log_context
from domain.ids import new_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{8,64}")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNLESS_SAID = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class Envelope:
    """The outermost layer. The caller's own ``X-Request-Id`` is taken over where it is a plain one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else str(new_id()).encode()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        head = scope["method"] == "HEAD"

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*_completed(message.get("headers", ()), state), (b"x-request-id", request_id)]
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        with log_context(request_id=state["request_id"]):
            if scope["method"] == "OPTIONS" and b"access-control-request-method" not in headers:
                await _options(scope, tell)
            else:
                await self._app({**scope, "method": "GET"} if head else scope, receive, tell)


def _completed(given: Any, state: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    headers = list(given)
    said = {name.lower() for name, _ in headers}
    standing = state.get("rate")
    told = standing.headers().items() if standing is not None else ()
    rate = [(name.lower().encode(), value.encode()) for name, value in told]
    return [*headers, *_ALWAYS, *((name, value) for name, value in (*_UNLESS_SAID, *rate) if name not in said)]


def methods_of(scope: Scope) -> list[str]:
    """The methods that the address of a request knows; none where there is no such address."""
    routes = scope["app"].router.routes
    known = [m for m in _METHODS if any(route.matches({**scope, "method": m})[0] is Match.FULL for route in routes)]
    return ["HEAD", "OPTIONS", *known] if "GET" in known else ["OPTIONS", *known] if known else []


async def _options(scope: Scope, send: Send) -> None:
    known = methods_of(scope)
    headers = [(b"allow", ", ".join(known).encode()), (b"content-length", b"0")]
    await send(
        {"type": "http.response.start", "status": 204 if known else 404, "headers": headers if known else headers[1:]}
    )
    await send({"type": "http.response.body", "body": b""})
