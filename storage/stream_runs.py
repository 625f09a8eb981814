"""How passes over streams went, one row a pass. A pass that was killed, or found its lane taken, leaves none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from domain.ids import new_id
from storage.tables_sync import stream_run
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class StreamRun:
    """One pass. ``kind``: poll, notice, comparison or push; ``counts``: what became of records; ``calls``: made to the vendor.

    ``complete``: it did all there was to do; else it made room for others, or ``stopped`` says why it ended, ``code`` by which
    error.
    """

    connection_id: UUID
    object: str
    kind: str
    started_at: datetime
    ended_at: datetime
    counts: Mapping[str, int]
    calls: int
    complete: bool
    stopped: str | None = None
    code: str | None = None
    id: UUID | None = None


def add(conn: Connection, run: StreamRun) -> None:
    """Keep how a pass went."""
    values = {name: getattr(run, name) for name in StreamRun.__slots__} | {"id": run.id or new_id()}
    conn.execute(stream_run.insert().values(tenant_id=current_tenant(conn), **values | {"counts": dict(run.counts)}))


def page(
    conn: Connection, connection_id: UUID, object_name: str, *, before: UUID | None, limit: int
) -> list[StreamRun]:
    """The passes over a stream, the newest first, before the one with the id ``before``."""
    query = select(*(stream_run.c[name] for name in StreamRun.__slots__)).where(
        stream_run.c.connection_id == connection_id, stream_run.c.object == object_name
    )
    if before is not None:
        query = query.where(stream_run.c.id < before)
    rows = conn.execute(query.order_by(stream_run.c.id.desc()).limit(limit))
    return [StreamRun(**row._mapping) for row in rows]
