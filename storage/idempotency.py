"""Calls of the API that must not happen twice: a row for each idempotency key, with the answer once there is one.

A row is *running* under a lease, or *done* with its answer. Whoever holds the lease is known by ``attempt``; an attempt whose
lease was taken over can no longer finish, so that of two attempts at most one commits what it did together with its answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, func, select, text
from sqlalchemy.dialects.postgresql import insert

from domain.ids import new_id
from storage.tables_access import idempotency_key as keys
from storage.tenancy import current_tenant
from storage.vault import Sealed

KEPT = timedelta(hours=48)
"""How long an answer is replayed."""

_CLEARED_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Claimed:
    """The call is ours to make, until the lease ends."""

    attempt: UUID


@dataclass(frozen=True, slots=True)
class Answered:
    """The call was made. ``body`` is sealed for tenant and ``attempt``: answers may hold a secret that is shown once.

    None: the answer told of a person who was erased since.
    """

    attempt: UUID
    status: int
    headers: Mapping[str, str]
    body: Sealed | None


@dataclass(frozen=True, slots=True)
class Busy:
    """Another attempt holds the lease for so many seconds more."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Different:
    """The key was used for another request."""


def claim(
    conn: Connection, caller: str, key: str, request_hash: bytes, lease_s: float
) -> Claimed | Answered | Busy | Different:
    """Take the key for one attempt, or tell what became of the one that did. Commit at once, so that others see it."""
    _clear(conn)
    attempt = new_id()
    statement = insert(keys).values(
        tenant_id=current_tenant(conn),
        caller=caller,
        key=key,
        request_hash=request_hash,
        attempt=attempt,
        lease_until=func.now() + timedelta(seconds=lease_s),
        expires_at=func.now() + KEPT,
    )
    fresh = {name: statement.excluded[name] for name in ("request_hash", "attempt", "lease_until", "expires_at")}
    emptied = dict.fromkeys(("status", "headers", "key_id", "wrapped_key", "ciphertext"))
    left = keys.c.status.is_(None) & (keys.c.lease_until < func.now())
    row = conn.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "caller", "key"],
            set_={**fresh, **emptied},
            where=(keys.c.expires_at < func.now()) | (left & (keys.c.request_hash == statement.excluded.request_hash)),
        ).returning(keys.c.attempt)
    ).one_or_none()
    return Claimed(attempt) if row is not None else _standing(conn, caller, key, request_hash)


def finish(conn: Connection, caller: str, key: str, attempt: UUID, answer: Answered) -> bool:
    """Note the answer in the transaction of the change. False: another attempt took over; roll back."""
    sealed = {} if answer.body is None else answer.body.columns()
    done = keys.update().where(*_ours(caller, key, attempt)).values(
        status=answer.status, headers=dict(answer.headers), **sealed
    )  # fmt: skip
    return conn.execute(done).rowcount == 1


def free(conn: Connection, caller: str, key: str, attempt: UUID) -> None:
    """Give the key back: nothing was changed, and the call may be made again."""
    conn.execute(keys.delete().where(*_ours(caller, key, attempt)))


def answers(conn: Connection) -> list[Answered]:
    """Every answer that is kept for a while, and has not been forgotten."""
    return [_answered(row) for row in conn.execute(select(keys).where(keys.c.ciphertext.is_not(None)))]


def forget(conn: Connection, attempts: Sequence[UUID]) -> int:
    """Keep nothing of answers but that the call was made: it is not to be made again. Returns how many."""
    emptied: dict[str, Any] = {"headers": {}, "key_id": None, "wrapped_key": None, "ciphertext": None}
    return conn.execute(keys.update().where(keys.c.attempt.in_(attempts)).values(**emptied)).rowcount


def _standing(conn: Connection, caller: str, key: str, request_hash: bytes) -> Answered | Busy | Different:
    left = func.extract("epoch", keys.c.lease_until - func.now()).label("left")
    row = conn.execute(select(keys, left).where(keys.c.caller == caller, keys.c.key == key)).one_or_none()
    if row is None:  # it was given back between the two statements
        return Busy(1.0)
    if row.request_hash != request_hash:
        return Different()
    if row.status is None:
        return Busy(max(1.0, float(row.left)))
    return _answered(row)


def _answered(row: Row[Any]) -> Answered:
    sealed = None if row.ciphertext is None else Sealed.of(row)
    return Answered(row.attempt, row.status, row.headers, sealed)


def _ours(caller: str, key: str, attempt: UUID) -> tuple[ColumnElement[bool], ...]:
    return keys.c.caller == caller, keys.c.key == key, keys.c.attempt == attempt, keys.c.status.is_(None)


def _clear(conn: Connection) -> None:
    """Remove a few answers that nobody will ask for any more."""
    conn.execute(
        text("""
        DELETE FROM idempotency_key WHERE (tenant_id, caller, key) IN (
            SELECT tenant_id, caller, key FROM idempotency_key WHERE expires_at < now()
            ORDER BY expires_at LIMIT :few FOR UPDATE SKIP LOCKED)"""),
        {"few": _CLEARED_AT_ONCE},
    )
