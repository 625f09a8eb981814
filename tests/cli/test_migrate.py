"""`syncline migrate` as a user types it, on folders of files and a real database."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from cli.sources import free_name
from tests.cli.conftest import Syncline

ACCOUNTS = "id,name,website\nA1,Acme,acme.example\nA2,Bolt,bolt.example\n"
CONTACTS = """id,first_name,last_name,email,account_id,shoe size
C1,Ada,Byron,ada@acme.example,A1,38
C2,Ada,Byron,ADA@acme.example,A1,
C3,Grace,Hopper,grace@bolt.example,A2,40
C4,too,many,cells,in,this,row
"""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "ex port"
    folder.mkdir()
    (folder / "accounts.csv").write_text(ACCOUNTS)
    (folder / "contacts.csv").write_text(CONTACTS)
    return folder


@pytest.fixture
def migrated(syncline: Syncline, export: Path) -> str:
    """The id of a finished run."""
    assert syncline("migrate", "plan", export, "--approve").code == 0
    done = syncline("migrate", "run", export, "--json")
    assert done.code == 0, done.err
    return str(done.json["run_id"])


def outcomes(row: dict[str, int]) -> dict[str, int]:
    return {name: row[name] for name in ("created", "updated", "unchanged", "merged", "rejected") if row[name]}


def test_audit_counts_and_writes_nothing(syncline: Syncline, export: Path) -> None:
    found = syncline("migrate", "audit", export, "--json")
    assert found.code == 0, found.err
    counts = {o["object"]: o["count"] for o in found.json["objects"]}
    assert counts == {"accounts": 2, "contacts": 3}
    assert syncline("migrate", "status", "--json").json == []
    assert "contacts: audit" in found.err


def test_audit_of_one_object(syncline: Syncline, export: Path) -> None:
    found = syncline("migrate", "audit", export, "--object", "accounts", "--json")
    assert [o["object"] for o in found.json["objects"]] == ["accounts"]


def test_a_plan_is_a_file_that_wants_approval(syncline: Syncline, export: Path, tmp_path: Path) -> None:
    made = syncline("migrate", "plan", export, "--json")
    assert made.code == 0, made.err
    file = tmp_path / "ex-port-plan.toml"
    assert made.json["plan"] == file.name
    assert made.json["approved"] is False
    refused = syncline("migrate", "run", export, "--json")
    assert (refused.code, refused.error["code"]) == (65, "plan_not_approved")
    file.write_text("# Ann agreed to this.\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert syncline("migrate", "approve", file).code == 0
    assert file.read_text(encoding="utf-8").startswith("# Ann agreed to this.\n")
    assert syncline("migrate", "run", export).code == 0


def test_an_edit_takes_the_approval_back(syncline: Syncline, export: Path, tmp_path: Path) -> None:
    syncline("migrate", "plan", export, "--approve")
    file = tmp_path / "ex-port-plan.toml"
    text = file.read_text(encoding="utf-8")
    edited = re.sub(r'survivor = "oldest"', 'survivor = "newest"', text)
    assert edited != text
    file.write_text(edited, encoding="utf-8")
    refused = syncline("migrate", "run", export, "--json")
    assert (refused.code, refused.error["code"]) == (65, "plan_changed")


def test_a_plan_is_not_overwritten_unasked(syncline: Syncline, export: Path) -> None:
    syncline("migrate", "plan", export)
    again = syncline("migrate", "plan", export, "--json")
    assert (again.code, again.error["code"]) == (78, "plan_exists")
    assert syncline("migrate", "plan", export, "--overwrite").code == 0
    assert syncline("migrate", "plan", export, "--out", "other.toml").code == 0


def test_a_broken_plan_names_its_place(syncline: Syncline, export: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("survivor = \n")
    outcome = syncline("migrate", "run", export, "--plan", "bad.toml")
    assert outcome.code in (65, 78)
    assert "bad.toml" in outcome.err


def test_a_dry_run_writes_nothing(syncline: Syncline, export: Path) -> None:
    syncline("migrate", "plan", export, "--approve")
    dry = syncline("migrate", "dry-run", export, "--json")
    assert dry.code == 0, dry.err
    assert outcomes(dry.json["objects"]["contacts"]) == {"created": 2, "merged": 1, "rejected": 1}
    again = syncline("migrate", "dry-run", export, "--json")
    assert outcomes(again.json["objects"]["contacts"]) == outcomes(dry.json["objects"]["contacts"])


def test_a_run_accounts_for_every_record_and_a_second_one_changes_nothing(syncline: Syncline, export: Path) -> None:
    syncline("migrate", "plan", export, "--approve")
    first = syncline("migrate", "run", export, "--json")
    assert first.code == 0, first.err
    assert outcomes(first.json["objects"]["accounts"]) == {"created": 2}
    assert outcomes(first.json["objects"]["contacts"]) == {"created": 2, "merged": 1, "rejected": 1}
    assert first.json["certificate"]["ok"]
    second = syncline("migrate", "run", export, "--json")
    assert outcomes(second.json["objects"]["accounts"]) == {"unchanged": 2}
    assert outcomes(second.json["objects"]["contacts"]) == {"unchanged": 3, "rejected": 1}


def test_people_see_the_same(syncline: Syncline, export: Path) -> None:
    syncline("migrate", "plan", export, "--approve")
    shown = syncline("migrate", "run", export)
    assert "Nothing was lost" in shown.out
    assert "A row has more or fewer cells than the header." in shown.out
    assert "contacts: load" in shown.err


def test_status_and_report(syncline: Syncline, migrated: str, tmp_path: Path) -> None:
    (state,) = syncline("migrate", "status", "--json").json
    assert (state["run_id"], state["status"], state["connection"]) == (migrated, "done", "ex-port")
    page = tmp_path / "page.html"
    told = syncline("migrate", "report", migrated[:13], "--html", page, "--json")
    assert told.code == 0, told.err
    assert told.json["ok"]
    assert "Nothing was lost" in page.read_text(encoding="utf-8")


def test_undo_takes_everything_back(syncline: Syncline, migrated: str, export: Path) -> None:
    undone = syncline("migrate", "undo", migrated, "--yes", "--json")
    assert undone.code == 0, undone.err
    assert undone.json["deleted"] == {"accounts": 2, "contacts": 2}
    again = syncline("migrate", "run", export, "--json")
    assert outcomes(again.json["objects"]["accounts"]) == {"created": 2}


def test_a_dry_run_is_nothing_to_undo(syncline: Syncline, export: Path) -> None:
    syncline("migrate", "plan", export, "--approve")
    syncline("migrate", "dry-run", export)
    dry = syncline("migrate", "status", "--json").json[0]["run_id"]
    refused = syncline("migrate", "undo", dry, "--yes")
    assert (refused.code, "it wrote nothing" in refused.err) == (78, True)


def test_contacts_find_their_accounts(syncline: Syncline, migrated: str, export: Path) -> None:
    plan = (Path.cwd() / "ex-port-plan.toml").read_text(encoding="utf-8")
    assert 'account_id = {use = "mapped", to = ["account_id"]' in plan


def test_an_audit_tells_what_it_left_out_and_what_is_doubtful(syncline: Syncline, export: Path) -> None:
    (export / "empty.csv").write_text("")
    (export / "broken.csv").write_text("id,name\nB1,x\nB1,y\n")
    told = syncline("migrate", "audit", export, "--json").json
    assert {"object": "empty.csv", "reason": "It is empty."} in told["unread"]
    (broken,) = (o for o in told["objects"] if o["object"] == "broken")
    assert "Column “id” repeats values" in " ".join(broken["notes"])
    assert "Column “id”" in syncline("migrate", "audit", export).out


def test_next_commands_can_be_pasted(syncline: Syncline, export: Path) -> None:
    assert f"syncline migrate plan '{export}'" in " ".join(syncline("migrate", "audit", export).err.split())


def test_undo_asks_first(syncline: Syncline, migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = syncline("migrate", "undo", migrated)
    assert refused.code == 1
    assert f"Undo the whole run {migrated}? [y/N]: n\n" in refused.err
    assert syncline("migrate", "undo", migrated, "--json").error["code"] == "unconfirmed"
    assert syncline("migrate", "status", "--json").json[0]["status"] == "done"


def test_what_was_kept_of_the_files_goes_with_the_run_that_needed_it(
    syncline: Syncline, export: Path, home: Path
) -> None:
    for path in export.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    kept = lambda: [path for path in (home / "cache").rglob("*") if path.is_file()]  # noqa: E731
    syncline("migrate", "audit", export)
    syncline("migrate", "plan", export, "--approve")
    syncline("migrate", "dry-run", export)
    assert [oct(path.stat().st_mode & 0o777) for path in kept()] == ["0o600", "0o600"]
    assert syncline("migrate", "run", export, "--no-certificate").code == 0
    assert kept() == []


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        (["migrate", "audit", "./nowhere"], 78, "no_such_source"),
        (["migrate", "audit", "nowhere"], 78, "no_such_connection"),
        (["migrate", "run", "{export}"], 78, "no_plan"),
        (["migrate", "resume"], 78, "no_such_run"),
        (["migrate", "report"], 78, "no_such_run"),
        (["migrate", "undo", "0192", "--yes"], 78, "no_such_run"),
        (["migrate", "audit", "{export}", "--object", "nothing"], 78, "unknown_object"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_is_not_there_is_a_sentence(
    syncline: Syncline, export: Path, line: list[str], code: int, error: str
) -> None:
    outcome = syncline(*(word.format(export=export) for word in line), "--json")
    assert (outcome.code, outcome.error["code"]) == (code, error), outcome.err
    assert outcome.error["remedy"]


@pytest.mark.parametrize("sample", ["0", "101%", "many", "-5"])
def test_a_share_that_is_none_is_refused(syncline: Syncline, export: Path, sample: str) -> None:
    assert syncline("migrate", "dry-run", export, f"--sample={sample}").code == 2


def test_a_path_is_connected_once_and_by_its_name_ever_after(syncline: Syncline, export: Path) -> None:
    syncline("migrate", "audit", export)
    syncline("migrate", "audit", f"{export}/")
    syncline("migrate", "audit", "ex-port")
    (only,) = syncline("connections", "list", "--json").json
    assert (only["name"], only["vendor"], only["settings"]["path"]) == ("ex-port", "files", str(export))


def test_a_single_file_will_do(syncline: Syncline, export: Path) -> None:
    assert syncline("migrate", "plan", export / "accounts.csv", "--approve").code == 0
    assert syncline("migrate", "run", export / "accounts.csv").code == 0


@pytest.mark.parametrize("command", [("follow", "--once"), ("cutover",), ("cutover", "--take-back")])
def test_between_finished_runs_of_two_sources_nothing_is_guessed(
    syncline: Syncline, export: Path, migrated: str, command: tuple[str, ...]
) -> None:
    other = export.with_name("other")
    export.rename(other)
    assert syncline("migrate", "plan", other, "--approve").code == 0
    assert syncline("migrate", "run", other, "--no-certificate").code == 0
    refused = syncline("migrate", *command, "--json")
    assert (refused.code, refused.error["code"]) == (78, "several_sources")
    assert f"{migrated} of ex-port" in refused.error["message"]
    named = syncline("migrate", *command, migrated)
    assert f"Run {migrated} of ex-port" in named.err


def test_no_personal_value_is_printed_or_logged(syncline: Syncline, export: Path, migrated: str, home: Path) -> None:
    printed = ""
    for line in (["audit", export], ["dry-run", export], ["run", export], ["status"], ["report"]):
        for form in ([], ["--json"]):
            outcome = syncline("migrate", *line, *form)
            printed += outcome.err
            if form:
                json.loads(outcome.out)
    printed += "".join(p.read_text(encoding="utf-8") for p in (home / "logs").iterdir())
    assert "Hopper" not in printed
    assert "@bolt.example" not in printed


@pytest.mark.parametrize(
    ("wanted", "taken", "name"),
    [
        ("export", set(), "export"),
        ("export", {"export"}, "export-2"),
        ("export", {"export", "export-2"}, "export-3"),
        ("my export (1).zip", set(), "my-export-1-.zip"),
        ("...", set(), "files"),
        ("Ausfuhr für Köln", set(), "Ausfuhr-für-Köln"),
    ],
)
def test_names_of_paths(wanted: str, taken: set[str], name: str) -> None:
    assert free_name(wanted, taken) == name
