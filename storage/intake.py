"""Deliveries on their way into the inbox: many requests share one commit, and each hears of its own delivery after it.

Whatever was queued while the commits before ran goes into the next transaction; there is no timer to wait for. So one delivery on
an idle system costs one commit, and a thousand at once cost a few. A second transaction is sent before the first is answered, so
that the database goes on while this process reads requests. Each tenant's rows go in under that tenant's row-level security.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from domain.errors import RecordRejectedError, StorageFullError, SynclineError, TransientError
from domain.ids import new_id
from storage.database import driver_url
from storage.failures import domain_error
from storage.pipeline import Call, Oid, Pipeline, array, timestamp

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

log = logging.getLogger("syncline.intake")

BATCH_MOST = 1_000
BATCH_BYTES_MOST = 8 << 20
QUEUED_MOST = 10_000
QUEUED_BYTES_MOST = 64 << 20
UNDER_WAY_MOST = 2
"""Transactions sent and not yet answered; more of them are smaller ones, which cost more and are no sooner done."""
AT_ONCE = 8
"""So many that wait are sent without looking for more: the database writes them while the requests after them are read."""
COMMIT_WITHIN_S = 8.0
"""How long a commit may take before its connection is given up: vendors hang up after 3 to 10 seconds."""
ANSWER_WITHIN_S = 0.75
"""How long a sender waits by default; whoever is sent away then comes again, and the commit under way is not given up for it."""
REFUSED_FOR_S = 0.05
"""After a connection was refused, or a disk was full: so long deliveries are, too; a try each costs more than storing them."""
READ_FIRST_S = 0.005
"""Before anybody is told that it took too long: what has arrived meanwhile, unread because the process was busy, is read."""

NO_ID = UUID(int=0)
_STATEMENTS = {
    b"tenant": b"SELECT set_config('app.tenant_id', $1, true)",
    b"insert": b"""
        INSERT INTO inbox (tenant_id, id, endpoint_id, dedupe_key, occurred_at, headers, body, traceparent)
        SELECT $1::uuid, d.id, d.endpoint_id, d.dedupe_key, d.occurred_at, d.headers::jsonb, d.body, d.traceparent
        FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::bytea[], $8::text[])
            AS d(id, endpoint_id, dedupe_key, occurred_at, headers, body, traceparent)
        ON CONFLICT (tenant_id, endpoint_id, dedupe_key) DO NOTHING
        RETURNING id""",
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


Told = Callable[[Collection[tuple[UUID, UUID]]], None]
Outcome = bool | SynclineError
"""What became of a delivery: stored (True), there already (False), or not stored."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A delivery and who hears of its commit. ``id`` is given when its turn comes, so that ids grow in the order of arrival."""

    delivery: Delivery
    tell: Callable[[Outcome], None]
    due: float
    """When it is told at the latest, by the loop's clock."""
    id: UUID = NO_ID
    told: bool = False


class InboxWriter:
    """Writes deliveries on a connection of its own. All of it belongs to one event loop.

    ``url``: that of a `Database`, which acts as the application role.
    ``on_stored`` hears, after each commit, the (tenant, endpoint) pairs that have something new;
    it must not block.
    ``answer_within_s``: longer nobody waits to hear what became of a delivery. Once somebody had to be told that it took too long,
    deliveries are refused at once, until the database answers: the commit under way, or a connection made for that.
    """

    def __init__(self, url: str, *, on_stored: Told = lambda _: None, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._url, self._on_stored, self._answer_within_s = url, on_stored, answer_within_s
        self._queue: list[_Waiting] = []
        self._untold: deque[_Waiting] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._silent = False
        self._refused: tuple[float, BaseException] = 0.0, Exception()
        """Until when deliveries are refused, and why."""
        self._queued_bytes = 0
        self._last_id = 0
        self._under_way = 0
        self._soon = self._closing = False
        self._connecting: asyncio.Task[None] | None = None
        self._pipeline: Pipeline | None = None
        self._idle: asyncio.Event | None = None

    async def store(self, delivery: Delivery) -> bool:
        """Return once the delivery is committed: True, or False where it was there already.

        Raises what `put` raises and tells.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def tell(outcome: Outcome) -> None:
            if done.done():
                return
            if isinstance(outcome, SynclineError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

        self.put(delivery, tell)
        return await done

    def put(self, delivery: Delivery, tell: Callable[[Outcome], None]) -> None:
        """Store a delivery; ``tell`` hears once what became of it, and must not block.

        Raises TransientError: too much is waiting, or the database does not answer; StorageFullError: its disk was full just now.
        It hears True or False once the delivery is committed; or TransientError (database away) and StorageFullError: it may or may
        not have been stored and has to be sent again; or RecordRejectedError: it never can be.
        """
        if self._closing or len(self._queue) >= QUEUED_MOST or self._queued_bytes >= QUEUED_BYTES_MOST:
            raise TransientError("Too many deliveries are waiting to be stored.", code="intake_busy", retry_after_s=5)
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._silent:
            raise _silence()
        if now < self._refused[0]:
            raise _meaning(self._refused[1])
        waiting = _Waiting(delivery, tell, now + self._answer_within_s)
        self._queue.append(waiting)
        self._untold.append(waiting)
        if self._watch is None:
            self._watch = loop.call_at(waiting.due, self._look)
        self._queued_bytes += len(delivery.body)
        if len(self._queue) >= AT_ONCE:
            self._send_queued()
        elif not self._soon:
            self._soon = True
            loop.call_soon(self._send_soon)

    async def close(self) -> None:
        """Store what is queued, then close the connection."""
        self._closing = True
        self._idle = asyncio.Event()
        self._note_idle()
        await self._idle.wait()
        self._drop()
        if self._watch is not None:
            self._watch.cancel()

    def _note_idle(self) -> None:
        if self._idle is not None and not self._queue and not self._under_way and self._connecting is None:
            self._idle.set()

    # ---------------------------------------------------------------- sending

    def _send_soon(self) -> None:
        self._soon = False
        self._send_queued()

    def _send_queued(self) -> None:
        while self._queue and self._under_way < UNDER_WAY_MOST:
            if self._pipeline is None:
                if self._connecting is None:
                    self._connecting = asyncio.create_task(self._connect(), name="inbox writer")
                return
            self._send(self._take())
        self._note_idle()

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

    def _send(self, batch: list[_Waiting]) -> None:
        """Send a batch as one transaction. Everyone in it gets an answer, whatever happens to the database meanwhile."""
        pipeline = self._pipeline
        try:
            if pipeline is None:
                raise psycopg.OperationalError("the connection was given up")  # one answer for both
            heard = pipeline.send(_calls(batch))
        except Exception as error:
            self._drop()
            self._failed(batch, _meaning(error))
            return
        timer = asyncio.get_running_loop().call_later(COMMIT_WITHIN_S, self._late)
        self._under_way += 1
        heard.add_done_callback(partial(self._heard, batch, pipeline, timer))

    # ---------------------------------------------------------------- waiting too long

    def _look(self) -> None:
        """Is anybody waiting too long? What may have arrived is read before they are told so."""
        loop = asyncio.get_running_loop()
        self._forget_told()
        if not self._untold:
            self._watch = None
        elif self._untold[0].due > loop.time():
            self._watch = loop.call_at(self._untold[0].due, self._look)
        else:
            self._watch = loop.call_later(READ_FIRST_S, self._tell_late)

    def _tell_late(self) -> None:
        """Send those away who wait too long: what is under way may still be stored, what is queued will not be."""
        now, late = asyncio.get_running_loop().time(), list[_Waiting]()
        self._forget_told()
        while self._untold and self._untold[0].due <= now:
            late.append(self._untold.popleft())
        if late:
            self._silent = True
            self._failed(late, _silence())
            count = next((n for n, waiting in enumerate(self._queue) if not waiting.told), len(self._queue))
            self._queued_bytes -= sum(len(waiting.delivery.body) for waiting in self._queue[:count])
            del self._queue[:count]
        self._look()
        self._note_idle()

    def _forget_told(self) -> None:
        while self._untold and self._untold[0].told:
            self._untold.popleft()

    def _ask_again(self) -> None:
        """A silent database is asked by a connection of nobody's, so that nobody has to wait for the next try."""
        if self._silent and self._pipeline is None and self._connecting is None and not self._closing:
            self._connecting = asyncio.create_task(self._connect(), name="inbox writer")

    # ---------------------------------------------------------------- hearing

    def _heard(
        self,
        batch: list[_Waiting],
        pipeline: Pipeline,
        timer: asyncio.TimerHandle,
        heard: asyncio.Future[list[PGresult]],
    ) -> None:
        self._under_way -= 1
        timer.cancel()
        error = heard.exception()
        if self._pipeline is pipeline:  # an answer, be it an error; what is given up was none
            self._silent = False
        if error is None:
            self._committed(batch, heard.result())
        elif isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.ProgrammingError):
            self._halve(batch, error)
        else:
            meaning = _meaning(error)
            if isinstance(meaning, StorageFullError):  # the connection is none the worse for it
                self._refuse(error)
            elif self._pipeline is pipeline:
                self._drop()
            self._failed(batch, meaning)
        self._send_queued()

    def _committed(self, batch: list[_Waiting], results: Sequence[PGresult]) -> None:
        inserted = results[1::2]
        stored = {result.get_value(row, 0) for result in inserted for row in range(result.ntuples)}
        fresh = [waiting.id.bytes in stored for waiting in batch]
        pairs = zip(batch, fresh, strict=True)
        try:
            self._on_stored({(w.delivery.tenant_id, w.delivery.endpoint_id) for w, new in pairs if new})
        except Exception:  # a hint that is not given: a sweep finds what is stored
            log.exception("nobody was told of what was stored")
        for waiting, new in zip(batch, fresh, strict=True):
            _tell(waiting, new)
        self._forget_told()

    def _halve(self, batch: list[_Waiting], error: psycopg.Error) -> None:
        """What the database refuses is found by halving: it fails alone."""
        if len(batch) == 1:
            log.error("a delivery cannot be stored", extra={"endpoint": batch[0].delivery.endpoint_id})
            refused = RecordRejectedError(
                "The database refuses this delivery.",
                remedy="Report it with the id of the endpoint.",
                code="delivery_refused",
                context={"sqlstate": error.sqlstate},
            )
            _tell(batch[0], refused)
            return
        middle = len(batch) // 2
        self._send(batch[:middle])
        self._send(batch[middle:])

    def _failed(self, batch: list[_Waiting], meaning: SynclineError) -> None:
        if batch:
            log.warning("deliveries were not stored", extra={"code": meaning.code, "count": len(batch)})
        for waiting in batch:
            _tell(waiting, meaning)
        self._forget_told()

    def _late(self) -> None:
        """The server does not answer: the connection is given up, whatever became of the commits, and whoever waits is told so."""
        self._drop()
        self._fail_queued(_silence())
        self._ask_again()

    def _fail_queued(self, meaning: SynclineError) -> None:
        queued, self._queue, self._queued_bytes = self._queue, [], 0
        self._failed(queued, meaning)

    def _refuse(self, error: BaseException) -> None:
        self._refused = asyncio.get_running_loop().time() + REFUSED_FOR_S, error

    # ---------------------------------------------------------------- the connection

    async def _connect(self) -> None:
        """Connect, then send what waits; or tell everyone who waits that the database is away. A silent one is asked again."""
        silent = False
        try:
            async with asyncio.timeout(COMMIT_WITHIN_S):
                await self._connected()
        except (TimeoutError, psycopg.errors.ConnectionTimeout):
            silent = True
            self._fail_queued(_silence())
        except Exception as error:
            self._refuse(error)
            self._fail_queued(_meaning(error))
        finally:
            self._connecting = None
        self._silent = silent
        self._send_queued()
        self._ask_again()

    async def _connected(self) -> Pipeline:
        if self._pipeline is None:
            conn = await psycopg.AsyncConnection.connect(
                driver_url(self._url), autocommit=True, connect_timeout=5, application_name="syncline intake"
            )
            try:
                await conn.execute("SELECT set_config('synchronous_commit', 'on', false)")
                await conn.execute("SELECT set_config('statement_timeout', '8s', false)")
                pipeline = Pipeline(conn, self._lost)
            except BaseException:
                conn.pgconn.finish()
                raise
            try:
                await pipeline.prepare(_STATEMENTS)
            except BaseException:
                pipeline.close()
                raise
            self._pipeline = pipeline
        return self._pipeline

    def _lost(self) -> None:
        self._pipeline = None
        self._silent = False  # whether it can be reached, the next connection tells

    def _drop(self) -> None:
        """Give the connection up, whatever becomes of what is under way on it."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close()


def _silence() -> TransientError:
    return TransientError("The database does not answer.", code="database_unavailable", retry_after_s=1)


def _meaning(error: BaseException) -> TransientError | StorageFullError:
    """Why a delivery was not stored; whatever it is, its sender may come again."""
    meaning = domain_error(error) if isinstance(error, psycopg.Error) else None
    if isinstance(meaning, TransientError | StorageFullError):
        return meaning
    if meaning is None:
        log.error("deliveries cannot be stored", exc_info=error)
    return TransientError("The delivery could not be stored.", code="intake_busy", retry_after_s=5)


def _tell(waiting: _Waiting, outcome: Outcome) -> None:
    if waiting.told:
        return
    waiting.told = True
    try:
        waiting.tell(outcome)
    except Exception:  # of one who listens, and no other's
        log.exception("nobody could be told what became of a delivery")


def _calls(batch: Iterable[_Waiting]) -> list[Call]:
    calls: list[Call] = []
    for tenant, group in _by_tenant(batch):
        calls += [(b"tenant", [str(tenant).encode()]), (b"insert", _columns(tenant, group))]
    return calls


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
