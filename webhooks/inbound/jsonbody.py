"""JSON as strangers send it, read once and for all: whatever passes here can be stored, compared and mapped.

orjson holds a body to the letter of the standard (UTF-8, no lone surrogate, no NaN, 1,024 levels). It keeps the last of two
equal keys, though, and makes floats of whole numbers beyond 64 bits; so the accepted text is read a second time by the
standard library, which can be told to refuse both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import orjson

from domain.errors import RecordRejectedError

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 64
_INT64_MIN: Final = -(2**63)
_UINT64_MAX: Final = 2**64 - 1
_UINT64_DIGITS: Final = 20
_MEND: Final = "The sender has to mend it and send it again."


def load(body: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """The value of a JSON document: dicts, lists, str, int, float, bool, None.

    Raises RecordRejectedError, naming no value, for what is too large, no JSON, nested beyond `MAX_DEPTH`, has a key twice in one
    object, a NUL in a string (PostgreSQL stores none) or a whole number beyond 64 bits (it would be rounded).
    """
    if len(body) > max_bytes:
        _reject(f"The body has {len(body)} bytes; at most {max_bytes} are read.", code="webhook_body_too_large")
    try:
        strict = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg or "recursion" in error.msg:
            raise too_deep() from None
        _reject(f"The body is no JSON: byte {error.pos} cannot be read.", code="webhook_body_not_json")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(strict) > MAX_DEPTH:
        raise too_deep()
    value, _ = _CAREFUL.raw_decode(body.decode().lstrip())  # nothing but blanks follows: orjson has seen to it
    if b"\\u0000" in body and any("\0" in text for text in _strings(value)):
        raise nul()
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        _reject("An object in the body has the same key twice: which value is meant?", code="webhook_body_repeats_key")
    return made


def _integer(text: str) -> int:
    if len(text) <= _UINT64_DIGITS:
        number = int(text)
        if _INT64_MIN <= number <= _UINT64_MAX:
            return number
    _reject("A whole number in the body is beyond 64 bits; send it as text.", code="webhook_body_number")


_CAREFUL: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)


def _depth(value: Any) -> int:
    """How many objects and lists lie in one another."""
    deepest, level = 0, [value]
    while level := [child for child in level if isinstance(child, dict | list)]:
        deepest += 1
        level = [grandchild for child in level for grandchild in _children(child)]
    return deepest


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            yield from found
        waiting += _children(found)


def too_deep() -> RecordRejectedError:
    """The error for a body, JSON or XML, of more than `MAX_DEPTH` levels."""
    return RecordRejectedError(
        f"The body nests deeper than {MAX_DEPTH} levels.", code="webhook_body_too_deep", remedy=_MEND
    )


def nul() -> RecordRejectedError:
    """The error for a text that PostgreSQL cannot store."""
    return RecordRejectedError(
        "A text in the body holds a NUL character, which cannot be stored.", code="webhook_body_nul", remedy=_MEND
    )


def _reject(message: str, *, code: str) -> NoReturn:
    raise RecordRejectedError(message, code=code, remedy=_MEND)


# ---------------------------------------------------------------- shapes


def unexpected(what: str) -> RecordRejectedError:
    """The error for a body that is JSON but not what its sender documents. ``what`` names the part, never a value."""
    return RecordRejectedError(
        f"The body is not what this sender documents: {what}.",
        code="webhook_body_unexpected",
        remedy="Check that the endpoint has the right scheme, and the sender's version.",
    )


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """``value`` as an object. Raises RecordRejectedError naming ``what``."""
    if not isinstance(value, dict):
        raise unexpected(f"{what} is no object")
    return value


def items(value: Any, what: str) -> list[Mapping[str, Any]]:
    """``value`` as a list of objects. Raises RecordRejectedError naming ``what``."""
    if not isinstance(value, list):
        raise unexpected(f"{what} is no list")
    return [mapping(item, f"an entry of {what}") for item in value]


def text(value: Mapping[str, Any], key: str) -> str | None:
    """A string or whole number under ``key``, as text; None where there is neither, or it is blank."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return str(found).strip() or None


def needed(value: Mapping[str, Any], key: str) -> str:
    """As `text`, but it has to be there. Raises RecordRejectedError."""
    found = text(value, key)
    if found is None:
        raise unexpected(f"{key} is missing")
    return found
