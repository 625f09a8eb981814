"""Requests and replies as plain values, and the table of paths. No sockets here: HTTP, batches of requests and tests share it.

What can go wrong before a vendor's own rules apply is a ``WireError``; each vendor words it in its own way.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

import orjson


class WireError(Exception):
    """A request that no handler can be given; the message says why."""


class BadJson(WireError):
    """A body that isn't JSON. ``line`` and ``column`` (from 1) say where reading stopped."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class NotAnObject(WireError):
    """A body that is JSON, but no object."""


class NoRoute(WireError):
    """A path that nobody answers; or, with ``allowed`` methods, one that is answered for those only."""

    def __init__(self, method: str, path: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(f"nothing answers {method} {path}")
        self.method, self.path, self.allowed = method, path, tuple(allowed)


class BadControl(WireError):
    """A control of the sandbox itself was misused."""


class Refusal(Exception, ABC):
    """One refused request: ``reply`` is the vendor's whole answer."""

    @abstractmethod
    def reply(self) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` has lower-case names; ``base_url`` is the address that the caller reached the stand-in by.

    ``query`` keeps the last value of a repeated parameter; ``pairs`` keeps all.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = "https://sandbox.example"
    pairs: Sequence[tuple[str, str]] = ()

    @classmethod
    def of(cls, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Request:
        """A request of a URL (path and query) and a JSON body."""
        parts = urlsplit(url)
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        return cls(method.upper(), parts.path, dict(pairs), lower, data, pairs=pairs)

    def values(self, name: str) -> list[str]:
        """Every value of a parameter that may be repeated."""
        if self.pairs:
            return [value for key, value in self.pairs if key == name]
        return [self.query[name]] if name in self.query else []

    def json(self) -> Any:
        """The JSON body. Raises BadJson."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise BadJson(str(error), error.lineno, error.colno) from error

    def json_object(self) -> dict[str, Any]:
        """Raises BadJson, NotAnObject."""
        value = self.json()
        if not isinstance(value, dict):
            raise NotAnObject("the body has to be a JSON object")
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
    """One request on its way through: the stand-in (a vendor's call says which) and the path's variables."""

    sandbox: Any
    request: Request
    path: Mapping[str, str]


CallT = TypeVar("CallT", bound=Call)


@dataclass(frozen=True, slots=True)
class Route(Generic[CallT]):
    """``kind`` names the call in the journal; ``open`` ones need no session, ``free`` ones don't count against the quota."""

    method: str
    pattern: re.Pattern[str]
    kind: str
    handler: Callable[[CallT], Reply]
    open: bool = False
    free: bool = False
    scope: str = ""


class Router(Generic[CallT]):
    """Paths with ``{name}`` variables. The first route that fits answers."""

    def __init__(self) -> None:
        self.routes: list[Route[CallT]] = []

    def add(
        self, methods: str, path: str, kind: str, *, anyone: bool = False, free: bool = False, scope: str = ""
    ) -> Callable[[Callable[[CallT], Reply]], Callable[[CallT], Reply]]:
        """Register a handler for ``methods`` (``"GET POST"``) of a path. ``{rest*}`` spans slashes."""
        expression = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path)
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", expression)
        pattern = re.compile(f"^{expression}/?$")

        def register(handler: Callable[[CallT], Reply]) -> Callable[[CallT], Reply]:
            for method in methods.split():
                self.routes.append(Route(method, pattern, kind, handler, anyone, free, scope))
            return handler

        return register

    def find(self, method: str, path: str) -> tuple[Route[CallT], Mapping[str, str]]:
        """The route and the path's variables. Raises NoRoute."""
        for route in self.routes:
            match = route.pattern.match(path) if route.method == method else None
            if match:
                return route, match.groupdict()
        raise NoRoute(method, path, sorted({r.method for r in self.routes if r.pattern.match(path)}))
