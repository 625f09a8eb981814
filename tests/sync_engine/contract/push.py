"""What goes out, what it waits for, and hints about records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from sync_engine.core.model import (
    HubRef,
    VendorRef,
)
from sync_engine.ports import (
    PullQuery,
    Pushed,
    PushEnd,
    Sending,
    StaleError,
)
from tests.sync_engine.contract.world import ACCOUNT, CONTACT, LATER, NOW, Worker, World, gone, said


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

    def test_of_links_that_are_gone_the_last_one_counts(self, world: World, contacts: Worker) -> None:
        """What a vendor says became of a record, it says of the id that the record had last."""
        (made,) = contacts.pull(said("1", email="a@example.com"))
        assert made.entity_id is not None
        world.edit("contact", made.entity_id, {"phone": "+15550100"})
        contacts.pull(gone("1"))
        contacts.push(link=("2", {"email": "a@example.com"}, "1"), created=True)
        world.edit("contact", made.entity_id, {"phone": "+15550101"})
        contacts.pull(gone("2"))
        (work,) = contacts.work()
        assert work.item.link is not None
        assert (work.item.link.vendor_id, work.item.link.tombstoned) == ("2", True)

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
        assert world.store.live_links(contacts.lane) == 1

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

    def test_a_create_that_is_not_to_be_any_more_leaves_no_intent(self, world: World, contacts: Worker) -> None:
        """It never arrived, and the record was deleted before it was sent again."""
        hub_id = world.create("contact", {"email": "a@example.com"})
        world.store.announce(contacts.lease, NOW, [Sending(hub_id, {"email": "a@example.com"})])
        contacts.push(PushEnd.UNCERTAIN, retry_at=NOW)
        world.delete("contact", hub_id)
        contacts.push(PushEnd.NOTHING)
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
        assert world.store.live_links(contacts.lane) == 0

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
