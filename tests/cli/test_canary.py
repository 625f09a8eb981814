"""Unmistakable secrets and personal values go in; every command runs, well and badly; they come out only where they belong."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Engine, create_engine, text

from cli.main import app, mount_sandbox
from connectors.kit.retry import RetryPolicy
from connectors.salesforce.connector import SalesforceConnector
from sandbox.salesforce.auth import Credentials
from sandbox.salesforce.model import SandboxOptions
from sandbox.salesforce.server import SandboxServer
from storage import connections, dead_letters
from storage.database import Database
from storage.dead_letters import NewLetter
from storage.embedded import EmbeddedPostgres, ServerUrls
from storage.sync import records
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
    ("api",): "serves until it is stopped; tests/api run it as a process of its own",
    ("sandbox",): "vendors, not the product; each prints the invented credentials of its account by design",
}
PERSONAL_FILES = {
    r"export/.*": "the source itself",
}
SECRET_FILES = {"home/demo/sandbox.log": "what the stand-in vendor prints; it is not the product"}
OBJECTS = (
    "User", "Account", "Contact", "Lead", "Opportunity", "Task", "OpportunityContactRole", "ContentVersion",
)  # fmt: skip
CHECKS = (
    "secrets said", "secrets stored", "secrets in files", "persons named by", "persons stored in", "persons in files",
    "commands without a run", "done without a trace",
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
    ("dead_letter", "original"): "what the source sent, of a record that a person mended",
    ("conflict", "hub_value"): "a person who decides needs both values",
    ("conflict", "vendor_value"): "a person who decides needs both values",
}
PERSONAL_COMMANDS = {
    ("migrate", "dry-run"): "shows samples of what would be written, by design",
    ("dead-letters", "list"): "with --payload the raw records are asked for",
    ("webhooks", "endpoints", "preview"): "shows what becomes of the sample that it is given, by design",
    ("dead-letters", "show"): "with --payload the raw record is asked for",
    ("dead-letters", "preview"): "shows what would change, by design",
    ("explain",): "shows every value of a record, by design",
    ("conflicts", "list"): "shows the values that a person decides between, by design",
}


_LISTS = "tells what stands, without payloads"
UNTRACED = {
    **dict.fromkeys(
        (("doctor",), ("demo",), ("up",), ("version",)), "works for the installation, or in one of its own"
    ),
    **dict.fromkeys((("db", "upgrade"), ("db", "status")), "works for the installation, before there is a log"),
    **dict.fromkeys((("connections", "list"), ("connections", "show"), ("keys", "list")), _LISTS),
    **dict.fromkeys((("sync", "status"), ("sync", "runs"), ("conflicts", "list"), ("explain",)), _LISTS),
    **dict.fromkeys((("migrate", "status"), ("migrate", "report")), _LISTS),
    **dict.fromkeys((("dead-letters", "groups"), ("audit", "list"), ("audit", "verify")), _LISTS),
    **dict.fromkeys((("privacy", "erasures"), ("privacy", "consents"), ("webhooks", "inbox", "list")), _LISTS),
    **dict.fromkeys((("webhooks", "endpoints", verb) for verb in ("list", "show")), _LISTS),
    **dict.fromkeys((("webhooks", "subscriptions", verb) for verb in ("list", "show", "deliveries")), _LISTS),
    **dict.fromkeys((("dead-letters", "list"), ("dead-letters", "show")), "--payload is audited: tests/cli/test_db.py"),
    ("migrate", "approve"): "changes a file of the person's and nothing of the hub's",
    ("webhooks", "endpoints", "preview"): "shows people their own sample",
}
"""Commands that leave no entry in the audit log, and why."""


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
    entries: Callable[[], int]
    traced: set[tuple[str, ...]] = field(default_factory=set)
    untraced: set[tuple[str, ...]] = field(default_factory=set)
    said: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    known: set[tuple[str, ...]] = field(default_factory=commands)

    def __call__(self, *line: str | Path, expect: tuple[int, ...] = (0,)) -> Outcome:
        """Run ``line`` plain and with --json; the last outcome. A command that cannot be repeated fails plainly."""
        self.once(*line, expect=expect)
        return self.once(*line, "--json", expect=(*expect, 2, 65, 73, 77, 78))

    def once(self, *line: str | Path, expect: tuple[int, ...]) -> Outcome:
        """Run ``line`` as it stands."""
        before = self.entries()
        outcome = self.syncline(*line)
        if outcome.code in (0, 1, 3):
            (self.untraced if self.entries() == before else self.traced).add(self.words(line))
        self.said.append((self.words(line), outcome.out + outcome.err))
        assert outcome.code in expect, (line, outcome.code, outcome.err[-600:])
        return outcome

    def words(self, line: tuple[str | Path, ...]) -> tuple[str, ...]:
        words = tuple(str(word) for word in line[:3])
        return next((words[:n] for n in (3, 2) if words[:n] in self.known), words[:1])

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
def hub(database_urls: ServerUrls) -> Iterator[Database]:
    database = Database(database_urls.app)
    yield database
    database.close()


@pytest.fixture
def told(syncline: Syncline, engine: Engine, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Told]:
    monkeypatch.setenv("SYNCLINE_LOG_LEVEL", "DEBUG")
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda *_: 0.01)  # as often as ever, but without the waits between

    def entries() -> int:
        with engine.connect() as conn:
            return int(conn.scalar(text("SELECT count(*) FROM audit_log")) or 0)

    yield Told(syncline, entries)
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


class Later:
    """The org and its connector, some time from now."""

    def __init__(self, org: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._org, self._passed = org, timedelta(0)
        monkeypatch.setitem(SalesforceConnector.__init__.__kwdefaults__, "clock", self)  # type: ignore[index]

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._passed

    def lag(self) -> None:
        """Ten minutes pass: the org's index catches up."""
        self._passed += timedelta(minutes=10)
        httpx.post(f"{self._org.url}/__sandbox__/clock", json={"advance_s": 600}).raise_for_status()


def follow(told: Told, org: SandboxServer, later: Later) -> None:
    """After the migration: followed until the cut-over, which is taken back."""
    told("migrate", "follow", "--once", expect=(78,))  # two sources: which?
    runs = told.once("migrate", "status", "--json", expect=(0,)).json
    run = next(r["run_id"] for r in runs if r["connection"] == "salesforce" and r["status"] == "done")
    later.lag()
    told("migrate", "follow", run, "--once")
    told("migrate", "cutover", run, expect=(0, 3))
    told("migrate", "cutover", run, "--take-back")


def keep_in_step(told: Told, org: SandboxServer, later: Later, db: Database, tenant_id: UUID) -> None:
    """Streams in every state, and a conflict that a person decides."""
    told("sync", "add", "salesforce", "--object", "Contact", "--field", "description=ask")
    told("sync", "run")
    told("sync", "status")
    told("sync", "runs", "salesforce", "--object", "Contact")
    told("sync", "compare", "salesforce", "--object", "Contact")
    told("sync", "pause", "salesforce", "--object", "Lead")
    told("sync", "resume", "salesforce", "--object", "Lead")
    told.once("sync", "remove", "salesforce", "--object", "Lead", expect=(0,))
    with db.tenant(tenant_id) as conn:
        hub_id, vendor_id = conn.execute(
            text("""
            SELECT l.entity_id, l.vendor_id FROM link l JOIN crm_contact c ON c.tenant_id = l.tenant_id AND c.id = l.entity_id
            WHERE l.vendor_object = 'Contact' AND c.description LIKE '%tea at four%' ORDER BY 2 LIMIT 1""")
        ).one()
        edit = {"description": "The hub says that her tea at four is at five."}
        records.edit(conn, tenant_id, "contact", hub_id, edit, "somebody")
    said = {"object": "Contact", "id": vendor_id, "properties": {"Description": "No, her tea at four is at six."}}
    httpx.post(f"{org.url}/__sandbox__/edit", json=said).raise_for_status()
    later.lag()
    told("sync", "run")
    told("conflicts", "list")
    (conflict,) = told.once("conflicts", "list", "--json", expect=(0,)).json
    told.once("conflicts", "resolve", conflict["id"], "--take", "vendor", expect=(0,))
    told("explain", "contact", str(hub_id))
    told("explain", "contact", "nobody@nowhere.example", expect=(1,))


def mend(told: Told, db: Database, tenant_id: UUID) -> None:
    """Dead letters from their causes to the end of their retention."""
    told("dead-letters", "groups")
    with db.tenant(tenant_id) as conn:
        source = connections.by_name(conn, "salesforce")
        assert source is not None
        refused = [
            NewLetter(
                "map", "bad_email", "Email is no address.", connection_id=source.id, object="Contact", vendor_id=vendor_id,
                entity="contact", field="Email", payload={**PERSON, "Id": vendor_id, "Email": "no-mail-7Qz"},
            )
            for vendor_id in ("003Canary1", "003Canary2")
        ]  # fmt: skip
        dead_letters.record(conn, tenant_id, refused)
    first, second = (
        told.once("dead-letters", "list", "--record", vendor_id, "--json", expect=(0,)).json["letters"][0]["id"]
        for vendor_id in ("003Canary1", "003Canary2")
    )
    told("dead-letters", "show", first)
    told("dead-letters", "show", first, "--payload")
    told("dead-letters", "preview")
    told.once("dead-letters", "edit", first, "--set", "LastName=Mended", expect=(0,))
    told.once("dead-letters", "replay", first, expect=(0, 1))
    told.once("dead-letters", "discard", second, "--reason", "a record for tests", expect=(0,))
    told("dead-letters", "purge", "--before", "2035-01-01")


def serve(told: Told) -> None:
    """The processes that keep connections in step: refused without a broker, or up until they are told to stop."""
    told("worker", expect=(78,))
    told("scheduler", expect=(78,))
    command = [sys.executable, "-m", "cli.main", "up", "--health-every", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    told.said.append((("up",), "".join(lines) + rest))
    assert process.returncode == 0, rest


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


def privacy(told: Told, folder: Path) -> None:
    """Hand over and erase somebody who is not there, which takes the same way; change what is kept; list consents."""
    out = folder / "person.json"
    told("privacy", "export", "--email", "nobody@nowhere.example", "--out", str(out))
    assert json.loads(out.read_text())["format"] == "syncline.person.1"
    assert told("privacy", "erase", "--email", "nobody@nowhere.example", "--yes").json["left"] == {}
    told("privacy", "retention", "history", "--days", "400")
    told("privacy", "erasures")
    told("privacy", "erase", "--email", "nobody@nowhere.example", "--vendors", "keep", "--yes")
    told("privacy", "consents")


def listen(told: Told) -> list[str]:
    """An endpoint that listens, and what can be done with it; returns its secrets, which two commands show by design."""
    words = ("webhooks", "subscriptions")
    made = told.once(*words, "add", "https://hooks.invalid/in", "--event", "*", "--json", expect=(0,)).json
    listener = made["subscription"]["id"]
    secrets = [made["secret"], told.once(*words, "rotate", listener, "--json", expect=(0,)).json["secret"]]
    told(*words, "list")
    told(*words, "change", listener, "--name", "theirs")
    told(*words, "test", listener, expect=(3,))
    told(*words, "deliveries", listener)
    told(*words, "replay", listener, "--status", "failed")
    told(*words, "disable", listener)
    told(*words, "enable", listener)
    told(*words, "show", listener)
    told.once(*words, "remove", listener, "--yes", expect=(0,))
    shown = {(*words, "add"), (*words, "rotate")}
    assert set().union(*(told.saying(secret) for secret in secrets)) == shown
    return secrets


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


def take_in(told: Told, folder: Path) -> None:
    """Every command of webhooks; nothing has come in yet."""
    sample, settings = folder.parent / "sample.json", folder.parent / "settings.json"
    sample.write_text(json.dumps({"email": PERSON["Email"], "name": PERSON["LastName"]}))
    fields = {"email": "$.email", "last_name": "$.name"}
    settings.write_text(json.dumps({"proof": {"kind": "api_key"}, "entity": "lead", "fields": fields}))
    told("webhooks", "endpoints", "add", "forms", "--settings", str(settings))
    told("webhooks", "endpoints", "list")
    told("webhooks", "endpoints", "preview", "forms", sample)
    for verb in ("show", "rotate", "pause", "remove"):
        told("webhooks", "endpoints", verb, "forms")
    told("webhooks", "inbox", "list")
    for verb in ("show", "replay"):
        told("webhooks", "inbox", verb, "00000000-0000-7000-8000-00000000dead", expect=(78,))
    sample.unlink()


@pytest.mark.timeout(900)
def test_secrets_and_personal_values_stay_where_they_belong(
    told: Told,
    org: SandboxServer,
    folder: Path,
    secrets: dict[str, Path],
    private_key: str,
    engine: Engine,
    hub: Database,
    tenant_id: UUID,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
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
    take_in(told, folder)
    later = Later(org, monkeypatch)
    follow(told, org, later)
    keep_in_step(told, org, later, hub, tenant_id)
    mend(told, hub, tenant_id)
    serve(told)
    issued = set(hidden(org, private_key))  # sessions that the failures end
    fail(told, org)
    told.once("demo", "--exit", "--contacts", "15", "--json", expect=(0,))
    told("dead-letters", "list", "--payload")
    told("keys", "rotate")
    door = told("keys", "create", "door", "--role", "member", "--days", "1").json
    told("keys", "list")
    told("keys", "revoke", door["id"])
    privacy(told, tmp_path)
    told("audit", "list")
    told("audit", "verify")
    assert holding(engine, [door["secret"]]) == set()
    assert files_holding(tmp_path, [door["secret"]]) == set()
    told("connections", "remove", "by-app", "--yes", expect=(0,))
    told("connections", "remove", "by-key", "--yes", expect=(0,))
    shown_once = listen(told)
    org.stop()
    told.once("connections", "test", "salesforce", "--json", expect=(3,))

    assert not holding(engine, shown_once)
    assert not files_holding(tmp_path, shown_once)
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
        "done without a trace": told.untraced - told.traced - set(UNTRACED),
    } == {check: set() for check in CHECKS}
    assert len(every_secret) > len(hidden(org, private_key)) > 5
    assert any(table == "crm_contact" for table, _ in found), "the canaries do live in the store"
    assert spoken, "and would be seen where they are said"


def without_a_run(told: Told) -> set[tuple[str, ...]]:
    """Commands that nobody ran and that are not excused, alone or with their whole group."""
    ran = {words for words, _ in told.said}
    return {words for words in commands() - ran if words not in WITHOUT_A_RUN and words[:1] not in WITHOUT_A_RUN}


def belongs(table: str, column: str) -> bool:
    return (table, column) in PERSONAL_COLUMNS or any(re.fullmatch(pattern, table) for pattern in PERSONAL_TABLES)
