"""Laws: whatever table of texts is written in any dialect and encoding reads back the same, from any cursor on."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.files.csvparse import Dialect, parse
from connectors.files.csvread import CsvFormat, CsvReader
from connectors.files.encoding import Encoding
from connectors.files.limits import Limits

from .support import listing, write

ALPHABETS = {
    "utf-8": st.characters(exclude_categories=("Cs",), exclude_characters="\0"),
    "utf-16-le": st.characters(exclude_categories=("Cs",), exclude_characters="\0"),
    "utf-16-be": st.characters(exclude_categories=("Cs",), exclude_characters="\0"),
    "utf-32-le": st.characters(exclude_categories=("Cs",), exclude_characters="\0"),
    "cp1252": st.sampled_from([chr(c) for c in (*range(32, 127), 9, 10, 13)] + list("äöüßéèñçÅØ€–“”’")),
    "cp932": st.sampled_from(
        [chr(c) for c in (*range(32, 127), 9, 10, 13)] + list("山田太郎東京都株式会社カタカナｱｲｳ表ソ")
    ),
}
QUOTINGS = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL, "strings": csv.QUOTE_NONNUMERIC}


def tables(encoding: str) -> st.SearchStrategy[list[list[str]]]:
    cell = st.text(ALPHABETS[encoding], max_size=12) | st.sampled_from(
        ['"', '""', ",", ";", "\r", "\n", "\r\n", " ", '",']
    )
    return st.integers(2, 5).flatmap(
        lambda width: st.lists(
            st.lists(cell, min_size=width, max_size=width).filter(any), min_size=1, max_size=12
        )
    )  # fmt: skip


def written(rows: list[list[str]], delimiter: str, quoting: int, line_end: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=line_end).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


def line_ends(quoting: int) -> st.SearchStrategy[str]:
    """Python quotes only the line break that it ends lines with: bare ones of another kind would be ambiguous."""
    return st.just("\r\n") if quoting == csv.QUOTE_MINIMAL else st.sampled_from(["\n", "\r\n", "\r"])


def read_in_blocks(
    raw: bytes, encoding: Encoding, dialect: Dialect, width: int, block: int, offset: int = 0, row: int = 1
) -> list[tuple[list[str], int, int, int]]:
    """Each row with its line, and the cursor after its block."""
    form = CsvFormat(encoding, dialect, tuple(f"c{n}" for n in range(width)), 0, 1, block)
    reader = CsvReader(io.BytesIO(raw[offset:]), "f", form, Limits(), offset, row)
    result = []
    for found in reader.blocks():
        assert found.rejects == []
        result += [(cells, line, found.offset, found.row) for cells, line in zip(found.rows, found.lines, strict=True)]
    assert reader.offset == len(raw)
    return result


@pytest.mark.parametrize("encoding", ALPHABETS)
@pytest.mark.parametrize("quoting", QUOTINGS.values(), ids=QUOTINGS)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_table_reads_back_in_blocks_of_any_size_and_from_every_cursor(
    encoding: str, quoting: int, data: st.DataObject
) -> None:
    rows = data.draw(tables(encoding))
    delimiter, line_end = data.draw(st.sampled_from(",;\t|")), data.draw(line_ends(quoting))
    block = data.draw(st.integers(1, 60)) * 4
    raw = written(rows, delimiter, quoting, line_end).encode(encoding)
    dialect = Dialect(delimiter)
    found = read_in_blocks(raw, Encoding(encoding), dialect, len(rows[0]), block)
    assert [cells for cells, *_ in found] == rows
    for index, (_, _, offset, line) in enumerate(found):
        if index + 1 < len(found) and found[index + 1][2] != offset:
            rest = read_in_blocks(raw, Encoding(encoding), dialect, len(rows[0]), block, offset, line)
            assert rest == found[index + 1 :]


@given(
    rows=tables("utf-8"),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from(list(QUOTINGS.values())),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_any_file_reads_back_whatever_its_dialect(
    rows: list[list[str]], delimiter: str, encoding: str, quoting: int, data: st.DataObject
) -> None:
    """The whole way, dialect and encoding found from the file: the header settles the delimiter."""
    header = [f"column {n}" for n in range(len(rows[0]))]
    text = written([header, *rows], delimiter, quoting, data.draw(line_ends(quoting)))
    with tempfile.TemporaryDirectory() as folder:
        found = listing(write(Path(folder), "table.csv", text.encode(encoding)), delimiter=delimiter)
    assert [row[-len(header) :] for row in found.rows] == rows
    assert found.rejects == []


@given(text=st.text(st.sampled_from('a,"\n\r\\x'), max_size=60), final=st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_line_of_any_text_is_in_a_record_or_a_reject(text: str, final: bool) -> None:
    """Nothing is lost and nothing comes twice: records, malformed lines and the open rest cover the lines exactly."""
    parsed = parse(text, Dialect(), final=final, width=2)
    bad = [m.line for m in parsed.malformed]
    starts = sorted([*parsed.starts, *bad])
    assert len(set(starts)) == len(starts)
    assert starts[:1] in ([], [0]) or parsed.open_line == 0
    ends = [*starts[1:], parsed.lines if parsed.open_line is None else parsed.open_line]
    covered = dict(zip(starts, ends, strict=True)) if starts else {}
    assert all(covered[line] == line + 1 for line in bad if line in covered), "a malformed line costs one line"
    if final:
        assert parsed.open_line is None
