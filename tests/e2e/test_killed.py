"""Killed with SIGKILL in every phase and resumed each time: in the end every row is what an unkilled run leaves."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from storage.embedded import EmbeddedPostgres, ServerUrls
from storage.schema import upgrade
from storage.tables import metadata
from tests.connectors.files.test_recognise import ids
from tests.e2e.conftest import Shell
from tests.support import server

pytestmark = pytest.mark.e2e

GATE = 471_100
DEADLINE_S = 30.0
TENANT = "0190a5a0-0000-7000-8000-00000000e2e0"
STAMP = "2023-05-06T07:08:09.000Z"


# ---------------------------------------------------------------- the source


def table(header: str, rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([header.split(","), *rows])
    return text.getvalue()


def tables() -> dict[str, str]:
    """Rings of references, duplicates, rejects, a parent that is not there, associations, file content."""
    users, accounts, contacts = ids("005", 2), ids("001", 8), ids("003", 60)
    deals, versions, documents = ids("006", 6), ids("068", 3), ids("069", 3)
    people = [
        [c, f"L{n % 50}", f"p{n % 50}@x.example", (*accounts, ids("001", 99)[98])[n % 9], contacts[n * 7 % 60],
         users[n % 2], "0", STAMP]
        for n, c in enumerate(contacts)
    ]  # fmt: skip
    people.append([ids("003", 61)[60], "Short row"])
    return {
        "User": table("Id,Username,Name,LastName", [[u, f"u{n}@b.example", f"U {n}", f"U{n}"] for n, u in enumerate(users)]),
        "Account": table(
            "Id,Name,OwnerId,ParentId,CreatedDate",
            [[a, f"Company {n}", users[0], accounts[(n + 1) % 8], STAMP] for n, a in enumerate(accounts)],
        ),
        "Contact": table("Id,LastName,Email,AccountId,ReportsToId,OwnerId,IsDeleted,CreatedDate", people),
        "Opportunity": table(
            "Id,Name,StageName,CloseDate,Amount,AccountId,OwnerId",
            [[d, f"Deal {n}", "Closed Won", "2024-01-01", f"{n}.50", accounts[n], users[0]] for n, d in enumerate(deals)],
        ),
        "Task": table(
            "Id,Subject,WhoId,WhatId,Status,OwnerId",
            [[t, f"Call {n}", contacts[n], deals[n % 6], "Open", users[1]] for n, t in enumerate(ids("00T", 9))],
        ),
        "ContentVersion": table(
            "Id,ContentDocumentId,Title,PathOnClient,ContentSize,IsLatest,OwnerId",
            [[v, documents[n], f"Offer {n}", f"o{n}.txt", "5", "1", users[0]] for n, v in enumerate(versions)],
        ),
        "ContentDocumentLink": table(
            "Id,LinkedEntityId,ContentDocumentId,ShareType",
            [[x, contacts[n], documents[n], "V"] for n, x in enumerate(ids("06A", 3))],
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "WE_00D000000000062EAA_1.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in tables().items():
            archive.writestr(f"{name}.csv", content)
        for version in ids("068", 3):
            archive.writestr(f"ContentVersion/{version}", b"hello")
    return path


# ---------------------------------------------------------------- comparing

CLOCK = ["created_at", "updated_at", "first_at", "last_at", "at", "run_id", "connection_id"]
MADE_ANEW = {
    "change": ["id", "seq", "xid"],
    "field_history": ["id"],
    "dead_letter": ["id", "key"],
    "connection": ["id"],
}
"""Columns made when a row is written, or made from the connection; every other id follows from the source."""
BOOKKEEPING = {"migration_run", "migration_chunk", "event", "suppression_key", "audit_log", "audit_head"}


def contents(urls: ServerUrls) -> dict[str, list[str]]:
    """Every row of every table, without the clock, and with runs and connections named alike."""
    result = {}
    with psycopg.connect(urls.admin) as connection:
        for name, one in metadata.tables.items():
            if name in BOOKKEEPING or "tenant_id" not in one.columns:
                continue
            but = [*CLOCK, *MADE_ANEW.get(name, ())]
            query = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t").format(sql.Identifier(name))
            result[name] = sorted(row[0] for row in connection.execute(query, [but]))
        runs = [r for (r,) in connection.execute("SELECT id::text FROM migration_run")]
        homes = [r for (r,) in connection.execute("SELECT id::text FROM connection")]
    alike = re.compile("|".join(runs + homes))
    return {name: sorted(alike.sub("ID", row) for row in rows) for name, rows in result.items()}


# ---------------------------------------------------------------- killing


@dataclass(frozen=True, slots=True)
class Moment:
    """A statement of the run, to be caught in the middle of its transaction."""

    table: str
    verb: str
    when: str = "true"


MOMENTS = (
    Moment("stage_account", "INSERT"),
    Moment("migration_chunk", "INSERT", "NEW.object = 'Account' AND NEW.phase = 'plan'"),
    Moment("crm_account", "INSERT"),
    Moment("migration_chunk", "INSERT", "NEW.object = 'Contact' AND NEW.phase = 'load'"),
    Moment("migration_chunk", "INSERT", "NEW.object = 'Contact' AND NEW.phase = 'merge'"),
    Moment("crm_opportunity", "INSERT"),
    Moment("crm_association", "INSERT"),
    Moment("pending_reference", "DELETE"),
    Moment("blob", "INSERT"),
    Moment("migration_run", "UPDATE", "NEW.status = 'done'"),
)
"""In the order of the run. The next object is read while one is loaded, so later ones of reading would be a race."""


SERVER_MOMENTS = (Moment("crm_contact", "INSERT"), MOMENTS[4], MOMENTS[7], MOMENTS[-1])
"""Those after which the server itself is killed: in the middle of loads, and just after some were committed."""


@contextmanager
def gate(urls: ServerUrls, moment: Moment) -> Iterator[psycopg.Connection]:
    """While it is held, whoever comes to the moment waits there."""
    level, when = ("STATEMENT", "") if moment.when == "true" else ("ROW", f"WHEN ({moment.when})")
    with psycopg.connect(urls.admin, autocommit=True) as admin:
        admin.execute(
            f"""CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$"""
        )
        admin.execute(f"SELECT pg_advisory_lock({GATE})")
        admin.execute(
            f"CREATE TRIGGER gate AFTER {moment.verb} ON {moment.table} FOR EACH {level} {when} EXECUTE FUNCTION gate()"
        )
        admin.execute(f"ALTER TABLE {moment.table} ENABLE ALWAYS TRIGGER gate")  # a load switches ordinary ones off
        yield admin
        admin.execute(f"SELECT pg_advisory_unlock({GATE})")
        admin.execute(f"DROP TRIGGER gate ON {moment.table}")


def wait_at(admin: psycopg.Connection, process: Any, moment: Moment) -> None:
    """Wait until the process stands at the gate."""
    end = time.monotonic() + DEADLINE_S
    while not admin.execute(
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [GATE],
    ).fetchone():
        assert process.poll() is None, (moment, process.communicate())
        assert time.monotonic() < end, f"the run never came to {moment}"
        time.sleep(0.01)


def on(shell: Shell, urls: ServerUrls) -> Shell:
    """The same shell, whose commands work on a database of the test's."""
    more = {"DATABASE_URL": urls.app, "DATABASE_ADMIN_URL": urls.admin}
    return Shell(shell.home, shell.cwd, TENANT, more)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def unkilled(place: Path, export: Path) -> Iterator[dict[str, list[str]]]:
    """What a run that nothing happens to leaves in a fresh database; its approved plan stands in ``place``."""
    urls = server.new_database("unkilled")
    shell = on(Shell(place, place), urls)
    shell.run("migrate", "plan", export, "--approve", "--out", "plan.toml").ok()
    shell.run("migrate", "run", export, "--plan", "plan.toml", "--no-certificate").ok()
    found = contents(urls)
    assert all(found[name] for name in ("crm_contact", "crm_association", "blob", "pending_reference", "dead_letter"))
    yield found
    server.drop_database(urls)


def test_killed_in_every_phase_and_resumed_leaves_every_row_of_an_unkilled_run(
    fresh_database: ServerUrls, place: Path, export: Path, unkilled: dict[str, list[str]]
) -> None:
    shell = on(Shell(place, place), fresh_database)
    command: tuple[str | Path, ...] = ("migrate", "run", export, "--plan", "plan.toml", "--no-certificate")
    for moment in MOMENTS:
        with gate(fresh_database, moment) as admin:
            process = shell.start(*command)
            wait_at(admin, process, moment)
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        command = ("migrate", "resume", "--no-certificate")
    shell.run(*command).ok()
    assert contents(fresh_database) == unkilled


@pytest.mark.timeout(900)
def test_the_embedded_server_killed_again_and_again_under_a_run_costs_no_row(
    cold_shell: Shell, place: Path, export: Path, unkilled: dict[str, list[str]]
) -> None:
    """Its unlogged tables are empty afterwards, and what was committed without waiting for the disk is gone: both come again."""
    shell = Shell(cold_shell.home, place, TENANT)
    urls = EmbeddedPostgres(shell.home).start()
    upgrade(urls.admin)
    with psycopg.connect(urls.admin, autocommit=True) as admin:  # write as late as possible what nobody waits for
        admin.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        admin.execute("SELECT pg_reload_conf()")
    command: tuple[str | Path, ...] = ("migrate", "run", export, "--plan", "plan.toml", "--no-certificate")
    lost: list[set[tuple[Any, ...]]] = []
    for moment in SERVER_MOMENTS:
        with pytest.raises(psycopg.OperationalError), gate(urls, moment) as admin:  # noqa: PT012 - the gate's own connection is lost
            process = shell.start(*command)
            wait_at(admin, process, moment)
            done = chunks(admin)
            kill_server(admin)
            _, told = process.communicate(timeout=DEADLINE_S)
            assert process.returncode not in (0, None)
            assert "Traceback" not in told
        urls = EmbeddedPostgres(shell.home).start()
        with psycopg.connect(urls.admin, autocommit=True) as admin:
            lost.append(done - chunks(admin))
            admin.execute(sql.SQL("DROP TRIGGER IF EXISTS gate ON {}").format(sql.Identifier(moment.table)))
        command = ("migrate", "resume", "--no-certificate")
    shell.run(*command).ok()
    assert any(lost), "committed ranges were lost with the server: otherwise this proves nothing about them"
    found = contents(urls)
    for rows in (
        found,
        expected := dict(unkilled),
    ):  # a record read again is rejected again, and its letter counts that
        rows["dead_letter"] = [re.sub(r'"attempts": \d+', "", row) for row in rows["dead_letter"]]
    assert found == expected


def chunks(admin: psycopg.Connection) -> set[tuple[Any, ...]]:
    """The steps of the run that were committed."""
    return set(admin.execute("SELECT object, phase, seq FROM migration_chunk WHERE phase NOT IN ('extract', 'plan')"))


def kill_server(admin: psycopg.Connection) -> None:
    row = admin.execute("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)").fetchone()
    assert row
    os.kill(int(row[0]), signal.SIGKILL)
