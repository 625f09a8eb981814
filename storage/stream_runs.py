"""How passes over streams went, one row a pass, written before its lane is given back.

A pass is known by its lease from its beginning on: while it holds it, it is shown as running; once the lease ran out, as lost: its
process was killed, or cut off. Whoever takes the lane next writes that down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from domain.ids import new_id
from storage.tables_sync import stream_run
from storage.tenancy import current_tenant

LOST = "lost"

HELD = """
    SELECT CAST(s.lease_owner AS uuid) AS id, s.lease_since AS started_at, s.lease_until AS until,
        CASE s.hinted_as WHEN 'notice' THEN 'notice' WHEN 'backfill' THEN 'comparison' ELSE 'poll' END AS kind
    FROM stream s WHERE s.tenant_id = :t AND s.connection_id = :c AND s.object = :o AND s.lease_since IS NOT NULL
        AND s.lease_owner ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"""
"""The pass that holds a lane, or held it until its lease ran out. What it was for is known by what the workers were told."""

_UNDER_WAY = f"""
    SELECT h.*, h.until <= now() AS lost FROM ({HELD}) h
    WHERE NOT EXISTS (SELECT FROM stream_run r WHERE r.tenant_id = :t AND r.id = h.id)"""


@dataclass(frozen=True, slots=True)
class StreamRun:
    """One pass. ``kind``: poll, notice, comparison or push; ``counts``: what became of records; ``calls``: made to the vendor.

    ``complete``: it did all there was to do; else it made room for others, or ``stopped`` says why it ended, ``code`` by which
    error. ``ended_at`` None: it is running. Of one that was lost, nobody knows what it did: the records tell.
    """

    connection_id: UUID
    object: str
    kind: str
    started_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, int]
    calls: int
    complete: bool
    stopped: str | None = None
    code: str | None = None
    id: UUID | None = None

    @property
    def status(self) -> str:
        """running, lost, or ended."""
        return "running" if self.ended_at is None else LOST if self.stopped == LOST else "ended"


def add(conn: Connection, run: StreamRun) -> None:
    """Keep how a pass went; also of one that was taken for lost."""
    values = {name: getattr(run, name) for name in StreamRun.__slots__} | {"id": run.id or new_id()}
    values |= {"tenant_id": current_tenant(conn), "counts": dict(run.counts)}
    known = ("tenant_id", "id")
    told = {name: value for name, value in values.items() if name not in known}
    conn.execute(insert(stream_run).values(values).on_conflict_do_update(index_elements=known, set_=told))


def page(
    conn: Connection, connection_id: UUID, object_name: str, *, before: UUID | None, limit: int
) -> list[StreamRun]:
    """The passes over a stream, the newest first, before the one with the id ``before``; one under way, or just lost, included."""
    query = select(*(stream_run.c[name] for name in StreamRun.__slots__)).where(
        stream_run.c.connection_id == connection_id, stream_run.c.object == object_name
    )
    if before is not None:
        query = query.where(stream_run.c.id < before)
    rows = conn.execute(query.order_by(stream_run.c.id.desc()).limit(limit))
    found = [StreamRun(**row._mapping) for row in rows]
    now = _under_way(conn, connection_id, object_name)
    newest = [run for run in now if run.id is not None and (before is None or run.id < before)]
    return sorted([*newest, *found], key=lambda run: run.id or new_id(), reverse=True)[:limit]


def _under_way(conn: Connection, connection_id: UUID, object_name: str) -> list[StreamRun]:
    given = {"t": current_tenant(conn), "c": connection_id, "o": object_name}
    return [
        StreamRun(
            connection_id, object_name, row.kind, row.started_at, row.until if row.lost else None, {}, 0, complete=False,
            stopped=LOST if row.lost else None, id=row.id,
        )
        for row in conn.execute(text(_UNDER_WAY), given)
    ]  # fmt: skip
