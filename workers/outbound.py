"""A worker's side of outgoing webhooks: relays tenants, and sends to many endpoints at once, each by threads of its own.

Sending waits for others most of the time, so it has its own threads: no endpoint, however slow, keeps a lane waiting, and only so
many threads wait for one endpoint.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from bootstrap import privacy
from bootstrap.logs import log_context
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from domain.errors import SynclineError
from storage import change_feed, deliveries, events
from webhooks.outbound.delivering import Deliverer
from webhooks.outbound.relay import Relay
from workers.passes import Clock, utc_now

log = logging.getLogger("syncline.workers")

PER_ENDPOINT = 2
Endpoint = tuple[UUID, UUID]


class Outbound:
    """Relays and sends for one process. ``close`` waits for what is being sent."""

    def __init__(self, hub: Hub, *, clock: Clock = utc_now) -> None:
        self._hub, self._clock = hub, clock
        self.settings: Settings = hub.settings
        self.stopping = threading.Event()
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._busy: Counter[Endpoint] = Counter()
        self._pool: ThreadPoolExecutor | None = None
        self._relay: Relay | None = None
        self._deliverer: Deliverer | None = None

    def run(self, tenant_id: UUID) -> None:
        """Queue what a tenant's endpoints have to be told, and begin to send what is due. Raises nothing."""
        if self.stopping.is_set():
            return
        with log_context(tenant=str(tenant_id)):
            try:
                relay, deliverer = self._made()
                self._count("events told", relay.run(tenant_id, self.stopping.is_set))
                for subscription_id in deliverer.due(tenant_id):
                    self._begin(deliverer, (tenant_id, subscription_id))
            except SynclineError as error:
                log.warning("events could not be told", extra={"code": error.code})
            except Exception:
                log.exception("telling events ended in a bug")

    def purge(self, tenant_id: UUID) -> None:
        """Delete changes, events and deliveries that are kept too long."""
        now = self._clock()
        with self._hub.db.tenant(tenant_id) as conn:
            kept = privacy.kept(conn, self.settings, "webhooks", now)
            if kept is not None:
                deliveries.expire(conn, kept, now)
                self._count("deliveries purged", deliveries.purge(conn, kept))
                events.purge(conn, kept)
        with self._hub.db.tenant(tenant_id) as conn:
            since = privacy.kept(conn, self.settings, "changes", now)
            if since is not None:
                change_feed.purge(conn, since)

    def close(self) -> None:
        """Send nothing new, and wait for what is under way: a few seconds, for every exchange has a deadline."""
        self.stopping.set()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _made(self) -> tuple[Relay, Deliverer]:
        with self._lock:
            if self._relay is None or self._deliverer is None:
                self._relay = Relay(self._hub.db, self._clock)
                self._deliverer = self._hub.deliverer(self._clock)
            return self._relay, self._deliverer

    def _begin(self, deliverer: Deliverer, endpoint: Endpoint) -> None:
        """Have another thread send to the endpoint, unless enough do."""
        with self._lock:
            if self.stopping.is_set() or self._busy[endpoint] >= PER_ENDPOINT:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.settings.webhook_threads, thread_name_prefix="webhooks")
            self._busy[endpoint] += 1
            self._pool.submit(self._send, deliverer, endpoint)

    def _send(self, deliverer: Deliverer, endpoint: Endpoint) -> None:
        """One batch; then the endpoint queues up again behind the others."""
        tried = 0
        try:
            with log_context(tenant=str(endpoint[0]), subscription=str(endpoint[1])):
                tried = self._tried(deliverer, endpoint)
        finally:
            with self._lock:
                self._busy[endpoint] -= 1
                if not self._busy[endpoint]:
                    del self._busy[endpoint]
        if tried:
            self._begin(deliverer, endpoint)

    def _tried(self, deliverer: Deliverer, endpoint: Endpoint) -> int:
        try:
            tried = deliverer.run(*endpoint, self.stopping.is_set)
        except SynclineError as error:
            log.warning("a delivery could not be made", extra={"code": error.code})
            return 0
        except Exception:
            log.exception("sending a webhook ended in a bug")
            return 0
        self._count("deliveries tried", tried)
        return tried

    def _count(self, what: str, number: int) -> None:
        with self._lock:
            self.counts[what] += number
