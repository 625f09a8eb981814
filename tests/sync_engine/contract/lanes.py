"""Who may work on a lane, and ranges of its links."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sync_engine.core.model import (
    Failure,
)
from sync_engine.ports import (
    LeaseLostError,
    Span,
)
from tests.sync_engine.contract.world import CONTACT, LATER, NOW, Worker, World, gone, said


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
