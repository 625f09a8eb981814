"""How connections stand: status, quota, and how old the oldest comparison of their streams is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from domain.errors import ConfigurationError

_HEALTH = """
SELECT c.id, c.vendor, c.name, c.remote_account, c.settings, c.base_url, c.status, c.status_message, c.verified_at, c.created_at,
       c.quota_used, c.quota_limit, c.quota_at, c.healthy, c.health_since, c.unhealthy_reasons,
       coalesce((SELECT jsonb_object_agg(g.status, g.count) FROM (
           SELECT s.status, count(*) FROM stream s WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.entity <> ''
           GROUP BY s.status) g), '{}') AS streams,
       (SELECT CASE WHEN bool_and(s.verified_at IS NOT NULL) THEN min(s.verified_at) END FROM stream s
        WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.entity <> ''
          AND s.settings->>'direction' IS DISTINCT FROM 'out') AS fresh_as_of,
       (SELECT min(s.reason->>'message') FROM stream s WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id
          AND s.entity <> '' AND s.status NOT IN ('idle', 'paused')) AS stream_problem
FROM connection c WHERE """


@dataclass(frozen=True, slots=True)
class Health:
    """One connection. ``fresh_as_of``: everything up to then has been seen, in every stream that is read; None: not yet, or
    nothing is read. ``streams``: how many by status; ``stream_problem``: what stops one of them, in words. ``healthy`` since
    ``health_since`` (None: ever), or not, for ``unhealthy_reasons``, as `storage.connection_alerts` noted."""

    id: UUID
    vendor: str
    name: str
    remote_account: str | None
    settings: Mapping[str, str]
    base_url: str | None
    status: str
    status_message: str | None
    verified_at: datetime | None
    created_at: datetime
    quota_used: int | None
    quota_limit: int | None
    quota_at: datetime | None
    healthy: bool
    health_since: datetime | None
    unhealthy_reasons: Sequence[Mapping[str, Any]]
    streams: Mapping[str, int]
    fresh_as_of: datetime | None
    stream_problem: str | None


def page(conn: Connection, *, after: UUID | None, limit: int, vendor: str | None = None) -> list[Health]:
    """The tenant's connections, the oldest first, after the one with the id ``after``."""
    given = {"after": after, "limit": limit, "vendor": vendor}
    rows = conn.execute(
        text(f"""{_HEALTH} (CAST(:after AS uuid) IS NULL OR c.id > CAST(:after AS uuid))
        AND (CAST(:vendor AS text) IS NULL OR c.vendor = :vendor) ORDER BY c.id LIMIT :limit"""),
        given,
    )
    return [_health(row) for row in rows]


def get(conn: Connection, connection_id: UUID) -> Health:
    """The connection with this id. Raises ConfigurationError."""
    row = conn.execute(text(_HEALTH + "c.id = :id"), {"id": connection_id}).one_or_none()
    if row is None:
        raise ConfigurationError(
            f"There is no connection with the id {connection_id}.",
            remedy="List the connections to see which there are.",
            code="no_such_connection",
        )
    return _health(row)


def _health(row: Row[Any]) -> Health:
    return Health(**row._mapping)
