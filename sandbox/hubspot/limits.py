"""The account's quotas. Every refusal is a 429 that names its policy.

https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.hubspot.errors import ApiError
from sandbox.hubspot.times import iso, to_ms
from sandbox.kit.clock import Clock

WINDOW = timedelta(seconds=10)
SECOND = timedelta(seconds=1)


def exceeded(policy: str, retry_after: str = "") -> ApiError:
    """``policy``: TEN_SECONDLY_ROLLING, SECONDLY or DAILY. The vendor sends no Retry-After with it as a rule."""
    message = f"You have reached your {policy.lower()} limit."
    refusal = ApiError(429, "RATE_LIMITS", message, extra={"errorType": "RATE_LIMIT", "policyName": policy})
    refusal.headers |= {"Retry-After": retry_after} if retry_after else {}
    return refusal


@dataclass(slots=True)
class Limits:
    """``burst`` calls in any ten seconds, ``daily`` until midnight, ``searches`` a second. Searches count to no other limit."""

    clock: Clock
    burst: int = 190
    daily: int = 650_000
    searches: int = 5
    used_today: int = 0
    _day: str = ""
    _calls: deque[datetime] = field(default_factory=deque)
    _searches: deque[datetime] = field(default_factory=deque)

    def spend(self, search: bool) -> None:
        """Count one call. Raises 429."""
        now = self.clock.now()
        self._roll(now)
        if search:
            _fit(self._searches, now, SECOND, self.searches, "SECONDLY")
            return
        if self.used_today >= self.daily:
            raise exceeded("DAILY")
        _fit(self._calls, now, WINDOW, self.burst, "TEN_SECONDLY_ROLLING")
        self.used_today += 1

    def _roll(self, now: datetime) -> None:
        if self._day != now.date().isoformat():
            self.used_today = 0 if self._day else self.used_today
            self._day = now.date().isoformat()

    def headers(self, private: bool) -> dict[str, str]:
        """What an answer tells of the limits: the daily ones to private apps only."""
        _forget(self._calls, self.clock.now(), WINDOW)
        told = {
            "X-HubSpot-RateLimit-Max": str(self.burst),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self.burst - len(self._calls))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        }
        if not private:
            return told
        left = str(max(0, self.daily - self.used_today))
        return told | {"X-HubSpot-RateLimit-Daily": str(self.daily), "X-HubSpot-RateLimit-Daily-Remaining": left}

    def usage(self) -> dict[str, Any]:
        """The body of ``/account-info/v3/api-usage/daily/private-apps``."""
        now = self.clock.now()
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
        row = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.daily,
            "currentUsage": self.used_today,
            "collectedAt": iso(to_ms(now)),
            "fetchStatus": "SUCCESS",
            "resetsAt": iso(to_ms(midnight)),
        }
        return {"results": [row]}


def _forget(calls: deque[datetime], now: datetime, window: timedelta) -> None:
    while calls and calls[0] <= now - window:
        calls.popleft()


def _fit(calls: deque[datetime], now: datetime, window: timedelta, most: int, policy: str) -> None:
    _forget(calls, now, window)
    if len(calls) >= most:
        raise exceeded(policy)
    calls.append(now)
