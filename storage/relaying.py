"""What the relay reads and writes: its place in the log, and deliveries, in the transaction that moves it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from storage import payloads
from storage.change_feed import Position
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class RelayPosition:
    """Where the relay stands: one window of transactions, and how far it came in each of the two logs."""

    low: int
    high: int
    change_seq: int
    event_seq: int

    @property
    def of_changes(self) -> Position:
        return Position(self.low, self.high, self.change_seq)

    @property
    def of_events(self) -> Position:
        return Position(self.low, self.high, self.event_seq)


@dataclass(frozen=True, slots=True)
class Due:
    """One event for one endpoint. ``traceparent``: the span that caused it, where that was traced."""

    subscription_id: UUID
    event_id: UUID
    subject: UUID | None
    traceparent: str | None = None


def take(conn: Connection) -> RelayPosition | None:
    """The tenant's place, held to the end of the transaction; None where nobody listens or another relay is at work."""
    row = conn.execute(
        text("""
        SELECT low, high, change_seq, event_seq FROM event_relay WHERE tenant_id = :t
            AND EXISTS (SELECT FROM webhook_subscription s WHERE s.tenant_id = :t) FOR UPDATE SKIP LOCKED"""),
        {"t": current_tenant(conn)},
    ).one_or_none()
    return None if row is None else RelayPosition(*row)


def move(conn: Connection, to: RelayPosition) -> None:
    """Note how far the relay has come."""
    conn.execute(
        text("""
        UPDATE event_relay SET low = :low, high = :high, change_seq = :change_seq, event_seq = :event_seq, updated_at = now()
        WHERE tenant_id = :t"""),
        {"t": current_tenant(conn), "low": to.low, "high": to.high}
        | {"change_seq": to.change_seq, "event_seq": to.event_seq},
    )


def deliver(conn: Connection, due: Sequence[Due], now: datetime) -> int:
    """Queue deliveries in this order; returns how many are new. What is queued for an endpoint is never queued twice."""
    if not due:
        return 0
    result = conn.execute(
        text("""
        INSERT INTO webhook_delivery (tenant_id, subscription_id, event_id, type, subject, due_at, traceparent)
        SELECT CAST(:t AS uuid), u.s, u.e, e.type, u.subject, :now, u.cause
        FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:events AS uuid[]), CAST(:subjects AS uuid[]), CAST(:causes AS text[]))
             WITH ORDINALITY AS u(s, e, subject, cause, n)
        JOIN event e ON e.tenant_id = :t AND e.id = u.e
        ORDER BY u.n ON CONFLICT (tenant_id, subscription_id, event_id) DO NOTHING"""),
        {"t": current_tenant(conn), "now": now, "subscriptions": [d.subscription_id for d in due]}
        | {"events": [d.event_id for d in due], "subjects": [d.subject for d in due]}
        | {"causes": [d.traceparent for d in due]},
    )
    return int(result.rowcount)


def has_work(conn: Connection, now: datetime) -> bool:
    """Whether somebody listens and something new could be told or sent."""
    return bool(
        conn.scalar(
            text("""
            SELECT EXISTS (SELECT FROM webhook_subscription s WHERE s.tenant_id = :t) AND (
                EXISTS (SELECT FROM event_relay r WHERE r.tenant_id = :t AND (
                    EXISTS (SELECT FROM change c WHERE c.tenant_id = :t AND c.xid >= r.low
                        AND NOT (c.xid < r.high AND c.seq <= r.change_seq)
                        AND c.xid < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint))
                    OR EXISTS (SELECT FROM event e WHERE e.tenant_id = :t AND e.emitted AND e.xid >= r.low
                        AND NOT (e.xid < r.high AND e.seq <= r.event_seq)
                        AND e.xid < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint))))
                OR EXISTS (SELECT FROM webhook_bulk b WHERE b.tenant_id = :t AND b.due_at <= :now)
                OR EXISTS (SELECT FROM webhook_subscription s WHERE s.tenant_id = :t AND s.status = 'active'
                    AND coalesce(s.paused_until <= :now, true) AND EXISTS (
                        SELECT FROM webhook_delivery d WHERE d.tenant_id = :t AND d.subscription_id = s.id
                        AND d.status = 'pending' AND d.due_at <= :now AND coalesce(d.lease_until <= :now, true))))"""),
            {"t": current_tenant(conn), "now": now},
        )
    )


# ---------------------------------------------------------------- bulk loads, one by one

SETTLES_WITHIN = timedelta(seconds=30)
"""How long a bulk load must have been quiet before its records are listed: each listing begins at its beginning."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk load whose records an endpoint wants one by one."""

    subscription_id: UUID
    run_id: UUID
    object: str
    entity: str


def expand_later(conn: Connection, wanted: Sequence[Bulk], now: datetime) -> None:
    """Have the records of bulk loads told one by one. What was told already is not told again."""
    for bulk in dict.fromkeys(wanted):
        conn.execute(
            text("""
            INSERT INTO webhook_bulk AS b (tenant_id, subscription_id, run_id, object, entity, due_at)
            VALUES (:t, :s, :r, :o, :entity, :due)
            ON CONFLICT (tenant_id, subscription_id, run_id, object) DO UPDATE
                SET again = b.after <> '', due_at = CASE WHEN b.after = '' THEN excluded.due_at ELSE b.due_at END"""),
            {"t": current_tenant(conn), "s": bulk.subscription_id, "r": bulk.run_id, "o": bulk.object}
            | {"entity": bulk.entity, "due": now + SETTLES_WITHIN},
        )


def expand(conn: Connection, now: datetime, limit: int) -> int:
    """Tell the next records of one bulk load, in the order of vendor ids; returns how many were looked at."""
    tenant = current_tenant(conn)
    row = conn.execute(
        text("""
        SELECT subscription_id, run_id, object, entity, after, again FROM webhook_bulk
        WHERE tenant_id = :t AND due_at <= :now ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED"""),
        {"t": tenant, "now": now},
    ).one_or_none()
    if row is None:
        return 0
    found = conn.execute(
        text("""
        SELECT l.vendor_id, l.entity_id,
            CAST(md5(CAST(CAST(:r AS uuid) AS text) || CAST(l.entity_id AS text)) AS uuid) AS event_id
        FROM link l WHERE l.tenant_id = :t AND l.run_id = :r AND l.vendor_object = :o AND l.origin = 'created'
            AND l.entity = :entity AND l.vendor_id > :after ORDER BY l.vendor_id LIMIT :n"""),
        {"t": tenant, "r": row.run_id, "o": row.object, "entity": row.entity, "after": row.after, "n": limit},
    ).all()
    payloads.make_created(conn, row.run_id, row.object, row.entity, [f.vendor_id for f in found])
    made = set(
        conn.scalars(
            text("SELECT id FROM event WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[]))"),
            {"t": tenant, "ids": [f.event_id for f in found]},
        )
    )
    due = [Due(row.subscription_id, f.event_id, f.entity_id) for f in found if f.event_id in made]
    deliver(conn, due, now)
    _move_bulk(conn, row, found[-1].vendor_id if len(found) == limit else None, now)
    return len(found)


def _move_bulk(conn: Connection, row: object, after: str | None, now: datetime) -> None:
    """Go on behind ``after``; at the end (None) begin again where more was loaded meanwhile, or be done."""
    key = {name: getattr(row, name) for name in ("subscription_id", "run_id", "object")} | {"t": current_tenant(conn)}
    this = "tenant_id = :t AND subscription_id = :subscription_id AND run_id = :run_id AND object = :object"
    if after is not None:
        conn.execute(text(f"UPDATE webhook_bulk SET after = :after WHERE {this}"), key | {"after": after})
    elif getattr(row, "again", False):
        conn.execute(
            text(f"UPDATE webhook_bulk SET after = '', again = false, due_at = :due WHERE {this}"),
            key | {"due": now + SETTLES_WITHIN},
        )
    else:
        conn.execute(text(f"DELETE FROM webhook_bulk WHERE {this}"), key)
