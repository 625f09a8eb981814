"""COPY in text format, column by column.

PostgreSQL refuses COPY FROM into a table with row-level security for a role that is subject to it, so rows are copied
into a temporary table (private to the session, emptied at commit) and inserted from there: the policy checks every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID as Id

import orjson
import psycopg
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Integer, LargeBinary, Numeric, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL = "\\N"
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


NEW_ID = """CAST(encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex') AS uuid)"""
"""SQL of a fresh UUIDv7 for each row: a random UUID with the milliseconds in front, and version 4 made 7."""


def _escape_column(values: Sequence[str | None]) -> list[str]:
    """Escape a column for COPY. One search over the whole column spares the search in every value."""
    try:
        joined, whole = "".join(values), True  # type: ignore[arg-type]  # raises where there is a None
    except TypeError:
        joined, whole = "".join([v for v in values if v is not None]), False
    if any(c in joined for c in "\\\t\n\r"):
        return [_NULL if v is None else v.translate(_ESCAPES) for v in values]
    return list(values) if whole else [_NULL if v is None else v for v in values]  # type: ignore[arg-type]


def _texts(values: Sequence[Any]) -> list[str]:
    return _escape_column(values)


def _plain(values: Sequence[Any]) -> list[str]:
    return [_NULL if v is None else str(v) for v in values]


def _moments(values: Sequence[Any]) -> list[str]:
    """Dates and instants in UTC: orjson writes them many times quicker than they do themselves. Of other zones it drops seconds."""
    zones = {v.tzinfo if isinstance(v, datetime) else None for v in values}
    if not zones <= {None, UTC}:
        return _plain(values)
    blank = None in values
    try:
        written = orjson.dumps(["" if v is None else v for v in values] if blank else list(values)).decode()
    except orjson.JSONEncodeError:
        return _plain(values)
    texts = written[2:-2].split('","')
    if len(texts) != len(values) or not written.startswith('["'):
        return _plain(values)
    return [text or _NULL for text in texts] if blank else texts


def _booleans(values: Sequence[Any]) -> list[str]:
    return [_NULL if v is None else ("t" if v else "f") for v in values]


def _binary(values: Sequence[Any]) -> list[str]:
    return [_NULL if v is None else "\\\\x" + v.hex() for v in values]


def _json(values: Sequence[Any]) -> list[str]:
    return _escape_column([None if v is None else _json_text(v) for v in values])


def _json_text(value: Any) -> str:
    if value.__class__ is dict and not value:  # most records have no custom fields
        return "{}"
    return orjson.dumps(value, default=str).decode()


def _array_literal(items: Sequence[str]) -> str:
    quoted = ('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items)
    return "{" + ",".join(quoted) + "}"


def _arrays(values: Sequence[Any]) -> list[str]:
    return _escape_column([None if v is None else _array_literal(v) for v in values])


_Encoder = Callable[[Sequence[Any]], list[str]]
_ENCODERS: tuple[tuple[Any, _Encoder], ...] = (
    (Boolean, _booleans),
    (BigInteger, _plain),
    (Integer, _plain),
    (Numeric, _plain),
    (Date, _moments),
    (DateTime, _moments),
    (UUID, _plain),
    (JSONB, _json),
    (LargeBinary, _binary),
    (ARRAY, _arrays),
)


def _encoder(table: Table, column: str) -> _Encoder:
    kind = table.columns[column].type
    return next((encode for cls, encode in _ENCODERS if isinstance(kind, cls)), _texts)


def encode(table: Table, columns: Mapping[str, Sequence[Any]]) -> bytes:
    """The rows of ``columns`` (all of one length) as COPY text for ``table``'s column types."""
    encoded = [_encoder(table, name)(values) for name, values in columns.items()]
    if not encoded or not encoded[0]:
        return b""
    return ("\n".join(map("\t".join, zip(*encoded, strict=True))) + "\n").encode()


def uuids(ids: Iterable[Id]) -> str:
    """Distinct ids in ascending order as the text of an SQL array: the driver's own way takes several times as long."""
    return "{" + ",".join(sorted({str(i) for i in ids})) + "}"


def holds_any(values: Sequence[Any]) -> bool:
    """Whether any of ``values`` is not None."""
    return bool(values) and (values[0] is not None or values.count(None) < len(values))


def quoted(name: str) -> str:
    """An SQL identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def names(columns: Sequence[str], prefix: str = "") -> str:
    """A comma-separated list of quoted column names."""
    return ", ".join(prefix + quoted(c) for c in columns)


def _temporary_table(connection: psycopg.Connection[Any], table: Table, columns: Sequence[str]) -> str:
    types = ", ".join(f"{quoted(c)} {table.columns[c].type.compile(dialect=DIALECT)}" for c in columns)
    name = f"pg_temp.{quoted('incoming_' + table.name)}"
    connection.execute(f"DROP TABLE IF EXISTS {name}".encode())
    connection.execute(f"CREATE TEMP TABLE {quoted('incoming_' + table.name)} ({types}) ON COMMIT DROP".encode())
    return name


def insert(
    connection: psycopg.Connection[Any],
    table: Table,
    columns: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Any],
    *,
    on_conflict: str = "",
) -> int:
    """Insert ``columns`` (name to values, all of one length) plus the same ``constants`` in every row; return how many.

    Columns that hold only None are left to their default. Runs in the caller's transaction.
    """
    filled = {c: v for c, v in columns.items() if holds_any(v)}
    data = encode(table, filled)
    if not data:
        return 0
    temporary = _temporary_table(connection, table, list(filled))
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {temporary} ({names(list(filled))}) FROM STDIN".encode()) as copy:
            copy.write(data)
        placeholders = "".join(f"%({name})s, " for name in constants)
        prefix = "".join(f"{quoted(name)}, " for name in constants)
        cursor.execute(
            f"INSERT INTO {quoted(table.name)} ({prefix}{names(list(filled))}) "
            f"SELECT {placeholders}{names(list(filled))} FROM {temporary} {on_conflict}".encode(),
            dict(constants),
        )
        return cursor.rowcount
