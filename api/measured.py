"""Counts and traces every answered request by the template of its route, its method and its status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from bootstrap.metrics import count_request
from storage.tracing import span

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/v1"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measured:
    """A layer that only looks on. What has no route counts as one, so that nobody can fill the memory with invented paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "other"
        sent = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        with span(method, causes=[sent] if sent else (), kind=SpanKind.SERVER) as current:
            try:
                await self._app(scope, receive, tell)
            finally:
                template = _template(scope)
                count_request(template, method, status, time.perf_counter() - began)
                current.update_name(f"{method} {template}")
                current.set_attributes({"http.route": template, "http.response.status_code": status})
                current.set_attribute("syncline.request", scope.get("state", {}).get("request_id", ""))


def _template(scope: Scope) -> str:
    """The whole path of the route that answered: a route included under a prefix knows its own part alone."""
    own = getattr(scope.get("route"), "path", None)
    if own is None:
        return "none"
    return f"{PREFIX}{own}" if scope["path"].startswith(PREFIX + "/") and not own.startswith(PREFIX) else str(own)
