"""What a caller should know of themselves: who they are, what they may do, how much they used, how fresh their data is."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from api.access import Caller, allowed, authenticated
from api.errors import ApiError
from api.models import HealthReason
from domain.health import is_old
from storage import connections, rates, streams, tenants, volumes
from storage.connections import StoredConnection
from storage.streams import Stream

router = APIRouter(tags=["me"])
_DAYS_MAX = 366
_WORST_FIRST = ("reauth", "stopped", "braked", "paused", "stale", "never", "fresh", "written")


class TenantRef(BaseModel):
    id: UUID
    name: str


class Me(BaseModel):
    """The caller. ``kind``: key or person; ``visiting``: an administrator of the system works in somebody else's tenant."""

    kind: str
    id: str
    name: str
    tenant: TenantRef
    role: str
    permissions: list[str]
    visiting: bool


class Calls(BaseModel):
    """Calls of one caller on one day, in UTC. ``caller``: `key:<id>` or `person:<id>`."""

    day: date
    caller: str
    calls: int


class Volume(BaseModel):
    """``exact`` false: at least so many; counting went on for too long."""

    count: int
    exact: bool


class Usage(BaseModel):
    """What the tenant uses. ``records`` by canonical entity, those without any left out."""

    since: date
    until: date
    calls: list[Calls]
    records: dict[str, Volume]
    links: Volume
    files: Volume
    files_bytes: int


class StreamHealth(BaseModel):
    """One object of a connection. ``verified_at``: the last verified comparison; every change at the vendor up to then was seen."""

    object: str
    state: str
    reason: dict[str, Any] | None
    verified_at: datetime | None
    age_s: float | None


class ConnectionHealth(BaseModel):
    """How fresh a connection is, by its worst stream; and whether it is told as unhealthy, and why.

    ``state``: fresh, stale (last compared longer ago than ``target_s``), never (compared, but not long enough for that), written
    (there is nothing to compare), paused, reauth, stopped or braked. ``age_s``: since the last verified comparison.
    ``healthy`` goes by the same age, and by what else is wrong; it changes at the next look, and with an event
    (`connection.unhealthy`, `connection.recovered`): ``health_since`` is when, null if never.
    """

    id: UUID
    name: str
    vendor: str
    state: str
    message: str | None
    age_s: float | None
    target_s: float
    healthy: bool
    health_since: datetime | None
    reasons: list[HealthReason]
    streams: list[StreamHealth]


@router.get("/me", operation_id="get_me")
def get_me(caller: Annotated[Caller, Depends(authenticated)]) -> Me:
    """Who calls, for which tenant, and what they may do. Needs no permission."""
    with caller.transaction() as conn:
        name = tenants.name_of(conn, caller.tenant_id)
    return Me(
        kind=caller.actor.kind,
        id=caller.actor.id,
        name=caller.actor.name,
        tenant=TenantRef(id=caller.tenant_id, name=name or ""),
        role=caller.role,
        permissions=sorted(caller.permissions),
        visiting=caller.tenant_id != caller.home,
    )


@router.get("/usage", operation_id="get_usage")
def get_usage(
    request: Request,
    caller: Annotated[Caller, allowed("usage:read")],
    since: Annotated[date | None, Query(description="The first day; default: 30 days ago.")] = None,
    until: Annotated[date | None, Query(description="The last day; default: today.")] = None,
) -> Usage:
    """Calls by caller and day, and what is stored. Counts of calls may lag by a few that a process has not told yet."""
    last = until or datetime.now(UTC).date()
    first = since or max(last, date(1, 2, 1)) - timedelta(days=30)
    if not 0 <= (last - first).days <= _DAYS_MAX:
        raise ApiError(
            422,
            "invalid_request",
            "The days do not make a period of at most a year.",
            remedy="Give since before until.",
        )
    with caller.transaction() as conn:
        request.app.state.limiter.count(conn, caller.tenant_id)
        calls = [Calls(day=day, caller=who, calls=n) for day, who, n in rates.usage(conn, first, last)]
        stored = volumes.of(conn)
    return Usage(
        since=first,
        until=last,
        calls=calls,
        records={entity: Volume(count=v.count, exact=v.exact) for entity, v in stored.records.items()},
        links=Volume(count=stored.links.count, exact=stored.links.exact),
        files=Volume(count=stored.files.count, exact=stored.files.exact),
        files_bytes=stored.files_bytes,
    )


@router.get("/health/connections", operation_id="health_connections")
def health_connections(caller: Annotated[Caller, allowed("connections:read")]) -> list[ConnectionHealth]:
    """How fresh each connection is: the age of its last verified comparison with the vendor, not the state of a job."""
    with caller.transaction() as conn:
        known, lanes = connections.list_all(conn), streams.list_all(conn)
    now, target = datetime.now(UTC), caller.hub.settings.health_target
    return [_health(c, [s for s in lanes if s.connection_id == c.id], now, target) for c in known]


def _health(connection: StoredConnection, lanes: list[Stream], now: datetime, target: timedelta) -> ConnectionHealth:
    stale = {str(r["object"]) for r in connection.unhealthy_reasons if r["code"] == "stale"}
    shown = [_stream(lane, now, target, stale) for lane in lanes]
    states = [s.state for s in shown] + [connection.status] * (connection.status in ("paused", "reauth"))
    ages = [s.age_s for s in shown if s.state != "written"]
    return ConnectionHealth(
        id=connection.id,
        name=connection.name,
        vendor=connection.vendor,
        state=min(states, key=_WORST_FIRST.index, default="never"),
        message=connection.status_message,
        age_s=max((age for age in ages if age is not None), default=None) if None not in ages else None,
        target_s=target.total_seconds(),
        healthy=connection.healthy,
        health_since=connection.health_since,
        reasons=[HealthReason(**reason) for reason in connection.unhealthy_reasons],
        streams=shown,
    )


def _stream(lane: Stream, now: datetime, target: timedelta, stale: Collection[str]) -> StreamHealth:
    age_s = None if lane.verified_at is None else max(0.0, (now - lane.verified_at).total_seconds())
    reason = None if lane.reason is None else dict(lane.reason)
    state = _state(lane, now, target, stale)
    return StreamHealth(object=lane.object, state=state, reason=reason, verified_at=lane.verified_at, age_s=age_s)


def _state(lane: Stream, now: datetime, target: timedelta, stale: Collection[str]) -> str:
    standing = lane.state()
    if lane.status != "idle":
        return lane.status
    if not standing.reads:
        return "written"
    if is_old(standing, now, target, stale):
        return "stale"
    return "fresh" if standing.verified else "never"
