"""When a process looks for rings of dead objects; each test in a process of its own, for it lasts as long as that."""

from __future__ import annotations

import gc
import multiprocessing as mp
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from api.serving import settle
from domain.collecting import SYNCING, collect_rarely


def _frozen_by(first: Callable[[], None], second: Callable[[], None]) -> tuple[int, int]:
    first()
    before, kept = gc.get_freeze_count(), [[n] for n in range(10_000)]
    second()
    assert len(kept) == 10_000
    return before, gc.get_freeze_count()


def _rarely() -> None:
    collect_rarely(SYNCING)


@pytest.mark.parametrize("second", [_rarely, settle])
@pytest.mark.parametrize("first", [_rarely, settle])
def test_objects_are_set_aside_once_a_process(first: Callable[[], None], second: Callable[[], None]) -> None:
    """What is garbage by the second time would be kept for good: `syncline sync run` in a process that goes on, say."""
    with ProcessPoolExecutor(1, mp.get_context("spawn")) as pool:
        before, after = pool.submit(_frozen_by, first, second).result()
    assert 0 < after <= before
