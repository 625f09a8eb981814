"""A valid row for any table, made from its metadata: what isolation tests put into every table there is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Float, Integer, LargeBinary, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as UUIDColumn

from domain.ids import new_id

_VALUES: tuple[tuple[Any, Any], ...] = (
    (UUIDColumn, None),
    (Boolean, True),
    (BigInteger, 7),
    (Integer, 0),
    (Numeric, 1),
    (Float, 1.0),
    (DateTime, dt.datetime(2024, 5, 6, 7, 8, tzinfo=dt.UTC)),
    (Date, dt.date(2024, 5, 6)),
    (JSONB, {}),
    (LargeBinary, b"\x01\x02"),
    (ARRAY, ["a"]),
    (Text, "text"),
)


def parents(table: Table, made: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What ``table`` must refer to, among rows ``made`` by the names of their tables."""
    return {
        element.parent.name: made[element.column.table.name][element.column.name]
        for key in table.foreign_key_constraints
        for element in key.elements
        if not element.parent.nullable and element.parent.name != "tenant_id" and element.column.table.name in made
    }


def sample(table: Table, tenant_id: UUID, **given: Any) -> dict[str, Any]:
    """Values for every column of ``table`` that must have one; ``given`` wins."""
    values: dict[str, Any] = {"tenant_id": tenant_id}
    for column in table.columns:
        needed = not column.nullable and column.server_default is None and column.identity is None
        if needed and column.name not in values:
            value = next(v for kind, v in _VALUES if isinstance(column.type, kind))
            values[column.name] = new_id() if value is None else value
    return values | given
