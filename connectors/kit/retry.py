"""When and how long to wait before the same call is made again: a policy as a value, executed by tenacity in `gate`."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

DAY_S = 86_400.0
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long.

    Waits grow as ``base_s`` · 2ⁿ with full jitter, up to ``cap_s``. A vendor's Retry-After is a lower bound; one above
    ``retry_after_max_s`` is not waited for but raised, so that the caller can give the worker to another lane. No wait
    starts that would end later than ``total_s`` after the first attempt.
    """

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 30.0
    retry_after_max_s: float = 120.0
    total_s: float = 300.0

    def wait_s(self, attempt: int, retry_after_s: float | None, rng: random.Random) -> float:
        """Seconds to wait after the failed ``attempt`` (1 is the first)."""
        if retry_after_s is not None:
            return retry_after_s + rng.uniform(0, self.base_s)
        return rng.uniform(0, min(self.cap_s, self.base_s * 2.0 ** (attempt - 1)))

    def gives_up(self, attempt: int, elapsed_s: float, retry_after_s: float | None) -> bool:
        """Whether ``attempt`` was the last one."""
        wait = retry_after_s or 0.0
        return attempt >= self.attempts or wait > self.retry_after_max_s or elapsed_s + wait > self.total_s


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, between 0 and a day; None without one or with one that says nothing.

    Both forms of RFC 9110 §10.2.3: seconds, or a date, which is compared with the reply's own Date header where there is
    one, because the vendor's clock and ours differ.
    """
    raw = headers.get("Retry-After")
    if raw is None:
        return None
    try:
        seconds = float(raw)
    except ValueError:
        seconds = _until(raw, headers, now)
    return None if math.isnan(seconds) else min(max(seconds, 0.0), DAY_S)


def _until(raw: str, headers: Mapping[str, str], now: datetime | None) -> float:
    when = _date(raw)
    if when is None:
        return float("nan")
    sent = _date(headers.get("Date", "")) or now or datetime.now(UTC)
    return (when - sent).total_seconds()


def _date(raw: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(raw)
    except (ValueError, TypeError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
