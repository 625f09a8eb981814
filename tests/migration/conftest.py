"""A migration without a vendor: sources made of lists, plans made of shipped mappings, the real database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from mappings.compile import MappingContext
from mappings.spec import load_shipped
from migration.plan_model import Phase, Plan, PlannedObject
from migration.service import Migrations
from storage import connections
from storage.database import Database
from storage.embedded import ServerUrls
from tests.migration.source import ListSource

PHASES = {
    "RecordType": Phase.METADATA,
    "User": Phase.USERS,
    "Account": Phase.MASTER_DATA,
    "Contact": Phase.MASTER_DATA,
    "Lead": Phase.MASTER_DATA,
    "Opportunity": Phase.TRANSACTIONS,
    "Task": Phase.TRANSACTIONS,
    "OpportunityContactRole": Phase.ASSOCIATIONS,
    "AccountContactRelation": Phase.ASSOCIATIONS,
    "ContentVersion": Phase.ATTACHMENTS,
}


def plan_of(source: ListSource, **rules: Any) -> Plan:
    """An approved plan for every object of the source, by the shipped Salesforce mappings."""
    catalog = source.describe()
    objects = []
    for name in source.objects:
        spec = load_shipped("salesforce", name)
        assert spec is not None
        objects.append(
            PlannedObject(
                name,
                spec.entity,
                PHASES[name],
                spec,
                expected_count=len(source.objects[name]),
                match_rules=rules.get(name, ()),
                mapping=f"salesforce/{name}",
            )
        )
    objects.sort(key=lambda p: p.phase)
    plan = Plan("salesforce", source.account, tuple(objects), MappingContext(), catalog.fingerprint())
    return plan.approve()


class World:
    """One tenant with one connection to a list source."""

    def __init__(self, db: Database, urls: ServerUrls, tenant_id: UUID) -> None:
        self.db, self.tenant_id = db, tenant_id
        self.connection_id = new_id()
        self.source = ListSource({})
        with db.tenant(tenant_id) as connection:
            connections.create(connection, self.connection_id, vendor="salesforce", name=f"org {self.connection_id}")
        self.migrations = Migrations(db, urls.app, tenant_id, lambda _: self.source, processes=0)

    def migrate(
        self, objects: Mapping[str, list[dict[str, Any]]] | None = None, *, certificate: bool = False, **rules: Any
    ) -> Any:
        """Run a migration of ``objects`` (or of the source as it stands) and return its result.

        Certifying takes longer than so small a run, so it is done where a test looks at the certificate.
        """
        if objects is not None:
            self.source = ListSource(objects)
        self.plan = plan_of(self.source, **rules)
        return self.migrations.run(self.connection_id, self.plan, certificate=certificate)

    def rows(self, sql: str, **parameters: Any) -> list[Any]:
        with self.db.tenant(self.tenant_id) as connection:
            return list(connection.execute(text(sql), parameters).all())

    def execute(self, sql: str, **parameters: Any) -> None:
        with self.db.tenant(self.tenant_id) as connection:
            connection.execute(text(sql), parameters)

    def count(self, table: str) -> int:
        return int(self.rows(f'SELECT count(*) FROM "{table}"')[0][0])  # noqa: S608


@pytest.fixture
def world(db: Database, database_urls: ServerUrls, tenant_id: UUID) -> World:
    return World(db, database_urls, tenant_id)


@pytest.fixture
def make_world(db: Database, database_urls: ServerUrls) -> Callable[[], World]:
    """More worlds, each with a tenant of its own."""
    from tests.conftest import new_tenant

    return lambda: World(db, database_urls, new_tenant(db))


__all__ = ["World", "plan_of", "replace"]
