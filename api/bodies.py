"""What a request may bring: a bounded body of plain JSON. All else is refused before anything reads it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from api import errors
from api.errors import ApiError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEPTH_MAX = 64
NAMES_MAX = 1_000
"""Names in one object: each unknown one is an error to tell, so that a small body could ask for a large answer."""
READ_WITHIN_S = 30.0

_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json(?:\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)
_STRING = re.compile(rb'"[^"]*+"?')  # once escaped quotes are out of the way
_BRACKET = re.compile(rb"[\[\]{}]")
_BAD_PATH = re.compile(rb"%00|\x00", re.IGNORECASE)


BYTES_MAX = "x-body-bytes-max"
"""In a route's ``openapi_extra``: the largest body that it takes, where that is not what others take."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one route takes that others don't: larger JSON, or bodies of other ``types`` (too), which it reads as they come."""

    methods: frozenset[str]
    path: re.Pattern[str]
    types: frozenset[str]
    bytes_max: int


def rules(routers: Iterable[APIRouter], prefix: str, upload_bytes_max: int) -> tuple[Rule, ...]:
    """The rules that routes name in ``openapi_extra``."""
    found = []
    for route in (r for router in routers for r in router.routes if isinstance(r, APIRoute) and r.openapi_extra):
        extra = route.openapi_extra or {}
        content = frozenset(extra.get("requestBody", {}).get("content", {}))
        types = content if content - {"application/json"} else frozenset()
        limit = extra.get(BYTES_MAX) or (upload_bytes_max if types else 0)
        if limit:
            found.append(Rule(frozenset(route.methods or ()), compile_path(prefix + route.path)[0], types, limit))
    return tuple(found)


class Bodies:
    """Reads the body of every request within ``bytes_max`` and a time limit, and judges it; ``rules`` say who takes more."""

    def __init__(self, app: ASGIApp, bytes_max: int, rules: tuple[Rule, ...] = ()) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        rule = self._rule(scope)
        if rule is not None and rule.types:
            await self._pass_on(rule, scope, receive, send)
            return
        try:
            _check_address(scope)
            body = await self._read(request, receive, rule.bytes_max if rule else self._bytes_max)
            if body:
                _check_type(request)
                check_json(body)
        except ApiError as error:
            await (await errors.expected(request, error))(scope, receive, send)
            return
        request.state.body_digest = hashlib.sha256(body).digest()
        given = False

        async def give() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, give, send)

    def _rule(self, scope: Scope) -> Rule | None:
        fitting = (r for r in self._rules if scope["method"] in r.methods and r.path.match(scope["path"]))
        return next(fitting, None)

    async def _pass_on(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a route read a large body itself, piece by piece. What makes two of them the same is what they declare."""
        request = Request(scope)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        declared = request.headers.get("content-length", "")
        try:
            _check_address(scope)
            _check_length(request, rule.bytes_max)
            if kind not in rule.types and declared != "0" and (declared or "transfer-encoding" in request.headers):
                raise _wrong_type(sorted(rule.types)[0])
        except ApiError as error:
            await (await errors.expected(request, error))(scope, receive, send)
            return
        told = (declared, request.headers.get("content-digest", ""))
        request.state.body_digest = hashlib.sha256("\x1f".join(told).encode()).digest()
        await self._app(scope, receive, send)

    async def _read(self, request: Request, receive: Receive, bytes_max: int) -> bytes:
        """The whole body. Raises ApiError 408, 413 and 415 before more than the limit is held."""
        _check_length(request, bytes_max)
        pieces: list[bytes] = []
        size = 0
        with anyio.move_on_after(READ_WITHIN_S) as limit:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ApiError(400, "bad_request", "The request ended before its body did.")
                size += len(message.get("body", b""))
                if size > bytes_max:
                    raise too_large(bytes_max)
                pieces.append(message.get("body", b""))
                if not message.get("more_body", False):
                    break
        if limit.cancelled_caught:
            raise too_slow()
        return b"".join(pieces)


def _check_length(request: Request, bytes_max: int) -> None:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal():
        raise ApiError(400, "bad_request", "Content-Length is not a number.", remedy="Send the length in bytes.")
    if int(declared) > bytes_max:
        raise too_large(bytes_max)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            415,
            "unsupported_media_type",
            "Compressed bodies are not accepted.",
            remedy="Send it without Content-Encoding.",
        )


def too_large(bytes_max: int) -> ApiError:
    return ApiError(
        413,
        "too_large",
        f"The body is larger than {bytes_max} bytes.",
        remedy="Send less at once.",
        headers={"Connection": "close"},
    )


def too_slow() -> ApiError:
    return ApiError(
        408,
        "too_slow",
        "The body did not arrive in time.",
        remedy=f"Begin to send at once, and send a small body within {READ_WITHIN_S:.0f} seconds.",
        headers={"Connection": "close"},
    )


def _wrong_type(wanted: str) -> ApiError:
    return ApiError(
        415,
        "unsupported_media_type",
        f"The body is not declared as {wanted}.",
        remedy=f"Send Content-Type: {wanted}.",
    )


def _check_address(scope: Scope) -> None:
    """Refuse what no text can hold: PostgreSQL would refuse it later, and less plainly."""
    raw = scope.get("raw_path") or b""
    if _BAD_PATH.search(raw) or _BAD_PATH.search(scope.get("query_string", b"")) or "\ufffd" in scope["path"]:
        raise ApiError(400, "bad_request", "The address holds a NUL or is not UTF-8.", remedy="Encode it as UTF-8.")


def _check_type(request: Request) -> None:
    given = request.headers.get("content-type", "").strip()
    if not _JSON.fullmatch(given):
        raise _wrong_type("application/json")


def check_json(body: bytes) -> None:
    """Refuse what parsers disagree about or drown in: depth, repeated names, NUL, half characters, NaN. Raises ApiError 400."""
    if depth(body) > DEPTH_MAX:
        _refuse(f"JSON is nested more than {DEPTH_MAX} levels deep.", "Send it flatter.")
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unrepeated, parse_constant=_constant)
    except ApiError:
        raise
    except (ValueError, RecursionError):
        _refuse("The body is not valid JSON in UTF-8.", "Check it with a JSON validator.")
    if (b"\\u" in body or b"\x00" in body) and not _storable(value):
        _refuse("JSON holds a NUL or half a character.", "Leave out \\u0000 and unpaired surrogates.")


def depth(body: bytes) -> int:
    """How deep JSON is nested, told without parsing it; beyond the limit nobody counts on."""
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return 0
    deepest = level = 0
    bare = _STRING.sub(b"", body.replace(b"\\\\", b"").replace(b'\\"', b""))
    for bracket in _BRACKET.finditer(bare):
        level += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, level)
        if deepest > DEPTH_MAX:
            break
    return deepest


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > NAMES_MAX:
        _refuse(f"JSON has an object of more than {NAMES_MAX} names.", "Send less at once.")
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("JSON has an object in which a name stands twice.", "Send each name once.")
    return found


def _constant(_name: str) -> NoReturn:
    _refuse("JSON has no NaN and no Infinity.", "Send null or a number.")


def _storable(value: Any) -> bool:
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
        case dict():
            return all(_storable(name) and _storable(item) for name, item in value.items())
        case list():
            return all(_storable(item) for item in value)
        case _:
            return True


def _refuse(message: str, remedy: str) -> NoReturn:
    raise ApiError(400, "bad_json", message, remedy=remedy)
