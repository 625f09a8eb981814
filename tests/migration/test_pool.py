"""Mapping processes: pages reach them whole, and they seldom look for rings of dead objects, but do."""

from __future__ import annotations

import gc
import multiprocessing as mp
import weakref
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.collecting import MAPPING, collect_rarely
from domain.records import MISSING, Page
from migration.pool import pack, unpack


class Ring:
    """An object that holds itself: only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def _collections_of_plain_values() -> int:
    before = sum(s["collections"] for s in gc.get_stats())
    rows = [[n] for n in range(MAPPING // 2)]
    assert rows
    return int(sum(s["collections"] for s in gc.get_stats()) - before)


def _rings_left() -> int:
    alive = [weakref.ref(Ring()) for _ in range(2 * MAPPING)]
    return sum(ring() is not None for ring in alive)


def test_a_page_is_not_looked_through_but_rings_do_not_pile_up() -> None:
    with ProcessPoolExecutor(1, mp.get_context("spawn"), collect_rarely, (MAPPING,)) as pool:
        assert pool.submit(_collections_of_plain_values).result() <= 1
        assert pool.submit(_rings_left).result() <= MAPPING


TEXTS = st.text(alphabet="a \x1e\x1f\né", max_size=3)
VALUES = st.one_of(TEXTS, TEXTS, TEXTS, st.none(), st.integers(), st.just(MISSING))


@given(
    st.integers(0, 3).flatmap(
        lambda n: st.lists(st.lists(st.one_of(TEXTS, VALUES), min_size=n, max_size=n), max_size=4)
    )
)
def test_a_page_arrives_as_it_was_sent(rows: list[list[Any]]) -> None:
    page = Page("Contact", tuple(f"f{i}" for i in range(len(rows[0]) if rows else 2)), rows, {"at": 1}, last=True)
    assert unpack(*pack(page)) == page


def test_a_page_of_texts_travels_as_one() -> None:
    rows = [["1", "", "Zoë"], ["2", "b", ""]]
    sent, packed = pack(Page("Contact", ("Id", "A", "B"), rows, {}))
    assert (sent.rows, packed) == ([], "1\x1f\x1fZoë\x1e2\x1fb\x1f")
