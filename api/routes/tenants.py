"""Tenants: the customers of the installation. For administrators of the system."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body
from api.paging import Cursor, Limit, Page, decode_id, page_of
from domain.ids import new_id
from storage import tenants
from storage.tenants import Tenant

router = APIRouter(prefix="/tenants", tags=["tenants"])


class TenantIn(Body):
    """A tenant's name, as people know the customer."""

    name: str = Field(min_length=1, max_length=200, examples=["Acme Ltd"])


class TenantOut(BaseModel):
    """A customer. ``closed_at``: since then nobody gets in and nothing is kept in step; the data stays."""

    id: UUID
    name: str
    created_at: datetime
    closed_at: datetime | None


@router.get("", operation_id="list_tenants")
def list_tenants(
    caller: Annotated[Caller, allowed("tenants:read")], limit: Limit = 100, cursor: Cursor = None
) -> Page[TenantOut]:
    """Every tenant of the installation, closed ones included, in the order of their creation."""
    found: list[Tenant] = []
    with caller.transaction() as conn:
        for tenant_id in tenants.ids(conn, after=decode_id(cursor), limit=limit + 1):
            with tenants.visiting(conn, tenant_id):
                found.append(tenants.get(conn))
    return page_of(found, limit, _shown, lambda tenant: str(tenant.id))


@router.post("", operation_id="create_tenant", status_code=201)
def create_tenant(body: TenantIn, caller: Annotated[Caller, allowed("tenants:write")]) -> TenantOut:
    """Create a tenant. Invite its first administrator, or make a key, by naming it in the `Syncline-Tenant` header."""
    tenant_id = new_id()
    with caller.transaction() as conn:
        caller.audit(conn, "tenant.create", "tenant", tenant_id, {"name": body.name})
        with tenants.visiting(conn, tenant_id):
            tenants.ensure(conn, tenant_id, body.name)
            caller.audit(conn, "tenant.create", "tenant", tenant_id)
            return _shown(tenants.get(conn))


@router.get("/{tenant_id}", operation_id="get_tenant")
def get_tenant(tenant_id: UUID, caller: Annotated[Caller, allowed("tenants:read")]) -> TenantOut:
    """One tenant."""
    with caller.transaction() as conn, tenants.visiting(conn, tenant_id):
        return _shown(tenants.get(conn))


@router.patch("/{tenant_id}", operation_id="rename_tenant")
def rename_tenant(tenant_id: UUID, body: TenantIn, caller: Annotated[Caller, allowed("tenants:write")]) -> TenantOut:
    """Give a tenant another name."""
    with caller.transaction() as conn, tenants.visiting(conn, tenant_id):
        changed = tenants.rename(conn, body.name)
        caller.audit(conn, "tenant.rename", "tenant", tenant_id, {"name": body.name})
    return _shown(changed)


@router.post("/{tenant_id}/close", operation_id="close_tenant")
def close_tenant(tenant_id: UUID, caller: Annotated[Caller, allowed("tenants:write")]) -> TenantOut:
    """Let nobody into a tenant any more and keep nothing of it in step. Its data stays, and it can be opened again."""
    return _close(tenant_id, caller, closed=True)


@router.post("/{tenant_id}/reopen", operation_id="reopen_tenant")
def reopen_tenant(tenant_id: UUID, caller: Annotated[Caller, allowed("tenants:write")]) -> TenantOut:
    """Open a closed tenant again: keys, members and streams go on where they were."""
    return _close(tenant_id, caller, closed=False)


def _close(tenant_id: UUID, caller: Caller, *, closed: bool) -> TenantOut:
    if tenant_id == caller.home:
        raise ApiError(
            409,
            "conflict",
            "The system's own tenant cannot be closed.",
            remedy="Close the tenant of a customer.",
        )
    with caller.transaction() as conn, tenants.visiting(conn, tenant_id):
        changed = tenants.close(conn, closed=closed)
        caller.audit(conn, "tenant.close" if closed else "tenant.reopen", "tenant", tenant_id)
    return _shown(changed)


def _shown(tenant: Tenant) -> TenantOut:
    return TenantOut(id=tenant.id, name=tenant.name, created_at=tenant.created_at, closed_at=tenant.closed_at)
