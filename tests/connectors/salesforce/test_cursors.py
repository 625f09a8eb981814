from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce.cursors import Position, advance, decode, finish, highest, start
from connectors.salesforce.soql import parse_timestamp, timestamp
from domain.errors import CursorExpiredError

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
LAG = timedelta(minutes=5)


def at(minutes: float) -> str:
    return timestamp(NOW + timedelta(minutes=minutes))


def test_a_cursor_survives_json() -> None:
    position = Position("bulk", at(0), at(-9), None, at(-20), at(-3), "750X", "MTAw", 4000)
    assert decode(json.loads(json.dumps(position.encode()))) == position


@pytest.mark.parametrize(
    "cursor",
    [
        {"v": 2, "mode": "keyset", "started_at": at(0)},
        {"v": 1, "mode": "sideways", "started_at": at(0)},
        {"v": 1, "mode": "keyset", "started_at": "yesterday"},
        {"v": 1, "mode": "keyset", "started_at": at(0), "extra": 1},
        {"after": "c-2"},
    ],
)
def test_a_cursor_of_someone_else_asks_for_a_full_listing(cursor: dict[str, Any]) -> None:
    with pytest.raises(CursorExpiredError):
        decode(cursor)


def test_no_cursor_is_the_beginning() -> None:
    assert decode(None) is None
    assert decode({}) is None


def test_a_page_moves_the_position_to_its_last_record() -> None:
    moved = advance(Position("keyset", at(0)), [at(-9), at(-8)], ["a", "b"])
    assert (moved.modstamp, moved.record_id) == (at(-8), "b")


def test_a_record_changed_during_the_listing_does_not_carry_the_cursor_past_the_rest() -> None:
    """Its stamp is from after the listing's start; those behind it in the listing have earlier ones."""
    moved = advance(Position("keyset", at(0)), [at(-9), at(-8), at(3)], ["a", "b", "c"])
    assert (moved.modstamp, moved.record_id) == (at(-8), "b")


def test_a_page_of_nothing_but_changed_records_stays_where_it_was() -> None:
    before = Position("keyset", at(0), at(-9), "a")
    assert advance(before, [at(1), at(2)], ["b", "c"]) == before


def test_a_position_never_goes_back() -> None:
    before = Position("keyset", at(0), at(-4), "z")
    assert advance(before, [at(-9)], ["a"]) == before


def test_the_finished_cursor_is_the_highest_stamp_seen() -> None:
    assert finish(Position("keyset", at(0), at(-60), "x"), LAG).modstamp == at(-60)


def test_the_finished_cursor_is_capped_at_the_own_start_minus_the_lag() -> None:
    done = finish(Position("keyset", at(0), at(-1), "x"), LAG)
    assert (done.mode, done.modstamp, done.record_id) == ("done", at(-5), None)


def test_a_listing_of_nothing_does_not_move_the_cursor() -> None:
    assert finish(Position("keyset", at(0)), LAG).modstamp is None
    assert finish(Position("keyset", at(0), since=at(-100)), LAG).modstamp == at(-100)


def test_the_overlap_does_not_move_the_cursor_back() -> None:
    assert finish(Position("keyset", at(0), at(-101), "x", since=at(-100)), LAG).modstamp == at(-100)


def test_the_next_listing_starts_where_the_last_one_ended() -> None:
    done = finish(Position("keyset", at(0), at(-60), "x", deleted_from=at(-5)), LAG)
    following = start(done, NOW + timedelta(hours=1), LAG)
    assert (following.since, following.deleted_from, following.started_at) == (at(-60), at(-5), at(60))
    assert (following.modstamp, following.record_id) == (None, None)


def test_deletions_of_a_first_listing_count_from_its_start() -> None:
    assert start(None, NOW, LAG).deleted_from == at(-5)


def test_bulk_results_come_in_any_order() -> None:
    assert highest(None, [at(-3), None, at(-1), at(-2)]) == at(-1)
    assert highest(at(0), [at(-3)]) == at(0)
    assert highest(None, []) is None


records = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 999)), unique_by=lambda r: r[1], max_size=40)


@given(records, st.integers(1, 7), st.integers(0, 50), st.data())
def test_however_often_a_listing_is_broken_off_no_record_is_lost(
    rows: list[tuple[int, int]], page: int, breaks: int, data: st.DataObject
) -> None:
    """Keyset pages over few distinct stamps (many ties), resumed from JSON at random, with records changed meanwhile."""
    stored = {f"{i:03}": parse_timestamp(at(-10 - minute)) for minute, i in rows}
    seen: set[str] = set()
    position = Position("keyset", at(0))
    for _ in range(200):
        left = sorted((s, i) for i, s in stored.items() if _after(position, s, i))
        if not left:
            break
        chunk = left[:page]
        changed = data.draw(st.sampled_from(chunk)) if breaks and data.draw(st.booleans()) else None
        if changed is not None:
            breaks -= 1
            stored[changed[1]] = parse_timestamp(at(1))
            position = replace(position, started_at=at(0))
        seen |= {i for _, i in chunk}
        moved = advance(position, [timestamp(stored[i]) for _, i in chunk], [i for _, i in chunk])
        position = decode(json.loads(json.dumps(moved.encode()))) or position
        if moved.modstamp is None or all(stored[i] > parse_timestamp(at(0)) for _, i in left):
            seen |= {i for _, i in left}
            if all(stored[i] > parse_timestamp(at(0)) for _, i in left):
                break
    assert seen == set(stored)


def _after(position: Position, stamp: datetime, record_id: str) -> bool:
    if position.modstamp is None:
        return True
    reached = parse_timestamp(position.modstamp)
    return stamp > reached or (stamp == reached and record_id > (position.record_id or ""))
