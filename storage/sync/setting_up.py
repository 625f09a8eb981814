"""Stages and pipelines, which vendors have each of them, and what people call them beside their names."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from storage.sync.gathering import OF_HUB, hub_table
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class StoredSetUp:
    """A stage or pipeline; ``parent``: a stage's pipeline; ``links``: (connection, object, vendor id) where it is live."""

    id: UUID
    entity: str
    name: str
    parent: UUID | None
    links: tuple[tuple[UUID, str, str], ...]


def records(conn: Connection) -> list[StoredSetUp]:
    """Every stage and pipeline of the tenant: as many as people set up, which is few."""
    rows = conn.execute(
        text(f"""
        SELECT s.id, s.entity, s.name, s.parent, l.connection_id, l.vendor_object, l.vendor_id
        FROM (SELECT id, 'pipeline' AS entity, name, CAST(NULL AS uuid) AS parent FROM {hub_table("pipeline")} WHERE tenant_id = :t
              UNION ALL SELECT id, 'stage', name, pipeline_id FROM {hub_table("stage")} WHERE tenant_id = :t) s
        LEFT JOIN LATERAL {OF_HUB.format("s.id")} l ON l.entity = s.entity AND l.tombstoned_at IS NULL
        ORDER BY s.entity, s.id"""),
        {"t": current_tenant(conn)},
    ).all()
    links: dict[UUID, list[tuple[UUID, str, str]]] = {}
    for row in rows:
        here = links.setdefault(row.id, [])
        if row.connection_id is not None:
            here.append((row.connection_id, row.vendor_object, row.vendor_id))
    heads = {row.id: row for row in rows}
    return [StoredSetUp(i, row.entity, row.name, row.parent, tuple(links[i])) for i, row in heads.items()]


def names(conn: Connection) -> list[tuple[UUID, str, str, str]]:
    """What streams call stages and pipelines: (connection, entity, name, vendor id)."""
    rows = conn.execute(
        text("""
        SELECT s.connection_id, n.one->>0, n.one->>1, n.one->>2
        FROM stream s, jsonb_array_elements(coalesce(s.settings->'names', '[]')) AS n(one) WHERE s.tenant_id = :t"""),
        {"t": current_tenant(conn)},
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]
