"""Tenants: the customers whose data never meets."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from storage.tables import tenant


def ensure(conn: Connection, tenant_id: UUID, name: str = "") -> None:
    """Create the tenant of the running transaction unless it exists; an existing one keeps its name."""
    conn.execute(
        insert(tenant)
        .values(tenant_id=tenant_id, name=name or str(tenant_id))
        .on_conflict_do_nothing(index_elements=["tenant_id"])
    )


def name_of(conn: Connection, tenant_id: UUID) -> str | None:
    """The tenant's name, or None where there is no such tenant in sight."""
    return conn.scalar(select(tenant.c.name).where(tenant.c.tenant_id == tenant_id))
