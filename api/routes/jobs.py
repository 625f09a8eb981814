"""Long work: replays, migrations, exports. What starts one answers at once with its id; here one sees how it gets on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import anyio
from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from api.access import Caller, allowed
from api.paging import Cursor, Limit, Page, decode_id, page_of
from bootstrap.job_kinds import without_values
from storage import jobs
from storage.database import Connection
from storage.jobs import UNFINISHED, Job

router = APIRouter(prefix="/jobs", tags=["jobs"])

LOOK_EVERY_S = 1.0


class JobOut(BaseModel):
    """A job. ``status``: queued, running, done, failed or cancelled; ``error``: code, message and remedy.

    ``result`` holds samples of records in few kinds: null stands for their values where the caller may not look at payloads.
    """

    id: UUID
    kind: str
    params: dict[str, Any]
    status: str
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    cancel_requested: bool


@router.get("", operation_id="list_jobs")
def list_jobs(
    caller: Annotated[Caller, allowed("jobs:read")],
    limit: Limit = 50,
    cursor: Cursor = None,
    kind: Annotated[str | None, Query(max_length=100, description="Only of this kind.")] = None,
    status: Annotated[str | None, Query(max_length=20, description="Only in this state.")] = None,
) -> Page[JobOut]:
    """Jobs, the newest first. Values of records are left out of their results; one job shows them to whom may see payloads."""
    with caller.transaction() as conn:
        found = jobs.list_jobs(conn, before=decode_id(cursor), kind=kind, status=status, limit=limit + 1)
    return page_of(found, limit, shown, lambda j: j.id)


@router.get("/{job_id}", operation_id="get_job")
def get_job(job_id: UUID, caller: Annotated[Caller, allowed("jobs:read")]) -> JobOut:
    """One job, with how far it is, or how it ended.

    Values of records in its result, such as a dry run's samples, need `payloads:read`; that look is written to the audit log.
    """
    with caller.transaction() as conn:
        return _looked_at(conn, jobs.get(conn, job_id), caller)


@router.post("/{job_id}/cancel", operation_id="cancel_job")
def cancel_job(job_id: UUID, caller: Annotated[Caller, allowed("jobs:write")]) -> JobOut:
    """Ask a job to stop. What it did so far is kept; one that ended already stays as it ended."""
    with caller.transaction() as conn:
        found = jobs.cancel(conn, job_id, datetime.now(UTC))
        caller.audit(conn, "job.cancel", "job", job_id, {"kind": found.kind})
    return shown(found)


def _there(job_id: UUID, caller: Annotated[Caller, allowed("jobs:read")]) -> None:
    """Raise ConfigurationError where there is no such job: once a stream has begun it is too late to say so."""
    with caller.transaction() as conn:
        jobs.get(conn, job_id)


@router.get(
    "/{job_id}/events", dependencies=[Depends(_there)], operation_id="watch_job", response_class=EventSourceResponse
)
async def watch_job(job_id: UUID, caller: Annotated[Caller, allowed("jobs:read")]) -> AsyncIterator[ServerSentEvent]:
    """A job as it gets on: a server-sent event `job` whenever something changed, until it has ended.

    The last one holds its result; values of records in it need `payloads:read`, and that look is written to the audit log.
    """

    def look() -> JobOut:
        with caller.transaction() as conn:
            return _looked_at(conn, jobs.get(conn, job_id), caller)

    last: JobOut | None = None
    while True:
        found = await run_in_threadpool(look)
        if found != last:
            yield ServerSentEvent(event="job", data=found.model_dump(mode="json"))
        if found.status not in UNFINISHED:
            return
        last = found
        await anyio.sleep(LOOK_EVERY_S)


def shown(found: Job) -> JobOut:
    """A job as the API tells of it to anybody who may see jobs: without values of records."""
    told = {name: getattr(found, name) for name in JobOut.model_fields if name not in ("created_by", "result")}
    return JobOut(**told, result=without_values(found.kind, found.result), created_by=found.actor.label)


def _looked_at(conn: Connection, found: Job, caller: Caller) -> JobOut:
    """A job with the values of records that its result holds, where the caller may see those: a look that is noted."""
    told = shown(found)
    if told.result == found.result or not caller.may("payloads:read"):
        return told
    caller.audit(conn, "payload.read", "job", found.id, {"kind": found.kind})
    return told.model_copy(update={"result": found.result})
