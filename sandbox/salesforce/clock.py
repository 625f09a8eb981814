"""The org's clock, and the two text forms in which the vendor stores and shows time (always UTC, whole seconds)."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

ANCHOR = datetime(2025, 6, 30, 12, tzinfo=UTC)
"""The day on which seeded data ends. Fixed, so that one seed gives one org on every day and machine."""


class Clock:
    """Real time plus a shift, or a time that stands still until told."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        self._frozen = frozen_at
        self._shift = timedelta(0)

    def now(self) -> datetime:
        base = self._frozen if self._frozen is not None else datetime.fromtimestamp(time.time(), UTC)
        return base + self._shift

    def advance(self, seconds: float) -> datetime:
        self._shift += timedelta(seconds=seconds)
        return self.now()

    def freeze(self, at: datetime) -> datetime:
        self._frozen, self._shift = at, timedelta(0)
        return self.now()

    def thaw(self) -> datetime:
        self._frozen, self._shift = None, timedelta(0)
        return self.now()

    def stamp(self) -> str:
        """Now, as a record's audit fields hold it: milliseconds cut off, so that records of one second tie."""
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
