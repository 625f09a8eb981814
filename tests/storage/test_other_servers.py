"""Servers of one's own: a plain PostgreSQL 15, and a database whose owner is no superuser (as managed services give)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import DBAPIError

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import connections, dead_letters, scheduling, schema, tenants
from storage.database import Database, engine_url
from storage.partitions import ensure_partitions
from storage.tables import change, entity_tables, link, metadata
from storage.tenancy import protect
from tests.support import server
from tests.support.rows import parents, sample

PLAIN = os.environ.get("SYNCLINE_TEST_PLAIN_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


def _database(url: str, name: str) -> str:
    return engine_url(url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)


def _login(url: str, name: str, password: str) -> str:
    return engine_url(url).set(username=name, password=password).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    """A scratch database on an installed server, as its superuser."""
    name = f"syncline_test_{new_id().hex}"
    try:
        admin = psycopg.connect(PLAIN, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL at SYNCLINE_TEST_PLAIN_URL (or at 127.0.0.1:5432 as postgres without password)")
    with admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield _database(PLAIN, name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def owned() -> Iterator[str]:
    """A scratch database of a login that may create roles but is no superuser, on a server without Syncline's roles."""
    embedded = server.extra_server()
    try:
        admin_url = _database(embedded.start().admin, "postgres")
        with psycopg.connect(admin_url, autocommit=True) as admin:
            for statement in (
                "DROP DATABASE syncline",
                "DROP ROLE syncline",
                "REVOKE SET ON PARAMETER session_replication_role FROM syncline_app",
                "DROP ROLE syncline_app",
                "CREATE ROLE landlord LOGIN CREATEROLE PASSWORD 'pw'",
                "CREATE DATABASE crm OWNER landlord",
            ):
                admin.execute(statement.encode())
        yield _database(_login(admin_url, "landlord", "pw"), "crm")
    finally:
        embedded.destroy()


@pytest.fixture(params=["plain", "owned"])
def url(request: pytest.FixtureRequest) -> str:
    """One URL for everything: upgrades and application."""
    url: str = request.getfixturevalue(request.param)
    schema.upgrade(url)
    return url


def test_upgrading_is_idempotent_and_start_up_is_content(url: str) -> None:
    schema.upgrade(url)
    schema.assert_current(url)
    with Database(url) as db, pytest.raises(ConfigurationError, match=r"superuser|owns tables"):
        db.assert_safe()
    with Database.connect(url) as db, db.tenant(new_id()) as conn:
        assert conn.scalar(text("SELECT current_user")) == "syncline_app"


def test_tenants_are_apart_in_every_table(url: str) -> None:
    ours, theirs = new_id(), new_id()
    with Database.connect(url) as db:
        for tenant in (ours, theirs):
            with db.tenant(tenant) as conn:
                made: dict[str, dict[str, object]] = {}
                for table in metadata.sorted_tables:
                    made[table.name] = sample(table, tenant, **parents(table, made))
                    conn.execute(table.insert().values(made[table.name]))
        with db.tenant(ours) as conn:
            for table in metadata.sorted_tables:
                assert conn.execute(select(table.c.tenant_id)).scalars().all() == [ours], table.name
        with db._engine.connect() as conn:
            for table in metadata.sorted_tables:
                assert conn.scalar(select(func.count()).select_from(table)) == 0, table.name
        with pytest.raises(DBAPIError, match="row-level security"), db.tenant(ours) as conn:
            conn.execute(link.insert().values(sample(link, theirs)))


def _contact_with_link(db: Database, tenant: UUID) -> UUID:
    contact = entity_tables["contact"]
    record = new_id()
    with db.tenant(tenant) as conn:
        tenants.ensure(conn, tenant)
        conn.execute(contact.insert().values(sample(contact, tenant, id=record, email="a@example.com")))
        conn.execute(link.insert().values(sample(link, tenant, entity="contact", entity_id=record)))
    return record


def test_an_edit_keeps_what_was_agreed(url: str) -> None:
    contact, tenant = entity_tables["contact"], new_id()
    with Database.connect(url) as db:
        record = _contact_with_link(db, tenant)
        with db.tenant(tenant) as conn:
            conn.execute(contact.update().where(contact.c.id == record).values(email="b@example.com"))
            assert conn.scalar(select(contact.c.version)) == 2
            assert (conn.scalar(select(link.c.base)) or {})["email"] == "a@example.com"


def test_repositories_work(url: str) -> None:
    tenant = new_id()
    letter = dead_letters.NewLetter(stage="map", code="bad", message="Bad.", vendor_id="1", payload={"a": 1})
    with Database.connect(url) as db, db.tenant(tenant) as conn:
        connections.create(conn, new_id(), vendor="files", name="Main")
        assert dead_letters.record(conn, tenant, [letter, letter]) == 1
        assert dead_letters.list_letters(conn)[0].attempts == 2


def test_partitions_come_and_strays_move_though_the_owner_is_bound_by_row_security(url: str) -> None:
    tenant, month = new_id(), date(2033, 5, 1) if "landlord" in url else date(2033, 6, 1)
    with Database.connect(url) as db, db.tenant(tenant) as conn:
        conn.execute(change.insert().values(sample(change, tenant, at=month)))
    engine = create_engine(engine_url(url))
    with engine.begin() as conn:
        assert ensure_partitions(conn, 0, today=month) == [
            f"{table}_y2033m{month.month:02d}" for table in ("change", "field_history")
        ]
        protect(conn)
    engine.dispose()
    with Database.connect(url) as db, db.tenant(tenant) as conn:
        assert conn.scalar(text("SELECT tableoid::regclass::text FROM change")) == f"change_y2033m{month.month:02d}"


def test_an_old_server_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database._MINIMUM_VERSION", 990000)
    with pytest.raises(ConfigurationError, match="needs 15 or newer"):
        Database.connect(url)


def test_a_scheduler_learns_which_tenants_there_are_whoever_owns_the_tables(url: str) -> None:
    made = {new_id(), new_id()}
    with Database.connect(url) as db:
        for tenant_id in made:
            with db.tenant(tenant_id) as conn:
                tenants.ensure(conn, tenant_id)
        assert made <= set(scheduling.tenants(db))
        with db.tenant(new_id()) as conn:
            assert conn.scalar(select(func.count()).select_from(metadata.tables["tenant"])) == 0
