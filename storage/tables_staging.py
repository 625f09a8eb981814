"""Staging tables: what a run has read and mapped, before anything reaches the canonical tables. Unlogged: `storage.staging`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.types import TypeEngine

from domain.entities import ENTITIES, Entity, Field, Kind
from storage.columns import TIMESTAMP, UUID_TYPE, metadata, tenant_column

_TYPES: dict[Kind, Any] = {
    Kind.INTEGER: BigInteger(),
    Kind.DECIMAL: Numeric(),
    Kind.BOOLEAN: Boolean(),
    Kind.DATE: Date(),
    Kind.TIMESTAMP: DateTime(timezone=True),
    Kind.JSON: JSONB(),
    Kind.TEXT_LIST: ARRAY(Text()),
    Kind.REFERENCE: UUID(as_uuid=True),
}


def column_type(field: Field) -> TypeEngine[Any]:
    """The SQL type of a canonical field."""
    return _TYPES.get(field.kind, Text())  # type: ignore[no-any-return]


def stage_name(entity: str) -> str:
    """The staging table of an entity (or of `association`)."""
    return "stage_" + entity


def _stage_columns() -> list[Any]:
    """Bookkeeping of a staged record.

    `seq` counts the records of one object in the order listed; `action` is the planner's decision: created, updated, unchanged,
    merged (into the record of `survivor_seq` or `target_id`), rejected, superseded (listed again later in the same run).
    `filled`: what a survivor took from records merged into it, custom fields as `custom_fields.<name>`.
    """
    return [
        tenant_column(),
        Column("run_id", UUID_TYPE, nullable=False),
        Column("object", Text, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("vendor_id", Text, nullable=False),
        Column("id", UUID_TYPE, nullable=False),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("vendor_version", Text),
        Column("action", Text),
        Column("target_id", UUID_TYPE),
        Column("survivor_seq", BigInteger),
        Column("rule", Text),
        Column("filled", ARRAY(Text())),
        Column("warnings", JSONB),
        Column("custom_fields", JSONB, nullable=False, server_default=text("'{}'")),
    ]


def _stage_table(entity: Entity) -> Table:
    columns = _stage_columns()
    fields = entity.all_fields.values()
    columns += [Column(f.name, Text() if f.kind is Kind.REFERENCE else column_type(f)) for f in fields]
    name, place = stage_name(entity.name), ("tenant_id", "run_id", "object", "seq")
    # Nearly all records are created, which needs no action: those with one are found without reading the others.
    columns += [
        PrimaryKeyConstraint(*place),
        Index(f"{name}_decided_idx", *place, postgresql_where=text("action IS NOT NULL")),
    ]
    return Table(name, metadata, *columns, prefixes=["UNLOGGED"])


stage_tables: dict[str, Table] = {name: _stage_table(entity) for name, entity in ENTITIES.items()}

stage_association = Table(
    "stage_association",
    metadata,
    *_stage_columns(),
    Column("from_id", Text),
    Column("to_id", Text),
    Column("label", Text),
    Column("is_primary", Boolean),
    Column("source_created_at", TIMESTAMP),
    Column("source_updated_at", TIMESTAMP),
    PrimaryKeyConstraint("tenant_id", "run_id", "object", "seq"),
    prefixes=["UNLOGGED"],
)

stage_link = Table(  # associations found inside records (polymorphic and custom lookups), by vendor ids
    "stage_link",
    metadata,
    tenant_column(),
    Column("run_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("vendor_objects", ARRAY(Text()), nullable=False),
    Column("vendor_id", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "run_id", "object", "seq", "label", "vendor_id"),
    prefixes=["UNLOGGED"],
)
