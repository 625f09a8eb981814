"""Questions a dry run asks of staging. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from domain.entities import ENTITIES
from storage import bulk
from storage.loading import ALIAS, Reference
from storage.planning import StagedObject


def merges(connection: Connection, staged: StagedObject, limit: int) -> list[tuple[str, str, str]]:
    """Samples of (duplicate, survivor, rule); the survivor is a vendor id, or ``hub:`` and the id of a hub record."""
    rows = staged.run(
        connection,
        """
        SELECT s.vendor_id, coalesce(v.vendor_id, 'hub:' || CAST(s.target_id AS text)), coalesce(s.rule, '') FROM {s} s
        LEFT JOIN {s} v ON v.tenant_id = :t AND v.run_id = :r AND v.object = :o AND v.seq = s.survivor_seq
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action IN ('merged', 'matched') ORDER BY s.seq LIMIT :n""",
        n=limit,
    )
    return [(duplicate, survivor, rule) for duplicate, survivor, rule in rows]


def creates(connection: Connection, staged: StagedObject, limit: int) -> list[dict[str, Any]]:
    """Samples of records that would be created, as vendor id and filled canonical fields."""
    columns = (
        ["label", "is_primary", "from_id", "to_id"]
        if staged.entity == "association"
        else [f.name for f in ENTITIES[staged.entity].fields]
    )
    rows = staged.run(
        connection,
        f"""
        SELECT s.vendor_id, {bulk.names(columns, "s.")} FROM {{s}} s
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action IS NULL ORDER BY s.seq LIMIT :n""",
        n=limit,
    )
    return [{k: v for k, v in row.items() if v is not None} for row in rows.mappings()]


def unresolved(
    connection: Connection,
    staged: StagedObject,
    references: Mapping[str, Reference],
    others: Mapping[str, StagedObject],
) -> dict[str, int]:
    """References that name neither a staged nor a linked record, by field. Fields with a common source are alternatives."""
    result: dict[str, int] = {}
    sources: dict[str, list[str]] = {}
    for name, reference in references.items():
        sources.setdefault(reference.source, []).append(name)
    for names in sources.values():
        objects = list(dict.fromkeys(o for name in names for o in references[name].objects))
        tables = (
            {others[o].table for o in objects if o in others}
            if "*" not in objects
            else {s.table for s in others.values()}
        )
        staged_too = "".join(
            f""" AND NOT EXISTS (SELECT FROM {table} x WHERE x.tenant_id = :t AND x.run_id = :r
                AND (x.object = ANY(CAST(:objects AS text[])) OR '*' = ANY(CAST(:objects AS text[])))
                AND x.vendor_id = s.{bulk.quoted(names[0])})"""
            for table in sorted(tables)
        )
        result[names[0]] = int(
            staged.run(
                connection,
                f"""
            SELECT count(*) FROM {{s}} s
            WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.{bulk.quoted(names[0])} IS NOT NULL
            AND s.action IS DISTINCT FROM 'superseded' AND NOT EXISTS (
                SELECT FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c
                AND (l.vendor_object = ANY(CAST(:objects AS text[])) OR '*' = ANY(CAST(:objects AS text[])))
                AND l.vendor_id = s.{bulk.quoted(names[0])}) {staged_too}""",
                objects=objects,
            ).scalar_one()
        )
    return result


@dataclass(frozen=True, slots=True)
class Associations:
    """What the staged associations of an object will become."""

    created: int
    merged: int
    updated: int
    rejected: int


def associations(
    connection: Connection,
    staged: StagedObject,
    from_objects: Sequence[str],
    to_objects: Sequence[str],
    others: Sequence[StagedObject],
) -> Associations:
    """Count what loading would do with staged associations whose ends are linked, or staged to be."""
    tables = sorted({s.table for s in others if s.entity != "association"})
    row = staged.run(
        connection,
        f"""
        WITH known AS MATERIALIZED ({_staged_names(tables)}),
        src AS MATERIALIZED (
            SELECT s.action, coalesce(s.label, '') AS label, {_linked("from_id")} AS from_id, {_linked("to_id")} AS to_id,
                   s.seq, s.from_id AS from_name, s.to_id AS to_name
            FROM {{s}} s WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND (s.action IS NULL OR s.action = 'updated')),
        ends AS (
            SELECT DISTINCT ON (src.seq) src.action, src.label, coalesce(src.from_id, f.id) AS from_id,
                   coalesce(src.to_id, e.id) AS to_id
            FROM src LEFT JOIN known f ON f.vendor_id = src.from_name AND {_listed("f", "from_id")}
            LEFT JOIN known e ON e.vendor_id = src.to_name AND {_listed("e", "to_id")} ORDER BY src.seq),
        fresh AS (SELECT DISTINCT label, from_id, to_id FROM ends
                  WHERE action IS NULL AND from_id IS NOT NULL AND to_id IS NOT NULL AND NOT EXISTS (
                      SELECT FROM crm_association a WHERE a.tenant_id = :t AND a.from_id = ends.from_id AND a.to_id = ends.to_id
                      AND a.label = ends.label))
        SELECT (SELECT count(*) FROM fresh), count(*) FILTER (WHERE action IS NULL AND from_id IS NOT NULL AND to_id IS NOT NULL),
               count(*) FILTER (WHERE action = 'updated' AND from_id IS NOT NULL AND to_id IS NOT NULL),
               count(*) FILTER (WHERE from_id IS NULL OR to_id IS NULL) FROM ends""",
        from_id_objects=list(from_objects),
        to_id_objects=list(to_objects),
    ).one()
    created, whole, updated, rejected = row
    return Associations(created, whole - created, updated, rejected)


def _staged_names(tables: Sequence[str]) -> str:
    """SQL of every staged record (object, vendor id) with the hub id it will have, by its other names too."""
    return " UNION ALL ".join(
        f"""SELECT x.object, x.vendor_id, coalesce(x.target_id, v.id, x.id) AS id FROM {source}
        LEFT JOIN {table} v ON v.tenant_id = :t AND v.run_id = :r AND v.object = x.object AND v.seq = x.survivor_seq
        WHERE x.tenant_id = :t AND x.run_id = :r AND x.action IS DISTINCT FROM 'superseded'"""
        for table in tables
        for source in (
            f"{table} x",
            f"""(SELECT z.tenant_id, z.run_id, n.vendor_objects[1] AS object, n.vendor_id, z.target_id, z.id, z.seq, z.action,
                CAST(NULL AS bigint) AS survivor_seq FROM stage_link n JOIN {table} z USING (tenant_id, run_id, object, seq)
                WHERE n.tenant_id = :t AND n.run_id = :r AND n.label = '{ALIAS}') x""",
        )
    )


def _linked(column: str) -> str:
    listed = f"CAST(:{column}_objects AS text[])"
    return f"""(SELECT l.entity_id FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_id = s.{column}
        AND (l.vendor_object = ANY({listed}) OR '*' = ANY({listed})) AND l.entity <> 'association'
        ORDER BY array_position({listed}, l.vendor_object) LIMIT 1)"""


def _listed(alias: str, column: str) -> str:
    listed = f"CAST(:{column}_objects AS text[])"
    return f"({alias}.object = ANY({listed}) OR '*' = ANY({listed}))"
