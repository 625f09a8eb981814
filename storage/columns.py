"""What every table is made of: the metadata, and the columns that come again and again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text, text
from sqlalchemy.dialects.postgresql import UUID

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

TIMESTAMP = DateTime(timezone=True)
UUID_TYPE = UUID(as_uuid=True)


def tenant_column() -> Column[Any]:
    return Column("tenant_id", UUID_TYPE, nullable=False)


def now_column(name: str) -> Column[Any]:
    return Column(name, TIMESTAMP, nullable=False, server_default=text("now()"))


def cause_column() -> Column[str]:
    """The span that wrote the row, as its transaction says (see `storage.tracing`); empty or NULL where it was not traced."""
    return Column("traceparent", Text, server_default=text("coalesce(current_setting('app.traceparent', true), '')"))
