"""Parsing by splitting gives what the csv module gives, or declines."""

from __future__ import annotations

import csv
import gc
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.files.csvparse import Dialect, _all_quoted, _unquoted, collector_paused, parse

TEXTS = st.text(st.sampled_from(["a", "b", " ", ",", ";", '"', "'", "\\", "\r", "\n", "\v", "\u2028", "é", "\0"]))
DIALECTS = st.builds(
    Dialect,
    st.sampled_from([",", ";", " "]),
    st.sampled_from(['"', "'", None]),
    st.sampled_from([None, None, "\\"]),
    st.booleans(),
)
CELLS = st.text(st.sampled_from(["a", "é", ",", " ", '"', "\n", "\r"]), max_size=4)


def by_csv(text: str, dialect: Dialect) -> list[list[str]] | None:
    """What the csv module reads, if every line is a record."""
    reader = dialect.reader(io.StringIO(text, newline=""))
    try:
        rows = list(reader)
    except csv.Error:
        return None
    return rows if reader.line_num == len(rows) else None


@given(TEXTS, DIALECTS)
def test_splitting_never_reads_otherwise_than_csv(text: str, dialect: Dialect) -> None:
    for split in (_unquoted, _all_quoted):
        if (rows := split(text, dialect)) is not None:
            assert rows == by_csv(text, dialect)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=3), min_size=1), st.sampled_from(["\n", "\r\n", "\r"]))
def test_wholly_quoted_text_comes_back(rows: list[list[str]], end: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(rows)
    assert parse(out.getvalue(), Dialect(), final=True).rows == rows
    split = _all_quoted(out.getvalue(), Dialect())
    simple = not any(c in cell for row in rows for cell in row for c in '"\r\n')
    assert split == (rows if simple else None)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("text", ["a,b|c,d", "a,b||c", "a\v,b|\x1c", '"a","b"|"c,","d"'])
def test_common_text_is_split(text: str, last: bool, end: str) -> None:
    whole = text.replace("|", end) + end * last
    rows = _unquoted(whole, Dialect()) or _all_quoted(whole, Dialect())
    assert rows is not None
    assert rows == by_csv(whole, Dialect())


def test_a_pause_of_the_collector_inside_another_does_not_end_it() -> None:
    with collector_paused():
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
