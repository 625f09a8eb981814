"""A bulk load vouches for its references with one lock instead of a foreign key's check for each: nothing may slip through."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from storage import loading
from storage.database import Database
from storage.tables import entity_tables
from tests.support.rows import sample

ACCOUNT, CONTACT = entity_tables["account"], entity_tables["contact"]
DEADLINE_S = 30.0


def _account(db: Database, tenant_id: UUID) -> UUID:
    row = sample(ACCOUNT, tenant_id, parent_id=None, owner_id=None)
    with db.tenant(tenant_id) as conn:
        conn.execute(ACCOUNT.insert().values(row))
    return UUID(str(row["id"]))


def _add_contact(conn: Connection, tenant_id: UUID, account_id: UUID) -> UUID:
    row = sample(CONTACT, tenant_id, account_id=account_id, reports_to_id=None, owner_id=None)
    conn.execute(CONTACT.insert().values(row))
    return UUID(str(row["id"]))


def _account_of(db: Database, tenant_id: UUID, contact: UUID) -> Any:
    with db.tenant(tenant_id) as conn:
        return conn.scalar(text("SELECT account_id FROM crm_contact WHERE id = :id"), {"id": contact})


def _deletes(db: Database, tenant_id: UUID, account: UUID) -> threading.Thread:
    def delete() -> None:
        with db.tenant(tenant_id) as conn:
            conn.execute(text("DELETE FROM crm_account WHERE id = :id"), {"id": account})

    thread = threading.Thread(target=delete)
    thread.start()
    return thread


def _somebody_waits(conn: Connection) -> bool:
    waiting = """SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database())"""
    return bool(conn.scalar(text(waiting)))


def test_a_delete_waits_for_a_load_and_clears_the_references_that_came_with_it(db: Database, tenant_id: UUID) -> None:
    account = _account(db, tenant_id)
    with db.tenant(tenant_id) as conn:
        loading.vouch_for_references(conn)
        contact = _add_contact(conn, tenant_id, account)
        deleting = _deletes(db, tenant_id, account)
        deadline = time.monotonic() + DEADLINE_S
        while not _somebody_waits(conn):
            assert deleting.is_alive(), "the delete did not wait"
            assert time.monotonic() < deadline
    deleting.join(DEADLINE_S)
    assert not deleting.is_alive()
    assert _account_of(db, tenant_id, contact) is None


def test_another_tenants_delete_does_not_wait(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    theirs = _account(db, other_tenant_id)
    with db.tenant(tenant_id) as conn:
        loading.vouch_for_references(conn)
        deleting = _deletes(db, other_tenant_id, theirs)
        deleting.join(DEADLINE_S)
        assert not deleting.is_alive()


def test_the_application_may_spare_the_checks_within_one_transaction_alone(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        loading.vouch_for_references(conn)
        assert conn.scalar(text("SELECT current_setting('session_replication_role')")) == "replica"
    with pytest.raises(IntegrityError, match="account_id_fkey"), db.tenant(tenant_id) as conn:
        _add_contact(conn, tenant_id, uuid4())
