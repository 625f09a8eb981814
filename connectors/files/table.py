"""A table in a file, whatever the format: columns, and chunks of rows that can be taken up again at a position."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

from connectors.files.sources import Source
from domain.records import Place, Reject

Position = Mapping[str, Any]
"""Where a chunk ended; JSON. Only the table that made it can read it."""

Settled = Mapping[str, Any]
"""What reading a table to its end told of how to read it; JSON. Only the table that made it can use it."""


@dataclass(slots=True)
class Chunk:
    """Some rows as wide as the table, the 1-based line (or sheet row) of each, and where the next chunk starts."""

    rows: list[list[Any]]
    lines: Sequence[int]
    after: Position
    last: bool = False
    rejects: list[Reject] = field(default_factory=list)
    blank: int = 0


class Table(Protocol):
    """``label`` names the file (and sheet); ``notes`` is what a person should know of how it is read."""

    @property
    def source(self) -> Source: ...

    @property
    def native(self) -> bool:
        """Are values typed already (a workbook's, JSON's) rather than texts?"""

    @property
    def sample(self) -> Sequence[Sequence[Any]]:
        """Some of the first rows, to recognise the table by."""

    @property
    def label(self) -> str: ...

    @property
    def stem(self) -> str:
        """The name without folders and endings, which objects are called by."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def notes(self) -> Mapping[str, Any]: ...

    def stamp(self) -> str:
        """Changes when the content does."""

    def rename(self, columns: tuple[str, ...]) -> None:
        """Call the columns otherwise, in the same order: by the names that the exporting system itself uses."""

    def settle(self) -> None:
        """Make ``columns`` and encoding final; reads the file when its start does not tell."""

    def settled_as(self) -> Settled:
        """What `settle` found, for another look at the same content."""

    def resettle(self, found: Settled) -> None:
        """Like `settle`, without reading."""

    def chunks(self, after: Position | None) -> Iterator[Chunk]:
        """From the beginning, or after a chunk. The last one says so, and may be empty. Raises ConfigurationError."""


class Places(Sequence[Place]):
    """Places of many rows of one file, made when asked for: most never are."""

    __slots__ = ("_file", "_lines")

    def __init__(self, file: str, lines: Sequence[int]) -> None:
        self._file, self._lines = file, lines

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> Places: ...
    def __getitem__(self, index: int | slice) -> Place | Places:
        if isinstance(index, slice):
            return Places(self._file, self._lines[index])
        return Place(self._file, self._lines[index])

    def keep(self, chosen: Iterable[int]) -> Places:
        """The places at these indexes."""
        return Places(self._file, array("Q", [self._lines[i] for i in chosen]))
