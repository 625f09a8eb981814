"""What messages ask for. Each actor is one call long; what it calls is handed in, so that a scheduler may send without working."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import dramatiq

from workers.fairness import Kind

JOBS_PRIORITY = 100
EVENTS_PRIORITY = 5  # short: it queues, and other threads send


@dataclass(frozen=True, slots=True)
class Hint:
    """Look at this lane. ``generation``: it was due at that one; whoever took it since has seen to it.

    ``poll``: also read what changed at the vendor; ``compare``: begin a full comparison.
    """

    tenant_id: UUID
    connection_id: UUID
    object: str
    kind: Kind = Kind.POLL
    poll: bool = True
    compare: bool = False
    generation: int | None = None


class Handler(Protocol):
    """Who does the work."""

    def run_lane(self, hint: Hint) -> None: ...

    def sweep(self, tenant_id: UUID | None) -> None: ...

    def process_inbox(self, tenant_id: UUID, endpoint_id: UUID) -> None: ...

    def purge(self, tenant_id: UUID) -> None: ...

    def tell_events(self, tenant_id: UUID) -> None: ...

    def run_job(self, tenant_id: UUID, job_id: UUID) -> None: ...


class Actors:
    """The actors of one broker: for each kind of lane a queue of its own, so that none waits behind a less urgent one."""

    def __init__(self, broker: dramatiq.Broker, handler: Handler, *, prefix: str = "syncline") -> None:
        self._prefix, self.broker, self._handler = prefix, broker, handler
        self._lanes = {kind: self._declare(f"run_lane_{kind}", _plural(kind), kind.urgency, run_lane) for kind in Kind}
        self._sweep = self._declare("sweep", "jobs", JOBS_PRIORITY, sweep)
        self._inbox = self._declare("process_inbox", "inbox", Kind.NOTICE.urgency, process_inbox)
        self._purge = self._declare("purge", "jobs", JOBS_PRIORITY, purge)
        self._tell_events = self._declare("tell_events", "events", EVENTS_PRIORITY, tell_events)
        self._job = self._declare("run_job", "jobs", JOBS_PRIORITY, run_job)

    @property
    def queues(self) -> list[str]:
        return [actor.queue_name for actor in (*self._lanes.values(), self._inbox, self._sweep, self._tell_events)]

    def send(self, hint: Hint) -> None:
        """Tell the workers of a lane. Raises one of `broker.UNREACHABLE`."""
        self._lanes[hint.kind].send(
            str(hint.tenant_id), str(hint.connection_id), hint.object, hint.poll,
            kind=str(hint.kind), compare=hint.compare, generation=hint.generation,
        )  # fmt: skip

    def send_sweep(self, tenant_id: UUID | None = None) -> None:
        """Ask for a look at what is due, of one tenant or of all, now."""
        self._sweep.send(None if tenant_id is None else str(tenant_id))

    def send_events(self, tenant_id: UUID) -> None:
        """Ask for events to be told and webhooks to be sent."""
        self._tell_events.send(str(tenant_id))

    def send_inbox(self, tenant_id: UUID, endpoint_id: UUID) -> None:
        """Tell the workers that an endpoint has something to process."""
        self._inbox.send(str(tenant_id), str(endpoint_id))

    def send_purge(self, tenant_id: UUID) -> None:
        """Ask for what is kept too long to be deleted."""
        self._purge.send(str(tenant_id))

    def send_job(self, tenant_id: UUID, job_id: UUID) -> None:
        """Tell the workers of a job."""
        self._job.send(str(tenant_id), str(job_id))

    def _declare(
        self, name: str, queue: str, priority: int, function: Callable[..., None]
    ) -> dramatiq.Actor[Any, None]:
        handler = self._handler

        def call(*args: Any, **kwargs: Any) -> None:
            function(handler, *args, **kwargs)

        return dramatiq.Actor(
            call, broker=self.broker, actor_name=name, queue_name=f"{self._prefix}.{queue}", priority=priority, options={}
        )  # fmt: skip


def run_lane(
    handler: Handler,
    tenant: str,
    connection: str,
    object_name: str,
    poll: bool = True,
    *,
    kind: str = Kind.POLL,
    compare: bool = False,
    generation: int | None = None,
) -> None:
    """One pass over one lane."""
    handler.run_lane(Hint(UUID(tenant), UUID(connection), object_name, Kind(kind), poll, compare, generation))


def sweep(handler: Handler, tenant: str | None = None) -> None:
    """Tell the workers what is due."""
    handler.sweep(None if tenant is None else UUID(tenant))


def tell_events(handler: Handler, tenant: str) -> None:
    """Queue what a tenant's endpoints have to be told, and begin to send it."""
    handler.tell_events(UUID(tenant))


def process_inbox(handler: Handler, tenant: str, endpoint: str) -> None:
    """Process what waits at an endpoint."""
    handler.process_inbox(UUID(tenant), UUID(endpoint))


def purge(handler: Handler, tenant: str) -> None:
    """Delete what is kept too long."""
    handler.purge(UUID(tenant))


def run_job(handler: Handler, tenant: str, job: str) -> None:
    """Begin a job, which goes on by itself."""
    handler.run_job(UUID(tenant), UUID(job))


def _plural(kind: Kind) -> str:
    return f"{kind}s"
