"""Which value names a record, for good: a column's own id, or one made from the row when the file has none.

An id must be the same when the same system is exported again, or the second migration doubles everything. In order:

1. the dialect's id column, or the column that ``id_column`` of the settings names;
2. a column called id (or <object>_id, uuid, key …) that is filled and unique over all rows; one that is plainly called
   the id also where it is blank in some rows, which are rejects, or repeats itself in a few (`few_of`), of which the last
   counts;
3. a digest of the e-mail address, where an e-mail column is filled and unique: survives edits of other cells;
4. a digest of the whole row, when no two rows are equal: survives sorting and added rows, an edited row is a new record;
5. a digest of the row and its number among the object's rows: survives nothing but the same file.

Digests, never addresses: ids appear in logs and messages.
"""

from __future__ import annotations

import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO

import orjson

from domain.records import MISSING

MADE_ID = "_id"
_PLAIN_NAMES = {"id", "recordid", "uuid", "guid", "identifier", "rowid", "oid"}
_NAMES = {*_PLAIN_NAMES, "key", "externalid"}
_REPEATS_MAX_PERCENT = 1
_REPEATS_MAX_SMALL = 5  # as many as a small table may have, and 10 % of it
_EMAIL = re.compile(r"e-?mail(?: ?address)?\d?\Z", re.I)
_BUCKETS = 64
_SPILL = 32 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """``mode``: ``column``, ``email``, ``row`` or ``row_number``; ``column`` where one is used.

    ``unfit``: a column that is called an id but repeats values or leaves some blank. ``filled``: how many values the
    column, or the unfit one, has, and ``repeats``: how many of these stand in an earlier row, where that was counted.
    """

    mode: str
    column: str | None = None
    unfit: str | None = None
    filled: int = 0
    repeats: int = 0

    @property
    def made(self) -> bool:
        return self.mode != "column"

    def explained(self) -> str:
        """What was decided and why; blank for a real id without slips."""
        if self.mode == "column":
            return self._with_slips() if self.repeats else ""
        why = self._why_unfit() if self.unfit else "No id column"
        told = {
            "email": f"{why}: records are told apart by their “{self.column}”.",
            "row": f"{why}: records are told apart by all their cells, so a row edited later is a new record.",
            "row_number": f"{why}, and some rows are equal: records are told apart by cells and row number, "
            "so another export of the same data gives other ids. Name one with id_column.",
        }[self.mode]
        return f"{told} What refers to the column finds no record; mend it in the file." if self.unfit else told

    def _with_slips(self) -> str:
        many = "1 value repeats" if self.repeats == 1 else f"{self.repeats:,} values repeat"
        return (
            f"Column “{self.column}” is taken as the id: {many} an earlier one of {self.filled:,}, so few that a row with "
            "the same id is the same record listed again. Both rows count as read; the last one is the record."
        )

    def _why_unfit(self) -> str:
        if not self.repeats:
            return f"Column “{self.unfit}” repeats values or is blank in some rows"
        return f"Column “{self.unfit}” repeats values too often to be the id ({self.repeats:,} of {self.filled:,})"

    def maker(self, columns: Sequence[str]) -> Callable[[Sequence[Any], int], str]:
        """A function of a row and its line that gives the made id."""
        if self.mode == "email" and self.column is not None:
            index = columns.index(self.column)
            return lambda row, _line: _digest(str(row[index]).strip().lower().encode())
        if self.mode == "row":
            return lambda row, _line: _digest(row_bytes(row))
        return lambda row, line: _digest(row_bytes(row) + b"\x1e%d" % line)


def id_candidates(columns: Sequence[str], stem: str) -> list[str]:
    """Columns whose names say that they may be the id, likeliest first."""
    own = {f"{noun}{end}" for noun in _nouns(stem) for end in ("id", "key", "uuid", "number", "no")}
    plain = {name: _letters(name) for name in columns}
    ranked = [name for name in columns if plain[name] in _NAMES]
    ranked += [name for name in columns if plain[name] in own]
    ranked += [name for name in columns[:1] if re.search(r"(?:\bid|_id|Id|ID)\Z", name) and name not in ranked]
    return ranked[:3]


def is_plainly_id(column: str, stem: str) -> bool:
    """Is the column called nothing but the id of its file's records? Another file's id, a number or a key may repeat."""
    name = _letters(column)
    return name in _PLAIN_NAMES or any(name in (f"{noun}id", f"{noun}uuid") for noun in _nouns(stem))


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _nouns(stem: str) -> set[str]:
    """What a file's records may be called, in the plural and the singular."""
    parts = re.findall(r"[a-z]+", stem.lower())
    nouns = {"".join(parts), "".join(part for part in parts if part not in ("export", "all"))} - {""}
    return {*nouns, *(n.removesuffix("s") for n in nouns), *(n[:-3] + "y" for n in nouns if n.endswith("ies"))}


def email_candidates(columns: Sequence[str]) -> list[str]:
    return [name for name in columns if _EMAIL.search(name)][:1]


def id_text(value: Any) -> str:
    """An id cell as the id that it gives; blank for a blank one."""
    return "" if value is None or value is MISSING else str(value).strip()


def row_bytes(row: Sequence[Any]) -> bytes:
    try:
        return "\x1f".join(row).encode("utf-8", "surrogatepass")
    except TypeError:
        return orjson.dumps(list(row), default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=12).hexdigest()


def few_of(filled: int) -> int:
    """How many of ``filled`` ids may repeat an earlier one and still be slips: one always, 1 % of a large table."""
    small = min(_REPEATS_MAX_SMALL, filled // 10)
    return max(1, small, filled * _REPEATS_MAX_PERCENT // 100)


@dataclass(slots=True)
class UniqueProbe:
    """Were all the values different and none blank? Exact up to collisions of 64-bit hashes (1 in 10⁸ for a million).

    Hashes go to buckets that spill to unnamed temporary files, so memory stays within 32 MiB plus a 64th of the hashes.
    A ``strict`` one gives up at the first repeated or blank value. Another goes on, and tells by `nearly` whether so few
    were that they are slips in a column of ids; ``repeated`` then holds the hashes of values that stand there twice.
    """

    alive: bool = True
    strict: bool = True
    filled: int = 0
    blank: int = 0
    repeats: int = 0
    repeated: set[int] = field(default_factory=set)
    _buckets: list[array[int]] = field(default_factory=lambda: [array("q") for _ in range(_BUCKETS)])
    _files: dict[int, BinaryIO] = field(default_factory=dict)

    def feed(self, values: Sequence[Any]) -> None:
        if not self.alive:
            return
        given, values = len(values), values if all(values) else [v for v in values if v]
        hashes = list(map(hash, values))
        if self.strict and (len(values) < given or len(set(hashes)) < given):
            self._die()
            return
        self.filled += len(values)
        self.blank += given - len(values)
        buckets = self._buckets
        for value in hashes:
            buckets[value & 63].append(value)
        for number, bucket in enumerate(buckets):
            if len(bucket) > _SPILL:
                self._spill(number)

    def unique(self) -> bool:
        """The answer, to be asked for once, after the last value; closes the files."""
        for number in range(_BUCKETS if self.alive else 0):
            self._count(number)
            if self.strict and self.repeats:
                break
        if self.repeats > (0 if self.strict else few_of(self.filled)):
            self._die()
        self._buckets = []
        self._close()
        return self.alive and not self.blank and not self.repeats

    def nearly(self) -> bool:
        """After `unique`: do few values repeat, are two different at least, and at most half of the cells blank?"""
        return self.alive and self.filled - self.repeats >= 2 and self.filled >= self.blank

    def _spill(self, number: int) -> None:
        if number not in self._files:
            self._files[number] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by unique or by death)
        self._files[number].write(self._buckets[number].tobytes())
        self._buckets[number] = array("q")

    def _count(self, number: int) -> None:
        """Add the repeats of a bucket, and empty it."""
        bucket, self._buckets[number] = self._buckets[number], array("q")
        if (stream := self._files.get(number)) is not None:
            stream.seek(0)
            bucket.frombytes(stream.read())
        repeats = len(bucket) - len(set(bucket))
        self.repeats += repeats
        if repeats and not self.strict and self.repeats <= few_of(self.filled):
            self.repeated.update(value for value, times in Counter(bucket).items() if times > 1)

    def _die(self) -> None:
        self.alive = False
        self._buckets = []
        self.repeated = set()
        self._close()

    def _close(self) -> None:
        for stream in self._files.values():
            stream.close()
        self._files.clear()


def feed_rows(probe: UniqueProbe, rows: Iterable[Sequence[Any]]) -> None:
    if probe.alive:
        probe.feed([row_bytes(row) for row in rows])
