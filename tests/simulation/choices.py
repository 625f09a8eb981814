"""Choices from a seed, recorded as a list of small integers: whatever was chosen can be replayed, and made smaller."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """A source of choices. ``recorded`` is replayed; what comes after it is 0 (no ``seed``) or drawn.

    Zero is always the dullest choice (no fault, no switch, the first item): so a shorter, smaller record is a simpler run.
    """

    def __init__(self, seed: int | None = None, recorded: Sequence[int] = ()) -> None:
        self._random = None if seed is None else random.Random(seed)
        self._recorded = recorded
        self.made: list[int] = []

    def below(self, bound: int) -> int:
        """One of 0 … bound - 1."""
        place = len(self.made)
        if place < len(self._recorded):
            value = self._recorded[place] % bound
        else:
            value = self._random.randrange(bound) if self._random is not None else 0
        self.made.append(value)
        return value

    def one_in(self, odds: int) -> bool:
        """True once in ``odds`` times."""
        return self.below(odds) == odds - 1

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]


def shrink(made: Sequence[int], fails: Callable[[Sequence[int]], bool], for_s: float = 10.0) -> list[int]:
    """The smallest record that still fails that deleting, zeroing and lowering finds within ``for_s`` seconds."""
    best, until = list(made), time.monotonic() + for_s
    improved = True
    while improved and time.monotonic() < until:
        improved = False
        size = max(1, len(best) // 2)
        while size and time.monotonic() < until:
            best, better = _pass(best, size, fails, until)
            improved = improved or better
            size //= 2
    while best and best[-1] == 0:
        best.pop()
    return best


def _pass(best: list[int], size: int, fails: Callable[[Sequence[int]], bool], until: float) -> tuple[list[int], bool]:
    better, start = False, 0
    while start < len(best) and time.monotonic() < until:
        chunk = best[start : start + size]
        for other in _smaller(chunk):
            trial = best[:start] + other + best[start + size :]
            if fails(trial):
                best, better = trial, True
                break
        else:
            start += size
    return best, better


def _smaller(chunk: list[int]) -> list[list[int]]:
    found: list[list[int]] = [[]]
    if any(chunk):
        found.append([0] * len(chunk))
    if len(chunk) == 1 and chunk[0] > 1:
        found += [[chunk[0] // 2], [chunk[0] - 1]]
    return found
