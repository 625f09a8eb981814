"""Unmistakable secrets and personal values go in; every command runs, well and badly; they come out only where they belong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Engine, create_engine, text

from cli.main import app, mount_sandbox
from connectors.kit.retry import RetryPolicy
from sandbox.salesforce.auth import Credentials
from sandbox.salesforce.model import SandboxOptions
from sandbox.salesforce.server import SandboxServer
from storage.embedded import EmbeddedPostgres, ServerUrls
from tests.cli.conftest import Outcome, Syncline

CANARIES = Credentials(
    username="canary.admin@sandbox.example",
    password="canary-password-7Qz",
    security_token="CanarySecurityToken7Qz",
    client_id="3MVG9CanaryConsumerKey",
    client_secret="CanaryConsumerSecret7Qz",
)
PERSONAL = ("Canarybird", "canary.person", "415 555 0199", "tea at four", "no-mail-7Qz")
PERSON = {
    "LastName": "Canarybird",
    "Email": "canary.person@secret.example",
    "Phone": "+1 415 555 0199",
    "Description": "She takes her tea at four.",
}
WITHOUT_A_RUN = {
    ("version",): "reads nothing",
    ("new", "connector"): "writes a skeleton of source code, reads no connection",
    ("db", "stop"): "stops the embedded server, which these tests do not use",
    ("sandbox",): "vendors, not the product; each prints the invented credentials of its account by design",
}
PERSONAL_FILES = {
    r"export/.*": "the source itself",
}
NOT_YET = {
    ("conflicts", "list"), ("conflicts", "resolve"), ("explain",), ("migrate", "cutover"), ("migrate", "follow"),
    ("dead-letters", "discard"), ("dead-letters", "edit"), ("dead-letters", "groups"), ("dead-letters", "preview"),
    ("dead-letters", "purge"), ("dead-letters", "replay"), ("dead-letters", "show"),
    ("sync", "add"), ("sync", "pause"), ("sync", "remove"), ("sync", "resume"), ("sync", "run"), ("sync", "status"),
    ("scheduler",), ("up",), ("worker",),
}  # fmt: skip
"""Commands of two-way sync that have no run here so far: take one out when it gets its run, and put none in."""
SECRET_FILES = {"home/demo/sandbox.log": "what the stand-in vendor prints; it is not the product"}
OBJECTS = (
    "User", "Account", "Contact", "Lead", "Opportunity", "Task", "OpportunityContactRole", "ContentVersion",
)  # fmt: skip
CHECKS = (
    "secrets said", "secrets stored", "secrets in files", "persons named by", "persons stored in", "persons in files",
    "commands without a run",
)  # fmt: skip
PERSONAL_TABLES = {
    r"crm_\w+": "the canonical store itself",
    r"stage_\w+": "records on their way into it, as the source has them",
    r"link": "the base that both sides agreed on",
    r"field_history": "what a field held before",
    r"change": "the change log",
    r"migration_journal": "before-images, so that a run can be taken back",
    r"blob_part": "the content of files",
}
PERSONAL_COLUMNS = {
    ("dead_letter", "payload"): "a person who repairs the record needs it",
    ("dead_letter", "mapped"): "the same record, as far as it was mapped",
}
PERSONAL_COMMANDS = {
    ("migrate", "dry-run"): "shows samples of what would be written, by design",
    ("dead-letters", "list"): "with --payload the raw records are asked for",
}


def commands() -> set[tuple[str, ...]]:
    """Every command of the product, from the tree itself."""
    mount_sandbox()

    def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, item in group.commands.items():
            yield from leaves(item, (*path, name)) if hasattr(item, "commands") else [(*path, name)]

    return set(leaves(typer.main.get_command(app)))


@dataclass
class Told:
    """What every command said, by its words."""

    syncline: Syncline
    said: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    known: set[tuple[str, ...]] = field(default_factory=commands)

    def __call__(self, *line: str | Path, expect: tuple[int, ...] = (0,)) -> Outcome:
        """Run ``line`` plain and with --json; the last outcome. A command that cannot be repeated fails plainly."""
        self.once(*line, expect=expect)
        return self.once(*line, "--json", expect=(*expect, 2, 65, 73, 77, 78))

    def once(self, *line: str | Path, expect: tuple[int, ...]) -> Outcome:
        """Run ``line`` as it stands."""
        outcome = self.syncline(*line)
        self.said.append((self.words(line), outcome.out + outcome.err))
        assert outcome.code in expect, (line, outcome.code, outcome.err[-600:])
        return outcome

    def words(self, line: tuple[str | Path, ...]) -> tuple[str, ...]:
        two = tuple(str(word) for word in line[:2])
        return two if two in self.known else two[:1]

    def saying(self, canary: str) -> set[tuple[str, ...]]:
        return {words for words, said in self.said if canary in said}


@pytest.fixture
def database_urls(fresh_database: ServerUrls) -> ServerUrls:
    """Tables are read whole here, so they are this test's alone."""
    return fresh_database


@pytest.fixture
def tenant_id() -> UUID:
    """Made by the first command, as for a new user."""
    return UUID("01990000-0000-7000-8000-00000000c0de")


@pytest.fixture
def engine(database_urls: ServerUrls) -> Iterator[Engine]:
    engine = create_engine(database_urls.admin)
    yield engine
    engine.dispose()


@pytest.fixture
def told(syncline: Syncline, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Told]:
    monkeypatch.setenv("SYNCLINE_LOG_LEVEL", "DEBUG")
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda *_: 0.01)  # as often as ever, but without the waits between
    yield Told(syncline)
    EmbeddedPostgres(home / "demo").destroy()


@pytest.fixture
def private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    return made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


@pytest.fixture
def org(private_key: str) -> Iterator[SandboxServer]:
    public = serialization.load_pem_private_key(private_key.encode(), None).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, form).decode()
    with SandboxServer(SandboxOptions(contacts=15, credentials=CANARIES, jwt_public_key=pem)) as server:
        tables = server.sandbox.org.tables
        for row in [*list(tables["Contact"].values())[:8], *list(tables["Lead"].values())[:2]]:
            row.update(PERSON)
        for row in list(tables["Contact"].values())[:3]:
            row.update(Email="no-mail-7Qz", Phone="415 555 0199 no-mail-7Qz", LastName="Canarybird\x00")
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "accounts.csv").write_text("id,name\nA1,Canarybird Ltd\n")
    (folder / "contacts.csv").write_text(
        "id,first_name,last_name,email,phone,account_id,notes\n"
        "C1,Ada,Canarybird,canary.person@secret.example,+1 415 555 0199,A1,She takes her tea at four.\n"
        "C2,Ada,Canarybird,no-mail-7Qz,415 555 0199 x,A9,tea at four\n"
        "C3,Canarybird,canary.person@secret.example,too,many,cells,in,this,row\n"
    )
    return folder


@pytest.fixture
def secrets(tmp_path_factory: pytest.TempPathFactory, private_key: str) -> dict[str, Path]:
    """Files with the secrets, outside the folders that are searched."""
    place = tmp_path_factory.mktemp("secrets")
    values = {
        "password": CANARIES.password, "security_token": CANARIES.security_token,
        "client_secret": CANARIES.client_secret, "private_key": private_key, "wrong": "canary-wrong-7Qz",
    }  # fmt: skip
    for name, value in values.items():
        (place / name).write_text(value)
    return {name: place / name for name in values}


def hidden(org: SandboxServer, private_key: str) -> list[str]:
    """Every secret there is: what was given, every token that was issued, a line of the key."""
    auth = org.sandbox.auth
    given = [CANARIES.password, CANARIES.security_token, CANARIES.client_secret, "canary-wrong-7Qz"]
    return [*given, *auth.sessions, *auth.refresh_tokens, private_key.splitlines()[3]]


def demo_secrets() -> set[str]:
    """What the demo signs in to its own org with."""
    known = Credentials()
    return {known.password, known.security_token, known.client_secret}


def migrate(told: Told, source: str | Path, name: str, objects: tuple[str, ...] = ()) -> None:
    """Every step on one source; the first run is taken back and done again."""
    only = [word for name in objects for word in ("--object", name)]
    told("migrate", "audit", source)
    told("migrate", "plan", source, "--out", f"{name}.toml", "--overwrite", *only)
    told("migrate", "approve", f"{name}.toml")
    told("migrate", "dry-run", source, "--plan", f"{name}.toml")
    run = told.once("migrate", "run", source, "--plan", f"{name}.toml", "--json", expect=(0, 3)).json["run_id"]
    told.once("migrate", "run", source, "--plan", f"{name}.toml", "--no-certificate", expect=(0,))
    told("migrate", "status")
    told("migrate", "report", run, "--html", f"{name}.html", expect=(0, 3))
    told("dead-letters", "list")
    told("migrate", "resume", expect=(78,))
    told("migrate", "undo", run, "--yes", expect=(0,))
    told.once("migrate", "run", source, "--plan", f"{name}.toml", "--no-certificate", expect=(0,))


def connect(told: Told, org: SandboxServer, secrets: dict[str, Path]) -> None:
    base = ("connect", "salesforce", "--base-url", org.url, "--set")
    user, client = f"username={CANARIES.username}", f"client_id={CANARIES.client_id}"
    token = f"security_token=@{secrets['security_token']}"
    wrong = (*base, user, "--secret", f"password=@{secrets['wrong']}", "--secret", token)
    told(*wrong, expect=(77,))
    told(*base, user, "--secret", f"password=@{secrets['password']}", "--secret", token)
    jwt = (*base, client, "--set", user, "--secret", f"private_key=@{secrets['private_key']}", "--auth", "oauth2_jwt")
    told(*jwt, "--name", "by-key")
    app = (*base, client, "--secret", f"client_secret=@{secrets['client_secret']}", "--auth", "oauth2_client")
    told(*app, "--name", "by-app")


def fail(told: Told, org: SandboxServer) -> None:
    """The same, with everything that goes wrong on the way."""
    faults = org.sandbox.faults
    for fault in (
        {"kind": "expire", "calls": "query|query_more|composite", "after": 3},
        {"kind": "malformed", "calls": "query|query_more", "after": 1},
        {"kind": "error", "status": 400, "calls": "query|query_more", "after": 2},
    ):
        faults.add([fault])
        told.once(
            "migrate",
            "run",
            "salesforce",
            "--plan",
            "org.toml",
            "--no-certificate",
            "--json",
            expect=(0, 65, 75, 77, 78),
        )
        told.once("migrate", "resume", "--no-certificate", expect=(0, 78))
        faults.waiting.clear()
    faults.add([{"kind": "error", "status": 500, "calls": "query|query_more|composite", "times": 100}])
    assert told.once("migrate", "run", "salesforce", "--plan", "org.toml", "--json", expect=(75,)).error["message"]
    told.once("connections", "test", "--json", expect=(0, 3))
    faults.waiting.clear()


def columns(engine: Engine) -> list[tuple[str, str]]:
    query = """
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    """
    with engine.connect() as conn:
        return [(row[0], row[1]) for row in conn.execute(text(query))]


def holding(engine: Engine, canaries: list[str]) -> set[tuple[str, str]]:
    """(table, column) of every value that holds one of ``canaries``, also as bytes."""
    patterns = [f"%{form}%" for canary in canaries for form in (canary, canary.encode().hex())]
    with engine.connect() as conn:
        return {
            (table, column)
            for table, column in columns(engine)
            if conn.scalar(
                text(f'SELECT EXISTS (SELECT FROM "{table}" WHERE CAST("{column}" AS text) LIKE ANY (:p))'),  # noqa: S608
                {"p": patterns},
            )
        }


def files_holding(folder: Path, canaries: list[str]) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and any(canary.encode() in path.read_bytes() for canary in canaries)
    }


def test_secrets_and_personal_values_stay_where_they_belong(
    told: Told,
    org: SandboxServer,
    folder: Path,
    secrets: dict[str, Path],
    private_key: str,
    engine: Engine,
    tmp_path: Path,
) -> None:
    told("doctor", expect=(0, 3))
    told("db", "upgrade")
    told("db", "status")
    connect(told, org, secrets)
    told("connections", "list")
    told("connections", "test")
    told("connections", "show", "salesforce")
    migrate(told, "salesforce", "org", OBJECTS)
    migrate(told, folder, "files")
    issued = set(hidden(org, private_key))  # sessions that the failures end
    fail(told, org)
    told.once("demo", "--exit", "--contacts", "15", "--json", expect=(0,))
    told("dead-letters", "list", "--payload")
    told("keys", "rotate")
    told("connections", "remove", "by-app", "--yes", expect=(0,))
    told("connections", "remove", "by-key", "--yes", expect=(0,))
    org.stop()
    told.once("connections", "test", "salesforce", "--json", expect=(3,))

    every_secret = sorted(issued | set(hidden(org, private_key)) | demo_secrets())
    spoken = set().union(*(told.saying(value) for value in PERSONAL))
    found = holding(engine, list(PERSONAL))
    kept = files_holding(tmp_path, list(PERSONAL))
    outside = {f for f in kept if not any(re.fullmatch(pattern, f) for pattern in PERSONAL_FILES)}
    assert {
        "secrets said": {words for secret in every_secret for words in told.saying(secret)},
        "secrets stored": holding(engine, every_secret),
        "secrets in files": files_holding(tmp_path, every_secret) - set(SECRET_FILES),
        "persons named by": spoken - set(PERSONAL_COMMANDS),
        "persons stored in": {place for place in found if not belongs(*place)},
        "persons in files": outside,
        "commands without a run": without_a_run(told),
    } == {check: set() for check in CHECKS}
    assert len(every_secret) > len(hidden(org, private_key)) > 5
    assert any(table == "crm_contact" for table, _ in found), "the canaries do live in the store"
    assert spoken, "and would be seen where they are said"


def without_a_run(told: Told) -> set[tuple[str, ...]]:
    """Commands that nobody ran and that are not excused, alone or with their whole group."""
    ran = {words for words, _ in told.said}
    assert ran.isdisjoint(NOT_YET), "these have a run now"
    return {
        words for words in commands() - ran - NOT_YET if words not in WITHOUT_A_RUN and words[:1] not in WITHOUT_A_RUN
    }


def belongs(table: str, column: str) -> bool:
    return (table, column) in PERSONAL_COLUMNS or any(re.fullmatch(pattern, table) for pattern in PERSONAL_TABLES)
