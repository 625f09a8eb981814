"""What an event of a record change says: made in PostgreSQL, a page of one entity at a time, so that no digit is lost.

The record is told as it stands when the event is made, which may be later than the change (`data.record.version` tells); what
the change itself did stands in `data.version` and `data.changed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES, Kind
from storage.change_feed import Change
from storage.sync.gathering import hub_table
from storage.tenancy import current_tenant

STAGE_CHANGED = "opportunity.stage_changed"
_BOOKKEEPING = "tenant_id,id,version,created_at,updated_at,custom_fields,_children,_associations"


def record_form(source: str) -> str:
    """SQL of a record as the API shows it: blanks left out, decimals as text, moments in UTC. ``source``: its row as jsonb.

    :entity, :decimals and :moments name the entity, its decimal fields and its timestamps. NULL of NULL.
    """
    return f"""CASE WHEN {source} IS NOT NULL THEN jsonb_build_object('entity', CAST(:entity AS text), 'id', {source}->'id',
        'version', {source}->'version', 'created_at', {_moment(f"{source}->>'created_at'")},
        'updated_at', {_moment(f"{source}->>'updated_at'")},
        'custom_fields', coalesce({source}->'custom_fields', '{{}}'), 'fields', coalesce((
            SELECT jsonb_object_agg(v.key, {_shown("v.key", "v.value")})
            FROM jsonb_each({source} - CAST('{{{_BOOKKEEPING}}}' AS text[])) v WHERE v.value <> 'null'), '{{}}')) END"""


def _shown(name: str, value: str) -> str:
    """SQL of one value as the API shows it."""
    plain = f"{value} #>> '{{}}'"
    return f"""CASE WHEN {name} = ANY(CAST(:decimals AS text[])) THEN to_jsonb({plain})
        WHEN {name} = ANY(CAST(:moments AS text[])) THEN to_jsonb({_moment(plain)}) ELSE {value} END"""


def _moment(value: str) -> str:
    """SQL of a moment (text, as PostgreSQL says it in JSON) as the API shows it: microseconds only where there are any."""
    at = f"(CAST({value} AS timestamptz) AT TIME ZONE 'UTC')"
    return f"""to_char({at}, 'YYYY-MM-DD"T"HH24:MI:SS') || CASE WHEN date_trunc('second', {at}) = {at} THEN 'Z'
        ELSE to_char({at}, '.US"Z"') END"""


def _of(entity: str) -> dict[str, Any]:
    if entity == "association":
        return {"entity": entity, "decimals": [], "moments": ["source_created_at", "source_updated_at"]}
    fields = ENTITIES[entity].all_fields.values()
    return {
        "entity": entity,
        "decimals": [f.name for f in fields if f.kind is Kind.DECIMAL],
        "moments": [f.name for f in fields if f.kind is Kind.TIMESTAMP],
    }


_SOURCE = """
    FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:changes AS uuid[]), CAST(:ats AS timestamptz[]))
         AS w(id, type, change_id, at)
    JOIN change c ON c.tenant_id = :t AND c.at = w.at AND c.id = w.change_id"""

_ONE = f"""
    INSERT INTO event (tenant_id, id, type, occurred_at, subject, emitted, data)
    SELECT CAST(:t AS uuid), w.id, w.type, c.at, c.entity_id, false,
        jsonb_build_object('entity', c.entity, 'id', c.entity_id, 'version', c.version, 'connection_id', c.connection_id,
            'by', c.detail->>'by', 'record', {record_form("n.form")})
        || CASE c.kind WHEN 'merged' THEN jsonb_build_object('merged_into', r.to_id)
                       WHEN 'updated' THEN jsonb_build_object('changed', coalesce(f.changed, '{{}}')) ELSE '{{}}' END
        || CASE w.type WHEN 'opportunity.stage_changed' THEN jsonb_build_object(
               'old_stage', jsonb_build_object('id', f.changed->'stage_id'->'old', 'name', old_stage.name),
               'new_stage', jsonb_build_object('id', f.changed->'stage_id'->'new', 'name', new_stage.name)) ELSE '{{}}' END
    {{source}}
    LEFT JOIN {{table}} h ON h.tenant_id = :t AND h.id = c.entity_id
    LEFT JOIN tombstone d ON d.tenant_id = :t AND d.entity = c.entity AND d.entity_id = c.entity_id
    CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(h), d.snapshot) AS form) n
    LEFT JOIN redirect r ON r.tenant_id = :t AND r.entity = c.entity AND r.from_id = c.entity_id
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(x.field, jsonb_build_object(
            'old', {_shown("x.field", "x.old")}, 'new', {_shown("x.field", "x.new")})) AS changed FROM field_history x
        WHERE c.kind = 'updated' AND x.tenant_id = :t AND x.at = c.at AND x.entity_id = c.entity_id AND x.entity = c.entity
          AND x.version = c.version) f ON true
    LEFT JOIN crm_stage old_stage ON w.type = 'opportunity.stage_changed' AND old_stage.tenant_id = :t
        AND old_stage.id = CAST(f.changed->'stage_id'->>'old' AS uuid)
    LEFT JOIN crm_stage new_stage ON w.type = 'opportunity.stage_changed' AND new_stage.tenant_id = :t
        AND new_stage.id = CAST(f.changed->'stage_id'->>'new' AS uuid)
    ON CONFLICT (tenant_id, id) DO NOTHING"""

_BULK = """
    INSERT INTO event (tenant_id, id, type, occurred_at, subject, emitted, data)
    SELECT CAST(:t AS uuid), w.id, w.type, c.at, CAST(c.detail->>'run_id' AS uuid), false,
        jsonb_build_object('entity', c.entity, 'run_id', c.detail->'run_id', 'object', c.detail->'object',
            'rows', c.detail->'rows', 'connection_id', c.connection_id)
    {source}
    ON CONFLICT (tenant_id, id) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event to make of a change. One id for one event, however often it is made."""

    id: UUID
    type: str
    change: Change


def make(conn: Connection, wanted: Sequence[Wanted]) -> None:
    """Write the events, each with what it says; those that stand already stay as they are."""
    for (entity, bulk), group in _grouped(wanted):
        statement = _BULK if bulk else _ONE.replace("{table}", hub_table(entity))
        conn.execute(
            text(statement.replace("{source}", _SOURCE)),
            ({} if bulk else _of(entity))
            | {
                "t": current_tenant(conn),
                "ids": [w.id for w in group],
                "types": [w.type for w in group],
                "changes": [w.change.id for w in group],
                "ats": [w.change.at for w in group],
            },
        )


def _grouped(wanted: Sequence[Wanted]) -> Iterator[tuple[tuple[str, bool], list[Wanted]]]:
    def key(w: Wanted) -> tuple[str, bool]:
        return w.change.entity, w.change.kind == "bulk"

    for name, group in groupby(sorted(wanted, key=key), key):
        yield name, list(group)


_EACH = f"""
    INSERT INTO event (tenant_id, id, type, occurred_at, subject, emitted, data)
    SELECT CAST(:t AS uuid), CAST(md5(CAST(CAST(:r AS uuid) AS text) || CAST(h.id AS text)) AS uuid),
        CAST(:entity AS text) || '.created', h.created_at, h.id, false,
        jsonb_build_object('entity', CAST(:entity AS text), 'id', h.id, 'version', 1, 'connection_id', l.connection_id,
            'by', NULL, 'record', {record_form("n.form")})
    FROM unnest(CAST(:vendor_ids AS text[])) AS u(vendor_id)
    JOIN link l ON l.tenant_id = :t AND l.run_id = :r AND l.vendor_object = :o AND l.vendor_id = u.vendor_id
    JOIN {{table}} h ON h.tenant_id = :t AND h.id = l.entity_id
    CROSS JOIN LATERAL (SELECT to_jsonb(h) AS form) n
    ON CONFLICT (tenant_id, id) DO NOTHING"""


def make_created(conn: Connection, run_id: UUID, object_name: str, entity: str, vendor_ids: Sequence[str]) -> None:
    """Write an event for each record that a run created from these vendor records and that still stands."""
    conn.execute(
        text(_EACH.replace("{table}", hub_table(entity))),
        {"t": current_tenant(conn), "r": run_id, "o": object_name, "vendor_ids": list(vendor_ids), **_of(entity)},
    )


def bodies(conn: Connection, event_ids: Sequence[UUID]) -> dict[UUID, tuple[str, str]]:
    """The type and the JSON text of events, as they are sent, by id."""
    rows: Any = conn.execute(
        text("""
        SELECT id, type, CAST(jsonb_build_object('id', id, 'type', type, 'version', type_version, 'tenant', tenant_id,
            'occurred_at', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'data', data) AS text)
        FROM event WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[]))"""),
        {"t": current_tenant(conn), "ids": list(event_ids)},
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def records(conn: Connection, entity: str, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Records that stand, as JSON text in the form of the API, by id."""
    rows = conn.execute(
        text(f"""
        SELECT h.id, CAST({record_form("n.form")} AS text) FROM {hub_table(entity)} h
        CROSS JOIN LATERAL (SELECT to_jsonb(h) AS form) n WHERE h.tenant_id = :t AND h.id = ANY(CAST(:ids AS uuid[]))"""),
        {"t": current_tenant(conn), "ids": list(ids), **_of(entity)},
    )
    return {row[0]: row[1] for row in rows}
