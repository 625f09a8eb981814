"""The root of the command line: options anywhere, errors as sentences, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cli import main as module
from cli.exits import BUG, INTERRUPTED, USAGE
from cli.main import app, run
from cli.session import Session, command
from domain.errors import ConfigurationError, ReauthRequiredError, RunInProgressError, StorageFullError, TransientError

CANARY = "c4nary-S3cret"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `fail` of a tree of its own, which raises what the test puts into the list."""
    errors: list[BaseException] = []
    tree = typer.Typer(pretty_exceptions_enable=False)
    tree.callback()(module.root)

    @command(tree)
    def fail(session: Session) -> None:
        """Fail."""
        raise errors[0]

    monkeypatch.setattr(module, "app", tree)
    return errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("The plan is missing.", remedy="Make one."), 78),
        (ReauthRequiredError("The token is dead.", remedy="Connect again."), 77),
        (TransientError("The vendor is away.", remedy="Try later."), 75),
        (RunInProgressError("Another run is on.", remedy="Wait."), 73),
        (StorageFullError("The disk is full.", remedy="Make room."), 74),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_expected_errors_are_a_sentence_a_remedy_and_a_code(
    failing: list[BaseException], error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(error)
    assert run(["fail"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"Error: {error.message}\n  -> {error.remedy}\n"  # type: ignore[attr-defined]


def test_expected_errors_as_json(failing: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    failing.append(ConfigurationError("No plan.", remedy="Make one.", code="no_plan"))
    assert run(["fail", "--json"]) == 78
    captured = capsys.readouterr()
    expected = {"code": "no_plan", "message": "No plan.", "remedy": "Make one.", "exit_code": 78}
    assert json.loads(captured.err) == {"error": expected}
    assert captured.out == ""


def test_errors_never_show_secrets(failing: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    failing.append(ConfigurationError(f"password={CANARY} for ada@example.com", remedy=f"Bearer {CANARY}"))
    run(["fail"])
    shown = capsys.readouterr().err
    assert CANARY not in shown
    assert "ada@" not in shown


def test_a_bug_is_called_a_bug_and_leaves_a_file(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failing.append(ZeroDivisionError(f"token={CANARY}"))
    assert run(["fail"]) == BUG
    shown = capsys.readouterr().err
    assert "This is a bug in Syncline (ZeroDivisionError)" in shown
    assert "Traceback" not in shown
    (report,) = (tmp_path / "home" / "logs").glob("bug-*.txt")
    assert str(report) in shown
    assert "ZeroDivisionError" in report.read_text()
    assert CANARY not in report.read_text()


def test_a_bug_with_an_unwritable_home_is_still_a_sentence(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    failing.append(ZeroDivisionError())
    assert run(["fail", "--home", str(tmp_path / "file" / "x")]) == BUG
    assert "could not be written" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(failing: list[BaseException]) -> None:
    failing.append(KeyboardInterrupt())
    assert run(["fail"]) == INTERRUPTED


@pytest.mark.parametrize(
    "argv", [["nonsense"], ["version", "--nonsense"], ["migrate", "nonsense"], ["migrate", "audit"]]
)
def test_wrong_command_lines(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == USAGE
    assert "Usage:" in capsys.readouterr().err


def test_typing_errors_get_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    run(["migrat", "run"])
    assert "Did you mean 'migrate'?" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--json", "version"], ["version", "--json"]])
def test_common_options_stand_anywhere(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"syncline", "python"}


def test_bad_setting_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SYNCLINE_TENANT", "acme")
    assert run(["db", "status"]) == 78
    assert "SYNCLINE_TENANT cannot be understood." in capsys.readouterr().err


def test_unwritable_home_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["db", "status", "--home", str(tmp_path / "file" / "x")]) == 78
    assert "cannot be written" in capsys.readouterr().err


def test_help_comes_without_a_database(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["--help"]) == 0
    assert "migrate" in capsys.readouterr().out
    assert not (tmp_path / "home").exists()


def test_the_sandboxes_commands_are_there_whatever_ran_before() -> None:
    """In a process of its own, where nobody has asked for them yet."""
    program = (
        "from cli.main import run; codes = run(['version']), run(['sandbox', 'salesforce', '--help']); print(codes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.splitlines()[-1:] == ["(0, 0)"], done.stdout + done.stderr


def test_every_command_has_a_help_text() -> None:
    from cli.reference import commands

    assert app.registered_groups
    assert [c.path for c in commands() if not c.help] == []
