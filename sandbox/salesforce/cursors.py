"""Query locators: a result waiting to be read on, page by page.

They live for two days, and one user may keep ten open; an eleventh closes the oldest.
https://help.salesforce.com/s/articleView?id=000384958
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce.clock import Clock
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ids import IdFactory
from sandbox.salesforce.query import Result

LIFETIME = timedelta(days=2)
DEFAULT_PAGE, SMALLEST_PAGE, LARGEST_PAGE = 2000, 200, 2000


@dataclass(slots=True)
class OpenCursor:
    result: Result
    page: int
    resource: str
    expires: datetime
    finished: bool = False


@dataclass(slots=True)
class Cursors:
    clock: Clock
    ids: IdFactory
    most: int = 10
    open: dict[str, OpenCursor] = field(default_factory=dict)

    def first_page(self, result: Result, page: int, resource: str, version: str) -> dict[str, Any]:
        if result.total <= page or not result.rows:
            return _page(result, 0, page, version, None)
        locator = self.ids.next("0r8")
        self._make_room()
        self.open[locator] = OpenCursor(result, page, resource, self.clock.now() + LIFETIME)
        return _page(result, 0, page, version, f"/services/data/v{version}/{resource}/{locator}")

    def next_page(self, text: str, version: str) -> dict[str, Any]:
        """The page of ``0r8…-2000``. Raises INVALID_QUERY_LOCATOR when the locator is unknown, closed or too old."""
        locator, _, offset = text.partition("-")
        cursor = self.open.get(locator)
        if cursor is None or not offset.isdigit() or cursor.expires <= self.clock.now():
            self.open.pop(locator, None)
            raise ApiError("INVALID_QUERY_LOCATOR", "invalid query locator")
        start = int(offset)
        body = _page(
            cursor.result, start, cursor.page, version, f"/services/data/v{version}/{cursor.resource}/{locator}"
        )
        cursor.finished = body["done"]
        return body

    def _make_room(self) -> None:
        """Finished cursors may be re-read while there is room; they go first."""
        while len(self.open) >= self.most:
            oldest = next((name for name, cursor in self.open.items() if cursor.finished), next(iter(self.open)))
            self.open.pop(oldest)


def page_size(options: str | None) -> int:
    """The page that a ``Sforce-Query-Options: batchSize=500`` header asks for, within the vendor's bounds."""
    for part in (options or "").split(","):
        name, _, value = part.strip().partition("=")
        if name.strip().lower() == "batchsize" and value.strip().isdigit():
            return max(SMALLEST_PAGE, min(LARGEST_PAGE, int(value)))
    return DEFAULT_PAGE


def _page(result: Result, start: int, page: int, version: str, url: str | None) -> dict[str, Any]:
    rows = result.rows[start : start + page]
    body: dict[str, Any] = {"totalSize": result.total, "done": start + page >= len(result.rows)}
    if not body["done"] and url:
        body["nextRecordsUrl"] = f"{url}-{start + page}"
    body["records"] = [result.render(row, version) for row in rows]
    return body
