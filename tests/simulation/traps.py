"""Traps too rare for schedules, or too particular: each a plain function that raises AssertionError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sync_engine.core.merge import Merge, Sides, merge_sides, same
from sync_engine.core.model import (
    Hub,
    HubRef,
    Incoming,
    Known,
    Link,
    Outcome,
    Policy,
    PushDecision,
    PushKind,
    Rules,
    Side,
)
from sync_engine.core.pull import plan_pull
from sync_engine.core.push import in_order
from sync_engine.core.recovery import Brake
from sync_engine.engine import Engine, Settings
from sync_engine.ports import Lane
from tests.simulation.memory_store import MemoryStore
from tests.simulation.ports import SimPort, rules_for
from tests.simulation.vendors import Vendor

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


class _Desk:
    """One lane over one vendor with many records."""

    def __init__(self, count: int) -> None:
        self.now = NOW
        self.store = MemoryStore(lambda: self.now)
        self.vendor = Vendor("a", strict=True, clock=lambda: self.now)
        self.lane = Lane(UUID(int=1), UUID(int=2), "companies")
        self.store.register(self.lane, "account")
        for number in range(count):
            self.vendor.create("companies", {"name": f"who{number}"}, lags=False)
        self.engine = Engine(self.store, self._port, lambda: self.now, Settings(brake=Brake(0.1, 3)))
        self.engine.run(self.lane)

    def _port(self, lane: Lane) -> SimPort:
        port = SimPort(self.vendor, lane, rules_for("account"), lambda _name, make: make(), can_find=True)
        port.page_size = 50
        return port

    def wipe(self) -> None:
        for row in self.vendor.live("companies"):
            self.vendor.bury("companies", row.id)
        self.now += timedelta(hours=1)

    def standing(self) -> int:
        return sum(1 for row in self.store.tables.hubs.values() if not row.deleted)


def a_wiped_vendor_brakes() -> None:
    """By its own list of deletes, and by what a full comparison misses."""
    for expires in (False, True):
        desk = _Desk(12)
        assert desk.standing() == 12
        desk.wipe()
        if expires:
            desk.vendor.expired_before = desk.now
        report = desk.engine.run(desk.lane)
        assert (report.stopped, desk.standing()) == ("braked", 12), expires
        assert desk.store.state(desk.lane).status == "braked"


def a_few_deletes_do_not_brake() -> None:
    desk = _Desk(12)
    desk.vendor.bury("companies", desk.vendor.live("companies")[0].id)
    desk.now += timedelta(hours=1)
    desk.engine.run(desk.lane)
    assert desk.standing() == 11


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
    a_wiped_vendor_brakes,
    a_few_deletes_do_not_brake,
)
