"""What only a real database can get wrong: races, records it cannot store, bases that a migration left unwritten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import TransientError
from domain.ids import new_id
from storage.database import Database
from sync_engine.core.model import Failure, HubRef, Outcome, VendorRef
from sync_engine.ports import LeaseLostError, PullCommit, Pushed, PushEnd, StaleError
from tests.sync_engine.contract.world import CONTACT, LATER, Worker, gone, said
from tests.sync_engine.worlds import PostgresWorld


@pytest.fixture
def world(db: Database, tenant_id: UUID) -> PostgresWorld:
    return PostgresWorld(db, tenant_id)


def _rows(world: PostgresWorld, statement: str, **parameters: Any) -> list[Any]:
    with world.db.tenant(world.tenant_id) as conn:
        return [tuple(row) for row in conn.execute(text(statement), parameters)]


# ---------------------------------------------------------------- nothing, where it fails


def test_a_stale_batch_leaves_no_row_behind(world: PostgresWorld, contacts: Worker, others: Worker) -> None:
    contacts.pull(said("1", email="a@example.com"))
    tables = ("crm_contact", "link", "push_work", "change", "field_history", "conflict", "dead_letter", "sync_notice",
              "vendor_wait", "tombstone", "stream")  # fmt: skip
    plan = contacts.plan(
        said("2", email="b@example.com", waits=(VendorRef("account_id", ("companies",), "7"),)),
        replace(said("3"), error=("bad", "Bad.", None)),
        said("1", "2", email="c@example.com"),
    )
    contacts.pull(said("1", "3", email="a@example.com"))
    before = {t: _rows(world, f"SELECT * FROM {t} ORDER BY 1, 2, 3") for t in tables}  # noqa: S608  # our own names
    for late in (plan, replace(plan, decisions=plan.decisions[2:])):
        with pytest.raises(StaleError):
            world.store.commit_pull(contacts.lease, late)
    assert {t: _rows(world, f"SELECT * FROM {t} ORDER BY 1, 2, 3") for t in tables} == before  # noqa: S608


def test_a_decision_that_must_be_made_anew_is_not_committed(contacts: Worker) -> None:
    again = contacts.plan(said("1", email="a@example.com"))
    late = replace(again.decisions[0], failure=Failure("plan_again", "Plan again."))
    with pytest.raises(ValueError, match="made anew"):
        contacts.store.commit_pull(contacts.lease, replace(again, decisions=[late]))


# ---------------------------------------------------------------- records that cannot be stored


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_record_that_cannot_be_stored_is_dead_lettered_and_the_others_are_applied(
    world: PostgresWorld, contacts: Worker, size: int
) -> None:
    unindexable = "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(6000))
    good = [said(str(n), email=f"{n}@example.com") for n in range(size)]
    contacts.pull(*good, said("bad", last_name=unindexable), cursor={"page": 1})
    assert [contacts.link(i.vendor_id) is not None for i in good] == [True] * size
    assert contacts.link("bad") is None
    assert world.letters(contacts.lane) == [("not_storable", True)]
    assert contacts.counts() == {"created": size, "rejected": 1}
    assert world.store.state(contacts.lane).cursor == {"page": 1}
    (message,) = _rows(world, "SELECT message FROM dead_letter")[0]
    assert "too large" in message
    assert unindexable[:3] not in message


def test_a_reference_to_a_record_that_went_meanwhile_makes_the_plan_stale(
    world: PostgresWorld, contacts: Worker
) -> None:
    parent = world.create("account", {"name": "A"})
    plan = contacts.plan(said("1", email="a@example.com", account_id=parent))
    world.delete("account", parent)
    with pytest.raises(StaleError):
        world.store.commit_pull(contacts.lease, plan)


# ---------------------------------------------------------------- races


def _at_once(*works: Callable[[], object]) -> list[BaseException | None]:
    """Run them in threads that start together; what each raised."""
    barrier = threading.Barrier(len(works))
    raised: list[BaseException | None] = [None] * len(works)

    def run(place: int, work: Callable[[], object]) -> None:
        barrier.wait(30)
        try:
            work()
        except BaseException as error:
            raised[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


@pytest.mark.parametrize("_round", range(5))
def test_two_lanes_never_create_the_same_thing(
    world: PostgresWorld, contacts: Worker, others: Worker, _round: int
) -> None:
    plans = [(w, w.plan(said(v, email="same@example.com"))) for w, v in ((contacts, "1"), (others, "2"))]
    raised = _at_once(*(lambda w=w, p=p: world.store.commit_pull(w.lease, p) for w, p in plans))
    assert sorted(type(e).__name__ for e in raised) == ["NoneType", "StaleError"]
    assert len(_rows(world, "SELECT 1 FROM crm_contact")) == 1


@pytest.mark.parametrize("_round", range(5))
def test_no_wait_is_missed_between_a_child_and_its_parent(
    world: PostgresWorld, contacts: Worker, accounts: Worker, _round: int
) -> None:
    wait = VendorRef("account_id", ("companies",), "7")
    child, parent = contacts.plan(said("1", email="a@example.com", waits=(wait,))), accounts.plan(said("7", name="A"))
    raised = _at_once(
        lambda: world.store.commit_pull(contacts.lease, child), lambda: world.store.commit_pull(accounts.lease, parent)
    )
    assert raised == [None, None]
    assert contacts.notices() == [("1", False)]
    assert _rows(world, "SELECT 1 FROM vendor_wait") == []


@pytest.mark.parametrize("_round", range(5))
def test_no_push_wait_is_missed(world: PostgresWorld, contacts: Worker, accounts: Worker, _round: int) -> None:
    parent = world.create("account", {"name": "A"})
    child = world.create("contact", {"email": "a@example.com", "account_id": parent})
    (above,), (below,) = accounts.work(), contacts.work()
    sent = Pushed(parent, above.token, PushEnd.SENT, ("7", {}, "1"), created=True)
    waiting = Pushed(child, below.token, PushEnd.WAITING, waits=(HubRef("account_id", "account", parent),))
    raised = _at_once(
        lambda: world.store.commit_push(accounts.lease, "account", [sent]),
        lambda: world.store.commit_push(contacts.lease, "contact", [waiting]),
    )
    assert raised == [None, None]
    assert contacts.due() == [child]


def test_a_zombie_waits_for_the_lane_and_is_refused(world: PostgresWorld, contacts: Worker) -> None:
    plan = contacts.plan(said("1", email="a@example.com"))
    raised = _at_once(
        lambda: world.store.take(contacts.lane, "other", LATER, LATER),
        lambda: world.store.commit_pull(contacts.lease, plan),
    )
    assert raised[0] is None
    applied = contacts.link("1") is not None
    assert (raised[1] is None) is applied
    assert applied or isinstance(raised[1], LeaseLostError)
    with pytest.raises(LeaseLostError):
        world.store.commit_pull(contacts.lease, PullCommit("contact"))


def test_commits_of_many_lanes_at_once_all_go_through(world: PostgresWorld) -> None:
    """Every lane changes records that every other lane pushes: locks are taken in one order."""
    workers = [Worker(world, world.lane(f"lane{n}", "contact"), replace(CONTACT, match_keys=())) for n in range(4)]

    def feed(worker: Worker, number: int) -> None:
        for turn in range(5):
            batch = [said(f"{number}-{i}", str(turn), email=f"{turn}{i}@example.com") for i in range(20)]
            while True:
                try:
                    worker.pull(*batch)
                    break
                except (StaleError, TransientError):
                    continue

    raised = _at_once(*(lambda w=w, n=n: feed(w, n) for n, w in enumerate(workers)))
    assert raised == [None] * 4
    assert len(_rows(world, "SELECT 1 FROM crm_contact WHERE version = 5")) == 80
    assert len(_rows(world, "SELECT 1 FROM push_work")) == 80 * 3


# ---------------------------------------------------------------- links that a migration left


@pytest.fixture
def migrated(world: PostgresWorld, contacts: Worker) -> UUID:
    """A record whose link has no base written out: it is what the record itself says."""
    record = new_id()
    with world.db.tenant(world.tenant_id) as conn:
        conn.execute(
            text("""
            INSERT INTO crm_contact (tenant_id, id, email, last_name, custom_fields)
            VALUES (:t, :id, 'a@example.com', 'A', '{"x": 1}')"""),
            {"t": world.tenant_id, "id": record},
        )
        conn.execute(
            text("""
            INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, vendor_version)
            VALUES (:t, :c, 'contacts', '1', 'contact', :id, 'created', '1')"""),
            {"t": world.tenant_id, "c": contacts.lane.connection_id, "id": record},
        )
    return record


BASE = {"email": "a@example.com", "last_name": "A", "custom_fields.x": 1}


def test_the_base_is_what_the_record_says(contacts: Worker, migrated: UUID) -> None:
    link = contacts.link("1")
    assert link is not None
    assert link.base == BASE


def test_the_base_is_what_the_record_said_before_it_was_edited(
    world: PostgresWorld, contacts: Worker, migrated: UUID
) -> None:
    world.edit("contact", migrated, {"email": "b@example.com"})
    link = contacts.link("1")
    assert link is not None
    assert link.base == BASE
    (decided,) = contacts.pull(said("1", "2", email="a@example.com", last_name="B", **{"custom_fields.x": 1}))
    assert (decided.set_hub, decided.push) == ({"last_name": "B"}, True)


def test_the_base_is_what_the_record_said_before_it_was_deleted(
    world: PostgresWorld, contacts: Worker, migrated: UUID
) -> None:
    world.delete("contact", migrated)
    (work,) = contacts.work()
    assert work.item.link is not None
    assert work.item.link.base == BASE


def test_a_vendors_update_of_it_is_no_conflict(world: PostgresWorld, contacts: Worker, migrated: UUID) -> None:
    (decided,) = contacts.pull(said("1", "2", email="b@example.com", last_name="A", **{"custom_fields.x": 1}))
    assert (decided.outcome, decided.conflicts) == (Outcome.UPDATED, ())
    link = contacts.link("1")
    assert link is not None
    assert link.base == BASE | {"email": "b@example.com"}


# ---------------------------------------------------------------- what is kept beside


def test_changes_name_their_connection(world: PostgresWorld, contacts: Worker) -> None:
    (made,) = contacts.pull(said("1", email="a@example.com"))
    contacts.pull(said("1", "2", email="b@example.com"))
    contacts.pull(gone("1"))
    contacts.pull(said("1", "3", email="c@example.com"))
    rows = _rows(world, "SELECT kind, fields, version, connection_id FROM change ORDER BY seq")
    mine = contacts.lane.connection_id
    assert rows == [
        ("created", None, 1, mine),
        ("updated", ["email"], 2, mine),
        ("deleted", None, 2, mine),
        ("restored", None, 3, mine),
    ]
    history = "SELECT field, old, new, origin, connection_id, version FROM field_history WHERE entity_id = :id ORDER BY version"
    assert _rows(world, history, id=made.entity_id) == [
        ("email", "a@example.com", "b@example.com", "sync", mine, 2),
        ("email", "b@example.com", "c@example.com", "sync", mine, 3),
    ]


def test_a_letter_holds_the_record_as_it_came(world: PostgresWorld, contacts: Worker) -> None:
    contacts.pull(replace(said("1", email="a@example.com"), error=("bad", "Bad.", "email")))
    rows = _rows(world, "SELECT stage, vendor_id, payload, mapped, entity, field FROM dead_letter")
    assert rows == [("map", "1", {"id": "1"}, None, "contact", "email")]


def test_queueing_by_hand_concerns_one_lane(world: PostgresWorld, contacts: Worker, others: Worker) -> None:
    record = world.create("contact", {"email": "a@example.com"})
    for worker in (contacts, others):
        worker.push(PushEnd.NOTHING)
    world.store.queue(contacts.lane, "contact", [record])
    assert (contacts.due(), others.due()) == ([record], [])


def test_a_record_that_says_nothing_new_leaves_its_base_unwritten(world: PostgresWorld, contacts: Worker) -> None:
    """A migration leaves bases unwritten: the record itself says what they are, until it changes."""
    contacts.pull(said("1", email="a@example.com"), said("2", email="b@example.com"))
    _rows(world, "UPDATE link SET base = NULL RETURNING 1")
    contacts.pull(said("1", email="a@example.com"), said("2", "2", email="new@example.com"))
    assert _rows(world, "SELECT vendor_id FROM link WHERE base IS NULL") == [("1",)]
