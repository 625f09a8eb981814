"""What owners of mailboxes and calendars agreed to: who, when, which scopes, which text; and when they withdrew it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import connections
from storage.tables_privacy import consent
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class Consent:
    """One agreement. ``text_version`` names the text that was shown; ``withdrawn_at`` None: it stands."""

    id: UUID
    connection_id: UUID
    who: str
    scopes: tuple[str, ...]
    text_version: str
    given_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None


def give(conn: Connection, connection_id: UUID, who: str, scopes: Sequence[str], text_version: str) -> Consent:
    """Note an agreement. Raises ConfigurationError for a connection that does not exist."""
    connections.get(conn, connection_id)
    values = {"connection_id": connection_id, "who": who, "scopes": list(scopes), "text_version": text_version}
    row = conn.execute(
        consent.insert().values(tenant_id=current_tenant(conn), id=new_id(), **values).returning(consent)
    ).one()
    return _consent(row)


def withdraw(conn: Connection, consent_id: UUID, by: str) -> Consent:
    """Note that an agreement ended; one that had ended stays as it is. Raises ConfigurationError."""
    conn.execute(
        consent.update()
        .where(consent.c.id == consent_id, consent.c.withdrawn_at.is_(None))
        .values(withdrawn_at=func.now(), withdrawn_by=by)
    )
    row = conn.execute(select(consent).where(consent.c.id == consent_id)).one_or_none()
    if row is None:
        raise ConfigurationError(
            "There is no consent with this id.", remedy="List the consents.", code="no_such_consent"
        )
    return _consent(row)


def list_all(conn: Connection, connection_id: UUID | None = None) -> list[Consent]:
    """Agreements, the newest first, withdrawn ones included."""
    query = select(consent).order_by(consent.c.id.desc())
    if connection_id is not None:
        query = query.where(consent.c.connection_id == connection_id)
    return [_consent(row) for row in conn.execute(query)]


def _consent(row: Row[Any]) -> Consent:
    values = {name: row._mapping[name] for name in Consent.__slots__}
    return Consent(**values | {"scopes": tuple(row.scopes)})
