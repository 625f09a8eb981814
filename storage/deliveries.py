"""Deliveries: claimed for a while by whoever sends them, their attempts written down, replayed, listed and purged.

A claim is a lease. Who is killed between sending and writing down has sent; when the lease is over somebody sends again, with the
same event id: at least once, and the receiver recognises the second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import payloads
from storage.storable import storable_text
from storage.tenancy import current_tenant

_THIS = "tenant_id = :t AND subscription_id = :s AND event_id = :e"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery to be made now. ``body``: the JSON text to send; ``attempts``: failed so far; ``lease`` proves the claim."""

    subscription_id: UUID
    event_id: UUID
    type: str
    body: str
    attempts: int
    lease: UUID
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. ``http_status`` None: no answer, then ``error`` says why in a word; ``excerpt``: how the answer began, redacted."""

    at: datetime
    ms: int
    http_status: int | None
    error: str | None
    excerpt: str | None


Place = tuple[datetime, int]
"""Where a delivery stands among those of its endpoint: when it was queued, and its ``seq``."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the telling of one event to one endpoint stands. ``status``: pending, delivered, failed, expired."""

    subscription_id: UUID
    event_id: UUID
    type: str
    seq: int
    subject: UUID | None
    status: str
    attempts: int
    due_at: datetime
    created_at: datetime
    finished_at: datetime | None
    last_status: int | None
    last_error: str | None


def claim(
    conn: Connection, subscription_id: UUID, *, ordered: bool, now: datetime, until: datetime, limit: int
) -> list[Claimed]:
    """Take deliveries that are due, the oldest first. Where order is kept, never one whose record has an earlier one waiting."""
    behind = """
        AND (d.subject IS NULL OR NOT EXISTS (
            SELECT FROM webhook_delivery x WHERE x.tenant_id = :t AND x.subscription_id = :s AND x.subject = d.subject
            AND x.status = 'pending' AND x.seq < d.seq))"""
    lease, key = new_id(), {"t": current_tenant(conn), "s": subscription_id}
    rows = conn.execute(
        text(f"""
        WITH due AS (
            SELECT d.event_id FROM webhook_delivery d
            WHERE d.tenant_id = :t AND d.subscription_id = :s AND d.status = 'pending' AND d.due_at <= :now
                AND coalesce(d.lease_until <= :now, true) {behind if ordered else ""}
            ORDER BY d.seq LIMIT :n FOR UPDATE SKIP LOCKED)
        UPDATE webhook_delivery d SET lease = :lease, lease_until = :until FROM due
        WHERE d.tenant_id = :t AND d.subscription_id = :s AND d.event_id = due.event_id
        RETURNING d.event_id, d.attempts, d.seq, d.traceparent"""),
        key | {"now": now, "until": until, "n": limit, "lease": lease},
    ).all()
    bodies = payloads.bodies(conn, [r.event_id for r in rows])
    return [
        Claimed(subscription_id, r.event_id, *bodies[r.event_id], r.attempts, lease, r.traceparent)
        for r in sorted(rows, key=lambda r: r.seq)
    ]


def give_back(conn: Connection, claimed: list[Claimed]) -> None:
    """Release claims that were not used."""
    for c in claimed:
        conn.execute(
            text(f"UPDATE webhook_delivery SET lease = NULL, lease_until = NULL WHERE {_THIS} AND lease = :lease"),
            _key(conn, c.subscription_id, c.event_id) | {"lease": c.lease},
        )


def note(conn: Connection, claimed: Claimed, attempt: Attempt) -> None:
    """Write an attempt down."""
    conn.execute(
        text("""
        INSERT INTO webhook_attempt (tenant_id, id, subscription_id, event_id, at, ms, http_status, error, excerpt)
        SELECT CAST(:t AS uuid), :id, d.subscription_id, d.event_id, :at, :ms, :http_status, :error, :excerpt
        FROM webhook_delivery d WHERE d.tenant_id = :t AND d.subscription_id = :s AND d.event_id = :e"""),
        _key(conn, claimed.subscription_id, claimed.event_id)
        | {"id": new_id(), "at": attempt.at, "ms": attempt.ms, "http_status": attempt.http_status}
        | {
            "error": attempt.error,
            "excerpt": None if attempt.excerpt is None else storable_text(attempt.excerpt),
        },
    )


def delivered(conn: Connection, claimed: Claimed, now: datetime) -> None:
    """The endpoint took it. True whoever holds the lease by now."""
    conn.execute(
        text(f"""
        UPDATE webhook_delivery SET status = 'delivered', finished_at = :now, lease = NULL, lease_until = NULL
        WHERE {_THIS} AND status = 'pending'"""),
        _key(conn, claimed.subscription_id, claimed.event_id) | {"now": now},
    )


def put_off(conn: Connection, claimed: Claimed, due_at: datetime | None, now: datetime) -> bool:
    """The endpoint did not take it: again at ``due_at``, or never (None). False where the lease is not this claim's any more."""
    result = conn.execute(
        text(f"""
        UPDATE webhook_delivery SET attempts = attempts + 1, lease = NULL, lease_until = NULL,
            status = CASE WHEN CAST(:due AS timestamptz) IS NULL THEN 'failed' ELSE status END,
            due_at = coalesce(:due, due_at),
            finished_at = CASE WHEN CAST(:due AS timestamptz) IS NULL THEN CAST(:now AS timestamptz) END
        WHERE {_THIS} AND status = 'pending' AND lease = :lease"""),
        _key(conn, claimed.subscription_id, claimed.event_id) | {"due": due_at, "now": now, "lease": claimed.lease},
    )
    return bool(result.rowcount)


# ---------------------------------------------------------------- looking


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries of an endpoint: those that agree with everything that is set. ``since``/``until``: when queued."""

    status: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    event_id: UUID | None = None

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """SQL over ``d`` (delivery), and its parameters."""
        parts: Mapping[str, str] = {
            "status": "d.status = :status",
            "type": "d.type = :type",
            "since": "d.created_at >= :since",
            "until": "d.created_at < :until",
            "event_id": "d.event_id = :event_id",
        }
        given = {name: getattr(self, name) for name in parts if getattr(self, name) is not None}
        return "".join(f" AND {parts[name]}" for name in given), given


def list_deliveries(
    conn: Connection, subscription_id: UUID, wanted: Filter, *, before: Place | None = None, limit: int = 100
) -> list[Delivery]:
    """Deliveries of an endpoint, the newest first; ``before``: the place of the last one that was seen."""
    conditions, given = wanted.conditions()
    if before is not None:
        conditions += " AND (d.created_at, d.seq) < (CAST(:before_at AS timestamptz), CAST(:before_seq AS bigint))"
        given |= {"before_at": before[0], "before_seq": before[1]}
    rows = conn.execute(
        text(f"""
        SELECT d.subscription_id, d.event_id, d.type, d.seq, d.subject, d.status, d.attempts, d.due_at, d.created_at,
            d.finished_at, a.http_status AS last_status, a.error AS last_error
        FROM webhook_delivery d
        LEFT JOIN LATERAL (
            SELECT http_status, error FROM webhook_attempt a WHERE a.tenant_id = :t AND a.subscription_id = d.subscription_id
            AND a.event_id = d.event_id ORDER BY a.at DESC, a.id DESC LIMIT 1) a ON true
        WHERE d.tenant_id = :t AND d.subscription_id = :s {conditions}
        ORDER BY d.created_at DESC, d.seq DESC LIMIT :n"""),
        {"t": current_tenant(conn), "s": subscription_id, "n": limit, **given},
    )
    return [Delivery(**row._mapping) for row in rows]


def get(conn: Connection, subscription_id: UUID, event_id: UUID) -> Delivery:
    """One delivery. Raises ConfigurationError."""
    found = list_deliveries(conn, subscription_id, Filter(event_id=event_id), limit=1)
    if not found:
        raise ConfigurationError(
            "There is no delivery of this event to this subscription.",
            remedy="List its deliveries; old ones are purged.",
            code="no_such_delivery",
        )
    return found[0]


def attempts(conn: Connection, subscription_id: UUID, event_id: UUID) -> list[Attempt]:
    """Every try of a delivery, the first one first."""
    rows = conn.execute(
        text(f"SELECT at, ms, http_status, error, excerpt FROM webhook_attempt WHERE {_THIS} ORDER BY at, id"),
        _key(conn, subscription_id, event_id),
    )
    return [Attempt(*row) for row in rows]


def counts(conn: Connection, subscription_id: UUID) -> dict[str, int]:
    """How many deliveries of an endpoint there are by status."""
    rows = conn.execute(
        text(
            "SELECT status, count(*) FROM webhook_delivery WHERE tenant_id = :t AND subscription_id = :s GROUP BY status"
        ),
        {"t": current_tenant(conn), "s": subscription_id},
    )
    return {row[0]: row[1] for row in rows}


# ---------------------------------------------------------------- again, and no more


def replay(conn: Connection, subscription_id: UUID, wanted: Filter, now: datetime) -> int:
    """Send again what is not on its way already, with the same event ids and in the old order; returns how many."""
    conditions, given = wanted.conditions()
    result = conn.execute(
        text(f"""
        UPDATE webhook_delivery u SET status = 'pending', due_at = :now, attempts = 0, finished_at = NULL, lease = NULL,
            lease_until = NULL
        FROM (SELECT d.event_id FROM webhook_delivery d
              WHERE d.tenant_id = :t AND d.subscription_id = :s AND d.status <> 'pending' {conditions}) x
        WHERE u.tenant_id = :t AND u.subscription_id = :s AND u.event_id = x.event_id AND u.status <> 'pending'"""),
        {"t": current_tenant(conn), "s": subscription_id, "now": now, **given},
    )
    return int(result.rowcount)


def expire(conn: Connection, before: datetime, now: datetime) -> int:
    """End deliveries that have been waiting since before a moment; returns how many."""
    result = conn.execute(
        text("""
        UPDATE webhook_delivery SET status = 'expired', finished_at = :now
        WHERE tenant_id = :t AND status = 'pending' AND created_at < :before AND coalesce(lease_until <= :now, true)"""),
        {"t": current_tenant(conn), "before": before, "now": now},
    )
    return int(result.rowcount)


def purge(conn: Connection, before: datetime) -> int:
    """Delete deliveries, with their attempts, that ended before a moment; returns how many."""
    result = conn.execute(
        text("DELETE FROM webhook_delivery WHERE tenant_id = :t AND status <> 'pending' AND finished_at < :before"),
        {"t": current_tenant(conn), "before": before},
    )
    return int(result.rowcount)


def allowance(next_at: datetime | None, now: datetime, rate_per_s: int, most: int) -> int:
    """How many may be sent now at a rate (virtual scheduling, with a burst of one second)."""
    behind = (now - next_at).total_seconds() if next_at is not None else 1.0
    return max(0, min(most, int((min(behind, 0.0) + 1.0) * rate_per_s)))


def next_after(next_at: datetime | None, now: datetime, rate_per_s: int, sent: int) -> datetime:
    """When the endpoint's next delivery would be due at its rate, after ``sent`` more."""
    return max(next_at or now, now) + timedelta(seconds=sent / rate_per_s)


def _key(conn: Connection, subscription_id: UUID, event_id: UUID) -> dict[str, Any]:
    return {"t": current_tenant(conn), "s": subscription_id, "e": event_id}
