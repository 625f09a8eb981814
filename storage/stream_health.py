"""How streams stand: what they have done, what waits, what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from domain.errors import ConfigurationError

COUNTED_MOST = 10_000
"""Counts stop there: nobody reads more digits, and counting further would cost more than the page."""

_ITS = "o.tenant_id = s.tenant_id AND o.connection_id = s.connection_id AND o.object = s.object"


def _count(table: str, condition: str = "true") -> str:
    return f"(SELECT count(*) FROM (SELECT FROM {table} o WHERE {_ITS} AND {condition} LIMIT {COUNTED_MOST}) n)"


_HEALTH = f"""
SELECT s.connection_id, s.object, s.entity, s.status, s.reason, s.counts, s.settings, s.pushes, s.verified_at, s.polled_at,
       s.compare_at, s.poll_asked_at AS asked_at, s.not_before, s.failures, s.created_at, s.resync IS NOT NULL AS comparing,
       coalesce(s.lease_until > now(), false) AS running,
       {_count("push_work")} AS to_send, {_count("sync_notice")} AS to_read,
       {_count("conflict", "o.status = 'open'")} AS conflicts, {_count("dead_letter", "o.status = 'open'")} AS dead_letters
FROM stream s WHERE s.entity <> '' AND """


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """One stream. ``counts``: what became of records so far; ``to_send``, ``to_read``: what waits (at most `COUNTED_MOST`).

    ``verified_at``: every change up to then has been seen; ``polled_at``: when the last whole poll began.
    """

    connection_id: UUID
    object: str
    entity: str
    status: str
    reason: Mapping[str, Any] | None
    counts: Mapping[str, int]
    settings: Mapping[str, Any]
    pushes: bool
    verified_at: datetime | None
    polled_at: datetime | None
    compare_at: datetime | None
    asked_at: datetime | None
    not_before: datetime | None
    failures: int
    created_at: datetime
    comparing: bool
    running: bool
    to_send: int
    to_read: int
    conflicts: int
    dead_letters: int


def page(
    conn: Connection, *, after: tuple[UUID, str] | None, limit: int, connection_id: UUID | None = None
) -> list[StreamHealth]:
    """The tenant's streams, or one connection's, by connection and object, after the one named."""
    given = {"c": after and after[0], "o": after and after[1], "only": connection_id, "limit": limit}
    rows = conn.execute(
        text(f"""{_HEALTH} (CAST(:c AS uuid) IS NULL OR (s.connection_id, s.object) > (CAST(:c AS uuid), CAST(:o AS text)))
        AND (CAST(:only AS uuid) IS NULL OR s.connection_id = :only) ORDER BY s.connection_id, s.object LIMIT :limit"""),
        given,
    )
    return [_health(row) for row in rows]


def get(conn: Connection, connection_id: UUID, object_name: str, *, lock: bool = False) -> StreamHealth:
    """The stream of an object. Raises ConfigurationError."""
    statement = text(f"{_HEALTH} s.connection_id = :c AND s.object = :o {'FOR UPDATE OF s' if lock else ''}")
    row = conn.execute(statement, {"c": connection_id, "o": object_name}).one_or_none()
    if row is None:
        raise ConfigurationError(
            "This object is not kept in step.", remedy="Add it as a stream of the connection.", code="no_such_stream"
        )
    return _health(row)


def _health(row: Row[Any]) -> StreamHealth:
    return StreamHealth(**row._mapping)
