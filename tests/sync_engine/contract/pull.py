"""What comes in: records, deletes, conflicts, and what was refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from sync_engine.core.model import (
    Conflict,
    DeletePolicy,
    Failure,
    Incoming,
    Outcome,
    Policy,
    Side,
)
from sync_engine.ports import (
    PullCommit,
    PullQuery,
    PushEnd,
    Resync,
    StaleError,
)
from tests.sync_engine.contract.world import CONTACT, LATER, NOW, Worker, World, gone, said


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
            said("1", email="a@example.com"),
            rejected,
            cursor={"page": 1},
            resync=Resync(NOW, "1", 3),
            rejects=[piece],
            deletes={NOW.isoformat(): 2},
        )
        contacts.pull(said("1", email="a@example.com"), verified_at=NOW)
        state = world.store.state(contacts.lane)
        assert state.cursor == {"page": 1}
        assert state.deletes == {NOW.isoformat(): 2}
        assert state.resync == Resync(NOW, "1", 3)
        assert state.verified_at == NOW
        assert contacts.store.live_links(contacts.lane) == 1
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

    def test_a_linked_record_is_matched_with_nothing_else(self, world: World, contacts: Worker) -> None:
        (made,) = contacts.pull(said("1", email="a@example.com"))
        twin = world.create("contact", {"email": "b@example.com", "last_name": "B"})
        query = contacts.query(said("1", "2", email="b@example.com"))
        assert contacts.store.gather_pull(contacts.lane, query).known.candidates == {}
        contacts.pull(gone("1"))
        known = contacts.store.gather_pull(contacts.lane, query).known
        assert known.candidates == {"1": (twin,)}
        assert known.hubs.keys() == {made.entity_id, twin}

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
        assert contacts.store.live_links(contacts.lane) == 0

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
        assert contacts.store.live_links(contacts.lane) == 1

    def test_references_to_a_deleted_record_are_cleared(self, world: World, contacts: Worker, accounts: Worker) -> None:
        (parent,) = accounts.pull(said("7", name="A"))
        child = world.create("contact", {"email": "a@example.com", "account_id": parent.entity_id})
        contacts.push(PushEnd.NOTHING)
        accounts.pull(gone("7"))
        hub = contacts.hub(child)
        assert hub is not None
        assert (hub.values, hub.version) == ({"email": "a@example.com"}, 2)
        assert contacts.due() == [child]

    def test_references_come_back_with_the_record_where_nothing_else_took_their_place(
        self, world: World, contacts: Worker, accounts: Worker
    ) -> None:
        (parent,) = accounts.pull(said("7", name="A"))
        (other,) = accounts.pull(said("8", name="B"))
        waiting = world.create("contact", {"email": "a@example.com", "account_id": parent.entity_id})
        moved = world.create("contact", {"email": "b@example.com", "account_id": parent.entity_id})
        accounts.pull(gone("7"))
        world.edit("contact", moved, {"account_id": other.entity_id})
        (back,) = accounts.pull(said("7", "2", name="A"))
        assert back.outcome is Outcome.REVIVED
        hubs = [contacts.hub(i) for i in (waiting, moved)]
        assert [h and h.values["account_id"] for h in hubs] == [parent.entity_id, other.entity_id]
        assert world.history(waiting)[-1] == ("account_id", parent.entity_id, "reference_restored")
        assert waiting in contacts.due()

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
        contacts.pull(gone("2"))
        (back,) = others.pull(said("x", "2", email="c@example.com"))
        assert back.restore
        assert loser.entity_id is not None
        known = contacts.store.gather_pull(contacts.lane, contacts.query(keys=[loser.entity_id])).known
        assert known.redirects == {}
        assert not known.hubs[loser.entity_id].deleted

    def test_an_edit_of_a_merged_records_half_is_the_survivors_or_in_the_log(
        self, world: World, contacts: Worker, others: Worker
    ) -> None:
        (loser,) = contacts.pull(said("1", email="a@example.com"))
        (survivor,) = contacts.pull(said("2", email="b@example.com"))
        others.pull(said("x", email="a@example.com"), said("y", email="b@example.com"))
        contacts.pull(Incoming("1", merged_into="2"))
        (followed,) = others.pull(said("x", "2", email="c@example.com", phone="+15550100"))
        assert (followed.outcome, followed.restore) == (Outcome.MERGED, False)
        assert loser.entity_id is not None
        assert survivor.entity_id is not None
        hub, gone_one = contacts.hub(survivor.entity_id), contacts.hub(loser.entity_id)
        assert hub is not None
        assert gone_one is not None
        assert hub.values == {"email": "b@example.com", "phone": "+15550100"}
        assert gone_one.deleted
        assert world.conflicts(others.lane) == [("*", "closed")]
        half = others.link("x")
        assert half is not None
        assert (half.entity_id, half.tombstoned, half.base) == (
            loser.entity_id,
            False,
            {"email": "c@example.com", "phone": "+15550100"},
        )
        assert set(others.due()) == {loser.entity_id, survivor.entity_id}, "one goes, the other one says what it said"
        assert survivor.entity_id in contacts.due()

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

    def test_what_is_left_out_of_a_push_leaves_a_letter_until_nothing_is(self, world: World, contacts: Worker) -> None:
        hub_id = world.create("contact", {"email": "a@example.com"})
        left_out = Failure("no_counterpart", "The stage has no counterpart.", "stage_id")
        contacts.push(link=("9", {}, "1"), created=True, failure=left_out, mapped={"a": 1})
        assert world.letters(contacts.lane) == [("no_counterpart", True)]
        assert contacts.due(LATER) == []
        world.edit("contact", hub_id, {"email": "b@example.com"})
        contacts.push(PushEnd.NOTHING)
        assert world.letters(contacts.lane) == [("no_counterpart", False)]
