"""Hub records that a vendor may have already, as what they were before: a contact that was a lead there."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES
from storage import bulk
from storage.sync.gathering import OF_HUB, hub_table
from storage.sync.lanes import LaneKey


def turned(conn: Connection, key: LaneKey, other: str, entity: str, ids: Iterable[UUID]) -> dict[UUID, str]:
    """Hub id to the vendor id of the record that turned into it: one of ``other``'s, which the lane itself has no live link to."""
    becomes, wanted = ENTITIES[entity].becomes, set(ids)
    if becomes is None or not wanted:
        return {}
    flag, into = bulk.quoted(becomes.flag), bulk.quoted(becomes.into)
    rows = conn.execute(
        text(f"""
        SELECT h.{into}, k.vendor_id FROM {hub_table(entity)} h JOIN LATERAL {OF_HUB.format("h.id")} k
          ON k.connection_id = :c AND k.vendor_object = :other AND k.tombstoned_at IS NULL
        WHERE h.tenant_id = :t AND h.{into} = ANY(CAST(:ids AS uuid[])) AND h.{flag}
          AND NOT EXISTS (SELECT FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o
                          AND l.vendor_id = k.vendor_id AND l.tombstoned_at IS NULL)
        ORDER BY k.created_at DESC, k.vendor_id DESC"""),
        key.parameters | {"other": other, "ids": bulk.uuids(wanted)},
    )
    return {row[0]: row[1] for row in rows}


_UNREAD = """
    SELECT DISTINCT u.id, s.connection_id, s.object
    FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL (
        SELECT * FROM link WHERE entity_id = u.id AND tenant_id = :t OFFSET 0) k
      ON k.connection_id <> :c AND k.tombstoned_at IS NULL
    JOIN stream s ON s.tenant_id = :t AND s.connection_id = k.connection_id AND s.entity = :entity AND s.status = 'idle'
      AND coalesce(s.settings->>'direction', 'both') <> 'out'
      AND (s.verified_at IS NULL OR s.verified_at <= k.created_at OR EXISTS (
          SELECT FROM sync_notice n WHERE n.tenant_id = :t AND n.connection_id = s.connection_id AND n.object = s.object
            AND n.at <= k.created_at))"""
"""The streams of an entity that have not been read since hub records came from their connections."""


def unread(conn: Connection, key: LaneKey, entity: str, ids: Iterable[UUID]) -> set[UUID]:
    """Hub records that came by another connection, whose records of ``entity`` were not read since. They are to be, soon."""
    wanted = set(ids)
    if not wanted:
        return set()
    parameters = key.parameters | {"entity": entity, "ids": bulk.uuids(wanted)}
    found = conn.execute(text(_UNREAD), parameters).all()
    if found:
        conn.execute(
            text(f"""
            UPDATE stream s SET poll_asked_at = clock_timestamp()
            FROM (SELECT DISTINCT connection_id, object FROM ({_UNREAD}) x) w
            WHERE s.tenant_id = :t AND s.connection_id = w.connection_id AND s.object = w.object
              AND (s.poll_asked_at IS NULL OR s.poll_asked_at <= s.polled_at)"""),
            parameters,
        )
    return {row[0] for row in found}
