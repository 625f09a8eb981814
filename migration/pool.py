"""Mapping on several cores: pages go out to processes, counts come back.

A few pages are under way at most, so memory stays flat.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import connection as mp_connection
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext

from domain.collecting import MAPPING, collect_rarely
from domain.errors import TransientError
from domain.records import Page
from migration.extract import Counts, ObjectJob, PageStager
from storage.database import Database

PARALLEL_FROM_ROWS = 50_000
"""Below this many records starting processes costs more than it brings."""

_database: Database | None = None
_stagers: dict[str, PageStager] = {}


def _start_worker(app_url: str) -> None:
    global _database
    collect_rarely(MAPPING)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _database = Database(app_url, pool_size=1)


def _end_with_parent() -> None:
    """A killed parent must not leave workers behind that go on writing."""
    parent = parent_process()
    if parent is not None:
        mp_connection.wait([parent.sentinel])
        os._exit(1)


_END_OF_VALUE, _END_OF_ROW = "\x1f", "\x1e"


def pack(page: Page) -> tuple[Page, str | None]:
    """``page`` for the way to another process: the rows of one that holds texts alone as a single text.

    Pickling a text costs little, and pickling a hundred thousand as much as mapping them.
    """
    try:
        packed = _END_OF_ROW.join([_END_OF_VALUE.join(row) for row in page.rows])
    except TypeError:  # numbers, blanks that were not sent
        return page, None
    values, rows = packed.count(_END_OF_VALUE), packed.count(_END_OF_ROW)
    if not page.fields or values != len(page.rows) * (len(page.fields) - 1) or rows != len(page.rows) - 1:
        return page, None  # a text holds such a character itself
    return replace(page, rows=[]), packed


def unpack(page: Page, packed: str | None) -> Page:
    """The page that was packed."""
    if packed is None:
        return page
    return replace(page, rows=[row.split(_END_OF_VALUE) for row in packed.split(_END_OF_ROW)])


def _work(job: ObjectJob, page: Page, packed: str | None, seq: int, first_row: int) -> Counts:
    assert _database is not None  # noqa: S101 - set by the initializer
    if job.object not in _stagers:
        _stagers.clear()  # objects come one after the other
        _stagers[job.object] = PageStager(_database, job)
    return _stagers[job.object].stage(unpack(page, packed), seq, first_row)


def _context() -> BaseContext:
    """Processes forked from a server that has imported everything once, where the system has that; else fresh ones."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["migration.pool", *_program()])
    return context


def _program() -> list[str]:
    """The program's own module, which each new process runs for its names: so what that imports is imported once as well."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return ["__main__"]
    return [] if spec.name.endswith("__main__") else [spec.name]


class MappingPool:
    """Stages pages here, or in ``processes`` processes that start when first needed and serve one object after the other."""

    def __init__(self, database: Database, app_url: str, processes: int) -> None:
        self._database, self._app_url, self._processes = database, app_url, processes
        self._pool: ProcessPoolExecutor | None = None
        self._thresholds = gc.get_threshold()

    def __enter__(self) -> MappingPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        gc.set_threshold(*self._thresholds)
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def stage(
        self, job: ObjectJob, pages: Iterable[tuple[Page, int, int]], expected: int, on_counts: Callable[[Counts], None]
    ) -> None:
        """Stage every (page, chunk number, first row) of an object of about ``expected`` records."""
        if self._processes == 0 or expected < PARALLEL_FROM_ROWS:
            stager = PageStager(self._database, job)
            for page, seq, first_row in pages:
                on_counts(stager.stage(page, seq, first_row))
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._processes, _context(), _start_worker, (self._app_url,))
            gc.set_threshold(MAPPING, 10, 10)  # the reader's pages are plain values, too
        under_way: deque[Future[Counts]] = deque()
        try:
            for page, seq, first_row in pages:
                under_way.append(self._pool.submit(_work, job, *pack(page), seq, first_row))
                if len(under_way) > self._processes + 1:
                    on_counts(under_way.popleft().result())
            while under_way:
                on_counts(under_way.popleft().result())
        except BrokenProcessPool as error:
            raise TransientError(
                "A mapping process ended unexpectedly (out of memory, or killed).",
                remedy="Everything staged so far is kept; run `syncline migrate resume`.",
            ) from error
