"""Secrets of endpoints: several generations valid at once, sealed for their owner, re-encrypted with the credentials."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import secrets
from storage.credentials import rotate
from storage.database import Database
from storage.tables import secret
from storage.vault import MasterKeys, Vault

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VAULT = Vault(MasterKeys.parse([OLD], "a test"))
DAY = timedelta(days=1)


def test_a_replaced_secret_stays_valid_for_the_overlap_and_no_longer(db: Database, tenant_id: UUID) -> None:
    owner = new_id()
    with db.tenant(tenant_id) as conn:
        assert secrets.add(conn, VAULT, owner, {"secret": "first"}, now=NOW) == 1
        assert secrets.add(conn, VAULT, owner, {"secret": "second"}, overlap=DAY, now=NOW) == 2
        during = secrets.valid(conn, VAULT, owner, now=NOW + DAY / 2)
        after = secrets.valid(conn, VAULT, owner, now=NOW + DAY)
    assert during == [{"secret": "second"}, {"secret": "first"}]
    assert after == [{"secret": "second"}]


def test_a_later_replacement_never_prolongs_what_was_ending(db: Database, tenant_id: UUID) -> None:
    owner = new_id()
    with db.tenant(tenant_id) as conn:
        secrets.add(conn, VAULT, owner, {"secret": "first"}, now=NOW)
        secrets.add(conn, VAULT, owner, {"secret": "second"}, overlap=DAY, now=NOW)
        secrets.add(conn, VAULT, owner, {"secret": "third"}, overlap=9 * DAY, now=NOW)
        known = secrets.generations(conn, owner, now=NOW)
    assert [(g.generation, g.expires_at) for g in known] == [(3, None), (2, NOW + 9 * DAY), (1, NOW + DAY)]


def test_removing_ends_every_generation_at_once(db: Database, tenant_id: UUID) -> None:
    owner, other = new_id(), new_id()
    with db.tenant(tenant_id) as conn:
        secrets.add(conn, VAULT, owner, {"secret": "first"})
        secrets.add(conn, VAULT, other, {"secret": "other"})
        secrets.remove(conn, owner)
        assert secrets.valid(conn, VAULT, owner) == []
        assert secrets.valid(conn, VAULT, other) == [{"secret": "other"}]


def test_another_tenant_sees_no_secret(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    owner = new_id()
    with db.tenant(tenant_id) as conn:
        secrets.add(conn, VAULT, owner, {"secret": "mine"})
    with db.tenant(other_tenant_id) as conn:
        assert secrets.valid(conn, VAULT, owner) == []


def test_a_secret_copied_to_another_owner_does_not_open(db: Database, tenant_id: UUID) -> None:
    owner, thief = new_id(), new_id()
    with db.tenant(tenant_id) as conn:
        secrets.add(conn, VAULT, owner, {"secret": "mine"})
        conn.execute(secret.update().values(owner_id=thief))
        with pytest.raises(ConfigurationError, match="do not open"):
            secrets.valid(conn, VAULT, thief)


def test_the_database_holds_no_secret_in_the_clear(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        secrets.add(conn, VAULT, new_id(), {"secret": "in the clear"})
        row = conn.execute(select(secret)).one()
    assert b"in the clear" not in bytes(row.ciphertext) + bytes(row.wrapped_key)


def test_rotating_master_keys_re_encrypts_every_generation_and_twice_changes_nothing(
    db: Database, tenant_id: UUID
) -> None:
    owner = new_id()
    with db.tenant(tenant_id) as conn:
        for number in range(60):
            secrets.add(conn, VAULT, owner, {"secret": str(number)}, overlap=DAY)
    both, new_alone = Vault(MasterKeys.parse([NEW, OLD], "a test")), Vault(MasterKeys.parse([NEW], "a test"))
    assert rotate(db, both, tenant_id) == 60
    assert rotate(db, both, tenant_id) == 0
    with db.tenant(tenant_id) as conn:
        opened = secrets.valid(conn, new_alone, owner)
    assert [o["secret"] for o in opened] == [str(n) for n in reversed(range(60))]


def test_secrets_that_expired_long_ago_can_be_deleted(db: Database, tenant_id: UUID) -> None:
    owner = new_id()
    with db.tenant(tenant_id) as conn:
        secrets.add(conn, VAULT, owner, {"secret": "first"}, now=NOW)
        secrets.add(conn, VAULT, owner, {"secret": "second"}, overlap=DAY, now=NOW)
        assert secrets.remove_expired(conn, NOW + DAY) == 0
        assert secrets.remove_expired(conn, NOW + 2 * DAY) == 1
        assert [g.generation for g in secrets.generations(conn, owner)] == [2]
