"""Excel workbooks, streamed row by row: each sheet is a table.

What Excel shows is not always what it stores. A formula counts by the value Excel last computed; one that was never
computed, an error value and a row with cells merged sideways are rejects, not blanks. Cells merged downwards have the
value of the first on every row.
"""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import islice, repeat
from pathlib import PurePosixPath
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from openpyxl import load_workbook
from openpyxl.styles.numbers import is_datetime
from openpyxl.utils import get_column_letter, range_boundaries
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.workbook import Workbook

from connectors.files import rejects as codes
from connectors.files.dialect import column_names
from connectors.files.limits import MIB, Limits
from connectors.files.rejects import reject
from connectors.files.sources import DiskFile, Source, bomb, opened, reading, too_large
from connectors.files.table import Chunk, Position, Settled
from domain.errors import ConfigurationError
from domain.records import Place, Reject

_HEADER_ROWS = 25
_BATCH = 2_000
_ROWS_MAX = 1_048_576  # https://support.microsoft.com/office/excel-specifications-and-limits
_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})"')
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")
_OLE = b"\xd0\xcf\x11\xe0"


@dataclass(slots=True)
class Merges:
    """By first row: (last row, range) of cells merged sideways; (last row, column) of cells merged downwards."""

    across: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    down: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def add(self, reference: str) -> None:
        left, top, right, bottom = (int(edge or 0) for edge in range_boundaries(reference))
        if right > left:
            self.across.setdefault(top, []).append((bottom, reference))
        else:
            self.down.setdefault(top, []).append((bottom, left))


@dataclass(slots=True)
class SheetTable:
    """One sheet of a workbook; rows and columns are Excel's own numbers, from 1."""

    source: Source
    limits: Limits
    sheet: str
    stem: str
    columns: tuple[str, ...]
    header_row: int
    sample: Sequence[Sequence[Any]]
    notes: Mapping[str, Any]
    merges: Merges
    has_formulas: bool
    native: bool = True

    @property
    def label(self) -> str:
        return f"{self.source.label} [{self.sheet}]"

    def stamp(self) -> str:
        return self.source.stamp()

    def rename(self, columns: tuple[str, ...]) -> None:
        self.columns = columns

    def settle(self) -> None:
        """Nothing to settle: a workbook says what it is."""

    def settled_as(self) -> Settled:
        return {}

    def resettle(self, found: Settled) -> None:
        """Nothing to settle."""

    def chunks(self, after: Position | None) -> Iterator[Chunk]:
        """From the row after the position; a sheet is XML and has to be read up to there."""
        first = int(after["row"]) if after else self.header_row + 1
        with _handle(self.source, self.limits) as handle:
            rows = self._rows(handle, first)
            while True:
                lines: list[int] = []
                chunk, count = Chunk([], lines, {}), 0
                for number, cells, formulas, merged in islice(rows, self.limits.page_rows):
                    count, first = count + 1, number + 1
                    self._take(chunk, lines, number, cells, formulas, merged)
                chunk.after, chunk.last = {"row": first}, count < self.limits.page_rows
                yield chunk
                if chunk.last:
                    return

    def _rows(self, handle: IO[bytes], first: int) -> Iterator[tuple[int, list[Any], Sequence[Any], str]]:
        """Row number, cells with downward merges filled in, cells as formulas (if any), a sideways merge or blank."""
        plain = _cells(handle, self.sheet, data_only=True)
        formulas: Iterator[Sequence[Any]] = repeat(())
        if self.has_formulas:
            formulas = _cells(handle, self.sheet, data_only=False)
        down: dict[int, tuple[int, Any]] = {}
        across: list[tuple[int, str]] = []
        for number, (cells, formula) in enumerate(zip(plain, formulas, strict=False), 1):
            if number > _ROWS_MAX:
                return
            row = list(cells)
            down = {column: held for column, held in down.items() if held[0] >= number}
            for column, (_, cell) in down.items():
                row.extend([None] * (column - len(row)))
                row[column - 1] = cell
            for last, column in self.merges.down.get(number, ()):
                down[column] = (last, row[column - 1] if column <= len(row) else None)
            across = [held for held in (*across, *self.merges.across.get(number, ())) if held[0] >= number]
            if number >= first:
                yield number, row, formula, across[0][1] if across else ""

    def _take(
        self, chunk: Chunk, lines: list[int], number: int, cells: list[Any], formulas: Sequence[Any], merged: str
    ) -> None:
        values = [_value(cell) for cell in cells]
        bad = self._bad_cell(number, cells, formulas, values, merged)
        if bad is not None:
            chunk.rejects.append(bad)
        elif not any(value is not None for value in values):
            chunk.blank += 1
        else:
            width = len(self.columns)
            chunk.rows.append([*values[:width], *[None] * (width - len(values))])
            lines.append(number)

    def _bad_cell(
        self, number: int, cells: list[Any], formulas: Sequence[Any], values: list[Any], merged: str
    ) -> Reject | None:
        def rejected(code: str, index: int, problem: str) -> Reject:
            name = self.columns[index] if index < len(self.columns) else get_column_letter(index + 1)
            raw = {"columns": list(self.columns), "cells": [v if v is None else str(v)[:16_384] for v in values]}
            return reject(code, Place(self.label, number, name), problem, raw)

        for index, (cell, value) in enumerate(zip(cells, values, strict=True)):
            kind = getattr(cell, "data_type", "n")
            if kind == "e":
                problem = (
                    f"cell {get_column_letter(index + 1)}{number} holds the Excel error {cell.value}. Mend it in Excel."
                )
                return rejected(codes.CODE_EXCEL_ERROR, index, problem)
            formula = formulas[index] if index < len(formulas) else None
            if value is None and kind == "n" and getattr(formula, "data_type", "") == "f":
                problem = f"cell {get_column_letter(index + 1)}{number} is a formula that was never computed. "
                return rejected(
                    codes.CODE_FORMULA, index, problem + "Open and save the file in Excel, or paste values."
                )
            if value is not None and index >= len(self.columns):
                problem = (
                    f"cell {get_column_letter(index + 1)}{number} has no header above it. Name the column, or clear it."
                )
                return rejected(codes.CODE_RAGGED, index, problem)
        if merged and any(value is not None for value in values):
            index = int(range_boundaries(merged)[0] or 1) - 1
            return rejected(codes.CODE_MERGED, index, f"cells {merged} are merged. Unmerge them in Excel.")
        return None


def open_workbook(source: Source, limits: Limits) -> list[SheetTable]:
    """The sheets that hold anything. Raises ConfigurationError for what is no workbook, is encrypted or too large."""
    with _handle(source, limits) as handle:
        _check_archive(source, handle, limits)
        with _understood(source):
            book = load_workbook(handle, read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if hasattr(sheet, "reset_dimensions")]
        tables = [table for sheet in sheets if (table := _sheet(source, limits, handle, sheet)) is not None]
    visible = [table for table in tables if not table.notes.get("hidden")]
    name = PurePosixPath(source.name).stem
    for table in tables:
        alone = len(visible) == 1 and table is visible[0]
        table.stem = name if alone else f"{name}.{table.sheet}"
    return tables


def _sheet(source: Source, limits: Limits, handle: IO[bytes], sheet: Any) -> SheetTable | None:
    with _understood(source):
        head = [list(cells) for cells in islice(_cells(handle, sheet.title, data_only=True), _HEADER_ROWS + 100)]
    texts = [[_header_text(cell) for cell in row] for row in head]
    width = max((sum(map(bool, row)) for row in texts[:_HEADER_ROWS]), default=0)
    if width == 0:
        return None
    wanted = 0 if width == 1 else max(1, width // 3)
    at = next(index for index, row in enumerate(texts) if sum(map(bool, row)) > wanted)
    last = max(index for index, text in enumerate(texts[at]) if text) + 1
    columns, doubts = column_names(tuple(texts[at][:last]))
    merges, has_formulas = _scan(handle, sheet)
    hidden = sheet.sheet_state != "visible"
    if hidden:
        doubts.append(f"Sheet {sheet.title} is hidden in Excel.")
    if at:
        doubts.append(f"{source.label} [{sheet.title}]: the rows above row {at + 1}, its header, are left out.")
    notes = {"sheet": sheet.title, "hidden": hidden, "header_row": at + 1, "warnings": doubts}
    rows = [[_value(cell) for cell in row[:last]] for row in head[at + 1 :]]
    sample = [[*row, *[None] * (last - len(row))] for row in rows]
    return SheetTable(source, limits, sheet.title, sheet.title, columns, at + 1, sample, notes, merges, has_formulas)


def _header_text(cell: Any) -> str:
    value = _value(cell)
    return "" if value is None else str(value).strip()


def _value(cell: Any) -> Any:
    """The cell's value: texts without Excel's escapes, dates without a time where their format shows none."""
    value = getattr(cell, "value", cell)
    if isinstance(value, str):
        return (unescape(value) if "_x" in value else value) or None
    if isinstance(value, datetime) and value.time() == time() and is_datetime(cell.number_format) == "date":
        return value.date()
    if isinstance(value, time | timedelta):
        return str(value)
    return value


def _cells(handle: IO[bytes], title: str, *, data_only: bool) -> Iterator[Sequence[Any]]:
    """The rows of a sheet, empty ones included, read in batches: openpyxl warns about what it ignores."""
    with _quiet():
        book: Workbook = load_workbook(handle, read_only=True, data_only=data_only)
        sheet: Any = book[title]
        sheet.reset_dimensions()  # what a file says of its size is often wrong
        rows = iter(sheet.iter_rows())
    while True:
        with _quiet():
            batch = list(islice(rows, _BATCH))
        yield from batch
        if len(batch) < _BATCH:
            return


def _scan(handle: IO[bytes], sheet: Any) -> tuple[Merges, bool]:
    """Merged cells, which stand after the rows, and whether there are formulas: found in the sheet's XML as it streams."""
    merges, formulas, tail = Merges(), False, b""
    with zipfile.ZipFile(handle) as archive, archive.open(sheet._worksheet_path) as stream:
        while piece := stream.read(MIB):
            window = tail + piece
            formulas = formulas or _FORMULA.search(window) is not None
            keep = window.rfind(b"<")
            for match in _MERGE.finditer(window, 0, keep):
                merges.add(match[1].decode())
            tail = window[keep:] if 0 <= len(window) - keep < 4096 else b""
    for match in _MERGE.finditer(tail):
        merges.add(match[1].decode())
    return merges, formulas


def _check_archive(source: Source, handle: IO[bytes], limits: Limits) -> None:
    if handle.read(4) == _OLE:
        raise ConfigurationError(
            f"{source.label} is encrypted, or an old .xls workbook.",
            remedy="Open it in Excel and save it as .xlsx without a password.",
            code="file_wrong_format",
        )
    handle.seek(0)
    with reading(source.label), zipfile.ZipFile(handle) as archive:
        for info in archive.infolist():
            if info.file_size > limits.ratio_from and info.file_size > limits.ratio * max(info.compress_size, 1):
                raise bomb(source.label, limits.ratio)
            if info.filename.lower().endswith("sharedstrings.xml") and info.file_size > limits.workbook_strings:
                raise too_large(source.label, limits.workbook_strings)


@contextmanager
def _handle(source: Source, limits: Limits) -> Iterator[IO[bytes]]:
    """A seekable handle: the file itself, or an unnamed copy on disk of an archive's member."""
    if isinstance(source, DiskFile):
        with reading(source.label), source.path.open("rb") as handle, _understood(source):
            yield handle
        return
    with tempfile.TemporaryFile() as copy, opened(source) as stream, _understood(source):
        while piece := stream.read(MIB):
            copy.write(piece)
            if copy.tell() > limits.nested_archive:
                raise too_large(source.label, limits.nested_archive)
        copy.seek(0)
        yield copy


@contextmanager
def _understood(source: Source) -> Iterator[None]:
    try:
        yield
    except (InvalidFileException, KeyError, ValueError, ParseError, DefusedXmlException, zipfile.BadZipFile):
        raise ConfigurationError(
            f"{source.label} is no Excel workbook that can be read, or it is damaged.",
            remedy="Open it in Excel and save it again, or save it as CSV.",
            code="file_damaged",
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
