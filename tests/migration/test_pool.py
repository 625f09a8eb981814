"""What mapping processes do with memory: seldom look for rings of dead objects, but do."""

from __future__ import annotations

import gc
import multiprocessing as mp
import weakref
from concurrent.futures import ProcessPoolExecutor

from migration.pool import COLLECT_AFTER_OBJECTS, collect_rarely


class Ring:
    """An object that holds itself: only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def _collections_of_plain_values() -> int:
    before = sum(s["collections"] for s in gc.get_stats())
    rows = [[n] for n in range(COLLECT_AFTER_OBJECTS // 2)]
    assert rows
    return int(sum(s["collections"] for s in gc.get_stats()) - before)


def _rings_left() -> int:
    alive = [weakref.ref(Ring()) for _ in range(2 * COLLECT_AFTER_OBJECTS)]
    return sum(ring() is not None for ring in alive)


def test_a_page_is_not_looked_through_but_rings_do_not_pile_up() -> None:
    with ProcessPoolExecutor(1, mp.get_context("spawn"), collect_rarely) as pool:
        assert pool.submit(_collections_of_plain_values).result() <= 1
        assert pool.submit(_rings_left).result() <= COLLECT_AFTER_OBJECTS
