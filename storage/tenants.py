"""Tenants: the customers whose data never meets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from domain.errors import ConfigurationError
from storage.tables import tenant
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer. ``closed_at``: since then nobody gets in, and nothing is kept in step."""

    id: UUID
    name: str
    created_at: datetime
    closed_at: datetime | None


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


def find(conn: Connection) -> Tenant | None:
    """The tenant of the running transaction, or None where there is none."""
    row = conn.execute(select(tenant.c.tenant_id, tenant.c.name, tenant.c.created_at, tenant.c.closed_at)).one_or_none()
    return None if row is None else Tenant(*row)


def get(conn: Connection) -> Tenant:
    """The tenant of the running transaction. Raises ConfigurationError."""
    found = find(conn)
    if found is None:
        raise ConfigurationError("There is no such tenant.", remedy="List the tenants.", code="no_such_tenant")
    return found


def rename(conn: Connection, name: str) -> Tenant:
    """Give the tenant of the running transaction another name. Raises ConfigurationError."""
    conn.execute(tenant.update().values(name=name))
    return get(conn)


def close(conn: Connection, *, closed: bool) -> Tenant:
    """Close the tenant of the running transaction, or open it again. Raises ConfigurationError."""
    moment = func.coalesce(tenant.c.closed_at, func.now()) if closed else None
    conn.execute(tenant.update().values(closed_at=moment))
    return get(conn)


def ids(conn: Connection, *, after: UUID | None = None, limit: int = 100) -> list[UUID]:
    """Ids of the installation's tenants in order, closed ones included; nothing else of them is seen from here."""
    return list(
        conn.scalars(
            text("SELECT t FROM syncline_tenants(true) t WHERE t > :after ORDER BY t LIMIT :limit"),
            {"after": after or UUID(int=0), "limit": limit},
        )
    )


@contextmanager
def visiting(conn: Connection, tenant_id: UUID) -> Iterator[Connection]:
    """Within it, the transaction works in another tenant: what an administrator of the system does to it is one commit.

    Only what serves administrators of the system may use it. One tenant's rows at a time are in sight, as ever.
    """
    home = current_tenant(conn)
    _enter(conn, str(tenant_id))
    yield conn
    _enter(conn, home)


def _enter(conn: Connection, tenant_id: str) -> None:
    conn.exec_driver_sql("SELECT set_config('app.tenant_id', %s, true)", (tenant_id,))
