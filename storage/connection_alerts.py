"""Whether connections are healthy, as it was last found; a change is told in the transaction that notes it.

Trouble that the hub causes itself (a stream stops, credentials are refused) is noted where it happens; everything else, and
every recovery, by the scheduler's look at all of them. Both write under a lock on the connection's row, so that one change is
one event, however many look, and whenever one of them dies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.health import Reason, StreamState, reasons
from storage import events
from storage.events import Event
from storage.sync.values import dumps
from storage.tenancy import current_tenant

_STATES = """
SELECT c.id, c.vendor, c.name, c.status, c.healthy, c.unhealthy_reasons,
       s.object, s.status AS stream_status, s.failures, coalesce(s.verified_at, s.created_at) AS since,
       s.verified_at IS NOT NULL AS verified, s.settings->>'direction' IS DISTINCT FROM 'out' AS reads, s.reason->>'code' AS code
FROM connection c LEFT JOIN stream s ON s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.entity <> ''
WHERE c.tenant_id = :t AND (CAST(:ids AS uuid[]) IS NULL OR c.id = ANY(CAST(:ids AS uuid[])))
      AND c.status NOT IN ('paused', 'disconnected')
ORDER BY c.id, s.object
"""


@dataclass(slots=True)
class _Found:
    id: UUID
    vendor: str
    name: str
    status: str
    healthy: bool
    known: tuple[Reason, ...]
    streams: list[StreamState]


def look(conn: Connection, now: datetime, target: timedelta) -> int:
    """Judge every connection of the transaction's tenant anew; returns how many became healthy or unhealthy.

    ``target``: how old the last verified comparison of a stream may be. One that is paused or disconnected keeps the state it had.
    """
    changed = [f.id for f in _find(conn, None) if _judged(f, now, target) != f.known]
    if not changed:
        return 0
    lock(conn, changed)
    return sum(_note(conn, found, _judged(found, now, target), now) for found in _find(conn, changed))


def note_trouble(conn: Connection, connection_id: UUID) -> None:
    """Note at once that a connection is unhealthy, if what is known of its streams says so. Recovery is the next look's."""
    now = datetime.now(UTC)
    lock(conn, [connection_id])
    for found in _find(conn, [connection_id]):
        wrong = _judged(found, now, None)
        if found.healthy and wrong:
            _note(conn, found, wrong, now)


def _judged(found: _Found, now: datetime, target: timedelta | None) -> tuple[Reason, ...]:
    stale = {r.object for r in found.known if r.object is not None and r.code == "stale"}
    return reasons(found.status, found.streams, now=now, target=target, stale=stale)


def lock(conn: Connection, ids: Sequence[UUID]) -> None:
    """Lock connections to the end of the transaction. Whoever locks their streams, too, locks these first."""
    conn.execute(
        text("""
        SELECT FROM connection WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE"""),
        {"t": current_tenant(conn), "ids": list(ids)},
    )


def _find(conn: Connection, ids: Sequence[UUID] | None) -> list[_Found]:
    found: dict[UUID, _Found] = {}
    parameters = {"t": current_tenant(conn), "ids": None if ids is None else list(ids)}
    for row in conn.execute(text(_STATES), parameters).mappings():
        known = found.get(row["id"])
        if known is None:
            told = tuple(Reason(**reason) for reason in row["unhealthy_reasons"])
            known = _Found(row["id"], row["vendor"], row["name"], row["status"], row["healthy"], told, [])
            found[known.id] = known
        if row["object"] is not None:
            known.streams.append(_stream(row))
    return list(found.values())


def _stream(row: Mapping[Any, Any]) -> StreamState:
    return StreamState(
        row["object"], row["stream_status"], row["failures"], row["since"].astimezone(UTC),
        verified=row["verified"], reads=row["reads"], code=row["code"],
    )  # fmt: skip


def _note(conn: Connection, found: _Found, wrong: tuple[Reason, ...], now: datetime) -> bool:
    healthy = not wrong
    told = [asdict(reason) for reason in wrong]
    conn.execute(
        text("""
        UPDATE connection SET healthy = :healthy, unhealthy_reasons = CAST(:reasons AS jsonb),
            health_since = CASE WHEN healthy = :healthy THEN health_since ELSE :now END
        WHERE tenant_id = :t AND id = :id"""),
        {"t": current_tenant(conn), "id": found.id, "healthy": healthy, "reasons": dumps(told), "now": now},
    )
    if healthy == found.healthy:
        return False
    about = {"connection_id": found.id, "vendor": found.vendor, "name": found.name}
    if healthy:
        events.emit(conn, Event("connection.recovered", about, subject=found.id))
    else:
        events.emit(conn, Event("connection.unhealthy", about | {"reasons": told}, subject=found.id))
    return True
