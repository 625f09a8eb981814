"""Prepared statements sent in one go, straight on libpq: a batch a round trip, at a fraction of what a cursor each costs.

For the one place where that share is most of the work: `storage.intake`. Everything else goes through SQLAlchemy.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

Call = tuple[bytes, Sequence[bytes | None]]
"""A prepared statement by its name, and its parameters in PostgreSQL's binary format."""

_FINE: Final = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})
_LENGTH: Final = struct.Struct("!i").pack
_HEADER: Final = struct.Struct("!iiIii").pack
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Oid(IntEnum):
    """Types of array elements, by their numbers in PostgreSQL."""

    BYTEA = 17
    TEXT = 25
    TIMESTAMPTZ = 1184
    UUID = 2950


class Pipeline:
    """Sends batches on a connection that nobody else uses, from its event loop; a next one may go before the last is answered.

    A batch is a transaction of its own, which PostgreSQL begins and ends by itself: its results are there once it is committed.
    Batches run in the order in which they were sent. ``on_lost`` hears that the connection ended by itself, whether anything was
    under way or not.
    """

    def __init__(self, conn: psycopg.AsyncConnection[Any], on_lost: Callable[[], None] = lambda: None) -> None:
        self._conn = conn  # which would close itself if nobody held it
        self._pgconn, self._socket = conn.pgconn, conn.pgconn.socket
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._under_way: deque[asyncio.Future[list[PGresult]]] = deque()
        self._results: list[PGresult] = []
        self._writing = self._closed = False
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._readable)

    async def prepare(self, statements: Mapping[bytes, bytes]) -> None:
        """Prepare statements under their names. Raises psycopg.Error."""
        for name, query in statements.items():
            self._pgconn.send_prepare(name, query)
        await self._sent()

    async def run(self, calls: Iterable[Call]) -> list[PGresult]:
        """The results of ``calls``, as `send` promises them. Raises psycopg.Error."""
        return await self.send(calls)

    def send(self, calls: Iterable[Call]) -> asyncio.Future[list[PGresult]]:
        """The results of ``calls``, binary, in their order, once they are committed; psycopg.Error for the first that failed, or
        for the commit: then none of them happened. Raises psycopg.Error when the connection is lost already."""
        for name, parameters in calls:
            formats = [pq.Format.BINARY] * len(parameters)
            self._pgconn.send_query_prepared(name, parameters, formats, result_format=pq.Format.BINARY)
        return self._sent()

    def close(self) -> None:
        """Give the connection up at once, whatever becomes of what is under way on it."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._pgconn.finish()
        self._fail(psycopg.OperationalError("the connection was given up"))

    def _sent(self) -> asyncio.Future[list[PGresult]]:
        self._pgconn.pipeline_sync()
        heard: asyncio.Future[list[PGresult]] = self._loop.create_future()
        self._under_way.append(heard)
        if self._pgconn.flush() and not self._writing:
            self._writing = True
            self._loop.add_writer(self._socket, self._writable)
        return heard

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while self._under_way and not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:  # between two statements
                    if self._pgconn.status != pq.ConnStatus.OK:
                        raise psycopg.OperationalError("the connection is lost")
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._heard()
                    continue
                self._results.append(result)
                if self._pgconn.status != pq.ConnStatus.OK:
                    raise error_from_result(result)
        except psycopg.Error as error:
            self._lost(error)

    def _writable(self) -> None:
        try:
            if not self._pgconn.flush():
                self._writing = False
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._lost(error)

    def _heard(self) -> None:
        """The oldest batch under way is answered to its end."""
        results, self._results = self._results, []
        heard = self._under_way.popleft()
        if heard.done():
            return
        wrong = next((result for result in results if result.status not in _FINE), None)
        if wrong is None:
            heard.set_result(results)
        else:
            heard.set_exception(error_from_result(wrong))

    def _lost(self, error: psycopg.Error) -> None:
        self._fail(error)
        self.close()
        self._on_lost()

    def _fail(self, error: psycopg.Error) -> None:
        while self._under_way:
            heard = self._under_way.popleft()
            if not heard.done():
                heard.set_exception(error)


def array(oid: Oid, items: Sequence[bytes | None]) -> bytes:
    """A one-dimensional array in binary format; its items, too."""
    pieces = [_HEADER(1, int(None in items), oid, len(items), 1)]
    for item in items:
        pieces += (_NULL,) if item is None else (_LENGTH(len(item)), item)
    return b"".join(pieces)


def timestamp(moment: datetime | None) -> bytes | None:
    """A moment with a zone in binary format."""
    return None if moment is None else ((moment - _EPOCH) // _MICROSECOND).to_bytes(8, "big", signed=True)
