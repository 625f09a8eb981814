"""Searching every table for what names a person, and taking it out. Tables are found in the schema, so none is forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, LargeBinary, Table, Text, UniqueConstraint, func, literal_column, or_, select, text
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.elements import ColumnElement

from domain.ids import new_id
from storage.columns import metadata

BLANK = "[erased]"
_WILD, _ESCAPED = re.compile(r"[%_\\]"), r"\\\g<0>"

KEPT = MappingProxyType({
    "api_key": "the hub's own users", "member": "the hub's own users", "tenant": "no person's",
    "connection": "the hub's own set-up", "webhook_subscription": "the hub's own set-up",
    "consent": "the record of what somebody agreed to",
    "audit_log": "append-only, without personal values", "audit_head": "append-only, without personal values",
    "credential": "sealed: of connections", "secret": "sealed: of endpoints",
    "erasure": "sealed until it is done, then counts alone",
    "suppression": "keyed digests", "suppression_key": "sealed",
    "blob": "content of files, erased by reference", "blob_part": "content of files, erased by reference",
})  # fmt: skip
"""Tables that are not swept, and why: who administers the hub and how it is connected (its own users, not people it keeps records
of), what is sealed or digested, what is append-only without personal values, and file content, which is erased by reference."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that names the person. ``values``: the columns that do."""

    table: Table
    key: dict[str, Any]
    values: dict[str, Any]


def tables() -> list[Table]:
    """Every table that is swept."""
    return [t for t in metadata.sorted_tables if t.name not in KEPT]


def readable(table: Table) -> list[str]:
    """The columns that can hold text, alone or in JSON, lists or bytes."""
    return [str(c.name) for c in table.columns if isinstance(c.type, (Text, JSONB, ARRAY, LargeBinary))]


def hits(conn: Connection, table: Table, needles: Sequence[str]) -> Iterator[Hit]:
    """Rows of a table in which one of ``needles`` (small letters) stands anywhere."""
    names = readable(table)
    if not names or not needles:
        return
    found = {name: _holds(table.c[name], needles) for name in names}
    keys = [str(c.name) for c in table.primary_key.columns]  # SQLAlchemy's own kind of text is no key of JSON
    flags = [found[name].label(f"in_{name}") for name in names]
    columns = [table.c[n] for n in dict.fromkeys([*keys, *names])]
    for row in conn.execute(select(*columns, *flags).where(or_(*found.values()))):
        values = {n: row._mapping[n] for n in names if row._mapping[f"in_{n}"]}
        yield Hit(table, {n: row._mapping[n] for n in keys}, values)


def count(conn: Connection, needles: Sequence[str]) -> dict[str, int]:
    """How many rows of each table that is searched still name the person; tables in which none does are listed, too."""
    return {str(t.name): sum(1 for _ in hits(conn, t, needles)) for t in tables()}


def sweep(conn: Connection, needles: Sequence[str]) -> dict[str, int]:
    """Take the person out of every row that names them; returns how many rows of each table that were.

    A JSON object in which one of ``needles`` stands is about the person: its texts go with it. In other texts the words alone go.
    A row whose key names the person is deleted.
    """
    conn.execute(text("SELECT set_config('app.loading', 'on', true)"))
    done: dict[str, int] = {}
    for table in tables():
        found = list(hits(conn, table, needles))
        for hit in found:
            _clean(conn, hit, needles)
        if found:
            done[str(table.name)] = len(found)
    conn.execute(text("SELECT set_config('app.loading', 'off', true)"))
    return done


def _clean(conn: Connection, hit: Hit, needles: Sequence[str]) -> None:
    here = [hit.table.c[name] == value for name, value in hit.key.items()]
    if hit.values.keys() & hit.key.keys():
        conn.execute(hit.table.delete().where(*here))
        return
    values = {name: cleaned(value, needles) for name, value in hit.values.items()}
    for name in values.keys() & _unique(hit.table):
        values[name] = f"{BLANK}:{new_id()}"
    conn.execute(hit.table.update().where(*here).values(values))


def _unique(table: Table) -> set[str]:
    """Columns in which two rows may not both say that something was erased."""
    groups = [c.columns for c in table.constraints if isinstance(c, UniqueConstraint)]
    groups += [i.columns for i in table.indexes if i.unique]
    return {c.name for group in groups for c in group}


def cleaned(value: Any, needles: Sequence[str]) -> Any:
    """``value`` without what names the person."""
    if isinstance(value, bytes | memoryview):
        return b""
    if isinstance(value, str):
        return _words(needles).sub(BLANK, value)
    if isinstance(value, list):
        return [cleaned(v, needles) for v in value]
    if isinstance(value, dict):
        if any(isinstance(v, str) and _words(needles).search(v) for v in [*value.values(), *value]):
            return {name: blanked(v) for name, v in value.items() if not _words(needles).search(name)}
        return {name: cleaned(v, needles) for name, v in value.items()}
    return value


def blanked(value: Any) -> Any:
    """A JSON value of the same shape without any text or number in it."""
    if isinstance(value, dict):
        return {name: blanked(v) for name, v in value.items()}
    if isinstance(value, list):
        return []
    return BLANK if isinstance(value, str) else value if isinstance(value, bool) else None


def names(data: bytes, needles: Sequence[str]) -> bool:
    """Whether one of ``needles`` stands in a piece of a file, in UTF-8 or UTF-16."""
    small = data.lower()
    forms = {form for n in needles for form in _forms(n)}
    return any(form.encode(encoding) in small for form in forms for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def _words(needles: Sequence[str]) -> re.Pattern[str]:
    forms = {form for n in needles for form in _forms(n)}
    return re.compile("|".join(re.escape(f) for f in sorted(forms, key=len, reverse=True)), re.IGNORECASE)


def _forms(needle: str) -> list[str]:
    """A needle as it is, and as forms and addresses write it, and JSON in ASCII."""
    return list(dict.fromkeys((needle, quote(needle, safe="").lower(), json.dumps(needle)[1:-1])))


def _patterns(needles: Sequence[str], *, of_bytes: bool) -> list[str]:
    forms = [form for n in needles for form in _forms(n)]
    if of_bytes:
        forms = ["".join(map(_octet, form.encode())) for form in forms]
    return [f"%{_WILD.sub(_ESCAPED, form)}%" for form in forms]


def _octet(value: int) -> str:
    """A byte as PostgreSQL escapes it."""
    return f"\\{value:03o}" if value > 0x7F else "\\\\" if value == 0x5C else chr(value)


def _holds(column: ColumnElement[Any], needles: Sequence[str]) -> ColumnElement[bool]:
    shown = _shown(column)
    return or_(*(shown.like(p) for p in _patterns(needles, of_bytes=isinstance(column.type, LargeBinary))))


def _shown(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column as text in small letters; of bytes without the zeros that UTF-16 has in Western text."""
    if isinstance(column.type, LargeBinary):
        return func.lower(func.replace(func.encode(column, "escape"), r"\000", ""))
    if isinstance(column.type, ARRAY):
        return func.lower(func.array_to_string(column, literal_column("E'\\n'")))
    return func.lower(sql_cast(column, Text) if isinstance(column.type, JSONB) else column)
