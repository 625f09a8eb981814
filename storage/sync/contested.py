"""Conflicts as the engine notes them: settled ones are told once, open ones stand until they are answered or moot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.ids import new_id
from storage import events
from storage.events import Event
from storage.statements import run, texts
from storage.sync.lanes import LaneKey
from storage.sync.values import decode_field, dumps, loads

_COLUMNS = (
    "vendor_id text, entity_id uuid, field text, rule text, winner text, hub_value jsonb, vendor_value jsonb, id uuid"
)


@dataclass(frozen=True, slots=True)
class NewConflict:
    """A conflict to store; values typed. ``winner`` None: open. ``revision``: of the link that it was decided against."""

    vendor_id: str
    entity_id: UUID
    field: str
    rule: str
    winner: str | None
    hub_value: Any
    vendor_value: Any
    revision: int = 0


def store(conn: Connection, key: LaneKey, entity: str, conflicts: Sequence[NewConflict]) -> None:
    """Store conflicts. An open one of the same record and field takes the new values; a settled one is told once."""
    opened = {(c.vendor_id, c.field): c for c in conflicts if c.winner is None}
    made = _insert(conn, key, entity, list(opened.values()), "open", """
        ON CONFLICT (tenant_id, connection_id, object, vendor_id, field) WHERE status = 'open' DO UPDATE SET
            hub_value = excluded.hub_value, vendor_value = excluded.vendor_value, rule = excluded.rule""")  # fmt: skip
    _tell(conn, key, entity, made)
    settled = [c for c in conflicts if c.winner is not None]
    _insert(conn, key, entity, settled, "settled", "ON CONFLICT (tenant_id, id) DO NOTHING")


def _insert(
    conn: Connection, key: LaneKey, entity: str, conflicts: Sequence[NewConflict], status: str, otherwise: str
) -> dict[UUID, NewConflict]:
    """Returns those that are new."""
    rows = {(new_id() if status == "open" else _identity(key, c)): c for c in conflicts}
    if not rows:
        return {}
    forms = [
        {"id": i, "vendor_id": c.vendor_id, "entity_id": c.entity_id, "field": c.field, "rule": c.rule}
        | {"winner": c.winner, "hub_value": c.hub_value, "vendor_value": c.vendor_value}
        for i, c in rows.items()
    ]
    made = conn.execute(
        text(f"""
        INSERT INTO conflict (tenant_id, id, connection_id, object, entity, entity_id, vendor_id, field, status, rule, winner,
                              hub_value, vendor_value, resolved_at)
        SELECT CAST(:t AS uuid), r.id, CAST(:c AS uuid), CAST(:o AS text), CAST(:entity AS text), r.entity_id, r.vendor_id, r.field,
               CAST(:status AS text), r.rule, r.winner, r.hub_value, r.vendor_value, CASE WHEN :status = 'settled' THEN now() END
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({_COLUMNS}) ORDER BY r.vendor_id, r.field {otherwise}
        RETURNING id"""),
        key.parameters | {"entity": entity, "status": status, "rows": dumps(forms)},
    )
    return {i: rows[i] for i in made.scalars() if i in rows}  # one that stood already keeps its own id


def _tell(conn: Connection, key: LaneKey, entity: str, opened: Mapping[UUID, NewConflict]) -> None:
    common = {"connection_id": key.connection_id, "object": key.object, "entity": entity}
    events.emit(
        conn,
        *(
            Event(
                "conflict.opened",
                {**common, "conflict_id": i, "entity_id": c.entity_id, "field": c.field, "rule": c.rule},
                subject=c.entity_id,
            )
            for i, c in opened.items()
        ),
    )


def _identity(key: LaneKey, conflict: NewConflict) -> UUID:
    """The same id for the same conflict, so that telling it twice tells it once."""
    parts = (
        str(key.connection_id),
        key.object,
        conflict.vendor_id,
        str(conflict.entity_id),
        conflict.field,
        conflict.rule,
    )
    values = dumps([conflict.winner, conflict.hub_value, conflict.vendor_value, conflict.revision])
    digest = hashlib.blake2b("\x1f".join((*parts, values)).encode(), digest_size=16).digest()
    return UUID(bytes=digest)


def open_on(
    conn: Connection, key: LaneKey, entity: str, vendor_ids: Iterable[str]
) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Open conflicts of vendor records: vendor id to field to (hub value, vendor value)."""
    wanted = sorted(set(vendor_ids))
    if not wanted:
        return {}
    rows = run(
        conn,
        """
        SELECT vendor_id, field, CAST(hub_value AS text), CAST(vendor_value AS text) FROM conflict
        WHERE tenant_id = :t AND connection_id = :c AND object = :o AND vendor_id = ANY(CAST(:ids AS text[]))
          AND status = 'open'""",
        key.parameters | {"ids": texts(wanted)},
    )
    result: dict[str, dict[str, tuple[Any, Any]]] = {}
    for vendor_id, field, hub, vendor in rows:
        pair = (decode_field(entity, field, loads(hub)), decode_field(entity, field, loads(vendor)))
        result.setdefault(vendor_id, {})[field] = pair
    return result


def close(conn: Connection, key: LaneKey, gone: Sequence[tuple[str, str]], resolution: str) -> None:
    """Close the open conflicts of (vendor id, field) that nobody contests any more."""
    if not gone:
        return
    conn.execute(
        text("""
        UPDATE conflict x SET status = 'resolved', resolved_at = now(), resolution = :resolution
        FROM unnest(CAST(:ids AS text[]), CAST(:fields AS text[])) AS u(vendor_id, field)
        WHERE x.tenant_id = :t AND x.connection_id = :c AND x.object = :o AND x.vendor_id = ANY(CAST(:ids AS text[]))
          AND x.vendor_id = u.vendor_id AND x.field = u.field AND x.status = 'open'"""),
        key.parameters | {"ids": [v for v, _ in gone], "fields": [f for _, f in gone], "resolution": resolution},
    )


def close_all(conn: Connection, key: LaneKey, vendor_ids: Sequence[str], resolution: str) -> None:
    """Close every open conflict of vendor records that are gone."""
    if not vendor_ids:
        return
    conn.execute(
        text("""
        UPDATE conflict SET status = 'resolved', resolved_at = now(), resolution = :resolution
        WHERE tenant_id = :t AND connection_id = :c AND object = :o AND vendor_id = ANY(CAST(:ids AS text[]))
          AND status = 'open'"""),
        key.parameters | {"ids": list(vendor_ids), "resolution": resolution},
    )
