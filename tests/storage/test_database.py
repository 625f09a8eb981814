"""Transactions of one tenant, refusals at start-up, and what errors mean."""

from __future__ import annotations

import logging
import os
import signal
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.errors import ConfigurationError, StorageFullError, SynclineError, TransientError
from domain.ids import new_id
from storage import database, schema, tenants
from storage.database import Database, as_app_role, driver_url, engine_url
from storage.embedded import ServerUrls
from storage.failures import domain_error, translated
from tests.support import server

# ---------------------------------------------------------------- transactions


def test_leaving_commits_and_an_error_rolls_back(db: Database, tenant_id: UUID) -> None:
    def rename(name: str) -> None:
        with db.tenant(tenant_id) as conn:
            conn.execute(text("UPDATE tenant SET name = :name"), {"name": name})
            if name == "bad":
                raise LookupError(name)

    rename("good")
    with pytest.raises(LookupError):
        rename("bad")
    with db.tenant(tenant_id) as conn:
        assert tenants.name_of(conn, tenant_id) == "good"


def test_the_driver_works_in_the_same_transaction(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        conn.execute(text("UPDATE tenant SET name = 'changed'"))
        assert db.raw(conn).execute("SELECT tenant_id, name FROM tenant").fetchall() == [(tenant_id, "changed")]


def test_a_tenant_is_a_uuid(db: Database) -> None:
    with pytest.raises(ValueError, match="UUID"), db.tenant("' OR true --"):  # type: ignore[arg-type]
        pass


def test_nothing_of_a_tenant_stays_on_the_connection(fresh_database: ServerUrls) -> None:
    with Database(fresh_database.app, pool_size=1) as db:
        with db.tenant(new_id()) as conn, db.loading(conn):
            pid = db.raw(conn).info.backend_pid
        with db._engine.connect() as conn:
            assert db.raw(conn).info.backend_pid == pid
            settings = "SELECT current_setting('app.tenant_id', true), current_setting('app.loading', true)"
            assert set(conn.exec_driver_sql(settings).one()) <= {"", None}


def test_connections_that_died_in_the_pool_are_replaced_however_many(fresh_database: ServerUrls) -> None:
    tenant = new_id()
    with Database(fresh_database.app, pool_size=3) as db:
        with db.tenant(tenant) as first, db.tenant(tenant) as second, db.tenant(tenant) as third:
            pids = [db.raw(conn).info.backend_pid for conn in (first, second, third)]
        with psycopg.connect(driver_url(fresh_database.admin), autocommit=True) as admin:
            for pid in pids:
                assert admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid]).fetchone() == (True,)
        with db.tenant(tenant) as conn:
            assert conn.execute(text("SELECT current_setting('app.tenant_id')")).scalar_one() == str(tenant)


def test_a_refused_beginning_leaves_no_connection_behind(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(database, "_beginning", lambda *_, **__: b"BEGIN; SELECT no_such_function()")
        for _ in range(12):
            with pytest.raises(psycopg.errors.UndefinedFunction), db.tenant(new_id()):
                pass
    with db.tenant(new_id()) as conn:
        assert conn.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.parametrize("conforming", ["on", "off"])
@pytest.mark.parametrize(
    "cause", ["'; SELECT 1/0 --", "\\'; SELECT 1/0 --", "\\", "'\\''\\\\'", "100 % of %s and :name", "Größe\n", ""]
)
def test_the_cause_of_a_transaction_is_a_text_and_nothing_else(
    database_urls: ServerUrls, cause: str, conforming: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the server's settings let a backslash quote what follows it."""
    monkeypatch.setattr(database, "traceparent", lambda: cause)
    url = f"{database_urls.app}{'&' if '?' in database_urls.app else '?'}options=-c%20standard_conforming_strings%3D{conforming}"
    with Database(url, pool_size=1) as db, db.tenant(new_id()) as conn:
        assert conn.scalar(text("SELECT current_setting('standard_conforming_strings')")) == conforming
        assert conn.scalar(text("SELECT current_setting('app.traceparent')")) == cause


def test_a_pool_that_lost_its_server_goes_on_after_a_restart() -> None:
    embedded = server.extra_server()
    try:
        urls = embedded.start()
        schema.upgrade(urls.admin)
        tenant = new_id()
        with Database(urls.app, pool_size=1) as db:
            with db.tenant(tenant) as conn:
                tenants.ensure(conn, tenant)
            embedded.stop()
            assert embedded.start() == urls
            with db.tenant(tenant) as conn:
                assert tenants.name_of(conn, tenant) == str(tenant)
    finally:
        embedded.destroy()


def test_losing_the_connection_in_the_middle_is_transient(db: Database, admin_url: str, tenant_id: UUID) -> None:
    def interrupted() -> None:
        with db.tenant(tenant_id) as conn:
            conn.execute(text("UPDATE tenant SET name = 'lost'"))
            with psycopg.connect(admin_url) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [db.raw(conn).info.backend_pid])
            conn.execute(text("SELECT 1"))

    with pytest.raises(TransientError, match=r"shutting down|lost") as caught:
        interrupted()
    assert caught.value.code == "database_unavailable"
    with db.tenant(tenant_id) as conn:
        assert tenants.name_of(conn, tenant_id) == "Test"


def test_a_busy_pool_is_transient(database_urls: ServerUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database._POOL_TIMEOUT_S", 0.05)
    with (
        Database(database_urls.app, pool_size=1) as db,
        db.tenant(new_id()),
        pytest.raises(TransientError, match="busy"),
        db.tenant(new_id()),
    ):
        pytest.fail("there was a second connection")


def test_errors_do_not_quote_parameters(db: Database, tenant_id: UUID, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(DBAPIError) as caught, db.tenant(tenant_id) as conn:
        conn.execute(text("SELECT missing FROM tenant WHERE name = :v"), {"v": "canary@example.com"})
    assert "canary" not in f"{caught.value}{caplog.text}"


def test_an_error_of_the_data_passes(db: Database, tenant_id: UUID) -> None:
    with pytest.raises(IntegrityError), db.tenant(tenant_id) as conn:
        conn.execute(text("INSERT INTO tenant (tenant_id, name) VALUES (:t, 'again')"), {"t": tenant_id})


# ---------------------------------------------------------------- start-up


def test_the_application_login_is_safe(db: Database) -> None:
    db.assert_safe()


def test_a_superuser_is_refused_as_such_and_acts_as_the_application_by_connect(database_urls: ServerUrls) -> None:
    with Database(database_urls.admin) as naive, pytest.raises(ConfigurationError, match="superuser"):
        naive.assert_safe()
    with Database.connect(database_urls.admin) as db, db.tenant(new_id()) as conn:
        assert conn.scalar(text("SELECT current_user")) == "syncline_app"
        conn.execute(text("RESET ROLE"))
        assert conn.scalar(text("SELECT current_user")) == "syncline_app"
        assert conn.scalar(text("SELECT count(*) FROM tenant")) == 0


@pytest.mark.parametrize(
    ("grants", "reason"),
    [
        ("ALTER ROLE {role} BYPASSRLS", "BYPASSRLS"),
        ("ALTER TABLE crm_contact OWNER TO {role}", "owns tables"),
        ("GRANT syncline_admin TO {role}", "owns tables"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "may create tables"),
    ],
)
def test_start_up_refuses_a_login_that_could_look_further(fresh_database: ServerUrls, grants: str, reason: str) -> None:
    role = f"login_{uuid4().hex}"
    schema.create_roles(fresh_database.admin, role, "pw")
    url = engine_url(fresh_database.app).set(username=role, password="pw").render_as_string(hide_password=False)
    with psycopg.connect(fresh_database.admin, autocommit=True) as admin:
        admin.execute(sql.SQL(grants).format(role=sql.Identifier(role)))
        try:
            with Database(url) as db, pytest.raises(ConfigurationError, match=reason) as caught:
                db.assert_safe()
            assert caught.value.code == "unsafe_database_user"
            with Database.connect(url) as db:  # acting as the group role, it may
                db.assert_safe()
        finally:
            admin.execute("ALTER TABLE crm_contact OWNER TO syncline_admin")
            admin.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(role)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_database_without_schema_is_said_to_be_one(database_urls: ServerUrls) -> None:
    bare = database_urls.for_database("postgres")
    for url in (bare.app, bare.admin):
        with pytest.raises(ConfigurationError, match="no Syncline schema"):
            Database.connect(url)
    with pytest.raises(ConfigurationError, match="revision none; this version needs"):
        schema.assert_current(bare.admin)
    schema.assert_current(database_urls.app)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url with secret-pw", "cannot be read"),
        ("mysql://user:secret-pw@host/db", "names mysql"),
        ("postgresql://u:secret-pw@127.0.0.1:port/db", "cannot be read"),
    ],
)
def test_an_unusable_url_is_refused_without_repeating_it(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Database(url)
    assert "secret-pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"password": "wrong"}, ConfigurationError),
        ({"username": "stranger"}, ConfigurationError),
        ({"database": "nowhere"}, ConfigurationError),
        ({"port": 1}, TransientError),
    ],
)
def test_a_login_that_fails_says_what_next(
    database_urls: ServerUrls, change: dict[str, str], kind: type[SynclineError]
) -> None:
    url = engine_url(database_urls.app).set(**change).render_as_string(hide_password=False)  # type: ignore[arg-type]
    with pytest.raises(kind) as caught:
        Database.connect(url)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_a_url_works(database_urls: ServerUrls, scheme: str) -> None:
    url = database_urls.app.replace("postgresql", scheme, 1)
    with Database.connect(url) as db:
        db.assert_safe()
    assert driver_url(url) == database_urls.app


def test_options_of_the_url_are_kept() -> None:
    url = as_app_role("postgresql://u:p@h/d?options=-c%20statement_timeout%3D5s&sslmode=require")
    assert engine_url(url).query == {"options": "-c statement_timeout=5s -c role=syncline_app", "sslmode": "require"}


# ---------------------------------------------------------------- what errors mean


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", StorageFullError),
        ("53200", StorageFullError),
        ("53300", TransientError),
        ("40001", TransientError),
        ("40P01", TransientError),
        ("57P01", TransientError),
        ("55P03", TransientError),
        ("08006", TransientError),
        ("25006", ConfigurationError),
        ("28P01", ConfigurationError),
    ],
)
def test_server_errors_say_what_happens_next(
    db: Database, tenant_id: UUID, state: str, kind: type[SynclineError]
) -> None:
    """Raised by the server itself, through both doors, so that classes and codes are the driver's own."""
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'canary' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(kind) as through_sqlalchemy, db.tenant(tenant_id) as conn:
        conn.exec_driver_sql(raising)
    with pytest.raises(kind) as through_driver, db.tenant(tenant_id) as conn:
        db.raw(conn).execute(raising.encode())
    assert str(through_driver.value) == str(through_sqlalchemy.value)
    assert "canary" not in str(through_driver.value)


def test_a_real_deadlock_is_transient(db: Database, tenant_id: UUID) -> None:
    other = new_id()
    with db.tenant(tenant_id) as conn:
        conn.execute(text("SELECT pg_advisory_xact_lock(1001)"))
        with db.tenant(other) as second:
            second.execute(text("SELECT pg_advisory_xact_lock(1002)"))
            second.execute(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(TransientError, match="locked"), translated():
                second.execute(text("SELECT pg_advisory_xact_lock(1001)"))
            second.rollback()


@pytest.mark.parametrize("error", [ValueError("bug"), psycopg.errors.UniqueViolation(), psycopg.ProgrammingError()])
def test_anything_else_is_a_bug(error: Exception) -> None:
    assert domain_error(error) is None


def _killed_in_the_middle(db: Database, tenant_id: UUID, pid: int) -> None:
    with db.tenant(tenant_id) as conn:
        os.kill(pid, signal.SIGKILL)
        while True:  # the backend notices by itself; until then it may still answer
            tenants.ensure(conn, tenant_id)


def test_a_killed_server_is_transient_and_comes_back() -> None:
    embedded = server.extra_server()
    try:
        urls = embedded.start()
        schema.upgrade(urls.admin)
        with psycopg.connect(urls.admin) as admin:
            row = admin.execute("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int").fetchone()
        assert row is not None
        tenant = new_id()
        with Database(urls.app, pool_size=1) as db:
            with pytest.raises(TransientError):
                _killed_in_the_middle(db, tenant, row[0])
            embedded.start()
            with db.tenant(tenant) as conn:
                assert tenants.name_of(conn, tenant) is None
    finally:
        embedded.destroy()
