"""Lanes: rows of `stream`. One holder at a time, fenced by a generation that every commit names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from storage import connection_alerts, connections, stream_runs
from storage.statements import run
from storage.sync.values import dumps

STOPS_BY_ITSELF = ("reauth", "stopped", "braked")
"""Statuses of a lane that the engine sets: somebody has to do something."""

_THIS = "tenant_id = :t AND connection_id = :c AND object = :o"


@dataclass(frozen=True, slots=True)
class LaneKey:
    """One object of one connection."""

    tenant_id: UUID
    connection_id: UUID
    object: str

    @property
    def parameters(self) -> dict[str, Any]:
        return {"t": self.tenant_id, "c": self.connection_id, "o": self.object}


@dataclass(frozen=True, slots=True)
class StoredLane:
    """Where a lane stands."""

    cursor: dict[str, Any] | None
    resync: Mapping[str, Any] | None
    counts: Mapping[str, int]
    status: str
    verified_at: datetime | None
    deletes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a commit writes to its lane. ``cursor`` and ``deletes`` None leave them; ``counts`` are added."""

    counts: Mapping[str, int]
    cursor: Mapping[str, Any] | None = None
    resync: Mapping[str, Any] | None = None
    clears_resync: bool = False
    verified_at: datetime | None = None
    deletes: Mapping[str, int] | None = None


def take(conn: Connection, key: LaneKey, owner: str, now: datetime, until: datetime) -> int | None:
    """Take a free or expired lane, or one's own; returns its new generation, or None where someone else holds it.

    A lane that nobody set up (a replay of a migration's letters) gets a row without an entity, which is no stream. A pass whose
    lease ran out is noted as lost (see `storage.stream_runs`).
    """
    return conn.execute(
        text(f"""
        WITH lapsed AS ({stream_runs.HELD} AND s.lease_owner <> :owner AND s.lease_until <= :now),
        taken AS (
            INSERT INTO stream AS s (
                tenant_id, connection_id, object, entity, pushes, lease_owner, lease_since, lease_until, generation)
            VALUES (:t, :c, :o, '', false, :owner, :now, :until, 1)
            ON CONFLICT (tenant_id, connection_id, object) DO UPDATE
                SET lease_owner = :owner, lease_until = :until, generation = s.generation + 1,
                    lease_since = CASE WHEN s.lease_owner = :owner THEN s.lease_since ELSE :now END
                WHERE s.lease_owner IS NULL OR s.lease_owner = :owner OR s.lease_until <= :now RETURNING generation),
        lost AS (
            INSERT INTO stream_run (
                tenant_id, id, connection_id, object, kind, started_at, ended_at, counts, calls, complete, stopped)
            SELECT CAST(:t AS uuid), l.id, CAST(:c AS uuid), CAST(:o AS text), l.kind, l.started_at, l.until, '{{}}', 0, false,
                CAST(:lost AS text)
            FROM lapsed l, taken ON CONFLICT DO NOTHING)
        SELECT generation FROM taken"""),
        key.parameters | {"owner": owner, "now": now, "until": until, "lost": stream_runs.LOST},
    ).scalar_one_or_none()


def release(conn: Connection, key: LaneKey, generation: int) -> None:
    """Give a lane back, unless it was taken over."""
    conn.execute(
        text(f"UPDATE stream SET lease_owner = NULL, lease_until = NULL WHERE {_THIS} AND generation = :generation"),
        key.parameters | {"generation": generation},
    )


def hold(conn: Connection, key: LaneKey, generation: int) -> bool:
    """Lock the lane's row to the end of the transaction; False where the lease is not this generation's any more."""
    found = run(
        conn,
        f"SELECT 1 FROM stream WHERE {_THIS} AND generation = :generation AND lease_owner IS NOT NULL FOR NO KEY UPDATE",
        key.parameters | {"generation": generation},
    )
    return found.fetchone() is not None


def lock_connection(conn: Connection, key: LaneKey) -> None:
    """Let one commit at a time link records of the connection, so that none misses what waits for what it links."""
    _lock(conn, f"{key.tenant_id}/links/{key.connection_id}")


def lock_entity(conn: Connection, tenant_id: UUID, entity: str) -> None:
    """Let one commit at a time create records of the entity, so that two lanes never create the same thing."""
    _lock(conn, f"{tenant_id}/creates/{entity}")


def _lock(conn: Connection, name: str) -> None:
    run(conn, "SELECT pg_advisory_xact_lock(hashtextextended(CAST(:name AS text), 0))", {"name": name})


def advance(conn: Connection, key: LaneKey, progress: Progress) -> None:
    """Write what a commit did to its lane."""
    run(
        conn,
        f"""
        UPDATE stream SET
            counts = counts || (
                SELECT coalesce(jsonb_object_agg(
                    n.key, coalesce(CAST(counts->>n.key AS bigint), 0) + CAST(n.value AS bigint)), '{{}}')
                FROM jsonb_each_text(CAST(:counts AS jsonb)) n),
            cursor = coalesce(CAST(:cursor AS jsonb), cursor), deletes = coalesce(CAST(:deletes AS jsonb), deletes),
            resync = CASE WHEN CAST(:clears AS boolean) THEN NULL ELSE coalesce(CAST(:resync AS jsonb), resync) END,
            verified_at = coalesce(CAST(:verified_at AS timestamptz), verified_at), updated_at = now()
        WHERE {_THIS}""",
        key.parameters
        | {
            "counts": dumps(progress.counts),
            "cursor": None if progress.cursor is None else dumps(progress.cursor),
            "deletes": None if progress.deletes is None else dumps(progress.deletes),
            "resync": None if progress.resync is None else dumps(progress.resync),
            "clears": progress.clears_resync,
            "verified_at": progress.verified_at,
        },
    )


def state(conn: Connection, key: LaneKey) -> StoredLane | None:
    """Where a lane stands, or None where there is none."""
    row = conn.execute(
        text(f"""
        SELECT cursor, resync, counts, status, verified_at, deletes FROM stream WHERE {_THIS}"""),
        key.parameters,
    ).one_or_none()
    return None if row is None else StoredLane(*row)


def is_stream(conn: Connection, key: LaneKey) -> bool:
    """Whether somebody set the lane up; one that was only leased, for a replay, is no stream."""
    return (
        conn.execute(text(f"SELECT 1 FROM stream WHERE {_THIS} AND entity <> ''"), key.parameters).first() is not None
    )


def set_status(conn: Connection, key: LaneKey, status: str, reason: Mapping[str, Any] | None) -> None:
    """Set a lane's status with its reason. One that stops by itself is told to those who listen."""
    if status in STOPS_BY_ITSELF:
        connection_alerts.lock(conn, [key.connection_id])
    conn.execute(
        text(f"UPDATE stream SET status = :status, reason = CAST(:reason AS jsonb), updated_at = now() WHERE {_THIS}"),
        key.parameters | {"status": status, "reason": None if reason is None else dumps(reason)},
    )
    if status in STOPS_BY_ITSELF:
        if status == "reauth":
            connections.tell_reauth(conn, key.connection_id, key.object)
        connection_alerts.note_trouble(conn, key.connection_id)
