"""Credentials in the database: sealed, refreshed once however many ask, re-encrypted when a master key changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text
from sqlalchemy.dialects.postgresql import insert
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from domain.errors import ConfigurationError, StorageFullError, TransientError
from storage import secrets
from storage.database import Database
from storage.tables import credential
from storage.vault import Sealed, Vault

_ROTATED_AT_ONCE = 50
_STORE_ATTEMPTS = 6

# Threads of one process queue here rather than each holding a pooled connection while they wait for the row.
_queues: defaultdict[UUID, Lock] = defaultdict(Lock)


class StoredTokens:
    """The credentials of one connection (`connectors.kit.contract.TokenStore`). Safe across threads and processes."""

    def __init__(self, db: Database, vault: Vault, tenant_id: UUID, connection_id: UUID) -> None:
        self._db = db
        self._vault = vault
        self._tenant_id = tenant_id
        self._connection_id = connection_id

    def __repr__(self) -> str:
        return f"StoredTokens({self._connection_id})"

    def load(self) -> Mapping[str, Any]:
        """The current credentials; none stored is an empty mapping. Raises ConfigurationError when they do not open."""
        with self._db.tenant(self._tenant_id) as conn:
            row = self._row(conn, lock=False)
        return {} if row is None else self._open(row)

    def save(self, credentials: Mapping[str, Any]) -> None:
        """Store ``credentials`` whatever was there before (connecting, reconnecting). The connection must exist."""
        with self._db.tenant(self._tenant_id) as conn:
            save(conn, self._vault, self._tenant_id, self._connection_id, credentials)

    def refresh(
        self, stale: str | None, exchange: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """See `TokenStore.refresh`: one exchange for the token ``stale``, committed before it is returned.

        The row stays locked during the exchange, so that other processes wait and then find the fresh token. Should the
        database fail just then, storing is tried again for a while: a rotated token that is lost means connecting anew.
        Raises what ``exchange`` raises (nothing is changed then) and ConfigurationError when nothing is stored.
        """
        fresh: dict[str, Any] = {}
        generation = 0
        try:
            with _queues[self._connection_id], self._db.tenant(self._tenant_id) as conn:
                row = self._required_row(conn)
                current = self._open(row)
                if current.get("access_token") != stale:
                    return current
                generation = row.generation
                fresh = dict(exchange(dict(current)))
                self._store(conn, fresh, generation)
        except (TransientError, StorageFullError):
            if not fresh:
                raise
            self._store_persistently(fresh, generation)
        return fresh

    def _store_persistently(self, fresh: Mapping[str, Any], generation: int) -> None:
        for attempt in Retrying(
            retry=retry_if_exception_type((TransientError, StorageFullError)),
            stop=stop_after_attempt(_STORE_ATTEMPTS),
            wait=wait_exponential(multiplier=0.2, max=5),
            reraise=True,
        ):
            with attempt, self._db.tenant(self._tenant_id) as conn:
                self._store(conn, fresh, generation)

    def _store(self, conn: Connection, fresh: Mapping[str, Any], generation: int) -> None:
        # Only over the generation that was exchanged: the commit that failed may have arrived, or someone connected anew.
        sealed = self._vault.seal(self._tenant_id, self._connection_id, fresh)
        conn.execute(
            credential.update()
            .where(*self._mine(), credential.c.generation == generation)
            .values(**sealed.columns(), generation=generation + 1, updated_at=text("now()"))
        )

    def _required_row(self, conn: Connection) -> Row[Any]:
        row = self._row(conn, lock=True)
        if row is None:
            raise ConfigurationError(
                f"The connection {self._connection_id} has no stored credentials.", remedy="Connect it again."
            )
        return row

    def _row(self, conn: Connection, *, lock: bool) -> Row[Any] | None:
        query = select(credential).where(*self._mine())
        return conn.execute(query.with_for_update() if lock else query).one_or_none()

    def _mine(self) -> tuple[Any, ...]:
        return (credential.c.tenant_id == self._tenant_id, credential.c.connection_id == self._connection_id)

    def _open(self, row: Row[Any]) -> dict[str, Any]:
        return self._vault.open(self._tenant_id, self._connection_id, Sealed.of(row))


def save(conn: Connection, vault: Vault, tenant_id: UUID, connection_id: UUID, credentials: Mapping[str, Any]) -> None:
    """Store credentials in the caller's transaction, so that connection and credentials appear together."""
    sealed = vault.seal(tenant_id, connection_id, credentials).columns()
    statement = insert(credential).values(tenant_id=tenant_id, connection_id=connection_id, **sealed)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "connection_id"],
            set_={**sealed, "generation": credential.c.generation + 1, "updated_at": text("now()")},
        )
    )


def rotate(db: Database, vault: Vault, tenant_id: UUID) -> int:
    """Re-encrypt every credential and every secret of a tenant that an older master key sealed; returns how many.

    Works in small transactions on rows that nobody holds: stopped half-way, it goes on where it stood, and running it again
    changes nothing. What does not open raises ConfigurationError, after the others of earlier batches are done.
    """
    done = 0
    for rotate_batch in (_rotate_batch, secrets.rotate_batch):
        while batch := rotate_batch(db, vault, tenant_id):
            done += batch
    return done


def _rotate_batch(db: Database, vault: Vault, tenant_id: UUID) -> int:
    outdated = (
        select(credential)
        .where(credential.c.tenant_id == tenant_id, credential.c.key_id != vault.current_key)
        .order_by(credential.c.connection_id)
        .limit(_ROTATED_AT_ONCE)
        .with_for_update()
    )
    with db.tenant(tenant_id) as conn:
        rows = conn.execute(outdated).all()
        for row in rows:
            plain = vault.open(tenant_id, row.connection_id, Sealed.of(row))
            conn.execute(
                credential.update()
                .where(credential.c.tenant_id == tenant_id, credential.c.connection_id == row.connection_id)
                .values(**vault.seal(tenant_id, row.connection_id, plain).columns())
            )
    return len(rows)
