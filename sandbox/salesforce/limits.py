"""The org's quotas, and what is left of them.

https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/salesforce_app_limits_cheatsheet/salesforce_app_limits_platform_api.htm
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce.clock import Clock
from sandbox.salesforce.errors import ApiError

WINDOW = timedelta(hours=24)
TOTAL, CONCURRENT = "TotalRequests", "ConcurrentRequests (Concurrent API Requests)"


def exceeded(limit: str) -> ApiError:
    """The refusal of one call too many. It carries no Retry-After."""
    return ApiError("REQUEST_LIMIT_EXCEEDED", f"{limit} Limit exceeded.", 403)


@dataclass(slots=True)
class Limits:
    """``daily_calls`` in any 24 hours; at most ``long_calls`` requests of 20 s or more at a time."""

    clock: Clock
    daily_calls: int = 100_000
    long_calls: int = 25
    bulk_batches: int = 15_000
    long_running: int = 0
    _used: deque[tuple[datetime, int]] = field(default_factory=deque)
    _total: int = 0
    _batches: int = 0

    @property
    def used(self) -> int:
        edge = self.clock.now() - WINDOW
        while self._used and self._used[0][0] <= edge:
            self._total -= self._used.popleft()[1]
        return self._total

    def spend(self, calls: int = 1) -> None:
        """Count API calls. Raises 403 REQUEST_LIMIT_EXCEEDED, which carries no Retry-After, when there are none left."""
        if self.used + calls > self.daily_calls:
            raise exceeded(TOTAL)
        if self.long_running >= self.long_calls:
            raise ApiError(
                "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", 403
            )
        self._total += calls
        minute = self.clock.now().replace(second=0, microsecond=0)
        if self._used and self._used[-1][0] == minute:
            calls += self._used.pop()[1]
        self._used.append((minute, calls))

    def spend_batches(self, batches: int) -> None:
        if self._batches + batches > self.bulk_batches:
            raise ApiError("EXCEEDED_MAX_CONCURRENT_BATCHES", "ApiBatchItems Limit exceeded.", 400)
        self._batches += batches

    def set_used(self, calls: int) -> None:
        self._used.clear()
        self._used.append((self.clock.now(), calls))
        self._total = calls

    def header(self) -> str:
        return f"api-usage={self.used}/{self.daily_calls}"

    def resource(self) -> dict[str, Any]:
        """The body of ``/limits``."""

        def row(maximum: int, used: int = 0) -> dict[str, int]:
            return {"Max": maximum, "Remaining": maximum - used}

        return {
            "ConcurrentAsyncGetReportInstances": row(200),
            "DailyApiRequests": row(self.daily_calls, self.used),
            "DailyAsyncApexExecutions": row(250_000),
            "DailyBulkApiBatches": row(self.bulk_batches, self._batches),
            "DailyBulkV2QueryFileStorageMB": row(976_562),
            "DailyBulkV2QueryJobs": row(10_000),
            "DataStorageMB": row(10_240, 512),
            "FileStorageMB": row(10_240, 64),
            "HourlyODataCallout": row(20_000),
            "MassEmail": row(5_000),
            "SingleEmail": row(5_000),
        }
