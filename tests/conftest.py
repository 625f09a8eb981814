"""Fixtures for every test. Those that need PostgreSQL get a real one: nothing of the database is ever mocked.

`db`, `database_urls`, `admin_url`: the worker's own database, shared by its tests; take a fresh `tenant_id` and its rows are
yours alone. `fresh_database`: a database for one test that changes the schema or needs empty tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage.database import Database
from storage.embedded import ServerUrls
from tests.support import server

PATIENT_S = "8"
"""How long webhooks wait for the database in tests, unless these are about that."""
_RUN = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    os.environ["SYNCLINE_WEBHOOK_ANSWER_WITHIN_S"] = PATIENT_S  # a busy machine is no database that hangs
    if not hasattr(config, "workerinput"):  # not a worker of xdist, but the process that rules the run
        config.stash[_RUN] = server.open_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _RUN in config.stash:
        server.close_run(config.stash[_RUN])


@pytest.fixture(scope="session")
def database_urls() -> ServerUrls:
    """URLs (``admin``, ``app``) of this worker's database, upgraded to the newest schema."""
    return server.new_database()


@pytest.fixture(scope="session")
def admin_url(database_urls: ServerUrls) -> str:
    return database_urls.admin


@pytest.fixture(scope="session")
def db(database_urls: ServerUrls) -> Iterator[Database]:
    """This worker's database as the application role."""
    with Database(database_urls.app, pool_size=10) as database:
        yield database


@pytest.fixture
def tenant_id(db: Database) -> UUID:
    """A tenant that no other test knows."""
    return new_tenant(db)


@pytest.fixture
def other_tenant_id(db: Database) -> UUID:
    """A second tenant, to prove that the first one's rows stay its own."""
    return new_tenant(db)


@pytest.fixture
def fresh_database() -> Iterator[ServerUrls]:
    """A database for this test alone, with the newest schema and no rows."""
    urls = server.new_database("fresh")
    yield urls
    server.drop_database(urls)


def new_tenant(db: Database) -> UUID:
    tenant = new_id()
    with db.tenant(tenant) as conn:
        conn.execute(text("INSERT INTO tenant (tenant_id, name) VALUES (:id, 'Test')"), {"id": tenant})
    return tenant
