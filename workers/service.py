"""Processes: a worker, a scheduler, or both in one; started, watched and stopped in order."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import dramatiq
from dramatiq.middleware import Interrupt, raise_thread_exception

from bootstrap.metrics import Exporter, HubCollector
from bootstrap.redact import remember
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from domain.collecting import SYNCING, collect_rarely
from domain.errors import ConfigurationError, TransientError
from workers.actors import Actors, Hint
from workers.broker import UNREACHABLE, make_broker, probe
from workers.inboxes import Inboxes
from workers.jobs import JobRunner
from workers.outbound import Outbound
from workers.passes import Passes
from workers.scheduler import Scheduler

log = logging.getLogger("syncline.workers")

WAKE_MS = 250
HANDED_BACK_S = 5.0
HEALTH_EVERY_S = 60.0

POOL_BESIDES_THREADS = 10
"""Database connections for scheduling, for following one endpoint's notices to their tenants, and for requests to the API."""


class Handedback(Interrupt):
    """Ends a pass that could not finish its batch in time: its transaction is rolled back, its lease released."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a process stands. ``counts`` since its start: passes, failed, busy, told, …; ``trouble``: the code of what is amiss."""

    role: str
    under_way: int
    counts: Mapping[str, int]
    trouble: str = ""

    def line(self) -> str:
        """One line for people."""
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()) if count)
        state = f"in trouble ({self.trouble})" if self.trouble else "well"
        return f"{self.role}: {state}, {self.under_way} under way; {told or 'nothing done yet'}"


class Beside(Protocol):
    """What runs in the same process and is stopped first, such as the API: it may still hand work to the workers."""

    def start(self) -> None: ...

    def stop(self, within_s: float) -> bool: ...


class Service:
    """One process of workers, of scheduling, or of both. ``prefix`` begins the names of its queues.

    Raises ConfigurationError without a broker where worker and scheduler are not in the same process, or where the broker refuses
    the login; TransientError where it does not answer.
    """

    def __init__(self, hub: Hub, *, works: bool = True, schedules: bool = True, prefix: str = "syncline") -> None:
        self._hub = hub
        self.beside: Beside | None = None
        self.settings: Settings = hub.settings
        self._works, self._schedules = works, schedules
        self.broker = make_broker(_broker_url(self.settings, alone=works and schedules))
        _ = hub.db, hub.vault  # made here, once, and not by the first threads that need them
        self.passes = Passes(hub)
        self.outbound = Outbound(hub)
        self.actors = Actors(self.broker, _Handler(self), prefix=prefix)
        self.jobs = JobRunner(hub, self.settings.jobs_at_once)
        self.scheduler = Scheduler(
            hub, self.actors.send, self.actors.send_purge, self.actors.send_job, self.actors.send_events,
            self.actors.send_inbox,
        )  # fmt: skip
        self.inboxes = Inboxes(hub, self.passes.stopping)
        self.inboxes.after = self._look_again
        self.passes.after_pass = self._look_again
        self._worker: dramatiq.Worker | None = None
        self._exporter: Exporter | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Begin to work and to schedule."""
        probe(self.broker)
        if self.settings.metrics_port is not None:
            collector = HubCollector(self._hub, lambda: self.health().counts)
            self._exporter = Exporter(collector, self.settings.metrics_host, self.settings.metrics_port)
        if self._works:
            worker = dramatiq.Worker(self.broker, worker_threads=self.settings.worker_threads, worker_timeout=WAKE_MS)
            self.passes.more_urgent = lambda priority: _more_urgent(worker, priority)
            worker.start()
            self._worker = worker
        if self._schedules:
            self._thread = threading.Thread(
                target=self.scheduler.run, args=(self._stop,), name="scheduler", daemon=True
            )
            self._thread.start()
        if self.beside is not None:
            self.beside.start()

    def stop(self) -> bool:
        """Finish the batches under way, or give their lanes back as they are; returns whether every batch was finished.

        Takes at most `Settings.stop_within_s` and five seconds more.
        """
        deadline = time.monotonic() + self.settings.stop_within_s
        if self.beside is not None:
            self.beside.stop(self.settings.stop_within_s)
        self._stop.set()
        self.passes.stopping.set()
        self.outbound.stopping.set()
        self.jobs.stopping.set()
        if self._thread is not None:
            self._thread.join(self.settings.stop_within_s)
        finished = self._stop_worker(deadline) and self.jobs.stop(deadline)
        self.outbound.close()
        if finished:
            self.passes.close()
        self.broker.close()
        if self._exporter is not None:
            self._exporter.close()
        return finished

    def _stop_worker(self, deadline: float) -> bool:
        worker, self._worker = self._worker, None
        if worker is None:
            return True
        threads = list(worker.workers)
        for thread in threads:
            thread.stop()
        _join(threads, deadline)
        late = [t for t in threads if t.is_alive()]
        for thread in late:
            raise_thread_exception(thread.ident, Handedback)  # type: ignore[no-untyped-call]
        _join(late, time.monotonic() + HANDED_BACK_S)
        worker.stop(timeout=1000)
        return not late

    # ------------------------------------------------------------ what it tells

    def health(self) -> Health:
        """How it stands right now."""
        role = "worker and scheduler" if self._works and self._schedules else "worker" if self._works else "scheduler"
        everyone = (self.passes, self.scheduler, self.jobs, self.outbound, self.inboxes)
        counts: Counter[str] = sum((Counter(part.counts) for part in everyone), Counter())
        return Health(role, self.passes.under_way + self.jobs.under_way, dict(counts), self.scheduler.trouble)

    def run(self, tell: Callable[[Health], None], every_s: float = HEALTH_EVERY_S) -> bool:
        """Start, tell how it stands now and then, and stop at SIGTERM or Ctrl-C; a second Ctrl-C stops at once."""
        with _signals() as asked:
            self.start()
            collect_rarely(SYNCING)
            tell(self.health())
            while not asked.wait(every_s):
                tell(self.health())
            finished = self.stop()
        tell(self.health())
        return finished

    def _look_again(self, tenant_id: UUID) -> None:
        """A pass made room before its end: let it go on when it is its turn. The next sweep would find it as well."""
        try:
            self.actors.send_sweep(tenant_id)
        except UNREACHABLE:
            log.warning("no sweep could be asked for", extra={"code": "broker_unreachable"})


class _Handler:
    """What messages lead to."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def run_lane(self, hint: Hint) -> None:
        self._service.passes.run_lane(hint)

    def sweep(self, tenant_id: UUID | None) -> None:
        with suppress(TransientError):  # the scheduler's own next sweep does the same
            self._service.scheduler.sweep(tenant_id)

    def process_inbox(self, tenant_id: UUID, endpoint_id: UUID) -> None:
        self._service.inboxes.process(tenant_id, endpoint_id)

    def purge(self, tenant_id: UUID) -> None:
        self._service.passes.purge(tenant_id)
        with suppress(TransientError):
            self._service.outbound.purge(tenant_id)
            self._service.inboxes.purge(tenant_id)

    def tell_events(self, tenant_id: UUID) -> None:
        self._service.outbound.run(tenant_id)

    def run_job(self, tenant_id: UUID, job_id: UUID) -> None:
        self._service.jobs.offer(tenant_id, job_id)


def _broker_url(settings: Settings, *, alone: bool) -> str | None:
    if settings.broker_url is None:
        if alone:
            return None
        raise ConfigurationError(
            "Without a broker, worker and scheduler cannot hear each other.",
            remedy="Set BROKER_URL, or run both in one process with `syncline up`.",
            code="no_broker",
        )
    url = settings.broker_url.get_secret_value()
    remember([url, urlsplit(url).password or ""], for_good=True)
    return url


def _more_urgent(worker: dramatiq.Worker, priority: int) -> bool:
    """Whether a message that ranks before ``priority`` waits for a thread of this worker."""
    waiting = worker.work_queue
    with waiting.mutex:
        return bool(waiting.queue) and waiting.queue[0].priority < priority


def _join(threads: list[Any], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and the first Ctrl-C set."""
    asked = threading.Event()

    def ask(signum: int, _frame: FrameType | None) -> None:
        if asked.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
