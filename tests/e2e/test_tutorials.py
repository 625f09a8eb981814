"""The tutorials, typed as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Outcome, Shell

TUTORIAL = (ROOT / "docs" / "tutorial" / "migrate-a-folder-of-csv.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.e2e


def files() -> dict[str, str]:
    """The files that the tutorial tells to make."""
    return dict(re.findall(r"a file `([a-z]+\.csv)`:\n\n```csv\n(.*?)```", TUTORIAL, re.DOTALL))


def commands(section: str) -> list[list[str]]:
    """What a section of the tutorial tells to type."""
    text = TUTORIAL[TUTORIAL.index(f"## {section}") :]
    text = text[: text.index("\n## ", 1)] if "\n## " in text[1:] else text
    return [shlex.split(line) for line in re.findall(r"^ {4}syncline (.*)$", text, re.MULTILINE)]


@pytest.fixture
def folder(shell: Shell) -> Path:
    export = shell.cwd / "export"
    export.mkdir()
    for name, text in files().items():
        (export / name).write_text(text, encoding="utf-8")
    return export


def typed(shell: Shell, section: str, *more: str) -> list[Outcome]:
    return [shell.run(*words, *more).ok() for words in commands(section)]


def test_the_folder_of_csv_files(shell: Shell, folder: Path) -> None:
    assert set(files()) == {"accounts.csv", "contacts.csv"}
    typed(shell, "Audit and plan")
    assert "shoe_size" in (shell.cwd / "export-plan.toml").read_text(encoding="utf-8")

    run, letters = typed(shell, "Run", "--json")
    assert counts(run, "contacts") == {"created": 2, "merged": 1, "updated": 0, "unchanged": 0, "rejected": 1}
    assert counts(run, "accounts") == {"created": 2, "merged": 0, "updated": 0, "unchanged": 0, "rejected": 0}
    assert run.json["certificate"]["ok"]
    (letter,) = letters.json["letters"]
    assert "contacts.csv" in letter["place"]
    assert "5" in letter["place"]

    mended = re.search(r"Correct the row of `C4`.*?```csv\n(.*?)```", TUTORIAL, re.DOTALL)
    assert mended
    path = folder / "contacts.csv"
    path.write_text(re.sub(r"(?m)^C4,.*\n", mended[1], path.read_text(encoding="utf-8")), encoding="utf-8")
    (again,) = typed(shell, "Mend and run again", "--json")
    assert counts(again, "contacts") == {"created": 1, "merged": 0, "updated": 0, "unchanged": 3, "rejected": 0}
    assert counts(again, "accounts")["unchanged"] == 2


def counts(outcome: Outcome, name: str) -> dict[str, int]:
    row = outcome.json["objects"][name]
    assert row["adds_up"]
    return {outcome: row[outcome] for outcome in ("created", "merged", "updated", "unchanged", "rejected")}
