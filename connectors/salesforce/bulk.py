"""Bulk API 2.0: query jobs (large listings) and ingest jobs (large writes).

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/queries.htm
https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/walkthrough_bulk_2_0.htm
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from connectors.salesforce.errors import BULK_UNSUPPORTED, vendor_code
from connectors.salesforce.org import Org
from connectors.salesforce.tabular import convert_rows, read_rows
from domain.errors import SynclineError, TransientError
from domain.records import FieldSchema

RESULTS_MAX = 50_000
"""Records a results call brings: large, because each costs an API call; bounded, because it is spooled to disk."""
SPOOL_BYTES_MAX = 8 * 1024 * 1024
POLL_FIRST_S = 1.0
POLL_MAX_S = 30.0
WAIT_MAX_S = 3 * 3600.0
_ENDED = frozenset({"JobComplete", "Failed", "Aborted"})


class BulkRefusedError(Exception):
    """The bulk API does not serve this query; the caller lists by REST instead. Never leaves the connector."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a job's results. ``locator`` and ``skip`` say where to go on after them."""

    rows: list[tuple[Any, ...]]
    locator: str | None
    skip: int
    last: bool


@dataclass(frozen=True, slots=True)
class Polling:
    """How to wait for a job."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    first_s: float = POLL_FIRST_S
    cap_s: float = POLL_MAX_S
    total_s: float = WAIT_MAX_S


def await_job(org: Org, path: str, polling: Polling) -> Mapping[str, Any]:
    """The job when it has ended. Raises TransientError when it doesn't in time; it goes on and can be awaited again."""
    deadline, wait = polling.clock() + polling.total_s, polling.first_s
    while True:
        job: Mapping[str, Any] = org.request("GET", path).json()
        if job["state"] in _ENDED:
            return job
        if polling.clock() + wait > deadline:
            raise TransientError("Salesforce has not finished a bulk job in time.", retry_after_s=600.0)
        polling.sleep(wait)
        wait = min(wait * 1.6, polling.cap_s)


class BulkQueries:
    """Query jobs of one org."""

    def __init__(self, org: Org, polling: Polling, results_max: int = RESULTS_MAX) -> None:
        self._org = org
        self._polling = polling
        self._results_max = results_max

    def create(self, query: str, *, include_deleted: bool = False) -> str:
        """Start a job and return its id. Raises BulkRefusedError when the bulk API does not serve the query."""
        body = {
            "operation": "queryAll" if include_deleted else "query",
            "query": query,
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        try:
            # A job started twice is merely one that nobody reads.
            reply = self._org.request("POST", self._org.path("jobs/query"), json=body, idempotent=True)
        except SynclineError as error:
            if vendor_code(error) in BULK_UNSUPPORTED:
                raise BulkRefusedError from error
            raise
        return str(reply.json()["id"])

    def alive(self, job: str) -> bool:
        """Whether Salesforce still has the job: it deletes them after seven days."""
        return self._org.request("GET", self._path(job), accept=(400, 404)).status < 300

    def wait(self, job: str) -> None:
        """Return when the job's results are there. Raises BulkRefusedError when it failed."""
        ended = await_job(self._org, self._path(job), self._polling)
        if ended["state"] != "JobComplete":
            raise BulkRefusedError(str(ended["state"]))

    def results(
        self, job: str, fields: Sequence[FieldSchema], locator: str | None, skip: int, page_size: int
    ) -> Iterator[Batch]:
        """The rows from ``locator`` on without the first ``skip``, in pages; results of a finished job never change."""
        while True:
            with self._fetched(job, locator) as (spool, following, count):
                yield from self._pages(spool, fields, locator, skip, page_size, following, count)
            if following is None:
                return
            locator, skip = following, 0

    def _pages(
        self,
        spool: IO[str],
        fields: Sequence[FieldSchema],
        locator: str | None,
        skip: int,
        page_size: int,
        following: str | None,
        count: int | None,
    ) -> Iterator[Batch]:
        lines = read_rows(spool)
        rows = convert_rows(lines, next(lines, []), fields)
        seen = sum(1 for _ in islice(rows, skip))
        page = list(islice(rows, page_size))
        while True:
            seen += len(page)
            ahead = list(islice(rows, page_size))
            if not ahead:
                break
            yield Batch(page, locator, seen, last=False)
            page = ahead
        if count is not None and seen != count:
            raise TransientError("Salesforce's bulk results are not complete.")
        yield Batch(page, following or locator, 0 if following else seen, last=following is None)

    @contextmanager
    def _fetched(self, job: str, locator: str | None) -> Iterator[tuple[IO[str], str | None, int | None]]:
        """One results call, on disk before it is read: a slow reader must not hold Salesforce's connection open."""
        params = {"maxRecords": str(self._results_max), **({"locator": locator} if locator else {})}
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES_MAX) as spool:
            with self._org.stream(f"{self._path(job)}/results", params, accept="text/csv") as reply:
                for piece in reply.pieces:
                    spool.write(piece)
                following = reply.headers.get("Sforce-Locator")
                count = reply.headers.get("Sforce-NumberOfRecords")
            spool.seek(0)
            text = io.TextIOWrapper(spool, encoding="utf-8-sig", newline="")
            yield text, following if following not in (None, "", "null") else None, int(count) if count else None
            text.detach()

    def _path(self, job: str) -> str:
        return self._org.path(f"jobs/query/{job}")
