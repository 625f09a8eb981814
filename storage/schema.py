"""Creating and upgrading the schema, with the admin URL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Lock

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from domain.errors import ConfigurationError
from storage.database import make_engine
from storage.failures import translated
from storage.roles import ensure_app_role, ensure_login
from storage.tenancy import driver_connection

_UPGRADE_LOCK = 0x53594E43  # "SYNC": one upgrade at a time in a database
_THREAD_LOCK = Lock()  # Alembic keeps its context in a module


def upgrade(admin_url: str, revision: str = "head", *, scripts: str = "storage:revisions") -> None:
    """Bring the schema to ``revision`` in one transaction, protect every table and prepare partitions.

    Upgrading twice changes nothing; upgrades at the same time wait for each other. Raises ConfigurationError when the
    login may not do it, TransientError when the server is unreachable.
    """
    engine = make_engine(admin_url, pool_size=1)
    config = _config(scripts)
    try:
        with _THREAD_LOCK, translated(), engine.begin() as conn:
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            ensure_app_role(driver_connection(conn))
            config.attributes["connection"] = conn
            command.upgrade(config, revision)
    except (ProgrammingError, psycopg.ProgrammingError) as error:
        if getattr(getattr(error, "orig", error), "sqlstate", None) != "42501":
            raise
        raise ConfigurationError(
            "The database user may not create roles or tables.",
            remedy="Upgrade as the database's owner with CREATEROLE, or let a superuser create the role syncline_app first "
            "and grant it to that owner.",
        ) from error
    finally:
        engine.dispose()


def create_roles(admin_url: str, login: str, password: str) -> None:
    """Create the application role and a login that belongs to it, for a server of one's own. Idempotent."""
    engine = make_engine(admin_url, pool_size=1)
    try:
        with translated(), engine.begin() as conn:
            ensure_login(driver_connection(conn), login, password)
    finally:
        engine.dispose()


def current_revision(url: str) -> str | None:
    """The revision of the database (any login may ask), or None before the first upgrade."""
    engine = make_engine(url, pool_size=1)
    try:
        with translated(), engine.connect() as conn:
            return revision_of(conn)
    finally:
        engine.dispose()


def revision_of(conn: Connection) -> str | None:
    """The revision of the database behind an open connection."""
    return MigrationContext.configure(conn).get_current_revision()


def assert_current(url: str) -> None:
    """Raise ConfigurationError unless the database is at the revision that this version of the code works with."""
    assert_head(current_revision(url))


def assert_head(found: str | None) -> None:
    """Raise ConfigurationError unless ``found`` is the revision that this version of the code works with."""
    needed = head_revision()
    if found != needed:
        raise ConfigurationError(
            f"The database's schema is at revision {found or 'none'}; this version needs {needed}.",
            remedy="Upgrade the schema with the admin URL (or Syncline itself, where the database is newer).",
            code="schema_outdated",
        )


@cache
def head_revision() -> str:
    """The revision that this version of the code works with."""
    head = ScriptDirectory.from_config(_config("storage:revisions")).get_current_head()
    assert head is not None  # noqa: S101  # revisions ship with the package
    return head


def _config(scripts: str) -> Config:
    config = Config()
    location = str(Path(__file__).parent / "revisions") if scripts == "storage:revisions" else scripts
    config.set_main_option("script_location", location.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
