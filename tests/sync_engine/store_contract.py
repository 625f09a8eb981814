"""What every `SyncStore` keeps to: subclass `StoreContract` and give it a ``world`` fixture; `conftest` has the rest.

Written against the protocol. A `World` adds what the protocol leaves to others: setting lanes up, edits by people, and looks at
history, conflicts and dead letters.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import pytest

from sync_engine.core.model import (
    Conflict,
    Decision,
    DeletePolicy,
    Failure,
    Hub,
    HubRef,
    Incoming,
    Link,
    Outcome,
    Policy,
    Record,
    Rules,
    Side,
    VendorRef,
)
from sync_engine.core.pull import plan_pull
from sync_engine.ports import (
    Lane,
    Lease,
    LeaseLostError,
    PullCommit,
    PullQuery,
    Pushed,
    PushEnd,
    PushWork,
    Resync,
    Sending,
    Span,
    StaleError,
    SyncStore,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
_NAMES = uuid.UUID("6f1b7f0e-6d9c-4a44-9a59-2d0ff3f6f3a1")


class World(Protocol):
    """One tenant of a store."""

    store: SyncStore

    def lane(
        self,
        object_name: str,
        entity: str,
        *,
        connection: UUID | None = None,
        pushes: bool = True,
        writes: Sequence[str] = (),
    ) -> Lane:
        """A lane that is set up; of a new connection, unless one is given. ``writes`` (): every field."""

    def create(self, entity: str, values: Record) -> UUID: ...

    def edit(self, entity: str, entity_id: UUID, values: Record) -> None: ...

    def delete(self, entity: str, entity_id: UUID) -> None: ...

    def history(self, entity_id: UUID) -> list[tuple[str, Any, str]]:
        """(field, new value, rule) of changes of fields, oldest first, without those of a creation."""

    def conflicts(self, lane: Lane) -> list[tuple[str, str]]:
        """(field, open or closed) of the lane's conflicts."""

    def letters(self, lane: Lane) -> list[tuple[str, bool]]:
        """(code, is it open) of the lane's dead letters."""


CONTACT = Rules(
    "contact",
    frozenset({"last_name", "email", "phone", "birth_date", "account_id", "custom_fields"}),
    frozenset({"last_name", "email", "phone", "birth_date", "account_id", "custom_fields"}),
    match_keys=(("email",),),
)
ACCOUNT = Rules(
    "account", frozenset({"name", "annual_revenue", "parent_id"}), frozenset({"name", "annual_revenue", "parent_id"})
)


def said(vendor_id: str, version: str = "1", waits: tuple[VendorRef, ...] = (), **values: Any) -> Incoming:
    fingerprint = b"" if waits else repr((version, sorted(values.items()))).encode()
    return Incoming(vendor_id, values, version, NOW, fingerprint, waits=waits, raw={"id": vendor_id})


def gone(vendor_id: str) -> Incoming:
    return Incoming(vendor_id, deleted=True)


def new_id(incoming: Incoming) -> UUID:
    return uuid.uuid5(_NAMES, incoming.vendor_id)


class Worker:
    """Who holds a lane and does on it what the engine does."""

    def __init__(self, world: World, lane: Lane, rules: Rules) -> None:
        self.world, self.store, self.lane, self.rules = world, world.store, lane, rules
        lease = self.store.take(lane, "worker", NOW, LATER)
        assert lease is not None
        self.lease: Lease = lease

    def query(self, *items: Incoming, keys: Sequence[UUID] = ()) -> PullQuery:
        matches: dict[str, list[Mapping[str, Any]]] = {}
        for item in items:
            found = [
                {n: item.values[n] for n in key}
                for key in self.rules.match_keys
                if all(item.values.get(n) for n in key)
            ]
            if found:
                matches[item.vendor_id] = found
        ids = [*(i.vendor_id for i in items), *(i.merged_into for i in items if i.merged_into)]
        return PullQuery(ids, self.rules.entity, matches=matches, keys=keys, times=True)

    def plan(self, *items: Incoming) -> PullCommit:
        query = self.query(*items)
        known = self.store.gather_pull(self.lane, query).known
        hubs = {i: replace(h, seen=h.values) for i, h in known.hubs.items()}
        decisions = plan_pull(items, replace(known, hubs=hubs), self.rules, new_id)
        return PullCommit(self.rules.entity, decisions, matches=query.matches)

    def pull(self, *items: Incoming, **more: Any) -> list[Decision]:
        commit = replace(self.plan(*items), **more)
        self.store.commit_pull(self.lease, commit)
        return list(commit.decisions)

    def link(self, vendor_id: str) -> Link | None:
        query = PullQuery([vendor_id], self.rules.entity)
        return self.store.gather_pull(self.lane, query).known.links.get(vendor_id)

    def hub(self, entity_id: UUID) -> Hub | None:
        query = PullQuery([], self.rules.entity, keys=[entity_id], times=True)
        return self.store.gather_pull(self.lane, query).known.hubs.get(entity_id)

    def work(self, now: datetime = NOW) -> list[PushWork]:
        return list(self.store.push_work(self.lane, self.rules.entity, now, 100))

    def due(self, now: datetime = NOW) -> list[UUID]:
        return [w.item.entity_id for w in self.work(now)]

    def push(self, end: PushEnd = PushEnd.SENT, now: datetime = NOW, **more: Any) -> Pushed:
        """End the one piece of work that is due."""
        (work,) = self.work(now)
        pushed = Pushed(work.item.entity_id, work.token, end, **more)
        self.store.commit_push(self.lease, self.rules.entity, [pushed])
        return pushed

    def notices(self) -> list[tuple[str, bool]]:
        return [(n.vendor_id, n.deleted) for n in self.store.notices(self.lane, 100)]

    def counts(self) -> dict[str, int]:
        return dict(self.store.state(self.lane).counts)


class LeaseContract:
    """Who may work on a lane."""

    def test_one_holder_at_a_time(self, world: World) -> None:
        lane = world.lane("contacts", "contact")
        first = world.store.take(lane, "a", NOW, NOW + timedelta(minutes=1))
        assert first is not None
        assert world.store.take(lane, "b", NOW, LATER) is None
        again = world.store.take(lane, "a", NOW, LATER)
        assert again is not None
        assert again.generation > first.generation

    def test_an_expired_lane_is_taken_over_and_its_holder_commits_nothing(self, world: World, contacts: Worker) -> None:
        after = world.store.take(contacts.lane, "other", LATER, LATER + timedelta(minutes=1))
        assert after is not None
        assert after.generation > contacts.lease.generation
        before = contacts.plan(said("1", email="a@example.com"))
        with pytest.raises(LeaseLostError):
            world.store.commit_pull(contacts.lease, replace(before, cursor={"page": 2}))
        with pytest.raises(LeaseLostError):
            world.store.announce(contacts.lease, NOW, [])
        with pytest.raises(LeaseLostError):
            world.store.commit_push(contacts.lease, "contact", [])
        assert world.store.state(contacts.lane).cursor is None
        assert contacts.link("1") is None

    def test_a_released_lane_is_free_and_an_old_release_frees_nothing(self, world: World, contacts: Worker) -> None:
        world.store.release(contacts.lease)
        held = world.store.take(contacts.lane, "b", NOW, LATER)
        assert held is not None
        world.store.release(contacts.lease)
        assert world.store.take(contacts.lane, "c", NOW, LATER) is None

    def test_a_lane_that_nobody_set_up_can_be_held(self, world: World, contacts: Worker) -> None:
        lane = replace(contacts.lane, object="replayed")
        assert world.store.state(lane).cursor is None
        assert world.store.take(lane, "a", NOW, LATER) is not None
        assert world.store.take(lane, "b", NOW, LATER) is None

    def test_a_status_is_kept_until_it_is_cleared(self, world: World, contacts: Worker) -> None:
        world.store.pause(contacts.lane, "braked", Failure("mass_delete", "Many deletes."))
        assert world.store.state(contacts.lane).status == "braked"
        world.store.pause(contacts.lane, "idle", None)
        assert world.store.state(contacts.lane).status == "idle"


class PullContract:
    """What comes in."""

    def test_a_new_record_is_created_and_linked(self, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com", last_name="A", birth_date=date(1990, 2, 3)))
        assert made.outcome is Outcome.CREATED
        assert made.entity_id is not None
        link, hub = contacts.link("1"), contacts.hub(made.entity_id)
        assert hub is not None
        assert link is not None
        assert hub.values == {"email": "a@example.com", "last_name": "A", "birth_date": date(1990, 2, 3)}
        assert (hub.version, hub.deleted) == (1, False)
        assert (link.entity_id, link.base, link.version, link.origin) == (made.entity_id, hub.values, "1", "created")
        assert (
            link.fingerprint == said("1", email="a@example.com", last_name="A", birth_date=date(1990, 2, 3)).fingerprint
        )

    def test_values_come_back_as_they_went(self, accounts: Worker) -> None:
        (made,) = accounts.pull(said("1", name="A", annual_revenue=Decimal("12345678901234567.89")))
        assert made.entity_id is not None
        hub = accounts.hub(made.entity_id)
        assert hub is not None
        assert hub.values == {"name": "A", "annual_revenue": Decimal("12345678901234567.89")}

    def test_custom_fields_are_set_and_removed(self, contacts: Worker) -> None:
        custom = {"custom_fields.tier": "gold", "custom_fields.score": 1.5, "custom_fields.list": ["a", {"b": 2}]}
        (made,) = contacts.pull(said("1", email="a@example.com", **custom))
        assert made.entity_id is not None
        hub, link = contacts.hub(made.entity_id), contacts.link("1")
        assert hub is not None
        assert link is not None
        assert {n: v for n, v in hub.values.items() if n != "email"} == custom
        assert link.base == hub.values
        contacts.pull(said("1", "2", email="a@example.com", **{"custom_fields.tier": "silver"}))
        hub = contacts.hub(made.entity_id)
        assert hub is not None
        assert hub.values == {"email": "a@example.com", "custom_fields.tier": "silver"}

    def test_an_update_sets_the_field_and_tells_its_history(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com", last_name="A"))
        assert made.entity_id is not None
        (updated,) = contacts.pull(said("1", "2", email="b@example.com", last_name="A"))
        assert updated.outcome is Outcome.UPDATED
        hub = contacts.hub(made.entity_id)
        assert hub is not None
        assert (hub.values["email"], hub.values["last_name"], hub.version) == ("b@example.com", "A", 2)
        assert "email" in hub.times
        assert world.history(made.entity_id) == [("email", "b@example.com", "vendor_changed")]

    def test_blanking_a_field_blanks_it(self, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com", phone="+15550100"))
        contacts.pull(said("1", "2", email="a@example.com", phone=None))
        assert made.entity_id is not None
        hub, link = contacts.hub(made.entity_id), contacts.link("1")
        assert hub is not None
        assert link is not None
        assert hub.values == {"email": "a@example.com"}
        assert link.base == {"email": "a@example.com"}

    def test_repeating_what_was_said_changes_nothing(self, contacts: Worker) -> None:
        contacts.pull(said("1", email="a@example.com"))
        before = contacts.link("1")
        (again,) = contacts.pull(said("1", email="a@example.com"))
        assert again.outcome is Outcome.UNCHANGED
        assert contacts.link("1") == before

    def test_cursor_comparison_and_counts_move_with_the_batch(self, world: World, contacts: Worker) -> None:
        rejected = Incoming("2", error=("required_missing", "A required field is blank.", "name"), raw={"id": "2"})
        piece = (Failure("not_a_record", "The row is no record."), {"raw": 1})
        contacts.pull(
            said("1", email="a@example.com"), rejected, cursor={"page": 1}, resync=Resync(NOW, "1", 3), rejects=[piece]
        )
        contacts.pull(said("1", email="a@example.com"), verified_at=NOW)
        state = world.store.state(contacts.lane)
        assert state.cursor == {"page": 1}
        assert state.resync == Resync(NOW, "1", 3)
        assert state.verified_at == NOW
        assert state.links == 1
        assert state.counts == {"created": 1, "rejected": 2, "unchanged": 1}
        contacts.pull(clears_resync=True)
        assert world.store.state(contacts.lane).resync is None
        assert world.store.state(contacts.lane).cursor == {"page": 1}

    def test_a_match_is_a_candidate_until_the_lane_links_it(
        self, world: World, contacts: Worker, others: Worker
    ) -> None:
        hub_id = world.create("contact", {"email": "a@example.com", "last_name": "A"})
        (matched,) = contacts.pull(said("1", email="a@example.com", last_name="A"))
        assert (matched.outcome, matched.entity_id) == (Outcome.MATCHED, hub_id)
        known = contacts.store.gather_pull(contacts.lane, contacts.query(said("2", email="a@example.com"))).known
        assert known.candidates.get("2", ()) == ()
        known = others.store.gather_pull(others.lane, others.query(said("2", email="a@example.com"))).known
        assert known.candidates["2"] == (hub_id,)

    def test_references_lead_to_hub_records_of_the_connection(
        self, world: World, contacts: Worker, accounts: Worker
    ) -> None:
        (made,) = accounts.pull(said("7", name="A"))
        refs = [(("companies",), "7"), (("companies",), "8"), (("people", "companies"), "7"), (("people",), "7")]
        found = world.store.gather_pull(contacts.lane, PullQuery([], "contact", refs)).refs
        assert found == {refs[0]: made.entity_id, refs[2]: made.entity_id}
        accounts.pull(gone("7"))
        assert world.store.gather_pull(contacts.lane, PullQuery([], "contact", refs)).refs == {}

    def test_another_tenant_or_connection_knows_nothing_of_it(self, contacts: Worker, others: Worker) -> None:
        contacts.pull(said("1", email="a@example.com"))
        assert others.link("1") is None


class StaleContract:
    """Plans whose premises no longer hold change nothing."""

    def _refused(self, worker: Worker, commit: PullCommit) -> None:
        before = worker.counts()
        with pytest.raises(StaleError):
            worker.store.commit_pull(worker.lease, replace(commit, cursor={"too": "late"}))
        assert worker.store.state(worker.lane).cursor is None
        assert worker.counts() == before

    def test_a_hub_record_that_was_edited_meanwhile(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        plan = contacts.plan(said("2", email="new@example.com"), said("1", "2", email="b@example.com"))
        world.edit("contact", made.entity_id, {"phone": "+15550100"})
        self._refused(contacts, plan)
        hub = contacts.hub(made.entity_id)
        assert hub is not None
        assert hub.values == {"email": "a@example.com", "phone": "+15550100"}
        assert contacts.link("2") is None

    def test_a_hub_record_that_was_deleted_meanwhile(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        plan = contacts.plan(said("1", "2", email="b@example.com"))
        world.delete("contact", made.entity_id)
        self._refused(contacts, plan)

    def test_a_link_that_changed_meanwhile(self, contacts: Worker) -> None:
        contacts.pull(said("1", email="a@example.com"))
        plan = contacts.plan(said("1", "2", email="a@example.com"))
        contacts.pull(said("1", "3", email="a@example.com"))
        self._refused(contacts, plan)

    def test_a_link_that_was_made_meanwhile(self, contacts: Worker) -> None:
        plan = contacts.plan(said("1", email="a@example.com"))
        contacts.pull(said("1", email="a@example.com"))
        self._refused(contacts, plan)

    def test_a_match_that_appeared_meanwhile(self, world: World, contacts: Worker) -> None:
        plan = contacts.plan(said("1", email="a@example.com"))
        hub_id = world.create("contact", {"email": "a@example.com"})
        self._refused(contacts, plan)
        (matched,) = contacts.pull(said("1", email="a@example.com"))
        assert matched.entity_id == hub_id

    def test_a_restored_record_that_is_back_already(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        contacts.pull(gone("1"))
        plan = contacts.plan(said("1", "2", email="a@example.com"))
        assert plan.decisions[0].restore
        contacts.pull(said("1", "3", email="a@example.com"))
        self._refused(contacts, plan)

    def test_a_create_repeated_with_the_same_id_is_the_same_record(self, contacts: Worker, others: Worker) -> None:
        rules = replace(CONTACT, match_keys=())
        ours = Worker(contacts.world, contacts.lane, rules)
        theirs = Worker(others.world, others.lane, rules)
        (first,) = ours.pull(said("1", email="a@example.com"))
        (second,) = theirs.pull(said("1", email="a@example.com"))
        assert first.entity_id == second.entity_id
        links = ours.link("1"), theirs.link("1")
        assert all(link is not None and link.entity_id == first.entity_id for link in links)


class WorkContract:
    """Which changes have to go out where."""

    def test_a_change_is_due_on_every_other_lane_and_not_on_its_own(self, contacts: Worker, others: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert contacts.due() == []
        assert others.due() == [made.entity_id]
        others.push(PushEnd.NOTHING)
        contacts.pull(said("1", "2", email="b@example.com"))
        assert others.due() == [made.entity_id]
        assert contacts.due() == []

    def test_what_changed_nothing_is_not_queued(self, contacts: Worker, others: Worker) -> None:
        contacts.pull(said("1", email="a@example.com"))
        others.push(PushEnd.NOTHING)
        contacts.pull(said("1", "2", email="a@example.com"))
        assert others.due() == []

    def test_a_decision_can_ask_for_its_own_lane(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.edit("contact", made.entity_id, {"email": "hub@example.com"})
        contacts.push(PushEnd.NOTHING)
        (decided,) = contacts.pull(said("1", "2", email="vendor@example.com"))
        assert decided.push
        assert contacts.due() == [made.entity_id]

    @pytest.mark.parametrize(("field", "due"), [("phone", False), ("email", True)])
    def test_only_fields_that_a_lane_writes_concern_it(
        self, world: World, contacts: Worker, field: str, due: bool
    ) -> None:
        narrow = Worker(world, world.lane("narrow", "contact", writes=["email"]), CONTACT)
        hub_id = world.create("contact", {"email": "a@example.com"})
        narrow.push(PushEnd.NOTHING)
        world.edit("contact", hub_id, {field: "+15550100" if field == "phone" else "b@example.com"})
        assert bool(narrow.due()) is due

    def test_a_lane_that_pushes_nothing_gets_no_work(self, world: World) -> None:
        quiet = Worker(world, world.lane("quiet", "contact", pushes=False), CONTACT)
        world.create("contact", {"email": "a@example.com"})
        assert quiet.due() == []

    def test_lanes_of_other_entities_get_no_work(self, world: World, accounts: Worker) -> None:
        world.create("contact", {"email": "a@example.com"})
        assert accounts.due() == []

    def test_work_carries_what_is_known(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.edit("contact", made.entity_id, {"email": "b@example.com"})
        (work,) = contacts.work()
        assert work.item.hub is not None
        assert work.item.hub.values["email"] == "b@example.com"
        assert work.item.link == contacts.link("1")
        assert (work.item.intent, work.attempts, work.item.waits) == (None, 0, ())

    def test_a_deleted_record_is_due_as_a_tombstone(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.delete("contact", made.entity_id)
        (work,) = contacts.work()
        assert work.item.hub is not None
        assert (work.item.hub.deleted, work.item.hub.deleted_by) == (True, None)
        assert work.item.hub.values == {"email": "a@example.com"}
        assert work.item.link is not None
        assert work.item.link.base == {"email": "a@example.com"}

    def test_oldest_first_and_no_more_than_asked(self, world: World, contacts: Worker) -> None:
        ids = [world.create("contact", {"email": f"{n}@example.com"}) for n in range(3)]
        assert contacts.due() == ids
        world.edit("contact", ids[0], {"email": "again@example.com"})
        assert [w.item.entity_id for w in world.store.push_work(contacts.lane, "contact", NOW, 2)] == ids[1:]


class PushContract:
    """What goes out."""

    def test_what_was_sent_is_no_work_any_more(self, world: World, contacts: Worker) -> None:
        hub_id = world.create("contact", {"email": "a@example.com"})
        contacts.push(link=("9", {"email": "a@example.com"}, "5"), created=True)
        link = contacts.link("9")
        assert link is not None
        assert (link.entity_id, link.base, link.version, link.origin) == (
            hub_id,
            {"email": "a@example.com"},
            "5",
            "pushed",
        )
        assert contacts.due() == []
        assert contacts.counts() == {"push_sent": 1}
        assert world.store.state(contacts.lane).links == 1

    def test_an_edit_during_the_sending_stays_due(self, world: World, contacts: Worker) -> None:
        hub_id = world.create("contact", {"email": "a@example.com"})
        (work,) = contacts.work()
        world.edit("contact", hub_id, {"email": "b@example.com"})
        sent = Pushed(hub_id, work.token, PushEnd.SENT, ("9", {"email": "a@example.com"}, "5"), created=True)
        world.store.commit_push(contacts.lease, "contact", [sent])
        assert contacts.due() == [hub_id]
        (work,) = contacts.work()
        assert work.item.link is not None
        assert work.item.link.base == {"email": "a@example.com"}

    def test_a_retry_waits_for_its_time_and_counts(self, world: World, contacts: Worker) -> None:
        world.create("contact", {"email": "a@example.com"})
        contacts.push(PushEnd.RETRY, retry_at=NOW + timedelta(minutes=5))
        assert contacts.due() == []
        assert contacts.due(NOW + timedelta(minutes=4, seconds=59)) == []
        (work,) = contacts.work(NOW + timedelta(minutes=5))
        assert work.attempts == 1

    def test_an_edit_makes_due_what_waits_for_a_retry(self, world: World, contacts: Worker) -> None:
        hub_id = world.create("contact", {"email": "a@example.com"})
        contacts.push(PushEnd.RETRY, retry_at=LATER)
        world.edit("contact", hub_id, {"email": "b@example.com"})
        (work,) = contacts.work()
        assert work.attempts == 0

    def test_a_create_leaves_an_intent_until_its_outcome_is_known(self, world: World, contacts: Worker) -> None:
        hub_id = world.create("contact", {"email": "a@example.com"})
        sent = {"email": "a@example.com", "phone": None, "custom_fields.x": 1}
        world.store.announce(contacts.lease, NOW, [Sending(hub_id, sent)])
        (work,) = contacts.work()
        assert work.item.intent is not None
        assert (work.item.intent.sent, work.item.intent.at) == (sent, NOW)
        assert work.item.intent.generation == contacts.lease.generation
        known = world.store.gather_pull(contacts.lane, PullQuery([], "contact")).known
        assert [i.entity_id for i in known.intents] == [hub_id]
        assert hub_id in known.hubs
        contacts.push(PushEnd.UNCERTAIN, retry_at=NOW)
        assert contacts.work()[0].item.intent is not None
        contacts.push(link=("9", {}, "1"), created=True)
        assert not world.store.gather_pull(contacts.lane, PullQuery([], "contact")).known.intents

    def test_a_pull_that_recognises_an_intent_settles_it(self, world: World, contacts: Worker) -> None:
        hub_id = world.create("contact", {"email": "a@example.com"})
        world.store.announce(contacts.lease, NOW, [Sending(hub_id, {"email": "a@example.com"})])
        (adopted,) = contacts.pull(said("9", email="a@example.com"))
        assert adopted.settles_intent
        assert contacts.work()[0].item.intent is None

    def test_an_update_in_flight_stands_on_the_link(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.edit("contact", made.entity_id, {"email": "b@example.com"})
        before = contacts.link("1")
        world.store.announce(contacts.lease, NOW, [Sending(made.entity_id, {"email": "b@example.com"}, "1")])
        world.store.announce(contacts.lease, NOW, [Sending(made.entity_id, {"custom_fields.x": 1, "phone": None}, "1")])
        link = contacts.link("1")
        assert link is not None
        assert before is not None
        assert link.sent == {"email": "b@example.com", "custom_fields.x": 1, "phone": None}
        assert link.revision == before.revision
        contacts.push(link=("1", {"email": "b@example.com"}, "2"), link_revision=before.revision)
        link = contacts.link("1")
        assert link is not None
        assert (link.sent, link.base, link.version, link.origin) == ({}, {"email": "b@example.com"}, "2", "created")
        assert link.revision > before.revision

    def test_a_link_that_changed_meanwhile_makes_the_push_stale(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        revision = contacts.link("1").revision  # type: ignore[union-attr]
        world.edit("contact", made.entity_id, {"phone": "+15550100"})
        contacts.pull(said("1", "2", email="b@example.com"))
        with pytest.raises(StaleError):
            contacts.push(link=("1", {}, "3"), link_revision=revision)
        assert contacts.due() == [made.entity_id]
        assert "push_sent" not in contacts.counts()

    def test_a_delete_that_was_sent_buries_the_link(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.delete("contact", made.entity_id)
        contacts.push(deleted=True)
        link = contacts.link("1")
        assert link is not None
        assert link.tombstoned
        assert contacts.due() == []
        assert world.store.state(contacts.lane).links == 0

    def test_what_pre_reads_taught_is_applied_with_the_ends(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.edit("contact", made.entity_id, {"phone": "+15550100"})
        (work,) = contacts.work()
        pulls = contacts.plan(said("1", "2", email="b@example.com"))
        end = Pushed(made.entity_id, work.token, PushEnd.NOTHING)
        world.store.commit_push(contacts.lease, "contact", [end], pulls)
        hub = contacts.hub(made.entity_id)
        assert hub is not None
        assert hub.values["email"] == "b@example.com"
        assert contacts.due() == []

    def test_vendor_refs_are_the_live_links_of_the_connection(
        self, world: World, contacts: Worker, accounts: Worker
    ) -> None:
        (made,) = accounts.pull(said("7", name="A"))
        (gone_,) = accounts.pull(said("8", name="B"))
        accounts.pull(gone("8"))
        ids = [i for i in (made.entity_id, gone_.entity_id) if i is not None]
        assert world.store.vendor_refs(contacts.lane, ids) == {made.entity_id: [("companies", "7")]}


class WaitContract:
    """What waits for something else to be linked."""

    def _child(self, world: World, contacts: Worker, accounts: Worker) -> tuple[UUID, UUID]:
        parent = world.create("account", {"name": "A"})
        child = world.create("contact", {"email": "a@example.com", "account_id": parent})
        return parent, child

    def test_unlinked_references_are_told(self, world: World, contacts: Worker, accounts: Worker) -> None:
        parent, _ = self._child(world, contacts, accounts)
        (work,) = contacts.work()
        assert work.item.waits == (HubRef("account_id", "account", parent),)
        accounts.push(link=("7", {}, "1"), created=True)
        assert contacts.work()[0].item.waits == ()

    @pytest.mark.parametrize("end", [PushEnd.WAITING, PushEnd.SENT])
    def test_a_record_is_due_again_once_its_parent_is_pushed(
        self, world: World, contacts: Worker, accounts: Worker, end: PushEnd
    ) -> None:
        parent, child = self._child(world, contacts, accounts)
        ref = (HubRef("account_id", "account", parent),)
        if end is PushEnd.WAITING:
            contacts.push(end, waits=ref)
        else:
            contacts.push(end, link=("1", {}, "1"), later=ref)
        assert contacts.due(LATER) == []
        accounts.push(link=("7", {}, "1"), created=True)
        assert contacts.due() == [child]

    def test_a_record_is_due_again_once_its_parent_is_pulled(
        self, world: World, contacts: Worker, accounts: Worker
    ) -> None:
        (parent,) = accounts.pull(said("7", name="A"))
        assert parent.entity_id is not None
        other = world.create("account", {"name": "B"})
        child = world.create("contact", {"email": "a@example.com", "account_id": other})
        contacts.push(PushEnd.WAITING, waits=(HubRef("account_id", "account", other),))
        matching = Worker(world, accounts.lane, replace(ACCOUNT, match_keys=(("name",),)))
        matching.pull(said("8", name="B"))
        assert contacts.due() == [child]

    def test_a_parent_that_was_linked_meanwhile_lets_nobody_wait(
        self, world: World, contacts: Worker, accounts: Worker
    ) -> None:
        parent, child = self._child(world, contacts, accounts)
        (work,) = contacts.work()
        accounts.push(link=("7", {}, "1"), created=True)
        waiting = Pushed(child, work.token, PushEnd.WAITING, waits=(HubRef("account_id", "account", parent),))
        world.store.commit_push(contacts.lease, "contact", [waiting])
        assert contacts.due() == [child]

    def test_a_link_of_another_connection_ends_no_wait(self, world: World, contacts: Worker, accounts: Worker) -> None:
        parent, _ = self._child(world, contacts, accounts)
        contacts.push(PushEnd.WAITING, waits=(HubRef("account_id", "account", parent),))
        elsewhere = Worker(world, world.lane("companies", "account"), replace(ACCOUNT, match_keys=(("name",),)))
        elsewhere.pull(said("7", name="A"))
        assert contacts.due() == []

    def test_a_vendor_record_is_looked_at_again_once_its_parent_is_linked(
        self, contacts: Worker, accounts: Worker
    ) -> None:
        wait = VendorRef("account_id", ("companies",), "7")
        contacts.pull(said("1", email="a@example.com", waits=(wait,)))
        assert contacts.notices() == []
        (parent,) = accounts.pull(said("7", name="A"))
        assert contacts.notices() == [("1", False)]
        (again,) = contacts.pull(
            replace(said("1", email="a@example.com"), values={"email": "a@example.com", "account_id": parent.entity_id})
        )
        assert again.set_hub == {"account_id": parent.entity_id}

    def test_a_vendor_parent_that_was_linked_meanwhile_lets_nobody_wait(
        self, contacts: Worker, accounts: Worker
    ) -> None:
        wait = VendorRef("account_id", ("companies",), "7")
        plan = contacts.plan(said("1", email="a@example.com", waits=(wait,)))
        accounts.pull(said("7", name="A"))
        contacts.store.commit_pull(contacts.lease, plan)
        assert contacts.notices() == [("1", False)]


class NoticeContract:
    """Hints."""

    def test_hints_are_coalesced_and_answered_by_id(self, world: World, contacts: Worker) -> None:
        world.store.add_notices(contacts.lane, {"1": False, "2": True})
        world.store.add_notices(contacts.lane, {"1": False})
        assert sorted(contacts.notices()) == [("1", False), ("2", True)]
        ids = [n.id for n in world.store.notices(contacts.lane, 100) if n.vendor_id == "1"]
        contacts.pull(notices=ids)
        assert contacts.notices() == [("2", True)]

    def test_a_newer_hint_survives_the_answer_to_an_older_one(self, world: World, contacts: Worker) -> None:
        world.store.add_notices(contacts.lane, {"1": False})
        ids = [n.id for n in world.store.notices(contacts.lane, 100)]
        world.store.add_notices(contacts.lane, {"1": False})
        contacts.pull(notices=ids)
        assert contacts.notices() == [("1", False)]

    def test_no_more_than_asked(self, world: World, contacts: Worker) -> None:
        world.store.add_notices(contacts.lane, {str(n): False for n in range(5)})
        assert len(world.store.notices(contacts.lane, 2)) == 2


class DeleteContract:
    """Records that go, come back, or are merged."""

    def test_a_deleted_record_leaves_a_tombstone_and_work(self, contacts: Worker, others: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com", last_name="A"))
        assert made.entity_id is not None
        others.push(PushEnd.NOTHING)
        (deleted,) = contacts.pull(gone("1"))
        assert deleted.outcome is Outcome.DELETED
        hub, link = contacts.hub(made.entity_id), contacts.link("1")
        assert hub is not None
        assert link is not None
        assert (hub.deleted, hub.deleted_by) == (True, contacts.lane.connection_id)
        assert hub.values == {"email": "a@example.com", "last_name": "A"}
        assert link.tombstoned
        assert others.due() == [made.entity_id]
        assert contacts.due() == []
        assert contacts.store.state(contacts.lane).links == 0

    def test_a_restored_record_has_its_id_and_a_higher_version(self, contacts: Worker, others: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com", last_name="A"))
        assert made.entity_id is not None
        contacts.pull(gone("1"))
        others.push(PushEnd.NOTHING)
        (back,) = contacts.pull(said("1", "2", email="b@example.com", last_name="A"))
        assert back.outcome is Outcome.REVIVED
        hub, link = contacts.hub(made.entity_id), contacts.link("1")
        assert hub is not None
        assert link is not None
        assert (hub.deleted, hub.values) == (False, {"email": "b@example.com", "last_name": "A"})
        assert hub.version > 1
        assert not link.tombstoned
        assert others.due() == [made.entity_id]
        assert contacts.store.state(contacts.lane).links == 1

    def test_references_to_a_deleted_record_are_cleared(self, world: World, contacts: Worker, accounts: Worker) -> None:
        (parent,) = accounts.pull(said("7", name="A"))
        child = world.create("contact", {"email": "a@example.com", "account_id": parent.entity_id})
        contacts.push(PushEnd.NOTHING)
        accounts.pull(gone("7"))
        hub = contacts.hub(child)
        assert hub is not None
        assert (hub.values, hub.version) == ({"email": "a@example.com"}, 2)
        assert contacts.due() == [child]

    def test_merging_moves_links_and_leads_to_the_survivor(self, contacts: Worker, others: Worker) -> None:
        (loser,) = contacts.pull(said("1", email="a@example.com", phone="+15550100"))
        (survivor,) = contacts.pull(said("2", email="b@example.com"))
        others.pull(said("x", email="a@example.com", phone="+15550100"))
        assert survivor.entity_id is not None
        assert loser.entity_id is not None
        (merged,) = contacts.pull(Incoming("1", merged_into="2"))
        assert merged.outcome is Outcome.MERGED
        hub = contacts.hub(survivor.entity_id)
        assert hub is not None
        assert hub.values == {"email": "b@example.com", "phone": "+15550100"}
        known = contacts.store.gather_pull(contacts.lane, contacts.query(keys=[loser.entity_id])).known
        assert known.redirects == {loser.entity_id: survivor.entity_id}
        assert survivor.entity_id in known.hubs
        moved, buried = others.link("x"), contacts.link("1")
        assert moved is not None
        assert buried is not None
        assert moved.entity_id == survivor.entity_id
        assert moved.base == {"email": "a@example.com", "phone": "+15550100"}
        assert buried.tombstoned
        assert survivor.entity_id in others.due()

    def test_a_lane_with_a_record_of_each_keeps_the_losers_half(self, contacts: Worker, others: Worker) -> None:
        (loser,) = contacts.pull(said("1", email="a@example.com"))
        (survivor,) = contacts.pull(said("2", email="b@example.com"))
        others.pull(said("x", email="a@example.com"), said("y", email="b@example.com"))
        contacts.pull(Incoming("1", merged_into="2"))
        assert others.link("x").entity_id == loser.entity_id  # type: ignore[union-attr]
        assert others.link("y").entity_id == survivor.entity_id  # type: ignore[union-attr]
        assert loser.entity_id in others.due()

    def test_a_merged_record_that_comes_back_is_no_redirect_any_more(self, contacts: Worker, others: Worker) -> None:
        (loser,) = contacts.pull(said("1", email="a@example.com"))
        contacts.pull(said("2", email="b@example.com"))
        others.pull(said("x", email="a@example.com"), said("y", email="b@example.com"))
        contacts.pull(Incoming("1", merged_into="2"))
        (back,) = others.pull(said("x", "2", email="c@example.com"))
        assert back.restore
        assert loser.entity_id is not None
        known = contacts.store.gather_pull(contacts.lane, contacts.query(keys=[loser.entity_id])).known
        assert known.redirects == {}
        assert not known.hubs[loser.entity_id].deleted

    def test_a_survivor_keeps_what_it_was_given_meanwhile(self, world: World, contacts: Worker) -> None:
        contacts.pull(said("1", email="a@example.com", phone="+15550100"))
        (survivor,) = contacts.pull(said("2", email="b@example.com"))
        assert survivor.entity_id is not None
        plan = contacts.plan(Incoming("1", merged_into="2"))
        world.edit("contact", survivor.entity_id, {"phone": "+15550199"})
        contacts.store.commit_pull(contacts.lease, plan)
        hub = contacts.hub(survivor.entity_id)
        assert hub is not None
        assert hub.values["phone"] == "+15550199"

    def test_references_to_a_merged_record_lead_to_the_survivor(
        self, world: World, contacts: Worker, accounts: Worker
    ) -> None:
        (loser,) = accounts.pull(said("7", name="A"))
        (survivor,) = accounts.pull(said("8", name="B"))
        child = world.create("contact", {"email": "a@example.com", "account_id": loser.entity_id})
        accounts.pull(Incoming("7", merged_into="8"))
        hub = contacts.hub(child)
        assert hub is not None
        assert hub.values["account_id"] == survivor.entity_id

    def test_a_kept_record_loses_only_its_link(self, world: World, contacts: Worker) -> None:
        keeping = Worker(world, contacts.lane, replace(CONTACT, deletes_in=DeletePolicy.ARCHIVE))
        (made,) = keeping.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        keeping.pull(gone("1"))
        hub, link = keeping.hub(made.entity_id), keeping.link("1")
        assert hub is not None
        assert link is not None
        assert not hub.deleted
        assert link.tombstoned


class ConflictContract:
    """Fields that both sides changed."""

    @pytest.fixture
    def asking(self, world: World, contacts: Worker) -> Worker:
        return Worker(world, contacts.lane, replace(CONTACT, policy=Policy.ASK))

    def _contested(self, world: World, worker: Worker) -> UUID:
        (made,) = worker.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.edit("contact", made.entity_id, {"email": "hub@example.com"})
        worker.pull(said("1", "2", email="vendor@example.com"))
        return made.entity_id

    def test_an_open_conflict_stands_on_the_link(self, world: World, asking: Worker) -> None:
        hub_id = self._contested(world, asking)
        link = asking.link("1")
        assert link is not None
        assert link.open == {"email": ("hub@example.com", "vendor@example.com")}
        assert asking.hub(hub_id).values["email"] == "hub@example.com"  # type: ignore[union-attr]
        assert world.conflicts(asking.lane) == [("email", "open")]
        assert asking.work()[0].item.link == link

    def test_asked_once_however_often_it_is_said(self, world: World, asking: Worker) -> None:
        self._contested(world, asking)
        asking.pull(said("1", "3", email="vendor@example.com"))
        assert world.conflicts(asking.lane) == [("email", "open")]
        asking.pull(said("1", "4", email="other@example.com"))
        assert [c for c in world.conflicts(asking.lane) if c[1] == "open"] == [("email", "open")]
        assert asking.link("1").open == {"email": ("hub@example.com", "other@example.com")}  # type: ignore[union-attr]

    def test_it_ends_when_the_sides_agree_again(self, world: World, asking: Worker) -> None:
        self._contested(world, asking)
        asking.pull(said("1", "3", email="hub@example.com"))
        assert asking.link("1").open == {}  # type: ignore[union-attr]
        assert world.conflicts(asking.lane) == [("email", "closed")]

    def test_a_settled_conflict_is_told_and_stays_off_the_link(self, world: World, contacts: Worker) -> None:
        self._contested(world, contacts)
        assert contacts.link("1").open == {}  # type: ignore[union-attr]
        assert world.conflicts(contacts.lane) == [("email", "closed")]

    def test_a_conflict_of_a_push_is_told(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.delete("contact", made.entity_id)
        lost = Conflict("*", Side.HUB, "delete_beats_edit", None, {"email": "b@example.com"})
        contacts.push(deleted=True, conflicts=(lost,))
        assert world.conflicts(contacts.lane) == [("*", "closed")]


class LetterContract:
    """What was refused."""

    BAD = Incoming("1", error=("required_missing", "A required field is blank.", "last_name"), raw={"id": "1"})

    def test_a_refused_record_leaves_a_letter_and_changes_nothing(self, world: World, contacts: Worker) -> None:
        contacts.pull(self.BAD)
        assert world.letters(contacts.lane) == [("required_missing", True)]
        assert contacts.link("1") is None

    def test_the_same_refusal_counts_up(self, world: World, contacts: Worker) -> None:
        contacts.pull(self.BAD)
        contacts.pull(self.BAD)
        assert world.letters(contacts.lane) == [("required_missing", True)]

    def test_a_later_success_closes_it(self, world: World, contacts: Worker) -> None:
        contacts.pull(self.BAD)
        contacts.pull(said("2", email="b@example.com"))
        assert world.letters(contacts.lane) == [("required_missing", True)]
        contacts.pull(said("1", email="a@example.com"))
        assert world.letters(contacts.lane) == [("required_missing", False)]

    def test_a_refused_push_leaves_a_letter_until_it_goes_through(self, world: World, contacts: Worker) -> None:
        hub_id = world.create("contact", {"email": "a@example.com"})
        contacts.push(PushEnd.DEAD, failure=Failure("too_long", "The name is too long.", "last_name"), mapped={"a": 1})
        assert world.letters(contacts.lane) == [("too_long", True)]
        assert contacts.due(LATER) == []
        world.edit("contact", hub_id, {"email": "b@example.com"})
        contacts.push(link=("9", {}, "1"), created=True)
        assert world.letters(contacts.lane) == [("too_long", False)]


class CompareContract:
    """Ranges of links in the vendor's order."""

    @pytest.fixture
    def many(self, world: World, contacts: Worker) -> Worker:
        worker = Worker(world, contacts.lane, replace(CONTACT, match_keys=()))
        worker.pull(*(said(i, f"v{i}", email=f"{i}@example.com") for i in ("9", "10", "2", "11", "100", "30")))
        worker.pull(gone("30"))
        return worker

    ORDERS = {"numeric": ["2", "9", "10", "11", "100"], "ascii": ["10", "100", "11", "2", "9"]}

    @pytest.mark.parametrize("order", ORDERS)
    def test_the_whole_in_order(self, many: Worker, order: str) -> None:
        listed = many.store.links_between(many.lane, Span(None, None, order))
        assert list(listed) == [(i, f"v{i}") for i in self.ORDERS[order]]

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize("bounds", [(0, 2), (1, None), (None, 3), (2, 2), (4, None)])
    def test_a_span(self, many: Worker, order: str, bounds: tuple[int | None, int | None]) -> None:
        ids = self.ORDERS[order]
        first, last = bounds
        span = Span(None if first is None else ids[first], None if last is None else ids[last], order)
        wanted = ids[0 if first is None else first + 1 : None if last is None else last + 1]
        listed = list(many.store.links_between(many.lane, span))
        assert listed == [(i, f"v{i}") for i in wanted]

    def test_a_version_that_was_not_read_back_yet_is_not_told(self, world: World, contacts: Worker) -> None:
        world.create("contact", {"email": "a@example.com"})
        contacts.push(link=("9", {"email": "a@example.com"}, "5"), created=True)
        span = Span(None, None)
        assert list(world.store.links_between(contacts.lane, span)) == [("9", "")]
        contacts.pull(said("9", "5", email="a@example.com"))
        assert list(world.store.links_between(contacts.lane, span)) == [("9", "5")]

    def test_bytes_order_letters(self, many: Worker) -> None:
        many.pull(*(said(i, email=f"{i}@example.com") for i in ("b", "B", "a_", "aB", "ab")))
        listed = [v for v, _ in many.store.links_between(many.lane, Span("9", None, "ascii"))]
        assert listed == ["B", "aB", "a_", "ab", "b"]


class StoreContract(
    LeaseContract,
    PullContract,
    StaleContract,
    WorkContract,
    PushContract,
    WaitContract,
    NoticeContract,
    DeleteContract,
    ConflictContract,
    LetterContract,
    CompareContract,
):
    """All of it."""
