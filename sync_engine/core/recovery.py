"""What happens after a failure: an error and the number of attempts become a decision. Pure: the clock and chance are handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from domain.errors import (
    ConfigurationError,
    CursorExpiredError,
    ReauthRequiredError,
    RecordRejectedError,
    StorageFullError,
    SynclineError,
    TransientError,
)

BASE_S = 5.0
MOST_S = 3600.0
_HOUR = timedelta(hours=1)


class Next(StrEnum):
    """What happens next."""

    RETRY = "retry"  # later, after `delay_s`
    PAUSE_CONNECTION = "pause_connection"  # until an admin signs in again
    STOP_STREAM = "stop_stream"  # until an admin changes something
    DEAD_LETTER = "dead_letter"  # this record; the others go on
    RESYNC = "resync"  # list everything and reconcile deletes
    HALT = "halt"  # no room: keep everything, go on when there is


@dataclass(frozen=True, slots=True)
class Recovery:
    """``delay_s``: how long to wait before a retry."""

    next: Next
    delay_s: float = 0.0


def recover(error: SynclineError, attempt: int, jitter: float = 0.5) -> Recovery:
    """Decide by the kind of error. ``attempt`` counts from 1; ``jitter`` (0–1) spreads retries; a vendor's Retry-After wins."""
    match error:
        case TransientError():
            return Recovery(Next.RETRY, error.retry_after_s or backoff_s(attempt, jitter))
        case ReauthRequiredError():
            return Recovery(Next.PAUSE_CONNECTION)
        case RecordRejectedError():
            return Recovery(Next.DEAD_LETTER)
        case CursorExpiredError():
            return Recovery(Next.RESYNC)
        case StorageFullError():
            return Recovery(Next.HALT, MOST_S)
        case ConfigurationError():
            return Recovery(Next.STOP_STREAM)
    return Recovery(Next.DEAD_LETTER)


def backoff_s(attempt: int, jitter: float) -> float:
    """Exponential from 5 seconds to an hour, of which the last half is spread by ``jitter``."""
    whole = min(MOST_S, BASE_S * 2.0 ** min(max(attempt, 1) - 1, 30))
    return float(whole * (0.5 + 0.5 * min(max(jitter, 0.0), 1.0)))


Tally = Mapping[str, int]
"""Deletes that a stream took over of late, by the hour in which it did (ISO 8601, UTC)."""


@dataclass(frozen=True, slots=True)
class Brake:
    """Stops a stream that would delete suspiciously much: more than ``share`` of its records, and more than ``floor``.

    Deletes count together that come within ``window`` (to the hour), on whichever pages, polls and notices they come.
    """

    share: float = 0.1
    floor: int = 20
    window: timedelta = timedelta(hours=24)

    def holds(self, deletes: int, linked: int) -> bool:
        """Whether that many deletes, of that many live links, must be confirmed by a person first."""
        return deletes > self.floor and deletes > self.share * max(linked, 1)

    def recent(self, tally: Tally, now: datetime) -> int:
        """How many deletes of the tally count together with those of ``now``."""
        return sum(self._within(tally, now).values())

    def noted(self, tally: Tally, now: datetime, deletes: int) -> Tally:
        """The tally with these deletes, and without what no longer counts."""
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0).isoformat()
        kept = self._within(tally, now)
        return {**kept, hour: kept.get(hour, 0) + deletes}

    def _within(self, tally: Tally, now: datetime) -> dict[str, int]:
        return {hour: n for hour, n in tally.items() if datetime.fromisoformat(hour) + _HOUR > now - self.window}
