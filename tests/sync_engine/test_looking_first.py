"""Before it changes a record, the engine looks at it once more; where that would tell nothing new, it spares the call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from sync_engine.engine import Engine
from sync_engine.ports import Lane
from tests.simulation.memory_store import MemoryStore
from tests.simulation.ports import SimPort, rules_for
from tests.simulation.vendors import Vendor

HOUR = timedelta(hours=1)


class Desk:
    """One lane over one vendor with a few records, and the calls that were made."""

    def __init__(self, *, strict: bool = False, records: int = 2) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)
        self.calls: list[str] = []
        self.after: dict[str, Callable[[], Any]] = {}
        self.store = MemoryStore(lambda: self.now)
        self.vendor = Vendor("a", strict=strict, clock=lambda: self.now)
        self.lane = Lane(UUID(int=1), UUID(int=2), "companies")
        self.store.register(self.lane, "account")
        for number in range(records):
            self.vendor.create("companies", {"name": f"who{number}"}, lags=False)
        self.engine = Engine(self.store, self._port, lambda: self.now)
        self.engine.run(self.lane)
        self.now += HOUR
        self.ids = {link.vendor_id: link.entity_id for link in self.store.tables.links.values()}

    def _port(self, lane: Lane) -> SimPort:
        return SimPort(self.vendor, lane, rules_for("account"), self._call, can_find=True)

    def _call(self, name: str, make: Callable[[], Any]) -> Any:
        self.calls.append(name)
        result = make()
        self.after.pop(name, lambda: None)()
        return result

    def run(self) -> list[str]:
        """The calls of a pass that answers notices and pushes what is due."""
        self.calls.clear()
        report = self.engine.run(self.lane, poll=False)
        assert report.error is None
        return list(self.calls)

    def values(self, vendor_id: str) -> Any:
        return self.vendor.rows["companies", vendor_id].values


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_record_is_looked_at_before_it_is_changed(desk: Desk) -> None:
    vendor_id, hub_id = next(iter(desk.ids.items()))
    desk.store.edit(hub_id, {"city": "ROME"})
    desk.vendor.change("companies", vendor_id, {"name": "renamed"})
    assert desk.run()[0] == "fetch"
    assert desk.values(vendor_id) == {"name": "renamed", "city": "ROME"}
    assert desk.store.tables.hubs[hub_id].values["name"] == "renamed"


def test_what_that_look_taught_needs_no_second_one(desk: Desk) -> None:
    vendor_id, hub_id = next(iter(desk.ids.items()))
    desk.store.edit(hub_id, {"city": "ROME"})
    desk.vendor.change("companies", vendor_id, {"name": "renamed"})
    assert desk.run() == ["fetch", "write"]


def test_records_that_are_due_but_the_same_are_not_looked_at(desk: Desk) -> None:
    vendor_id, hub_id = next(iter(desk.ids.items()))
    desk.store.edit(hub_id, {"city": "ROME"})
    desk.store.edit(hub_id, {"city": None})
    assert desk.run() == []
    assert desk.store.push_work(desk.lane, "account", desk.now, 10) == []
    assert "city" not in desk.values(vendor_id)


def test_what_a_notice_has_just_had_read_needs_no_second_look(desk: Desk) -> None:
    vendor_id, hub_id = next(iter(desk.ids.items()))
    desk.store.edit(hub_id, {"city": "ROME"})
    desk.vendor.change("companies", vendor_id, {"name": "renamed"})
    desk.store.add_notices(desk.lane, {vendor_id: False})
    assert desk.run() == ["fetch", "write"]
    assert desk.values(vendor_id) == {"name": "renamed", "city": "ROME"}


def test_what_was_read_more_than_a_moment_ago_is_looked_at_again(desk: Desk) -> None:
    vendor_id, hub_id = next(iter(desk.ids.items()))
    desk.store.edit(hub_id, {"city": "ROME"})
    desk.store.add_notices(desk.lane, {vendor_id: False})

    def later() -> None:
        desk.now += timedelta(seconds=2)
        desk.vendor.change("companies", vendor_id, {"city": "BONN"})

    desk.after["fetch"] = later
    assert desk.run() == ["fetch", "fetch", "write"]
    lost = [entry.conflict.losing_value for entry in desk.store.tables.conflicts]
    assert (desk.values(vendor_id)["city"], lost) == ("ROME", ["BONN"])


def test_a_record_is_looked_at_before_it_is_deleted_however_lately_it_was_read(desk: Desk) -> None:
    vendor_id, hub_id = next(iter(desk.ids.items()))
    desk.store.delete(hub_id)
    desk.store.add_notices(desk.lane, {vendor_id: False})
    assert desk.run() == ["fetch", "fetch", "delete"]


def test_a_write_that_met_a_newer_version_is_looked_at_again_however_lately_it_was_read() -> None:
    desk = Desk(strict=True)
    vendor_id, hub_id = next(iter(desk.ids.items()))
    desk.store.edit(hub_id, {"city": "ROME"})
    desk.store.add_notices(desk.lane, {vendor_id: False})
    desk.after["fetch"] = lambda: desk.vendor.change("companies", vendor_id, {"name": "renamed"})
    assert desk.run() == ["fetch", "write", "fetch", "write"]
    assert desk.values(vendor_id) == {"name": "renamed", "city": "ROME"}


def test_notices_are_read_in_the_vendors_own_batches() -> None:
    desk = Desk(records=9)
    desk.store.add_notices(desk.lane, dict.fromkeys(desk.ids, False))
    assert desk.run() == ["fetch"] * 3
