"""A connection becomes healthy or unhealthy in one transaction with the one event that tells so."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import connection_alerts, connections, scheduling, streams
from storage.connections import StoredConnection
from storage.database import Database
from storage.streams import Stream
from storage.sync import lanes
from storage.sync.lanes import LaneKey

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TARGET = timedelta(hours=2)
Look = Callable[..., int]
Told = Callable[[], list[tuple[str, Any]]]


@pytest.fixture
def key(db: Database, tenant_id: UUID) -> LaneKey:
    """One of two streams, both verified ten minutes ago."""
    made = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, made, vendor="acme", name="acme", status="ok")
        for name in ("contacts", "deals"):
            streams.put(conn, Stream(made, name, "contact"))
        conn.execute(text("UPDATE stream SET verified_at = :at"), {"at": NOW - timedelta(minutes=10)})
        conn.execute(text("DELETE FROM event"))
    return LaneKey(tenant_id, made, "contacts")


@pytest.fixture
def look(db: Database, tenant_id: UUID) -> Look:
    def look(later: timedelta = timedelta(0)) -> int:
        with db.tenant(tenant_id) as conn:
            return connection_alerts.look(conn, NOW + later, TARGET)

    return look


@pytest.fixture
def told(db: Database, tenant_id: UUID) -> Told:
    """Events so far, with the codes of their reasons."""

    def told() -> list[tuple[str, Any]]:
        with db.tenant(tenant_id) as conn:
            rows = conn.execute(text("SELECT type, data FROM event ORDER BY seq")).all()
        return [(kind.removeprefix("connection."), [r["code"] for r in data.get("reasons", ())]) for kind, data in rows]

    return told


def stored(db: Database, key: LaneKey) -> StoredConnection:
    with db.tenant(key.tenant_id) as conn:
        return connections.get(conn, key.connection_id)


def test_a_connection_that_grows_old_is_told_once_and_once_when_it_is_compared_again(
    db: Database, key: LaneKey, look: Look, told: Told
) -> None:
    assert look() == 0
    assert (stored(db, key).healthy, stored(db, key).health_since) == (True, None)
    old = timedelta(hours=2)
    assert [look(old), look(old), look(old * 2)] == [1, 0, 0]
    found = stored(db, key)
    assert (found.healthy, found.health_since, len(found.unhealthy_reasons)) == (False, NOW + old, 2)
    with db.tenant(key.tenant_id) as conn:
        conn.execute(text("UPDATE stream SET verified_at = :at WHERE object = 'deals'"), {"at": NOW + old})
    assert look(old) == 0
    assert [r["object"] for r in stored(db, key).unhealthy_reasons] == ["contacts"], "reasons are kept up to date"
    with db.tenant(key.tenant_id) as conn:
        conn.execute(text("UPDATE stream SET verified_at = :at"), {"at": NOW + old})
    assert [look(old), look(old)] == [1, 0]
    assert told() == [("unhealthy", ["stale", "stale"]), ("recovered", [])]
    assert (stored(db, key).healthy, list(stored(db, key).unhealthy_reasons)) == (True, [])


def test_a_stream_that_stops_is_told_at_once_and_recovery_by_the_next_look(
    db: Database, key: LaneKey, look: Look, told: Told
) -> None:
    with db.tenant(key.tenant_id) as conn:
        lanes.set_status(conn, key, "braked", {"code": "too_many_deletes"})
        lanes.set_status(conn, LaneKey(key.tenant_id, key.connection_id, "deals"), "stopped", {"code": "gone"})
    assert told() == [("unhealthy", ["braked"])]
    assert look() == 0
    assert [r["code"] for r in stored(db, key).unhealthy_reasons] == ["braked", "gone"]
    with db.tenant(key.tenant_id) as conn:
        streams.set_status(conn, key.connection_id, ["contacts", "deals"], "idle")
    assert look() == 1
    assert told()[1:] == [("recovered", [])]


def test_refused_credentials_are_told_for_what_they_are_too(db: Database, key: LaneKey, look: Look, told: Told) -> None:
    with db.tenant(key.tenant_id) as conn:
        connections.update(conn, key.connection_id, status="reauth")
    with db.tenant(key.tenant_id) as conn:
        connections.update(conn, key.connection_id, status="ok")
    assert told() == [("reauth_required", []), ("unhealthy", ["reauth_required"])]
    assert look() == 1
    assert told()[2:] == [("recovered", [])]


def test_a_stream_that_fails_again_and_again_is_told_until_a_pass_ends_well(
    db: Database, key: LaneKey, look: Look, told: Told
) -> None:
    with db.tenant(key.tenant_id) as conn:
        for _ in range(7):
            scheduling.hold_back(conn, key.connection_id, key.object, NOW)
    assert [look(), look()] == [1, 0]
    with db.tenant(key.tenant_id) as conn:
        scheduling.ended_well(conn, key.connection_id, key.object)
    assert [look(), look()] == [1, 0]
    assert told() == [("unhealthy", ["failing"]), ("recovered", [])]


def test_a_paused_connection_is_not_judged(db: Database, key: LaneKey, look: Look, told: Told) -> None:
    with db.tenant(key.tenant_id) as conn:
        connections.update(conn, key.connection_id, status="paused")
    assert look(timedelta(days=9)) == 0
    assert told() == []


def test_a_transaction_that_dies_leaves_neither_state_nor_event(
    db: Database, key: LaneKey, look: Look, told: Told
) -> None:
    def dies_before_the_commit() -> None:
        with db.tenant(key.tenant_id) as conn:
            assert connection_alerts.look(conn, NOW + TARGET, TARGET) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dies_before_the_commit()
    assert (stored(db, key).healthy, told()) == (True, [])
    assert look(TARGET) == 1


def test_however_many_look_at_once_one_event_is_told(db: Database, key: LaneKey, look: Look, told: Told) -> None:
    with ThreadPoolExecutor(4) as several:
        assert sum(several.map(look, [TARGET] * 8)) == 1
    assert len(told()) == 1


def test_another_tenants_connections_are_left_alone(
    db: Database, key: LaneKey, other_tenant_id: UUID, told: Told
) -> None:
    with db.tenant(other_tenant_id) as conn:
        assert connection_alerts.look(conn, NOW + TARGET * 9, TARGET) == 0
    assert told() == []
