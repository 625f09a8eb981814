"""Sign-ins under way: what was begun waits, sealed, for the one answer that brings its state back.

A state names its tenant, so that an answer, which comes without a key, finds it; everything else of it is random. It is
taken out of the table when it is used, whatever becomes of the answer: it cannot be used twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage.tables_oauth import sign_in
from storage.vault import Sealed, Vault

_RANDOM_BYTES = 32


def new_state(tenant_id: UUID) -> str:
    """An unguessable state that names the tenant."""
    return base64.urlsafe_b64encode(tenant_id.bytes + secrets.token_bytes(_RANDOM_BYTES)).decode()


def tenant_of(state: str) -> UUID | None:
    """The tenant that a state names; None for what is no state. Proves nothing: `take` does."""
    try:
        raw = base64.b64decode(state, b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return UUID(bytes=raw[:16]) if len(raw) == 16 + _RANDOM_BYTES else None


def put(
    conn: Connection,
    vault: Vault,
    tenant_id: UUID,
    state: str,
    begun: Mapping[str, Any],
    now: datetime,
    until: datetime,
) -> None:
    """Keep what was begun (JSON values) until ``until``; older ones that nobody answered go."""
    conn.execute(sign_in.delete().where(sign_in.c.expires_at <= now))
    made = new_id()
    sealed = vault.seal(tenant_id, made, begun)
    conn.execute(
        sign_in.insert().values(
            tenant_id=tenant_id, state_hash=_hash(state), id=made, key_id=sealed.key_id, wrapped_key=sealed.wrapped_key,
            ciphertext=sealed.ciphertext, expires_at=until,
        )
    )  # fmt: skip


def take(conn: Connection, vault: Vault, tenant_id: UUID, state: str, now: datetime) -> dict[str, Any]:
    """What was begun with this state, which is used up once the transaction commits. Raises ConfigurationError."""
    row = conn.execute(sign_in.delete().where(sign_in.c.state_hash == _hash(state)).returning(*sign_in.c)).one_or_none()
    if row is None:
        raise unknown_state()
    if row.expires_at <= now:
        raise ConfigurationError("The sign-in took too long.", remedy="Start connecting again.", code="sign_in_timeout")
    sealed = Sealed(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext))
    return vault.open(tenant_id, row.id, sealed)


def unknown_state() -> ConfigurationError:
    """The refusal of a state that nobody waits for: foreign, used before, or made up."""
    return ConfigurationError(
        "This answer does not belong to a sign-in that waits for one.",
        remedy="Start connecting again, in one browser window.",
        code="state_mismatch",
    )


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()
