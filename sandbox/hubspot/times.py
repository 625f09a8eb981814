"""Time as the vendor keeps it (milliseconds since 1970, UTC) and shows it (ISO 8601, without a fraction when there is none)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def to_ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=65_536)
def iso(ms: int) -> str:
    """``2025-06-30T12:00:00.123Z``, and ``2025-06-30T12:00:00Z`` on the full second: as texts the two don't sort."""
    text = (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms % 1000:03d}Z" if ms % 1000 else f"{text}Z"


def day(ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%d")


@lru_cache(maxsize=65_536)
def parse_ms(text: str) -> int:
    """Milliseconds of an epoch number, an ISO date or an ISO date-time. Raises ValueError."""
    if re.fullmatch(r"-?\d+", text):
        number = int(text)
        iso(number)  # a moment beyond the year 9999 raises OverflowError
        return number
    if not _DATE.match(text) and "T" not in text:
        raise ValueError(text)
    value = datetime.fromisoformat(text)
    return to_ms(value if value.tzinfo else value.replace(tzinfo=UTC))
