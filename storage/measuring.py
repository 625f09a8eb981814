"""What a tenant's connections, lanes, queues and dead letters come to right now: a few set-based reads of bounded cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

COUNTED_MOST = 100_000
"""A queue longer than this is told to be so long: counting on would cost more than knowing is worth."""


@dataclass(frozen=True, slots=True)
class LaneMeasure:
    """One lane. Ages in seconds; None: never verified, or nothing waits. ``records``: outcomes since the lane was made."""

    connection_id: UUID
    vendor: str
    object: str
    status: str
    failures: int
    freshness_s: float | None
    pushes_waiting: int
    oldest_push_s: float | None
    notices_waiting: int
    oldest_notice_s: float | None
    records: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ConnectionMeasure:
    """One connection. ``quota_used`` of ``quota_limit``, as the vendor told last."""

    connection_id: UUID
    vendor: str
    status: str
    quota_used: int | None
    quota_limit: int | None
    healthy: bool


@dataclass(frozen=True, slots=True)
class QueueMeasure:
    """What waits at an endpoint, and for how many seconds the oldest of it has; None: nothing waits."""

    id: UUID
    waiting: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """A tenant at one moment. ``letters``: open dead letters by (connection, code, fault); ``jobs``: by (kind, status);
    ``inboxes`` by inbound endpoint, ``deliveries`` by subscription.
    """

    lanes: Sequence[LaneMeasure]
    connections: Sequence[ConnectionMeasure]
    letters: Mapping[tuple[str, str, str], int]
    jobs: Mapping[tuple[str, str], int]
    inboxes: Sequence[QueueMeasure]
    deliveries: Sequence[QueueMeasure]


_OLDEST = "extract(epoch FROM CAST(:now AS timestamptz) - {})"

_LANES = f"""
SELECT s.connection_id, c.vendor, s.object, s.status, s.failures, s.counts AS records,
       {_OLDEST.format("s.verified_at")} AS freshness_s,
       p.waiting AS pushes_waiting, {_OLDEST.format("p.oldest")} AS oldest_push_s,
       n.waiting AS notices_waiting, {_OLDEST.format("n.oldest")} AS oldest_notice_s
FROM stream s JOIN connection c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(w.created_at) AS oldest FROM (
        SELECT created_at FROM push_work w WHERE w.tenant_id = s.tenant_id AND w.connection_id = s.connection_id
        AND w.object = s.object AND w.state <> 'waiting' LIMIT {COUNTED_MOST}) w) p
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(w.at) AS oldest FROM (
        SELECT at FROM sync_notice w WHERE w.tenant_id = s.tenant_id AND w.connection_id = s.connection_id
        AND w.object = s.object LIMIT {COUNTED_MOST}) w) n
WHERE s.entity <> '' ORDER BY s.connection_id, s.object
"""
_CONNECTIONS = (
    "SELECT id AS connection_id, vendor, status, quota_used, quota_limit, healthy FROM connection ORDER BY id"
)
_LETTERS = f"""
SELECT coalesce(CAST(connection_id AS text), '') AS connection, code, fault, count(*) AS number
FROM (SELECT connection_id, code, fault FROM dead_letter WHERE status = 'open' LIMIT {COUNTED_MOST}) d
GROUP BY connection_id, code, fault
"""
_JOBS = "SELECT kind, status, count(*) AS number FROM job WHERE status IN ('queued', 'running') GROUP BY kind, status"
_INBOXES = f"""
SELECT e.id, w.waiting, {_OLDEST.format("w.oldest")} AS oldest_s FROM inbound_endpoint e
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(i.received_at) AS oldest FROM (
        SELECT received_at FROM inbox i WHERE i.tenant_id = e.tenant_id AND i.endpoint_id = e.id AND i.status = 'pending'
        ORDER BY i.id LIMIT {COUNTED_MOST}) i) w
WHERE e.status <> 'removed' OR w.waiting > 0 ORDER BY e.id
"""
_DELIVERIES = f"""
SELECT s.id, w.waiting, {_OLDEST.format("w.oldest")} AS oldest_s FROM webhook_subscription s
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(d.created_at) AS oldest FROM (
        SELECT created_at FROM webhook_delivery d
        WHERE d.tenant_id = s.tenant_id AND d.subscription_id = s.id AND d.status = 'pending'
        ORDER BY d.seq LIMIT {COUNTED_MOST}) d) w
ORDER BY s.id
"""


def measure(conn: Connection, now: datetime) -> Measures:
    """The transaction's tenant as it stands."""
    lanes = [_lane(dict(row)) for row in conn.execute(text(_LANES), {"now": now}).mappings()]
    connections = [ConnectionMeasure(**row) for row in conn.execute(text(_CONNECTIONS)).mappings()]
    letters = {(row.connection, row.code, row.fault): row.number for row in conn.execute(text(_LETTERS))}
    jobs = {(row.kind, row.status): row.number for row in conn.execute(text(_JOBS))}
    inboxes, deliveries = _queues(conn, _INBOXES, now), _queues(conn, _DELIVERIES, now)
    return Measures(lanes, connections, letters, jobs, inboxes, deliveries)


def _queues(conn: Connection, query: str, now: datetime) -> list[QueueMeasure]:
    rows = conn.execute(text(query), {"now": now})
    return [
        QueueMeasure(row.id, row.waiting, None if row.oldest_s is None else max(0.0, float(row.oldest_s)))
        for row in rows
    ]


def _lane(row: dict[str, Any]) -> LaneMeasure:
    ages = {name: None if row[name] is None else max(0.0, float(row[name])) for name in row if name.endswith("_s")}
    return LaneMeasure(**row | ages)
