"""The hub's own users, for matching owners of a source."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from storage.tables import entity_tables


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user who can be told by an e-mail address."""

    id: UUID
    email: str
    name: str


def with_email(conn: Connection) -> list[StoredUser]:
    """Users of the transaction's tenant that have an e-mail address, by id."""
    user = entity_tables["user"].c
    rows = conn.execute(select(user.id, user.email, user.name).where(user.email.is_not(None)).order_by(user.id))
    return [StoredUser(row.id, row.email, row.name or "") for row in rows]
