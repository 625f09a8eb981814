"""When a delivery that failed is tried again, and when an endpoint is left alone: pure."""

from __future__ import annotations

from datetime import datetime, timedelta

MINUTE, HOUR = 60, 3_600
WAITS_S = (10, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 20 * HOUR)
"""After the first failure ten seconds, and so on: eleven tries within three days."""
JITTER = 0.1
TRIPS_AT = 5
"""After so many failures of the endpoint in a row, one delivery at a time tries whether it is back."""
PAUSE_S, PAUSE_S_MAX = 15, 15 * MINUTE

GONE = 410
_OF_THE_ENDPOINT = frozenset({408, 429})


def retry_at(failures: int, now: datetime, retry_after_s: float | None, jitter: float) -> datetime | None:
    """When to try again after the ``failures``-th failure (1 is the first), or None: never.

    ``jitter`` 0-1 adds up to a tenth; what the endpoint asks for by Retry-After is a lower bound.
    """
    if failures > len(WAITS_S):
        return None
    wait = WAITS_S[failures - 1] * (1 + JITTER * jitter)
    return now + timedelta(seconds=max(wait, retry_after_s or 0.0))


def is_endpoints_fault(status: int | None) -> bool:
    """Whether an answer (None: no answer) tells of the endpoint itself, and not of what was sent to it."""
    return status is None or status >= 500 or status in _OF_THE_ENDPOINT


def pause_until(failures: int, now: datetime, retry_after_s: float | None) -> datetime | None:
    """Until when to leave the endpoint alone after its ``failures``-th failure in a row; None: go on."""
    wait = retry_after_s or 0.0
    if failures >= TRIPS_AT:
        wait = max(wait, min(PAUSE_S * 2 ** min(failures - TRIPS_AT, 10), PAUSE_S_MAX))
    return now + timedelta(seconds=wait) if wait else None
