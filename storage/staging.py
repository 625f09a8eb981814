"""Staging: what a run has read and mapped, before anything reaches the canonical tables.

Staging tables are unlogged: they survive a killed client, but not a crash of the server. `verify` tells the difference, and
the chunks whose rows are gone are then read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from domain.records import PendingLink, Reject
from storage import bulk
from storage.runs import RunKey
from storage.tables import stage_association, stage_link, stage_name, stage_tables
from storage.tenancy import driver_connection as raw


def stage_table(entity: str) -> Table:
    """The staging table of an entity or of ``association``."""
    return stage_association if entity == "association" else stage_tables[entity]


@dataclass(slots=True)
class StagedRows:
    """Mapped records of one object with their bookkeeping; every list has one entry a record.

    ``columns`` are the canonical fields (references as vendor ids). ``targets``: the hub record of one already linked whose
    source changed since, else None.
    """

    object: str
    entity: str
    seqs: Sequence[int]
    vendor_ids: Sequence[str]
    ids: Sequence[str]
    fingerprints: Sequence[bytes]
    versions: Sequence[str | None]
    targets: Sequence[UUID | None]
    warnings: Sequence[list[dict[str, Any]] | None]
    custom_fields: Sequence[dict[str, Any]]
    columns: Mapping[str, Sequence[Any]]
    links: Sequence[PendingLink] = field(default=())

    def __len__(self) -> int:
        return len(self.vendor_ids)

    @property
    def filled(self) -> tuple[str, ...]:
        """The canonical fields that any of the records has a value of."""
        return tuple(name for name, values in self.columns.items() if bulk.holds_any(values))

    def part(self, start: int, end: int) -> StagedRows:
        """The records from ``start`` to before ``end``."""
        lists = {
            name: getattr(self, name)[start:end]
            for name in (
                "seqs",
                "vendor_ids",
                "ids",
                "fingerprints",
                "versions",
                "targets",
                "warnings",
                "custom_fields",
            )
        }
        return replace(
            self,
            columns={name: values[start:end] for name, values in self.columns.items()},
            links=[replace(p, row=p.row - start) for p in self.links if start <= p.row < end],
            **lists,
        )


def add(connection: Connection, key: RunKey, rows: StagedRows) -> None:
    """Store mapped records and the associations found inside them. One COPY each, in the caller's transaction."""
    table = stage_table(rows.entity)
    constants = {"tenant_id": key.tenant_id, "run_id": key.run_id, "object": rows.object}
    columns: dict[str, Sequence[Any]] = {
        "seq": rows.seqs,
        "vendor_id": rows.vendor_ids,
        "id": rows.ids,
        "fingerprint": rows.fingerprints,
        "vendor_version": rows.versions,
        "target_id": rows.targets,
        "action": [None if t is None else "updated" for t in rows.targets],
        "warnings": rows.warnings,
        "custom_fields": rows.custom_fields,
        **rows.columns,
    }
    bulk.insert(raw(connection), table, columns, constants)
    if rows.links:
        bulk.insert(
            raw(connection),
            stage_link,
            {
                "seq": [rows.seqs[p.row] for p in rows.links],
                "label": [p.label for p in rows.links],
                "vendor_objects": [list(p.vendor_objects) for p in rows.links],
                "vendor_id": [p.vendor_id for p in rows.links],
            },
            constants,
            on_conflict="ON CONFLICT DO NOTHING",
        )


def add_isolating(connection: Connection, key: RunKey, rows: StagedRows) -> list[Reject]:
    """`add`, but a record that the database refuses does not take the others with it: halves are tried until it is alone."""
    if not len(rows):
        return []
    try:
        with connection.begin_nested():
            add(connection, key, rows)
        return []
    except (DBAPIError, psycopg.Error) as error:
        if not concerns_record(error):
            raise
        if len(rows) == 1:
            return [
                Reject(
                    "not_storable",
                    f"The database cannot store this record ({reason(error)}).",
                    vendor_id=rows.vendor_ids[0],
                    raw=None,
                )
            ]
        middle = len(rows) // 2
        return add_isolating(connection, key, rows.part(0, middle)) + add_isolating(
            connection, key, rows.part(middle, len(rows))
        )


def concerns_record(error: Exception) -> bool:
    """Whether an error of the database is about the data (classes 22, 23, 54) rather than about the database."""
    return str(getattr(getattr(error, "orig", None) or error, "sqlstate", ""))[:2] in ("22", "23", "54")


def reason(error: Exception) -> str:
    """What the database objects to, by kind and column; never the value."""
    original = getattr(error, "orig", None) or error
    diagnosis = getattr(original, "diag", None)
    state = getattr(original, "sqlstate", None) or "unknown"
    kind = _REASONS.get(state, f"SQLSTATE {state}")
    where = getattr(diagnosis, "column_name", None) or getattr(diagnosis, "constraint_name", None)
    return f"{kind}, {where}" if where else kind


_REASONS = {
    "22003": "a number is out of range",
    "22008": "a date is out of range",
    "22021": "a character is not valid",
    "22P05": "a character is not valid",
    "23502": "a required value is missing",
    "23503": "it refers to a record that is gone",
    "23505": "a record with the same identity exists",
    "54000": "a value is too large to be indexed",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a page's records, by position. Positions in none of the three are new.

    ``unchanged``: nothing to do. ``changed``: linked to this hub record, but changed since or listed repeatedly.
    ``done``: this very run
    already loaded it (its staged row was lost in a crash of the server) and made it what the text says.
    """

    unchanged: frozenset[int] = frozenset()
    changed: Mapping[int, UUID] = field(default_factory=dict)
    done: Mapping[int, str] = field(default_factory=dict)


_SEPARATOR = "\x1f"

_KNOWN = b"""
SELECT p.ord::int - 1, l.entity_id,
       l.fingerprint = substr(%(prints)s::bytea, (p.ord::int - 1) * 16 + 1, 16) AND l.tombstoned_at IS NULL, l.origin,
       l.run_id = %(run)s
FROM unnest(string_to_array(%(ids)s, E'\\x1f')) WITH ORDINALITY AS p(vendor_id, ord)
LEFT JOIN LATERAL (SELECT * FROM link WHERE tenant_id = %(tenant)s AND connection_id = %(connection)s AND vendor_object = %(object)s
                   AND vendor_id = p.vendor_id LIMIT 1) l ON true
WHERE l.entity_id IS NULL OR l.tombstoned_at IS NOT NULL OR l.run_id = %(run)s OR l.repeated
   OR l.fingerprint IS DISTINCT FROM substr(%(prints)s::bytea, (p.ord::int - 1) * 16 + 1, 16)"""


def known(
    connection: Connection,
    key: RunKey,
    connection_id: UUID,
    object_name: str,
    vendor_ids: Sequence[str],
    fingerprints: Sequence[bytes],
) -> Known:
    """Compare a page with what is linked already, by fingerprint (16 bytes) of the source record.

    Only records that differ from what is known come back over the wire: of an unchanged page, nothing.
    """
    joined = _SEPARATOR.join(vendor_ids)
    if joined.count(_SEPARATOR) != len(vendor_ids) - 1 or "\x00" in joined:
        return Known()  # an id holds a control character: the mapping decides what becomes of it
    rows = (
        raw(connection)
        .execute(
            _KNOWN,
            {
                "prints": b"".join(fingerprints),
                "ids": joined,
                "tenant": key.tenant_id,
                "connection": connection_id,
                "object": object_name,
                "run": key.run_id,
            },
        )
        .fetchall()
    )
    told = {i for i, *_ in rows}
    linked = [row for row in rows if row[1] is not None]
    return Known(
        unchanged=frozenset(i for i in range(len(vendor_ids)) if i not in told),
        changed={i: entity_id for i, entity_id, same, _, mine in linked if not (same and mine)},
        done={i: origin for i, _, same, origin, mine in linked if same and mine},
    )


def has_links(connection: Connection, tenant_id: UUID, connection_id: UUID, object_name: str) -> bool:
    """Whether anything of this object was ever linked: spares `known` on a first run."""
    return bool(
        connection.execute(
            text("SELECT EXISTS (SELECT FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o)"),
            {"t": tenant_id, "c": connection_id, "o": object_name},
        ).scalar_one()
    )


def drop_from(connection: Connection, key: RunKey, entity: str, object_name: str, first_row: int) -> None:
    """Forget the staged records of an object from row ``first_row`` on."""
    for name in (stage_name(entity), "stage_link"):
        connection.execute(
            text(f"DELETE FROM {bulk.quoted(name)} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq >= :s"),
            {"t": key.tenant_id, "r": key.run_id, "o": object_name, "s": first_row},
        )


def drop_run(connection: Connection, key: RunKey, entities: Sequence[str]) -> None:
    """Forget everything that a run staged."""
    for name in {*(stage_name(e) for e in entities), "stage_link"}:
        connection.execute(
            text(f"DELETE FROM {bulk.quoted(name)} WHERE tenant_id = :t AND run_id = :r"),
            {"t": key.tenant_id, "r": key.run_id},
        )


def drop_finished(connection: Connection, tenant_id: UUID, connection_id: UUID) -> int:
    """Forget what finished runs of a connection left staged (killed just before they forgot it); returns how many rows."""
    finished = "SELECT id FROM migration_run WHERE tenant_id = :t AND connection_id = :c AND finished_at IS NOT NULL"
    return sum(
        connection.execute(
            text(f"DELETE FROM {bulk.quoted(table.name)} WHERE tenant_id = :t AND run_id IN ({finished})"),
            {"t": tenant_id, "c": connection_id},
        ).rowcount
        for table in (*stage_tables.values(), stage_association, stage_link)
    )


def count(connection: Connection, tenant_id: UUID, run_id: UUID, entity: str, object_name: str) -> int:
    """How many records of an object are staged."""
    return int(
        connection.execute(
            text(
                f"SELECT count(*) FROM {bulk.quoted(stage_name(entity))} WHERE tenant_id = :t AND run_id = :r AND object = :o"
            ),
            {"t": tenant_id, "r": run_id, "o": object_name},
        ).scalar_one()
    )
