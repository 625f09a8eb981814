"""What the demo prints for pasting."""

from __future__ import annotations

import pytest

from cli.demo import invoked


@pytest.mark.parametrize(
    ("given", "on_path", "told"),
    [
        ("/usr/bin/syncline", "/usr/bin/syncline", "syncline"),
        (".venv/bin/syncline", None, ".venv/bin/syncline"),
        ("/a b/.venv/bin/syncline", None, "'/a b/.venv/bin/syncline'"),
        ("/x/cli/main.py", None, "syncline"),
    ],
)
def test_commands_name_the_program_as_the_shell_finds_it(
    given: str, on_path: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [given, "demo"])
    monkeypatch.setattr("shutil.which", lambda _: on_path)
    assert invoked() == told
