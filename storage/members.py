"""People of a tenant: invited by e-mail address, known by issuer and subject from their first sign-in on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, RowMapping, func, select

from domain.access import ROLES, SYSTEM_TENANT, Actor
from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import audit
from storage.tables_access import member
from storage.tenancy import current_tenant

ADMINS = ("tenant_admin", "system_admin")


@dataclass(frozen=True, slots=True)
class Member:
    """A person of the tenant. ``status``: invited, active or removed."""

    id: UUID
    email: str
    name: str
    role: str
    status: str
    invited_by: str
    created_at: datetime
    joined_at: datetime | None
    removed_at: datetime | None

    @property
    def permissions(self) -> frozenset[str]:
        return ROLES[self.role]


def invite(conn: Connection, *, email: str, name: str, role: str, invited_by: str) -> Member:
    """Let the person with this address in at their next sign-in; one who was removed is invited anew.

    Raises ConfigurationError for an unknown role, and for an address that a member has.
    """
    check_role(conn, role)
    lowered = email.lower()
    known = conn.execute(
        select(member.c.id, member.c.status).where(member.c.email == lowered).with_for_update()
    ).first()
    if known is not None and known.status != "removed":
        raise ConfigurationError(
            "The tenant has a member with this e-mail address.",
            remedy="Change that member instead.",
            code="member_exists",
        )
    values = {"name": name, "role": role, "status": "invited", "invited_by": invited_by}
    if known is not None:
        cleared = dict.fromkeys(("issuer", "subject", "joined_at", "removed_at"))
        return _changed(conn, known.id, **values, **cleared)
    key = {"tenant_id": UUID(current_tenant(conn)), "id": new_id(), "email": lowered}
    row = conn.execute(member.insert().values(**key, **values).returning(*_columns())).one()
    return Member(**row._mapping)


def sign_in(conn: Connection, issuer: str, subject: str, email: str | None) -> Member | None:
    """The active member that a verified token is about, or None.

    An invitation is taken up by the first token that bears its address as verified; after that only issuer and subject count.
    """
    mine = (member.c.issuer == issuer) & (member.c.subject == subject)
    row = conn.execute(select(*_columns()).where(mine)).one_or_none()
    if row is not None:
        return _member(row._mapping) if row.status == "active" else None
    if email is None:
        return None
    joined = (
        member.update()
        .where(member.c.email == email, member.c.status == "invited")
        .values(issuer=issuer, subject=subject, status="active", joined_at=func.now())
        .returning(*_columns())
    )
    row = conn.execute(joined).one_or_none()
    if row is None:
        return None
    audit.record(conn, Actor("person", str(row.id), row.email), "member.join", "member", row.id)
    return _member(row._mapping)


def list_all(conn: Connection, *, after: UUID | None = None, limit: int = 100) -> list[Member]:
    """Members in the order of their invitations, removed ones included."""
    query = select(*_columns()).order_by(member.c.id).limit(limit)
    if after is not None:
        query = query.where(member.c.id > after)
    return [_member(row._mapping) for row in conn.execute(query)]


def get(conn: Connection, member_id: UUID) -> Member:
    """One member, locked until the transaction ends. Raises ConfigurationError."""
    row = conn.execute(select(*_columns()).where(member.c.id == member_id).with_for_update()).one_or_none()
    if row is None:
        raise ConfigurationError(
            "The tenant has no member with this id.", remedy="List the members.", code="no_such_member"
        )
    return _member(row._mapping)


def set_role(conn: Connection, member_id: UUID, role: str) -> Member:
    """Give a member another role. Raises ConfigurationError where nobody would be left to administer the tenant."""
    check_role(conn, role)
    if role not in ADMINS:
        _assert_not_last(conn, member_id)
    return _changed(conn, get(conn, member_id).id, role=role)


def remove(conn: Connection, member_id: UUID) -> Member:
    """Let a person in no more. They stay listed. Raises ConfigurationError as `set_role` does."""
    _assert_not_last(conn, member_id)
    return _changed(conn, get(conn, member_id).id, status="removed", removed_at=func.now())


def check_role(conn: Connection, role: str) -> None:
    """Raise ConfigurationError unless the transaction's tenant may have members and keys of this role."""
    if role not in ROLES or (role == "system_admin" and UUID(current_tenant(conn)) != SYSTEM_TENANT):
        raise ConfigurationError(
            f"There is no role {role} in this tenant." if role in ROLES else f"There is no role {role[:50]}.",
            remedy=f"Roles are {', '.join(name for name in ROLES if name != 'system_admin')}.",
            code="unknown_permission",
        )


def _assert_not_last(conn: Connection, member_id: UUID) -> None:
    # All administrators are locked, in one order: of two who remove each other, the second one sees what the first did.
    admins = (
        select(member.c.id)
        .where(member.c.role.in_(ADMINS), member.c.status == "active")
        .order_by(member.c.id)
        .with_for_update()
    )
    if list(conn.scalars(admins)) == [member_id]:
        raise ConfigurationError(
            "The tenant would be left without an administrator.",
            remedy="Make somebody else an administrator first.",
            code="last_admin",
        )


def _changed(conn: Connection, member_id: UUID, **values: Any) -> Member:
    row = conn.execute(member.update().where(member.c.id == member_id).values(**values).returning(*_columns())).one()
    return _member(row._mapping)


def _columns() -> list[Column[Any]]:
    return [member.c[name] for name in Member.__slots__]


def _member(row: RowMapping) -> Member:
    return Member(**{name: row[name] for name in Member.__slots__})
