"""Asking before something goes for good, on a terminal and through pipes."""

from __future__ import annotations

import io

import pytest
import typer

from cli.asking import confirm
from domain.errors import ConfigurationError


@pytest.mark.parametrize("answer", ["y\n", "Yes\n", " y", "YES"])
def test_a_yes_through_a_pipe_goes_on_and_ends_the_line(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    confirm("Undo it?")
    assert capsys.readouterr().err == f"Undo it? [y/N]: {answer.strip()}\n"


@pytest.mark.parametrize("answer", ["n\n", "\n", "no", "yesterday\n"])
def test_anything_else_stops(answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with pytest.raises(typer.Abort):
        confirm("Undo it?")
    assert capsys.readouterr().err.endswith("\n")


def test_where_nobody_answers_it_says_how_to_go_ahead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(ConfigurationError, match="--yes") as error:
        confirm("Undo it?")
    assert error.value.code == "unconfirmed"
    assert capsys.readouterr().err == "Undo it? [y/N]: \n"
