"""What waits for what, and hints about vendor records. Work to push is queued by `storage.sync.changing.queue`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.ids import new_id
from storage import bulk
from storage.statements import run
from storage.sync.gathering import OBJECTS
from storage.sync.lanes import LaneKey
from storage.sync.values import dumps

_DUE = """
    INSERT INTO push_work (tenant_id, connection_id, object, entity, entity_id)
    SELECT DISTINCT CAST(:t AS uuid), r.connection_id, r.object, r.entity, r.entity_id FROM ready r
    ORDER BY 2, 3, 5
    ON CONFLICT (tenant_id, connection_id, object, entity_id) DO UPDATE
        SET token = DEFAULT, due_at = 'epoch', attempts = 0, state = 'due', traceparent = DEFAULT"""

_NOTICES = """
    noticed AS (
        INSERT INTO sync_notice AS n (tenant_id, connection_id, object, vendor_id, id)
        SELECT DISTINCT ON (2, 3, 4) CAST(:t AS uuid), r.connection_id, r.object, r.vendor_id, gen_random_uuid() FROM ready r
        ORDER BY 2, 3, 4
        ON CONFLICT (tenant_id, connection_id, object, vendor_id) DO UPDATE SET id = excluded.id, traceparent = DEFAULT)
    UPDATE link l SET fingerprint = NULL FROM ready r WHERE l.tenant_id = :t AND l.connection_id = r.connection_id
      AND l.vendor_object = r.object AND l.vendor_id = r.vendor_id"""
"""A record that waited is looked at again although it says what it said: only the hub knows more by now."""

_FRESH = """
    fresh AS MATERIALIZED (
        SELECT l.connection_id, l.vendor_object, l.vendor_id, l.entity_id FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL (
            SELECT * FROM link WHERE entity_id = u.id AND tenant_id = :t AND tombstoned_at IS NULL OFFSET 0) l ON true)"""
"""The live links of hub records."""


def settle(conn: Connection, tenant_id: UUID, hub_ids: Iterable[UUID]) -> None:
    """Hub records are linked by now (or back): what waited for them on those connections becomes due."""
    linked = set(hub_ids)
    if not linked:
        return
    found = run(
        conn,
        """
        SELECT EXISTS (SELECT FROM push_wait WHERE tenant_id = :t), EXISTS (SELECT FROM vendor_wait WHERE tenant_id = :t)""",
        {"t": tenant_id},
    )
    waits = found.fetchone() or (False, False)
    if waits[0]:
        conn.execute(
            text(f"""
            WITH {_FRESH},
            ready AS (
                DELETE FROM push_wait w WHERE w.tenant_id = :t
                  AND w.connection_id = ANY(ARRAY(SELECT connection_id FROM fresh GROUP BY 1))
                  AND w.wait_id = ANY(CAST(:ids AS uuid[]))
                  AND EXISTS (SELECT FROM fresh l WHERE l.connection_id = w.connection_id AND l.entity_id = w.wait_id)
                RETURNING w.connection_id, w.object, w.entity, w.entity_id)
            {_DUE}"""),
            {"t": tenant_id, "ids": bulk.uuids(linked)},
        )
    if waits[1]:
        conn.execute(
            text(f"""
            WITH {_FRESH},
            ready AS (
                DELETE FROM vendor_wait w WHERE w.tenant_id = :t
                  AND w.connection_id = ANY(ARRAY(SELECT connection_id FROM fresh GROUP BY 1))
                  AND w.wait_id = ANY(ARRAY(SELECT vendor_id FROM fresh))
                  AND EXISTS (SELECT FROM fresh l WHERE l.connection_id = w.connection_id AND l.vendor_id = w.wait_id
                              AND w.wait_object IN (l.vendor_object, '*'))
                RETURNING w.connection_id, w.object, w.vendor_id),
            {_NOTICES}"""),
            {"t": tenant_id, "ids": bulk.uuids(linked)},
        )


def await_vendor(conn: Connection, key: LaneKey, waits: Sequence[tuple[str, Sequence[str], str]]) -> None:
    """Note that vendor records wait for others: (vendor id, objects, vendor id awaited). What is linked by now is due."""
    rows = [{"vendor_id": v, "wait_object": o, "wait_id": w} for v, objects, w in waits for o in objects]
    if not rows:
        return
    conn.execute(
        text("""
        INSERT INTO vendor_wait (tenant_id, connection_id, wait_id, wait_object, object, vendor_id)
        SELECT DISTINCT CAST(:t AS uuid), CAST(:c AS uuid), r.wait_id, r.wait_object, CAST(:o AS text), r.vendor_id
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(wait_id text, wait_object text, vendor_id text)
        ORDER BY 3, 4, 6 ON CONFLICT DO NOTHING"""),
        key.parameters | {"rows": dumps(rows)},
    )
    conn.execute(
        text(f"""
        WITH ready AS (
            DELETE FROM vendor_wait w USING unnest(CAST(:ids AS text[])) AS u(id)
            WHERE w.tenant_id = :t AND w.connection_id = :c AND w.wait_id = u.id AND w.object = :o AND EXISTS (
                SELECT FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_id = u.id
                AND l.entity <> 'association' AND l.{OBJECTS.format("w.wait_object")}
                AND l.tombstoned_at IS NULL AND NOT EXISTS (SELECT FROM tombstone d
                    WHERE d.tenant_id = :t AND d.entity = l.entity AND d.entity_id = l.entity_id))
            RETURNING w.connection_id, w.object, w.vendor_id),
        {_NOTICES}"""),
        key.parameters | {"ids": sorted({w for _, _, w in waits})},
    )


def await_hub(conn: Connection, key: LaneKey, entity: str, waits: Sequence[Mapping[str, Any]]) -> None:
    """Note that hub records wait for others: rows of entity_id, wait_entity, wait_id. What is linked by now comes due at once."""
    if not waits:
        return
    conn.execute(
        text("""
        INSERT INTO push_wait (tenant_id, connection_id, wait_id, wait_entity, object, entity, entity_id)
        SELECT DISTINCT CAST(:t AS uuid), CAST(:c AS uuid), r.wait_id, r.wait_entity, CAST(:o AS text), CAST(:entity AS text),
               r.entity_id
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(wait_id uuid, wait_entity text, entity_id uuid)
        ORDER BY 3, 7 ON CONFLICT DO NOTHING"""),
        key.parameters | {"entity": entity, "rows": dumps(waits)},
    )
    settle(conn, key.tenant_id, [w["wait_id"] for w in waits])


# ---------------------------------------------------------------- notices


def add_notices(conn: Connection, key: LaneKey, vendor_ids: Mapping[str, bool]) -> None:
    """Note hints, one a record; that it was deleted stays noted until the hint is answered."""
    if not vendor_ids:
        return
    names = sorted(vendor_ids)
    conn.execute(
        text("""
        INSERT INTO sync_notice AS n (tenant_id, connection_id, object, vendor_id, id, deleted)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), u.vendor_id, u.id, u.deleted
        FROM unnest(CAST(:names AS text[]), CAST(:ids AS uuid[]), CAST(:deleted AS boolean[])) AS u(vendor_id, id, deleted)
        ON CONFLICT (tenant_id, connection_id, object, vendor_id)
            DO UPDATE SET id = excluded.id, deleted = n.deleted OR excluded.deleted, traceparent = DEFAULT"""),
        key.parameters | {"names": names, "ids": [new_id() for _ in names], "deleted": [vendor_ids[n] for n in names]},
    )


def notices(conn: Connection, key: LaneKey, limit: int) -> list[tuple[UUID, str, bool]]:
    """The oldest hints of a lane: (id, vendor id, is it a delete)."""
    rows = conn.execute(
        text("""
        SELECT id, vendor_id, deleted FROM sync_notice WHERE tenant_id = :t AND connection_id = :c AND object = :o
        ORDER BY at, vendor_id LIMIT :limit"""),
        key.parameters | {"limit": limit},
    )
    return [(row.id, row.vendor_id, row.deleted) for row in rows]


def answer(conn: Connection, tenant_id: UUID, ids: Sequence[UUID]) -> None:
    """Remove hints that were answered; one that was renewed meanwhile has another id and stays."""
    if ids:
        conn.execute(
            text("DELETE FROM sync_notice WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[]))"),
            {"t": tenant_id, "ids": list(ids)},
        )
