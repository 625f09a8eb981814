"""Table of long work that a person asked for: replays, migrations, exports. One row a job, held by one worker at a time."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from storage.columns import TIMESTAMP, UUID_TYPE, cause_column, metadata, now_column, tenant_column

job = Table(
    "job",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("kind", Text, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'queued'")),  # queued, running, done, failed, cancelled
    Column("progress", JSONB, nullable=False, server_default=text("'{}'")),
    Column("result", JSONB),
    Column("error", JSONB),
    Column("created_by", JSONB, nullable=False),
    now_column("created_at"),
    Column("not_before", TIMESTAMP),
    Column("started_at", TIMESTAMP),
    Column("finished_at", TIMESTAMP),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("generation", BigInteger, nullable=False, server_default=text("0")),
    Column("lease_owner", Text),
    Column("lease_until", TIMESTAMP),
    cause_column(),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index(None, "tenant_id", "kind", "id"),
    Index(None, "tenant_id", "status", "id"),
    Index("job_unfinished_idx", "tenant_id", "id", postgresql_where=text("status IN ('queued', 'running')")),
)
