from __future__ import annotations

import base64
from pathlib import Path

import pytest

from storage.embedded import ServerUrls
from tests.cli.conftest import Syncline


def test_status_tells_the_address_without_the_password(syncline: Syncline, database_urls: ServerUrls) -> None:
    outcome = syncline("db", "status", "--json")
    assert outcome.code == 0
    assert outcome.json["kind"] == "DATABASE_URL"
    assert outcome.json["current"] is True
    assert outcome.json["revision"]
    password = database_urls.app.split(":")[2].split("@")[0]
    assert password not in outcome.out + outcome.err
    assert outcome.json["address"] in database_urls.app


def test_upgrading_twice_changes_nothing(syncline: Syncline) -> None:
    assert syncline("db", "upgrade").code == 0
    again = syncline("db", "upgrade", "--json")
    assert again.json["before"] == again.json["revision"]


def test_an_empty_server_of_ones_own_wants_an_upgrade_first(
    syncline: Syncline, fresh_database: ServerUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    with psycopg.connect(fresh_database.admin, autocommit=True) as conn:
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")
        conn.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    monkeypatch.setenv("DATABASE_URL", fresh_database.app)
    monkeypatch.setenv("DATABASE_ADMIN_URL", fresh_database.admin)
    assert syncline("connections", "list").code == 78
    upgraded = syncline("db", "upgrade", "--json")
    assert upgraded.code == 0, upgraded.err
    assert upgraded.json["before"] is None
    assert syncline("connections", "list", "--json").json == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://nobody:c4nary-S3cret@127.0.0.1:9/x", 75),
        ("mysql://nobody:c4nary-S3cret@127.0.0.1/x", 78),
        ("c4nary-S3cret", 78),
    ],
)
def test_a_wrong_address_is_a_sentence_without_the_password(
    syncline: Syncline, monkeypatch: pytest.MonkeyPatch, url: str, code: int
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    outcome = syncline("connections", "list")
    assert outcome.code == code, outcome.err
    assert outcome.err.startswith("Error: ")
    assert "c4nary-S3cret" not in outcome.out + outcome.err


def test_stopping_a_server_of_ones_own_is_refused(syncline: Syncline) -> None:
    outcome = syncline("db", "stop")
    assert outcome.code == 78
    assert "DATABASE_URL" in outcome.err


def test_doctor_finds_everything_in_place(syncline: Syncline) -> None:
    outcome = syncline("doctor", "--json")
    assert outcome.code == 0, outcome.out
    checks = {f["check"]: f["ok"] for f in outcome.json}
    assert checks["database"]
    assert checks["schema and isolation of tenants"]
    assert checks["master key"]


def test_doctor_says_what_to_do(syncline: Syncline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:pw@127.0.0.1:9/x")
    monkeypatch.setenv("SYNCLINE_MASTER_KEYS", "not a key")
    outcome = syncline("doctor", "--json")
    assert outcome.code == 3
    broken = {f["check"]: f["fix"] for f in outcome.json if not f["ok"]}
    assert "master key" in broken
    assert broken["master key"]


def test_keys_of_the_environment_rotate_to_the_first(syncline: Syncline, monkeypatch: pytest.MonkeyPatch) -> None:
    key = base64.b64encode(bytes(32)).decode()
    monkeypatch.setenv("SYNCLINE_MASTER_KEYS", f"k2:{key},k1:{base64.b64encode(bytes(range(32))).decode()}")
    assert syncline("keys", "rotate", "--json").json == {"rotated": 0}


def test_nothing_is_set_aside_at_first(syncline: Syncline) -> None:
    assert syncline("dead-letters", "list", "--json").json == {"causes": [], "letters": []}
    assert "Nothing is set aside." in syncline("dead-letters", "list").out


def test_dead_letters_hide_payloads_unless_asked(syncline: Syncline, db: object, tenant_id: object) -> None:
    from storage.dead_letters import NewLetter, record

    letter = NewLetter("map", "bad_email", "Email is no address.", object="Contact", vendor_id="003", field="Email",
                       place="Contact.csv, row 7", payload={"Email": "ada at home"})  # fmt: skip
    with db.tenant(tenant_id) as conn:  # type: ignore[attr-defined]
        record(conn, tenant_id, [letter])  # type: ignore[arg-type]
    shown = syncline("dead-letters", "list")
    assert "Contact.csv, row 7" in shown.out
    assert "ada at home" not in shown.out + syncline("dead-letters", "list", "--json").out
    (only,) = syncline("dead-letters", "list", "--json", "--payload").json["letters"]
    assert only["payload"] == {"Email": "ada at home"}
    assert "ada at home" not in syncline("dead-letters", "show", only["id"]).out
    assert "ada at home" in syncline("dead-letters", "show", only["id"], "--payload").out
    looks = syncline("audit", "list", "--action", "payload.read", "--json").json
    assert [(e["target_id"], e["actor_kind"]) for e in looks] == [(only["id"], "command"), ("list", "command")]
    assert syncline("dead-letters", "list", "--json", "--code", "other").json["letters"] == []


def test_with_other_than_open_letters_their_state_is_shown(syncline: Syncline, db: object, tenant_id: object) -> None:
    from storage.dead_letters import NewLetter, record

    letters = [NewLetter("map", "bad_email", "Email is no address.", vendor_id=i, field="Email") for i in ("1", "2")]
    with db.tenant(tenant_id) as conn:  # type: ignore[attr-defined]
        record(conn, tenant_id, letters)  # type: ignore[arg-type]
    assert syncline("dead-letters", "discard", "--record", "1", "--reason", "a test record").code == 0
    assert "state" not in syncline("dead-letters", "list").out
    everything = syncline("dead-letters", "list", "--status", "all").out
    assert "discarded" in everything
    assert " open " in everything


def test_home_may_hold_spaces_and_letters_of_the_world(syncline: Syncline, tmp_path: Path) -> None:
    assert syncline("db", "status", "--home", tmp_path / "ein Zuhause für Daten").code == 0
