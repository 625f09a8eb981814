"""The inbox: deliveries that were believed, what became of each, and the account of all of them.

received = pending + done, and done = the sum over outcomes, those included that were deleted by age: `ledger` proves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Connection, Text, cast, literal, select, text

from domain.errors import ConfigurationError
from storage.tables_inbound import inbox
from storage.tenancy import current_tenant

TOLD_FOR = timedelta(seconds=30)
"""A hint that nobody followed for so long is taken for lost."""
_PURGED_AT_ONCE = 2_000
_READ_AT_ONCE = 500
_FORGOTTEN = "erased:"
"""What the keys begin with of deliveries of which nothing is kept: they cannot be processed once more."""


class Became(StrEnum):
    """What a delivery, or one of its events, became. A delivery counts as the first of its events' in this order."""

    DEAD = "dead"  # a dead letter says why
    UNROUTABLE = "unroutable"  # a vendor's notice of an account that nobody connected
    APPLIED = "applied"  # posted data changed the hub, or said what it knew
    NOTED = "noted"  # a vendor's notice that a connection will follow
    SUPERSEDED = "superseded"  # older than what is known
    KEPT = "kept"  # posted data that no mapping turns into a record
    IGNORED = "ignored"  # leads to nothing, for the reason noted


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery to process. ``headers``: those that its scheme needs."""

    id: UUID
    dedupe_key: str
    occurred_at: datetime | None
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Done:
    """How a delivery ended: its events by outcome, and a reason where it needs one."""

    id: UUID
    counts: Mapping[Became, int]
    reason: str | None = None

    @property
    def outcome(self) -> Became:
        return next((kind for kind in Became if self.counts.get(kind)), Became.IGNORED)


@dataclass(frozen=True, slots=True)
class Entry:
    """A delivery as people see it, without its payload."""

    id: UUID
    endpoint_id: UUID
    dedupe_key: str
    occurred_at: datetime | None
    received_at: datetime
    status: str
    attempts: int
    next_at: datetime | None
    outcome: str | None
    reason: str | None
    counts: Mapping[str, int] | None
    processed_at: datetime | None

    @property
    def forgotten(self) -> bool:
        """Whether nothing is kept of it, because it was about a person who was erased."""
        return self.dedupe_key == f"{_FORGOTTEN}{self.id}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Deliveries of an endpoint, or of all: ``by_outcome`` counts those deleted by age, too."""

    received: int
    pending: int
    by_outcome: Mapping[str, int] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        return self.received == self.pending + sum(self.by_outcome.values())


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a delivery, for those who look whom it names."""

    id: UUID
    endpoint_id: UUID
    pending: bool
    headers: Mapping[str, str]
    body: bytes


def place_of(delivery_id: UUID) -> str:
    """What dead letters call the place of a delivery."""
    return f"inbox {delivery_id}"


# ---------------------------------------------------------------- work


def causes(conn: Connection, endpoint_id: UUID, now: datetime, most: int) -> list[str]:
    """The receipts, as W3C trace contexts, of deliveries that are to be processed at an endpoint now."""
    return list(
        conn.scalars(
            select(inbox.c.traceparent)
            .where(
                inbox.c.endpoint_id == endpoint_id, inbox.c.status == "pending", inbox.c.traceparent.is_not(None),
                (inbox.c.next_at.is_(None)) | (inbox.c.next_at <= now),
            )
            .order_by(inbox.c.id)
            .limit(most)
        )
    )  # fmt: skip


def tell_due(conn: Connection, now: datetime) -> list[UUID]:
    """Endpoints with something to process that nobody was told of lately; they count as told from now on."""
    return list(
        conn.scalars(
            text("""
            UPDATE inbound_endpoint SET hinted_at = :now WHERE tenant_id = :t AND id IN (
                SELECT e.id FROM inbound_endpoint e WHERE e.tenant_id = :t AND e.status <> 'paused'
                  AND (e.hinted_at IS NULL OR e.hinted_at < :lost) AND EXISTS (
                    SELECT FROM inbox i WHERE i.tenant_id = :t AND i.endpoint_id = e.id AND i.status = 'pending'
                      AND (i.next_at IS NULL OR i.next_at <= :now))
                FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id"""),
            {"t": current_tenant(conn), "now": now, "lost": now - TOLD_FOR},
        )
    )


def hold(conn: Connection, endpoint_id: UUID) -> bool:
    """Be the one who processes an endpoint, to the end of the transaction; False where another does, or it is paused."""
    held = conn.execute(
        text("""
        UPDATE inbound_endpoint SET hinted_at = NULL WHERE tenant_id = :t AND id IN (
            SELECT id FROM inbound_endpoint WHERE tenant_id = :t AND id = :e AND status <> 'paused'
            FOR NO KEY UPDATE SKIP LOCKED)"""),
        {"t": current_tenant(conn), "e": endpoint_id},
    )
    return held.rowcount == 1


def take(conn: Connection, endpoint_id: UUID, now: datetime, limit: int) -> list[Received]:
    """The oldest deliveries of an endpoint that are due. Whoever takes them holds the endpoint."""
    rows = conn.execute(
        text("""
        SELECT id, dedupe_key, occurred_at, coalesce(headers, '{}') AS headers, body, received_at, attempts FROM inbox
        WHERE tenant_id = :t AND endpoint_id = :e AND status = 'pending' AND (next_at IS NULL OR next_at <= :now)
        ORDER BY id LIMIT :limit"""),
        {"t": current_tenant(conn), "e": endpoint_id, "now": now, "limit": limit},
    )
    return [Received(**{**row._mapping, "body": bytes(row.body)}) for row in rows]


def finish(conn: Connection, done: Sequence[Done], now: datetime) -> None:
    """Note how deliveries ended."""
    if not done:
        return
    conn.execute(
        text("""
        UPDATE inbox i SET status = 'done', outcome = d.outcome, reason = d.reason, counts = CAST(d.counts AS jsonb),
            processed_at = :now, attempts = i.attempts + 1, next_at = NULL
        FROM unnest(CAST(:ids AS uuid[]), CAST(:outcomes AS text[]), CAST(:reasons AS text[]), CAST(:counts AS text[]))
            AS d(id, outcome, reason, counts)
        WHERE i.tenant_id = :t AND i.id = d.id"""),
        {
            "t": current_tenant(conn),
            "now": now,
            "ids": [d.id for d in done],
            "outcomes": [d.outcome.value for d in done],
            "reasons": [d.reason for d in done],
            "counts": [orjson.dumps({str(k): v for k, v in d.counts.items() if v}).decode() for d in done],
        },
    )


def forget(conn: Connection, delivery_ids: Sequence[UUID]) -> None:
    """Keep nothing of what deliveries said: they are about a person who was erased. What waits is processed no more.

    Keys of theirs may name the person, too: whoever posts the same once more is refused anew.
    """
    given = {"t": current_tenant(conn), "ids": list(delivery_ids), "said": "erased", "forgotten": _FORGOTTEN}
    conn.execute(
        text("""
        UPDATE inbox SET body = '', headers = NULL, dedupe_key = :forgotten || id, status = 'done', next_at = NULL, reason = :said,
            outcome = coalesce(outcome, 'ignored'), processed_at = coalesce(processed_at, now())
        WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[]))"""),
        given,
    )
    conn.execute(
        text("""
        DELETE FROM posted_event WHERE tenant_id = :t AND inbox_id = ANY(CAST(:ids AS uuid[]))"""),
        {name: given[name] for name in ("t", "ids")},
    )


def kept(conn: Connection, delivery_ids: Sequence[UUID]) -> list[Kept]:
    """What is kept of these deliveries."""
    return [_kept(row) for row in conn.execute(_KEPT.where(inbox.c.id.in_(list(delivery_ids))))]


def kept_of(conn: Connection, endpoint_id: UUID) -> Iterator[Kept]:
    """What is kept of all deliveries of an endpoint, some at a time."""
    query = _KEPT.where(inbox.c.endpoint_id == endpoint_id)
    yield from (_kept(row) for row in conn.execute(query, execution_options={"yield_per": _READ_AT_ONCE}))


_KEPT = select(inbox.c.id, inbox.c.endpoint_id, inbox.c.status, inbox.c.headers, inbox.c.body).where(
    inbox.c.body != b""
)


def _kept(row: Any) -> Kept:
    return Kept(row.id, row.endpoint_id, row.status == "pending", row.headers or {}, bytes(row.body))


def hold_back(conn: Connection, delivery_id: UUID, until: datetime) -> None:
    """Try a delivery again at a later moment."""
    conn.execute(inbox.update().where(inbox.c.id == delivery_id).values(attempts=inbox.c.attempts + 1, next_at=until))


def first_time(conn: Connection, endpoint_id: UUID, dedupe_key: str, delivery_id: UUID) -> bool:
    """Note an event of a batch as followed; False where it was, in whatever delivery."""
    noted = conn.execute(
        text("""
        INSERT INTO posted_event (tenant_id, endpoint_id, dedupe_key, inbox_id) VALUES (:t, :e, :k, :i)
        ON CONFLICT DO NOTHING"""),
        {"t": current_tenant(conn), "e": endpoint_id, "k": dedupe_key, "i": delivery_id},
    )
    return noted.rowcount == 1


def advance_records(
    conn: Connection, endpoint_id: UUID, entity: str, moments: Mapping[UUID, datetime]
) -> frozenset[UUID]:
    """Note up to which moment an endpoint's posts have brought records; returns those that they had not brought further."""
    if not moments:
        return frozenset()
    noted = conn.scalars(
        text("""
        INSERT INTO posted_record AS p (tenant_id, endpoint_id, entity, entity_id, occurred_at)
        SELECT :t, :e, :entity, n.id, n.at FROM unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) AS n(id, at)
        ORDER BY n.id
        ON CONFLICT (tenant_id, endpoint_id, entity_id) DO UPDATE SET occurred_at = excluded.occurred_at, updated_at = now()
            WHERE p.occurred_at <= excluded.occurred_at
        RETURNING entity_id"""),
        {"t": current_tenant(conn), "e": endpoint_id, "entity": entity}
        | {"ids": list(moments), "moments": list(moments.values())},
    )
    return frozenset(noted)


# ---------------------------------------------------------------- people


def entries(
    conn: Connection,
    *,
    endpoint_id: UUID | None = None,
    outcome: str | None = None,
    status: str | None = None,
    before: UUID | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Deliveries, the newest first; ``before`` the id of the last one of the page before."""
    query = select(*(inbox.c[name] for name in Entry.__slots__)).order_by(inbox.c.id.desc()).limit(limit)
    for column, wanted in ((inbox.c.endpoint_id, endpoint_id), (inbox.c.outcome, outcome), (inbox.c.status, status)):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(inbox.c.id < before)
    return [Entry(**row._mapping) for row in conn.execute(query)]


def get(conn: Connection, delivery_id: UUID) -> Entry:
    """One delivery. Raises ConfigurationError."""
    row = conn.execute(
        select(*(inbox.c[name] for name in Entry.__slots__)).where(inbox.c.id == delivery_id)
    ).one_or_none()
    if row is None:
        raise _missing()
    return Entry(**row._mapping)


def payload(conn: Connection, delivery_id: UUID) -> tuple[Mapping[str, str], bytes]:
    """The kept headers and the body of a delivery, for those who may look. Raises ConfigurationError."""
    row = conn.execute(select(inbox.c.headers, inbox.c.body).where(inbox.c.id == delivery_id)).one_or_none()
    if row is None:
        raise _missing()
    return row.headers or {}, bytes(row.body)


def replay(conn: Connection, delivery_ids: Sequence[UUID]) -> int:
    """Have processed deliveries processed once more, in their order; returns how many. What was applied stays as it is.

    Those are left alone of which nothing is kept, because they were about a person who was erased.
    """
    again = conn.execute(
        inbox.update()
        .where(inbox.c.id.in_(delivery_ids), inbox.c.status == "done", ~_is_forgotten())
        .values(status="pending", outcome=None, reason=None, counts=None, processed_at=None, next_at=None)
    )
    conn.execute(
        text("DELETE FROM posted_event WHERE tenant_id = :t AND inbox_id = ANY(CAST(:ids AS uuid[]))"),
        {"t": current_tenant(conn), "ids": list(delivery_ids)},
    )
    return again.rowcount


def _is_forgotten() -> ColumnElement[bool]:
    return inbox.c.dedupe_key == literal(_FORGOTTEN).concat(cast(inbox.c.id, Text))


def ledger(conn: Connection, endpoint_id: UUID | None = None) -> Ledger:
    """What was received and what became of it, counted in one look."""
    rows = conn.execute(
        text("""
        SELECT outcome, status, count(*) AS number FROM inbox WHERE tenant_id = :t
          AND (CAST(:e AS uuid) IS NULL OR endpoint_id = :e) GROUP BY 1, 2
        UNION ALL
        SELECT p.key, 'done', sum(CAST(p.value AS bigint)) FROM inbound_endpoint e, jsonb_each_text(e.purged) p
        WHERE e.tenant_id = :t AND (CAST(:e AS uuid) IS NULL OR e.id = :e) GROUP BY 1"""),
        {"t": current_tenant(conn), "e": endpoint_id},
    ).all()
    by_outcome: dict[str, int] = {}
    for row in rows:
        if row.status == "done":
            by_outcome[row.outcome] = by_outcome.get(row.outcome, 0) + int(row.number)
    pending = sum(int(row.number) for row in rows if row.status != "done")
    return Ledger(sum(int(row.number) for row in rows), pending, dict(sorted(by_outcome.items())))


def purge(conn: Connection, before: datetime) -> int:
    """Delete deliveries that were processed before a moment, some at a time; returns how many. Their counts stay."""
    return int(
        conn.execute(
            text("""
            WITH old AS (
                SELECT id FROM inbox WHERE tenant_id = :t AND status = 'done' AND processed_at < :before
                ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED),
            events AS (DELETE FROM posted_event p USING old WHERE p.tenant_id = :t AND p.inbox_id = old.id),
            gone AS (
                DELETE FROM inbox i USING old WHERE i.tenant_id = :t AND i.id = old.id
                RETURNING i.endpoint_id, i.outcome),
            counted AS (SELECT endpoint_id, outcome, count(*) AS number FROM gone GROUP BY 1, 2),
            kept AS (
                UPDATE inbound_endpoint e SET purged = e.purged || (
                    SELECT jsonb_object_agg(c.outcome, coalesce(CAST(e.purged->>c.outcome AS bigint), 0) + c.number)
                    FROM counted c WHERE c.endpoint_id = e.id)
                WHERE e.tenant_id = :t AND e.id IN (SELECT endpoint_id FROM counted))
            SELECT count(*) FROM gone"""),
            {"t": current_tenant(conn), "before": before, "most": _PURGED_AT_ONCE},
        ).scalar_one()
    )


def _missing() -> ConfigurationError:
    return ConfigurationError(
        "There is no such delivery in the inbox.",
        remedy="`syncline webhooks inbox list` shows them; those processed long ago are deleted.",
        code="no_such_delivery",
    )
