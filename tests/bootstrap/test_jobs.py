"""Long work is done once, by one worker at a time, and goes on after whatever ends that worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bootstrap import jobs as running
from bootstrap.jobs import ATTEMPTS_MOST, Stopped, Work
from bootstrap.settings import Settings, variable_name
from bootstrap.wiring import Hub
from domain.access import Actor
from domain.errors import ConfigurationError, TransientError
from storage import jobs
from storage.database import Database
from storage.embedded import ServerUrls
from storage.jobs import Claim, Job

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)
ANNA = Actor("person", "p1", "Anna")

Kind = Callable[[Work], Mapping[str, Any] | None]


@pytest.fixture
def hub(database_urls: ServerUrls, tenant_id: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_name(name), raising=False)
    given: dict[str, Any] = {"home": tmp_path, "DATABASE_URL": database_urls.app, "tenant": tenant_id}
    hub = Hub(Settings(**given))
    yield hub
    hub.close()


@pytest.fixture
def queued(db: Database, tenant_id: UUID) -> UUID:
    with db.tenant(tenant_id) as conn:
        return jobs.add(conn, "test", {"n": 3}, ANNA).id


def _job(db: Database, tenant_id: UUID, job_id: UUID) -> Job:
    with db.tenant(tenant_id) as conn:
        return jobs.get(conn, job_id)


def _claim(db: Database, tenant_id: UUID, job_id: UUID, now: datetime = NOW) -> Claim | None:
    with db.tenant(tenant_id) as conn:
        return jobs.claim(conn, job_id, "w", now, LEASE)


def _run(hub: Hub, job_id: UUID, kind: Kind, **given: Any) -> str | None:
    return running.run(hub, job_id, "w", clock=given.pop("clock", lambda: NOW), kinds={"test": kind}, **given)


def test_a_job_is_done_once_with_its_result(hub: Hub, db: Database, tenant_id: UUID, queued: UUID) -> None:
    def kind(work: Work) -> Mapping[str, Any]:
        work.report({"seen": 1})
        return {"twice": work.params["n"] * 2, "by": work.actor.label, "attempt": work.attempt}

    assert _run(hub, queued, kind) == "done"
    assert _run(hub, queued, kind) is None
    done = _job(db, tenant_id, queued)
    assert (done.status, done.result, done.progress, done.finished_at) == (
        "done", {"twice": 6, "by": "person:Anna", "attempt": 1}, {"seen": 1}, NOW,
    )  # fmt: skip


def test_the_same_job_asked_for_twice_is_one(db: Database, tenant_id: UUID, queued: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        again = jobs.add(conn, "test", {"n": 4}, ANNA, job_id=queued)
        assert (again.params, len(jobs.list_jobs(conn))) == ({"n": 3}, 1)


def test_a_job_that_is_held_is_nobody_elses_until_its_lease_is_over(
    db: Database, tenant_id: UUID, queued: UUID
) -> None:
    assert _claim(db, tenant_id, queued) is not None
    assert _claim(db, tenant_id, queued, NOW + LEASE) is None
    with db.tenant(tenant_id) as conn:
        assert jobs.waiting(conn, NOW + LEASE) == []
        assert jobs.waiting(conn, NOW + LEASE + timedelta(seconds=1)) == [queued]
    second = _claim(db, tenant_id, queued, NOW + LEASE + timedelta(seconds=1))
    assert second is not None
    assert second.job.attempts == 2


def test_a_worker_taken_for_dead_writes_nothing_any_more(db: Database, tenant_id: UUID, queued: UUID) -> None:
    first = _claim(db, tenant_id, queued)
    later = NOW + timedelta(minutes=5)
    second = _claim(db, tenant_id, queued, later)
    assert first is not None
    assert second is not None
    with db.tenant(tenant_id) as conn:
        assert jobs.renew(conn, first, later, LEASE, {"seen": 99}) is None
        assert not jobs.finish(conn, first, "done", later, progress={})
        assert not jobs.give_back(conn, first, later)
        assert jobs.renew(conn, second, later, LEASE, {"seen": 1}) is False
    assert (_job(db, tenant_id, queued).status, _job(db, tenant_id, queued).progress) == ("running", {"seen": 1})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigurationError("There is no plan.", remedy="Make one.", code="no_plan"), "failed", "no_plan"),
        (ValueError("tea at four"), "failed", "bug"),
        (TransientError("The vendor is away.", retry_after_s=40), "queued", "vendor_unavailable"),
    ],
)
def test_how_a_failure_goes_on_depends_on_its_kind(
    hub: Hub, db: Database, tenant_id: UUID, queued: UUID, error: Exception, status: str, code: str
) -> None:
    def kind(work: Work) -> None:
        raise error

    assert _run(hub, queued, kind) == status
    found = _job(db, tenant_id, queued)
    assert found.error is not None
    assert (found.status, found.error["code"]) == (status, code)
    assert "tea" not in str(found.error)
    with db.tenant(tenant_id) as conn:
        assert jobs.waiting(conn, NOW + timedelta(seconds=39)) == []
        assert jobs.waiting(conn, NOW + timedelta(seconds=41)) == ([queued] if status == "queued" else [])


def test_a_job_that_never_ends_is_given_up_with_its_last_trouble(
    hub: Hub, db: Database, tenant_id: UUID, queued: UUID
) -> None:
    def kind(work: Work) -> None:
        raise TransientError("The vendor is away.")

    hours = count(1)
    ended = [
        _run(hub, queued, kind, clock=lambda: NOW + next(hours) * timedelta(hours=1)) for _ in range(ATTEMPTS_MOST + 1)
    ]
    assert ended == ["queued"] * ATTEMPTS_MOST + ["failed"]
    error = _job(db, tenant_id, queued).error
    assert error is not None
    assert error["code"] == "job_exhausted"
    assert "The vendor is away." in error["message"]


def test_cancelling_a_queued_job_ends_it_at_once(hub: Hub, db: Database, tenant_id: UUID, queued: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        assert jobs.cancel(conn, queued, NOW).status == "cancelled"
    assert _run(hub, queued, lambda _: None) is None


@pytest.mark.parametrize(("how", "ended"), [("cancel", "cancelled"), ("take over", "lost")])
def test_a_running_job_stops_at_its_next_report(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, db: Database, tenant_id: UUID, queued: UUID, how: str, ended: str
) -> None:
    monkeypatch.setattr(running, "BEAT_S", 0.01)
    stopped = threading.Event()

    def kind(work: Work) -> None:
        with db.tenant(tenant_id) as conn:
            if how == "cancel":
                assert jobs.cancel(conn, queued, NOW).status == "running"
            else:
                assert jobs.claim(conn, queued, "other", NOW + timedelta(hours=1), LEASE)
        for number in range(100_000):
            try:
                work.report({"seen": number})
            except Stopped:
                stopped.set()
                raise
            threading.Event().wait(0.001)

    assert _run(hub, queued, kind) == ended
    assert stopped.is_set()
    assert _job(db, tenant_id, queued).status == ("cancelled" if how == "cancel" else "running")


def test_a_worker_that_stops_hands_its_job_back(hub: Hub, db: Database, tenant_id: UUID, queued: UUID) -> None:
    stopping = threading.Event()

    def kind(work: Work) -> None:
        stopping.set()
        work.report({"seen": 1})

    assert _run(hub, queued, kind, stopping=stopping.is_set) == "queued"
    with db.tenant(tenant_id) as conn:
        assert jobs.waiting(conn, NOW) == [queued]
    assert _run(hub, queued, lambda work: {"attempt": work.attempt}) == "done"
    assert _job(db, tenant_id, queued).result == {"attempt": 2}


def test_another_tenants_job_is_not_there(db: Database, other_tenant_id: UUID, queued: UUID) -> None:
    with db.tenant(other_tenant_id) as conn:
        with pytest.raises(ConfigurationError, match="no job"):
            jobs.get(conn, queued)
        assert jobs.claim(conn, queued, "w", NOW, LEASE) is None


def test_jobs_that_ended_long_ago_are_deleted_and_others_stay(
    hub: Hub, db: Database, tenant_id: UUID, queued: UUID
) -> None:
    _run(hub, queued, lambda _: None)
    with db.tenant(tenant_id) as conn:
        waiting = jobs.add(conn, "test", {}, ANNA).id
        assert jobs.purge(conn, NOW) == 0
        assert jobs.purge(conn, NOW + timedelta(seconds=1)) == 1
        assert [j.id for j in jobs.list_jobs(conn)] == [waiting]
