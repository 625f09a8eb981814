"""Text of whole lines to records, with every malformed record found, named and stepped over.

Python's csv module does the parsing, strictly; this module recovers from what it refuses. A quote that is never
closed, or text after a closing quote, spoils one line: parsing goes on at the very next one.
"""

from __future__ import annotations

import csv
import gc
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader

# The module's own bound is process-wide and too low for exported notes; `Limits.record` is ours, and per file.
csv.field_size_limit(2**31 - 1)

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_NULL_CELL = re.compile(r"(?:(?<=^)|(?<=[,;\t|\r\n]))\\N(?=[,;\t|\r\n]|\Z)")
_OPEN = "unexpected end of data"
_SWALLOWED = "a quote that opens here swallows whole rows before it is closed"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are separated and quoted."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    skip_space: bool = False

    def reader(self, lines: Iterable[str]) -> Reader:
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            skipinitialspace=self.skip_space,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=True,
        )


@dataclass(frozen=True, slots=True)
class Malformed:
    """Line number (0-based, in the text parsed), the line itself, and what is wrong with it."""

    line: int
    text: str
    reason: str


@dataclass(slots=True)
class Parsed:
    """Records with the 0-based line each starts at. ``open_line``: where an unfinished last record starts, else None."""

    rows: list[list[str]]
    starts: Sequence[int]
    lines: int
    malformed: list[Malformed] = field(default_factory=list)
    open_line: int | None = None


def parse(text: str, dialect: Dialect, *, final: bool, width: int | None = None) -> Parsed:
    """The records of ``text``, which starts at the start of a record and consists of whole lines.

    ``final``: nothing follows, so that an open quote is an error; otherwise it is reported as ``open_line``. ``width``:
    cells in the header; tells a cell of several lines from a quote that swallowed whole records.
    """
    if dialect.escape:
        text = _NULL_CELL.sub("", text)  # \N is how databases that escape with a backslash write NULL
    with collector_paused():
        plain = _unquoted(text, dialect) or _all_quoted(text, dialect)
        if plain is not None:
            return Parsed(plain, range(len(plain)), len(plain))
        rows, error, lines = _records(dialect, io.StringIO(text, newline=""))
        if not error and lines == len(rows):
            return Parsed(rows, range(lines), lines)
        starts = _starts(rows)
        if error == _OPEN and not final:
            lines = sum(1 for _ in lines_of(text))
            done = Parsed(rows, starts[:-1], lines, open_line=starts[-1])
        else:
            done = Parsed(rows, starts[:-1], lines)
        broken = error and done.open_line is None
        if broken or _swallower(done, text, dialect, width) is not None:
            return _recovered(list(lines_of(text)), dialect, final, width)
        return done


def lines_of(text: str) -> Iterator[str]:
    """Lines with their ends: \\n, \\r\\n or \\r, and no other character (str.splitlines knows eight more)."""
    return (match.group() for match in _LINE.finditer(text))


def _unquoted(text: str, dialect: Dialect) -> list[list[str]] | None:
    """The records of a text without quotes, where every line is one: as csv reads them, in half the time; else None."""
    special = dialect.escape or dialect.skip_space or len(dialect.delimiter) != 1 or dialect.delimiter in "\r\n"
    if special or not text or (dialect.quote and dialect.quote in text):
        return None
    delimiter = dialect.delimiter
    return [line.split(delimiter) if line else [] for line in _plain_lines(text)]


def _all_quoted(text: str, dialect: Dialect) -> list[list[str]] | None:
    """The records of a text whose every cell is quoted and holds neither quote nor line break; else None.

    A line that begins and ends with a quote holds two for each of its cells and no others. Since there cannot be fewer,
    it is enough to count those of the whole text.
    """
    quote, width = dialect.quote, len(dialect.delimiter)
    if quote is None or dialect.escape or dialect.skip_space or width != 1 or not text.startswith(quote):
        return None
    lines = _plain_lines(text)
    if not all(len(line) > 1 and line[0] == quote == line[-1] for line in lines):
        return None
    between = f"{quote}{dialect.delimiter}{quote}"
    rows = [line[1:-1].split(between) for line in lines]
    return rows if text.count(quote) == 2 * sum(map(len, rows)) else None


def _plain_lines(text: str) -> list[str]:
    """Lines without their ends: \\n, \\r\\n or \\r, and no other character."""
    if "\r" not in text:
        lines = text.split("\n")
    elif not (text.count("\r") == text.count("\n") == len(lines := text.split("\r\n")) - 1):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


@contextmanager
def collector_paused() -> Iterator[None]:
    """Ten thousand new lists set off the collector a dozen times in vain: a third of all parsing time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _records(dialect: Dialect, lines: Iterable[str]) -> tuple[list[list[str]], str, int]:
    """Records up to the first error, the error, and the lines consumed."""
    reader = dialect.reader(lines)
    rows: list[list[str]] = []
    try:
        rows.extend(reader)
    except csv.Error as error:
        return rows, str(error), reader.line_num
    return rows, "", reader.line_num


def _starts(rows: Sequence[Sequence[str]]) -> list[int]:
    """The line each record starts at, and where the one after the last would: a record's lines stand in its cells."""
    return list(accumulate(map(_lines_in, rows), initial=0))


def _lines_in(row: Sequence[str]) -> int:
    text = "\x1f".join(row)
    if "\n" not in text and "\r" not in text:
        return 1
    return 1 + text.count("\n") + text.count("\r") - text.count("\r\n")


def _swallower(done: Parsed, text: str, dialect: Dialect, width: int | None) -> int | None:
    """Index of the first record of several lines and a wrong width that holds a line which is a whole record by itself."""
    if width is None or width < 2 or set(map(len, done.rows)) <= {0, width}:
        return None
    lines: list[str] = []
    ends = [*done.starts[1:], done.lines if done.open_line is None else done.open_line]
    for index, row in enumerate(done.rows):
        if len(row) == width or ends[index] - done.starts[index] < 2:
            continue
        lines = lines or list(lines_of(text))
        for line in lines[done.starts[index] + 1 : ends[index]]:
            rows, error, _ = _records(dialect, [line])
            if not error and len(rows[0]) == width:
                return index
    return None


def _recovered(lines: list[str], dialect: Dialect, final: bool, width: int | None) -> Parsed:
    done = Parsed([], starts := [], len(lines))
    at = 0
    while at < len(lines):
        rows, error, consumed = _records(dialect, lines[at:])
        begins = _starts(rows)
        part = Parsed(rows, begins[:-1], begins[-1])
        swallower = _swallower(part, "".join(lines[at:]), dialect, width)
        if swallower is not None:
            del rows[swallower:]
        done.rows += rows
        starts += [at + begin for begin in begins[: len(rows)]]
        bad = at + begins[len(rows)]
        if swallower is None and not error:
            break
        if swallower is None and error == _OPEN and not final:
            done.open_line = bad
            break
        reason = _SWALLOWED if swallower is not None else _reason(error, at + consumed - bad)
        done.malformed.append(Malformed(bad, lines[bad], reason))
        at = bad + 1
    return done


def _reason(error: str, lines: int) -> str:
    if error == _OPEN:
        return "a quote that opens here is never closed"
    if lines > 1:
        return f"a quote that opens here is not closed before other text follows it, {lines - 1} lines further down"
    return "a quoted cell goes on after its closing quote (a quote inside a quoted cell must be doubled)"
