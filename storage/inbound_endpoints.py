"""Addresses that somebody posts to: whose scheme and settings verify what comes, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import secrets
from storage.tables_inbound import inbound_endpoint
from storage.tenancy import current_tenant

_CHANGEABLE = frozenset({"name", "settings", "connection_id", "status"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address. ``settings``: those of its scheme, nothing secret.

    ``status``: active; paused (deliveries are stored, and processed once it is active again); removed (nothing is accepted).
    ``connection_id``: whose notices come here; None for data that somebody posts, and for addresses of a vendor's whole app.
    """

    id: UUID
    name: str
    scheme: str
    connection_id: UUID | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    status: str = "active"
    created_at: datetime | None = None
    updated_at: datetime | None = None


def create(
    conn: Connection,
    *,
    name: str,
    scheme: str,
    settings: Mapping[str, Any] | None = None,
    connection_id: UUID | None = None,
) -> Endpoint:
    """Add an endpoint to the transaction's tenant. Raises ConfigurationError when the name is taken."""
    statement = insert(inbound_endpoint).values(
        tenant_id=current_tenant(conn),
        id=new_id(),
        name=name,
        scheme=scheme,
        settings=dict(settings or {}),
        connection_id=connection_id,
    )
    row = conn.execute(statement.on_conflict_do_nothing().returning(*_columns())).one_or_none()
    if row is None:
        raise _taken(name)
    return _endpoint(row)


def get(conn: Connection, endpoint_id: UUID) -> Endpoint:
    """The endpoint with this id, removed ones included. Raises ConfigurationError."""
    row = conn.execute(select(*_columns()).where(inbound_endpoint.c.id == endpoint_id)).one_or_none()
    if row is None:
        raise _missing()
    return _endpoint(row)


def by_name(conn: Connection, name: str) -> Endpoint | None:
    """The endpoint called ``name`` that was not removed, or None."""
    row = conn.execute(
        select(*_columns()).where(inbound_endpoint.c.name == name, inbound_endpoint.c.status != "removed")
    ).one_or_none()
    return None if row is None else _endpoint(row)


def list_all(conn: Connection) -> list[Endpoint]:
    """The tenant's endpoints that were not removed, by name."""
    rows = conn.execute(
        select(*_columns()).where(inbound_endpoint.c.status != "removed").order_by(inbound_endpoint.c.name)
    )
    return [_endpoint(row) for row in rows]


def of_schemes(conn: Connection, schemes: Collection[str]) -> list[Endpoint]:
    """Endpoints of some schemes, removed ones included."""
    query = select(*_columns()).where(inbound_endpoint.c.scheme.in_(sorted(schemes)))
    return [_endpoint(row) for row in conn.execute(query)]


def update(conn: Connection, endpoint_id: UUID, **changes: Any) -> Endpoint:
    """Change name, settings, connection_id or status. Raises ConfigurationError: no such endpoint, or the name is taken."""
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")
    statement = (
        inbound_endpoint.update()
        .where(inbound_endpoint.c.id == endpoint_id, inbound_endpoint.c.status != "removed")
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
        raise _missing()
    return _endpoint(row)


def remove(conn: Connection, endpoint_id: UUID) -> Endpoint:
    """Accept nothing more, for good, and delete the secrets. What was received stays, and is processed."""
    removed = update(conn, endpoint_id, status="removed")
    secrets.remove(conn, endpoint_id)
    return removed


def lock(conn: Connection, endpoint_id: UUID) -> Endpoint:
    """The endpoint, held to the end of the transaction. Raises ConfigurationError."""
    row = conn.execute(
        select(*_columns()).where(inbound_endpoint.c.id == endpoint_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise _missing()
    return _endpoint(row)


def _columns() -> list[Any]:
    return [inbound_endpoint.c[name] for name in Endpoint.__slots__]


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(**row._mapping)


def _taken(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is already a webhook endpoint named {name}.", remedy="Choose another name.", code="name_taken"
    )


def _missing() -> ConfigurationError:
    return ConfigurationError(
        "There is no such webhook endpoint.",
        remedy="List the endpoints to see which there are.",
        code="no_such_endpoint",
    )
