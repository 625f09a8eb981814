"""From logs to deliveries: nothing skipped however late it commits, nothing twice, and per record in the order of its changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import events, relaying, subscriptions
from storage.database import Connection, Database
from storage.events import Event
from storage.sync import records
from storage.vault import Vault
from tests.conftest import new_tenant
from tests.webhooks.outbound.conftest import Clock, Hooks, hooks_of
from webhooks.outbound.relay import Relay

URL = "https://hooks.example.com/in"


def person(conn: Connection, tenant: UUID, name: str = "Ada") -> UUID:
    return records.create(conn, tenant, "contact", {"last_name": name}, "tests")


def told(hooks: Hooks) -> list[tuple[str, str]]:
    """Type and name of everything that is queued, in order."""
    return [
        tuple(row)
        for row in hooks.rows("""
        SELECT e.type, coalesce(e.data->'record'->'fields'->>'last_name', '') FROM webhook_delivery d
        JOIN event e ON e.tenant_id = d.tenant_id AND e.id = d.event_id ORDER BY d.seq""")
    ]


def test_a_late_commit_is_told_and_nothing_before_it_is_told_twice(hooks: Hooks) -> None:
    hooks.subscribe(URL)
    with hooks.db.tenant(hooks.tenant_id) as slow:
        person(slow, hooks.tenant_id, "Late")  # numbered first, committed last
        with hooks.db.tenant(hooks.tenant_id) as quick:
            person(quick, hooks.tenant_id, "Early")
        hooks.relay.run(hooks.tenant_id)
        assert told(hooks) == []  # an older transaction is open: what is behind it waits
    hooks.tell()
    assert told(hooks) == [("contact.created", "Late"), ("contact.created", "Early")]
    assert hooks.tell() == 0


def test_changes_of_one_record_are_told_in_the_order_in_which_they_were_made(hooks: Hooks) -> None:
    with hooks.db.tenant(hooks.tenant_id) as conn:
        record = person(conn, hooks.tenant_id)
    hooks.subscribe(URL, "contact.updated")
    with hooks.db.tenant(hooks.tenant_id) as older:
        older.execute(text("SELECT pg_current_xact_id()"))  # an older transaction makes the later change
        with hooks.db.tenant(hooks.tenant_id) as younger:
            records.edit(younger, hooks.tenant_id, "contact", record, {"title": "first"}, "tests")
        records.edit(older, hooks.tenant_id, "contact", record, {"title": "second"}, "tests")
    hooks.tell()
    rows = hooks.rows("""
        SELECT e.data->'changed'->'title'->>'new' FROM webhook_delivery d
        JOIN event e ON e.tenant_id = d.tenant_id AND e.id = d.event_id ORDER BY d.seq""")
    assert [r[0] for r in rows] == ["first", "second"]


@pytest.mark.parametrize("page", [1, 2, 7])
def test_pages_of_any_size_tell_everything_once(hooks: Hooks, page: int) -> None:
    hooks.relay = Relay(hooks.db, hooks.clock, page=page)
    hooks.subscribe(URL)
    names = [f"P{n:02}" for n in range(14)]
    for name in names:
        with hooks.db.tenant(hooks.tenant_id) as conn:
            person(conn, hooks.tenant_id, name)
            events.emit(conn, Event("webhook.test", {"message": name}))
    hooks.tell()
    assert [name for kind, name in told(hooks) if kind == "contact.created"] == names
    assert len(told(hooks)) == 28
    assert hooks.tell() == 0


def test_many_relays_writers_and_readers_at_once_tell_everything_exactly_once(hooks: Hooks) -> None:
    first, second = hooks.subscribe(URL, "contact.*"), hooks.subscribe(URL, "*")
    done = threading.Event()

    def write(writer: int) -> None:
        for n in range(25):
            with hooks.db.tenant(hooks.tenant_id) as conn:
                person(conn, hooks.tenant_id, f"{writer}-{n}")

    def relay() -> None:
        mine = Relay(hooks.db, hooks.clock, page=5)
        while not done.is_set():
            mine.run(hooks.tenant_id)

    with ThreadPoolExecutor(5) as pool:
        relays = [pool.submit(relay) for _ in range(2)]
        for writing in [pool.submit(write, w) for w in range(3)]:
            writing.result()
        done.set()
        for running in relays:
            running.result()
    hooks.tell()
    rows = hooks.rows("""
        SELECT d.subscription_id, count(*), count(DISTINCT d.event_id), count(DISTINCT d.subject) FROM webhook_delivery d
        GROUP BY 1 ORDER BY 1""")
    assert [tuple(r) for r in rows] == [(s.id, 75, 75, 75) for s in (first, second)]


def test_a_crash_before_the_commit_leaves_nothing_half_told(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.subscribe(URL)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        person(conn, hooks.tenant_id)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(relaying, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            hooks.tell()
    assert told(hooks) == []
    hooks.tell()
    assert told(hooks) == [("contact.created", "Ada")]


def test_a_subscription_hears_what_commits_after_it_and_not_what_was_before(hooks: Hooks) -> None:
    with hooks.db.tenant(hooks.tenant_id) as conn:
        person(conn, hooks.tenant_id, "Before")
        before = conn.scalar(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")) or 0
    hooks.reach(before)
    hooks.subscribe(URL)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        person(conn, hooks.tenant_id, "After")
    hooks.tell()
    assert told(hooks) == [("contact.created", "After")]


def test_a_transaction_that_was_open_when_the_subscription_was_made_is_told(hooks: Hooks) -> None:
    with hooks.db.tenant(hooks.tenant_id) as open_:
        person(open_, hooks.tenant_id, "Underway")
        hooks.subscribe(URL)
        hooks.relay.run(hooks.tenant_id)
    hooks.tell()
    assert told(hooks) == [("contact.created", "Underway")]


def test_the_last_subscription_gone_a_new_one_starts_afresh(hooks: Hooks) -> None:
    old = hooks.subscribe(URL)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        subscriptions.remove(conn, old.id)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        person(conn, hooks.tenant_id, "Unheard")
        last = conn.scalar(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")) or 0
    hooks.reach(last)
    hooks.subscribe(URL)
    assert hooks.tell() == 0


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("*",), ["contact.created", "contact.updated", "contact.deleted", "contact.restored"]),
        (("contact.*",), ["contact.created", "contact.updated", "contact.deleted", "contact.restored"]),
        (("contact.deleted", "contact.restored"), ["contact.deleted", "contact.restored"]),
        (("account.*",), []),
        (("contact.createdx",), []),
    ],
)
def test_an_endpoint_hears_what_it_asked_for(hooks: Hooks, patterns: tuple[str, ...], expected: list[str]) -> None:
    hooks.subscribe(URL, *patterns)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        record = person(conn, hooks.tenant_id)
        records.edit(conn, hooks.tenant_id, "contact", record, {"title": "Countess"}, "tests")
        records.delete(conn, hooks.tenant_id, "contact", record, "tests")
        records.restore(conn, hooks.tenant_id, "contact", record, "tests")
    hooks.tell()
    assert [kind for kind, _ in told(hooks)] == expected


def test_an_update_tells_the_new_and_the_old_value(hooks: Hooks) -> None:
    with hooks.db.tenant(hooks.tenant_id) as conn:
        record = records.create(
            conn, hooks.tenant_id, "contact", {"last_name": "Ada", "custom_fields.tier": "b"}, "tests"
        )
    hooks.subscribe(URL, "contact.updated")
    with hooks.db.tenant(hooks.tenant_id) as conn:
        changes = {"last_name": "Lovelace", "custom_fields.tier": "a"}
        records.edit(conn, hooks.tenant_id, "contact", record, changes, "key:form")
    hooks.tell()
    (data,) = hooks.rows("SELECT data FROM event WHERE type = 'contact.updated'")[0]
    assert data["changed"] == {
        "last_name": {"old": "Ada", "new": "Lovelace"},
        "custom_fields.tier": {"old": "b", "new": "a"},
    }
    assert (data["by"], data["version"], data["record"]["fields"]["last_name"]) == ("key:form", 2, "Lovelace")
    assert data["record"]["custom_fields"] == {"tier": "a"}
    assert set(data["record"]["fields"]) == {"last_name"}


def test_a_stage_change_is_an_event_of_its_own_with_both_stages(hooks: Hooks) -> None:
    hooks.subscribe(URL, "opportunity.*")
    with hooks.db.tenant(hooks.tenant_id) as conn:
        stages = [records.create(conn, hooks.tenant_id, "stage", {"name": n}, "tests") for n in ("Open", "Won")]
        deal = records.create(conn, hooks.tenant_id, "opportunity", {"name": "D", "stage_id": stages[0]}, "tests")
    with hooks.db.tenant(hooks.tenant_id) as conn:
        records.edit(conn, hooks.tenant_id, "opportunity", deal, {"stage_id": stages[1]}, "tests")
    hooks.tell()
    (data,) = hooks.rows("SELECT data FROM event WHERE type = 'opportunity.stage_changed'")[0]
    assert (data["old_stage"]["name"], data["new_stage"]["name"]) == ("Open", "Won")
    assert len(hooks.rows("SELECT 1 FROM webhook_delivery")) == 3


def test_ten_thousand_failures_of_one_cause_are_one_event_an_hour(hooks: Hooks) -> None:
    hooks.subscribe(URL, "sync.failed")
    for cause in ("a", "a", "b", "a"):
        with hooks.db.tenant(hooks.tenant_id) as conn:
            events.emit(conn, *(Event("sync.failed", {"n": n}, cause=cause) for n in range(2_500)))
        hooks.tell()
    assert len(hooks.rows("SELECT 1 FROM webhook_delivery")) == 2


def test_a_cause_is_told_again_after_an_hour(hooks: Hooks) -> None:
    hooks.subscribe(URL, "sync.failed")
    for _ in range(2):
        with hooks.db.tenant(hooks.tenant_id) as conn:
            events.emit(conn, Event("sync.failed", {}, cause="a"))
        hooks.tell()
        hooks.rows("UPDATE event SET occurred_at = occurred_at - interval '61 minutes' RETURNING 1")
    assert len(hooks.rows("SELECT 1 FROM webhook_delivery")) == 2


def test_tenants_hear_nothing_of_each_other(db: Database, hooks: Hooks, vault: Vault, clock: Clock) -> None:
    other = hooks_of(db, new_tenant(db), vault, clock)
    hooks.subscribe(URL)
    other.subscribe(URL)
    with db.tenant(hooks.tenant_id) as conn:
        person(conn, hooks.tenant_id, "Mine")
    hooks.tell()
    other.tell()
    assert told(hooks) == [("contact.created", "Mine")]
    assert told(other) == []


# ---------------------------------------------------------------- bulk loads


@pytest.fixture
def load(hooks: Hooks) -> Callable[[int, int], UUID]:
    """``load(first, end)``: a chunk of one migration's contacts, as `storage.loading` leaves it."""
    run = new_id()
    connection_id = new_id()

    def chunk(first: int, end: int) -> UUID:
        with hooks.db.tenant(hooks.tenant_id) as conn:
            for n in range(first, end):
                record = new_id()
                conn.execute(
                    text("INSERT INTO crm_contact (tenant_id, id, last_name) VALUES (:t, :i, :n)"),
                    {"t": hooks.tenant_id, "i": record, "n": f"C{n}"},
                )
                conn.execute(
                    text("""
                    INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, run_id)
                    VALUES (:t, :c, 'Contact', :v, 'contact', :i, 'created', :r)"""),
                    {"t": hooks.tenant_id, "c": connection_id, "v": f"{n:05}", "i": record, "r": run},
                )
            conn.execute(
                text("""
                INSERT INTO change (tenant_id, id, entity, kind, connection_id, detail)
                VALUES (:t, :i, 'contact', 'bulk', :c, jsonb_build_object('run_id', CAST(:r AS text), 'object', 'Contact',
                    'first', CAST(:f AS bigint), 'end', CAST(:e AS bigint), 'rows', CAST(:e - :f AS bigint)))"""),
                {"t": hooks.tenant_id, "i": new_id(), "c": connection_id, "r": run, "f": first, "e": end},
            )
        return run

    return chunk


def test_a_bulk_load_is_a_summary_for_each_chunk(hooks: Hooks, load: Callable[[int, int], UUID]) -> None:
    hooks.subscribe(URL, "contact.*")
    load(0, 120)
    load(120, 130)
    hooks.tell()
    hooks.clock.tick(60)
    hooks.tell()
    rows = hooks.rows("""
        SELECT e.type, CAST(e.data->>'rows' AS int) FROM webhook_delivery d
        JOIN event e ON e.tenant_id = d.tenant_id AND e.id = d.event_id ORDER BY d.seq""")
    assert [tuple(r) for r in rows] == [("contact.bulk_loaded", 120), ("contact.bulk_loaded", 10)]


def test_who_asks_for_each_record_of_a_bulk_load_gets_each_once(hooks: Hooks, load: Callable[[int, int], UUID]) -> None:
    each = hooks.subscribe(URL, "contact.created", bulk="each")
    hooks.subscribe(URL, "contact.created")
    load(0, 120)
    hooks.tell()
    hooks.clock.tick(31)
    hooks.relay.step(hooks.tenant_id)  # the listing has begun when more is loaded, before and behind its place
    load(120, 130)
    hooks.tell()
    hooks.clock.tick(31)
    hooks.tell()
    rows = hooks.rows("SELECT subscription_id, count(*), count(DISTINCT subject) FROM webhook_delivery GROUP BY 1")
    assert [tuple(r) for r in rows] == [(each.id, 130, 130)]
    assert hooks.rows("SELECT 1 FROM webhook_bulk") == []
