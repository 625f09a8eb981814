"""Long work as rows: queued, held by one worker at a time under a lease, finished once.

A worker that dies leaves its job running; when the lease is over another one takes it, with one more attempt. The generation
fences it: what the first one still writes is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, or_, select
from sqlalchemy.dialects.postgresql import insert

from domain.access import Actor
from domain.errors import ConfigurationError
from domain.ids import new_id
from storage.storable import storable_json
from storage.tables_jobs import job
from storage.tenancy import current_tenant

UNFINISHED = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Job:
    """One job. ``status``: queued, running, done, failed or cancelled; ``error``: code, message and remedy of a failed one."""

    id: UUID
    kind: str
    params: Mapping[str, Any]
    status: str
    progress: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    created_by: Mapping[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    cancel_requested: bool

    @property
    def actor(self) -> Actor:
        return Actor(**self.created_by)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in this worker's hands. ``attempts``: 1 at the first time."""

    tenant_id: UUID
    job: Job
    generation: int
    traceparent: str | None = None


def add(conn: Connection, kind: str, params: Mapping[str, Any], actor: Actor, *, job_id: UUID | None = None) -> Job:
    """Queue a job in the caller's transaction. With a ``job_id`` that exists already, that job is returned unchanged."""
    made = job_id or new_id()
    conn.execute(
        insert(job)
        .values(
            tenant_id=current_tenant(conn),
            id=made,
            kind=kind,
            params=_json(params),
            created_by={"kind": actor.kind, "id": actor.id, "name": actor.name},
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "id"])
    )
    return get(conn, made)


def get(conn: Connection, job_id: UUID) -> Job:
    """The job with this id. Raises ConfigurationError."""
    row = conn.execute(select(*_columns()).where(job.c.id == job_id)).one_or_none()
    if row is None:
        raise ConfigurationError("There is no job with this id.", remedy="List the jobs.", code="no_such_job")
    return _job(row)


def list_jobs(
    conn: Connection,
    *,
    before: UUID | None = None,
    kind: str | None = None,
    status: str | None = None,
    limit: int = 100,
) -> list[Job]:
    """Jobs, the newest first; ``before``: the last id of the page before."""
    query = select(*_columns()).order_by(job.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(job.c.id < before)
    if kind is not None:
        query = query.where(job.c.kind == kind)
    if status is not None:
        query = query.where(job.c.status == status)
    return [_job(row) for row in conn.execute(query)]


def waiting(conn: Connection, now: datetime) -> list[UUID]:
    """Jobs that nobody works on and that may begin, the oldest first."""
    return list(conn.scalars(select(job.c.id).where(*_free(now)).order_by(job.c.id).limit(100)))


def claim(conn: Connection, job_id: UUID, owner: str, now: datetime, lease: timedelta) -> Claim | None:
    """Take a job; None where somebody else has it, or where it is finished."""
    row = conn.execute(
        job.update()
        .where(job.c.id == job_id, *_free(now))
        .values(
            status="running",
            generation=job.c.generation + 1,
            attempts=job.c.attempts + 1,
            lease_owner=owner,
            lease_until=now + lease,
            started_at=now,
        )
        .returning(*_columns(), job.c.generation, job.c.traceparent)
    ).one_or_none()
    return None if row is None else Claim(UUID(current_tenant(conn)), _job(row), row.generation, row.traceparent)


def renew(
    conn: Connection, held: Claim, now: datetime, lease: timedelta, progress: Mapping[str, Any] | None
) -> bool | None:
    """Keep a job; returns whether someone asked to cancel it, None where it is not ours any more."""
    values: dict[str, Any] = {"lease_until": now + lease}
    if progress is not None:
        values["progress"] = _json(progress)
    row = conn.execute(job.update().where(*_held(held)).values(values).returning(job.c.cancel_requested)).one_or_none()
    return None if row is None else bool(row.cancel_requested)


def finish(
    conn: Connection,
    held: Claim,
    status: str,
    now: datetime,
    *,
    progress: Mapping[str, Any],
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> bool:
    """Write down how a job ended; False where it is not ours any more, and nothing was written."""
    done = conn.execute(
        job.update()
        .where(*_held(held))
        .values(
            status=status, finished_at=now, progress=_json(progress), result=_json(result), error=error,
            lease_owner=None, lease_until=None,
        )
    )  # fmt: skip
    return bool(done.rowcount)


def give_back(conn: Connection, held: Claim, not_before: datetime, error: Mapping[str, Any] | None = None) -> bool:
    """Queue a job again: it could not go on now. ``error``: why, shown until it is taken up again."""
    done = conn.execute(
        job.update()
        .where(*_held(held))
        .values(status="queued", not_before=not_before, error=error, lease_owner=None, lease_until=None)
    )
    return bool(done.rowcount)


def cancel(conn: Connection, job_id: UUID, now: datetime) -> Job:
    """Ask for a job's end: a queued one ends at once, a running one at the next place where it can stop."""
    waiting_one = job.update().where(job.c.id == job_id, job.c.status == "queued")
    conn.execute(waiting_one.values(status="cancelled", finished_at=now, cancel_requested=True))
    conn.execute(job.update().where(job.c.id == job_id, job.c.status == "running").values(cancel_requested=True))
    return get(conn, job_id)


def purge(conn: Connection, finished_before: datetime) -> int:
    """Delete jobs that ended before a moment; returns how many."""
    return conn.execute(job.delete().where(job.c.finished_at < finished_before)).rowcount


def _free(now: datetime) -> list[Any]:
    queued = (job.c.status == "queued") & or_(job.c.not_before.is_(None), job.c.not_before <= now)
    return [job.c.status.in_(UNFINISHED), or_(queued, (job.c.status == "running") & (job.c.lease_until < now))]


def _held(held: Claim) -> list[Any]:
    return [job.c.id == held.job.id, job.c.generation == held.generation, job.c.status == "running"]


def _json(value: Mapping[str, Any] | None) -> Any:
    """A mapping in a form that JSON and PostgreSQL take; ids and moments as text."""
    return None if value is None else json.loads(storable_json(value) or "{}")


def _columns() -> list[Any]:
    return [job.c[name] for name in Job.__slots__]


def _job(row: Row[Any]) -> Job:
    return Job(**{name: row._mapping[name] for name in Job.__slots__})
