"""Pages of lists: a cursor says after which key to go on, so that a page costs the same wherever it stands."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
from fastapi import Query
from pydantic import BaseModel, Field

from api.errors import ApiError

T = TypeVar("T")
R = TypeVar("R")

Limit = Annotated[int, Query(ge=1, le=500, description="At most so many.")]
Cursor = Annotated[
    str | None, Query(max_length=2_000, description="`next` of the page before; none: from the beginning.")
]


class Page(BaseModel, Generic[T]):
    """One page. ``next``: the cursor of the next one; null on the last."""

    items: list[T]
    next: str | None = Field(default=None, description="Give it as `cursor` for the next page; null on the last one.")


def page_of(rows: Sequence[R], limit: int, shown: Callable[[R], T], key: Callable[[R], Any]) -> Page[T]:
    """A page of ``rows``, which are one more than ``limit`` where more follow. ``key``: JSON that says where a row stands."""
    shown_rows = rows[:limit]
    more = len(rows) > limit
    return Page(items=[shown(row) for row in shown_rows], next=encode(key(shown_rows[-1])) if more else None)


def encode(key: Any) -> str:
    """A cursor, opaque to callers."""
    return base64.urlsafe_b64encode(orjson.dumps(key, default=str)).rstrip(b"=").decode()


def decode(cursor: str | None) -> Any:
    """What `encode` was given; None for no cursor. Raises ApiError 422 for one that we never made."""
    if cursor is None:
        return None
    try:
        return orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise _not_ours() from None


def decode_id(cursor: str | None) -> UUID | None:
    """The id in a cursor. Raises ApiError 422."""
    key = decode(cursor)
    try:
        return None if key is None else UUID(key)
    except (AttributeError, TypeError, ValueError):
        raise _not_ours() from None


def decode_moment(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The moment and id in a cursor. Raises ApiError 422."""
    key = decode(cursor)
    try:
        return None if key is None else (datetime.fromisoformat(key[0]), UUID(key[1]))
    except (AttributeError, TypeError, ValueError, LookupError):
        raise _not_ours() from None


def decode_number(cursor: str | None) -> int | None:
    """The number in a cursor. Raises ApiError 422."""
    key = decode(cursor)
    if key is not None and (not isinstance(key, int) or isinstance(key, bool) or not 0 <= key < 1 << 63):
        raise _not_ours()
    return key


def _not_ours() -> ApiError:
    return ApiError(422, "bad_cursor", "The cursor is not one of ours.", remedy="Begin without one.")
