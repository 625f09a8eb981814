"""Which rows repeat an id that an earlier row has, with other content: the last one counts, and a person should know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from typing import Any

from connectors.files.identity import id_text, row_bytes
from domain.records import Place

_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Repeats:
    """``rows`` in all, and where the first few stand."""

    rows: int = 0
    places: tuple[Place, ...] = ()

    def explained(self) -> str:
        """What a person should know; blank where no row repeats an id."""
        if not self.rows:
            return ""
        told = "1 row repeats an id" if self.rows == 1 else f"{self.rows:,} rows repeat an id"
        shown = "; ".join(_listed(file, [*places]) for file, places in groupby(self.places, lambda p: p.file))
        more = " …" if self.rows > len(self.places) else "."
        return f"{told} with other content: {shown}{more}"


def _listed(file: str, places: Sequence[Place]) -> str:
    return f"{file}, row{'s' if len(places) > 1 else ''} {', '.join(str(place.row) for place in places)}"


def find_repeats(
    column: int, chunks: Iterable[tuple[str, list[list[Any]], Sequence[int]]], repeated: set[int]
) -> Repeats:
    """Of ``chunks`` (file, rows, lines); ``repeated``: the hashes of the ids to look at.

    Memory: some hundred bytes for each of these ids.
    """
    latest: dict[str, bytes] = {}
    count, places = 0, []
    for file, rows, lines in chunks:
        for index, row in enumerate(rows):
            name = id_text(row[column])
            if hash(name) not in repeated:
                continue
            content = blake2b(row_bytes(row), digest_size=16).digest()
            if latest.get(name, content) != content:
                count += 1
                places += [Place(file, lines[index])] if count <= _SHOWN_MAX else []
            latest[name] = content
    return Repeats(count, tuple(places))
