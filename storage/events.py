"""Events that are no record changes: written in the transaction of what they tell of, by whoever does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.ids import new_id
from storage.change_feed import Position, window
from storage.sync.values import dumps
from storage.tenancy import current_tenant

COALESCED_FOR = "1 hour"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``data``: JSON as the catalogue of events describes it, without secrets.

    ``subject``: the record or thing that it is about; deliveries about one subject keep their order. ``cause``: events of one
    type and cause are told once an hour, so that ten thousand failures of one kind are one event.
    """

    type: str
    data: Mapping[str, Any]
    subject: UUID | None = None
    cause: str | None = None
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event as the relay finds it."""

    id: UUID
    type: str
    subject: UUID | None
    cause: str | None
    seq: int
    xid: int
    traceparent: str | None = None


def emit(conn: Connection, *events: Event) -> None:
    """Write events in the caller's transaction: they are told exactly if it commits."""
    _write(conn, events, emitted=True)


def emit_unheard(conn: Connection, event: Event) -> None:
    """Write an event that the relay passes over: the caller queues its deliveries."""
    _write(conn, [event], emitted=False)


def _write(conn: Connection, events: Sequence[Event], *, emitted: bool) -> None:
    if not events:
        return
    rows = [{"id": e.id, "type": e.type, "data": e.data, "subject": e.subject, "cause": e.cause} for e in events]
    conn.execute(
        text("""
        INSERT INTO event (tenant_id, id, type, subject, cause, data, emitted)
        SELECT CAST(:t AS uuid), r.id, r.type, r.subject, r.cause, r.data, :emitted
        FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb))
             AS (id uuid, type text, subject uuid, cause text, data jsonb)) WITH ORDINALITY AS r(id, type, subject, cause, data, n)
        ORDER BY r.n"""),
        {"t": current_tenant(conn), "rows": dumps(rows), "emitted": emitted},
    )


def emitted(conn: Connection, position: Position, limit: int) -> list[Emitted]:
    """The next events of the position's window (see `storage.change_feed`)."""
    parameters = {"t": current_tenant(conn), "low": position.low, "high": position.high, "seq": position.seq}
    rows = conn.execute(
        text(f"SELECT id, type, subject, cause, seq, xid, traceparent FROM event WHERE {window('event', 'emitted')}"),
        parameters | {"limit": limit},
    )
    return [Emitted(*row) for row in rows]


def not_told_lately(conn: Connection, events: Sequence[Emitted]) -> list[Emitted]:
    """Of the events, those without a cause, and the first of each cause that was not told within the hour.

    Notes them as told. For one caller at a time: the relay, which holds its row.
    """
    with_cause = [e for e in events if e.cause is not None]
    if not with_cause:
        return list(events)
    first = list({(e.type, e.cause): e for e in reversed(with_cause)}.values())
    fresh = set(
        conn.scalars(
            text(f"""
            UPDATE event e SET told = true
            WHERE e.tenant_id = :t AND e.id = ANY(CAST(:ids AS uuid[])) AND NOT EXISTS (
                SELECT FROM event x WHERE x.tenant_id = :t AND x.cause = e.cause AND x.type = e.type AND x.told
                AND x.occurred_at > e.occurred_at - interval '{COALESCED_FOR}')
            RETURNING e.id"""),
            {"t": current_tenant(conn), "ids": [e.id for e in first]},
        )
    )
    return [e for e in events if e.cause is None or e.id in fresh]


def purge(conn: Connection, before: datetime) -> int:
    """Delete events from before a moment that no delivery needs and that the relay has seen; returns how many."""
    result = conn.execute(
        text("""
        DELETE FROM event e WHERE e.tenant_id = :t AND e.occurred_at < :before
            AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.tenant_id = :t AND d.event_id = e.id)
            AND (NOT e.emitted
                 OR e.xid < coalesce((SELECT low FROM event_relay WHERE tenant_id = :t), 9223372036854775807))"""),
        {"t": current_tenant(conn), "before": before},
    )
    return int(result.rowcount)
