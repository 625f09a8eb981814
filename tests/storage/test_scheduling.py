"""What a scheduler sees of the lanes, and what it writes beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import connections, scheduling, streams
from storage.database import Database
from storage.scheduling import Waiting
from storage.streams import Stream
from storage.sync import lanes
from storage.sync.lanes import LaneKey

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLL, COMPARE = timedelta(minutes=5), timedelta(days=1)
Change = Callable[..., None]


@pytest.fixture
def connection_id(db: Database, tenant_id: UUID) -> UUID:
    """A connection with one stream, `Contact`, polled a minute ago and compared yesterday evening."""
    made = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, made, vendor="acme", name="acme", remote_account="42")
        streams.put(conn, Stream(made, "Contact", "contact", settings={"direction": "both"}))
    return made


@pytest.fixture
def change(db: Database, tenant_id: UUID, connection_id: UUID) -> Change:
    """Sets columns of the stream."""

    def change(**values: Any) -> None:
        with db.tenant(tenant_id) as conn:
            pairs = ", ".join(f"{name} = :{name}" for name in values)
            statement = f"UPDATE stream SET {pairs} WHERE connection_id = :c"  # noqa: S608  # names of columns above
            conn.execute(text(statement), {**values, "c": connection_id})

    change(verified_at=NOW - timedelta(minutes=1), compare_at=NOW + timedelta(hours=1))
    return change


@pytest.fixture
def seen(db: Database, tenant_id: UUID, change: Change) -> Callable[..., list[Waiting]]:
    def seen(now: datetime = NOW) -> list[Waiting]:
        with db.tenant(tenant_id) as conn:
            return scheduling.waiting(conn, now, POLL, COMPARE)

    return seen


Seen = Callable[..., list[Waiting]]


def flags(found: list[Waiting]) -> list[set[str]]:
    return [{n for n in ("held", "told", "hinted", "overdue", "comparing", "compare") if getattr(w, n)} for w in found]


def test_a_lane_with_nothing_to_do_is_not_listed(seen: Seen) -> None:
    assert seen() == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"verified_at": None}, {"overdue"}),
        ({"verified_at": NOW - POLL}, {"overdue"}),
        ({"verified_at": NOW - POLL * 3, "polled_at": NOW - timedelta(minutes=2)}, None),
        ({"verified_at": None, "polled_at": NOW - timedelta(minutes=2)}, None),
        ({"resync": '{"started_at": "2026-03-01T00:00:00+00:00"}'}, {"comparing"}),
        ({"compare_at": NOW}, {"compare"}),
        ({"lease_owner": "x", "lease_until": NOW + timedelta(seconds=1)}, {"held"}),
        ({"lease_owner": "x", "lease_until": NOW}, None),
        ({"verified_at": None, "not_before": NOW + timedelta(seconds=1)}, None),
        ({"verified_at": None, "not_before": NOW}, {"overdue"}),
        ({"verified_at": None, "status": "paused"}, None),
        ({"verified_at": None, "entity": ""}, None),
        ({"verified_at": NOW - POLL, "settings": '{"direction": "out"}'}, None),
    ],
)
def test_what_is_due(seen: Seen, change: Change, values: dict[str, Any], expected: set[str] | None) -> None:
    change(**values)
    assert flags(seen()) == ([] if expected is None else [expected])


def test_a_stream_never_compared_is_compared_a_period_after_it_was_added(seen: Seen, change: Change) -> None:
    change(compare_at=None, created_at=NOW - COMPARE)
    assert flags(seen()) == [{"compare"}]
    change(created_at=NOW - COMPARE + timedelta(seconds=1))
    assert seen() == []


@pytest.mark.parametrize(
    ("state", "due_at", "pushes", "expected"),
    [
        ("due", NOW, True, True),
        ("uncertain", NOW, True, True),
        ("due", NOW + timedelta(seconds=1), True, False),
        ("waiting", NOW, True, False),
        ("due", NOW, False, False),
    ],
)
def test_changes_to_send(
    db: Database, tenant_id: UUID, connection_id: UUID, seen: Seen, change: Change,
    state: str, due_at: datetime, pushes: bool, expected: bool,
) -> None:  # fmt: skip
    change(pushes=pushes)
    with db.tenant(tenant_id) as conn:
        conn.execute(
            text(
                "INSERT INTO push_work (tenant_id, connection_id, object, entity, entity_id, state, due_at) "
                "VALUES (:t, :c, 'Contact', 'contact', :e, :state, :due)"
            ),
            {"t": tenant_id, "c": connection_id, "e": new_id(), "state": state, "due": due_at},
        )
    assert flags(seen()) == ([{"hinted"}] if expected else [])


def test_a_notice_makes_a_lane_due(db: Database, tenant_id: UUID, connection_id: UUID, seen: Seen) -> None:
    with db.tenant(tenant_id) as conn:
        conn.execute(
            text(
                "INSERT INTO sync_notice (tenant_id, connection_id, object, vendor_id, id) VALUES (:t, :c, 'Contact', '7', :i)"
            ),
            {"t": tenant_id, "c": connection_id, "i": new_id()},
        )
    assert flags(seen()) == [{"hinted"}]
    assert seen()[0].account == "acme/42"


# ---------------------------------------------------------------- hints


def tell(db: Database, tenant_id: UUID, lane: Waiting, now: datetime = NOW) -> bool:
    with db.tenant(tenant_id) as conn:
        return scheduling.tell(conn, lane, "poll", now)


def test_a_lane_is_told_once_and_told_again_when_nobody_followed(
    db: Database, tenant_id: UUID, seen: Seen, change: Change
) -> None:
    change(verified_at=None)
    (first,) = seen()
    assert tell(db, tenant_id, first)
    assert not tell(db, tenant_id, first), "another scheduler that looked at the same time must not tell it, too"
    assert flags(seen(NOW + timedelta(seconds=9))) == [{"told", "overdue"}]
    (again,) = seen(NOW + timedelta(seconds=10))
    assert flags([again]) == [{"overdue"}]
    assert tell(db, tenant_id, again, NOW + timedelta(seconds=10))
    assert flags(seen(NOW + timedelta(seconds=29))) == [{"told", "overdue"}], "twice as patient the second time"
    assert flags(seen(NOW + timedelta(seconds=30))) == [{"overdue"}]


def test_a_lane_that_was_taken_does_not_count_as_told(
    db: Database, tenant_id: UUID, connection_id: UUID, seen: Seen, change: Change
) -> None:
    change(verified_at=None)
    (lane,) = seen()
    tell(db, tenant_id, lane)
    key = LaneKey(tenant_id, connection_id, "Contact")
    with db.tenant(tenant_id) as conn:
        generation = lanes.take(conn, key, "worker", NOW, NOW + timedelta(minutes=1))
        assert generation is not None
    assert flags(seen()) == [{"held", "overdue"}]
    assert not tell(db, tenant_id, lane), "it was taken since it was looked at"
    with db.tenant(tenant_id) as conn:
        lanes.release(conn, key, generation)
    assert flags(seen()) == [{"overdue"}]


def test_one_scheduler_at_a_time_looks_at_a_tenant(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as first:
        assert scheduling.claim(first)
        with db.tenant(tenant_id) as second, db.tenant(other_tenant_id) as third:
            assert not scheduling.claim(second)
            assert scheduling.claim(third)
    with db.tenant(tenant_id) as conn:
        assert scheduling.claim(conn)


# ---------------------------------------------------------------- how passes end


def test_a_failure_holds_the_lane_back_and_a_good_end_frees_it(
    db: Database, tenant_id: UUID, connection_id: UUID, seen: Seen, change: Change
) -> None:
    change(verified_at=None)
    with db.tenant(tenant_id) as conn:
        scheduling.hold_back(conn, connection_id, "Contact", NOW + timedelta(seconds=60))
        scheduling.hold_back(conn, connection_id, "Contact", NOW + timedelta(seconds=30))
        standing = scheduling.standing(conn, connection_id, "Contact")
    assert standing is not None
    assert standing.failures == 2
    assert seen(NOW + timedelta(seconds=59)) == [], "the later of two moments counts"
    with db.tenant(tenant_id) as conn:
        scheduling.ended_well(conn, connection_id, "Contact", polled_at=NOW)
        standing = scheduling.standing(conn, connection_id, "Contact")
    assert standing is not None
    assert standing.failures == 0
    assert seen() == [], "polled just now, although the vendor's listing verified nothing"


def test_resuming_waits_for_no_retry(
    db: Database, tenant_id: UUID, connection_id: UUID, seen: Seen, change: Change
) -> None:
    change(verified_at=None, not_before=NOW + timedelta(hours=1))
    assert seen() == []
    with db.tenant(tenant_id) as conn:
        streams.set_status(conn, connection_id, ["Contact"], "idle")
    assert flags(seen()) == [{"overdue"}]


def test_the_stamp_changes_with_rules_and_address_and_with_nothing_else(
    db: Database, tenant_id: UUID, connection_id: UUID, change: Change
) -> None:
    def stamp() -> str:
        with db.tenant(tenant_id) as conn:
            found = scheduling.standing(conn, connection_id, "Contact")
            assert found is not None
            return found.stamp

    before = stamp()
    change(verified_at=NOW, lease_owner="x", generation=7)
    assert stamp() == before
    change(settings='{"direction": "in"}')
    rules = stamp()
    assert rules != before
    with db.tenant(tenant_id) as conn:
        connections.update(conn, connection_id, base_url="http://127.0.0.1:1")
    assert stamp() != rules


def test_quota_is_known_to_every_connection_of_the_remote_account(
    db: Database, tenant_id: UUID, connection_id: UUID, seen: Seen, change: Change
) -> None:
    change(verified_at=None)
    twin, stranger = new_id(), new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, twin, vendor="acme", name="twin", remote_account="42")
        connections.create(conn, stranger, vendor="acme", name="stranger", remote_account="43")
        scheduling.note_quota(conn, twin, 900, 1000, NOW)
        known = {row[0]: row[1] for row in conn.execute(text("SELECT id, quota_used FROM connection"))}
    assert known == {connection_id: 900, twin: 900, stranger: None}
    assert (seen()[0].quota_used, seen()[0].quota_limit, seen()[0].quota_at) == (900, 1000, NOW)


def test_tenants_are_listed_by_id_and_only_by_the_function(
    db: Database, tenant_id: UUID, other_tenant_id: UUID
) -> None:
    assert {tenant_id, other_tenant_id} <= set(scheduling.tenants(db))
    with db.tenant(tenant_id) as conn:
        assert list(conn.scalars(text("SELECT tenant_id FROM tenant"))) == [tenant_id]
