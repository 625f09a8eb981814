"""Traps for merges at a vendor: what the planner makes of them, and the engine between a hub and a vendor that keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sync_engine.core.model import Conflict, Decision, Hub, Incoming, Known, Link, Outcome, Rules
from sync_engine.core.planning import needs_another_look
from sync_engine.core.pull import is_doubtful, plan_pull
from sync_engine.core.push import Refusal, after_refusal
from sync_engine.engine import Engine
from sync_engine.ports import Lane
from tests.simulation.memory_store import MemoryStore
from tests.simulation.ports import SimPort, rules_for
from tests.simulation.vendors import Row, Vendor

FIELDS = frozenset({"name", "phone", "city"})
RULES = Rules("contact", FIELDS, FIELDS, match_keys=(("name",),))
ONE, TWO = UUID(int=1), UUID(int=2)


def _known(loser: dict[str, Any], survivor: dict[str, Any], *, linked: bool = True, **more: Any) -> Known:
    """ "v1", which says that it is Bob, is the first hub record; "v2" is the second, if it is linked."""
    hubs = {ONE: Hub(ONE, 1, loser, loser), TWO: Hub(TWO, 1, survivor, survivor)}
    links = {"v1": Link("v1", ONE, {"name": "Bob"}, revision=3), "v2": Link("v2", TWO, survivor)}
    return Known(links if linked else {"v1": links["v1"]}, hubs if linked else {ONE: hubs[ONE]}, **more)


def _plan(known: Known, *items: Incoming) -> list[Decision]:
    return plan_pull(items, known, RULES, lambda _: UUID(int=9))


def an_unknown_survivor_is_what_was_merged_into_it() -> None:
    """The hub's record goes on under its new name, edits and all; nothing is made or deleted."""
    known = _known({"name": "Bob", "city": "Rome"}, {}, linked=False)
    gone, found = _plan(known, Incoming("v1", merged_into="v2"), Incoming("v2", {"name": "Cid", "phone": "1"}, "1"))
    assert (found.outcome, found.entity_id, found.create) == (Outcome.MATCHED, ONE, False)
    assert (found.set_hub, found.push) == ({"name": "Cid", "phone": "1"}, True)
    assert found.base == {"name": "Cid", "phone": "1"}
    assert (gone.outcome, gone.tombstone_link, gone.delete, gone.link_revision) == (Outcome.MERGED, True, False, 3)


def an_edit_that_an_unknown_survivor_contradicts_is_a_conflict() -> None:
    known = _known({"name": "Bill"}, {}, linked=False)
    _, found = _plan(known, Incoming("v1", merged_into="v2"), Incoming("v2", {"name": "Cid"}, "1"))
    assert [(c.field, c.winning_value, c.losing_value) for c in found.conflicts] == [("name", "Bill", "Cid")]


def of_two_that_an_unknown_survivor_swallowed_the_second_follows_the_first() -> None:
    known = _known({"name": "Bob"}, {"name": "Ann"})
    items = [Incoming("v1", merged_into="v3"), Incoming("v2", merged_into="v3"), Incoming("v3", {"name": "Cid"}, "1")]
    first, second, found = _plan(known, *items)
    assert (found.entity_id, first.outcome) == (ONE, Outcome.MERGED)
    assert needs_another_look(second)
    links = {**known.links, "v3": Link("v3", ONE, {"name": "Cid"})}
    (second,) = _plan(replace(known, links=links), items[1])
    assert (second.entity_id, second.merge_into) == (TWO, ONE)


def an_unknown_survivor_that_is_somebody_else_is_followed_once_it_is_linked() -> None:
    """It matches another hub record: the merged one goes there, and is not deleted before."""
    known = replace(_known({"name": "Bob"}, {"name": "Ann"}), candidates={"v3": (TWO,)})
    known = replace(known, links={"v1": known.links["v1"]})
    gone, found = _plan(known, Incoming("v1", merged_into="v3"), Incoming("v3", {"name": "Ann"}, "1"))
    assert (found.outcome, found.entity_id) == (Outcome.MATCHED, TWO)
    assert needs_another_look(gone)


def a_survivor_that_was_merged_on_is_followed_to_the_end() -> None:
    known = _known({"name": "Bob", "phone": "1"}, {"name": "Ann"})
    first, between = _plan(known, Incoming("v1", merged_into="v3"), Incoming("v3", merged_into="v2"))
    assert (first.outcome, first.merge_into, first.set_hub) == (Outcome.MERGED, TWO, {"phone": "1"})
    assert between.outcome is Outcome.SKIPPED


def merges_in_a_circle_end() -> None:
    known = _known({"name": "Bob"}, {}, linked=False)
    decisions = _plan(known, Incoming("v1", merged_into="v2"), Incoming("v2", merged_into="v1"))
    assert not any(needs_another_look(d) for d in decisions)


def a_survivor_that_the_hub_refuses_takes_nothing_along() -> None:
    known = _known({"name": "Bob"}, {}, linked=False)
    refused = Incoming("v2", {"name": "Cid"}, "1", error=("invalid_value", "Bad.", "name"))
    gone, dead = _plan(known, Incoming("v1", merged_into="v2"), refused)
    assert (gone.outcome, dead.outcome) == (Outcome.DELETED, Outcome.REJECTED)


def a_merge_beats_what_a_listing_still_shows() -> None:
    known = _known({"name": "Bob"}, {"name": "Ann"})
    for first in (Incoming("v1", {"name": "Bob"}, "9"), Incoming("v1", merged_into="v2")):
        items = sorted([Incoming("v1", {"name": "Bob"}, "9"), Incoming("v1", merged_into="v2")], key=first.__ne__)
        told = {d.incoming and d.incoming.merged_into: d.outcome for d in _plan(known, *items)}
        assert told == {"v2": Outcome.MERGED, None: Outcome.SUPERSEDED}


def a_listing_of_what_is_gone_is_doubted() -> None:
    """The index may only lag behind: what it shows is read by its id before anything is believed to have come back."""
    buried = Link("v1", ONE, {"name": "Bob"}, version="2", tombstoned=True)
    assert is_doubtful(Incoming("v1", {"name": "Bob"}, "3"), buried)
    assert not is_doubtful(Incoming("v1", {"name": "Bob"}, "3", outside=True), buried)


def a_merge_that_was_taken_for_a_delete_is_followed_once_the_vendor_refuses_the_record() -> None:
    known = _known({"name": "Bob", "city": "Rome", "phone": "1"}, {"name": "Ann", "city": "Oslo"})
    buried = {**known.links, "v1": replace(known.links["v1"], tombstoned=True)}
    item = Incoming("v1", merged_into="v2")
    assert _plan(replace(known, links=buried), item)[0].outcome is Outcome.SKIPPED
    assert _plan(replace(known, links=buried, refused={ONE: "v7"}), item)[0].outcome is Outcome.SKIPPED
    (merged,) = _plan(replace(known, links=buried, refused={ONE: "v2"}), item)
    assert (merged.merge_into, merged.set_hub) == (TWO, {"phone": "1"})
    assert [c.losing_value for c in merged.conflicts] == [{"city": "Rome"}]


def an_edit_of_a_merged_records_other_half_does_not_bring_it_back() -> None:
    """Wherever the edit is read first, the survivor takes what it lacks, and the log the rest."""
    half = Link("w1", ONE, {"name": "Bob"}, version="1", revision=4)
    hubs = {
        ONE: Hub(ONE, 2, {"name": "Bob"}, {"name": "Bob"}, deleted=True),
        TWO: Hub(TWO, 1, {"name": "Ann", "city": "Oslo"}),
    }
    said = Incoming("w1", {"name": "Bob", "city": "Rome", "phone": "1"}, "2")
    (followed,) = _plan(Known({"w1": half}, hubs, redirects={ONE: TWO}), said)
    assert (followed.restore, followed.delete, followed.entity_id, followed.merge_into) == (False, False, ONE, TWO)
    assert (followed.set_hub, followed.push) == ({"phone": "1"}, True)
    assert followed.base == {"name": "Bob", "city": "Rome", "phone": "1"}
    assert [(c.rule, c.losing_value) for c in followed.conflicts] == [("merged_over_edit", {"city": "Rome"})]
    hubs[TWO] = replace(hubs[TWO], deleted=True)
    assert _plan(Known({"w1": half}, hubs, redirects={ONE: TWO}), said)[0].restore, "nothing else is left of the two"


def what_becomes_of_a_refused_create() -> None:
    here, standing = {ONE: Hub(ONE, 1, {}), TWO: Hub(TWO, 1, {})}, Incoming("v2", {"name": "Ann"})
    going = {**here, TWO: Hub(TWO, 1, {}, deleted=True)}

    def told(item: Incoming, links: dict[str, Link], hubs: dict[UUID, Hub], *, shared: bool = False) -> Refusal:
        return after_refusal(ONE, item, Known(links, hubs), shared=shared)

    theirs, ours = {"v2": Link("v2", TWO)}, {"v2": Link("v2", ONE)}
    assert told(standing, theirs, here) is Refusal.DEAD
    assert told(standing, theirs, going) is Refusal.WAIT, "it is about to be deleted there"
    assert told(standing, ours, here) is Refusal.OVER
    assert told(standing, theirs, {ONE: Hub(ONE, 1, {}, deleted=True)}) is Refusal.OVER
    assert told(standing, {}, here) is Refusal.DEAD
    assert told(standing, {}, here, shared=True) is Refusal.WAIT
    assert told(replace(standing, deleted=True), {}, here) is Refusal.WAIT


# ---------------------------------------------------------------- a hub and a vendor


class _Pair:
    """The hub and one vendor that keeps what it merges: Ann, Bob and, unknown to the hub, Cid."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)
        self.around: Callable[[str, Callable[[], Any]], Any] = lambda _, make: make()
        self.store = MemoryStore(lambda: self.now)
        self.vendor = Vendor("a", strict=True, clock=lambda: self.now, keeps=True)
        self.lane = Lane(UUID(int=1), UUID(int=2), "companies")
        self.store.register(self.lane, "account")
        self.engine = Engine(self.store, self._port, lambda: self.now)
        for name in ("Ann", "Bob"):
            self.vendor.create("companies", {"name": name}, lags=False)
        self.run()

    def _port(self, lane: Lane) -> SimPort:
        rules = rules_for("account")
        return SimPort(self.vendor, lane, rules, lambda name, make: self.around(name, make), can_find=True)

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self.engine.run(self.lane)
            self.now += timedelta(minutes=10)

    def row(self, name: str) -> Row:
        return next(r for r in self.vendor.rows.values() if r.values.get("name") == name)

    def hub(self, name: str) -> UUID:
        return self.store.find(self.lane.tenant_id, "account", "name", name)[0]

    def merge(self, survivor: str, loser: str) -> None:
        self.vendor.merge("companies", self.row(survivor), self.row(loser), {})

    def conflicts(self) -> list[Conflict]:
        return [row.conflict for row in self.store.tables.conflicts]


def a_merge_that_only_the_look_before_a_write_tells_of_is_followed() -> None:
    pair = _Pair()
    bob = pair.hub("Bob")
    pair.merge("Ann", "Bob")
    pair.store.edit(bob, {"city": "ROME"})
    pair.run(3)
    assert pair.row("Ann").values == {"name": "Ann", "city": "ROME"}
    assert pair.store.tables.redirects == {bob: pair.hub("Ann")}
    assert pair.vendor.refused == 0
    assert not pair.conflicts(), "nothing is lost: Ann had no city"


def a_survivor_is_read_before_its_loser_is_given_up() -> None:
    """A notice tells of the loser alone."""
    pair = _Pair()
    bob = pair.hub("Bob")
    pair.vendor.create("companies", {"name": "Cid", "city": "ROME"})
    loser = pair.row("Bob").id
    pair.merge("Cid", "Bob")
    pair.store.add_notices(pair.lane, {loser: False})
    pair.engine.run(pair.lane, poll=False)
    assert pair.store.tables.links[pair.lane, pair.row("Cid").id].entity_id == bob
    hub = pair.store.hub_values(bob)
    assert hub is not None
    assert (hub["name"], hub["city"]) == ("Cid", "ROME")


def a_write_that_met_the_survivor_is_no_link_to_it() -> None:
    """Merged between our reading and our writing: what the write replaced there is in the log, and each link stays whose it is."""
    pair = _Pair()
    ann, bob = pair.hub("Ann"), pair.hub("Bob")
    pair.store.edit(ann, {"city": "OSLO"})
    pair.run()
    pair.store.edit(bob, {"city": "ROME"})
    pair.now += timedelta(minutes=10)

    def around(name: str, make: Callable[[], Any]) -> Any:
        if name == "write" and pair.row("Bob").merged_into is None:
            pair.merge("Ann", "Bob")
        return make()

    pair.around = around
    pair.run()
    assert pair.vendor.led_on == 1
    assert pair.store.tables.links[pair.lane, pair.row("Ann").id].entity_id == ann
    assert [(c.rule, c.losing_value) for c in pair.conflicts()] == [("merged_over_edit", {"city": "OSLO"})]
    pair.run(3)
    hub = pair.store.hub_values(ann)
    assert hub is not None
    assert (hub["city"], pair.row("Ann").values["city"]) == ("ROME", "ROME")
    assert pair.store.tables.redirects == {bob: ann}


def a_create_waits_for_the_delete_of_what_stands_in_its_way() -> None:
    pair = _Pair()
    ann, bob = pair.hub("Ann"), pair.hub("Bob")
    pair.merge("Ann", "Bob")
    pair.store.delete(ann)
    pair.store.edit(bob, {"city": "ROME"})
    pair.run(4)
    (row,) = pair.vendor.live("companies")
    assert row.values == {"name": "Bob", "city": "ROME"}
    assert not [d for d in pair.store.tables.dead.values() if d.open]
    assert not pair.store.tables.work


def a_create_that_nobody_can_help_is_a_letter_that_names_what_is_in_the_way() -> None:
    pair = _Pair()
    pair.merge("Ann", "Bob")
    pair.run()
    made = pair.store.create(pair.lane.tenant_id, "account", UUID(int=77), {"name": "Bob"})
    pair.run(3)
    dead = pair.store.tables.dead[pair.lane, "push", str(made)]
    assert dead.failure.code == "already_exists"
    assert pair.row("Ann").id in dead.failure.message
    assert str(pair.hub("Ann")) in dead.failure.message
    assert pair.vendor.refused == 1, "it is not tried again and again"


def a_record_that_nobody_can_bring_back_is_not_read_for_ever() -> None:
    """Two others could be it by now: a person decides, and the work ends."""
    pair = _Pair()
    bob = pair.hub("Bob")
    pair.store.delete(bob)
    pair.vendor.change("companies", pair.row("Bob").id, {"city": "ROME"})
    for number in (70, 71):
        pair.store.create(pair.lane.tenant_id, "account", UUID(int=number), {"name": "Bob"})
    for _ in range(40):
        pair.engine.run(pair.lane, poll=False)
        pair.now += timedelta(minutes=1)
    assert (pair.lane, bob) not in pair.store.tables.work
    assert pair.store.tables.dead[pair.lane, "push", str(bob)].failure.code == "not_taken_in"


ALL: tuple[Callable[[], None], ...] = (
    an_unknown_survivor_is_what_was_merged_into_it,
    an_edit_that_an_unknown_survivor_contradicts_is_a_conflict,
    of_two_that_an_unknown_survivor_swallowed_the_second_follows_the_first,
    an_unknown_survivor_that_is_somebody_else_is_followed_once_it_is_linked,
    a_survivor_that_was_merged_on_is_followed_to_the_end,
    merges_in_a_circle_end,
    a_survivor_that_the_hub_refuses_takes_nothing_along,
    a_merge_beats_what_a_listing_still_shows,
    a_listing_of_what_is_gone_is_doubted,
    a_merge_that_was_taken_for_a_delete_is_followed_once_the_vendor_refuses_the_record,
    an_edit_of_a_merged_records_other_half_does_not_bring_it_back,
    what_becomes_of_a_refused_create,
    a_merge_that_only_the_look_before_a_write_tells_of_is_followed,
    a_survivor_is_read_before_its_loser_is_given_up,
    a_write_that_met_the_survivor_is_no_link_to_it,
    a_create_waits_for_the_delete_of_what_stands_in_its_way,
    a_create_that_nobody_can_help_is_a_letter_that_names_what_is_in_the_way,
    a_record_that_nobody_can_bring_back_is_not_read_for_ever,
)
