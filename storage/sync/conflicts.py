"""Conflicts as people see them: listed, looked at, and answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.errors import ConfigurationError
from storage.sync import changing, gathering, records
from storage.sync.changing import Cause
from storage.sync.lanes import LaneKey
from storage.sync.values import CUSTOM, decode_field, dumps, from_text, loads
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class StoredConflict:
    """A conflict as it stands; values typed by their field. ``status``: open, settled, resolved."""

    id: UUID
    connection_id: UUID
    object: str
    entity: str
    entity_id: UUID
    vendor_id: str
    field: str
    status: str
    rule: str
    winner: str | None
    hub_value: Any
    vendor_value: Any
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    resolved_by: str | None


_SELECT = """
    SELECT id, connection_id, object, entity, entity_id, vendor_id, field, status, rule, winner, CAST(hub_value AS text),
           CAST(vendor_value AS text), opened_at, resolved_at, resolution, resolved_by FROM conflict"""


def list_conflicts(
    conn: Connection,
    *,
    status: str | None = "open",
    connection_id: UUID | None = None,
    entity_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[StoredConflict]:
    """Conflicts, the newest first. ``status`` None: whatever it is; ``before``: time and id of the last of the page before."""
    wanted: dict[str, Any] = {"status": status, "connection_id": connection_id, "entity_id": entity_id}
    conditions = " AND ".join(f"{name} = :{name}" for name, value in wanted.items() if value is not None)
    if before is not None:
        conditions += (" AND " if conditions else "") + "(opened_at, id) < (:opened_at, :before_id)"
        wanted |= {"opened_at": before[0], "before_id": before[1]}
    rows = conn.execute(
        text(f"{_SELECT} WHERE {conditions or 'true'} ORDER BY opened_at DESC, id DESC LIMIT :limit"),
        {name: value for name, value in wanted.items() if value is not None} | {"limit": limit},
    )
    return [_stored(row) for row in rows]


def get(conn: Connection, conflict_id: UUID, *, lock: bool = False) -> StoredConflict | None:
    """One conflict, locked to the end of the transaction where asked."""
    statement = f"{_SELECT} WHERE id = :id {'FOR UPDATE' if lock else ''}"
    row = conn.execute(text(statement), {"id": conflict_id}).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Any) -> StoredConflict:
    values = list(row)
    for place in (10, 11):
        values[place] = decode_field(values[3], values[6], loads(values[place]))
    return StoredConflict(*values)


def resolve(conn: Connection, conflict_id: UUID, *, side: str | None = None, value: Any = None, by: str) -> None:
    """Answer an open conflict: with the value of a ``side`` (hub or vendor), or else with ``value`` (typed, or as text).

    The hub takes it, the vendor's value counts as seen from then on, and whoever holds another value is sent this one. Raises
    ConfigurationError where there is no such open conflict, RecordRejectedError for a value that the field cannot have.
    """
    unlocked = get(conn, conflict_id)
    tenant_id = UUID(current_tenant(conn))
    if unlocked is not None:  # in the order in which the engine locks: the record before its conflicts
        gathering.lock_hubs(conn, tenant_id, unlocked.entity, [unlocked.entity_id])
    found = get(conn, conflict_id, lock=True)
    if found is None or found.status != "open":
        raise ConfigurationError(
            "There is no such open conflict.",
            remedy="`syncline conflicts list` shows those that wait.",
            code="no_such_conflict",
        )
    chosen = from_text(found.entity, found.field, value)
    if side is not None:
        chosen = found.hub_value if side == "hub" else found.vendor_value
    key = LaneKey(tenant_id, found.connection_id, found.object)
    _take_account(conn, key, found)
    _mark(conn, conflict_id, side, by)
    records.check(found.entity, {found.field: chosen})
    records.edit_as(
        conn, Cause(tenant_id, "hub", by=by), found.entity, found.entity_id, {found.field: chosen}, "resolved"
    )
    # This lane looks at it in any case: what its vendor holds may differ from what was chosen.
    changing.queue(conn, Cause(tenant_id, "hub", key), found.entity, (), [found.entity_id])


def _mark(conn: Connection, conflict_id: UUID, side: str | None, by: str) -> None:
    conn.execute(
        text("""
        UPDATE conflict SET status = 'resolved', winner = :winner, resolution = :resolution, resolved_by = :by, resolved_at = now()
        WHERE id = :id"""),
        {"id": conflict_id, "winner": side, "resolution": side or "value", "by": by},
    )


def _take_account(conn: Connection, key: LaneKey, found: StoredConflict) -> None:
    """Note the vendor's value in the link's base: from now on only a newer one is a change."""
    custom = found.field.startswith(CUSTOM)
    said = {found.field.removeprefix(CUSTOM): found.vendor_value}
    conn.execute(
        text(f"""
        WITH stands AS (
            SELECT l.vendor_id,
                   coalesce(l.base, to_jsonb(h) - CAST('{{tenant_id,id,created_at,updated_at,version}}' AS text[])) AS base
            FROM link l LEFT JOIN {gathering.hub_table(found.entity)} h ON h.tenant_id = :t AND h.id = l.entity_id
            WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.vendor_id = :v)
        UPDATE link l SET revision = l.revision + 1, updated_at = now(), base = coalesce(s.base, '{{}}') || CAST(:plain AS jsonb)
            || jsonb_build_object('custom_fields', coalesce(s.base->'custom_fields', '{{}}') || CAST(:custom AS jsonb))
        FROM stands s
        WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.vendor_id = s.vendor_id"""),
        key.parameters
        | {"v": found.vendor_id, "custom": dumps(said if custom else {}), "plain": dumps({} if custom else said)},
    )
