"""What an update of a record brings with it: a higher version, a fresh date, and the base its links agreed on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, select, text

from domain.ids import new_id
from storage.database import Database
from storage.tables import association, entity_tables, link
from tests.support.rows import sample

RECORDS = {**entity_tables, "association": association}


def _create(conn: Connection, entity: str, tenant_id: UUID, **given: Any) -> UUID:
    row = sample(RECORDS[entity], tenant_id, **given)
    conn.execute(RECORDS[entity].insert().values(row))
    return UUID(str(row["id"]))


def _bind(conn: Connection, tenant_id: UUID, entity: str, record: UUID, base: Any = None) -> str:
    row = sample(link, tenant_id, entity=entity, entity_id=record, vendor_id=new_id().hex)
    conn.execute(link.insert().values({**row, "base": base} if base is not None else row))
    return str(row["vendor_id"])


def _base(conn: Connection, vendor_id: str) -> Any:
    return conn.scalar(select(link.c.base).where(link.c.vendor_id == vendor_id))


def _record(conn: Connection, entity: str, record: UUID) -> Any:
    return conn.execute(RECORDS[entity].select().where(RECORDS[entity].c.id == record)).one()


@pytest.mark.parametrize("entity", RECORDS)
def test_an_update_counts_and_keeps_what_was_agreed(db: Database, tenant_id: UUID, entity: str) -> None:
    table = RECORDS[entity]
    with db.tenant(tenant_id) as conn:
        record = _create(conn, entity, tenant_id, custom_fields={"before": 1})
        bound = _bind(conn, tenant_id, entity, record)
        before = _record(conn, entity, record)
    with db.tenant(tenant_id) as conn:
        conn.execute(table.update().where(table.c.id == record).values(custom_fields={"after": 2}))
        after, base = _record(conn, entity, record), _base(conn, bound)
    assert (before.version, after.version) == (1, 2)
    assert after.updated_at > before.updated_at
    assert after.created_at == before.created_at
    assert base["custom_fields"] == {"before": 1}
    own = {c.name for c in table.columns} - {"tenant_id", "id", "created_at", "updated_at", "version"}
    assert set(base) == own


def test_the_base_is_of_before_the_first_change(db: Database, tenant_id: UUID) -> None:
    contact = entity_tables["contact"]
    with db.tenant(tenant_id) as conn:
        record = _create(conn, "contact", tenant_id, email="a@example.com")
        first = _bind(conn, tenant_id, "contact", record)
        agreed = _bind(conn, tenant_id, "contact", record, {"email": "agreed@example.com"})
        for email in ("b@example.com", "c@example.com"):
            conn.execute(contact.update().where(contact.c.id == record).values(email=email))
        assert _base(conn, first)["email"] == "a@example.com"
        assert _base(conn, agreed) == {"email": "agreed@example.com"}
        assert _record(conn, "contact", record).version == 3


def test_links_of_other_records_are_left_alone(db: Database, tenant_id: UUID) -> None:
    account = entity_tables["account"]
    with db.tenant(tenant_id) as conn:
        record = _create(conn, "account", tenant_id)
        namesake = _bind(conn, tenant_id, "contact", record)
        other = _bind(conn, tenant_id, "account", new_id())
        conn.execute(account.update().where(account.c.id == record).values(name="New"))
        assert _base(conn, namesake) is None
        assert _base(conn, other) is None


def test_an_update_that_changes_nothing_does_not_count(db: Database, tenant_id: UUID) -> None:
    account = entity_tables["account"]
    with db.tenant(tenant_id) as conn:
        record = _create(conn, "account", tenant_id, name="Same")
        bound = _bind(conn, tenant_id, "account", record)
        conn.execute(account.update().where(account.c.id == record).values(name="Same"))
        assert _record(conn, "account", record).version == 1
        assert _base(conn, bound) is None


def test_a_load_does_its_own_bookkeeping(db: Database, tenant_id: UUID) -> None:
    account = entity_tables["account"]
    with db.tenant(tenant_id) as conn:
        record = _create(conn, "account", tenant_id, name="Old")
        bound = _bind(conn, tenant_id, "account", record)
        with db.loading(conn):
            conn.execute(account.update().where(account.c.id == record).values(name="Loaded", version=9))
        assert _record(conn, "account", record).version == 9
        assert _base(conn, bound) is None
        conn.execute(account.update().where(account.c.id == record).values(name="Edited"))
        assert _record(conn, "account", record).version == 10
    with db.tenant(tenant_id) as conn:
        assert conn.scalar(text("SELECT current_setting('app.loading', true)")) in ("", None)


def test_losing_a_parent_is_a_change_of_the_child(db: Database, tenant_id: UUID) -> None:
    """ON DELETE SET NULL runs as the tables' owner: the trigger must find the links all the same."""
    with db.tenant(tenant_id) as conn:
        parent = _create(conn, "account", tenant_id)
        child = _create(conn, "contact", tenant_id, account_id=parent)
        bound = _bind(conn, tenant_id, "contact", child)
    with db.tenant(tenant_id) as conn:
        conn.execute(entity_tables["account"].delete().where(entity_tables["account"].c.id == parent))
        after = _record(conn, "contact", child)
        assert (after.account_id, after.version) == (None, 2)
        assert _base(conn, bound)["account_id"] == str(parent)
