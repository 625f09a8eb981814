"""The store in PostgreSQL keeps the contract."""

from __future__ import annotations

from uuid import UUID

import pytest

from storage.database import Database
from tests.sync_engine.contract import StoreContract
from tests.sync_engine.worlds import PostgresWorld


@pytest.fixture
def world(db: Database, tenant_id: UUID) -> PostgresWorld:
    return PostgresWorld(db, tenant_id)


class TestPostgresStore(StoreContract):
    """Every test of the contract."""
