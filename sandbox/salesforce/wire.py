"""Requests and replies as plain values, and the table of paths. No sockets here: HTTP, composite and tests share it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from sandbox.salesforce.errors import ApiError, json_error, not_found

if TYPE_CHECKING:
    from sandbox.salesforce.model import SalesforceSandbox


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` has lower-case names; ``base_url`` is the address that the caller reached the org by."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = "https://sandbox.my.salesforce.com"

    @classmethod
    def of(cls, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Request:
        """A request of a URL (path and query) and a JSON body."""
        parts = urlsplit(url)
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        return cls(method.upper(), parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), lower, data)

    def json(self) -> Any:
        """The JSON body. Raises ApiError JSON_PARSER_ERROR."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise json_error(
                f"Unexpected character or end of input at [line:{error.lineno}, column:{error.colno}]"
            ) from error

    def json_object(self) -> dict[str, Any]:
        value = self.json()
        if not isinstance(value, dict):
            raise json_error("The HTTP entity body is required to be a JSON object")
        return value


@dataclass(slots=True)
class Reply:
    """``json`` is sent unless there is a ``body``. Neither: no content.

    ``effect`` is what happens to the connection instead of a whole answer: ``reset`` or ``truncated``.
    """

    status: int = 200
    json: Any = None
    body: bytes | None = None
    content_type: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)
    effect: str = ""
    delay_s: float = 0.0

    def content(self) -> bytes:
        if self.body is not None:
            return self.body
        return b"" if self.status == 204 or self.json is None else orjson.dumps(self.json)


@dataclass(slots=True)
class Call:
    """One request on its way through: the sandbox, the path's variables, and who asks."""

    sandbox: SalesforceSandbox
    request: Request
    path: Mapping[str, str]
    user_id: str = ""
    instance_url: str = ""

    @property
    def version(self) -> str:
        return self.path.get("version", "")

    @property
    def base(self) -> str:
        return f"/services/data/v{self.version}"


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """``kind`` names the call in the journal; ``open`` ones need no session, ``free`` ones don't count against the quota."""

    method: str
    pattern: re.Pattern[str]
    kind: str
    handler: Handler
    open: bool = False
    free: bool = False


class Router:
    """Paths with ``{name}`` variables. The first route that fits answers."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def add(
        self, methods: str, path: str, kind: str, *, anyone: bool = False, free: bool = False
    ) -> Callable[[Handler], Handler]:
        """Register a handler for ``methods`` (``"GET POST"``) of a path. ``{rest*}`` spans slashes."""
        expression = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path)
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", expression)
        pattern = re.compile(f"^{expression}/?$")

        def register(handler: Handler) -> Handler:
            for method in methods.split():
                self.routes.append(Route(method, pattern, kind, handler, anyone, free))
            return handler

        return register

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and the path's variables. Raises 404 NOT_FOUND, or 405 when only the method is wrong."""
        known = False
        for route in self.routes:
            match = route.pattern.match(path)
            if match and route.method == method:
                return route, match.groupdict()
            known = known or match is not None
        if known:
            raise ApiError(
                "METHOD_NOT_ALLOWED",
                f"HTTP Method '{method}' not allowed. Allowed are {', '.join(self._allowed(path))}",
                405,
            )
        raise not_found()

    def _allowed(self, path: str) -> list[str]:
        return sorted({route.method for route in self.routes if route.pattern.match(path)})
