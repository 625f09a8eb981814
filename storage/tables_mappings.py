"""Table of what the mapping of a stream was, version by version; the one in force stands with the stream."""

from __future__ import annotations

from sqlalchemy import Column, Integer, PrimaryKeyConstraint, Table, Text

from storage.columns import UUID_TYPE, metadata, now_column, tenant_column

mapping_version = Table(
    "mapping_version",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("version", Integer, nullable=False),  # 1 is what was in force before the first change
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    now_column("at"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "object", "version"),
)
