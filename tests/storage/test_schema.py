"""The revisions make exactly the tables that the code knows, whoever upgrades, however often."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import Engine, create_engine

from domain.errors import ConfigurationError, TransientError
from domain.ids import new_id
from storage import schema
from storage.database import Database, engine_url
from storage.embedded import ServerUrls
from storage.partitions import PARTITIONED, ensure_partitions
from storage.tables import metadata
from storage.tenancy import protect, table_states
from tests.support import server
from tests.support.freeze import ddl

_REVISION = '''
"""A table that someone adds later."""
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None

def upgrade():
    op.execute("CREATE TABLE added_later ({columns})")
'''


@pytest.fixture
def empty_database() -> Iterator[ServerUrls]:
    """A database without a schema."""
    urls = server.server_urls().for_database(f"empty_{new_id().hex}")
    with psycopg.connect(urls.for_database("postgres").admin, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(urls.admin.rsplit("/", 1)[1])))
    yield urls
    server.drop_database(urls)


@pytest.fixture
def engine(fresh_database: ServerUrls) -> Iterator[Engine]:
    engine = create_engine(engine_url(fresh_database.admin))
    yield engine
    engine.dispose()


def _is_partition(name: str | None) -> bool:
    return name is not None and any(name.startswith((f"{t}_y", f"{t}_default")) for t in PARTITIONED)


def test_the_tables_are_what_the_models_say(engine: Engine) -> None:
    def relevant(_object: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
        return not (kind == "table" and _is_partition(name))

    with engine.connect() as conn:
        options = {"compare_type": True, "compare_server_default": True, "include_object": relevant}
        context = MigrationContext.configure(conn, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_frozen_sql_makes_what_the_models_make(engine: Engine, empty_database: ServerUrls) -> None:
    """compare_metadata is blind to partitioning, check constraints, triggers, storage and persistence: the catalogue is not."""
    with psycopg.connect(empty_database.admin) as modelled:
        modelled.execute(ddl().encode())
        expected = _catalogue(modelled)
    with engine.connect() as conn:
        frozen = conn.connection.driver_connection
        assert isinstance(frozen, psycopg.Connection)
        assert _catalogue(frozen) == expected


_CATALOGUE = (
    "SELECT relname, relkind, relpersistence FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    "SELECT attrelid::regclass::text, attname, atttypid::regtype::text, attnotnull, attidentity, attstorage "
    "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attnum > 0 AND relnamespace = 'public'::regnamespace",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
)


def _catalogue(connection: psycopg.Connection) -> list[list[tuple[Any, ...]]]:
    def later(row: tuple[Any, ...]) -> bool:
        return any(
            isinstance(v, str) and (v.startswith("alembic_version") or any(f"{t}_y" in v for t in PARTITIONED))
            for v in row
        )

    return [sorted(row for row in connection.execute(q.encode()) if not later(row)) for q in _CATALOGUE]


def test_upgrading_twice_changes_nothing(engine: Engine, fresh_database: ServerUrls) -> None:
    def fingerprint() -> list[tuple[Any, ...]]:
        with psycopg.connect(fresh_database.admin) as admin:
            return admin.execute(
                "SELECT c.oid::text, c.xmin::text, c.relname, c.relacl::text FROM pg_class c "
                "WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
            ).fetchall()

    schema.upgrade(fresh_database.admin)
    before = fingerprint()
    schema.upgrade(fresh_database.admin)
    # Grants are given anew each time, which touches the rows of the catalogue but not what they say.
    assert [(oid, name, acl) for oid, _, name, acl in fingerprint()] == [(o, n, a) for o, _, n, a in before]
    with engine.begin() as conn:
        assert protect(conn) == []


def test_current_and_head_revision(fresh_database: ServerUrls, empty_database: ServerUrls) -> None:
    assert schema.current_revision(fresh_database.admin) == schema.head_revision()
    assert schema.current_revision(fresh_database.app) == schema.head_revision()
    assert schema.current_revision(empty_database.admin) is None


def test_processes_that_upgrade_at_once_wait_for_each_other(empty_database: ServerUrls) -> None:
    program = "import sys; from storage.schema import upgrade; upgrade(sys.stdin.readline().strip())"
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(empty_database.admin + "\n")
        process.stdin.close()
    for process in running:
        assert process.stderr is not None
        errors = process.stderr.read()
        process.stderr.close()
        assert process.wait() == 0, errors
    assert schema.current_revision(empty_database.admin) == schema.head_revision()
    with Database(empty_database.app) as db:
        db.assert_safe()


def _scripts_with(tmp_path: Path, columns: str) -> str:
    """A copy of the revisions with one more."""
    scripts = tmp_path / "revisions %"
    original = Path(schema.__file__).parent / "revisions"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text((original / "env.py").read_text())
    for file in (original / "versions").glob("[0-9]*"):
        (scripts / "versions" / file.name).write_text(file.read_text())
    (scripts / "versions" / "9999_added.py").write_text(_REVISION.format(head=schema.head_revision(), columns=columns))
    return str(scripts)


def test_a_table_added_by_a_later_revision_is_covered(fresh_database: ServerUrls, tmp_path: Path) -> None:
    scripts = _scripts_with(tmp_path, "tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id)")
    schema.upgrade(fresh_database.admin, scripts=scripts)
    with psycopg.connect(fresh_database.admin) as admin:
        states = {t.name: t for t in table_states(admin)}
        assert states["added_later"].protected
        admin.execute("INSERT INTO added_later VALUES (%s, 1)", [new_id()])
    with Database(fresh_database.app) as db, db.tenant(new_id()) as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM added_later").scalar() == 0


def test_a_revision_that_adds_a_table_without_tenant_is_undone(fresh_database: ServerUrls, tmp_path: Path) -> None:
    scripts = _scripts_with(tmp_path, "tenant_id uuid, id int PRIMARY KEY")
    with pytest.raises(ConfigurationError, match="added_later"):
        schema.upgrade(fresh_database.admin, scripts=scripts)
    assert schema.current_revision(fresh_database.admin) == schema.head_revision()
    with psycopg.connect(fresh_database.admin) as admin:
        assert "added_later" not in {t.name for t in table_states(admin)}


def test_a_login_that_may_not_upgrade_is_told(empty_database: ServerUrls) -> None:
    with pytest.raises(ConfigurationError, match="may not create"):
        schema.upgrade(empty_database.app)


def test_an_unreachable_server_is_a_transient_error() -> None:
    with pytest.raises(TransientError):
        schema.upgrade("postgresql://nobody:secret-password@127.0.0.1:1/none")


def test_create_roles_makes_a_login_that_is_safe(fresh_database: ServerUrls) -> None:
    name = f"login_{new_id().hex}"
    schema.create_roles(fresh_database.admin, name, "first it's")
    schema.create_roles(fresh_database.admin, name, "second")
    url = engine_url(fresh_database.app).set(username=name, password="second").render_as_string(hide_password=False)
    with Database.connect(url) as db:
        db.assert_safe()
    with psycopg.connect(fresh_database.admin, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


# ---------------------------------------------------------------- partitions


def _partition_of(connection: psycopg.Connection, table: str, row: Any) -> str:
    found = connection.execute(
        sql.SQL("SELECT tableoid::regclass::text FROM {} WHERE id = %s").format(sql.Identifier(table)), [row]
    ).fetchone()
    assert found is not None
    return str(found[0])


@pytest.mark.parametrize("table", PARTITIONED)
def test_rows_go_to_their_month_and_strays_move_when_it_comes(engine: Engine, table: str) -> None:
    now, later, far = datetime.now(UTC), datetime(2031, 3, 31, 23, 59, tzinfo=UTC), datetime(2031, 4, 1, tzinfo=UTC)
    ids = {at: new_id() for at in (now, later, far)}
    extra = "entity, kind" if table == "change" else "entity, entity_id, field, origin"
    values = "'contact', 'created'" if table == "change" else "'contact', gen_random_uuid(), 'email', 'hub'"
    with engine.begin() as conn:
        driver = conn.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        for at, row in ids.items():
            insert = f"INSERT INTO {table} (tenant_id, at, id, {extra}) VALUES (%s, %s, %s, {values})"  # noqa: S608
            driver.execute(insert.encode(), [new_id(), at, row])
        assert _partition_of(driver, table, ids[now]) == f"{table}_y{now.year:04d}m{now.month:02d}"
        assert _partition_of(driver, table, ids[later]) == f"{table}_default"
        created = ensure_partitions(conn, 0, today=later.date())
        assert f"{table}_y2031m03" in created
        assert _partition_of(driver, table, ids[later]) == f"{table}_y2031m03"
        assert _partition_of(driver, table, ids[far]) == f"{table}_default"
        assert ensure_partitions(conn, 0, today=later.date()) == []
        protect(conn)
        assert all(t.protected for t in table_states(driver))


def test_a_change_keeps_its_place_in_the_log_when_its_partition_comes(engine: Engine) -> None:
    at = datetime(2032, 1, 15, tzinfo=UTC)
    with engine.begin() as conn:
        driver = conn.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        statement = (
            "INSERT INTO change (tenant_id, at, id, entity, kind) VALUES (%s, %s, %s, 'contact', 'bulk') RETURNING seq"
        )
        before = driver.execute(statement.encode(), [new_id(), at, new_id()]).fetchone()
        ensure_partitions(conn, 1, today=at.date())
        assert driver.execute("SELECT seq FROM change WHERE at = %s", [at]).fetchone() == before
        after = driver.execute(statement.encode(), [new_id(), at, new_id()]).fetchone()
        assert before is not None
        assert after is not None
        assert after[0] > before[0]
