"""One streaming pass over an object's files: how many rows, what each column holds, what may serve as id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from connectors.files.csvparse import collector_paused
from connectors.files.identity import (
    Identity,
    UniqueProbe,
    email_candidates,
    feed_rows,
    id_candidates,
    id_text,
    is_plainly_id,
)
from connectors.files.infer import ColumnProbe
from connectors.files.repeats import Repeats, find_repeats
from connectors.files.table import Chunk, Settled, Table
from domain.records import MISSING

_DELETED = {"true", "1", True}


@dataclass(slots=True)
class Survey:
    """``rows`` that can be read, ``deleted`` of them in the exporter's recycle bin, ``rejected`` and ``blank`` ones besides.

    ``settled``: what `Table.settle` found of each part. ``repeats``: rows with the id of an earlier, different one.
    """

    columns: dict[str, ColumnProbe]
    rows: int = 0
    deleted: int = 0
    rejected: int = 0
    blank: int = 0
    identity: Identity = field(default_factory=lambda: Identity("row_number"))
    settled: tuple[Settled, ...] = ()
    repeats: Repeats = field(default_factory=Repeats)

    @property
    def records(self) -> int:
        """Every record of the files, readable or not."""
        return self.rows + self.rejected


def arranged(columns: Sequence[str], table: Table, rows: list[list[Any]]) -> list[list[Any]]:
    """``rows`` of ``table`` in the order of the object's ``columns``; MISSING where the table lacks one."""
    if tuple(columns) == table.columns:
        return rows
    at = {name: index for index, name in enumerate(table.columns)}
    order = [at.get(name, -1) for name in columns]
    return [[row[i] if i >= 0 else MISSING for i in order] for row in rows]


def survey(
    columns: Sequence[str], parts: Sequence[Table], stem: str, id_column: str | None, deleted_column: str | None = None
) -> Survey:
    """Read every part once (twice where nothing but whole rows can tell records apart, or where ids repeat)."""
    result = Survey({name: ColumnProbe(name) for name in columns})
    if id_column:
        result.columns[id_column].set_aside()
    emails = [] if id_column else email_candidates(columns)
    probes = (
        {} if id_column else {n: UniqueProbe(strict=not is_plainly_id(n, stem)) for n in id_candidates(columns, stem)}
    )
    probes |= {name: UniqueProbe() for name in emails}
    by_row = UniqueProbe(alive=not probes and id_column is None)
    for part in parts:
        chunks, more = part.chunks(None), True
        while more:
            with collector_paused():  # a chunk's rows are gone when it goes on: it never has to walk through them
                more = _take(result, next(chunks, None), columns, part, probes, by_row, deleted_column)
    if id_column:
        result.identity = Identity("column", id_column)
    elif result.rows and (name := _id_column(probes, emails, stem)) is not None:
        probe = probes[name]
        result.identity = Identity("column", name, filled=probe.filled, repeats=probe.repeats)
        if repeated := probe.repeated:
            result.repeats = find_repeats(list(columns).index(name), _chunks(columns, parts), repeated)
    else:
        result.identity = _made(result, probes, emails, by_row, _chunks(columns, parts))
    return result


def _chunks(columns: Sequence[str], parts: Sequence[Table]) -> Iterator[tuple[str, list[list[Any]], Sequence[int]]]:
    """File, rows and lines of every chunk, once more from the beginning."""
    for part in parts:
        for chunk in part.chunks(None):
            yield part.label, arranged(columns, part, chunk.rows), chunk.lines


def _take(
    result: Survey,
    chunk: Chunk | None,
    columns: Sequence[str],
    part: Table,
    probes: dict[str, UniqueProbe],
    by_row: UniqueProbe,
    deleted_column: str | None,
) -> bool:
    """Add a chunk of ``part`` to ``result``; False when there is none."""
    if chunk is None:
        return False
    result.rows += len(chunk.rows)
    result.rejected += len(chunk.rejects)
    result.blank += chunk.blank
    rows = arranged(columns, part, chunk.rows)
    _feed(result, probes, list(columns), rows, part.native, deleted_column)
    feed_rows(by_row, rows)
    return True


def _columns(rows: list[list[Any]], width: int) -> Iterator[list[Any]]:
    """The columns of rows of one width. By way of one flat list: zip would jump from row to row, three times slower."""
    cells = list(chain.from_iterable(rows))
    return (cells[index::width] for index in range(width))


def _feed(
    result: Survey,
    probes: dict[str, UniqueProbe],
    names: list[str],
    rows: list[list[Any]],
    native: bool,
    deleted_column: str | None,
) -> None:
    if not rows:
        return
    for name, values in zip(names, _columns(rows, len(names)), strict=True):
        probe = result.columns[name]
        (probe.feed_natives if native else probe.feed)(values)
        if name in probes:
            texts = map(id_text, values)
            probes[name].feed([*map(str.lower, texts)] if email_candidates([name]) else [*texts])
        if name == deleted_column:
            result.deleted += sum(is_deleted(v) for v in values)


def is_deleted(value: Any) -> bool:
    return (value.lower() if isinstance(value, str) else value) in _DELETED


def _id_column(probes: Mapping[str, UniqueProbe], emails: Sequence[str], stem: str) -> str | None:
    """The column that holds ids: what is plainly called the id, even with slips, before what merely is unique."""
    unique = {name: probe.unique() for name, probe in probes.items() if name not in emails}
    fit = [name for name in unique if unique[name] or probes[name].nearly()]
    return min(fit, key=lambda name: (not is_plainly_id(name, stem), not unique[name]), default=None)


def _made(
    result: Survey,
    probes: Mapping[str, UniqueProbe],
    emails: Sequence[str],
    by_row: UniqueProbe,
    chunks: Iterator[tuple[str, list[list[Any]], Sequence[int]]],
) -> Identity:
    """What tells records apart where no column does."""
    unfit = next((name for name in probes if name not in emails), None) if result.rows else None
    counts = _slips(probes[unfit]) if unfit else (0, 0)
    if result.rows and (name := next((name for name in emails if probes[name].unique()), None)):
        return Identity("email", name, unfit, *counts)
    if probes:
        by_row = UniqueProbe()
        for _file, rows, _lines in chunks:
            feed_rows(by_row, rows)
    return Identity("row" if by_row.unique() else "row_number", None, unfit, *counts)


def _slips(probe: UniqueProbe) -> tuple[int, int]:
    """Values, and repeats among them, where both were counted to the end and are what speaks against the column."""
    return (0, 0) if probe.strict or probe.blank > probe.filled else (probe.filled, probe.repeats)
