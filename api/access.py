"""Who calls, and whether they may: every route asks for one permission by `allowed`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from opentelemetry import trace

from api import rates
from api.errors import ApiError
from api.tokens import RefusedTokenError, Verifier
from api.unit import Unit
from bootstrap.logs import log_as
from bootstrap.wiring import Hub
from domain.access import PERMISSIONS, SYSTEM_TENANT, Actor
from storage import api_keys, audit, members, tenants
from storage.api_keys import Presented
from storage.database import Connection

TENANT_HEADER = "Syncline-Tenant"

log = logging.getLogger("syncline.api")
_bearer = HTTPBearer(auto_error=False, description="An API key (`sk_…`) or a JSON web token.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, for which tenant, and what they may do. ``hub`` is the tenant's; ``unit`` is there for unsafe calls.

    ``role``: in the tenant that they belong to, ``home``; where that is not ``tenant_id``, the system's administrator visits.
    """

    actor: Actor
    tenant_id: UUID
    permissions: frozenset[str]
    hub: Hub
    request_id: str
    role: str
    home: UUID
    unit: Unit | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of the tenant. In an unsafe call all blocks share one, which is committed when the call is answered well.

        So nothing of it is seen by other connections before that: work that must be committed on the way (before a vendor
        is called, say) takes ``hub.db.tenant`` and has to bear being repeated after a crash.
        """
        if self.unit is not None:
            with self.unit.transaction(self.hub, self.tenant_id) as conn:
                yield conn
        else:
            with self.hub.db.tenant(self.tenant_id) as conn:
                yield conn

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """A short transaction of its own, for a look before a vendor is called: the call's own is not held open meanwhile."""
        with self.hub.db.tenant(self.tenant_id) as conn:
            yield conn

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the call's transaction is committed: for hints that others may look at what it wrote."""
        if self.unit is None:
            raise RuntimeError("a safe call commits nothing")
        self.unit.after.append(callback)

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    def audit(
        self,
        conn: Connection,
        action: str,
        target_kind: str,
        target_id: object,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note in the transaction of a change, or of a look at a payload, who did it."""
        audit.record(conn, self.actor, action, target_kind, target_id, detail, request_id=self.request_id)


@dataclass(frozen=True, slots=True)
class _Known:
    """Who someone turned out to be: at home in ``home``, with the standing of their calls there."""

    actor: Actor
    home: UUID
    role: str
    permissions: frozenset[str]
    standing: rates.Standing


def authenticated(request: Request, _shown: Annotated[object, Depends(_bearer)] = None) -> Caller:
    """Who calls. Raises ApiError 401 (the same for every reason), 404 for a tenant that is not theirs, and 429."""
    hub: Hub = request.app.state.hub
    token = _token(request)
    wanted = _wanted_tenant(request)
    presented = api_keys.parse(token)
    with _guarded(request, token):
        if presented is not None:
            known = _by_key(request, hub, presented)
        else:
            known = _by_token(request, hub, token, wanted or hub.tenant_id)
            wanted = wanted or (hub.tenant_id if known.home != SYSTEM_TENANT else SYSTEM_TENANT)
    request.state.rate = known.standing
    rates.require(known.standing)
    tenant_id = wanted or known.home
    log_as(tenant=str(tenant_id), actor=f"{known.actor.kind}:{known.actor.id}", **_ids(request))
    trace.get_current_span().set_attribute("syncline.tenant", str(tenant_id))
    if tenant_id != known.home:
        _visit(request, hub, known, tenant_id)
    unit = getattr(request.state, "unit", None)
    request_id = request.state.request_id
    return Caller(
        known.actor, tenant_id, known.permissions, hub.of(tenant_id), request_id, known.role, known.home, unit
    )


def _ids(request: Request) -> dict[str, str]:
    """The ids in a request's address, for the log (``record_id``, ``connection_id`` …); what is no id is left out."""
    found = {}
    for name, value in request.path_params.items():
        with suppress(ValueError):
            found[name] = str(UUID(str(value)))
    return found


@contextmanager
def _guarded(request: Request, token: str) -> Iterator[None]:
    """Count how the block, which signs in, ends for the caller's address. Raises ApiError 429. No token at all is no try."""
    strangers: rates.Strangers = request.app.state.strangers
    address = request.client.host if request.client else ""
    if token:
        strangers.require(address, token)
    try:
        yield
    except ApiError as error:
        if token and error.status == 401:
            strangers.failed(address)
        raise
    strangers.succeeded(address, token)


def _by_key(request: Request, hub: Hub, presented: Presented) -> _Known:
    with hub.db.tenant(presented.tenant_id) as conn:
        key = api_keys.authenticate(conn, presented)
        if key is not None and _is_open(conn):
            standing = request.app.state.limiter.take(conn, presented.tenant_id, f"key:{key.id}")
            actor = Actor("key", str(key.id), key.name)
            return _Known(actor, presented.tenant_id, key.role, key.permissions, standing)
    raise _unauthenticated()


def _by_token(request: Request, hub: Hub, token: str, tenant_id: UUID) -> _Known:
    """A person by a token of an identity provider: a member of the tenant, or an administrator of the system."""
    verifier: Verifier | None = request.app.state.verifier
    if verifier is None:
        raise _unauthenticated()
    try:
        identity = verifier.identity(token)
    except RefusedTokenError as error:
        log.info("a token was refused: %s", error)
        raise _unauthenticated() from None
    for home in dict.fromkeys((tenant_id, SYSTEM_TENANT)):
        with hub.db.tenant(home) as conn:
            member = members.sign_in(conn, identity.issuer, identity.subject, identity.email)
            if member is None or not _is_open(conn) or (home != tenant_id and member.role != "system_admin"):
                continue
            standing = request.app.state.limiter.take(conn, home, f"person:{member.id}")
        actor = Actor("person", str(member.id), member.email)
        return _Known(actor, home, member.role, member.permissions, standing)
    raise _no_such_tenant()


def _is_open(conn: Connection) -> bool:
    found = tenants.find(conn)
    return found is None or found.closed_at is None


def _visit(request: Request, hub: Hub, known: _Known, tenant_id: UUID) -> None:
    """Let an administrator of the system work in a tenant, and note there that they did. Raises ApiError 404 for others."""
    if known.home != SYSTEM_TENANT or known.role != "system_admin":
        raise _no_such_tenant()
    with hub.db.tenant(tenant_id) as conn:
        if tenants.find(conn) is None:
            raise _no_such_tenant()
        detail = {"method": request.method, "path": request.url.path}
        audit.record(
            conn, known.actor, "system.visit", "tenant", tenant_id, detail, request_id=request.state.request_id
        )


def _wanted_tenant(request: Request) -> UUID | None:
    text = request.headers.get(TENANT_HEADER)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise _no_such_tenant() from None


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _unauthenticated() -> ApiError:
    return ApiError(
        401,
        "unauthenticated",
        "This call needs a valid API key or token.",
        remedy="Send it as `Authorization: Bearer …`. A key may be revoked or expired.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _no_such_tenant() -> ApiError:
    return ApiError(
        404,
        "no_such_tenant",
        "There is no such tenant, or you do not belong to it.",
        remedy=f"Check the {TENANT_HEADER} header, or ask an administrator of the tenant for an invitation.",
    )


def allowed(permission: str) -> Any:
    """The dependency of a route: its caller, who has ``permission``. Raises ApiError 401 or 403."""
    if permission not in PERMISSIONS:
        raise ValueError(permission)

    def check(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        if not caller.may(permission):
            raise ApiError(
                403,
                "forbidden",
                f"This needs the permission {permission}.",
                remedy="Ask an administrator of the tenant.",
            )
        if caller.unit is not None:
            caller.unit.begin(caller.hub, caller.tenant_id, f"{caller.actor.kind}:{caller.actor.id}")
        return caller

    check.permission = permission  # type: ignore[attr-defined]
    return Depends(check)
