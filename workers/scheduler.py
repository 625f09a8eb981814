"""Finds what is due and tells the workers. It holds nothing itself: what was told, and when, stands beside the lanes."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from bootstrap.wiring import Hub
from domain.errors import SynclineError
from storage import scheduling
from storage.scheduling import Waiting
from workers.actors import Hint
from workers.broker import UNREACHABLE, unreachable
from workers.fairness import Kind, choose, in_turn
from workers.passes import Clock, utc_now

log = logging.getLogger("syncline.workers")

JOBS_EVERY_S = 3600.0


class Scheduler:
    """``send`` tells the workers of a lane, ``send_purge`` of a tenant whose old letters may go.

    Any number may run at once: one at a time looks at a tenant, and what one has told the others see.
    """

    def __init__(
        self,
        hub: Hub,
        send: Callable[[Hint], None],
        send_purge: Callable[[UUID], None] = lambda _: None,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._hub, self._send, self._send_purge, self._clock = hub, send, send_purge, clock
        self.settings = hub.settings
        self.counts: Counter[str] = Counter()
        self.trouble = ""

    def sweep(self, tenant_id: UUID | None = None) -> int:
        """Tell the workers what is due, of one tenant or of all, tenants in turn; returns how many lanes.

        Raises TransientError where the database or the broker does not answer. What was noted as told and not sent is told again.
        """
        tenants = scheduling.tenants(self._hub.db) if tenant_id is None else [tenant_id]
        hints = in_turn([self._told(tenant) for tenant in tenants])
        with _delivering():
            for hint in hints:
                self._send(hint)
        self.counts["told"] += len(hints)
        return len(hints)

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

    def jobs(self) -> None:
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
                    self.jobs()
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
