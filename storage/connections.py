"""Connections: which remote accounts a tenant is connected to. What is secret of them is in `storage.credentials`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from domain.errors import ConfigurationError
from storage.tables import connection
from storage.tenancy import current_tenant

_CHANGEABLE = frozenset({"name", "remote_account", "settings", "base_url", "status", "status_message", "verified_at"})


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """One remote account. ``status``: new, ok, paused or reauth; ``verified_at``: the last successful sign-in."""

    id: UUID
    vendor: str
    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    remote_account: str | None = None
    base_url: str | None = None
    status: str = "new"
    status_message: str | None = None
    verified_at: datetime | None = None
    created_at: datetime | None = None


def create(
    conn: Connection,
    connection_id: UUID,
    *,
    vendor: str,
    name: str,
    settings: Mapping[str, str] | None = None,
    remote_account: str | None = None,
    base_url: str | None = None,
    status: str = "new",
) -> StoredConnection:
    """Add a connection to the transaction's tenant. Raises ConfigurationError when the name is taken."""
    values = {
        "id": connection_id,
        "vendor": vendor,
        "name": name,
        "settings": dict(settings or {}),
        "remote_account": remote_account,
        "base_url": base_url,
        "status": status,
    }
    statement = insert(connection).values(tenant_id=current_tenant(conn), **values)
    row = conn.execute(
        statement.on_conflict_do_nothing(index_elements=["tenant_id", "name"]).returning(*_columns())
    ).one_or_none()
    if row is None:
        raise _taken(name)
    return _stored(row)


def get(conn: Connection, connection_id: UUID) -> StoredConnection:
    """The connection with this id. Raises ConfigurationError."""
    row = conn.execute(select(*_columns()).where(connection.c.id == connection_id)).one_or_none()
    if row is None:
        raise _missing(f"with the id {connection_id}")
    return _stored(row)


def by_name(conn: Connection, name: str) -> StoredConnection | None:
    """The connection called ``name``, or None."""
    row = conn.execute(select(*_columns()).where(connection.c.name == name)).one_or_none()
    return None if row is None else _stored(row)


def list_all(conn: Connection, vendor: str | None = None) -> list[StoredConnection]:
    """The tenant's connections by name, of one vendor or of all."""
    query = select(*_columns()).order_by(connection.c.name)
    rows = conn.execute(query if vendor is None else query.where(connection.c.vendor == vendor))
    return [_stored(row) for row in rows]


def update(conn: Connection, connection_id: UUID, **changes: Any) -> StoredConnection:
    """Change name, settings, base_url, remote_account, status, status_message or verified_at.

    Raises ConfigurationError when there is no such connection or the new name is taken.
    """
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")
    statement = (
        connection.update()
        .where(connection.c.id == connection_id)
        .values(**changes, updated_at=text("now()"))
        .returning(*_columns())
    )
    try:
        with conn.begin_nested():  # a taken name must not spoil the caller's transaction
            row = conn.execute(statement).one_or_none()
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != "23505":
            raise
        raise _taken(str(changes.get("name"))) from None
    if row is None:
        raise _missing(f"with the id {connection_id}")
    return _stored(row)


def delete(conn: Connection, connection_id: UUID) -> bool:
    """Remove a connection and its credentials; migrated records and links stay. Returns whether it was there."""
    result = conn.execute(connection.delete().where(connection.c.id == connection_id).returning(connection.c.id))
    return result.one_or_none() is not None


def _columns() -> list[Any]:
    return [connection.c[name] for name in StoredConnection.__slots__]


def _stored(row: Row[Any]) -> StoredConnection:
    return StoredConnection(**row._mapping)


def _taken(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is already a connection named {name}.", remedy="Choose another name.", code="name_taken"
    )


def _missing(which: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is no connection {which}.",
        remedy="List the connections to see which there are.",
        code="no_such_connection",
    )
