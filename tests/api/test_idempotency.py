"""A call that is repeated, by a person, a proxy or after a crash, is carried out once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import unit
from bootstrap.settings import variable_name
from bootstrap.wiring import Hub
from storage import api_keys, audit
from storage.database import Database
from tests.api import probe
from tests.api.probe import probing_app

Client = TestClient


@pytest.fixture(scope="module")
def probing(hub: Hub) -> Iterator[Client]:
    with TestClient(probing_app(hub), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def secret(db: Database, tenant_id: UUID) -> str:
    with db.tenant(tenant_id) as conn:
        return api_keys.create(conn, name="k", role="tenant_admin", created_by="tests")[1]


@pytest.fixture
def key() -> str:
    return str(uuid4())


@pytest.fixture
def call(probing: Client, secret: str, key: str) -> Any:
    def post(path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
        with_key = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key, **headers}
        return probing.post(f"/v1{path}", json=body or {"name": "once"}, headers=with_key)

    return post


def written(db: Database, tenant_id: UUID) -> int:
    with db.tenant(tenant_id) as conn:
        assert audit.verify(conn).ok
        return len(audit.entries(conn, audit.Wanted(action="probe.write")))


def test_the_same_request_is_answered_alike_and_carried_out_once(call: Any, db: Database, tenant_id: UUID) -> None:
    first, again = call("/probe/joined"), call("/probe/joined")
    assert (first.status_code, again.status_code) == (201, 201)
    assert (first.content, first.headers["content-type"]) == (again.content, again.headers["content-type"])
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert written(db, tenant_id) == 1


def test_a_secret_that_is_shown_once_is_replayed_and_stored_sealed(call: Any, db: Database, tenant_id: UUID) -> None:
    made = [call("/keys", {"name": "door", "role": "member"}).json() for _ in range(2)]
    assert made[0] == made[1]
    with db.tenant(tenant_id) as conn:
        stored = conn.execute(text("SELECT k::text FROM idempotency_key k")).scalars().all()
        assert len(stored) == 1
        assert made[0]["secret"].encode().hex() not in stored[0]
        assert made[0]["secret"] not in stored[0]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/probe/joined", {"name": "other"}, {}),
        ("/probe/apart", {"name": "once"}, {}),
        ("/probe/joined?x=1", {"name": "once"}, {}),
    ],
)
def test_a_key_is_good_for_one_request_only(
    call: Any, db: Database, tenant_id: UUID, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    call("/probe/joined")
    reply = call(path, body, **headers)
    assert (reply.status_code, reply.json()["code"]) == (422, "idempotency_key_reused")
    assert written(db, tenant_id) == 1


@pytest.mark.parametrize("key", ["", "with blank", "ü", "k" * 256])
def test_an_odd_key_is_refused(call: Any, db: Database, tenant_id: UUID, key: str) -> None:
    reply = call("/probe/joined", **{"Idempotency-Key": key.encode("latin-1")})  # type: ignore[arg-type]
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_idempotency_key")
    assert written(db, tenant_id) == 0


def test_another_caller_has_keys_of_its_own(call: Any, db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        _, other = api_keys.create(conn, name="k2", role="tenant_admin", created_by="tests")
    call("/probe/joined")
    assert call("/probe/joined", Authorization=f"Bearer {other}").status_code == 201
    assert written(db, tenant_id) == 2


def test_without_a_key_a_call_is_carried_out_each_time(
    probing: Client, secret: str, db: Database, tenant_id: UUID
) -> None:
    for _ in range(2):
        probing.post("/v1/probe/joined", json={"name": "n"}, headers={"Authorization": f"Bearer {secret}"})
    assert written(db, tenant_id) == 2


@pytest.mark.parametrize(("then", "status"), [("refuse", 409), ("crash", 500)])
def test_a_call_that_fails_changes_nothing_and_may_be_made_again(
    call: Any, db: Database, tenant_id: UUID, then: str, status: int
) -> None:
    for _ in range(2):
        reply = call("/probe/joined", {"name": "n", "then": then})
        assert reply.status_code == status
        assert "idempotency-replayed" not in reply.headers
        assert reply.headers["x-request-id"] == reply.json()["request_id"]
    assert written(db, tenant_id) == 0
    assert call("/probe/joined", {"name": "n"}).status_code == 201


def test_blocks_of_one_call_stand_or_fall_together(call: Any, db: Database, tenant_id: UUID) -> None:
    assert call("/probe/joined", {"name": "n", "blocks": 3}).json()["entries"] == [1, 2, 3]
    assert written(db, tenant_id) == 3


@pytest.mark.parametrize(("blocks", "then", "left"), [(1, "", 0), (3, "", 2), (3, "always", 0)])
def test_a_block_whose_error_is_caught_leaves_nothing_behind(
    call: Any, db: Database, tenant_id: UUID, blocks: int, then: str, left: int
) -> None:
    assert call("/probe/caught", {"name": "n", "blocks": blocks, "then": then}).status_code == 200
    assert written(db, tenant_id) == left


def test_while_a_call_is_carried_out_its_repetition_is_told_to_wait(
    call: Any, db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()
    record = audit.record

    def slow(*args: Any, **kwargs: Any) -> int:
        begun.set()
        assert go_on.wait(30)
        return record(*args, **kwargs)

    monkeypatch.setattr(probe.audit, "record", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, "/probe/joined")
        assert begun.wait(30)
        second = call("/probe/joined")
        go_on.set()
        assert first.result().status_code == 201
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_progress")
    assert 1 <= int(second.headers["retry-after"]) <= unit.LEASE_S + 1
    assert call("/probe/joined").headers["idempotency-replayed"] == "true"
    assert written(db, tenant_id) == 1


def test_an_attempt_that_was_overtaken_commits_nothing(
    call: Any, db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()
    record = audit.record

    def slow(*args: Any, **kwargs: Any) -> int:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(30)
        return record(*args, **kwargs)

    monkeypatch.setattr(probe.audit, "record", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, "/probe/joined")
        assert begun.wait(30)
        end_leases(db, tenant_id)
        second = call("/probe/joined")
        go_on.set()
        assert (first.result().status_code, second.status_code) == (409, 201)
    assert written(db, tenant_id) == 1
    assert call("/probe/joined").headers["idempotency-replayed"] == "true"


def test_many_at_once_are_one(call: Any, db: Database, tenant_id: UUID) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: call("/probe/joined"), range(16)))
    assert {r.status_code for r in replies} <= {201, 409}
    assert len({r.content for r in replies if r.status_code == 201}) == 1
    assert written(db, tenant_id) == 1


@pytest.mark.parametrize(("moment", "stands"), [("before-commit", 0), ("after-commit", 1)])
def test_a_process_killed_in_the_middle_leaves_all_or_nothing(
    hub: Hub, call: Any, secret: str, key: str, db: Database, tenant_id: UUID, moment: str, stands: int
) -> None:
    assert hub.settings.database_url is not None
    variables = {
        variable_name("home"): str(hub.settings.home),
        "DATABASE_URL": hub.settings.database_url.get_secret_value(),
    }
    died = subprocess.run(
        [sys.executable, "-m", "tests.api.crashing", moment, secret, key, "/v1/probe/joined"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert died.returncode == -9, died.stderr
    assert written(db, tenant_id) == stands
    if not stands:
        waiting = call("/probe/joined")
        assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_in_progress")
        end_leases(db, tenant_id)
    reply = call("/probe/joined")
    assert (reply.status_code, "idempotency-replayed" in reply.headers) == (201, bool(stands))
    assert written(db, tenant_id) == 1


def test_work_that_commits_by_itself_is_repeated_only_where_its_answer_was_not_kept(
    call: Any, db: Database, tenant_id: UUID
) -> None:
    assert [call("/probe/apart").status_code for _ in range(2)] == [200, 200]
    assert written(db, tenant_id) == 1


def test_an_answer_is_kept_for_two_days(call: Any, db: Database, tenant_id: UUID) -> None:
    call("/probe/joined")
    with db.tenant(tenant_id) as conn:
        kept = conn.scalar(text("SELECT extract(epoch FROM expires_at - now()) / 3600 FROM idempotency_key"))
        conn.execute(text("UPDATE idempotency_key SET expires_at = now() - interval '1 second'"))
    assert 47 < float(kept) <= 48
    assert "idempotency-replayed" not in call("/probe/joined").headers
    assert written(db, tenant_id) == 2


def end_leases(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        conn.execute(text("UPDATE idempotency_key SET lease_until = now() - interval '1 second' WHERE status IS NULL"))
