"""Disconnecting: credentials are forgotten at once; links, and records that only one connection brought, in batches."""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import Connection, select, text

from domain.errors import ConfigurationError
from storage import connections, dead_letters, inbound_endpoints, streams
from storage.dead_letters import Filter
from storage.sync import records
from storage.tables import credential, inbound_endpoint

BATCH = 500

_LEFT_BEHIND = (
    "stream", "stream_run", "push_work", "push_wait", "vendor_wait", "sync_intent", "sync_notice", "pending_reference",
    "mapping_version", "link", "conflict", "migration_plan",
)  # fmt: skip

KEPT = MappingProxyType({
    "field_history": "of records that stay", "change": "of records that stay", "custom_field": "of records that stay",
    "migration_run": "evidence of what was migrated", "dead_letter": "closed, until they are old enough",
    "consent": "evidence of what was agreed to", "stage_link": "of a run, with which it goes",
    "tombstone": "of records that can be restored",
})  # fmt: skip
"""Tables in which a connection that was removed may still be named, and why."""


def forget(conn: Connection, connection_id: UUID) -> None:
    """Delete the credentials and let every stream stand still. Links stay, so that connecting again goes on where it was.

    Raises ConfigurationError where there is no such connection.
    """
    connections.get(conn, connection_id, lock=True)
    conn.execute(credential.delete().where(credential.c.connection_id == connection_id))
    streams.hold(conn, connection_id, streams.DISCONNECTED)
    connections.update(conn, connection_id, status="disconnected", status_message=None)


def require_unused(conn: Connection, connection_id: UUID) -> None:
    """Raise ConfigurationError where objects of the connection are kept in step: they would stand still for good, in silence."""
    names = [s.object for s in streams.list_all(conn, connection_id)]
    if names:
        raise ConfigurationError(
            f"The connection keeps {', '.join(names)} in step.",
            remedy="Purge it with its streams and links (`syncline connections remove NAME --purge`; records stay), or remove its "
            "streams first with `syncline sync remove`.",
            code="connection_in_use",
        )


def end_work(conn: Connection, connection_id: UUID) -> None:
    """Remove the connection's lanes with all that waits on them: whoever works on one can write nothing more."""
    conn.execute(text("DELETE FROM stream WHERE connection_id = :c"), {"c": connection_id})
    conn.execute(text("DELETE FROM push_work WHERE connection_id = :c"), {"c": connection_id})


Place = tuple[str, str]
"""A vendor object and the id of a record of it."""


def remove_own_records(
    conn: Connection, tenant_id: UUID, connection_id: UUID, by: str, after: Place | None
) -> tuple[int, Place | None]:
    """Of a batch of links beyond ``after``, delete the records that this connection created and no other one is linked to.

    Each leaves a tombstone, from which it can be restored. Their links go with them. Returns how many records, and where the
    next batch begins; None at the end.
    """
    rows = conn.execute(
        text("""
        SELECT l.vendor_object, l.vendor_id, l.entity, l.entity_id, l.origin = 'created' AND NOT EXISTS (
            SELECT FROM link o WHERE o.entity_id = l.entity_id AND o.tenant_id = l.tenant_id AND o.entity = l.entity
            AND o.connection_id <> l.connection_id AND o.tombstoned_at IS NULL) AS own
        FROM link l WHERE l.connection_id = :c AND l.tombstoned_at IS NULL
        AND (CAST(:object AS text) IS NULL OR (l.vendor_object, l.vendor_id) > (CAST(:object AS text), CAST(:id AS text)))
        ORDER BY l.vendor_object, l.vendor_id LIMIT :batch"""),
        {"c": connection_id, "object": after and after[0], "id": after and after[1], "batch": BATCH},
    ).all()
    by_entity: dict[str, set[UUID]] = defaultdict(set)
    for row in rows:
        if row.own:
            by_entity[row.entity].add(row.entity_id)
    removed = 0
    for entity, ids in sorted(by_entity.items()):
        removed += records.delete_standing(conn, tenant_id, entity, ids, by)
        conn.execute(
            text("DELETE FROM link WHERE connection_id = :c AND entity = :e AND entity_id = ANY(CAST(:ids AS uuid[]))"),
            {"c": connection_id, "e": entity, "ids": sorted(ids)},
        )
    return removed, (rows[-1].vendor_object, rows[-1].vendor_id) if rows else None


def remove_links(conn: Connection, connection_id: UUID) -> int:
    """Remove a batch of links; returns how many. The records stay."""
    return int(
        conn.execute(
            text("""
            DELETE FROM link WHERE ctid = ANY(ARRAY(SELECT ctid FROM link WHERE connection_id = :c LIMIT :batch))
            AND connection_id = :c"""),
            {"c": connection_id, "batch": BATCH * 20},
        ).rowcount
    )


def remove(conn: Connection, connection_id: UUID, reason: str) -> None:
    """Remove the connection itself with everything that still names it as work. Open letters are closed with ``reason``."""
    for table in _LEFT_BEHIND:
        conn.execute(text(f"DELETE FROM {table} WHERE connection_id = :c"), {"c": connection_id})
    mine, standing = inbound_endpoint.c.connection_id == connection_id, inbound_endpoint.c.status != "removed"
    for endpoint in conn.scalars(select(inbound_endpoint.c.id).where(mine, standing)).all():
        inbound_endpoints.remove(conn, endpoint)
    conn.execute(inbound_endpoint.update().where(mine).values(connection_id=None))
    dead_letters.discard(conn, Filter(connection_id=connection_id), reason)
    connections.delete(conn, connection_id)
