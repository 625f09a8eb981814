"""Record ids: 15 case-sensitive characters, and 3 more that make the id safe where case is lost.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/field_types.htm (ID field type)
"""

from __future__ import annotations

import string

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase  # in ASCII order: later ids sort later
SUFFIX = string.ascii_uppercase + "012345"
_INSTANCE = "gK0"


def suffix(id15: str) -> str:
    """Three characters, each of five bits: which of five characters are capitals."""
    return "".join(_check(id15[start : start + 5]) for start in (0, 5, 10))


def _check(five: str) -> str:
    return SUFFIX[sum(1 << i for i, c in enumerate(five) if "A" <= c <= "Z")]


def to18(record_id: str) -> str | None:
    """The full id of a 15- or 18-character one (whose case may have been lost), or None if it is not an id."""
    if not (record_id.isascii() and record_id.isalnum()):
        return None
    if len(record_id) == 15:
        return record_id + suffix(record_id)
    return _restore(record_id) if len(record_id) == 18 else None


def _restore(id18: str) -> str | None:
    """Put the case back that the last three characters remember."""
    tail = id18[15:].upper()
    if any(c not in SUFFIX for c in tail):
        return None
    body = [c.upper() if SUFFIX.index(tail[i // 5]) >> (i % 5) & 1 else c.lower() for i, c in enumerate(id18[:15])]
    restored = "".join(body) + tail
    return restored if suffix(restored[:15]) == tail else None


class IdFactory:
    """Ids of one org, counted up for each key prefix."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._heads: dict[str, tuple[str, str]] = {}

    def next(self, prefix: str) -> str:
        number = self._next.get(prefix, 0) + 1
        self._next[prefix] = number
        high, low = divmod(number, 62**4)
        head, checks = self._head(prefix, high)
        tail = _base62(low, 4)
        return head + tail + checks + _check(head[10] + tail)

    def _head(self, prefix: str, high: int) -> tuple[str, str]:
        """The first 11 characters and their two check characters, which 14 million records share."""
        key = f"{prefix}{high}"
        if key not in self._heads:
            head = prefix + _INSTANCE + _base62(high, 5)
            self._heads[key] = (head, _check(head[:5]) + _check(head[5:10]))
        return self._heads[key]


def _base62(number: int, width: int) -> str:
    out = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        out = DIGITS[digit] + out
    return out
