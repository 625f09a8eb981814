"""A whole first migration, looked at and taken back: every table of the store is as before, and it can run again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from sandbox.salesforce.model import SandboxOptions
from sandbox.salesforce.server import SandboxServer
from storage.embedded import ServerUrls
from storage.tables import metadata
from tests.cli.conftest import Syncline

TREE = Path(os.environ.get("SYNCLINE_VENDOR_MATERIAL", "/nonexistent")) / "data/salesforce_dreamhouse/data"
KEPT = {
    "migration_run": "that there was a run, and that it was undone, stays known",
    "migration_chunk": "what the run did, for `migrate status`",
    "change": "that records were deleted, by which undo; it holds ids alone",
    "event": "what listeners were told of, the undo included",
    "audit_log": "what people did, the undo included",
    "audit_head": "the end of that chain",
    "suppression_key": "the tenant's own, made once; it tells nothing of records",
    "dead_letter": "what was refused; discarded, so that nobody mends records of a run that is gone",
}
UGLY: dict[str, bytes] = {
    "accounts.csv": "\ufeffid;name;umsatz;website\r\nA1;\"Müller; Söhne\";1.234,50;www.mueller.example\r\n"
    "A2;=HYPERLINK(\"x\");7,25;\r\n\r\nA1;Müller (alt);0;\r\n;Niemand;1;\r\n".encode(),
    "contacts.csv": "id,first_name,last_name,email,phone,account_id,notes,notes\n"
    "C1,Zoë,O'Brien,ZOE@x.example,(415) 555-0143,A1,\"two\nlines, and \"\"quotes\"\"\",b\n"
    "C2,Zoe,O'Brien,zoe@x.example,+1 415 555 0143,A1,,\n"
    "C3,,,no mail at all,12,A404,x,y\nC4,too,many,cells,in,this,row,and,more\nC5,short\n"
    "C6,Nul\x00,Byte,c6@x.example,,A2,,\n\n,,,,,,,\n".encode(),
    "deals.tsv": "id\tname\tamount\tclose date\taccount_id\nD1\tBig\t$1,000.00\t31/12/2024\tA1\n"
    "D2\tSmall\t(5)\t01/02/2024\tA2\n".encode("utf-16"),
    "leads.csv": "id,name,company\nL1,José Núñez,Café\n".encode("cp1252"),
    "empty.csv": b"",
    "only header.csv": b"id,name\n",
    "open quote.csv": b'id,name\n1,a\n2,"b\n3,c\n',
    "picture.png": b"\x89PNG\r\n\x1a\n\x00\x00",
}  # fmt: skip


@pytest.fixture
def database_urls(fresh_database: ServerUrls) -> ServerUrls:
    """Tables are counted whole here, so they are this test's alone."""
    return fresh_database


@pytest.fixture
def tenant_id() -> UUID:
    """Made by the first command, as for a new user."""
    return UUID("01990000-0000-7000-8000-0000000000f1")


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    folder = tmp_path / "ugly files"
    folder.mkdir()
    for name, content in UGLY.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def dreamhouse(syncline: Syncline, tmp_path: Path) -> Iterator[str]:
    """Salesforce's sample org of a real estate company, connected."""
    if not TREE.exists():
        pytest.skip("the sample org is not here: SYNCLINE_VENDOR_MATERIAL names the folder it lies in")
    with SandboxServer(SandboxOptions(tree=TREE)) as server:
        known = server.sandbox.auth.credentials
        (tmp_path / "password").write_text(known.password)
        (tmp_path / "token").write_text(known.security_token)
        given = ("--set", f"username={known.username}", "--secret", f"password=@{tmp_path / 'password'}")
        more = ("--secret", f"security_token=@{tmp_path / 'token'}")
        assert syncline("connect", "salesforce", "--base-url", server.url, "--name", "dream", *given, *more).code == 0
        yield "dream"


def rows(urls: ServerUrls) -> dict[str, int]:
    """How many rows every table holds, apart from the record of runs and of who did what."""
    with psycopg.connect(urls.admin) as connection:
        counted = {}
        for name in sorted(set(metadata.tables) - set(KEPT)):
            (counted[name],) = connection.execute(  # type: ignore[misc]
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            ).fetchone()
        return counted


def outcomes(run: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    names = ("source", "created", "merged", "updated", "unchanged", "rejected")
    return {name: tuple(row[outcome] for outcome in names) for name, row in run["objects"].items()}


def there_and_back(syncline: Syncline, urls: ServerUrls, source: str | Path) -> dict[str, Any]:
    """Audit, plan, run, report, undo, run again. Gives what the first run did."""
    assert syncline("migrate", "audit", source).code == 0
    assert syncline("migrate", "plan", source, "--approve").code == 0
    before = rows(urls)
    assert {name for name, number in before.items() if number} <= {"tenant", "connection", "credential", "route"}
    first = syncline("migrate", "run", source, "--json")
    assert first.code == 0, first.err
    done: dict[str, Any] = first.json
    assert all(row["adds_up"] for row in done["objects"].values())
    report = syncline("migrate", "report", "--json")
    assert (report.code, report.json["ok"]) == (0, True)
    assert rows(urls) != before

    undone = syncline("migrate", "undo", done["run_id"], "--yes", "--json")
    assert undone.code == 0, undone.err
    assert rows(urls) == before
    assert syncline("dead-letters", "list", "--json").json["letters"] == []
    again = syncline("migrate", "run", source, "--json")
    assert again.code == 0, again.err
    assert outcomes(again.json) == outcomes(done)
    assert again.json["certificate"]["ok"]
    return done


def test_the_dreamhouse_org(syncline: Syncline, database_urls: ServerUrls, dreamhouse: str) -> None:
    done = there_and_back(syncline, database_urls, dreamhouse)
    assert done["objects"]["Contact"]["created"] == 5
    assert done["objects"]["Property__c"]["created"] > 5
    assert done["objects"]["Broker__c"]["created"] > 3


def test_a_folder_of_ugly_files(syncline: Syncline, database_urls: ServerUrls, ugly: Path) -> None:
    done = there_and_back(syncline, database_urls, ugly)
    assert outcomes(done) == {
        "accounts": (3, 2, 0, 0, 0, 1),  # of A1, listed twice, the last counts; a row without an id is refused
        "leads": (1, 1, 0, 0, 0, 0),
        "contacts": (6, 2, 1, 0, 0, 3),
        "open quote": (3, 2, 0, 0, 0, 1),
        "deals": (2, 2, 0, 0, 0, 0),
    }
    letters = syncline("dead-letters", "list", "--json").json["letters"]
    assert sorted(letter["code"] for letter in letters) == [
        "file_bad_quote", "file_no_id", "file_nul_byte", "file_ragged_row", "file_ragged_row",
    ]  # fmt: skip
