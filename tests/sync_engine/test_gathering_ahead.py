"""What is due is gathered for several batches at once, and each batch is still sent as things stand then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from sync_engine import pushing
from sync_engine.engine import Settings
from sync_engine.ports import PushWork
from tests.sync_engine.test_looking_first import Desk

RECORDS, BATCH = 40, 3


class Gathering:
    """A desk with many records that are due, and what was gathered: (how much was asked for, how much was found)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = Desk(records=RECORDS)
        for hub_id in self.desk.ids.values():
            self.desk.store.edit(hub_id, {"city": "ROME"})
        self.gathered: list[tuple[int, int]] = []
        found = self.desk.store.push_work

        def push_work(*args: Any) -> Sequence[PushWork]:
            work = found(*args)
            self.gathered.append((args[-1], len(work)))
            return work

        monkeypatch.setattr(self.desk.store, "push_work", push_work)

    def cities(self) -> set[Any]:
        return {self.desk.values(vendor_id).get("city") for vendor_id in self.desk.ids}


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> Gathering:
    return Gathering(monkeypatch)


def test_ten_batches_are_gathered_at_once_and_never_more(gathering: Gathering) -> None:
    gathering.desk.run()
    ahead = BATCH * pushing.BATCHES_GATHERED
    assert gathering.gathered == [(ahead, ahead), (ahead, RECORDS - ahead), (ahead, 0)]
    assert gathering.cities() == {"ROME"}
    assert gathering.desk.calls.count("write") == -(-ahead // BATCH) - (-(RECORDS - ahead) // BATCH)


def test_a_pass_that_may_send_little_gathers_little(gathering: Gathering) -> None:
    desk = gathering.desk
    desk.engine._settings = Settings(push_batches_max=2)
    desk.run()
    assert gathering.gathered == [(2 * BATCH, 2 * BATCH)]


def test_what_was_gathered_a_while_ago_is_gathered_again(gathering: Gathering) -> None:
    desk = gathering.desk

    def slowly() -> None:
        desk.now += pushing.FRESH_FOR + timedelta(seconds=1)

    desk.after["write"] = slowly
    desk.run()
    ahead = BATCH * pushing.BATCHES_GATHERED
    assert gathering.gathered[:2] == [(ahead, ahead), (ahead, ahead)]  # of 40 were 37 left


def test_what_a_batch_learned_has_the_rest_gathered_again(gathering: Gathering) -> None:
    desk = gathering.desk
    first = next(iter(desk.ids))
    desk.vendor.change("companies", first, {"name": "renamed"})
    desk.run()
    ahead = BATCH * pushing.BATCHES_GATHERED
    assert gathering.gathered[:2] == [(ahead, ahead), (ahead, ahead)]
    assert gathering.cities() == {"ROME"}
    assert desk.values(first)["name"] == "renamed"


def test_an_edit_after_the_gathering_is_sent_too(gathering: Gathering) -> None:
    desk = gathering.desk
    last = list(desk.ids)[BATCH * 2]
    desk.after["write"] = lambda: desk.store.edit(desk.ids[last], {"city": "OSLO"})
    desk.run()
    assert gathering.cities() == {"ROME", "OSLO"}
    assert desk.values(last)["city"] == "OSLO"
    assert desk.run() == []
