"""Everything that is kept about one person, as one JSON document that is written piece by piece."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, text

from storage import blobs, sweeping
from storage.persons import Person
from storage.sync.gathering import hub_table

_OF_RECORDS = {
    "deleted_records": "SELECT to_jsonb(t) FROM tombstone t WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY entity_id",
    "history": "SELECT to_jsonb(t) FROM field_history t WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY at, id",
    "changes": "SELECT to_jsonb(t) FROM change t WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY seq",
    "links": "SELECT to_jsonb(t) FROM link t WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY vendor_object, vendor_id",
    "conflicts": "SELECT to_jsonb(t) FROM conflict t WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY id",
    "announced_creates": "SELECT to_jsonb(t) FROM sync_intent t WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY object",
    "before_migrations": "SELECT to_jsonb(t) FROM migration_journal t WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY at",
    "told_to_webhooks": "SELECT to_jsonb(t) FROM event t WHERE subject = ANY(CAST(:ids AS uuid[])) ORDER BY seq",
    "dead_letters": """
        SELECT to_jsonb(d) FROM dead_letter d WHERE entity_id = ANY(CAST(:ids AS uuid[])) OR EXISTS (
            SELECT FROM link l WHERE l.entity_id = ANY(CAST(:ids AS uuid[])) AND l.connection_id = d.connection_id
               AND l.vendor_object = d.object AND l.vendor_id = d.vendor_id) ORDER BY id""",
}
_COVERED = {"crm_contact", "crm_lead", "crm_user", "tombstone", "field_history", "change", "link", "conflict", "sync_intent",
            "migration_journal", "event", "dead_letter"}  # fmt: skip
_INTERNAL = ("tenant_id", "fingerprint", "xid")


def export(conn: Connection, person: Person) -> Iterator[bytes]:
    """The document: one array a section; `mentions` are rows of other tables that name the person, by the columns that do."""
    yield b'{"format":"syncline.person.1"'
    yield from _section("records", _records(conn, person.records))
    yield from _section("content", _records(conn, person.content))
    for name, statement in _OF_RECORDS.items():
        yield from _section(name, _rows(conn, statement, person))
    yield from _files(conn, person)
    yield from _section("mentions", _mentions(conn, person))
    yield b"\n}\n"


def _section(name: str, documents: Iterator[Any]) -> Iterator[bytes]:
    yield b',\n"%s":[' % name.encode()
    for number, document in enumerate(documents):
        yield (b",\n" if number else b"\n") + orjson.dumps(document, default=_plain)
    yield b"]"


def _records(conn: Connection, found: Any) -> Iterator[Any]:
    for entity, ids in found.items():
        rows = conn.scalars(
            text(f"SELECT to_jsonb(h) FROM {hub_table(entity)} h WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id"),
            {"ids": list(ids)},
        )
        yield from ({"entity": entity, **_shown(row)} for row in rows)


def _rows(conn: Connection, statement: str, person: Person) -> Iterator[Any]:
    yield from map(_shown, conn.scalars(text(statement), {"ids": person.all_ids}))


def _mentions(conn: Connection, person: Person) -> Iterator[Any]:
    for table in sweeping.tables():
        if table.name not in _COVERED:
            for hit in sweeping.hits(conn, table, person.needles):
                key = {name: value for name, value in hit.key.items() if name != "tenant_id"}
                yield {"table": table.name, "row": key, "values": hit.values}


def _files(conn: Connection, person: Person) -> Iterator[bytes]:
    """Attachments with their content, in parts of at most 1 MiB before base64."""
    yield b',\n"files":['
    for number, row in enumerate(_records(conn, {"attachment": person.files})):
        yield (b",\n" if number else b"\n") + orjson.dumps(row, default=_plain)[:-1] + b',"content_base64":['
        stored = row.get("sha256") and blobs.size_of(conn, row["sha256"]) is not None
        for place, part in enumerate(blobs.read(conn, row["sha256"]) if stored else ()):
            yield (b"," if place else b"") + b'"%s"' % base64.b64encode(part)
        yield b"]}"
    yield b"]"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _INTERNAL and value is not None}


def _plain(value: Any) -> Any:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)
