"""Every mapping that a stream ever had, with who made it; and having everything mapped again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, text

from domain.errors import ConfigurationError
from storage.tables_mappings import mapping_version
from storage.tenancy import current_tenant

BATCH = 10_000


@dataclass(frozen=True, slots=True)
class MappingVersion:
    """One version. ``text``: the whole spec in TOML; ``reason``: why it was made."""

    version: int
    text: str
    author: str
    reason: str
    at: datetime


def add(conn: Connection, connection_id: UUID, object_name: str, spec: str, author: str, reason: str) -> int:
    """Keep another version; returns its number. The stream's row has to be locked, so that numbers come one by one."""
    last = conn.scalar(select(func.max(mapping_version.c.version)).where(*_of(connection_id, object_name)))
    number = int(last or 0) + 1
    conn.execute(
        mapping_version.insert().values(
            tenant_id=current_tenant(conn), connection_id=connection_id, object=object_name, version=number, text=spec,
            author=author, reason=reason,
        )
    )  # fmt: skip
    return number


def list_all(
    conn: Connection, connection_id: UUID, object_name: str, *, before: int | None, limit: int
) -> list[MappingVersion]:
    """Versions, the newest first."""
    query = select(*_columns()).where(*_of(connection_id, object_name))
    if before is not None:
        query = query.where(mapping_version.c.version < before)
    return [_version(row) for row in conn.execute(query.order_by(mapping_version.c.version.desc()).limit(limit))]


def get(conn: Connection, connection_id: UUID, object_name: str, number: int) -> MappingVersion:
    """The version of this number. Raises ConfigurationError."""
    query = select(*_columns()).where(*_of(connection_id, object_name), mapping_version.c.version == number)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise ConfigurationError(
            f"The mapping has no version {number}.", remedy="List its versions.", code="no_such_version"
        )
    return _version(row)


def take_over(conn: Connection, connection_id: UUID, object_name: str) -> None:
    """Let nobody commit any more what was mapped before: whoever works on the lane begins again."""
    conn.execute(
        text("""
        UPDATE stream SET generation = generation + 1, lease_owner = NULL, lease_until = NULL
        WHERE connection_id = :c AND object = :o"""),
        {"c": connection_id, "o": object_name},
    )


def forget_fingerprints(
    conn: Connection, connection_id: UUID, object_name: str, after: str | None
) -> tuple[int, str | None]:
    """Have a batch of the stream's records mapped again by its next full comparison.

    Returns how many, and after which vendor id to go on; None at the end. A record whose mapped form stays the same is left as
    it is: what both sides last agreed on is kept.
    """
    rows = conn.execute(
        text("""
        WITH batch AS (
            SELECT vendor_id FROM link WHERE connection_id = :c AND vendor_object = :o AND tombstoned_at IS NULL
            AND (CAST(:after AS text) IS NULL OR vendor_id > :after) ORDER BY vendor_id LIMIT :n),
        cleared AS (
            UPDATE link l SET fingerprint = NULL, revision = revision + 1 FROM batch b
            WHERE l.connection_id = :c AND l.vendor_object = :o AND l.vendor_id = b.vendor_id)
        SELECT count(*), max(vendor_id) FROM batch"""),
        {"c": connection_id, "o": object_name, "after": after, "n": BATCH},
    ).one()
    return int(rows[0]), rows[1]


def _of(connection_id: UUID, object_name: str) -> tuple[Any, ...]:
    return mapping_version.c.connection_id == connection_id, mapping_version.c.object == object_name


def _columns() -> list[Any]:
    return [mapping_version.c[name] for name in MappingVersion.__slots__]


def _version(row: Row[Any]) -> MappingVersion:
    return MappingVersion(**row._mapping)
