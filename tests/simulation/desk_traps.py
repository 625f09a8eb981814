"""Traps for the engine: one lane over one vendor, and one thing that goes wrong. Each raises AssertionError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.errors import TransientError
from sync_engine.core.model import Policy
from sync_engine.core.recovery import Brake
from sync_engine.engine import Engine, Pass, Report, Settings
from sync_engine.ports import Lane, LeaseLostError, PullCommit, Resync
from tests.simulation.memory_store import MemoryStore
from tests.simulation.ports import SimPort, rules_for
from tests.simulation.vendors import Vendor

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class _Desk:
    """One lane over one vendor with many records."""

    def __init__(self, count: int, *, page_size: int = 50, strict: bool = True, **rules: Any) -> None:
        self.now = NOW
        self.page_size, self.rules = page_size, rules
        self.around: Callable[[str, Callable[[], Any]], Any] = lambda _, make: make()
        self.store = MemoryStore(lambda: self.now)
        self.vendor = Vendor("a", strict=strict, clock=lambda: self.now)
        self.lane = Lane(UUID(int=1), UUID(int=2), "companies")
        self.store.register(self.lane, "account")
        for number in range(count):
            self.vendor.create("companies", {"name": f"who{number}"}, lags=False)
        self.engine = Engine(self.store, self.port, lambda: self.now, Settings(brake=Brake(0.1, 3)))
        self.engine.run(self.lane)

    def port(self, lane: Lane) -> SimPort:
        rules = rules_for("account", **self.rules)
        port = SimPort(self.vendor, lane, rules, lambda name, make: self.around(name, make), can_find=True)
        port.page_size = self.page_size
        return port

    def run(self, **how: Any) -> str:
        """One pass; why it stopped, or that it lost its lease."""
        try:
            return self.engine.run(self.lane, **how).stopped
        except LeaseLostError:
            return "lost"

    @property
    def hub_ids(self) -> list[UUID]:
        return list(self.store.tables.hubs)

    def pass_time(self, call: str) -> None:
        """An hour passes during the vendor's next call of this name."""

        def around(name: str, make: Callable[[], Any]) -> Any:
            if name == call:
                self.now += timedelta(hours=1)
            return make()

        self.around = around

    def wipe(self, most: int = 1000) -> list[str]:
        """The vendor loses its records, or ``most`` of them; an hour passes."""
        gone = [row.id for row in self.vendor.live("companies")[:most]]
        for vendor_id in gone:
            self.vendor.bury("companies", vendor_id)
        self.now += timedelta(hours=1)
        return gone

    def let_through(self) -> None:
        """A person's word that the deletes are meant."""
        row = self.store.tables.lanes[self.lane]
        state = replace(row.state, status="idle", resync=Resync(self.now, confirmed=True), deletes={})
        self.store.tables.lanes[self.lane] = replace(row, state=state)

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


def deletes_spread_over_pages_brake() -> None:
    desk = _Desk(12, page_size=2)
    desk.wipe()
    report = desk.engine.run(desk.lane)
    assert (report.stopped, desk.standing()) == ("braked", 10), "the first page is within the limit"
    assert desk.store.state(desk.lane).status == "braked"


def deletes_spread_over_polls_brake() -> None:
    desk = _Desk(12)
    for expected in (("", 9), ("braked", 9)):
        desk.wipe(3)
        assert (desk.run(), desk.standing()) == expected


def deletes_of_other_days_do_not_count() -> None:
    desk = _Desk(12)
    for standing in (9, 6):
        desk.wipe(3)
        assert (desk.run(), desk.standing()) == ("", standing)
        desk.now += timedelta(hours=25)


def deletes_that_notices_tell_of_brake() -> None:
    desk = _Desk(12)
    for vendor_id in desk.wipe():
        desk.store.add_notices(desk.lane, {vendor_id: True})
        report = desk.engine.run(desk.lane, poll=False)
        if report.stopped:
            break
    assert (report.stopped, desk.standing()) == ("braked", 9)
    assert desk.store.notices(desk.lane, 9), "what was not carried over is not answered either"


def deletes_that_are_seen_while_sending_brake() -> None:
    desk = _Desk(12, edit_beats_delete=False)
    desk.wipe()
    for hub_id in list(desk.store.tables.hubs):
        desk.store.edit(hub_id, {"city": "ROME"})
    report = desk.engine.run(desk.lane, poll=False)
    assert (report.stopped, desk.standing()) == ("braked", 9)


def deletes_that_a_person_let_through_go_through_and_do_not_count() -> None:
    desk = _Desk(30)
    for vendor_id in desk.wipe(20):
        desk.store.add_notices(desk.lane, {vendor_id: True})
    assert desk.run() == "braked"
    desk.let_through()
    assert (desk.run(), desk.standing()) == ("", 10)
    desk.wipe(1)
    assert (desk.run(), desk.standing()) == ("", 9)
    desk.wipe(3)
    assert desk.run() == "braked", "one and three are more than three"


def a_comparison_counts_what_polls_took_over_before() -> None:
    desk = _Desk(12)
    desk.wipe(3)
    desk.engine.run(desk.lane)
    desk.wipe(2)
    desk.vendor.expired_before = desk.now
    assert (desk.run(), desk.standing()) == ("braked", 9)


def merges_are_no_deletes() -> None:
    desk = _Desk(12)
    survivor, *others = [row.id for row in desk.vendor.live("companies")]
    for vendor_id in others[:8]:
        desk.vendor.bury("companies", vendor_id, survivor)
    desk.now += timedelta(hours=1)
    assert (desk.run(), desk.standing()) == ("", 4)
    desk.wipe(1)
    assert (desk.run(), desk.standing()) == ("", 3), "nor do they count for later"


def a_few_deletes_do_not_brake() -> None:
    desk = _Desk(12)
    desk.vendor.bury("companies", desk.vendor.live("companies")[0].id)
    desk.now += timedelta(hours=1)
    desk.engine.run(desk.lane)
    assert desk.standing() == 11


def a_zombie_commits_nothing() -> None:
    desk = _Desk(1)
    old = desk.store.take(desk.lane, "one", desk.now, desk.now)
    assert old is not None
    assert desk.store.take(desk.lane, "two", desk.now, desk.now + timedelta(minutes=1)) is not None
    try:
        desk.store.commit_pull(old, PullCommit("account", cursor={"since": "never"}))
    except LeaseLostError:
        return
    raise AssertionError("a worker whose lease was taken over committed")


def a_write_that_meets_a_newer_version_is_planned_again() -> None:
    """Somebody edits another field between our reading and our writing: both edits stand, and nothing is given up."""
    desk = _Desk(1)
    hub_id, vendor_id = next(iter(desk.store.tables.hubs)), desk.vendor.live("companies")[0].id
    desk.store.edit(hub_id, {"city": "ROME"})
    edits = [{"name": "renamed"}]

    def around(name: str, make: Callable[[], Any]) -> Any:
        if name == "write" and edits:
            desk.vendor.change("companies", vendor_id, edits.pop())
        return make()

    desk.around = around
    desk.now += timedelta(hours=1)
    desk.engine.run(desk.lane)
    assert desk.vendor.rows["companies", vendor_id].values == {"name": "renamed", "city": "ROME"}
    assert not desk.store.tables.dead


def what_is_entered_while_we_write_is_not_overwritten_unseen() -> None:
    """The hub wins by its policy, but what it won over stands in the log."""
    desk = _Desk(1)
    vendor_id = desk.vendor.live("companies")[0].id
    desk.store.edit(desk.hub_ids[0], {"city": "ROME"})
    edits = [{"city": "OSLO"}]

    def around(name: str, make: Callable[[], Any]) -> Any:
        if name == "write" and edits:
            desk.vendor.change("companies", vendor_id, edits.pop())
        return make()

    desk.around = around
    desk.now += timedelta(hours=1)
    desk.run()
    assert desk.vendor.rows["companies", vendor_id].values["city"] == "ROME"
    assert [row.conflict.losing_value for row in desk.store.tables.conflicts] == ["OSLO"]


def a_worker_that_slept_while_another_worked_stops() -> None:
    desk = _Desk(1)
    lease = desk.store.take(desk.lane, "one", desk.now, desk.now + timedelta(minutes=2))
    assert lease is not None
    slept = Pass(desk.store, desk.port(desk.lane), lease, lambda: desk.now, Settings(), Report())
    desk.now += timedelta(hours=1)
    assert desk.run() == ""
    try:
        slept.renew()
    except LeaseLostError:
        assert desk.run() == "", "and the lane is free for the next"
        return
    raise AssertionError("it goes on with what it knew an hour ago")


def nothing_is_sent_on_an_expired_lease() -> None:
    desk = _Desk(1)
    (hub_id,) = desk.hub_ids
    desk.store.edit(hub_id, {"city": "ROME"})
    announce = desk.store.announce

    def slowly(*args: Any) -> None:
        announce(*args)
        desk.now += timedelta(hours=1)

    desk.store.announce = slowly  # type: ignore[method-assign]
    assert (desk.run(), desk.vendor.writes) == ("lost", 0)


def nothing_is_deleted_on_an_expired_lease() -> None:
    desk = _Desk(1)
    (hub_id,) = desk.hub_ids
    desk.store.delete(hub_id)
    desk.pass_time("fetch")
    assert (desk.run(), desk.vendor.writes) == ("lost", 0)


def a_listing_that_breaks_off_ends_no_comparison() -> None:
    desk = _Desk(6, page_size=2)
    last = desk.vendor.live("companies")[-1].id
    desk.vendor.bury("companies", last)
    desk.now += timedelta(hours=1)
    desk.vendor.expired_before = desk.now
    reads = iter(range(1000))
    desk.around = lambda name, make: None if name == "read" and next(reads) == 2 else make()
    assert (desk.run(), desk.standing()) == ("incomplete", 6)
    desk.around = lambda _, make: make()
    assert (desk.run(), desk.standing()) == ("", 5), "the rest of it is compared by the next pass"


def what_a_listing_lacks_is_asked_for_before_it_is_deleted() -> None:
    desk = _Desk(3)
    late = desk.vendor.create("companies", {"name": "late"})
    desk.store.add_notices(desk.lane, {late: False})
    desk.vendor.expired_before = desk.now
    assert (desk.run(), desk.standing()) == ("", 4)


def a_vendor_that_is_listed_whole_tells_of_deletes_by_what_it_lacks() -> None:
    desk = _Desk(6, strict=False)
    desk.wipe(1)
    desk.vendor.expired_before = desk.now
    assert (desk.run(), desk.standing()) == ("", 5)


def an_update_without_an_answer_is_no_edit_of_the_vendor() -> None:
    """Also when the hub has another value by the time that it is read."""
    desk = _Desk(1, policy=Policy.VENDOR_WINS)
    (hub_id,) = desk.hub_ids
    desk.store.edit(hub_id, {"city": "ROME"})

    def around(name: str, make: Callable[[], Any]) -> Any:
        result = make()
        if name == "write":
            raise TransientError("No answer.")
        return result

    desk.around = around
    desk.run()
    desk.around = lambda _, make: make()
    desk.store.edit(hub_id, {"city": "OSLO"})
    desk.now += timedelta(hours=1)
    desk.run()
    assert desk.store.tables.hubs[hub_id].values["city"] == "OSLO"
    assert [row.values["city"] for row in desk.vendor.live("companies")] == ["OSLO"]
    assert not desk.store.tables.conflicts


def an_end_that_is_stale_takes_no_other_along() -> None:
    """A person answers a conflict of one record while a batch is sent: the other record is done with."""
    desk = _Desk(2)
    answered, other = desk.hub_ids
    for hub_id in (answered, other):
        desk.store.edit(hub_id, {"city": "ROME"})
    due: list[set[UUID]] = []
    push_work = desk.store.push_work

    def watched(*args: Any) -> Any:
        work = push_work(*args)
        due.append({w.item.entity_id for w in work})
        return work

    def around(name: str, make: Callable[[], Any]) -> Any:
        result = make()
        if name == "write" and len(due) == 1:
            for key, link in desk.store.tables.links.items():
                if link.entity_id == answered:
                    desk.store.tables.links[key] = replace(link, revision=link.revision + 1)
        return result

    desk.store.push_work, desk.around = watched, around  # type: ignore[method-assign]
    desk.run()
    assert due[:2] == [{answered, other}, {answered}]
    assert not desk.store.tables.work


def a_record_of_another_tenant_is_no_match() -> None:
    desk = _Desk(0)
    theirs = desk.store.create(UUID(int=99), "account", UUID(int=100), {"name": "Acme"})
    desk.vendor.create("companies", {"name": "Acme"}, lags=False)
    assert desk.run() == ""
    assert [k.entity_id == theirs for k in desk.store.tables.links.values()] == [False]


ALL: tuple[Callable[[], None], ...] = (
    a_wiped_vendor_brakes,
    deletes_spread_over_pages_brake,
    deletes_spread_over_polls_brake,
    deletes_of_other_days_do_not_count,
    deletes_that_notices_tell_of_brake,
    deletes_that_are_seen_while_sending_brake,
    deletes_that_a_person_let_through_go_through_and_do_not_count,
    a_comparison_counts_what_polls_took_over_before,
    merges_are_no_deletes,
    a_few_deletes_do_not_brake,
    a_zombie_commits_nothing,
    a_write_that_meets_a_newer_version_is_planned_again,
    what_is_entered_while_we_write_is_not_overwritten_unseen,
    a_worker_that_slept_while_another_worked_stops,
    nothing_is_sent_on_an_expired_lease,
    nothing_is_deleted_on_an_expired_lease,
    a_listing_that_breaks_off_ends_no_comparison,
    what_a_listing_lacks_is_asked_for_before_it_is_deleted,
    a_vendor_that_is_listed_whole_tells_of_deletes_by_what_it_lacks,
    an_update_without_an_answer_is_no_edit_of_the_vendor,
    an_end_that_is_stale_takes_no_other_along,
    a_record_of_another_tenant_is_no_match,
)
