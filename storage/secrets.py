"""Secrets of webhook endpoints and subscriptions, sealed like credentials. Several generations may be valid at once.

An owner (an endpoint, say) signs or verifies with the newest; until an older generation expires, what it signed is accepted
as well, so that both sides need not change at the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, or_, select

from storage.database import Database
from storage.tables_inbound import secret
from storage.tenancy import current_tenant
from storage.vault import Sealed, Vault

PURPOSE = "secret"
_ROTATED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of an owner's secrets, without them. ``expires_at`` None: until it is replaced."""

    generation: int
    created_at: datetime
    expires_at: datetime | None


def add(
    conn: Connection,
    vault: Vault,
    owner_id: UUID,
    values: Mapping[str, str],
    *,
    overlap: timedelta = timedelta(0),
    now: datetime | None = None,
) -> int:
    """Give an owner of the transaction's tenant new secrets; returns their generation.

    Those that it had stay valid for ``overlap`` more, or end when they would have ended anyway. Two at once wait for each other
    only if the caller holds the owner's row; otherwise the second raises an IntegrityError.
    """
    moment = now or datetime.now(UTC)
    tenant = UUID(current_tenant(conn))
    until = moment + overlap
    conn.execute(
        secret.update()
        .where(secret.c.owner_id == owner_id, or_(secret.c.expires_at.is_(None), secret.c.expires_at > until))
        .values(expires_at=until)
    )
    newest = conn.scalar(select(func.max(secret.c.generation)).where(secret.c.owner_id == owner_id)) or 0
    sealed = vault.seal(tenant, owner_id, values, purpose=PURPOSE)
    conn.execute(
        secret.insert().values(
            tenant_id=tenant, owner_id=owner_id, generation=newest + 1, created_at=moment, **sealed.columns()
        )
    )
    return int(newest) + 1


def valid(conn: Connection, vault: Vault, owner_id: UUID, *, now: datetime | None = None) -> list[dict[str, str]]:
    """The secrets of an owner that are valid, newest first. Raises ConfigurationError when they do not open."""
    tenant = UUID(current_tenant(conn))
    rows = conn.execute(
        select(secret).where(secret.c.owner_id == owner_id, _unexpired(now)).order_by(secret.c.generation.desc())
    )
    return [vault.open(tenant, owner_id, Sealed.of(row), purpose=PURPOSE) for row in rows]


def generations(conn: Connection, owner_id: UUID, *, now: datetime | None = None) -> list[Generation]:
    """The valid generations of an owner, newest first."""
    columns = (secret.c.generation, secret.c.created_at, secret.c.expires_at)
    rows = conn.execute(
        select(*columns).where(secret.c.owner_id == owner_id, _unexpired(now)).order_by(secret.c.generation.desc())
    )
    return [Generation(*row) for row in rows]


def remove(conn: Connection, owner_id: UUID) -> None:
    """Delete every secret of an owner, at once and for good."""
    conn.execute(secret.delete().where(secret.c.owner_id == owner_id))


def remove_expired(conn: Connection, before: datetime) -> int:
    """Delete the tenant's secrets that expired before a moment; returns how many."""
    return conn.execute(secret.delete().where(secret.c.expires_at < before)).rowcount


def rotate_batch(db: Database, vault: Vault, tenant_id: UUID) -> int:
    """Re-encrypt some secrets that an older master key sealed; returns how many. See `storage.credentials.rotate`."""
    outdated = (
        select(secret)
        .where(secret.c.tenant_id == tenant_id, secret.c.key_id != vault.current_key)
        .order_by(secret.c.owner_id, secret.c.generation)
        .limit(_ROTATED_AT_ONCE)
        .with_for_update()
    )
    with db.tenant(tenant_id) as conn:
        rows = conn.execute(outdated).all()
        for row in rows:
            plain = vault.open(tenant_id, row.owner_id, Sealed.of(row), purpose=PURPOSE)
            conn.execute(
                secret.update()
                .where(
                    secret.c.tenant_id == tenant_id,
                    secret.c.owner_id == row.owner_id,
                    secret.c.generation == row.generation,
                )
                .values(**vault.seal(tenant_id, row.owner_id, plain, purpose=PURPOSE).columns())
            )
    return len(rows)


def _unexpired(now: datetime | None) -> ColumnElement[bool]:
    return or_(secret.c.expires_at.is_(None), secret.c.expires_at > (now or datetime.now(UTC)))
