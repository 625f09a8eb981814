"""A stand-in's clock: real, shifted, or standing still until told."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

ANCHOR = datetime(2025, 6, 30, 12, tzinfo=UTC)
"""The day on which seeded data ends. Fixed, so that one seed gives the same data on every day and machine."""


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
        """Now, as the vendor writes it. Here ``2025-06-30T12:00:00.000Z``; a vendor with another form overrides it."""
        return iso_ms(self.now())


def iso_ms(at: datetime) -> str:
    """``2025-06-30T12:00:00.000Z``; sorts as text."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
