"""Which delimiter, quote and escape a text uses, and where its header stands.

Every plausible dialect parses the same sample; the one under which the rows agree best on a width wins. Agreement is
judged after quoting, so a comma inside quotes, or in prose, counts for nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from connectors.files.csvparse import Dialect, Parsed, parse

DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 500
_ESCAPED = re.compile(r"\\\n|(?:^|[,;\t|])\\N(?=[,;\t|\r\n]|\Z)", re.MULTILINE)
_SEP_LINE = re.compile(r"sep=(.)\s*\Z", re.IGNORECASE)
_QUOTED_AFTER_SPACE = re.compile(r'[,;|] +"')
_SINGLE_QUOTED = re.compile(r"(?:^|[,;\t|])'[^'\r\n]*'(?=[,;\t|\r\n]|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Layout:
    """A dialect and a header: its cells, the 0-based line it starts at, how many lines end with it, and some rows."""

    dialect: Dialect
    header: tuple[str, ...]
    header_line: int
    lines: int
    sample: tuple[list[str], ...] = ()


def find_layout(
    sample: str, *, hint: str | None = None, forced: str = "", whole: bool = True, has_header: bool = True
) -> Layout | None:
    """The layout of ``sample`` (whole lines from the file's start); None when it holds no record.

    ``hint``: a delimiter the file's name suggests; ``forced``: the one a person chose. ``whole``: the sample is the whole file.
    """
    declared = _SEP_LINE.match(sample.split("\n", 1)[0].strip("\r"))
    candidates = _candidates(sample, forced or (declared.group(1) if declared else ""), hint)
    best = max(candidates, key=lambda d: _score(_head(sample, d, whole)))
    parsed = _head(sample, best, whole)
    if "\\" in sample and (parsed.malformed or _ESCAPED.search(sample)):  # a backslash alone is no sign of escapes
        escaping = [replace(d, escape="\\") for d in candidates]
        rivals = [*escaping, best] if "\\N" in sample else [best, *escaping]  # the first wins a tie
        best = max(rivals, key=lambda d: _score(_head(sample, d, whole)))
        parsed = _head(sample, best, whole)
    index = _header_index(parsed, skip=1 if declared else 0)
    if index is None:
        return None
    if not has_header:
        names = tuple(f"Column {n}" for n in range(1, len(parsed.rows[index]) + 1))
        return Layout(best, names, parsed.starts[index], parsed.starts[index], _sample(parsed, index))
    end = parsed.starts[index + 1] if index + 1 < len(parsed.rows) else parsed.lines
    end = min([end, *(m.line for m in parsed.malformed if m.line > parsed.starts[index])])
    return Layout(best, tuple(parsed.rows[index]), parsed.starts[index], end, _sample(parsed, index + 1))


def _sample(parsed: Parsed, first: int) -> tuple[list[str], ...]:
    width = len(parsed.rows[first]) if first < len(parsed.rows) else 0
    return tuple(row for row in parsed.rows[first : first + 100] if len(row) == width)


def column_names(header: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Distinct, non-blank names for header cells, and what had to be changed, in words."""
    names: list[str] = []
    warnings: list[str] = []
    for number, cell in enumerate(header, 1):
        wanted = " ".join(cell.replace("\0", " ").split()) or f"Column {number}"
        name, copy = wanted, 1
        while name in names:
            copy += 1
            name = f"{wanted} ({copy})"
        if not cell.strip():
            warnings.append(f"Column {number} has no header; it is called “{name}”.")
        elif copy > 1:
            warnings.append(f"Column {number} repeats the header “{wanted}”; it is called “{name}”.")
        names.append(name)
    return tuple(names), warnings


def _candidates(sample: str, declared: str, hint: str | None) -> list[Dialect]:
    delimiters = [declared] if declared else sorted(DELIMITERS, key=lambda d: d != hint)
    quotes = ['"']
    if len(_SINGLE_QUOTED.findall(sample)) > sample.count('"'):
        quotes.append("'")
    spaces = [False, True] if _QUOTED_AFTER_SPACE.search(sample) else [False]
    return [Dialect(d, q, skip_space=s) for s in spaces for q in quotes for d in delimiters]


def _head(sample: str, dialect: Dialect, whole: bool) -> Parsed:
    return parse(sample, dialect, final=whole)


def _score(parsed: Parsed) -> float:
    """From 0 to 1: share of rows of the commonest width, less for narrow tables, errors and unread quotes."""
    rows = [row for row in parsed.rows[:_SAMPLE_ROWS] if row]
    if not rows:
        return -1.0
    widths = Counter(map(len, rows))
    width, times = max(widths.items(), key=lambda item: (item[1], item[0]))
    broken = len(parsed.malformed) + (parsed.open_line is not None)
    unread = sum(any(map(_looks_quoted, row)) for row in rows) / len(rows)
    head = 1.0 if len(rows[0]) == width else 0.9
    return head * times / len(rows) * (width - 1) / width - broken / (len(rows) + broken) - unread


def _looks_quoted(cell: str) -> bool:
    cell = cell.strip()
    return len(cell) > 2 and cell[0] == cell[-1] and cell[0] in "\"'" and cell.strip(cell[0]) != ""


def _header_index(parsed: Parsed, skip: int) -> int | None:
    """The first record that is no title line: titles fill at most a third of the table's width."""
    rows = parsed.rows[:_SAMPLE_ROWS]
    widths = Counter(len(row) for row in rows[skip:] if row)
    if not widths:
        return None
    width = max(widths.items(), key=lambda item: (item[1], item[0]))[0]
    for index, row in _filled(rows):
        if index >= skip and (width == 1 or sum(map(bool, row)) > max(1, width // 3)):
            return index
    return next((index for index, _ in _filled(rows) if index >= skip), None)


def _filled(rows: list[list[str]]) -> Iterator[tuple[int, list[str]]]:
    return ((index, row) for index, row in enumerate(rows) if any(cell.strip() for cell in row))
