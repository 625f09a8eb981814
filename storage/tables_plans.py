"""Table of migration plans that are kept for the API and the console; the command line keeps them in files."""

from __future__ import annotations

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, Text

from storage.columns import TIMESTAMP, UUID_TYPE, metadata, now_column, tenant_column

migration_plan = Table(  # `text`: the commented TOML that a person edits; what was approved is `approved`, its checksum
    "migration_plan",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("text", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("approved", Text),
    Column("approved_by", Text),
    Column("approved_at", TIMESTAMP),
    now_column("created_at"),
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index(None, "tenant_id", "connection_id", "id"),
)
