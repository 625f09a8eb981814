"""Connected accounts: connecting, how they stand, pausing, connecting anew, disconnecting. Secrets go in and never come out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.connecting import Secrets, Settings, answered, check_address, manifest_of, signed_in
from api.errors import ApiError
from api.models import Body, HealthReason, Name, SecretBody
from api.paging import Cursor, Limit, Page, decode_id, page_of
from api.routes.jobs import JobOut
from api.routes.jobs import shown as shown_job
from bootstrap import connecting
from bootstrap.filling_in import BROWSER
from domain.errors import SynclineError
from storage import connection_health, connections, disconnecting, jobs, routes, streams
from storage.connection_health import Health
from storage.database import Connection

router = APIRouter(prefix="/connections", tags=["connections"])

Reader = Annotated[Caller, allowed("connections:read")]
Writer = Annotated[Caller, allowed("connections:write")]


class Credentials(SecretBody):
    """How to sign in. What each system asks for stands in the catalogue (`/v1/connectors`).

    ``auth``: the way to sign in, where there are several; with a browser: `/v1/connections/oauth/start`. ``credentials`` are
    stored encrypted and never shown. ``base_url``: of a sandbox, where the operator allows that.
    """

    auth: str | None = Field(default=None, max_length=50, examples=["api_key"])
    settings: Settings = {}
    credentials: Secrets = {}
    base_url: str | None = Field(default=None, max_length=500)


class NewConnection(Credentials):
    """A system to connect, under a name of its own."""

    vendor: str = Field(min_length=1, max_length=100, examples=["hubspot"])
    name: Name = Field(examples=["HubSpot of the sales team"])


class NewName(Body):
    """What to call a connection."""

    name: Name = Field(examples=["HubSpot of the sales team"])


class Quota(BaseModel):
    """What the vendor said last of the account's daily quota."""

    used: int
    limit: int
    at: datetime | None


class ConnectionOut(BaseModel):
    """A connected account. ``status``: new, ok, paused, reauth (sign in again) or disconnected; ``problem``: what is wrong.

    ``signed_in_at``: the last successful sign-in. ``fresh_as_of``: every change up to then has been seen, in every stream that
    is read; null before that, and where nothing is read. ``streams``: how many by status. ``healthy``: whether it is told as
    healthy, since ``health_since`` (null: ever); ``reasons``: why not (see `/v1/health/connections`).
    """

    id: UUID
    vendor: str
    name: str
    account: str | None
    settings: dict[str, str]
    base_url: str | None
    status: str
    problem: str | None
    signed_in_at: datetime | None
    fresh_as_of: datetime | None
    healthy: bool
    health_since: datetime | None
    reasons: list[HealthReason]
    streams: dict[str, int]
    quota: Quota | None
    created_at: datetime


class TestOut(BaseModel):
    """How signing in went: ``account`` where it worked, else ``code``, ``problem`` and ``remedy``."""

    ok: bool
    account: str | None = None
    code: str | None = None
    problem: str | None = None
    remedy: str | None = None


class Disconnected(BaseModel):
    """A disconnected connection, and the job that removes what it left, where that was asked for."""

    connection: ConnectionOut
    job: JobOut | None = None


@router.get("", operation_id="list_connections")
def list_connections(
    caller: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    vendor: Annotated[str | None, Query(max_length=100, description="Only of this system.")] = None,
) -> Page[ConnectionOut]:
    """Connections, the oldest first."""
    with caller.transaction() as conn:
        found = connection_health.page(conn, after=decode_id(cursor), limit=limit + 1, vendor=vendor)
    return page_of(found, limit, shown, lambda c: c.id)


@router.get("/{connection_id}", operation_id="get_connection")
def get_connection(connection_id: UUID, caller: Reader) -> ConnectionOut:
    """One connection, and how it stands."""
    with caller.transaction() as conn:
        return shown(connection_health.get(conn, connection_id))


@router.post("", operation_id="create_connection", status_code=201)
def create_connection(body: NewConnection, caller: Writer) -> ConnectionOut:
    """Connect a system. It is signed in to first, and stored only if that works."""
    check_address(caller, body.base_url)
    manifest = manifest_of(body.vendor)
    with caller.looking() as conn:
        require_free(conn, body.name)
    _refuse_browser(body.auth)
    signed = signed_in(manifest, answered(manifest, body.settings, body.credentials, body.auth), body.base_url)
    with caller.transaction() as conn:
        made = connecting.add_connection(caller.hub, conn, body.name, signed)
        caller.audit(conn, "connection.create", "connection", made.id, {"vendor": made.vendor, "name": made.name})
        caller.after_commit(lambda: routes.keep(caller.hub.db, caller.tenant_id))
        return shown(connection_health.get(conn, made.id))


@router.post("/{connection_id}/reconnect", operation_id="reconnect")
def reconnect(connection_id: UUID, body: Credentials, caller: Writer) -> ConnectionOut:
    """Sign in to the same account with other credentials. The id stays, and streams that waited for it go on.

    Settings that are not given stay as they are; all credentials have to be given.
    """
    check_address(caller, body.base_url)
    with caller.looking() as conn:
        known = connections.get(conn, connection_id)
    manifest = manifest_of(known.vendor)
    _refuse_browser(body.auth)
    answers = answered(manifest, {**known.settings, **body.settings}, body.credentials, body.auth)
    signed = signed_in(manifest, answers, body.base_url or known.base_url)
    with caller.transaction() as conn:
        connecting.renew_connection(caller.hub, conn, connection_id, signed)
        caller.audit(conn, "connection.reconnect", "connection", connection_id, {"settings": sorted(body.settings)})
        return shown(connection_health.get(conn, connection_id))


@router.patch("/{connection_id}", operation_id="rename_connection")
def rename_connection(connection_id: UUID, body: NewName, caller: Writer) -> ConnectionOut:
    """Give a connection another name."""
    with caller.transaction() as conn:
        connections.update(conn, connection_id, name=body.name)
        caller.audit(conn, "connection.rename", "connection", connection_id, {"name": body.name})
        return shown(connection_health.get(conn, connection_id))


@router.post("/{connection_id}/test", operation_id="test_connection")
def test_connection(connection_id: UUID, caller: Writer) -> TestOut:
    """Sign in with what is stored, and say how it went."""
    with caller.looking() as conn:
        connections.get(conn, connection_id)
    try:
        account = connecting.verify(caller.hub, connection_id)
    except SynclineError as error:
        outcome = TestOut(ok=False, code=error.code, problem=error.message, remedy=error.remedy)
    else:
        outcome = TestOut(ok=True, account=account.display_name or account.remote_account)
    with caller.transaction() as conn:
        caller.audit(conn, "connection.test", "connection", connection_id, {"ok": outcome.ok, "code": outcome.code})
    return outcome


@router.post("/{connection_id}/pause", operation_id="pause_connection")
def pause_connection(connection_id: UUID, caller: Writer) -> ConnectionOut:
    """Stop exchanging anything with the account; changes collect meanwhile."""
    with caller.transaction() as conn:
        _require_connected(connections.get(conn, connection_id, lock=True).status)
        connections.update(conn, connection_id, status="paused")
        count = streams.hold(conn, connection_id, streams.PAUSED)
        caller.audit(conn, "connection.pause", "connection", connection_id, {"streams": count})
        return shown(connection_health.get(conn, connection_id))


@router.post("/{connection_id}/resume", operation_id="resume_connection")
def resume_connection(connection_id: UUID, caller: Writer) -> ConnectionOut:
    """Go on after a pause. Streams that were paused, or stopped, on their own stay so."""
    with caller.transaction() as conn:
        status = connections.get(conn, connection_id, lock=True).status
        _require_connected(status)
        if status == "paused":
            connections.update(conn, connection_id, status="ok")
        count = streams.release(conn, connection_id, (streams.PAUSED,))
        caller.audit(conn, "connection.resume", "connection", connection_id, {"streams": count})
        return shown(connection_health.get(conn, connection_id))


@router.delete("/{connection_id}", operation_id="disconnect")
def disconnect(
    connection_id: UUID,
    caller: Writer,
    purge: Annotated[
        Literal["links", "records"] | None,
        Query(
            description="What else to remove, as a job. `links`: the connection itself and its links; every record stays, and the "
            "same account connected later is matched anew. `records`: also each record that this connection created and that no "
            "other connection is linked to, edited since or not; each leaves a tombstone, from which it can be restored."
        ),
    ] = None,
) -> Disconnected:
    """Forget the credentials and stop every stream, at once. Records and links stay unless `purge` says otherwise, so that
    connecting again (`reconnect`) goes on where it was. Nothing is changed at the vendor."""
    with caller.transaction() as conn:
        disconnecting.forget(conn, connection_id)
        params = {"connection_id": str(connection_id), "purge": purge}
        job = jobs.add(conn, "connection.purge", params, caller.actor) if purge else None
        caller.audit(conn, "connection.disconnect", "connection", connection_id, {"purge": purge})
        told = shown(connection_health.get(conn, connection_id))
    return Disconnected(connection=told, job=shown_job(job) if job else None)


def require_free(conn: Connection, name: str) -> None:
    """Refuse a name that is taken, before anyone signs in. Raises ApiError 409."""
    if connections.by_name(conn, name) is not None:
        raise ApiError(
            409, "name_taken", "Another connection has that name.", remedy="Choose another, or connect that one anew."
        )


def shown(found: Health) -> ConnectionOut:
    """A connection as the API tells of it. Paths of the server's own are left out."""
    quota = None
    if found.quota_used is not None and found.quota_limit is not None:
        quota = Quota(used=found.quota_used, limit=found.quota_limit, at=found.quota_at)
    same = ("id", "vendor", "name", "base_url", "status", "fresh_as_of", "healthy", "health_since", "created_at")
    return ConnectionOut(
        **{name: getattr(found, name) for name in same},
        account=found.remote_account,
        settings={n: v for n, v in found.settings.items() if (found.vendor, n) != ("files", "path")},
        problem=found.status_message or found.stream_problem,
        signed_in_at=found.verified_at,
        reasons=[HealthReason(**reason) for reason in found.unhealthy_reasons],
        streams=dict(found.streams),
        quota=quota,
    )


def _refuse_browser(auth: str | None) -> None:
    if auth == BROWSER:
        raise ApiError(
            422, "needs_browser", "This way to sign in needs a person with a browser.",
            remedy="Begin with POST /v1/connections/oauth/start.",
        )  # fmt: skip


def _require_connected(status: str) -> None:
    if status == "disconnected":
        raise ApiError(409, "disconnected", "The connection is disconnected.", remedy="Connect it again.")
