"""How much a tenant stores: exact up to a million of a kind, "at least" beyond it, so that asking stays cheap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, literal, select

from storage.tables import blob, entity_tables, link

COUNTED_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Volume:
    """``exact`` False: at least ``count``."""

    count: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Volumes:
    """What the tenant of a transaction stores. ``records`` by entity, those without any left out."""

    records: Mapping[str, Volume]
    links: Volume
    files: Volume
    files_bytes: int


def of(conn: Connection) -> Volumes:
    """Count what the transaction's tenant stores."""
    records = {entity: _count(conn, table) for entity, table in entity_tables.items()}
    return Volumes(
        {entity: volume for entity, volume in records.items() if volume.count},
        _count(conn, link),
        _count(conn, blob),
        int(conn.scalar(select(func.coalesce(func.sum(blob.c.size_bytes), 0))) or 0),
    )


def _count(conn: Connection, table: Table) -> Volume:
    few = select(literal(1)).select_from(table).limit(COUNTED_MAX + 1).subquery()
    found = int(conn.scalar(select(func.count()).select_from(few)) or 0)
    return Volume(min(found, COUNTED_MAX), found <= COUNTED_MAX)
