"""Connecting with a browser: one call begins, the vendor sends the person back to the callback, which stores the connection.

The callback is the one route without a key: its state, good for one answer and ten minutes, says whom it is for, and a cookie
proves that the browser which brings the answer is the one in which it began (RFC 9700 section 4.7.1). Otherwise somebody could
begin, and have somebody else allow access, and would end up with the other's account.

A caller whose people have sessions with it, and not with this site, sees to that itself: then the callback finishes nothing. It
puts the answer aside, sends the browser to the caller's own page with a ticket, and the caller, once it has looked whose session
that is, calls `/v1/connections/oauth/finish`.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.connecting import Secrets, Settings, answered, callback_of, check_address, check_return, manifest_of
from api.errors import ApiError
from api.models import Body, Id, Name, SecretBody
from api.routes.connections import require_free
from bootstrap import connecting, signing_in
from bootstrap.filling_in import BROWSER
from bootstrap.signing_in import Begun, Started, Wish
from bootstrap.wiring import Hub
from connectors.kit.contract import Manifest
from domain.errors import SynclineError
from storage import audit, connections, routes, sign_ins

router = APIRouter(prefix="/connections/oauth", tags=["connections"])
callback = APIRouter(prefix="/oauth", tags=["connections"])

Part = Annotated[str | None, Query(max_length=8_000)]

Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]+$", max_length=500)]


class SignInRequest(SecretBody):
    """What to connect: a ``vendor`` under a ``name``, or more ``scopes`` of what is connected already (``connection_id``).

    ``credentials``: the client id and secret of an app; without, the app of the operator, or the one that the connection has.
    ``return_to``: where the person goes afterwards, with ``connection_id`` or ``error`` in the query.

    ``binding``: ``cookie``: this answer sets a cookie, and only the browser that has it may finish: call from the person's browser.
    ``caller``: for servers. The person comes to ``return_to`` with a ``ticket``; look there that it is the person for whom you
    began, by your own session, then call `/v1/connections/oauth/finish`.
    """

    vendor: str | None = Field(default=None, min_length=1, max_length=100, examples=["hubspot"])
    name: Name | None = Field(default=None, examples=["HubSpot of the sales team"])
    connection_id: Id | None = None
    settings: Settings = {}
    credentials: Secrets = {}
    scopes: list[Scope] = Field(default=[], max_length=100)
    return_to: str | None = Field(default=None, max_length=2_000, examples=["/console/connections"])
    base_url: str | None = Field(default=None, max_length=500)
    binding: Literal["cookie", "caller"] = "cookie"


class Ticket(Body):
    """What the person brought to ``return_to``."""

    ticket: str = Field(max_length=200, examples=["AAAAAAAAcACAAAAAAAAAAQ"])


class Finished(BaseModel):
    """The connection that was made, or connected anew."""

    connection_id: UUID


class SignInOut(BaseModel):
    """Send the person to ``authorize_url``; what they bring back is taken until ``expires_at``."""

    authorize_url: str
    expires_at: datetime


@router.post("/start", operation_id="start_oauth")
def start(
    body: SignInRequest, response: Response, caller: Annotated[Caller, allowed("connections:write")]
) -> SignInOut:
    """Begin a sign-in with a browser."""
    check_address(caller, body.base_url)
    check_return(caller, body.return_to)
    if body.binding == "caller" and body.return_to is None:
        raise ApiError(
            422,
            "invalid_request",
            "Whoever sees to the binding itself needs a page of its own.",
            remedy="Give return_to.",
        )
    wish = _again(caller, body, body.connection_id) if body.connection_id else _anew(caller, body)
    with caller.transaction() as conn:
        begun = signing_in.begin(
            caller.hub, conn, wish, callback_of(caller), datetime.now(UTC), to_browser=body.binding == "cookie"
        )
        caller.audit(
            conn, "connection.sign_in", "connection", wish.connection_id or wish.name,
            {"vendor": wish.vendor, "scopes": list(wish.scopes)},
        )  # fmt: skip
    if body.binding == "cookie":
        _bind(response, caller.hub, begun)
    return SignInOut(authorize_url=begun.url, expires_at=begun.until)


@callback.get(
    "/callback",
    operation_id="finish_oauth",
    responses={200: {"model": Finished}, 303: {"description": "Back to where it began"}},
)
def finish(request: Request, state: Part = None, code: Part = None, error: Part = None) -> Response:
    """Where a vendor sends a person back to. What was begun is used up, however it ends."""
    hub, begun = _begun(request.app.state.hub, state or "")
    given = {"state": state, "code": code, "error": error}
    answer = {name: value for name, value in given.items() if value is not None}
    back = begun.wish.return_to
    try:
        if begun.bound_to is None:
            told = {"ticket": _put_aside(hub, begun, answer)}
        else:
            if not begun.is_of(request.cookies.get(_cookie(hub, begun.page.state))):
                raise _other_browser()
            signed = signing_in.complete(begun, answer, datetime.now(UTC))
            told = {"connection_id": str(_store(hub, begun.wish, signed, request.state.request_id))}
    except SynclineError as refusal:
        if back is None:
            raise
        told = {"error": refusal.code, "error_description": refusal.message}
    response = JSONResponse(told) if back is None else _back(back, told)
    response.delete_cookie(
        _cookie(hub, begun.page.state), path="/", secure=_is_secure(hub), httponly=True, samesite="lax"
    )
    return response


@router.post("/finish", operation_id="finish_oauth_by_ticket")
def finish_by_ticket(
    body: Ticket, request: Request, caller: Annotated[Caller, allowed("connections:write")]
) -> Finished:
    """Finish a sign-in that was begun with ``binding: caller``, by the same key or person. The ticket is good for one call."""
    begun = _taken(caller.hub, body.ticket)
    if not begun.answer or begun.wish.actor != caller.actor:
        raise sign_ins.unknown_state()
    signed = signing_in.complete(begun, begun.answer, datetime.now(UTC))
    return Finished(connection_id=_store(caller.hub, begun.wish, signed, request.state.request_id))


def _begun(hub: Hub, state: str) -> tuple[Hub, Begun]:
    """The tenant's hub and what was begun with ``state``, used up and committed before anything else happens."""
    tenant_id = sign_ins.tenant_of(state)
    if tenant_id is None:
        raise sign_ins.unknown_state()
    own = hub.of(tenant_id)
    begun = _taken(own, state)
    if begun.answer:  # a ticket, which only its caller may use
        raise sign_ins.unknown_state()
    return own, begun


def _taken(hub: Hub, state: str) -> Begun:
    with hub.db.tenant(hub.tenant_id) as conn:
        return signing_in.take(hub, conn, state, datetime.now(UTC))


def _put_aside(hub: Hub, begun: Begun, answer: dict[str, str]) -> str:
    with hub.db.tenant(hub.tenant_id) as conn:
        return signing_in.postpone(hub, conn, begun, answer, datetime.now(UTC))


def _bind(response: Response, hub: Hub, begun: Started) -> None:
    response.set_cookie(
        _cookie(hub, begun.state), begun.binding, max_age=int(signing_in.VALID_FOR.total_seconds()), path="/",
        secure=_is_secure(hub), httponly=True, samesite="lax",
    )  # fmt: skip


def _cookie(hub: Hub, state: str) -> str:
    """One name a sign-in, so that several may be under way. ``__Host-``: no other host, and no plain http, can have set it."""
    name = f"syncline-sign-in-{hashlib.sha256(state.encode()).hexdigest()[:16]}"
    return f"__Host-{name}" if _is_secure(hub) else name


def _is_secure(hub: Hub) -> bool:
    return hub.settings.public_url.lower().startswith("https://")


def _other_browser() -> ApiError:
    return ApiError(
        403, "other_browser", "This answer came by another browser than the one in which connecting began. Nothing was connected.",
        remedy="Start connecting again, in this browser. If you did not start it yourself, somebody may have sent you the link: "
        "take the access back at the vendor.",
    )  # fmt: skip


def _store(hub: Hub, wish: Wish, signed: connecting.SignedIn, request_id: str) -> UUID:
    with hub.db.tenant(hub.tenant_id) as conn:
        if wish.connection_id is None:
            stored = connecting.add_connection(hub, conn, wish.name, signed)
        else:
            stored = connecting.renew_connection(hub, conn, wish.connection_id, signed)
        done = "connection.create" if wish.connection_id is None else "connection.reconnect"
        detail = {"vendor": stored.vendor, "name": stored.name}
        audit.record(conn, wish.actor, done, "connection", stored.id, detail, request_id=request_id)
    routes.keep(hub.db, hub.tenant_id)
    return stored.id


def _back(address: str, told: dict[str, str]) -> RedirectResponse:
    parts = urlsplit(address)
    query = "&".join(filter(None, [parts.query, urlencode(told)]))
    return RedirectResponse(urlunsplit(parts._replace(query=query)), 303)


def _anew(caller: Caller, body: SignInRequest) -> Wish:
    if body.vendor is None or body.name is None:
        raise ApiError(
            422, "invalid_request", "A new connection needs vendor and name.", remedy="Give both, or a connection_id."
        )
    manifest = manifest_of(body.vendor)
    with caller.looking() as conn:
        require_free(conn, body.name)
    return _wish(caller, body, manifest, body.name, {}, signing_in.app_of(caller.hub, body.vendor), ())


def _again(caller: Caller, body: SignInRequest, connection_id: UUID) -> Wish:
    with caller.looking() as conn:
        known = connections.get(conn, connection_id)
    if body.vendor not in (None, known.vendor) or body.name is not None:
        raise ApiError(
            422, "invalid_request", "vendor and name belong to the connection already.", remedy="Leave both out."
        )
    app, granted = signing_in.known_answers(caller.hub, connection_id)
    app = app or signing_in.app_of(caller.hub, known.vendor)
    more = body.model_copy(update={"base_url": body.base_url or known.base_url})
    return _wish(caller, more, manifest_of(known.vendor), known.name, dict(known.settings), app, granted)


def _wish(
    caller: Caller, body: SignInRequest, manifest: Manifest, name: str, settings: Settings, app: dict[str, str],
    granted: tuple[str, ...],
) -> Wish:  # fmt: skip
    given = settings | (app if not body.credentials else {}) | body.settings
    answers = answered(manifest, given, body.credentials, BROWSER)
    return Wish(
        vendor=manifest.name, name=name, settings=answers.settings, secrets=answers.credentials, actor=caller.actor,
        base_url=body.base_url, connection_id=body.connection_id,
        scopes=tuple(dict.fromkeys((*granted, *body.scopes))), return_to=body.return_to,
    )  # fmt: skip
