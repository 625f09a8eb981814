"""Alembic's entry: runs revisions on the connection that `storage.schema` hands over, then protects every table."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from storage.partitions import ensure_partitions
from storage.tables import metadata
from storage.tenancy import protect


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()
    ensure_partitions(connection)
    protect(connection)


_run(context.config.attributes["connection"])
