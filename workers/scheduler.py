"""Finds what is due and tells the workers. It holds nothing itself: what was told, and when, stands beside the lanes."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from bootstrap.wiring import Hub
from domain.errors import SynclineError
from storage import connection_alerts, inbox, jobs, relaying, scheduling
from storage.scheduling import Waiting
from workers.actors import Hint
from workers.broker import UNREACHABLE, unreachable
from workers.fairness import Kind, choose, in_turn
from workers.passes import Clock, utc_now

log = logging.getLogger("syncline.workers")

JOBS_EVERY_S = 3600.0
HEALTH_EVERY = timedelta(minutes=1)


class Scheduler:
    """``send`` tells the workers of a lane, ``send_purge`` of a tenant whose old rows may go, ``send_job`` of long work,
    ``send_events`` of a tenant that has news to tell.

    Any number may run at once: one at a time looks at a tenant, and what one has told the others see.
    """

    def __init__(
        self,
        hub: Hub,
        send: Callable[[Hint], None],
        send_purge: Callable[[UUID], None] = lambda _: None,
        send_job: Callable[[UUID, UUID], None] = lambda *_: None,
        send_events: Callable[[UUID], None] = lambda _: None,
        send_inbox: Callable[[UUID, UUID], None] = lambda *_: None,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._hub, self._send, self._send_purge, self._send_job, self._clock = hub, send, send_purge, send_job, clock
        self._send_events = send_events
        self._send_inbox = send_inbox
        self._looked_at: dict[UUID, datetime] = {}
        self.settings = hub.settings
        self.counts: Counter[str] = Counter()
        self.trouble = ""

    def sweep(self, tenant_id: UUID | None = None) -> int:
        """Tell the workers what is due, of one tenant or of all, tenants in turn; returns how many lanes.

        Raises TransientError where the database or the broker does not answer. What was noted as told and not sent is told again.
        """
        tenants = scheduling.tenants(self._hub.db) if tenant_id is None else [tenant_id]
        for tenant in tenants:
            self._look_at_health(tenant)
        hints = in_turn([self._told(tenant) for tenant in tenants])
        news = [tenant for tenant in tenants if self._has_news(tenant)]
        inboxes = in_turn([self._inboxes(tenant) for tenant in tenants])
        waiting = [(tenant, job) for tenant in tenants for job in self._jobs(tenant)]
        with _delivering():
            for tenant in news:
                self._send_events(tenant)
            for tenant, endpoint in inboxes:
                self._send_inbox(tenant, endpoint)
            for hint in hints:
                self._send(hint)
            for tenant, job in waiting:
                self._send_job(tenant, job)
        self.counts["told"] += len(hints)
        return len(hints)

    def _jobs(self, tenant_id: UUID) -> list[UUID]:
        """Long work that nobody has begun, or that was left by a worker that died."""
        with self._hub.db.tenant(tenant_id) as conn:
            return jobs.waiting(conn, self._clock())

    def _told(self, tenant_id: UUID) -> list[Hint]:
        settings, now = self.settings, self._clock()
        with self._hub.db.tenant(tenant_id) as conn:
            if not scheduling.claim(conn):
                return []
            poll_every, compare_every = (
                timedelta(seconds=settings.poll_every_s),
                timedelta(seconds=settings.compare_every_s),
            )
            lanes = scheduling.waiting(conn, now, poll_every, compare_every)
            chosen = choose(lanes, settings.lanes_per_tenant, now)
            return [_hint(tenant_id, a, kind) for a, kind in chosen if scheduling.tell(conn, a, kind, now)]

    def _look_at_health(self, tenant_id: UUID) -> None:
        """See which connections became healthy or unhealthy, once a minute. Told or not stands in the database alone."""
        now, last = self._clock(), self._looked_at.get(tenant_id)
        if last is not None and now - last < HEALTH_EVERY:
            return
        with self._hub.db.tenant(tenant_id) as conn:
            self.counts["health changes"] += connection_alerts.look(conn, now, self.settings.health_target)
        self._looked_at[tenant_id] = now

    def _has_news(self, tenant_id: UUID) -> bool:
        """Whether something is to be told to a tenant's endpoints. Told twice it is told once: the relay finds nothing left."""
        with self._hub.db.tenant(tenant_id) as conn:
            return relaying.has_work(conn, self._clock())

    def _inboxes(self, tenant_id: UUID) -> list[tuple[UUID, UUID]]:
        with self._hub.db.tenant(tenant_id) as conn:
            return [(tenant_id, endpoint) for endpoint in inbox.tell_due(conn, self._clock())]

    def housekeeping(self) -> None:
        """Have what is kept too long deleted."""
        tenants = scheduling.tenants(self._hub.db)
        with _delivering():
            for tenant_id in tenants:
                self._send_purge(tenant_id)

    def run(self, stop: threading.Event) -> None:
        """Sweep again and again until ``stop`` is set. Neither a database nor a broker that is away for a while ends it."""
        jobs_at = time.monotonic()
        while not stop.is_set():
            try:
                self.sweep()
                if time.monotonic() >= jobs_at:
                    self.housekeeping()
                    jobs_at = time.monotonic() + JOBS_EVERY_S
                self.trouble = ""
            except SynclineError as error:
                self.trouble = error.code
                log.warning("sweep failed", extra={"code": error.code})
            stop.wait(self.settings.sweep_s)


@contextmanager
def _delivering() -> Iterator[None]:
    try:
        yield
    except UNREACHABLE:
        raise unreachable() from None


def _hint(tenant_id: UUID, lane: Waiting, kind: Kind) -> Hint:
    poll = kind is not Kind.NOTICE or (lane.overdue and lane.verified_at is not None)
    compare = kind is Kind.BACKFILL and lane.compare and not lane.comparing
    return Hint(tenant_id, lane.connection_id, lane.object, kind, poll, compare, lane.generation)
