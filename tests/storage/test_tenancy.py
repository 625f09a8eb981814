"""One tenant never sees, writes, or refers to another's rows: proven on every table of the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Delete, ForeignKeyConstraint, Table, Update, create_engine, func, select
from sqlalchemy.exc import DBAPIError

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage.database import Database, engine_url, make_engine
from storage.embedded import ServerUrls
from storage.partitions import PARTITIONED
from storage.tables import metadata
from storage.tables_access import APPEND_ONLY
from storage.tenancy import protect, table_states
from tests.support import server
from tests.support.rows import parents, sample

TABLES = metadata.sorted_tables
NAMES = [t.name for t in TABLES]
# Constraints of a table come in no set order, and parallel workers must collect the same tests.
FOREIGN_KEYS = [
    pytest.param(table, key, id=str(key.name))
    for table in TABLES
    for key in sorted(table.constraints, key=lambda constraint: str(constraint.name))
    if isinstance(key, ForeignKeyConstraint)
]


@dataclass(frozen=True)
class Populated:
    """Two tenants with one row in every table each."""

    urls: ServerUrls
    db: Database
    ours: UUID
    theirs: UUID
    rows: dict[tuple[str, UUID], dict[str, Any]]


@pytest.fixture(scope="module")
def populated() -> Iterator[Populated]:
    urls = server.new_database("tenancy")
    engine = create_engine(engine_url(urls.admin))
    ours, theirs = new_id(), new_id()
    rows: dict[tuple[str, UUID], dict[str, Any]] = {}
    with engine.begin() as conn:
        for tenant in (ours, theirs):
            for table in TABLES:
                given = parents(table, {name: row for (name, owner), row in rows.items() if owner == tenant})
                rows[table.name, tenant] = sample(table, tenant, **given)
                conn.execute(table.insert().values(rows[table.name, tenant]))
    engine.dispose()
    with Database(urls.app) as db:
        yield Populated(urls, db, ours, theirs, rows)
    server.drop_database(urls)


def _refused(error: BaseException) -> bool:
    return getattr(getattr(error, "orig", error), "sqlstate", None) == "42501"


def _reached(begin: Callable[[], AbstractContextManager[Connection]], statement: Delete | Update) -> int:
    """How many rows the statement reached; none where it is refused outright, as it is on append-only tables."""
    try:
        with begin() as conn:
            return conn.execute(statement).rowcount
    except DBAPIError as error:
        if _refused(error) and statement.table.name in APPEND_ONLY:
            return 0
        raise


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_a_tenant_sees_only_its_own_rows(populated: Populated, table: Table) -> None:
    with populated.db.tenant(populated.ours) as conn:
        tenants = conn.execute(select(table.c.tenant_id)).scalars().all()
    assert tenants == [populated.ours]


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_a_pooled_connection_without_a_tenant_sees_nothing(populated: Populated, table: Table) -> None:
    engine = make_engine(populated.urls.app, pool_size=1)
    try:
        with engine.begin() as conn:
            assert conn.scalar(select(func.count()).select_from(table)) == 0
        with engine.begin() as conn:  # a tenant's transaction before must leave nothing behind on the pooled connection
            conn.exec_driver_sql("SELECT set_config('app.tenant_id', %s, true)", (str(populated.ours),))
            assert conn.scalar(select(func.count()).select_from(table)) == 1
        with engine.begin() as conn:
            assert conn.scalar(select(func.count()).select_from(table)) == 0
    finally:
        engine.dispose()


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_without_a_tenant_nothing_can_be_written(populated: Populated, table: Table) -> None:
    engine = make_engine(populated.urls.app, pool_size=1)
    try:
        with pytest.raises(DBAPIError) as caught, engine.begin() as conn:
            conn.execute(table.insert().values(sample(table, populated.ours)))
        assert _refused(caught.value)
        assert _reached(engine.begin, table.delete()) == 0
    finally:
        engine.dispose()


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_another_tenants_rows_cannot_be_written(populated: Populated, table: Table) -> None:
    theirs = table.c.tenant_id == populated.theirs
    with pytest.raises(DBAPIError) as caught, populated.db.tenant(populated.ours) as conn:
        conn.execute(table.insert().values(sample(table, populated.theirs)))
    assert _refused(caught.value)
    begin = lambda: populated.db.tenant(populated.ours)  # noqa: E731
    assert _reached(begin, table.delete().where(theirs)) == 0
    assert _reached(begin, table.update().where(theirs).values(tenant_id=populated.ours)) == 0
    with populated.db.tenant(populated.theirs) as conn:
        assert conn.scalar(select(func.count()).select_from(table)) == 1


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_a_row_cannot_be_given_away(populated: Populated, table: Table) -> None:
    with pytest.raises(DBAPIError) as caught, populated.db.tenant(populated.ours) as conn:
        conn.execute(table.update().values(tenant_id=populated.theirs))
    assert _refused(caught.value)


@pytest.mark.parametrize("name", sorted(APPEND_ONLY))
@pytest.mark.parametrize("statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}"])
def test_append_only_tables_are_only_added_to(populated: Populated, name: str, statement: str) -> None:
    with pytest.raises(DBAPIError) as caught, populated.db.tenant(populated.ours) as conn:
        conn.exec_driver_sql(statement.format(name))
    assert _refused(caught.value)


@pytest.mark.parametrize(("table", "key"), FOREIGN_KEYS)
def test_another_tenants_row_cannot_be_referred_to(
    populated: Populated, table: Table, key: ForeignKeyConstraint
) -> None:
    column, target = key.column_keys[1], key.elements[1].column
    foreign = populated.rows[target.table.name, populated.theirs][target.name]
    if target.name == "sha256":  # addresses are equal by content: take one that only they have
        foreign = "only-theirs"
        with populated.db.tenant(populated.theirs) as conn:
            conn.execute(target.table.insert().values(sample(target.table, populated.theirs, sha256=foreign)))
    with pytest.raises(DBAPIError) as caught, populated.db.tenant(populated.ours) as conn:
        conn.execute(table.insert().values(sample(table, populated.ours, **{column: foreign})))
    assert getattr(caught.value.orig, "sqlstate", None) == "23503"
    if target.name == "sha256":
        with populated.db.tenant(populated.theirs) as conn:
            conn.execute(target.table.delete().where(target == foreign))


def test_every_key_and_index_is_led_by_the_tenant(populated: Populated) -> None:
    with psycopg.connect(populated.urls.admin) as admin:
        astray = admin.execute(
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version' AND a.attname <> 'tenant_id'"
        ).fetchall()
    # The exception is explained where the index is declared: it keeps the planner from looking records up by tenant alone.
    assert astray == [("link_entity_id_idx",)]


def test_partitions_are_protected_themselves(populated: Populated) -> None:
    with psycopg.connect(populated.urls.admin) as admin:
        states = table_states(admin)
    partitions = [t for t in states if t.is_partition]
    assert len(partitions) >= len(PARTITIONED) * 5
    assert all(t.protected for t in states)
    with populated.db.tenant(populated.ours) as conn:
        raw = populated.db.raw(conn)
        for partition in partitions:
            rows = raw.execute(sql.SQL("SELECT tenant_id FROM {}").format(sql.Identifier(partition.name))).fetchall()
            assert all(row == (populated.ours,) for row in rows)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE crm_contact DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE crm_contact NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant_isolation ON crm_contact",
        "CREATE POLICY open ON crm_contact USING (true)",
        "CREATE TABLE mine (id int)",
        "TRUNCATE crm_contact",
        "SET ROLE syncline_admin",
        "SET SESSION AUTHORIZATION syncline_admin",
        "ALTER ROLE syncline BYPASSRLS",
        "GRANT syncline_admin TO syncline",
        "UPDATE alembic_version SET version_num = 'x'",
        "COPY crm_contact TO PROGRAM 'true'",
    ],
)
def test_the_application_cannot_lift_its_limits(populated: Populated, statement: str) -> None:
    with psycopg.connect(populated.urls.app) as app, pytest.raises(psycopg.Error) as caught:
        app.execute(statement)
    assert caught.value.sqlstate in ("42501", "0LP01")


def test_row_security_off_is_an_error_not_a_way_round(populated: Populated) -> None:
    with psycopg.connect(populated.urls.app) as app:
        app.execute("SET row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT * FROM crm_contact")


@pytest.mark.parametrize("column", ["", "tenant_id uuid,"], ids=["absent", "nullable"])
def test_a_table_without_tenant_is_refused(fresh_database: ServerUrls, column: str) -> None:
    engine = create_engine(engine_url(fresh_database.admin))
    with engine.connect() as conn:
        conn.exec_driver_sql(f"CREATE TABLE nobodys ({column} id int PRIMARY KEY)")
        with pytest.raises(ConfigurationError, match="nobodys"):
            protect(conn)
    engine.dispose()


@pytest.mark.parametrize(
    "weakening",
    [
        "ALTER TABLE crm_contact NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE crm_contact DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY open ON crm_contact USING (true)",
        "DROP POLICY tenant_isolation ON crm_contact",
        "ALTER POLICY tenant_isolation ON crm_contact USING (true) WITH CHECK (true)",
        "ALTER POLICY tenant_isolation ON crm_contact TO syncline_app",
        "ALTER POLICY tenant_isolation ON crm_contact USING (tenant_id = "
        "nullif(current_setting('app.tenant_id', true), '')::uuid OR true)",
        "CREATE TABLE added (tenant_id uuid NOT NULL, id int)",
    ],
)
def test_start_up_refuses_a_weakened_table_and_protect_mends_it(fresh_database: ServerUrls, weakening: str) -> None:
    engine = create_engine(engine_url(fresh_database.admin))
    with engine.begin() as conn:
        conn.exec_driver_sql(weakening)
    with Database(fresh_database.app) as db:
        with pytest.raises(ConfigurationError, match=r"crm_contact|added"):
            db.assert_safe()
        with engine.begin() as conn:
            assert protect(conn) in (["crm_contact"], ["added"])
            assert protect(conn) == []
        db.assert_safe()
    engine.dispose()
