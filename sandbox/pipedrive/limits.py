"""Tokens a day, calls in two seconds, and searches apart.

https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.kit.clock import Clock
from sandbox.pipedrive.errors import ApiError, Firewalled

WINDOW = timedelta(seconds=2)
LOCKOUT = timedelta(minutes=30)
REFUSALS_MAX = 50
"""So many 429s within a minute are abuse. Pipedrive does not publish its number."""


@dataclass(slots=True)
class Limits:
    """``daily_tokens`` until midnight UTC; ``burst`` and ``searches`` in two seconds."""

    clock: Clock
    daily_tokens: int = 210_000
    burst: int = 20
    searches: int = 10
    used: int = 0
    _day: datetime | None = None
    _starts: dict[str, deque[datetime]] = field(default_factory=dict)
    _refused: deque[datetime] = field(default_factory=deque)
    _locked_until: datetime | None = None

    def spend(self, tokens: int, *, search: bool) -> None:
        """Count a call. Raises 429, or the firewall's page."""
        now = self.clock.now()
        if self._locked_until is not None and now < self._locked_until:
            raise Firewalled
        self._turn(now)
        if self.used + tokens > self.daily_tokens:
            raise self._refusal(now, {"x-daily-requests-left": "0"}, "daily API token budget exceeded")
        name, most = ("search", self.searches) if search else ("default", self.burst)
        starts = self._starts.setdefault(name, deque())
        while starts and starts[0] <= now - WINDOW:
            starts.popleft()
        if len(starts) >= most:
            raise self._refusal(now, {"retry-after": "2"}, "request over limit")
        starts.append(now)
        self.used += tokens

    def refuse(self) -> ApiError:
        """A 429 as for too large a burst."""
        return self._refusal(self.clock.now(), {"retry-after": "1"}, "request over limit")

    def _turn(self, now: datetime) -> None:
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._day != day:
            self._day, self.used = day, 0

    def _refusal(self, now: datetime, headers: dict[str, str], why: str) -> ApiError:
        self._refused.append(now)
        while self._refused[0] <= now - timedelta(minutes=1):
            self._refused.popleft()
        if len(self._refused) > REFUSALS_MAX:
            self._locked_until = now + LOCKOUT
        return ApiError(429, why, headers=headers)

    def headers(self) -> dict[str, str]:
        left = self.burst - len(self._starts.get("default", ()))
        return {
            "x-ratelimit-limit": str(self.burst),
            "x-ratelimit-remaining": str(max(left, 0)),
            "x-ratelimit-reset": "2",
            "x-daily-requests-left": str(max(self.daily_tokens - self.used, 0)),
        }
