"""Traps too rare for schedules, or too particular: each a plain function that raises AssertionError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sync_engine.core.merge import Merge, Sides, merge_sides, same
from sync_engine.core.model import (
    DeletePolicy,
    Hub,
    HubRef,
    Incoming,
    Intent,
    Known,
    Link,
    ListKind,
    Outcome,
    Policy,
    Pushable,
    PushDecision,
    PushKind,
    Rules,
    Side,
)
from sync_engine.core.pull import plan_pull
from sync_engine.core.push import in_order, plan_push
from tests.simulation import desk_traps, merge_traps

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
RULES = Rules("contact", frozenset({"name", "source_updated_at"}), frozenset({"name"}), match_keys=(("name",),))
ONE, TWO = UUID(int=1), UUID(int=2)


def newest_within_the_clocks_allowance_is_the_hub() -> None:
    """Five minutes apart is no news; a second more is."""
    for apart, winner in ((-360, Side.HUB), (240, Side.HUB), (300, Side.HUB), (301, Side.VENDOR)):
        merged = _contested(NOW + timedelta(seconds=apart))
        assert merged.conflicts[0].winner is winner, apart


def _contested(vendor_time: datetime) -> Merge:
    sides = Sides({"name": "h"}, {"name": "v"}, {"name": "b"}, hub_times={"name": NOW}, vendor_time=vendor_time)
    return merge_sides(sides, lambda _: Policy.NEWEST, skew=timedelta(minutes=5))


def a_yes_is_no_one() -> None:
    assert not same(True, 1)
    assert not same([True], [1])


def a_record_that_matches_several_is_refused() -> None:
    hubs = {i: Hub(i, 1, {"name": "Ann"}) for i in (ONE, TWO)}
    known = Known({}, hubs, {"v1": (ONE, TWO)})
    decision = plan_pull([Incoming("v1", {"name": "Ann"})], known, RULES, lambda _: UUID(int=9))[0]
    assert decision.outcome is Outcome.REJECTED
    assert decision.failure is not None
    assert decision.failure.code == "ambiguous_match"


def a_record_that_matches_one_is_that_one() -> None:
    known = Known({}, {ONE: Hub(ONE, 1, {"name": "Ann"})}, {"v1": (ONE,)})
    decision = plan_pull([Incoming("v1", {"name": "Ann"})], known, RULES, lambda _: UUID(int=9))[0]
    assert (decision.outcome, decision.entity_id) == (Outcome.MATCHED, ONE)


def of_two_states_of_a_record_the_later_counts() -> None:
    known = Known({"v1": Link("v1", ONE, {"name": "a"}, version="1")}, {ONE: Hub(ONE, 1, {"name": "a"}, {"name": "a"})})
    batch = [Incoming("v1", {"name": "c"}, "3"), Incoming("v1", {"name": "b"}, "2")]
    first, second = plan_pull(batch, known, RULES, lambda _: ONE)
    assert (first.set_hub, second.outcome) == ({"name": "c"}, Outcome.SUPERSEDED)


def a_late_state_is_superseded() -> None:
    known = Known({"v1": Link("v1", ONE, {"name": "b"}, version="2")}, {ONE: Hub(ONE, 1, {"name": "b"}, {"name": "b"})})
    decision = plan_pull([Incoming("v1", {"name": "a"}, "1")], known, RULES, lambda _: ONE)[0]
    assert decision.outcome is Outcome.SUPERSEDED


def where_it_was_created_says_when() -> None:
    """A vendor that was only matched has no say in when the record was made."""
    link = Link("v1", ONE, {"name": "a"}, version="1", origin="matched")
    known = Known({"v1": link}, {ONE: Hub(ONE, 1, {"name": "a"}, {"name": "a"})})
    item = Incoming("v1", {"name": "a", "source_updated_at": NOW}, "2")
    assert not plan_pull([item], known, RULES, lambda _: ONE)[0].set_hub


def parents_go_first_and_cycles_end() -> None:
    child = PushDecision(ONE, PushKind.CREATE, later=(HubRef("parent_id", "contact", TWO),))
    parent = PushDecision(TWO, PushKind.CREATE)
    assert [d.entity_id for d in in_order([child, parent])] == [TWO, ONE]
    circle = replace(parent, later=(HubRef("parent_id", "contact", ONE),))
    assert {d.entity_id for d in in_order([child, circle])} == {ONE, TWO}


def a_copy_with_the_key_of_its_original_is_a_new_record() -> None:
    known = Known({}, {ONE: Hub(ONE, 1, {"name": "Ann"})}, taken={ONE: "v1"})
    decision = plan_pull([Incoming("v2", {"name": "Bob"}, key=ONE)], known, RULES, lambda _: TWO)[0]
    assert (decision.outcome, decision.entity_id) == (Outcome.CREATED, TWO)


def a_restored_record_does_not_replace_its_successor() -> None:
    link = Link("v1", ONE, {"name": "a"}, tombstoned=True)
    known = Known({"v1": link}, {ONE: Hub(ONE, 1, {"name": "a"}, {"name": "a"})}, taken={ONE: "v2"})
    decision = plan_pull([Incoming("v1", {"name": "a"})], known, RULES, lambda _: TWO)[0]
    assert decision.failure is not None
    assert decision.failure.code == "restored_twin"


def the_order_of_a_set_means_nothing() -> None:
    sides = Sides({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, {"tags": ["a"]})
    merged = merge_sides(sides, lists={"tags": ListKind.SET})
    assert not merged.to_hub
    assert not merged.to_vendor


def _buried_and_standing(hub_deleted: bool, link_buried: bool) -> Known:
    link = Link("v1", ONE, {"name": "a"}, version="1", tombstoned=link_buried)
    return Known({"v1": link}, {ONE: Hub(ONE, 2, {"name": "b"}, {"name": "b"}, deleted=hub_deleted)})


def what_the_vendor_restores_comes_back() -> None:
    known = _buried_and_standing(hub_deleted=True, link_buried=True)
    decision = plan_pull([Incoming("v1", {"name": "a"}, "2")], known, RULES, lambda _: ONE)[0]
    assert (decision.outcome, decision.restore) == (Outcome.REVIVED, True)


def an_edit_beats_a_delete_or_is_logged() -> None:
    known = _buried_and_standing(hub_deleted=False, link_buried=False)
    gone = [Incoming("v1", deleted=True)]
    kept = plan_pull(gone, known, RULES, lambda _: ONE)[0]
    assert (kept.outcome, kept.push, kept.conflicts[0].winner) == (Outcome.KEPT, True, Side.HUB)
    lost = plan_pull(gone, known, replace(RULES, edit_beats_delete=False), lambda _: ONE)[0]
    assert (lost.outcome, lost.conflicts[0].losing_value) == (Outcome.DELETED, {"name": "b"})


def an_announced_create_is_recognised() -> None:
    """By its key or, where the vendor has no field for it, by what was sent; without any match key."""
    intent = Intent(ONE, {"name": "a"}, NOW, 1)
    known = Known({}, {ONE: Hub(ONE, 1, {"name": "a"}, {"name": "a"})}, intents=(intent,))
    rules = replace(RULES, match_keys=())
    for item in (Incoming("v1", {"name": "A"}, key=ONE), Incoming("v1", {"name": "a"})):
        decision = plan_pull([item], known, rules, lambda _: TWO)[0]
        assert (decision.outcome, decision.entity_id, decision.settles_intent) == (Outcome.MATCHED, ONE, True)


def a_create_that_arrives_after_the_delete_is_deleted_too() -> None:
    intent = Intent(ONE, {"name": "a"}, NOW, 1)
    known = Known({}, {ONE: Hub(ONE, 2, {"name": "a"}, deleted=True)}, intents=(intent,))
    decision = plan_pull([Incoming("v1", {"name": "a"}, key=ONE)], known, RULES, lambda _: TWO)[0]
    assert (decision.create, decision.entity_id, decision.push) == (False, ONE, True)


def deletes_stay_out_where_they_must() -> None:
    known = Known({"v1": Link("v1", ONE, {"name": "a"})}, {ONE: Hub(ONE, 1, {"name": "a"}, {"name": "a"})})
    for policy in (DeletePolicy.ARCHIVE, DeletePolicy.IGNORE):
        decision = plan_pull([Incoming("v1", deleted=True)], known, replace(RULES, deletes_in=policy), lambda _: ONE)[0]
        assert (decision.outcome, decision.delete, decision.tombstone_link) == (Outcome.KEPT, False, True)


def our_own_write_does_not_undo_a_delete() -> None:
    link = Link("v1", ONE, {"name": "a"}, version="2")
    known = Known({"v1": link}, {ONE: Hub(ONE, 2, {"name": "a"}, deleted=True)})
    decision = plan_pull([Incoming("v1", {"name": "A"}, "2")], known, RULES, lambda _: ONE)[0]
    assert decision.outcome is Outcome.SUPERSEDED


def a_merge_keeps_what_only_one_has() -> None:
    rules = replace(RULES, reads=frozenset({"name", "phone"}), writes=frozenset({"name", "phone"}))
    links = {"v1": Link("v1", ONE, {"name": "a"}), "v2": Link("v2", TWO, {"name": "b"})}
    hubs = {ONE: Hub(ONE, 1, {"name": "a"}), TWO: Hub(TWO, 1, {"name": "b", "phone": "1"})}
    decision = plan_pull([Incoming("v2", merged_into="v1")], Known(links, hubs), rules, lambda _: ONE)[0]
    assert (decision.merge_into, decision.set_hub, decision.push) == (ONE, {"phone": "1"}, True)


def deleting_the_merged_half_leaves_the_survivor() -> None:
    """Two hub records were merged; the vendor still has the half that went, until it deletes that one."""
    hubs = {ONE: Hub(ONE, 2, {"name": "a"}, deleted=True), TWO: Hub(TWO, 1, {"name": "b"})}
    known = Known({"v1": Link("v1", ONE, {"name": "a"})}, hubs, redirects={ONE: TWO})
    decision = plan_pull([Incoming("v1", deleted=True)], known, RULES, lambda _: ONE)[0]
    assert (decision.entity_id, decision.delete) == (ONE, False)


def what_was_restored_here_is_created_there_again() -> None:
    link = Link("v1", ONE, {"name": "a"}, tombstoned=True)
    item = Pushable(ONE, Hub(ONE, 3, {"name": "a"}, {"name": "a"}), link)
    assert plan_push([item], RULES)[0].kind is PushKind.CREATE


def an_open_question_is_not_sent() -> None:
    link = Link("v1", ONE, {"name": "a"}, open={"name": ("b", "c")})
    item = Pushable(ONE, Hub(ONE, 2, {"name": "b"}, {"name": "b"}), link)
    assert plan_push([item], RULES)[0].kind is PushKind.NOTHING


def a_required_reference_is_awaited() -> None:
    ref = HubRef("parent_id", "contact", TWO)
    item = Pushable(ONE, Hub(ONE, 1, {"name": "b"}, {"name": "b"}), waits=(ref,))
    assert plan_push([item], replace(RULES, required=frozenset({"parent_id"})))[0].kind is PushKind.WAIT
    assert plan_push([item], RULES)[0].later == (ref,)


def an_edit_read_before_a_delete_beats_it() -> None:
    link = Link("v1", ONE, {"name": "a"}, version="1")
    current = Incoming("v1", {"name": "z"}, "2")
    item = Pushable(ONE, Hub(ONE, 2, {"name": "a"}, deleted=True), link, current=current)
    assert plan_push([item], RULES)[0].kind is PushKind.RESTORE
    lost = plan_push([item], replace(RULES, edit_beats_delete=False))[0]
    assert (lost.kind, lost.conflicts[0].losing_value) == (PushKind.DELETE, {"name": "z"})


ALL: tuple[Callable[[], None], ...] = (
    newest_within_the_clocks_allowance_is_the_hub,
    a_yes_is_no_one,
    a_record_that_matches_several_is_refused,
    a_record_that_matches_one_is_that_one,
    of_two_states_of_a_record_the_later_counts,
    a_late_state_is_superseded,
    where_it_was_created_says_when,
    parents_go_first_and_cycles_end,
    a_copy_with_the_key_of_its_original_is_a_new_record,
    a_restored_record_does_not_replace_its_successor,
    the_order_of_a_set_means_nothing,
    what_the_vendor_restores_comes_back,
    an_edit_beats_a_delete_or_is_logged,
    our_own_write_does_not_undo_a_delete,
    a_merge_keeps_what_only_one_has,
    deleting_the_merged_half_leaves_the_survivor,
    what_was_restored_here_is_created_there_again,
    an_open_question_is_not_sent,
    a_required_reference_is_awaited,
    an_edit_read_before_a_delete_beats_it,
    an_announced_create_is_recognised,
    a_create_that_arrives_after_the_delete_is_deleted_too,
    deletes_stay_out_where_they_must,
    *desk_traps.ALL,
    *merge_traps.ALL,
)
