"""A worker's side of the inbox: process an endpoint when told so; tell, without ever blocking, when something was stored."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from uuid import UUID

from opentelemetry.trace import Span, SpanKind

from bootstrap import privacy
from bootstrap.logs import log_context
from bootstrap.wiring import Hub
from domain.errors import SynclineError
from storage import inbox, routes, secrets, suppression
from storage.tracing import CAUSES_MOST, enabled, span
from webhooks.inbound.processing import Processing
from workers.broker import UNREACHABLE
from workers.passes import Clock, utc_now

log = logging.getLogger("syncline.workers")

_TELL_EVERY_S = 0.05


class Inboxes:
    """Processes endpoints' inboxes for worker threads. ``after`` is called where lanes may have become due."""

    def __init__(self, hub: Hub, stopping: threading.Event, *, clock: Clock = utc_now) -> None:
        self._hub, self._stopping, self._clock = hub, stopping, clock
        self._processing = Processing(
            hub.db,
            clock=clock,
            erased_among=lambda conn, entity, records: suppression.erased_among(conn, hub.vault, entity, records),
            names_erased=lambda conn, data: suppression.names_erased(conn, hub.vault, data),
        )
        self.after: Callable[[UUID], None] = lambda _: None
        self.counts: Counter[str] = Counter()

    def process(self, tenant_id: UUID, endpoint_id: UUID) -> None:
        """Process what is due at an endpoint. Raises nothing: what was not processed is found by the next sweep."""
        if self._stopping.is_set():
            return
        with log_context(tenant=str(tenant_id), endpoint=str(endpoint_id)):
            try:
                with self._traced(tenant_id, endpoint_id):
                    done = self._processing.process(tenant_id, endpoint_id, self._stopping.is_set)
            except SynclineError as error:
                self.counts["inbox failed"] += 1
                log.warning("an inbox was not processed", extra={"code": error.code})
                return
            except Exception:
                self.counts["inbox failed"] += 1
                log.exception("processing an inbox ended in a bug")
                return
            if done:
                self.counts["webhooks"] += done.total()
                self.after(tenant_id)

    def _traced(self, tenant_id: UUID, endpoint_id: UUID) -> AbstractContextManager[Span]:
        """The processing as a span: of the receipt that caused it, or linked to those that did."""
        causes: list[str] = []
        if enabled():
            with self._hub.db.tenant(tenant_id) as conn:
                causes = inbox.causes(conn, endpoint_id, self._clock(), CAUSES_MOST)
        return span("inbox", causes=causes, kind=SpanKind.CONSUMER, tenant=str(tenant_id), endpoint=str(endpoint_id))

    def purge(self, tenant_id: UUID) -> None:
        """Delete deliveries and secrets that are kept too long, and put the tenant's routes right."""
        now = self._clock()
        while not self._stopping.is_set():
            with self._hub.db.tenant(tenant_id) as conn:
                before = privacy.kept(conn, self._hub.settings, "inbox", now)
                gone = 0 if before is None else inbox.purge(conn, before)
                secrets.remove_expired(conn, now - timedelta(days=self._hub.settings.inbox_kept_days))
            self.counts["webhooks purged"] += gone
            if not gone:
                break
        routes.keep(self._hub.db, tenant_id)


class Teller:
    """Sends hints from a thread of its own, one an endpoint however often it is named meanwhile. A lost one costs a sweep."""

    def __init__(self, send: Callable[[UUID, UUID], None]) -> None:
        self._send = send
        self._named: set[tuple[UUID, UUID]] = set()
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
        self._thread.start()

    def __call__(self, endpoints: Collection[tuple[UUID, UUID]]) -> None:
        with self._lock:
            self._named.update(endpoints)
        self._wake.set()

    def close(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                named, self._named = self._named, set()
            try:
                for tenant_id, endpoint_id in sorted(named):
                    self._send(tenant_id, endpoint_id)
            except UNREACHABLE:
                log.warning("no hint of webhooks could be sent", extra={"code": "broker_unreachable"})
            self._stop.wait(_TELL_EVERY_S)
