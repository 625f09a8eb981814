"""Taking a migration run back, record by record, without touching what people did since.

A created record that nobody changed is deleted; a changed record is set back to its before-image. A record that was edited
after the run, or that something outside the run refers to, is a conflict: it stays unless the caller forces it.
Every step works on a bounded number of records and can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES
from storage import bulk
from storage.tables import table_name


@dataclass(frozen=True, slots=True)
class Kept:
    """A record that undo left alone, and why."""

    entity: str
    id: UUID
    vendor_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A record at another vendor that a stream made of one of the run's. ``source_id``: what it was migrated from."""

    entity_id: UUID
    source_id: str
    connection_id: UUID
    object: str
    vendor_id: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Which run, and of it which object."""

    tenant_id: UUID
    run_id: UUID
    connection_id: UUID
    object: str
    entity: str

    @property
    def table(self) -> str:
        return "crm_association" if self.entity == "association" else bulk.quoted(table_name(self.entity))

    @property
    def parameters(self) -> dict[str, Any]:
        return {"t": self.tenant_id, "r": self.run_id, "c": self.connection_id, "o": self.object, "entity": self.entity}


def later_runs(connection: Connection, tenant_id: UUID, run_id: UUID) -> list[UUID]:
    """Runs that changed records of this run afterwards: they must be undone first."""
    return list(
        connection.execute(
            text("""
        SELECT DISTINCT j.run_id FROM migration_journal j
        JOIN migration_run later ON later.tenant_id = j.tenant_id AND later.id = j.run_id
        JOIN migration_run mine ON mine.tenant_id = :t AND mine.id = :r
        WHERE j.tenant_id = :t AND j.run_id <> :r AND j.action NOT IN ('settled', 'alias')
          AND later.started_at > mine.started_at AND later.status <> 'undone'
          AND (EXISTS (SELECT FROM link l WHERE l.tenant_id = :t AND l.run_id = :r AND l.entity_id = j.entity_id)
               OR EXISTS (SELECT FROM migration_journal m
                          WHERE m.tenant_id = :t AND m.run_id = :r AND m.entity_id = j.entity_id))"""),
            {"t": tenant_id, "r": run_id},
        ).scalars()
    )


def restore_changed(connection: Connection, scope: Scope, *, force: bool, limit: int) -> tuple[int, list[Kept]]:
    """Set up to ``limit`` changed records back to their before-images, links included; returns (restored, kept).

    Restored rows are equal to the old ones to the last column, version and dates included. Of several changes of one record
    only the last is taken back at a time: call it until it restores nothing.
    """
    columns = _columns(scope.entity)
    row = f"jsonb_populate_record(CAST(NULL AS {scope.table}), j.before)"
    edited = "h.version <> j.version_after"
    last = """NOT EXISTS (SELECT FROM migration_journal later WHERE later.tenant_id = :t AND later.run_id = :r
        AND later.entity = :entity        AND later.entity_id = j.entity_id AND later.before IS NOT NULL
        AND later.version_after > j.version_after)"""
    kept = (
        connection.execute(
            text(f"""
        SELECT j.entity_id, j.vendor_id FROM migration_journal j JOIN {scope.table} h ON h.tenant_id = :t AND h.id = j.entity_id
        WHERE j.tenant_id = :t AND j.run_id = :r AND j.object = :o AND j.entity = :entity AND j.before IS NOT NULL AND {edited}
          AND {last}"""),
            scope.parameters,
        ).all()
        if not force
        else []
    )
    condition = "true" if force else f"(j.before IS NULL OR h.id IS NULL OR NOT ({edited}))"
    assignments = ", ".join(f"{bulk.quoted(c)} = (old.row).{bulk.quoted(c)}" for c in columns)
    restored = connection.execute(
        text(f"""
        WITH todo AS MATERIALIZED (
            SELECT j.entity_id, j.vendor_id, j.before, j.before_link, {row} AS row
            FROM migration_journal j LEFT JOIN {scope.table} h ON h.tenant_id = :t AND h.id = j.entity_id
            WHERE j.tenant_id = :t AND j.run_id = :r AND j.object = :o AND j.entity = :entity AND {condition} AND {last}
              AND j.action NOT IN ('settled', 'alias')
            ORDER BY j.entity_id, j.vendor_id LIMIT :n),
        hub AS (UPDATE {scope.table} h SET {assignments} FROM todo old
                WHERE h.tenant_id = :t AND h.id = old.entity_id AND old.before IS NOT NULL),
        unlinked AS (DELETE FROM link l USING todo WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o
                     AND l.vendor_id = todo.vendor_id AND todo.before_link IS NULL),
        relinked AS (UPDATE link l SET base = b.base, base_version = b.base_version, vendor_version = b.vendor_version,
                        fingerprint = b.fingerprint, tombstoned_at = b.tombstoned_at, updated_at = b.updated_at, run_id = b.run_id
                     FROM todo, LATERAL jsonb_populate_record(CAST(NULL AS link), todo.before_link) b
                     WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.vendor_id = todo.vendor_id
                       AND todo.before_link IS NOT NULL)
        DELETE FROM migration_journal j USING todo WHERE j.tenant_id = :t AND j.run_id = :r AND j.object = :o AND j.entity = :entity
          AND j.entity_id = todo.entity_id AND j.vendor_id = todo.vendor_id AND j.action NOT IN ('settled', 'alias')"""),
        scope.parameters | {"n": limit},
    ).rowcount
    return restored, [Kept(scope.entity, i, v, "edited since the run changed it") for i, v in kept]


def _columns(entity: str) -> list[str]:
    if entity == "association":
        names = [
            "from_entity",
            "from_id",
            "to_entity",
            "to_id",
            "label",
            "is_primary",
            "source_created_at",
            "source_updated_at",
        ]
    else:
        names = list(ENTITIES[entity].all_fields)
    return [*names, "custom_fields", "created_at", "updated_at", "version"]


def unlink_merged(connection: Connection, scope: Scope, keep: Sequence[UUID]) -> int:
    """Remove the links of records that the run merged into others (``keep`` apart), and of associations that stood already."""
    return connection.execute(
        text("""
        DELETE FROM link WHERE tenant_id = :t AND run_id = :r AND connection_id = :c AND origin IN ('merged', 'matched')
        AND (vendor_object = :o OR starts_with(vendor_object, :o || '.')) AND NOT (entity_id = ANY(CAST(:keep AS uuid[])))"""),
        scope.parameters | {"keep": list(keep)},
    ).rowcount


def delete_found_associations(connection: Connection, scope: Scope) -> int:
    """Remove the associations that the run found inside records of the object."""
    return connection.execute(
        text("""
        WITH gone AS (DELETE FROM link WHERE tenant_id = :t AND run_id = :r AND connection_id = :c AND origin = 'created'
                      AND entity = 'association' AND starts_with(vendor_object, :o || '.') RETURNING entity_id)
        DELETE FROM crm_association a USING gone WHERE a.tenant_id = :t AND a.id = gone.entity_id"""),
        scope.parameters,
    ).rowcount


_FILLED_IN = """
    SELECT count(DISTINCT f.version) FROM field_history f
    WHERE f.tenant_id = :t AND f.entity_id = h.id AND f.version > l.base_version AND NOT EXISTS (
      SELECT FROM field_history g WHERE g.tenant_id = :t AND g.entity_id = h.id AND g.version = f.version
        AND NOT (starts_with(g.field, 'custom_fields.') AND coalesce(g.old, 'null') = 'null'
          AND EXISTS (SELECT FROM link x WHERE x.tenant_id = :t AND x.entity_id = h.id AND x.connection_id = g.connection_id
                      AND x.origin = 'pushed')
          AND NOT EXISTS (SELECT FROM field_history e WHERE e.tenant_id = :t AND e.entity_id = h.id
                          AND e.connection_id = g.connection_id AND e.version < g.version)))"""
"""How many versions of a record say only what a vendor that was sent it filled into fields of its own, at the first reading.

Each version has to be in the history: of what is not known any more somebody may have edited something.
"""


def created_conflicts(connection: Connection, scope: Scope, kept_already: Sequence[UUID]) -> list[Kept]:
    """Records that the run created and that undo must not delete.

    Those edited since, those that something outside the run refers to, and those that a kept record refers to: a person's
    record must not lose its parent. ``kept_already``: records of other objects that stay.
    """
    kept: dict[UUID, Kept] = {}
    edited = f"h.version <> l.base_version AND h.version <> l.base_version + ({_FILLED_IN})"  # few are looked at twice
    _note(connection, scope, edited, "edited since it was created", kept, ())
    while True:
        before, staying = len(kept), [*kept_already, *kept]
        for child, field in referring(scope.entity):
            _note(
                connection,
                scope,
                f"""EXISTS (
                SELECT FROM {bulk.quoted(table_name(child))} x WHERE x.tenant_id = :t AND x.{bulk.quoted(field)} = h.id
                AND (x.id = ANY(CAST(:staying AS uuid[])) OR NOT EXISTS (SELECT FROM link xl
                    WHERE xl.tenant_id = :t AND xl.entity_id = x.id AND xl.run_id = :r AND xl.origin = 'created'))
                  AND NOT EXISTS (SELECT FROM migration_journal w WHERE w.tenant_id = :t AND w.run_id = :r
                    AND w.action = 'settled' AND w.entity_id = x.id AND w.before->>'field' = '{field}'))""",
                f"{_article(child)} {child} that stays refers to it",
                kept,
                staying,
            )
        if len(kept) == before:
            return list(kept.values())


def unsettle(connection: Connection, scope: Scope, keep: Sequence[UUID]) -> None:
    """Blank the references of earlier runs' records that came to lead to records of this run (``keep`` apart); they wait again."""
    for entity in ENTITIES.values():
        for field in (f.name for f in entity.references if f.refers_to == scope.entity):
            connection.execute(
                text(f"""
        WITH todo AS (
            DELETE FROM migration_journal j USING link l, {bulk.quoted(table_name(entity.name))} x
            WHERE j.tenant_id = :t AND j.run_id = :r AND j.action = 'settled' AND j.entity = :child AND j.before->>'field' = :field
              AND l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.run_id = :r
              AND l.vendor_id = j.before->>'vendor_id' AND NOT (l.entity_id = ANY(CAST(:keep AS uuid[])))
              AND x.tenant_id = :t AND x.id = j.entity_id AND coalesce(x.{bulk.quoted(field)}, l.entity_id) = l.entity_id
            RETURNING j.entity_id, j.before),
        waits AS (INSERT INTO pending_reference SELECT p.* FROM todo,
                  LATERAL jsonb_populate_record(CAST(NULL AS pending_reference), todo.before) p ON CONFLICT DO NOTHING)
        UPDATE {bulk.quoted(table_name(entity.name))} x SET {bulk.quoted(field)} = NULL FROM todo
        WHERE x.tenant_id = :t AND x.id = todo.entity_id"""),
                scope.parameters | {"child": entity.name, "field": field, "keep": list(keep)},
            )


def return_aliases(connection: Connection, scope: Scope, keep: Sequence[UUID]) -> None:
    """Let the other names that records of the run took (``keep`` apart) lead to the records that had them before."""
    connection.execute(
        text("""
        WITH todo AS (DELETE FROM migration_journal j WHERE j.tenant_id = :t AND j.run_id = :r AND j.object = :o
                      AND j.action = 'alias' AND NOT (j.entity_id = ANY(CAST(:keep AS uuid[]))) RETURNING j.before_link)
        UPDATE link l SET entity_id = b.entity_id, updated_at = b.updated_at
        FROM todo, LATERAL jsonb_populate_record(CAST(NULL AS link), todo.before_link) b
        WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = b.vendor_object AND l.vendor_id = b.vendor_id
          AND l.origin = 'alias'"""),
        scope.parameters | {"keep": list(keep)},
    )


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _note(
    connection: Connection, scope: Scope, condition: str, why: str, kept: dict[UUID, Kept], staying: Sequence[UUID]
) -> None:
    rows = connection.execute(
        text(f"""
        SELECT h.id, l.vendor_id FROM link l JOIN {scope.table} h ON h.tenant_id = :t AND h.id = l.entity_id
        WHERE l.tenant_id = :t AND l.run_id = :r AND l.connection_id = :c AND l.vendor_object = :o AND l.origin = 'created'
          AND {condition}"""),
        scope.parameters | ({"staying": list(staying)} if ":staying" in condition else {}),
    )
    for record_id, vendor_id in rows:
        kept.setdefault(record_id, Kept(scope.entity, record_id, vendor_id, why))


def referring(entity: str) -> list[tuple[str, str]]:
    """Every (entity, reference field) that may point to ``entity``, authors apart: those are not enforced."""
    return [
        (e.name, f.name)
        for e in ENTITIES.values()
        for f in e.references
        if f.refers_to == entity and f.name not in ("created_by_id", "updated_by_id")
    ]


_COPIES = """
    FROM link l JOIN link x ON x.tenant_id = :t AND x.entity_id = l.entity_id AND x.connection_id <> :c AND x.origin = 'pushed'
      AND x.tombstoned_at IS NULL
    WHERE l.tenant_id = :t AND l.run_id = :r AND l.connection_id = :c AND l.vendor_object = :o AND l.origin = 'created'"""


def sent_on(connection: Connection, scope: Scope) -> dict[tuple[UUID, str], int]:
    """How many of the records that the run created streams made at other connections, by connection and object there.

    What was there before, and was only linked, is none of them.
    """
    rows = connection.execute(
        text(f"SELECT x.connection_id, x.vendor_object, count(*) {_COPIES} GROUP BY 1, 2 ORDER BY 1, 2"),
        scope.parameters,
    )
    return {(connection_id, name): count for connection_id, name, count in rows}


def copies(connection: Connection, scope: Scope, keep: Sequence[UUID], limit: int) -> list[Copy]:
    """Up to ``limit`` of these records (``keep`` apart), those of one connection and object together."""
    rows = connection.execute(
        text(f"""
        SELECT l.entity_id, l.vendor_id, x.connection_id, x.vendor_object, x.vendor_id {_COPIES}
          AND NOT (l.entity_id = ANY(CAST(:keep AS uuid[])))
        ORDER BY x.connection_id, x.vendor_object, x.vendor_id LIMIT :n"""),
        scope.parameters | {"keep": list(keep), "n": limit},
    )
    return [Copy(*row) for row in rows]


def bury_copies(connection: Connection, tenant_id: UUID, gone: Sequence[Copy]) -> None:
    """Note that records at other vendors were deleted, so that nobody takes their absence for a delete by a person."""
    for copy in gone:
        connection.execute(
            text("""
        UPDATE link SET tombstoned_at = now(), updated_at = now()
        WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o AND vendor_id = :v"""),
            {"t": tenant_id, "c": copy.connection_id, "o": copy.object, "v": copy.vendor_id},
        )


def delete_created(connection: Connection, scope: Scope, keep: Sequence[UUID], limit: int) -> int:
    """Delete up to ``limit`` records that the run created, with links, history and waiting references; ``keep`` apart."""
    return connection.execute(
        text(f"""
        WITH todo AS MATERIALIZED (
            SELECT l.vendor_id, l.entity_id FROM link l
            WHERE l.tenant_id = :t AND l.run_id = :r AND l.connection_id = :c AND l.vendor_object = :o AND l.origin = 'created'
              AND NOT (l.entity_id = ANY(CAST(:keep AS uuid[]))) LIMIT :n),
        record AS (DELETE FROM {scope.table} h USING todo WHERE h.tenant_id = :t AND h.id = todo.entity_id),
        history AS (DELETE FROM field_history f USING todo WHERE f.tenant_id = :t AND f.entity_id = todo.entity_id),
        waiting AS (DELETE FROM pending_reference p USING todo WHERE p.tenant_id = :t AND p.entity_id = todo.entity_id),
        loose AS (DELETE FROM crm_association a USING todo WHERE a.tenant_id = :t AND :entity <> 'association'
                  AND (a.from_id = todo.entity_id OR a.to_id = todo.entity_id)),
        links AS (DELETE FROM link l USING todo WHERE l.tenant_id = :t AND l.entity_id = todo.entity_id)
        INSERT INTO change (tenant_id, id, entity, entity_id, kind, connection_id, detail)
        SELECT CAST(:t AS uuid), {bulk.NEW_ID}, :entity, entity_id, 'deleted', CAST(:c AS uuid),
               jsonb_build_object('undo_of_run', CAST(:r AS text)) FROM todo"""),
        scope.parameters | {"keep": list(keep), "n": limit},
    ).rowcount


def finish(connection: Connection, tenant_id: UUID, run_id: UUID, *, whole: bool) -> None:
    """Clean what a run left beside its records: history of changed ones, definitions, letters, file content nobody uses."""
    parameters = {"t": tenant_id, "r": run_id}
    connection.execute(
        text(
            "DELETE FROM field_history WHERE tenant_id = :t AND run_id = :r AND NOT EXISTS (SELECT FROM migration_journal j "
            "WHERE j.tenant_id = :t AND j.run_id = :r AND j.entity_id = field_history.entity_id)"
        ),
        parameters,
    )
    connection.execute(
        text(
            "DELETE FROM blob b WHERE b.tenant_id = :t AND NOT EXISTS (SELECT FROM crm_attachment a "
            "WHERE a.tenant_id = :t AND a.sha256 = b.sha256)"
        ),
        parameters,
    )
    if not whole:
        return
    connection.execute(
        text("DELETE FROM migration_journal WHERE tenant_id = :t AND run_id = :r AND action IN ('settled', 'alias')"),
        parameters,
    )
    connection.execute(
        text(
            "UPDATE dead_letter SET status = 'resolved', resolved_at = now(), resolution = 'discarded: the run was undone', "
            "payload = NULL, mapped = NULL, original = NULL WHERE tenant_id = :t AND run_id = :r AND status = 'open'"
        ),
        parameters,
    )
    connection.execute(text("DELETE FROM custom_field WHERE tenant_id = :t AND run_id = :r"), parameters)
    connection.execute(text("DELETE FROM pending_reference WHERE tenant_id = :t AND run_id = :r"), parameters)
