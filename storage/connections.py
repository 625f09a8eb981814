"""Connections: which remote accounts a tenant is connected to. What is secret of them is in `storage.credentials`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from domain.errors import ConfigurationError
from storage import connection_alerts, events
from storage.events import Event
from storage.tables import connection
from storage.tenancy import current_tenant

_CHANGEABLE = frozenset({"name", "remote_account", "settings", "base_url", "status", "status_message", "verified_at"})


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """One remote account. ``status``: new, ok, paused, reauth or disconnected; ``verified_at``: the last successful sign-in.

    ``healthy`` since ``health_since`` (None: ever), or not, for ``unhealthy_reasons``: objects as `domain.health.Reason`.
    """

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
    healthy: bool = True
    unhealthy_reasons: Sequence[Mapping[str, Any]] = ()
    health_since: datetime | None = None


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
    """Add a connection to the transaction's tenant. Raises ConfigurationError when the name is taken.

    One that is `ok` from the beginning is told as connected; another one once it is.
    """
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
    made = _stored(row)
    _tell_status(conn, None, made)
    return made


def get(conn: Connection, connection_id: UUID, *, lock: bool = False) -> StoredConnection:
    """The connection with this id. Raises ConfigurationError."""
    found = find(conn, connection_id, lock=lock)
    if found is None:
        raise _missing(f"with the id {connection_id}")
    return found


def find(conn: Connection, connection_id: UUID, *, lock: bool = False) -> StoredConnection | None:
    """The connection with this id, or None."""
    query = select(*_columns()).where(connection.c.id == connection_id)
    row = conn.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    return None if row is None else _stored(row)


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
    before = _lock_status(conn, connection_id) if "status" in changes else None
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
    changed = _stored(row)
    if before is not None:
        _tell_status(conn, before, changed)
    return changed


def delete(conn: Connection, connection_id: UUID) -> bool:
    """Remove a connection and its credentials; migrated records and links stay. Returns whether it was there."""
    row = conn.execute(connection.delete().where(connection.c.id == connection_id).returning(*_columns())).one_or_none()
    if row is not None and row.status != "disconnected":
        tell(conn, "connection.disconnected", _stored(row))
    return row is not None


def tell(conn: Connection, type_name: str, about: StoredConnection, *, cause: str | None = None, **more: Any) -> None:
    """Emit an event of a connection."""
    data = {"connection_id": about.id, "vendor": about.vendor, "name": about.name, **more}
    events.emit(conn, Event(type_name, data, subject=about.id, cause=cause))


def tell_reauth(conn: Connection, connection_id: UUID, object_name: str | None = None) -> None:
    """Emit that a connection has to be connected again: once an hour, however many of its streams find out."""
    found = find(conn, connection_id)
    if found is not None:
        cause = f"connection.reauth_required/{connection_id}/reauth_required"
        tell(conn, "connection.reauth_required", found, cause=cause, object=object_name, reason="reauth_required")


def _lock_status(conn: Connection, connection_id: UUID) -> str | None:
    query = select(connection.c.status).where(connection.c.id == connection_id)
    return conn.scalar(query.with_for_update(key_share=True))


def _tell_status(conn: Connection, before: str | None, after: StoredConnection) -> None:
    """Emit what a change of status means to those who listen."""
    if before == after.status:
        return
    # One that waited for a sign-in is told as recovered by the next look at its health.
    if after.status == "ok" and before not in ("paused", "reauth"):
        tell(conn, "connection.connected", after)
    elif after.status == "disconnected":
        tell(conn, "connection.disconnected", after)
    elif after.status == "reauth":
        tell_reauth(conn, after.id)
        connection_alerts.note_trouble(conn, after.id)


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
