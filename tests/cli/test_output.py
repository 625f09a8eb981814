from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import pytest

from cli.output import Output, cell, duration, table, to_plain


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    at: datetime
    colour: Colour


@dataclass(frozen=True)
class Outer:
    id: UUID
    inner: tuple[Inner, ...]
    share: Decimal


class Speaking:
    def to_json(self) -> dict[str, object]:
        return {"day": date(2026, 1, 31), "folder": Path("a/b")}


def test_everything_becomes_json() -> None:
    value = Outer(UUID(int=7), (Inner(datetime(2026, 1, 31, tzinfo=UTC), Colour.RED),), Decimal("1.50"))
    assert json.loads(json.dumps(to_plain({"a": value, "b": Speaking(), "c": {3, 1}, "d": timedelta(seconds=2)}))) == {
        "a": {
            "id": "00000000-0000-0000-0000-000000000007",
            "inner": [{"at": "2026-01-31T00:00:00+00:00", "colour": "red"}],
            "share": "1.50",
        },
        "b": {"day": "2026-01-31", "folder": "a/b"},
        "c": [1, 3],
        "d": 2.0,
    }


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        to_plain(object())


def test_json_goes_to_stdout_and_what_is_said_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.say("working")
    out.result({"a": "ü"}, "not shown")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": "ü"}
    assert captured.err == "working\n"


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    Output().result({"a": 1}, table(("object", "records"), [("Contact", 12_345)], numbers=["records"]))
    shown = capsys.readouterr().out
    assert "Contact" in shown
    assert "12,345" in shown


def test_long_lines_are_not_broken_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Output().say("x" * 300)
    assert capsys.readouterr().err == "x" * 300 + "\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        ("", "–"),
        (0, "0"),
        (1_234_567, "1,234,567"),
        (0.5, "0.5"),
        (True, "yes"),
        (False, "no"),
        ("[bold]x", "\\[bold]x"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_cell(value: object, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
