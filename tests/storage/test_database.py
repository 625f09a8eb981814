from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from storage.database import Database


def test_a_transaction_sees_its_own_tenant(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        assert conn.execute(text("SELECT tenant_id FROM tenant")).scalars().all() == [tenant_id]


def test_safe(db: Database) -> None:
    db.assert_safe()
