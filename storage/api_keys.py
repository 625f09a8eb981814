"""API keys: made once and shown once; what is stored is a hash of the secret, so that the table opens no door."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, RowMapping, select

from domain.access import PERMISSIONS, ROLES, SYSTEM_TENANT
from domain.errors import ConfigurationError
from domain.ids import new_id
from storage.members import check_role
from storage.tables_access import api_key
from storage.tenancy import current_tenant

PREFIX = "sk_"
_SECRET_BYTES = 32
_USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. ``scopes`` None: everything that ``role`` allows."""

    id: UUID
    name: str
    role: str
    scopes: tuple[str, ...] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def permissions(self) -> frozenset[str]:
        allowed = ROLES[self.role]
        return allowed if self.scopes is None else allowed & frozenset(self.scopes)

    def usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Presented:
    """A key as somebody sent it: whose it claims to be, and the secret."""

    tenant_id: UUID
    key_id: UUID
    secret: bytes


def create(
    conn: Connection,
    *,
    name: str,
    role: str,
    created_by: str,
    scopes: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Add a key to the transaction's tenant; returns it with the text to give away, which cannot be shown again.

    Raises ConfigurationError for an unknown role or scope.
    """
    check_role(conn, role)
    odd = sorted(set(scopes or ()) - set(PERMISSIONS))
    if odd:
        raise ConfigurationError(
            f"There is no permission {', '.join(odd)[:200]}.",
            remedy="Permissions are listed in the reference of the API.",
            code="unknown_permission",
        )
    tenant, key_id, secret = UUID(current_tenant(conn)), new_id(), secrets.token_bytes(_SECRET_BYTES)
    row = conn.execute(
        api_key.insert()
        .values(
            tenant_id=tenant,
            id=key_id,
            name=name,
            role=role,
            scopes=None if scopes is None else sorted(scopes),
            secret_hash=_hash(secret),
            created_by=created_by,
            expires_at=expires_at,
        )
        .returning(*_columns())
    ).one()
    return _key(row._mapping), PREFIX + _encoded(tenant.bytes + key_id.bytes + secret)


def parse(text: str) -> Presented | None:
    """What a sent key claims; None for what cannot be one. Nothing is looked up."""
    if not text.startswith(PREFIX):
        return None
    try:
        raw = base64.b64decode(
            text.removeprefix(PREFIX) + "=" * (-len(text.removeprefix(PREFIX)) % 4), b"-_", validate=True
        )
    except ValueError:
        return None
    if len(raw) != 32 + _SECRET_BYTES or _encoded(raw) != text.removeprefix(PREFIX):
        return None
    return Presented(UUID(bytes=raw[:16]), UUID(bytes=raw[16:32]), raw[32:])


def authenticate(conn: Connection, presented: Presented, now: datetime | None = None) -> ApiKey | None:
    """The usable key that was presented, or None. Runs in a transaction of the tenant that it claims."""
    moment = now or datetime.now(UTC)
    row = conn.execute(select(*_columns(), api_key.c.secret_hash).where(api_key.c.id == presented.key_id)).one_or_none()
    known = b"" if row is None else bytes(row.secret_hash)
    if not hmac.compare_digest(_hash(presented.secret), known) or row is None:
        return None
    key = _key(row._mapping)
    if not key.usable(moment) or (key.role == "system_admin" and presented.tenant_id != SYSTEM_TENANT):
        return None
    if key.last_used_at is None or moment - key.last_used_at > _USED_EVERY:
        conn.execute(api_key.update().where(api_key.c.id == key.id).values(last_used_at=moment))
    return key


def get(conn: Connection, key_id: UUID) -> ApiKey:
    """One key, locked until the transaction ends. Raises ConfigurationError."""
    row = conn.execute(select(*_columns()).where(api_key.c.id == key_id).with_for_update()).one_or_none()
    if row is None:
        raise _missing()
    return _key(row._mapping)


def rotate(conn: Connection, key_id: UUID, *, overlap: timedelta, created_by: str) -> tuple[ApiKey, ApiKey, str]:
    """Make a key like another one, which ends after ``overlap``; returns the old one, the new one and its text to give away.

    Raises ConfigurationError where there is no such key, or it has ended.
    """
    old, now = get(conn, key_id), datetime.now(UTC)
    if not old.usable(now):
        raise ConfigurationError("The key has ended and cannot be rotated.", remedy="Make a new one.", code="key_ended")
    ends = min(now + overlap, old.expires_at or datetime.max.replace(tzinfo=UTC))
    new, secret = create(conn, name=old.name, role=old.role, scopes=old.scopes, created_by=created_by)
    conn.execute(api_key.update().where(api_key.c.id == key_id).values(expires_at=ends))
    return get(conn, key_id), new, secret


def list_all(conn: Connection) -> list[ApiKey]:
    """The tenant's keys, the newest last."""
    return [_key(row._mapping) for row in conn.execute(select(*_columns()).order_by(api_key.c.id))]


def revoke(conn: Connection, key_id: UUID) -> ApiKey:
    """End a key at once and for good. Raises ConfigurationError where there is none."""
    row = conn.execute(
        api_key.update().where(api_key.c.id == key_id).values(revoked_at=datetime.now(UTC)).returning(*_columns())
    ).one_or_none()
    if row is None:
        raise _missing()
    return _key(row._mapping)


def _missing() -> ConfigurationError:
    return ConfigurationError("There is no API key with this id.", remedy="List the keys.", code="no_such_key")


def _columns() -> list[Column[Any]]:
    return [api_key.c[name] for name in ApiKey.__slots__]


def _key(row: RowMapping) -> ApiKey:
    values = {name: row[name] for name in ApiKey.__slots__}
    scopes = values["scopes"]
    return ApiKey(**values | {"scopes": None if scopes is None else tuple(scopes)})


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
