"""The org's clock, and the two text forms in which the vendor stores and shows time (always UTC, whole seconds)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

from sandbox.kit import clock as kit


class Clock(kit.Clock):
    """The kit's clock, telling time as a record's audit fields hold it."""

    def stamp(self) -> str:
        """Now, milliseconds cut off, so that records of one second tie."""
        return stamp(self.now())


def stamp(at: datetime) -> str:
    """``2025-06-30T12:00:00.000+0000``; sorts as text."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


@lru_cache(maxsize=4096)
def parse_stamp(text: str) -> datetime:
    """A date-time in any ISO 8601 form that the API takes. Raises ValueError."""
    value = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


def parse_date(text: str) -> date:
    """Raises ValueError unless ``text`` is ``YYYY-MM-DD``, or a date-time, whose day counts."""
    return date.fromisoformat(text[:10]) if len(text) == 10 or text[10:11] == "T" else date.fromisoformat(text)
