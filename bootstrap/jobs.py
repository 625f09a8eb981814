"""Running long work: each kind of job is a function; how it goes on after a crash is the function's own affair.

A job may begin again at any time, in another process (`Work.attempt` says how often): what it does must bear that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from opentelemetry.trace import SpanKind, StatusCode

from bootstrap.job_kinds import KINDS
from bootstrap.logs import log_context
from domain.access import Actor
from domain.errors import RunInProgressError, SynclineError, TransientError
from storage import jobs
from storage.jobs import Claim, Job
from storage.tracing import span

if TYPE_CHECKING:
    from bootstrap.wiring import Hub

log = logging.getLogger("syncline.jobs")

ATTEMPTS_MOST = 10
LEASE = timedelta(seconds=60)
BEAT_S = 1.0
_AGAIN_S = 15.0

Clock = Callable[[], datetime]


class Stopped(Exception):  # not an error: the way out of a job
    """The job is not to go on here: somebody cancelled it, this worker stops, or another one has taken it over."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind of job is given. ``report`` shows progress; a job can be stopped there (it raises `Stopped`): call it often.

    ``attempt``: 1 at the first time; more after a crash, a restart or an outage.
    """

    hub: Hub
    id: UUID
    params: Mapping[str, Any]
    actor: Actor
    attempt: int
    report: Callable[[Mapping[str, Any]], None]


class _Watch:
    """Keeps the lease of a job alive while it runs, writes its progress, and learns whether it has to stop."""

    def __init__(self, hub: Hub, held: Claim, clock: Clock, stopping: Callable[[], bool], lease: timedelta) -> None:
        self._hub, self._held, self._clock, self._stopping, self._lease = hub, held, clock, stopping, lease
        self._end = threading.Event()
        self.progress: Mapping[str, Any] = held.job.progress
        self.reason = ""

    def report(self, progress: Mapping[str, Any]) -> None:
        self.progress = dict(progress)
        if not self.reason and self._stopping():
            self.reason = "stopping"
        if self.reason:
            raise Stopped(self.reason)

    def beat(self) -> None:
        written, renewed = self.progress, self._clock()
        while not self._end.wait(BEAT_S):
            progress, now = self.progress, self._clock()
            if progress is written and now - renewed < self._lease / 3:
                continue
            with suppress(SynclineError):  # without a database there is nothing to renew; the lease decides later
                cancelled = self._renew(progress if progress is not written else None)
                written, renewed = progress, now
                if cancelled is not False:
                    self.reason = "lost" if cancelled is None else "cancelled"

    def _renew(self, progress: Mapping[str, Any] | None) -> bool | None:
        with self._hub.db.tenant(self._held.tenant_id) as conn:
            return jobs.renew(conn, self._held, self._clock(), self._lease, progress)

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.beat, name=f"job {self._held.job.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()


def utc_now() -> datetime:
    return datetime.now(UTC)


def run(
    hub: Hub,
    job_id: UUID,
    owner: str,
    *,
    clock: Clock = utc_now,
    stopping: Callable[[], bool] = lambda: False,
    lease: timedelta = LEASE,
    kinds: Mapping[str, Callable[[Work], Mapping[str, Any] | None]] = KINDS,
) -> str | None:
    """Do a job of the hub's tenant; returns how it ended, None where somebody else does it.

    Ends: done, failed, cancelled, queued (again: a restart or an outage), lost (another worker took it over).
    """
    with hub.db.tenant(hub.tenant_id) as conn:
        held = jobs.claim(conn, job_id, owner, clock(), lease)
    if held is None:
        return None
    causes = [held.traceparent] if held.traceparent else []
    ids = {"tenant": str(held.tenant_id), "id": str(held.job.id), "job": held.job.kind}
    with (
        log_context(tenant=ids["tenant"], job=ids["id"]),
        span("job", causes=causes, kind=SpanKind.CONSUMER, **ids) as current,
    ):
        current.set_attribute("syncline.attempt", held.job.attempts)
        ended = _carry_out(hub, held, clock, stopping, lease, kinds)
        current.set_attribute("syncline.outcome", ended)
        if ended == "failed":
            current.set_status(StatusCode.ERROR)
    return ended


def _carry_out(
    hub: Hub,
    held: Claim,
    clock: Clock,
    stopping: Callable[[], bool],
    lease: timedelta,
    kinds: Mapping[str, Callable[[Work], Mapping[str, Any] | None]],
) -> str:
    watch = _Watch(hub, held, clock, stopping, lease)
    work = Work(hub, held.job.id, held.job.params, held.job.actor, held.job.attempts, watch.report)
    try:
        with watch.watching():
            if held.job.attempts > ATTEMPTS_MOST:
                raise _exhausted(held.job)
            result = kinds[held.job.kind](work)
    except Stopped:
        return _stopped(hub, held, watch, clock())
    except (TransientError, RunInProgressError) as error:
        return _again(hub, held, error, clock())
    except SynclineError as error:
        return _finish(hub, held, "failed", clock(), watch.progress, error=_told(error))
    except Exception:
        log.exception("a job ended in a bug", extra={"kind": held.job.kind})
        bug = {
            "code": "bug",
            "message": "Something went wrong that should not have.",
            "remedy": "Report it with the job's id.",
        }
        return _finish(hub, held, "failed", clock(), watch.progress, error=bug)
    return _finish(hub, held, "done", clock(), watch.progress, result=result or {})


def result_of(job: Job) -> dict[str, Any]:
    """What a job came to. Raises SynclineError where it failed, or has not ended yet."""
    if job.status == "done" and job.result is not None:
        return dict(job.result)
    told = job.error or {}
    raise SynclineError(
        str(told.get("message", "The job has not ended yet.")),
        remedy=str(told.get("remedy", f"A worker goes on with job {job.id}.")),
        code=str(told.get("code", "error")),
    )


def _stopped(hub: Hub, held: Claim, watch: _Watch, now: datetime) -> str:
    if watch.reason == "cancelled":
        return _finish(hub, held, "cancelled", now, watch.progress)
    if watch.reason == "lost":
        return "lost"
    with hub.db.tenant(held.tenant_id) as conn:
        return "queued" if jobs.give_back(conn, held, now) else "lost"


def _again(hub: Hub, held: Claim, error: SynclineError, now: datetime) -> str:
    after_s = getattr(error, "retry_after_s", None) or _AGAIN_S * held.job.attempts
    with hub.db.tenant(held.tenant_id) as conn:
        return "queued" if jobs.give_back(conn, held, now + timedelta(seconds=after_s), _told(error)) else "lost"


def _finish(hub: Hub, held: Claim, status: str, now: datetime, progress: Mapping[str, Any], **outcome: Any) -> str:
    with hub.db.tenant(held.tenant_id) as conn:
        return status if jobs.finish(conn, held, status, now, progress=progress, **outcome) else "lost"


def _told(error: SynclineError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "remedy": error.remedy}


def _exhausted(job: Job) -> SynclineError:
    why = f" The last time: {job.error['message']}" if job.error else ""
    return SynclineError(
        f"The job was begun {ATTEMPTS_MOST} times and never came to its end.{why}",
        remedy="Mend the cause and start it again; what it did so far is kept.",
        code="job_exhausted",
    )
