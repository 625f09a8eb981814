"""Counting different things in bounded memory: exact while they fit, then from a sample chosen by hash.

A `HashSample` keeps 64-bit hashes. When it is full it forgets every other one, by the lowest bit of the hash, and goes on
with those that end in a zero bit only, then in two, and so on (adaptive sampling, Wegman; Flajolet 1990). What it keeps
is a function of the hashes alone. So two samples can be compared: an id is in the sample of the records exactly when it is
in the sample of the references, once both are thinned to the same level. That is why duplicates and orphans can be counted
with it, which a HyperLogLog can't, and why it needs no second store. With n hashes kept the standard error is about 1.2/√n.

One `Budget` bounds all samples of an audit together: whoever holds most is thinned first.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import xxhash

_PART = 250_000


def hash_text(text: str) -> int:
    """64-bit hash of a text, the same in every process."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


class Distinct:
    """How many different values one field takes: exact up to ``limit``, then approximate."""

    __slots__ = ("_kept", "_level", "_limit")

    def __init__(self, limit: int = 4096) -> None:
        self._kept: set[int] = set()
        self._level = 0
        self._limit = limit

    def add(self, values: Iterable[Any]) -> None:
        """Add values, ideally different ones of a page."""
        mask = (1 << self._level) - 1
        self._kept.update(h for h in map(hash_text, map(str, values)) if not h & mask)
        while len(self._kept) > self._limit:
            self._level += 1
            mask = (1 << self._level) - 1
            self._kept = {h for h in self._kept if not h & mask}

    @property
    def exact(self) -> bool:
        return self._level == 0

    @property
    def count(self) -> int:
        return len(self._kept) << self._level


class HashSample:
    """(hash, value) pairs, 16 bytes each, thinned by hash when the budget is used up."""

    __slots__ = ("hashes", "level", "values")

    def __init__(self) -> None:
        self.hashes = array("Q")
        self.values = array("Q")
        self.level = 0

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, pairs: Collection[tuple[int, int]]) -> None:
        """Add pairs of 64-bit numbers."""
        mask = (1 << self.level) - 1
        kept = [p for p in pairs if not p[0] & mask] if mask else pairs
        self.hashes.extend([h for h, _ in kept])
        self.values.extend([v for _, v in kept])

    def add_counted(self, hashes: Iterable[int]) -> None:
        """Add hashes, equal ones of the call as one pair with their number as value."""
        self.add(Counter(hashes).items())

    def thin(self) -> None:
        """Forget half of the hashes."""
        self.level += 1
        mask = (1 << self.level) - 1
        kept = [(h, v) for h, v in zip(self.hashes, self.values, strict=True) if not h & mask]
        self.hashes = array("Q", [h for h, _ in kept])
        self.values = array("Q", [v for _, v in kept])

    @property
    def exact(self) -> bool:
        return self.level == 0

    def parts(self, level: int, parts: int) -> Iterator[list[tuple[int, int]]]:
        """The pairs at ``level``, split by hash into ``parts``, so that a part can be grouped in little memory."""
        mask = (1 << level) - 1
        for part in range(parts):
            yield [
                (h, v)
                for h, v in zip(self.hashes, self.values, strict=True)
                if not h & mask and (h >> 40) % parts == part
            ]


class Budget:
    """At most ``limit`` pairs in all samples together (16 bytes each; the default is 96 MiB)."""

    def __init__(self, limit: int = 6 * 1024 * 1024) -> None:
        self._limit = limit
        self._samples: list[HashSample] = []

    def sample(self) -> HashSample:
        """A new sample under this budget."""
        created = HashSample()
        self._samples.append(created)
        return created

    def enforce(self) -> None:
        """Thin the largest samples until all fit."""
        while sum(map(len, self._samples)) > self._limit:
            max(self._samples, key=len).thin()


def parts_for(*samples: HashSample) -> int:
    """Into how many parts to split, so that one holds about 250,000 pairs."""
    return 1 + sum(map(len, samples)) // _PART


def groups(sample: HashSample) -> tuple[int, int]:
    """(hashes seen more than once, how often they were seen in all), scaled up from the sample."""
    number = seen = 0
    for part in sample.parts(sample.level, parts_for(sample)):
        counted: Counter[int] = Counter()
        for key, times in part:
            counted[key] += times
        repeated = [times for times in counted.values() if times > 1]
        number += len(repeated)
        seen += sum(repeated)
    return number << sample.level, seen << sample.level


def shared(sample: HashSample) -> tuple[int, int]:
    """(hashes seen with more than one value, different values that they have), scaled up from the sample."""
    number = seen = 0
    for part in sample.parts(sample.level, parts_for(sample)):
        values: dict[int, set[int]] = {}
        for key, value in part:
            values.setdefault(key, set()).add(value)
        several = [len(found) for found in values.values() if len(found) > 1]
        number += len(several)
        seen += sum(several)
    return number << sample.level, seen << sample.level


def absent(references: HashSample, known: Collection[HashSample]) -> tuple[int, int]:
    """(references whose hash is in none of ``known``, different hashes among them), scaled up from the samples."""
    level = max([references.level, *(k.level for k in known)])
    parts = parts_for(references, *known)
    streams = [k.parts(level, parts) for k in known]
    times = different = 0
    for part in references.parts(level, parts):
        ids = {key for stream in streams for key, _ in next(stream)}
        missing = Counter[int]()
        for key, number in part:
            if key not in ids:
                missing[key] += number
        times += missing.total()
        different += len(missing)
    return times << level, different << level
