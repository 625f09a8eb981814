"""Mapping on several cores: pages go out to processes, counts come back. A few pages are under way at most, so memory stays flat."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection as mp_connection
from multiprocessing import get_context, parent_process

from domain.errors import TransientError
from domain.records import Page
from migration.extract import Counts, ObjectJob, PageStager
from storage.database import Database

PARALLEL_FROM_ROWS = 50_000
"""Below this many records starting processes costs more than it brings."""

_stager: PageStager | None = None


def _start_worker(app_url: str, job: ObjectJob) -> None:
    global _stager
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _stager = PageStager(Database.connect(app_url, pool_size=1), job)


def _end_with_parent() -> None:
    """A killed parent must not leave workers behind that go on writing."""
    parent = parent_process()
    if parent is not None:
        mp_connection.wait([parent.sentinel])
        os._exit(1)


def _work(page: Page, seq: int, first_row: int) -> Counts:
    assert _stager is not None  # noqa: S101 - set by the initializer
    return _stager.stage(page, seq, first_row)


def stage_pages(database: Database, app_url: str, job: ObjectJob, pages: Iterable[tuple[Page, int, int]], *,
                processes: int, on_counts: Callable[[Counts], None]) -> None:
    """Stage every (page, chunk number, first row). ``processes`` 0: here and now, without any."""
    if processes == 0:
        stager = PageStager(database, job)
        for page, seq, first_row in pages:
            on_counts(stager.stage(page, seq, first_row))
        return
    under_way: deque[Future[Counts]] = deque()
    with ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (app_url, job)) as pool:
        try:
            for page, seq, first_row in pages:
                under_way.append(pool.submit(_work, page, seq, first_row))
                if len(under_way) > processes + 1:
                    on_counts(under_way.popleft().result())
            while under_way:
                on_counts(under_way.popleft().result())
        except BrokenProcessPool as error:
            raise TransientError("A mapping process ended unexpectedly (out of memory, or killed).",
                                 remedy="Everything staged so far is kept; run `syncline migrate resume`.") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
