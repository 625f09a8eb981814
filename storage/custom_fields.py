"""Definitions of custom fields: what the keys of ``custom_fields`` mean, typed from the source's own metadata."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from domain.records import FieldSchema
from storage.tables import custom_field


def define(
    connection: Connection,
    tenant_id: UUID,
    connection_id: UUID,
    run_id: UUID,
    entity: str,
    object_name: str,
    vendor_object: str,
    fields: Sequence[FieldSchema],
) -> None:
    """Define custom fields that are not defined yet; those that are stay as they are."""
    if not fields:
        return
    rows = [
        {
            "tenant_id": tenant_id,
            "entity": entity,
            "object_name": object_name,
            "name": f.name,
            "label": f.label or f.name,
            "kind": str(f.kind),
            "options": [{"value": o.value, "label": o.label} for o in f.options] or None,
            "connection_id": connection_id,
            "vendor_object": vendor_object,
            "vendor_field": f.name,
            "run_id": run_id,
        }
        for f in fields
    ]
    connection.execute(insert(custom_field).on_conflict_do_nothing(), rows)
