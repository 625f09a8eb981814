"""A worker's side of long work: a few threads of their own, so that a migration of hours holds up no lane."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from uuid import UUID

from bootstrap import jobs
from bootstrap.wiring import Hub
from domain.errors import SynclineError
from domain.ids import new_id


class JobRunner:
    """Runs jobs of any tenant, at most ``at_once``. A hint that finds it full is forgotten: the next sweep gives another."""

    def __init__(self, hub: Hub, at_once: int) -> None:
        self._hub, self._at_once = hub, at_once
        self._threads: dict[UUID, threading.Thread] = {}
        self._lock = threading.Lock()
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{new_id()}"
        self.stopping = threading.Event()
        self.counts: Counter[str] = Counter()

    @property
    def under_way(self) -> int:
        with self._lock:
            return len(self._threads)

    def offer(self, tenant_id: UUID, job_id: UUID) -> bool:
        """Begin a job unless every place is taken or it runs here already; returns whether it was begun."""
        with self._lock:
            if self.stopping.is_set() or job_id in self._threads or len(self._threads) >= self._at_once:
                return False
            thread = threading.Thread(target=self._run, args=(tenant_id, job_id), name=f"job {job_id}", daemon=True)
            self._threads[job_id] = thread
        thread.start()
        return True

    def _run(self, tenant_id: UUID, job_id: UUID) -> None:
        try:
            with suppress(SynclineError):  # the database went away: the lease runs out, and another sweep finds the job
                ended = jobs.run(self._hub.of(tenant_id), job_id, self._owner, stopping=self.stopping.is_set)
                self.counts[f"jobs {ended}"] += ended is not None
        finally:
            with self._lock:
                del self._threads[job_id]

    def stop(self, deadline: float) -> bool:
        """Tell jobs to stop where they can, until ``deadline`` (`time.monotonic`); returns whether all of them did."""
        self.stopping.set()
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(t.is_alive() for t in threads)
