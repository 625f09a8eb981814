"""Bulk API 2.0's CSV, in and out.

Results are converted to what REST would have sent, so that a record reads alike by either way: '' is null, ``true`` is a
boolean, ``100.0`` of an integer field is 100, ``…000Z`` is ``…000+0000``.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/datafiles_prepare_csv.htm
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import IO, Any, Final, Literal

from connectors.salesforce.soql import timestamp
from domain.errors import TransientError
from domain.records import MISSING, FieldSchema

NULL: Final = "#N/A"
"""How an ingest job is told to blank a field; an empty cell leaves it alone."""
UPLOAD_BYTES_MAX: Final = 100_000_000
"""Raw bytes of one ingest job: the vendor's 150 MB counts them base64-encoded."""
CELL_CHARS_MAX: Final = 32 * 1024 * 1024

Converter = Callable[[str], Any]


def _integer(cell: str) -> int | None:
    return int(Decimal(cell)) if cell else None


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _boolean(cell: str) -> bool | None:
    return cell.lower() == "true" if cell else None


def _datetime(cell: str) -> str | None:
    if not cell:
        return None
    return f"{cell[:-1]}+0000" if cell.endswith("Z") else cell


def _text(cell: str) -> str | None:
    return cell or None


_CONVERTERS: Mapping[str, Converter] = {
    "int": _integer,
    "long": _integer,
    "double": _number,
    "currency": _number,
    "percent": _number,
    "boolean": _boolean,
    "datetime": _datetime,
}


def converter(field: FieldSchema) -> Converter:
    """How a cell of ``field`` becomes the value that REST would send."""
    return _CONVERTERS.get(field.vendor_type.lower(), _text)


def read_rows(stream: IO[str]) -> Iterator[list[str]]:
    """Header and rows of a CSV. Raises TransientError when it breaks off inside a quoted cell."""
    csv.field_size_limit(max(csv.field_size_limit(), CELL_CHARS_MAX))
    try:
        yield from csv.reader(stream, strict=True)
    except csv.Error as error:
        raise TransientError("Salesforce's bulk results broke off or are no CSV.") from error


def convert_rows(
    rows: Iterable[Sequence[str]], header: Sequence[str], fields: Sequence[FieldSchema]
) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of ``fields``; MISSING where the results lack a column. Raises TransientError on a ragged row."""
    places = {column.lower(): index for index, column in enumerate(header)}
    plan = [(places.get(field.name.lower()), converter(field)) for field in fields]
    width = len(header)
    for row in rows:
        if len(row) != width:
            raise TransientError("A row of Salesforce's bulk results has too few or too many cells.")
        yield tuple(MISSING if place is None else convert(row[place]) for place, convert in plan)


def cell(value: Any) -> str:
    """One value as an ingest job takes it."""
    if value is None or value == "":
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ";".join(str(entry) for entry in value)
    return str(value)


def write_csv(
    records: Sequence[Mapping[str, Any]], columns: Sequence[str], *, bytes_max: int = UPLOAD_BYTES_MAX
) -> Iterator[tuple[bytes, int]]:
    """CSV files of at most ``bytes_max`` with the number of records in each, in the order given.

    A column that a record lacks is an empty cell, which Salesforce leaves alone.
    """
    header = _line(columns)
    buffer, count = bytearray(header), 0
    for record in records:
        line = _line([cell(record[column]) if column in record else "" for column in columns])
        if count and len(buffer) + len(line) > bytes_max:
            yield bytes(buffer), count
            buffer, count = bytearray(header), 0
        buffer += line
        count += 1
    if count:
        yield bytes(buffer), count


def _line(cells: Sequence[str]) -> bytes:
    out = io.StringIO()
    # The writer leaves a carriage return bare unless told to quote, and a reader would end the row there.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if any("\r" in text for text in cells) else csv.QUOTE_MINIMAL
    csv.writer(out, lineterminator="\n", quoting=quoting).writerow(cells)
    return out.getvalue().encode()
