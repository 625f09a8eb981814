"""What a command prints: tables for people on a terminal, one JSON document for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_NARROWEST = 160  # columns, when output goes to a file or a pipe: nothing is cut there


def to_plain(value: Any) -> Any:
    """A value as JSON can say it. Understands ``to_json()``, dataclasses, dates, UUIDs, decimals, paths and sets."""
    if hasattr(value, "to_json"):
        return to_plain(value.to_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(to_plain(v) for v in value)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | Decimal | Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be shown as JSON")


class Output:
    """Where a command's results go: stdout. What it is doing meanwhile goes to stderr, so that a pipe gets results alone."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = _console(sys.stdout)
        self.status = _console(sys.stderr)

    def say(self, text: str) -> None:
        """Tell a person what is happening (stderr). ``text`` may hold rich markup."""
        self.status.print(text)

    def result(self, value: Any, *shown: Any) -> None:
        """The command's result: ``value`` as JSON, or ``shown`` (rich renderables) for a person."""
        if self.as_json:
            sys.stdout.write(json.dumps(to_plain(value), ensure_ascii=False, indent=2) + "\n")
            return
        for item in shown:
            self.console.print(item)


def _console(stream: Any) -> Console:
    console = Console(file=stream, highlight=False, soft_wrap=not stream.isatty())
    if not stream.isatty():
        console.width = max(console.width, _NARROWEST)
    return console


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, numbers: Iterable[str] = ()
) -> Table:
    """A table of values; the columns named in ``numbers`` are set to the right, with separated thousands."""
    right = set(numbers)
    built = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="bold")
    for column in columns:
        built.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        built.add_row(*(cell(value) for value in row))
    return built


def cell(value: Any) -> str:
    """A value as a table shows it; text of the data is never taken for markup."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return escape(str(value))


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
