"""Never more calls than the vendor allows: rate limits per (account, scope), and a share of the daily quota."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.kit.contract import RateLimit
from domain.errors import RateLimitedError


class ProcessLimiter:
    """The `contract.RateLimiter` of one process: thread-safe, first come first served.

    Exact: no window of ``per_s`` seconds, wherever it begins, holds more than ``calls`` calls. A classic token bucket allows
    almost twice that (a full bucket, then its refill), which vendors with sliding windows answer with 429. Call n may start
    ``per_s`` after call n - ``calls``, so only the last ``calls`` start times are kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._starts: dict[tuple[str, RateLimit], deque[float]] = {}
        self._held_until: dict[tuple[str, str], float] = defaultdict(float)

    def reserve(self, account: str, scope: str, limits: Sequence[RateLimit], max_wait_s: float) -> float:
        """See `contract.RateLimiter.reserve`."""
        with self._lock:
            now = self._clock()
            windows = [self._window(account, limit) for limit in limits]
            start = max(now, self._held_until.get((account, scope), 0.0), *(self._free_at(*w) for w in windows), now)
            if start - now > max_wait_s:
                raise _too_long(scope, start - now)
            for _, starts in windows:
                starts.append(start)
            return start - now

    def hold(self, account: str, scope: str, for_s: float) -> None:
        """See `contract.RateLimiter.hold`."""
        with self._lock:
            key = (account, scope)
            self._held_until[key] = max(self._held_until[key], self._clock() + for_s)

    def _window(self, account: str, limit: RateLimit) -> tuple[RateLimit, deque[float]]:
        starts = self._starts.setdefault((account, limit), deque(maxlen=max(limit.calls, 1)))
        return limit, starts

    def _free_at(self, limit: RateLimit, starts: deque[float]) -> float:
        return starts[0] + limit.per_s if len(starts) == starts.maxlen else 0.0


def _too_long(scope: str, wait_s: float) -> RateLimitedError:
    return RateLimitedError(
        f"The rate limit for {scope} calls of this account is used up for the next {wait_s:.0f} seconds.",
        retry_after_s=wait_s,
        context={"scope": scope},
    )


@dataclass(slots=True)
class _Quota:
    used: int
    limit: int
    seen_at: float


@dataclass(slots=True)
class QuotaLedger:
    """What each account has used of its daily quota, as the vendor itself reports it in its replies.

    A connection may use its share (0-1) and no more. Because the vendor alone knows when the count starts again, one call
    is let through every ``probe_s`` seconds; its reply tells.
    """

    clock: Callable[[], float] = time.monotonic
    probe_s: float = 900.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _quotas: dict[str, _Quota] = field(default_factory=dict)

    def note(self, account: str, used: int, limit: int) -> None:
        """Remember what the vendor said just now."""
        with self._lock:
            self._quotas[account] = _Quota(used, limit, self.clock())

    def require(self, account: str, share: float) -> None:
        """Raise RateLimitedError when ``account`` has used its ``share`` of the day."""
        with self._lock:
            quota = self._quotas.get(account)
            if quota is None or quota.used < int(quota.limit * share):
                return
            age = self.clock() - quota.seen_at
            if age >= self.probe_s:
                quota.seen_at = self.clock()
                return
            used, limit = quota.used, quota.limit
        raise RateLimitedError(
            f"{used} of {limit} calls of this account's daily quota are used; this connection may use {share:.0%} of it.",
            remedy="Wait until the vendor's count starts again, or raise the connection's share.",
            code="quota_share_used",
            retry_after_s=self.probe_s - age,
            context={"used": used, "limit": limit},
        )


ReadQuota = Callable[[Mapping[str, str]], tuple[int, int] | None]
"""Reads (used, limit) of the daily quota from a reply's headers, where the vendor reports it."""
