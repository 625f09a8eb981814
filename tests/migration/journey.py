"""A whole migration through a real connector: audit, plan, approve, dry run, run, certificate, undo."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from bootstrap.planning import plan_source
from connectors.kit.contract import Connector
from migration.dry_run import ObjectPreview
from migration.ledger import ObjectLedger
from migration.plan_model import Plan
from migration.progress import silent
from migration.service import Migrations
from storage.database import Database
from storage.embedded import ServerUrls
from storage.tables import metadata
from tests.migration.conftest import World

BOOKKEEPING = {"migration_run", "migration_chunk", "change", "dead_letter", "event"}
"""Tables that tell what happened: an undo adds to them, and empties none."""
COLUMNS = ("source", "superseded", "created", "merged", "updated", "unchanged", "rejected", "conflicts")


class Journey(World):
    """A tenant whose one connection is served by ``connect``."""

    def __init__(self, db: Database, urls: ServerUrls, tenant_id: UUID, connect: Callable[[], Connector]) -> None:
        super().__init__(db, urls, tenant_id)
        self.connect = connect
        self.migrations = Migrations(db, urls.app, tenant_id, lambda _: connect(), processes=0)

    def propose(self) -> Plan:
        """Audit the source, and approve whatever plan the audit leads to."""
        hub: Any = SimpleNamespace(db=self.db, tenant_id=self.tenant_id, open_connector=lambda _: self.connect())
        return plan_source(hub, self.connection_id, None, silent).approve()

    def run(self, plan: Plan | None = None) -> Any:
        return self.migrations.run(self.connection_id, plan or self.propose())

    def dry_run(self, plan: Plan) -> dict[str, ObjectPreview]:
        return self.migrations.dry_run(self.connection_id, plan).objects

    def everything(self) -> dict[str, list[str]]:
        """Every row of every table with the tenant's data, bookkeeping apart."""
        return {
            table.name: sorted(row[0] for row in self.rows(f'SELECT CAST(t AS text) FROM "{table.name}" t'))  # noqa: S608
            for table in metadata.tables.values()
            if table.name not in BOOKKEEPING and "tenant_id" in table.columns
        }

    def column(self, sql: str) -> list[Any]:
        return [row[0] for row in self.rows(sql)]


def totals(ledgers: dict[str, ObjectLedger]) -> dict[str, dict[str, int]]:
    return {name: {c: getattr(ledger, c) for c in COLUMNS} for name, ledger in ledgers.items()}


def written(ledgers: dict[str, ObjectLedger]) -> dict[str, tuple[int, int, int]]:
    """(created, merged, updated) of every object of which a run wrote something."""
    found = {n: (x.created, x.merged, x.updated) for n, x in ledgers.items()}
    return {n: counts for n, counts in found.items() if any(counts)}
