"""Where a vendor's notices belong, when one address serves its whole app: remote account to connections, in the system tenant.

A route is a hint like the notice itself: whether the connection stands is looked up within its own tenant.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, text

from domain.access import SYSTEM_TENANT
from storage import connections
from storage.database import Database
from storage.tables_inbound import route


def keep(db: Database, tenant_id: UUID) -> None:
    """Let the routes of a tenant be those of its connections. Called when one is made, changed or removed, and now and then."""
    with db.tenant(tenant_id) as conn:
        standing = [c for c in connections.list_all(conn) if c.remote_account]
    with db.tenant(SYSTEM_TENANT) as conn:
        conn.execute(
            text("""
            WITH standing AS (
                SELECT * FROM unnest(CAST(:vendors AS text[]), CAST(:accounts AS text[]), CAST(:ids AS uuid[]))
                    AS s(vendor, remote_account, connection_id)),
            gone AS (
                DELETE FROM route r WHERE r.tenant_id = :system AND r.routed_tenant_id = :t AND NOT EXISTS (
                    SELECT FROM standing s WHERE (s.vendor, s.remote_account, s.connection_id)
                        = (r.vendor, r.remote_account, r.connection_id)))
            INSERT INTO route (tenant_id, vendor, remote_account, routed_tenant_id, connection_id)
            SELECT CAST(:system AS uuid), s.vendor, s.remote_account, CAST(:t AS uuid), s.connection_id FROM standing s
            ON CONFLICT DO NOTHING"""),
            {
                "system": SYSTEM_TENANT,
                "t": tenant_id,
                "vendors": [c.vendor for c in standing],
                "accounts": [c.remote_account for c in standing],
                "ids": [c.id for c in standing],
            },
        )


def find(db: Database, vendor: str, accounts: frozenset[str]) -> dict[str, list[tuple[UUID, UUID]]]:
    """The (tenant, connection) pairs of each remote account that somebody connected."""
    query = select(route.c.remote_account, route.c.routed_tenant_id, route.c.connection_id).where(
        route.c.vendor == vendor, route.c.remote_account.in_(accounts)
    )
    found: dict[str, list[tuple[UUID, UUID]]] = {}
    with db.tenant(SYSTEM_TENANT) as conn:
        for account, tenant, connection in conn.execute(query):
            found.setdefault(account, []).append((tenant, connection))
    return found
