"""Who is next: urgency first, tenants in turn, never more than a tenant's share, and a reserve of the vendor's quota."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import new_id
from storage.scheduling import Waiting
from workers.fairness import Kind, choose, in_turn, kind_of, quota_is_short

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = Waiting(
    UUID(int=1), "Contact", "contact", 1, NOW, None, None,
    held=False, told=False, hinted=False, overdue=False, comparing=False, compare=False, account="acme/1",
)  # fmt: skip


def lane(name: str = "Contact", **changes: Any) -> Waiting:
    return replace(BASE, object=name, connection_id=new_id(), **changes)


NOTICE, POLL, FIRST = {"hinted": True}, {"overdue": True}, {"overdue": True, "verified_at": None}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, None),
        (NOTICE, Kind.NOTICE),
        (POLL, Kind.POLL),
        (FIRST, Kind.BACKFILL),
        ({"comparing": True}, Kind.BACKFILL),
        ({"compare": True}, Kind.BACKFILL),
        ({**NOTICE, **POLL}, Kind.NOTICE),
        ({**NOTICE, **FIRST}, Kind.NOTICE),
        ({**NOTICE, **FIRST, "hinted_as": "backfill"}, Kind.NOTICE),
        ({**NOTICE, **FIRST, "hinted_as": "notice"}, Kind.BACKFILL),
        ({**NOTICE, **FIRST, "hinted_as": "notice", "told": True}, Kind.NOTICE),
        ({**NOTICE, "hinted_as": "notice"}, Kind.NOTICE),
    ],
)
def test_as_what_a_lane_is_due(changes: dict[str, Any], kind: Kind | None) -> None:
    assert kind_of(lane(**changes)) is kind


def named(lanes: list[Waiting], most: int = 10) -> list[str]:
    return [chosen.object for chosen, _ in choose(lanes, most, NOW)]


def test_notices_come_before_polls_and_polls_before_first_reads() -> None:
    assert named([lane("a", **FIRST), lane("b", **POLL), lane("c", **NOTICE)]) == ["c", "b", "a"]


def test_parents_come_before_what_refers_to_them() -> None:
    assert named([lane("deals", entity="opportunity", **FIRST), lane("companies", entity="account", **FIRST)]) == [
        "companies",
        "deals",
    ]


@pytest.mark.parametrize(("most", "reads"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_the_last_place_is_kept_for_notices(most: int, reads: int) -> None:
    assert len(named([lane(str(i), **FIRST) for i in range(9)], most)) == reads
    assert len(named([lane(str(i), **NOTICE) for i in range(9)], most)) == most


@pytest.mark.parametrize("state", [{"held": True}, {"told": True, "hinted_as": "poll"}])
def test_lanes_under_way_count(state: dict[str, Any]) -> None:
    busy = [lane(str(i), **POLL, **state) for i in range(3)]
    assert named([*busy, lane("poll", **POLL)], 4) == []
    assert named([*busy, lane("notice", **NOTICE)], 4) == ["notice"]


def test_a_lane_that_was_told_is_told_again_only_as_something_more_urgent() -> None:
    assert named([lane(told=True, hinted_as="backfill", **FIRST)]) == []
    assert named([lane(told=True, hinted_as="backfill", **FIRST, **NOTICE)]) == ["Contact"]
    assert named([lane(told=True, hinted_as="notice", **NOTICE)]) == []


def test_an_upgrade_takes_no_further_place() -> None:
    told = lane("told", told=True, hinted_as="backfill", **FIRST, **NOTICE)
    assert named([told, lane("new", **NOTICE)], 2) == ["told", "new"]


@pytest.mark.parametrize(
    ("used", "age_s", "short"),
    [(699, 0, False), (700, 0, True), (1000, 899, True), (1000, 900, False), (None, 0, False)],
)
def test_the_reserve_of_a_quota_is_for_what_people_wait_for(used: int | None, age_s: int, short: bool) -> None:
    told = {"quota_used": used, "quota_limit": 1000, "quota_at": NOW - timedelta(seconds=age_s)}
    assert quota_is_short(lane(**told), NOW) is short
    found = named([lane("poll", **POLL, **told), lane("first", **FIRST, **told), lane("notice", **NOTICE, **told)])
    assert found == (["notice"] if short else ["notice", "poll", "first"])


def test_tenants_take_turns() -> None:
    assert in_turn([[1, 2, 3], [4], [], [5, 6]]) == [1, 4, 5, 2, 6, 3]


STATES = st.fixed_dictionaries(
    {name: st.booleans() for name in ("held", "told", "hinted", "overdue", "comparing", "compare")}
    | {"hinted_as": st.sampled_from([None, *map(str, Kind)]), "verified_at": st.sampled_from([None, NOW])}
)


@given(st.lists(STATES, max_size=12), st.integers(1, 6))
def test_no_tenant_ever_gets_more_than_its_share(states: list[dict[str, Any]], most: int) -> None:
    lanes = [lane(str(i), **state) for i, state in enumerate(states)]
    busy = sum(1 for a in lanes if a.held or a.told)
    chosen = choose(lanes, most, NOW)
    new = [a for a, _ in chosen if not a.told]
    assert len(new) <= max(0, most - busy)
    assert not any(a.held for a, _ in chosen)
    assert len({a.object for a, _ in chosen}) == len(chosen)
    idle = [a for a in lanes if not a.held and not a.told and kind_of(a) is not None]
    assert new or not idle or busy >= max(most - 1, 1), "a tenant with room and work gets its turn"
