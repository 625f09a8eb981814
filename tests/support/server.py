"""One embedded PostgreSQL for a whole test run, shared by all of its workers and gone with it.

The process that starts pytest makes a home for the run, holds a lock on it and hands its path to the workers through the
environment. Whoever needs the server first starts it. Homes of runs that were killed are recognised by their free lock
and cleared away by the next run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from storage.embedded import EmbeddedPostgres, ServerUrls
from storage.schema import upgrade

HOME_VARIABLE = "SYNCLINE_TEST_HOME"
_TEMPLATE = "syncline_template"
# Nobody keeps the data of a test run, so it needs no protection against power loss.
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def open_run() -> int:
    """Make the run's home and lock it. Returns the descriptor that holds the lock."""
    base = Path(tempfile.gettempdir()) / f"syncline-tests-{os.getuid()}"
    base.mkdir(mode=0o711, exist_ok=True)
    _clear_dead_runs(base)
    home = base / uuid4().hex[:12]
    home.mkdir(mode=0o711)
    handle = os.open(home / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.environ[HOME_VARIABLE] = str(home)
    return handle


def close_run(handle: int) -> None:
    """Stop the run's server and remove its home."""
    _clear(Path(os.environ.pop(HOME_VARIABLE)))
    os.close(handle)


def _clear_dead_runs(base: Path) -> None:
    for home in base.iterdir():
        handle = os.open(home / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(home)
        except BlockingIOError:
            continue
        finally:
            os.close(handle)


def _clear(home: Path) -> None:
    """End every server of a run: its own, and those that tests started in homes below."""
    for state in [*home.glob("*/postgres.json"), home / "postgres.json"]:
        EmbeddedPostgres(state.parent).destroy()
    shutil.rmtree(home, ignore_errors=True)


def extra_server() -> EmbeddedPostgres:
    """A server for one test that stops, kills or reconfigures it; ends with the run unless the test destroys it."""
    return EmbeddedPostgres(Path(os.environ[HOME_VARIABLE]) / uuid4().hex[:8])


def server_urls() -> ServerUrls:
    """The run's server, started by the first who asks."""
    return EmbeddedPostgres(Path(os.environ[HOME_VARIABLE]), settings=_SETTINGS).start()


def new_database(prefix: str = "test") -> ServerUrls:
    """A fresh database with the current schema, copied from a template in some 30 ms."""
    urls = server_urls()
    _ensure_template(urls)
    name = f"{prefix}_{uuid4().hex[:12]}"
    with psycopg.connect(urls.for_database("postgres").admin, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(_TEMPLATE)))
    return urls.for_database(name)


def drop_database(urls: ServerUrls) -> None:
    name = urls.admin.rsplit("/", 1)[1]
    with psycopg.connect(urls.for_database("postgres").admin, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _ensure_template(urls: ServerUrls) -> None:
    handle = os.open(Path(os.environ[HOME_VARIABLE]) / "template.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with psycopg.connect(urls.for_database("postgres").admin, autocommit=True) as admin:
            if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_TEMPLATE]).fetchone():
                return
            draft = f"{_TEMPLATE}_draft"
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(draft)))
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(draft)))
            upgrade(urls.for_database(draft).admin)
            admin.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(draft), sql.Identifier(_TEMPLATE))
            )
    finally:
        os.close(handle)
