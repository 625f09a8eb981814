"""A worker's side of a hint: one pass over one lane, and a note of how it ended."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from opentelemetry.trace import Span, SpanKind

from bootstrap import privacy
from bootstrap.logs import log_context
from bootstrap.metrics import count_error
from bootstrap.settings import Settings
from bootstrap.syncing import Syncs
from bootstrap.wiring import Hub
from domain.errors import SynclineError, TransientError
from storage import scheduling
from storage.scheduling import Standing
from storage.tracing import CAUSES_MOST, enabled, note_error, span
from sync_engine.core.recovery import backoff_s
from sync_engine.engine import Report
from sync_engine.engine import Settings as EngineSettings
from sync_engine.ports import Lane, LeaseLostError
from workers.actors import Hint

log = logging.getLogger("syncline.workers")

OPENED_MOST = 16
OPENED_FOR_S = 600.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Opened:
    """The connectors of one tenant as a thread holds them open, and the rules they were opened by."""

    hub: Hub
    syncs: Syncs
    since: float
    stamps: dict[tuple[UUID, str], str] = field(default_factory=dict)


class OpenedHere:
    """What this thread holds open, the last used last. Another thread may only close it, once this one has ended."""

    def __init__(self, hub: Hub, engine: EngineSettings, clock: Clock) -> None:
        self._hub, self._engine, self._clock = hub, engine, clock
        self._by_tenant: OrderedDict[UUID, Opened] = OrderedDict()

    def get(self, hint: Hint, stamp: str) -> Opened:
        """The tenant's connectors; opened anew when its rules changed, and now and then, for schemas change without a word."""
        known = self._by_tenant.get(hint.tenant_id)
        lane = (hint.connection_id, hint.object)
        if known is not None and (
            known.stamps.get(lane, stamp) != stamp or time.monotonic() - known.since > OPENED_FOR_S
        ):
            self.drop(hint.tenant_id)
            known = None
        if known is None:
            known = self._by_tenant[hint.tenant_id] = self._open(hint.tenant_id)
        known.stamps[lane] = stamp
        self._by_tenant.move_to_end(hint.tenant_id)
        while len(self._by_tenant) > OPENED_MOST:
            self.drop(next(iter(self._by_tenant)))
        return known

    def _open(self, tenant_id: UUID) -> Opened:
        hub = self._hub.of(tenant_id)
        return Opened(hub, Syncs(hub, self._engine, clock=self._clock), time.monotonic())

    def drop(self, tenant_id: UUID) -> None:
        """Close what is held open for a tenant."""
        known = self._by_tenant.pop(tenant_id, None)
        if known is not None:
            known.syncs.close()

    def close(self) -> None:
        for tenant_id in list(self._by_tenant):
            self.drop(tenant_id)


class Passes:
    """Runs passes for worker threads. ``more_urgent`` says whether a message of a lower priority number waits in this process."""

    def __init__(self, hub: Hub, *, clock: Clock = utc_now, jitter: Callable[[], float] = random.random) -> None:
        self._hub, self._clock, self._jitter = hub, clock, jitter
        self.settings: Settings = hub.settings
        self.stopping = threading.Event()
        self.more_urgent: Callable[[int], bool] = lambda _: False
        self.after_pass: Callable[[UUID], None] = lambda _: None
        self.counts: Counter[str] = Counter()
        self.under_way = 0
        self._lock = threading.Lock()
        self._local = threading.local()
        self._all: list[OpenedHere] = []

    # ------------------------------------------------------------ a pass

    def run_lane(self, hint: Hint) -> None:
        """One pass. Raises nothing: how it ended stands in the database, where the next sweep finds what is left to do."""
        if self.stopping.is_set():
            return
        lane = hint.tenant_id, hint.connection_id, hint.object
        about = {"connection": str(hint.connection_id), "object": hint.object}
        with self._counted(), log_context(tenant=str(hint.tenant_id), **about):
            try:
                self._run(hint)
            except LeaseLostError:
                # This worker was taken for dead. Whoever took over goes on; nothing of ours was committed since.
                self._note("taken over")
            except SynclineError as error:
                self._note("failed", error.code)
                count_error(*lane, error.code)
                self._fail(hint, 0.0)
            except Exception:
                log.exception("a pass ended in a bug")
                count_error(*lane, "bug")
                self.counts["failed"] += 1
                self._fail(hint, 0.0)

    def _run(self, hint: Hint) -> None:
        standing = self._standing(hint)
        if standing is None or (hint.generation is not None and standing.generation != hint.generation):
            self.counts["seen to"] += 1
            return
        started = self._clock()
        lane = Lane(hint.tenant_id, hint.connection_id, hint.object)
        with self._traced(hint) as current:
            opened = self._here().get(hint, standing.stamp)
            report = opened.syncs.run_lane(lane, poll=hint.poll, compare=hint.compare, over=self._turn(hint))
            if report.error is not None:
                note_error(current, report.error)
        self._end(hint, report, standing, started)
        self._note_quota(hint, opened.hub)
        if report.error is not None:
            self._here().drop(hint.tenant_id)
        if report.more and not self.stopping.is_set():
            self.after_pass(hint.tenant_id)

    def _traced(self, hint: Hint) -> AbstractContextManager[Span]:
        """The pass as a span: of the trace that caused it, or linked to those that did."""
        causes: list[str] = []
        if enabled():
            with self._hub.db.tenant(hint.tenant_id) as conn:
                causes = scheduling.causes(conn, hint.connection_id, hint.object, CAUSES_MOST)
        ids = {"tenant": str(hint.tenant_id), "connection": str(hint.connection_id), "object": hint.object}
        return span("lane", causes=causes, kind=SpanKind.CONSUMER, hint=str(hint.kind), **ids)

    def _standing(self, hint: Hint) -> Standing | None:
        with self._hub.db.tenant(hint.tenant_id) as conn:
            return scheduling.standing(conn, hint.connection_id, hint.object)

    def _turn(self, hint: Hint) -> Callable[[], bool]:
        """Whether a pass has to make room: this worker stops, its time is up, or something more urgent waits."""
        end = time.monotonic() + self.settings.slice_s

        def over() -> bool:
            return self.stopping.is_set() or time.monotonic() >= end or self.more_urgent(hint.kind.urgency)

        return over

    # ------------------------------------------------------------ its end

    def _end(self, hint: Hint, report: Report, standing: Standing, started: datetime) -> None:
        if report.stopped == "busy":
            self.counts["busy"] += 1
            return
        if report.error is not None:
            self._note("failed", report.error.code)
            count_error(hint.tenant_id, hint.connection_id, hint.object, report.error.code)
            if report.retry_after_s:
                self._fail(hint, _delay_s(report, standing.failures + 1, self._jitter()))
            return
        self.counts["passes"] += 1
        complete = hint.poll and not report.more and not report.stopped
        compare_at = self._clock() + timedelta(seconds=self.settings.compare_every_s) if hint.compare else None
        with self._hub.db.tenant(hint.tenant_id) as conn:
            scheduling.ended_well(
                conn,
                hint.connection_id,
                hint.object,
                polled_at=started if complete else None,
                compare_at=compare_at,
            )

    def _fail(self, hint: Hint, delay_s: float) -> None:
        """Hold the lane back. Without a database there is nothing to note, and nobody who would read it."""
        with suppress(SynclineError), self._hub.db.tenant(hint.tenant_id) as conn:
            if not delay_s:
                standing = scheduling.standing(conn, hint.connection_id, hint.object)
                delay_s = backoff_s(1 if standing is None else standing.failures + 1, self._jitter())
            until = self._clock() + timedelta(seconds=delay_s)
            scheduling.hold_back(conn, hint.connection_id, hint.object, until)

    def _note_quota(self, hint: Hint, hub: Hub) -> None:
        quota = hub.quotas.pop(hint.connection_id, None)
        if quota is not None:
            with self._hub.db.tenant(hint.tenant_id) as conn:
                scheduling.note_quota(conn, hint.connection_id, *quota, self._clock())

    def _note(self, what: str, code: str = "") -> None:
        self.counts[what] += 1
        log.warning("pass: %s", what, extra={"code": code})

    # ------------------------------------------------------------ jobs, and what threads hold

    def purge(self, tenant_id: UUID) -> None:
        """Delete what the tenant keeps no longer: settled dead letters, jobs that ended, and what else it chose."""
        with suppress(TransientError):
            gone = privacy.purge(self._hub, tenant_id, self._clock())
            self.counts["letters purged"] += gone.get("dead_letters", 0)

    def close(self) -> None:
        """Close every connector that the threads of this worker held open. Only when they have ended."""
        with self._lock:
            while self._all:
                self._all.pop().close()

    def _here(self) -> OpenedHere:
        known: OpenedHere | None = getattr(self._local, "opened", None)
        if known is None:
            engine = EngineSettings(lease_for=timedelta(seconds=self.settings.lease_s))
            known = self._local.opened = OpenedHere(self._hub, engine, self._clock)
            with self._lock:
                self._all.append(known)
        return known

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self.under_way -= 1


def _delay_s(report: Report, failures: int, jitter: float) -> float:
    """The vendor's own word, or longer each time."""
    said = report.error.retry_after_s if isinstance(report.error, TransientError) else None
    return said or max(report.retry_after_s, backoff_s(failures, jitter))
