"""Metrics for Prometheus: what stands in the database, read when it is scraped, and what this process counted since it began.

Names and meanings are in `FAMILIES`; docs/reference/metrics.md is made from it. No label ever holds a value of a record.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from connectors.kit.breaker import State
from connectors.kit.gate import circuits
from domain.errors import ConfigurationError, SynclineError
from storage import scheduling
from storage.measuring import Measures, measure

if TYPE_CHECKING:
    from bootstrap.wiring import Hub

log = logging.getLogger("syncline.metrics")

_TOGETHER = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READ_AGAIN_S = 10.0
"""A scrape within so many seconds of the one before gets what that one read: scraping costs the database little, however often."""

_CONNECTION = ("tenant", "connection", "vendor")
_LANE = (*_CONNECTION, "object")
_INBOX, _DELIVERY = ("tenant", "endpoint"), ("tenant", "subscription")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what it means, and by which labels it is told apart."""

    help: str
    labels: tuple[str, ...]
    counter: bool = False


FAMILIES: dict[str, Family] = {
    "syncline_connection_up": Family("1 while a connection works, 0 while paused or to be connected again.", _CONNECTION),
    "syncline_connection_healthy": Family(
        "0 while a connection is told as unhealthy: compared too long ago, failing, stopped, or to be connected again.", _CONNECTION
    ),
    "syncline_connection_freshness_seconds": Family(
        "Age of the oldest last verified comparison among a connection's lanes; +Inf before the first.", _CONNECTION
    ),
    "syncline_connection_quota_used": Family("Calls used of the vendor's daily quota, as it told last.", _CONNECTION),
    "syncline_connection_quota_limit": Family("The vendor's daily quota, as it told last.", _CONNECTION),
    "syncline_connection_breaker": Family(
        "Circuit breaker of this process before one host of a vendor: 0 closed, 1 open (calls pause), 0.5 about to be tried.",
        (*_CONNECTION, "host"),
    ),
    "syncline_lane_up": Family("1 while a lane is kept in step, 0 while it is paused, stopped or braked.", _LANE),
    "syncline_lane_freshness_seconds": Family("Age of a lane's last verified comparison; +Inf before the first.", _LANE),
    "syncline_lane_failures": Family("Passes of a lane in a row that ended in an error.", _LANE),
    "syncline_lane_queue": Family("Records that wait on a lane, by what for: push or notice.", (*_LANE, "kind")),
    "syncline_lane_oldest_seconds": Family("How long the oldest record has waited on a lane.", (*_LANE, "kind")),
    "syncline_lane_records": Family("Records a lane dealt with since it was made.", (*_LANE, "outcome"), counter=True),
    "syncline_dead_letters_open": Family("Dead letters that nobody settled yet.", ("tenant", "connection", "code", "fault")),
    "syncline_jobs": Family("Long work that is queued or running.", ("tenant", "kind", "status")),
    "syncline_inbox_pending": Family("Webhooks that were stored and not processed yet, by endpoint.", _INBOX),
    "syncline_inbox_oldest_seconds": Family("How long the oldest unprocessed webhook has waited at an endpoint.", _INBOX),
    "syncline_deliveries_pending": Family("Webhook deliveries that are not made yet, by subscription.", _DELIVERY),
    "syncline_deliveries_oldest_seconds": Family("How long the oldest undelivered webhook has waited.", _DELIVERY),
    "syncline_scrape_ok": Family("1 where the database could be read, 0 where it could not.", ()),
    "syncline_worker_events": Family("What workers of this process counted, such as passes.", ("event",), counter=True),
}  # fmt: skip

PROCESS_FAMILIES: dict[str, Family] = {
    "syncline_lane_errors": Family(
        "Passes over a lane that ended in an error in this process.", ("tenant", "connection", "object", "code"), counter=True
    ),
    "syncline_http_requests": Family("Requests this process answered.", ("route", "method", "status"), counter=True),
    "syncline_http_request_seconds": Family("How long requests took.", ("route", "method")),
    "syncline_vendor_calls": Family("Calls of this process to vendors.", ("vendor", "status"), counter=True),
    "syncline_vendor_call_seconds": Family("How long calls to vendors took.", ("vendor",)),
}  # fmt: skip

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _counter(name: str) -> Counter:
    family = PROCESS_FAMILIES[name]
    return Counter(name, family.help, family.labels, registry=None)


def _histogram(name: str) -> Histogram:
    family = PROCESS_FAMILIES[name]
    return Histogram(name, family.help, family.labels, registry=None, buckets=_SECONDS)


HTTP_REQUESTS = _counter("syncline_http_requests")
HTTP_SECONDS = _histogram("syncline_http_request_seconds")
VENDOR_CALLS = _counter("syncline_vendor_calls")
VENDOR_SECONDS = _histogram("syncline_vendor_call_seconds")


LANE_ERRORS = _counter("syncline_lane_errors")
_BREAKER = {State.CLOSED: 0.0, State.HALF_OPEN: 0.5, State.OPEN: 1.0}


def count_error(tenant: UUID, connection: UUID, object_name: str, code: str) -> None:
    """Count a pass that ended in an error. ``code``: of the registry of error codes."""
    LANE_ERRORS.labels(str(tenant), str(connection), object_name, code).inc()


def count_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request. ``route`` is the template of its path, never the path itself."""
    HTTP_REQUESTS.labels(route, method, str(status)).inc()
    HTTP_SECONDS.labels(route, method).observe(seconds)


def count_call(vendor: str, status: int, seconds: float) -> None:
    """Count a call to a vendor. ``status`` 0: it was not answered."""
    VENDOR_CALLS.labels(vendor, f"{status // 100}xx" if status else "unanswered").inc()
    VENDOR_SECONDS.labels(vendor).observe(seconds)


class HubCollector(Collector):
    """Reads all tenants when it is scraped. ``counts``: what workers of this process counted."""

    def __init__(
        self, hub: Hub, counts: Callable[[], Mapping[str, int]] = dict, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hub, self._counts, self._clock = hub, counts, clock
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._read: list[tuple[UUID, Measures]] = []
        self._ok = False

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if self._read_at is None or self._clock() - self._read_at >= READ_AGAIN_S:
                self._measure()
                self._read_at = self._clock()
            read, ok = self._read, self._ok
        families = {name: _family(name, FAMILIES[name]) for name in FAMILIES}
        for tenant, measures in read:
            _tell(families, str(tenant), measures)
        _tell_breakers(families["syncline_connection_breaker"], read)
        families["syncline_scrape_ok"].add_metric((), 1.0 if ok else 0.0)
        for event, count in self._counts().items():
            families["syncline_worker_events"].add_metric((event,), count)
        yield from families.values()

    def _measure(self) -> None:
        now = datetime.now(UTC)
        try:
            read = []
            for tenant in scheduling.tenants(self._hub.db):
                with self._hub.db.tenant(tenant) as conn:
                    read.append((tenant, measure(conn, now)))
            self._read, self._ok = read, True
        except SynclineError as error:
            log.warning("metrics could not be read", extra={"code": error.code})
            self._read, self._ok = [], False


def exposition(collector: HubCollector) -> bytes:
    """Everything as Prometheus reads it, of type `CONTENT_TYPE`."""
    return generate_latest(_registry(collector))


class Exporter:
    """Shows metrics at ``http://host:port/metrics`` until it is closed. Raises ConfigurationError where the port is taken."""

    def __init__(self, collector: HubCollector, host: str, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, _registry(collector))
        except OSError as error:
            raise ConfigurationError(
                f"Metrics cannot be shown on {host}, port {port}: {error.strerror}.",
                remedy="Choose another with SYNCLINE_METRICS_PORT.",
                code="port_taken",
            ) from None

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop, and wait for a scrape under way."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def counting_together() -> Iterator[None]:
    """Processes begun in this block count as one: each shows the sums of all, those that ended meanwhile among them.

    They must import this module anew (be spawned, not forked). What is read from the database is left as it is.
    """
    with TemporaryDirectory(prefix="syncline-metrics-") as place:
        os.environ[_TOGETHER] = place
        try:
            yield
        finally:
            del os.environ[_TOGETHER]


def _registry(collector: HubCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    if os.environ.get(_TOGETHER):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry
    for counted in (LANE_ERRORS, HTTP_REQUESTS, HTTP_SECONDS, VENDOR_CALLS, VENDOR_SECONDS):
        registry.register(counted)
    return registry


def _family(name: str, family: Family) -> Any:
    made = CounterMetricFamily if family.counter else GaugeMetricFamily
    return made(name, family.help, labels=family.labels)


def _tell_breakers(family: Any, read: Iterable[tuple[UUID, Measures]]) -> None:
    known = {str(c.connection_id): (str(tenant), c.vendor) for tenant, measures in read for c in measures.connections}
    for connection, origin, state in circuits():
        if connection in known:
            tenant_id, vendor = known[connection]
            family.add_metric(
                (tenant_id, connection, vendor, urlsplit(origin).netloc.rpartition("@")[2]), _BREAKER[state]
            )


def _tell(families: Mapping[str, Any], tenant: str, measures: Measures) -> None:
    def add(name: str, labels: tuple[str, ...], value: float | None) -> None:
        if value is not None:
            families[name].add_metric((tenant, *labels), value)

    oldest: dict[str, float] = {}
    for lane in measures.lanes:
        age = float("inf") if lane.freshness_s is None else lane.freshness_s
        connection = str(lane.connection_id)
        oldest[connection] = max(oldest.get(connection, 0.0), age)
        labels = (connection, lane.vendor, lane.object)
        add("syncline_lane_up", labels, 1.0 if lane.status == "idle" else 0.0)
        add("syncline_lane_freshness_seconds", labels, age)
        add("syncline_lane_failures", labels, lane.failures)
        add("syncline_lane_queue", (*labels, "push"), lane.pushes_waiting)
        add("syncline_lane_queue", (*labels, "notice"), lane.notices_waiting)
        add("syncline_lane_oldest_seconds", (*labels, "push"), lane.oldest_push_s)
        add("syncline_lane_oldest_seconds", (*labels, "notice"), lane.oldest_notice_s)
        for outcome, count in lane.records.items():
            add("syncline_lane_records", (*labels, outcome), count)
    for found in measures.connections:
        account = (str(found.connection_id), found.vendor)
        add("syncline_connection_up", account, 1.0 if found.status == "ok" else 0.0)
        if found.status not in ("paused", "disconnected"):
            add("syncline_connection_healthy", account, 1.0 if found.healthy else 0.0)
        add("syncline_connection_freshness_seconds", account, oldest.get(account[0]))
        add("syncline_connection_quota_used", account, found.quota_used)
        add("syncline_connection_quota_limit", account, found.quota_limit)
    for cause, count in measures.letters.items():
        add("syncline_dead_letters_open", cause, count)
    for state, count in measures.jobs.items():
        add("syncline_jobs", state, count)
    for kind, queues in (("inbox", measures.inboxes), ("deliveries", measures.deliveries)):
        for queue in queues:
            add(f"syncline_{kind}_pending", (str(queue.id),), queue.waiting)
            add(f"syncline_{kind}_oldest_seconds", (str(queue.id),), queue.oldest_s)
