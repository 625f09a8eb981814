"""Connecting as a user would: what is asked, what is refused, what is stored and what is never shown."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
from pathlib import Path
from uuid import UUID

import pytest
import typer
from sqlalchemy import Table, text

from bootstrap.filling_in import choose_method, fill_in
from cli.connect import how_to_give, parse_settings, read_secrets
from connectors.kit import registry
from connectors.kit.contract import Setting
from domain.access import SYSTEM_TENANT
from domain.errors import ConfigurationError
from storage import audit, connections, disconnecting
from storage.database import Database
from storage.sync import records
from storage.tables import metadata, route
from tests.cli.acme import PASSWORD, AcmeConnector
from tests.cli.conftest import Syncline
from tests.support.rows import sample

MANIFEST = AcmeConnector.manifest


@pytest.fixture(autouse=True)
def _acme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acme comes as a third-party package would: by entry point."""
    point = importlib.metadata.EntryPoint("acme", "tests.cli.acme:AcmeConnector", registry.ENTRY_POINT_GROUP)
    with_acme = dataclasses.replace(registry.DEFAULT, entry_points=lambda: [point])
    monkeypatch.setattr(registry, "DEFAULT", with_acme)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    return f"password=@{tmp_path / 'secret'}"


# ---------------------------------------------------------------- what is given


def test_settings_are_pairs() -> None:
    assert parse_settings(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("pair", ["a", "=1", ""])
def test_a_setting_without_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
        parse_settings([pair])


def test_secrets_come_from_files_variables_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pem").write_text("line 1\nline 2\n")
    monkeypatch.setenv("FROM_HERE", "v")
    monkeypatch.setattr("sys.stdin", io.StringIO("typed\nmore\n"))
    assert read_secrets([f"a=@{tmp_path / 'pem'}", "b=env:FROM_HERE", "c=-"]) == {
        "a": "line 1\nline 2",
        "b": "v",
        "c": "typed",
    }


def test_a_literal_secret_is_refused_and_not_repeated(syncline: Syncline) -> None:
    outcome = syncline("connect", "acme", "--set", "username=ada", "--secret", "password=hunter2-literal")
    assert outcome.code == 2
    assert "hunter2-literal" not in outcome.out + outcome.err
    assert "@FILE" in outcome.err


@pytest.mark.parametrize("pair", ["a=@/nowhere/at/all", "a=env:NOT_SET_ANYWHERE"])
def test_a_secret_that_is_not_there_is_a_sentence(pair: str) -> None:
    with pytest.raises(ConfigurationError, match="for a"):
        read_secrets([pair])


# ---------------------------------------------------------------- what the manifest asks for


@pytest.mark.parametrize(
    ("given", "auth", "kind"),
    [
        ({}, None, "password"),
        ({"api_key": "k"}, None, "api_key"),
        ({"username": "u"}, None, "password"),
        ({"username": "u", "password": "p"}, "api_key", "api_key"),
    ],
)
def test_the_way_to_sign_in_follows_from_what_is_given(given: dict[str, str], auth: str | None, kind: str) -> None:
    assert choose_method(MANIFEST, given, auth).kind.value == kind


def test_an_unknown_way_to_sign_in_lists_the_others() -> None:
    with pytest.raises(ConfigurationError, match="password, api_key"):
        choose_method(MANIFEST, {}, "magic")


def test_secrets_and_settings_are_kept_apart() -> None:
    answers = fill_in(MANIFEST, {"username": "ada", "password": "p", "region": "us"}, auth=None, ask=None)
    assert answers.settings == {"region": "us"}
    assert answers.credentials == {"auth": "password", "username": "ada", "password": "p"}
    assert "p'" not in repr(answers)
    assert "ada" not in repr(answers)


def test_what_is_missing_is_asked_for_and_only_that() -> None:
    asked: list[str] = []

    def ask(setting: Setting) -> str:
        asked.append(setting.name)
        return "typed"

    answers = fill_in(MANIFEST, {"username": "ada"}, auth=None, ask=ask)
    assert asked == ["password"]
    assert answers.credentials["password"] == "typed"
    assert answers.settings == {"region": "eu"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"username": "ada"}, "Password is missing.*--secret password=.*SYNCLINE_CONNECT_PASSWORD"),
        ({"password": "p"}, "User name is missing.*--set username="),
        ({"username": "a", "password": "p", "colour": "x"}, "no setting called colour.*region"),
        ({"username": "a", "password": "p", "region": "mars"}, "Region must be one of eu, us"),
    ],
)
def test_wrong_answers_are_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fill_in(MANIFEST, given, auth=None, ask=None, where=how_to_give)


# ---------------------------------------------------------------- as a user would


def test_connecting_stores_the_connection_and_never_shows_a_secret(syncline: Syncline, secret: str, home: Path) -> None:
    made = syncline("connect", "acme", "--set", "username=ada", "--secret", secret, "--json")
    assert made.code == 0, made.err
    assert made.json["name"] == "acme"
    assert made.json["display_name"] == "Acme of ada"
    listed = syncline("connections", "list", "--json")
    assert [(c["name"], c["vendor"], c["remote_account"], c["status"]) for c in listed.json] == [
        ("acme", "acme", "ada", "ok")
    ]
    shown = syncline("connections", "show", "acme")
    tested = syncline("connections", "test")
    assert tested.code == 0
    everything = made.out + made.err + listed.out + shown.out + shown.err + tested.out + tested.err
    everything += "".join(p.read_text(errors="replace") for p in home.rglob("*.jsonl"))
    assert PASSWORD not in everything


def test_credentials_come_from_the_environment(syncline: Syncline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_CONNECT_API_KEY", PASSWORD)
    assert syncline("connect", "acme", "--name", "by-key").code == 0
    assert "by-key" in syncline("connections", "list").out


def test_wrong_credentials_store_nothing(syncline: Syncline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_CONNECT_PASSWORD", "wrong-c4nary")
    outcome = syncline("connect", "acme", "--set", "username=ada")
    assert outcome.code == 77
    assert "Acme refused the password." in outcome.err
    assert "wrong-c4nary" not in outcome.err
    assert syncline("connections", "list", "--json").json == []


def test_connecting_again_keeps_the_connection(syncline: Syncline, secret: str) -> None:
    first = syncline("connect", "acme", "--set", "username=ada", "--secret", secret, "--json").json
    again = syncline(
        "connect", "acme", "--set", "username=ada", "--secret", secret, "--set", "region=us", "--json"
    ).json
    assert again["id"] == first["id"]
    assert again["settings"] == {"region": "us"}
    assert len(syncline("connections", "list", "--json").json) == 1


def test_a_name_never_passes_to_another_account(syncline: Syncline, secret: str) -> None:
    syncline("connect", "acme", "--set", "username=ada", "--secret", secret)
    outcome = syncline("connect", "acme", "--set", "username=grace", "--secret", secret, "--json")
    assert outcome.code == 78
    assert outcome.error["code"] == "other_account"
    assert "--name" in outcome.error["remedy"]
    assert syncline("connect", "acme", "--name", "second", "--set", "username=grace", "--secret", secret).code == 0


def test_an_unknown_vendor_gets_a_suggestion(syncline: Syncline) -> None:
    outcome = syncline("connect", "acne")
    assert outcome.code == 78
    assert "Did you mean acme?" in outcome.err


@pytest.fixture
def used(syncline: Syncline, secret: str, db: Database, tenant_id: UUID) -> UUID:
    """A connection that left a row in every table that names connections, beside one that did, too."""
    for name in ("acme", "other"):
        syncline("connect", "acme", "--name", name, "--set", "username=ada", "--secret", secret)
    with db.tenant(tenant_id) as conn:
        made = {c.name: c.id for c in connections.list_all(conn)}
        for table in _naming():
            for connection_id in made.values() if table.name != "credential" else ():
                own = {name: str(connection_id) for name in ("name", "key") if name in table.columns}
                conn.execute(table.insert().values(sample(table, tenant_id, connection_id=connection_id, **own)))
    with db.tenant(SYSTEM_TENANT) as conn:
        for connection_id in made.values():
            given = {"routed_tenant_id": tenant_id, "connection_id": connection_id}
            conn.execute(route.insert().values(sample(route, SYSTEM_TENANT, **given)))
    return made["acme"]


def _naming() -> list[Table]:
    return [t for t in metadata.sorted_tables if "connection_id" in t.columns and t.name != "route"]


def _left(db: Database, tenant_id: UUID, connection_id: UUID) -> set[str]:
    with db.tenant(tenant_id) as conn:
        left = {t.name for t in _naming() if conn.execute(t.select().where(t.c.connection_id == connection_id)).first()}
    with db.tenant(SYSTEM_TENANT) as conn:
        return left | (
            {"route"} if conn.execute(route.select().where(route.c.connection_id == connection_id)).first() else set()
        )


def test_a_connection_that_keeps_objects_in_step_is_removed_only_by_a_purge(
    syncline: Syncline, used: UUID, db: Database, tenant_id: UUID
) -> None:
    refused = syncline("connections", "remove", "acme", "--yes")
    assert (refused.code, "keeps" in refused.err, "--purge" in refused.err) == (78, True, True)
    assert _left(db, tenant_id, used) == {t.name for t in _naming()} | {"route"}


def test_a_purge_leaves_no_row_that_names_the_connection_but_evidence(
    syncline: Syncline, used: UUID, db: Database, tenant_id: UUID
) -> None:
    with db.tenant(tenant_id) as conn:
        [other] = [c.id for c in connections.list_all(conn) if c.id != used]
        contact = records.create(conn, tenant_id, "contact", {"last_name": "Stays"}, "tests")
    removed = syncline("connections", "remove", "acme", "--purge", "--yes", "--json")
    assert removed.code == 0, removed.err
    assert removed.json == {"removed": "acme", "links": 1}
    assert _left(db, tenant_id, used) <= disconnecting.KEPT.keys()
    assert _left(db, tenant_id, other) >= {t.name for t in _naming()}, "another connection's rows are not touched"
    with db.tenant(tenant_id) as conn:
        assert connections.find(conn, used) is None
        assert records.edit(conn, tenant_id, "contact", contact, {"last_name": "Still"}, "tests") is not None
        letters = {
            r.connection_id: r.status for r in conn.execute(text("SELECT connection_id, status FROM dead_letter"))
        }
        noted = {e.action for e in audit.entries(conn, audit.Wanted(target_id=str(used)), limit=10)}
    assert letters == {used: "resolved", other: "open"}
    assert noted >= {"connection.disconnect", "connection.purged"}


def test_removing_asks_and_then_forgets(syncline: Syncline, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    syncline("connect", "acme", "--set", "username=ada", "--secret", secret)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = syncline("connections", "remove", "acme")
    assert (refused.code, "credentials? [y/N]: n\n" in refused.err) == (1, True)
    assert syncline("connections", "remove", "acme").code == 78, "nobody answers"
    assert len(syncline("connections", "list", "--json").json) == 1
    assert syncline("connections", "remove", "acme", "--yes").code == 0
    assert syncline("connections", "list", "--json").json == []


def test_a_connection_that_is_not_there_names_the_nearest(syncline: Syncline, secret: str) -> None:
    syncline("connect", "acme", "--name", "head-office", "--set", "username=ada", "--secret", secret)
    outcome = syncline("connections", "show", "headoffice", "--json")
    assert outcome.code == 78
    assert outcome.error["code"] == "no_such_connection"
    assert "head-office" in outcome.error["remedy"]


def test_a_failing_connection_is_told_and_remembered(
    syncline: Syncline, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncline("connect", "acme", "--set", "username=ada", "--secret", secret)
    monkeypatch.setattr("tests.cli.acme.PASSWORD", "changed meanwhile")
    outcome = syncline("connections", "test", "--json")
    assert outcome.code == 3
    assert [(o["ok"], o["code"]) for o in outcome.json] == [(False, "reauth_required")]
    assert syncline("connections", "show", "acme", "--json").json["status"] == "reauth"


def test_rotating_keys_keeps_every_connection_working(syncline: Syncline, secret: str) -> None:
    syncline("connect", "acme", "--set", "username=ada", "--secret", secret)
    assert syncline("keys", "rotate", "--json").json == {"rotated": 1}
    assert syncline("connections", "test").code == 0
