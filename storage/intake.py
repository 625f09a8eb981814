"""Deliveries on their way into the inbox: many requests share one commit, and each hears of its own delivery after it.

Whatever was queued while the commit before ran goes into the next transaction; there is no timer to wait for. So one delivery on
an idle system costs one commit, and a thousand at once cost a few. Each tenant's rows go in under that tenant's row-level security.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from domain.errors import RecordRejectedError, StorageFullError, SynclineError, TransientError
from domain.ids import new_id
from storage.database import driver_url
from storage.failures import domain_error
from storage.pipeline import Call, Oid, Pipeline, array, timestamp

log = logging.getLogger("syncline.intake")

BATCH_MOST = 1_000
BATCH_BYTES_MOST = 8 << 20
QUEUED_MOST = 10_000
QUEUED_BYTES_MOST = 64 << 20
COMMIT_WITHIN_S = 8.0
"""How long a commit may take: vendors hang up after 3 to 10 seconds, and a delivery that nobody waits for is sent again."""

NO_ID = UUID(int=0)
_STATEMENTS = {
    b"begin": b"BEGIN",
    b"tenant": b"SELECT set_config('app.tenant_id', $1, true)",
    b"insert": b"""
        INSERT INTO inbox (tenant_id, id, endpoint_id, dedupe_key, occurred_at, headers, body, traceparent)
        SELECT $1::uuid, d.id, d.endpoint_id, d.dedupe_key, d.occurred_at, d.headers::jsonb, d.body, d.traceparent
        FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::bytea[], $8::text[])
            AS d(id, endpoint_id, dedupe_key, occurred_at, headers, body, traceparent)
        ON CONFLICT (tenant_id, endpoint_id, dedupe_key) DO NOTHING
        RETURNING id""",
    b"commit": b"COMMIT",
    b"rollback": b"ROLLBACK",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was verified and is to be kept. ``headers``: JSON text or None; ``dedupe_key`` is the same when it is sent again."""

    tenant_id: UUID
    endpoint_id: UUID
    dedupe_key: str
    body: bytes
    headers: str | None = None
    occurred_at: datetime | None = None
    traceparent: str | None = None


@dataclass(slots=True, eq=False)
class _Waiting:
    """A delivery and who waits for its commit. ``id`` is given when its turn comes, so that ids grow in the order of arrival."""

    delivery: Delivery
    done: asyncio.Future[bool]
    id: UUID = NO_ID

    def settle(self, stored: bool) -> None:
        if not self.done.done():
            self.done.set_result(stored)

    def fail(self, error: SynclineError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


Told = Callable[[Collection[tuple[UUID, UUID]]], None]


class InboxWriter:
    """Writes deliveries on a connection of its own. All of it belongs to one event loop.

    ``url``: that of a `Database`, which acts as the application role.
    ``on_stored`` hears, after each commit, the (tenant, endpoint) pairs that have something new;
    it must not block.
    """

    def __init__(self, url: str, *, on_stored: Told = lambda _: None) -> None:
        self._url, self._on_stored = url, on_stored
        self._queue: list[_Waiting] = []
        self._queued_bytes = 0
        self._last_id = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._conn: psycopg.AsyncConnection[Any] | None = None
        self._pipeline: Pipeline | None = None
        self._closing = False

    async def store(self, delivery: Delivery) -> bool:
        """Return once the delivery is committed: True, or False where it was there already.

        Raises TransientError (database away, or too much is waiting) and StorageFullError: it may or may not have been stored and
        has to be sent again; RecordRejectedError: it never can be.
        """
        if self._closing or len(self._queue) >= QUEUED_MOST or self._queued_bytes >= QUEUED_BYTES_MOST:
            raise TransientError("Too many deliveries are waiting to be stored.", code="intake_busy", retry_after_s=5)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="inbox writer")
        waiting = _Waiting(delivery, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued_bytes += len(delivery.body)
        self._wake.set()
        return await waiting.done

    async def close(self) -> None:
        """Store what is queued, then close the connection."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._drop()

    async def _run(self) -> None:
        while self._queue or not self._closing:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._write_in_time(self._take())

    def _take(self) -> list[_Waiting]:
        size = count = 0
        for waiting in self._queue[:BATCH_MOST]:
            size += len(waiting.delivery.body)
            count += 1
            if size >= BATCH_BYTES_MOST:
                break
        batch = self._queue[:count]
        del self._queue[:count]
        self._queued_bytes -= size
        first = max(new_id().int, self._last_id + 1)
        for self._last_id, waiting in enumerate(batch, first):
            waiting.id = UUID(int=self._last_id)
        return batch

    async def _write_in_time(self, batch: list[_Waiting]) -> None:
        """Write a batch, and give everyone an answer whatever happens to the database meanwhile."""
        writing = asyncio.create_task(self._write_all(batch))
        await asyncio.wait({writing}, timeout=COMMIT_WITHIN_S)
        if writing.done():
            return
        # The server does not answer: whoever waits is told so now, and the connection is given up, whatever became of the commit.
        writing.cancel()
        self._drop()
        error = TransientError("The database does not answer.", code="database_unavailable", retry_after_s=5)
        everyone, self._queue, self._queued_bytes = [*batch, *self._queue], [], 0
        _fail_all(everyone, error)

    async def _write_all(self, batch: list[_Waiting]) -> None:
        """Write a batch in one transaction. What the database refuses is found by halving: it fails alone."""
        try:
            stored = await self._write(batch)
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
            await self._halve(batch, error)
        except psycopg.Error as error:
            self._drop()
            meaning = domain_error(error)
            log.warning("a batch of deliveries was not stored", extra={"code": getattr(meaning, "code", "bug")})
            _fail_all(batch, _to_send_again(meaning))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a batch of deliveries was not stored")
            self._drop()
            _fail_all(batch, TransientError("The delivery could not be stored.", code="intake_busy", retry_after_s=5))
        else:
            self._on_stored({(w.delivery.tenant_id, w.delivery.endpoint_id) for w in batch if w.id in stored})
            for waiting in batch:
                waiting.settle(waiting.id in stored)

    async def _halve(self, batch: list[_Waiting], error: psycopg.Error) -> None:
        if len(batch) == 1:
            log.error("a delivery cannot be stored", extra={"endpoint": batch[0].delivery.endpoint_id})
            batch[0].fail(
                RecordRejectedError(
                    "The database refuses this delivery.",
                    remedy="Report it with the id of the endpoint.",
                    code="delivery_refused",
                    context={"sqlstate": error.sqlstate},
                )
            )
            return
        middle = len(batch) // 2
        await self._write_all(batch[:middle])
        await self._write_all(batch[middle:])

    async def _write(self, batch: Sequence[_Waiting]) -> set[UUID]:
        """One transaction, sent in one go; the ids of those that were not there already."""
        pipeline = await self._connected()
        calls: list[Call] = [(b"begin", ())]
        for tenant, group in _by_tenant(batch):
            calls += [(b"tenant", [str(tenant).encode()]), (b"insert", _columns(tenant, group))]
        calls.append((b"commit", ()))
        try:
            results = await pipeline.run(calls)
        except psycopg.Error as error:
            if error.sqlstate is not None:  # otherwise there is no connection any more
                await pipeline.run([(b"rollback", ())])
            raise
        if results[-1].command_status != b"COMMIT":
            raise psycopg.OperationalError("the transaction was not committed")
        inserted = results[2:-1:2]
        return {UUID(bytes=result.get_value(row, 0)) for result in inserted for row in range(result.ntuples)}

    async def _connected(self) -> Pipeline:
        if self._pipeline is None:
            self._conn = await psycopg.AsyncConnection.connect(
                driver_url(self._url), autocommit=True, connect_timeout=5, application_name="syncline intake"
            )
            await self._conn.execute("SELECT set_config('synchronous_commit', 'on', false)")
            await self._conn.execute("SELECT set_config('statement_timeout', '8s', false)")
            pipeline = Pipeline(self._conn)
            await pipeline.prepare(_STATEMENTS)
            self._pipeline = pipeline
        return self._pipeline

    def _drop(self) -> None:
        """Give the connection up, whatever becomes of what is under way on it."""
        conn, self._conn = self._conn, None
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close()
        elif conn is not None:
            conn.pgconn.finish()


def _by_tenant(batch: Iterable[_Waiting]) -> list[tuple[UUID, list[_Waiting]]]:
    groups: defaultdict[UUID, list[_Waiting]] = defaultdict(list)
    for waiting in batch:
        groups[waiting.delivery.tenant_id].append(waiting)
    return sorted(groups.items())  # in one order for everyone, so that two writers cannot wait for each other


def _columns(tenant: UUID, group: Sequence[_Waiting]) -> list[bytes]:
    # Keys in one order for everyone, so that two writers cannot wait for each other.
    ordered = sorted(group, key=lambda w: (w.delivery.endpoint_id, w.delivery.dedupe_key, w.id))
    deliveries = [w.delivery for w in ordered]
    return [
        tenant.bytes,
        array(Oid.UUID, [w.id.bytes for w in ordered]),
        array(Oid.UUID, [d.endpoint_id.bytes for d in deliveries]),
        array(Oid.TEXT, [d.dedupe_key.encode() for d in deliveries]),
        array(Oid.TIMESTAMPTZ, [timestamp(d.occurred_at) for d in deliveries]),
        array(Oid.TEXT, [None if d.headers is None else d.headers.encode() for d in deliveries]),
        array(Oid.BYTEA, [d.body for d in deliveries]),
        array(Oid.TEXT, [None if d.traceparent is None else d.traceparent.encode() for d in deliveries]),
    ]


def _to_send_again(meaning: SynclineError | None) -> SynclineError:
    if isinstance(meaning, TransientError | StorageFullError):
        return meaning
    return TransientError("The delivery could not be stored.", code="intake_busy", retry_after_s=5)


def _fail_all(batch: Iterable[_Waiting], error: SynclineError) -> None:
    for waiting in batch:
        waiting.fail(error)
