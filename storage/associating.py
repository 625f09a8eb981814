"""Associations: from junction objects (a contact's role in a deal) and from references inside records."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from domain.entities import ENTITIES
from storage.planning import StagedObject
from storage.sync.gathering import hub_table, several_of

_RANGE = "s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.seq >= :first AND s.seq < :end"


def _end(column: str, alias: str) -> str:
    """Join one end of an association with whatever it is linked to; of several, what the mapping names first."""
    return f"""LEFT JOIN LATERAL (
        SELECT l.entity, l.entity_id FROM link l
        WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_id = s.{column} AND l.entity <> 'association'
          AND (l.vendor_object = ANY(CAST(:{column}_objects AS text[])) OR '*' = ANY(CAST(:{column}_objects AS text[])))
        ORDER BY array_position(CAST(:{column}_objects AS text[]), l.vendor_object) LIMIT 1) {alias} ON true"""


def keep_lists(
    connection: Connection,
    staged: StagedObject,
    from_objects: Sequence[str],
    to_objects: Sequence[str],
    first: int,
    end: int,
) -> None:
    """Before associations of a range are created: write out what other connections last said of the records' lists.

    A base that says what the record itself says would say of them, too, that they have the new ones; what such a vendor
    never had would then seem to have been removed there.
    """
    others = staged.run(
        connection,
        """
        SELECT EXISTS (SELECT FROM connection k WHERE k.tenant_id = :t AND k.id <> :c AND EXISTS (
            SELECT FROM link l WHERE l.tenant_id = :t AND l.connection_id = k.id))""",
    ).scalar_one()
    for entity, one in ((e.name, s) for e in ENTITIES.values() for s in e.several if others):
        staged.run(
            connection,
            f"""
        UPDATE link l SET base = (to_jsonb(h) - CAST('{{tenant_id,id,created_at,updated_at,version}}' AS text[]))
                                 {several_of(entity)}
        FROM (SELECT DISTINCT f.entity_id AS id FROM {{s}} s {_end("from_id", "f")} {_end("to_id", "e")}
              WHERE {_RANGE} AND s.action IS NULL AND f.entity = '{entity}' AND e.entity = '{one.refers_to}') m
        JOIN LATERAL (SELECT * FROM {hub_table(entity)} WHERE tenant_id = :t AND id = m.id LIMIT 1) h ON true
        WHERE l.entity_id = h.id AND l.tenant_id = :t AND l.entity = '{entity}' AND l.base IS NULL
          AND l.connection_id <> :c""",
            first=first,
            end=end,
            from_id_objects=list(from_objects),
            to_id_objects=list(to_objects),
        )


def create_range(
    connection: Connection,
    staged: StagedObject,
    from_objects: Sequence[str],
    to_objects: Sequence[str],
    first: int,
    end: int,
) -> tuple[int, int]:
    """Create the staged associations of a range whose two ends exist; return (created, merged into an equal one)."""
    made, total = staged.run(
        connection,
        f"""
        WITH src AS MATERIALIZED (
            SELECT s.id, s.vendor_id, s.fingerprint, s.vendor_version, coalesce(s.label, '') AS label, s.is_primary,
                   s.custom_fields, s.source_created_at, s.source_updated_at, f.entity AS from_entity, f.entity_id AS from_id,
                   e.entity AS to_entity, e.entity_id AS to_id
            FROM {{s}} s {_end("from_id", "f")} {_end("to_id", "e")}
            WHERE {_RANGE} AND s.action IS NULL AND f.entity_id IS NOT NULL AND e.entity_id IS NOT NULL),
        made AS (
            INSERT INTO crm_association (tenant_id, id, from_entity, from_id, to_entity, to_id, label, is_primary, custom_fields,
                                         source_created_at, source_updated_at)
            SELECT CAST(:t AS uuid), id, from_entity, from_id, to_entity, to_id, label, is_primary, custom_fields,
                   source_created_at, source_updated_at FROM src
            ON CONFLICT (tenant_id, from_entity, from_id, to_entity, to_id, label) DO NOTHING
            RETURNING id, from_entity, from_id, to_entity, to_id, label),
        standing AS (
            SELECT * FROM made UNION ALL
            SELECT a.id, a.from_entity, a.from_id, a.to_entity, a.to_id, a.label FROM crm_association a JOIN src
              USING (from_entity, from_id, to_entity, to_id, label) WHERE a.tenant_id = :t),
        linked AS (
            INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, vendor_version, fingerprint,
                              origin, run_id)
            SELECT DISTINCT ON (src.vendor_id) CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), src.vendor_id,
                   'association', x.id, src.vendor_version, src.fingerprint,
                   CASE WHEN x.id = src.id THEN 'created' ELSE 'merged' END, CAST(:r AS uuid)
            FROM src JOIN standing x USING (from_entity, from_id, to_entity, to_id, label) RETURNING origin)
        SELECT count(*) FILTER (WHERE origin = 'created'), count(*) FROM linked""",
        first=first,
        end=end,
        from_id_objects=list(from_objects),
        to_id_objects=list(to_objects),
    ).one()
    return made, total - made


def unresolved(
    connection: Connection,
    staged: StagedObject,
    from_objects: Sequence[str],
    to_objects: Sequence[str],
    first: int,
    end: int,
) -> list[tuple[int, str, bool, bool]]:
    """Staged associations of a range that lack an end: (seq, vendor id, from exists, to exists)."""
    rows = staged.run(
        connection,
        f"""
        SELECT s.seq, s.vendor_id, f.entity_id IS NOT NULL, e.entity_id IS NOT NULL
        FROM {{s}} s {_end("from_id", "f")} {_end("to_id", "e")}
        WHERE {_RANGE} AND (s.action IS NULL OR s.action = 'updated') AND (f.entity_id IS NULL OR e.entity_id IS NULL)
        ORDER BY s.seq""",
        first=first,
        end=end,
        from_id_objects=list(from_objects),
        to_id_objects=list(to_objects),
    )
    return [tuple(row) for row in rows]


def update_range(
    connection: Connection,
    staged: StagedObject,
    from_objects: Sequence[str],
    to_objects: Sequence[str],
    first: int,
    end: int,
) -> int:
    """Bring linked associations of a range to what the source says now, with before-images; return how many changed."""
    parameters = {"first": first, "end": end, "from_id_objects": list(from_objects), "to_id_objects": list(to_objects)}
    changed = int(
        staged.run(
            connection,
            f"""
        WITH src AS MATERIALIZED (
            SELECT s.vendor_id, a.id, to_jsonb(a) AS before, to_jsonb(l) AS before_link, coalesce(s.label, '') AS label,
                   s.is_primary, s.custom_fields, s.source_created_at, s.source_updated_at, f.entity AS from_entity,
                   f.entity_id AS from_id, e.entity AS to_entity, e.entity_id AS to_id
            FROM {{s}} s JOIN crm_association a ON a.tenant_id = :t AND a.id = s.target_id
            JOIN link l ON l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.vendor_id = s.vendor_id
            {_end("from_id", "f")} {_end("to_id", "e")}
            WHERE {_RANGE} AND s.action = 'updated' AND f.entity_id IS NOT NULL AND e.entity_id IS NOT NULL),
        changed AS (
            UPDATE crm_association a SET label = src.label, is_primary = src.is_primary, custom_fields = src.custom_fields,
                from_entity = src.from_entity, from_id = src.from_id, to_entity = src.to_entity, to_id = src.to_id,
                source_created_at = src.source_created_at, source_updated_at = src.source_updated_at
            FROM src WHERE a.tenant_id = :t AND a.id = src.id AND NOT EXISTS (
                SELECT FROM crm_association o WHERE o.tenant_id = :t AND o.id <> a.id AND o.from_entity = src.from_entity
                AND o.from_id = src.from_id AND o.to_entity = src.to_entity AND o.to_id = src.to_id AND o.label = src.label)
            RETURNING a.id, a.version)
        INSERT INTO migration_journal (tenant_id, run_id, entity, entity_id, object, vendor_id, action, before, before_link,
                                       version_after)
        SELECT CAST(:t AS uuid), CAST(:r AS uuid), 'association', src.id, CAST(:o AS text), src.vendor_id, 'updated',
               CASE WHEN c.id IS NOT NULL THEN src.before END, src.before_link,
               coalesce(c.version, CAST(src.before->>'version' AS bigint))
        FROM src LEFT JOIN changed c USING (id)""",
            **parameters,
        ).rowcount
    )
    staged.run(
        connection,
        f"""
        UPDATE link l SET fingerprint = s.fingerprint, vendor_version = s.vendor_version, base = NULL,
                          base_version = a.version, updated_at = now()
        FROM {{s}} s JOIN crm_association a ON a.tenant_id = :t AND a.id = s.target_id
        WHERE {_RANGE} AND s.action = 'updated' AND l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o
          AND l.vendor_id = s.vendor_id""",
        first=first,
        end=end,
    )
    return changed


def create_found(connection: Connection, staged: StagedObject, first: int, end: int) -> int:
    """Create the associations found inside the records of a range (`stage_link`) whose two ends exist; return how many.

    The id of each is a UUIDv7 made from the record's own and the vendor ids. Each is linked under ``Object.label`` with
    ``record>target`` as its vendor id, so that it is made once and can be undone.
    """
    return int(
        staged.run(
            connection,
            """
        WITH src AS MATERIALIZED (
            SELECT x.label, s.id AS sid, s.vendor_id || '>' || x.vendor_id AS vendor_id, f.entity AS from_entity,
                   f.entity_id AS from_id, e.entity AS to_entity, e.entity_id AS to_id
            FROM stage_link x
            JOIN LATERAL (SELECT * FROM {s} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = x.seq
                          AND action IS DISTINCT FROM 'superseded' LIMIT 1) s ON true
            JOIN LATERAL (SELECT * FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o
                          AND vendor_id = s.vendor_id LIMIT 1) f ON true
            JOIN LATERAL (SELECT l.entity, l.entity_id FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c
                AND l.vendor_id = x.vendor_id AND (l.vendor_object = ANY(x.vendor_objects) OR '*' = ANY(x.vendor_objects))
                AND l.entity <> 'association' AND l.entity_id <> f.entity_id LIMIT 1) e ON true
            WHERE x.tenant_id = :t AND x.run_id = :r AND x.object = :o AND x.seq >= :first AND x.seq < :end AND x.label <> '='),
        made AS (
            INSERT INTO crm_association (tenant_id, id, from_entity, from_id, to_entity, to_id, label)
            SELECT DISTINCT ON (from_entity, from_id, to_entity, to_id, label) CAST(:t AS uuid),
                   CAST(left(CAST(sid AS text), 15) || left(h, 3) || '-8' || substr(h, 4, 3) || '-' || substr(h, 7, 12) AS uuid),
                   from_entity, from_id, to_entity, to_id, label
            FROM src, LATERAL md5(vendor_id || label) AS h
            ORDER BY from_entity, from_id, to_entity, to_id, label, vendor_id
            ON CONFLICT DO NOTHING RETURNING id, from_entity, from_id, to_entity, to_id, label),
        standing AS (
            SELECT * FROM made UNION ALL
            SELECT a.id, a.from_entity, a.from_id, a.to_entity, a.to_id, a.label FROM crm_association a JOIN src
              USING (from_entity, from_id, to_entity, to_id, label) WHERE a.tenant_id = :t)
        INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, run_id)
        SELECT DISTINCT ON (src.label, src.vendor_id) CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text) || '.' || src.label,
               src.vendor_id, 'association', x.id,
               CASE WHEN EXISTS (SELECT FROM made WHERE made.id = x.id) THEN 'created' ELSE 'merged' END, CAST(:r AS uuid)
        FROM src JOIN standing x USING (from_entity, from_id, to_entity, to_id, label)
        ON CONFLICT (tenant_id, connection_id, vendor_object, vendor_id) DO NOTHING""",
            first=first,
            end=end,
        ).rowcount
    )
