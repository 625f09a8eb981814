"""Tokens refreshed once however many ask, never lost, and re-encrypted when a master key changes."""

from __future__ import annotations

import base64
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import select, text

from connectors.kit.contract import TokenStore
from domain.errors import ConfigurationError, ReauthRequiredError, TransientError
from domain.ids import new_id
from storage import connections
from storage.credentials import StoredTokens, rotate, save
from storage.database import Database
from storage.embedded import ServerUrls
from storage.tables import credential
from storage.vault import MasterKeys, Vault

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()


def _vault(*keys: str) -> Vault:
    return Vault(MasterKeys.parse(keys, "a test"))


def _connect(db: Database, tenant_id: UUID, credentials: Mapping[str, Any] | None = None, name: str = "") -> UUID:
    connection_id = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, connection_id, vendor="salesforce", name=name or connection_id.hex)
        if credentials is not None:
            save(conn, _vault(OLD), tenant_id, connection_id, credentials)
    return connection_id


def _tokens(db: Database, tenant_id: UUID, credentials: Mapping[str, Any] | None = None) -> StoredTokens:
    return StoredTokens(db, _vault(OLD), tenant_id, _connect(db, tenant_id, credentials))


def _stored(db: Database, tenant_id: UUID) -> list[Any]:
    with db.tenant(tenant_id) as conn:
        return list(conn.execute(select(credential)).all())


def test_it_is_a_token_store(db: Database, tenant_id: UUID) -> None:
    store: TokenStore = _tokens(db, tenant_id)
    assert store.load() == {}


def test_saved_credentials_come_back_and_are_encrypted(db: Database, tenant_id: UUID, admin_url: str) -> None:
    tokens = _tokens(db, tenant_id)
    tokens.save({"client_secret": "canary-1", "access_token": "canary-2"})
    assert tokens.load() == {"client_secret": "canary-1", "access_token": "canary-2"}
    assert "canary" not in repr(tokens)
    with psycopg.connect(admin_url) as admin:
        rows = admin.execute(
            "SELECT c::text, ciphertext FROM credential c WHERE tenant_id = %s", [tenant_id]
        ).fetchall()
    assert b"canary" not in rows[0][0].encode() + rows[0][1]


def test_another_tenant_finds_nothing(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    connection_id = _connect(db, tenant_id, {"access_token": "a"})
    stolen = StoredTokens(db, _vault(OLD), other_tenant_id, connection_id)
    assert stolen.load() == {}
    with pytest.raises(ConfigurationError, match="no stored credentials"):
        stolen.refresh("a", dict)


def test_refresh_replaces_the_stale_token(db: Database, tenant_id: UUID) -> None:
    tokens = _tokens(db, tenant_id, {"access_token": "1", "refresh_token": "r1"})
    fresh = tokens.refresh("1", lambda current: {**current, "access_token": "2", "refresh_token": "r2"})
    assert fresh == {"access_token": "2", "refresh_token": "r2"} == tokens.load()
    assert [row.generation for row in _stored(db, tenant_id)] == [2]


def test_refresh_of_a_token_that_is_no_longer_current_exchanges_nothing(db: Database, tenant_id: UUID) -> None:
    tokens = _tokens(db, tenant_id, {"access_token": "2"})
    assert tokens.refresh("1", lambda _current: pytest.fail("exchanged")) == {"access_token": "2"}


def test_the_first_token_is_a_refresh_of_none(db: Database, tenant_id: UUID) -> None:
    tokens = _tokens(db, tenant_id, {"client_secret": "s"})
    assert tokens.refresh(None, lambda c: {**c, "access_token": "1"})["access_token"] == "1"


def test_a_failed_exchange_changes_nothing(db: Database, tenant_id: UUID) -> None:
    tokens = _tokens(db, tenant_id, {"access_token": "1"})

    def refused(_current: Mapping[str, Any]) -> Mapping[str, Any]:
        raise ReauthRequiredError("Revoked.")

    with pytest.raises(ReauthRequiredError):
        tokens.refresh("1", refused)
    assert tokens.load() == {"access_token": "1"}
    assert tokens.refresh("1", lambda _c: {"access_token": "2"}) == {"access_token": "2"}


def test_the_rotated_token_is_committed_before_anyone_has_it(db: Database, tenant_id: UUID) -> None:
    tokens = _tokens(db, tenant_id, {"access_token": "1"})
    fresh = tokens.refresh("1", lambda _c: {"access_token": "2"})
    other = StoredTokens(db, _vault(OLD), tenant_id, tokens._connection_id)
    assert other.load() == fresh


def test_a_rotated_token_survives_a_connection_lost_during_the_exchange(
    db: Database, tenant_id: UUID, admin_url: str
) -> None:
    """The vendor has already forgotten the old refresh token: losing the new one would mean connecting anew."""
    tokens = _tokens(db, tenant_id, {"access_token": "1"})

    def exchange(_current: Mapping[str, Any]) -> Mapping[str, Any]:
        with psycopg.connect(admin_url) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l "
                "WHERE l.relation = 'credential'::regclass AND l.mode = 'RowShareLock'"
            )
        return {"access_token": "2"}

    assert tokens.refresh("1", exchange) == {"access_token": "2"}
    assert tokens.load() == {"access_token": "2"}
    assert [row.generation for row in _stored(db, tenant_id)] == [2]


def test_a_late_store_does_not_undo_a_reconnect(db: Database, tenant_id: UUID, admin_url: str) -> None:
    tokens = _tokens(db, tenant_id, {"access_token": "1"})

    def exchange(_current: Mapping[str, Any]) -> Mapping[str, Any]:
        with psycopg.connect(admin_url) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l "
                "WHERE l.relation = 'credential'::regclass AND l.mode = 'RowShareLock'"
            )
        tokens.save({"access_token": "reconnected"})
        return {"access_token": "2"}

    tokens.refresh("1", exchange)
    assert tokens.load() == {"access_token": "reconnected"}


def test_a_transient_failure_of_the_vendor_is_not_taken_for_ours(db: Database, tenant_id: UUID) -> None:
    tokens = _tokens(db, tenant_id, {"access_token": "1"})

    def unavailable(_current: Mapping[str, Any]) -> Mapping[str, Any]:
        raise TransientError("The vendor is down.")

    with pytest.raises(TransientError, match="vendor is down"):
        tokens.refresh("1", unavailable)


# ---------------------------------------------------------------- fifty at once


def _exchange_counted(journal: str) -> Any:
    def exchange(current: Mapping[str, Any]) -> Mapping[str, Any]:
        handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, b"x")
        os.close(handle)
        return {"access_token": f"{current['access_token']}+"}

    return exchange


def _refresh_in_threads(app_url: str, tenant_id: UUID, connection_id: UUID, journal: str, threads: int) -> list[str]:
    with Database(app_url, pool_size=3) as db, ThreadPoolExecutor(threads) as pool:
        tokens = StoredTokens(db, _vault(OLD), tenant_id, connection_id)
        results = [pool.submit(tokens.refresh, "1", _exchange_counted(journal)) for _ in range(threads)]
        return [r.result()["access_token"] for r in results]


def test_fifty_concurrent_refreshes_make_one_exchange(
    db: Database, database_urls: ServerUrls, tenant_id: UUID, tmp_path: Path
) -> None:
    """Five processes of ten threads each, with fewer database connections than threads."""
    connection_id = _connect(db, tenant_id, {"access_token": "1"})
    journal = tmp_path / "exchanges"
    job = (database_urls.app, tenant_id, connection_id, str(journal), 10)
    with multiprocessing.get_context("spawn").Pool(5) as pool:
        results = pool.starmap(_refresh_in_threads, [job] * 5, chunksize=1)
    assert [token for tokens in results for token in tokens] == ["1+"] * 50
    assert journal.read_bytes() == b"x"


# ---------------------------------------------------------------- rotation


def test_rotation_re_encrypts_everything_and_then_nothing(
    db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.credentials._ROTATED_AT_ONCE", 2)
    ids = [_connect(db, tenant_id, {"n": n}) for n in range(5)]
    before = {row.connection_id: row.ciphertext for row in _stored(db, tenant_id)}
    both = _vault(NEW, OLD)
    assert rotate(db, both, tenant_id) == 5
    after = _stored(db, tenant_id)
    assert {row.key_id for row in after} == {"new"}
    assert all(row.ciphertext != before[row.connection_id] for row in after)
    assert [StoredTokens(db, _vault(NEW), tenant_id, i).load() for i in ids] == [{"n": n} for n in range(5)]
    assert rotate(db, both, tenant_id) == 0


def test_a_rotation_that_was_stopped_goes_on(db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.credentials._ROTATED_AT_ONCE", 1)
    ids = sorted(_connect(db, tenant_id, {"n": 1}) for _ in range(3))
    with db.tenant(tenant_id) as conn:
        conn.execute(text("UPDATE credential SET ciphertext = '\\x00' WHERE connection_id = :c"), {"c": ids[1]})
    with pytest.raises(ConfigurationError, match=str(ids[1])):
        rotate(db, _vault(NEW, OLD), tenant_id)
    with db.tenant(tenant_id) as conn:
        connections.delete(conn, ids[1])
    assert rotate(db, _vault(NEW, OLD), tenant_id) == 1
    assert {row.key_id for row in _stored(db, tenant_id)} == {"new"}


def test_rotation_touches_one_tenant_only(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    for tenant in (tenant_id, other_tenant_id):
        _connect(db, tenant, {"n": 1})
    assert rotate(db, _vault(NEW, OLD), tenant_id) == 1
    assert [row.key_id for row in _stored(db, other_tenant_id)] == ["old"]
