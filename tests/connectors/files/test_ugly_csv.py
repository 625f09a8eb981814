"""One ugly file a line: each reads right, or is a reject that names file, row and column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.files import rejects as codes
from domain.errors import ConfigurationError

from .support import connector, listing, write

HEADER = "id,name,note\n"

READS_RIGHT = {
    "plain": ("id,name,note\n1,Ann,x\n", [["1", "Ann", "x"]]),
    "no line end at the end": ("id,name,note\n1,Ann,x", [["1", "Ann", "x"]]),
    "byte order mark": ("\ufeffid,name,note\n1,Ann,x\n", [["1", "Ann", "x"]]),
    "carriage returns": ("id,name,note\r1,Ann,x\r2,Bob,y\r", [["1", "Ann", "x"], ["2", "Bob", "y"]]),
    "mixed line ends": ("id,name,note\r\n1,Ann,x\n2,Bob,y\r3,Cy,z\r\n", [["1", "Ann", "x"], ["2", "Bob", "y"], ["3", "Cy", "z"]]),
    "quoted newlines": ('id,name,note\n1,Ann,"a\nb\r\nc"\n2,Bob,y\n', [["1", "Ann", "a\nb\r\nc"], ["2", "Bob", "y"]]),
    "doubled quotes": ('id,name,note\n1,"Ann ""A"" X",x\n', [["1", 'Ann "A" X', "x"]]),
    "quote inside a bare cell": ('id,name,note\n1,Ann,5" pipe\n', [["1", "Ann", '5" pipe']]),
    "backslash escapes": ('id,name,note\n1,"Ann \\"A\\", X",x\n2,"B",\\N\n', [["1", 'Ann "A", X', "x"], ["2", "B", ""]]),
    "a database's NULL": ("id,name,note\n1,\\N,x\n2,Bob,\\N\n", [["1", "", "x"], ["2", "Bob", ""]]),
    "a backslash that escapes nothing": ('"id","name","note"\n"1","C:\\",""""""\n', [["1", "C:\\", '""']]),
    "single quotes": ("'id','name','note'\n'1','Ann, A','x'\n", [["1", "Ann, A", "x"]]),
    "space after delimiter": ('id, name, note\n1, "Ann, A", "x"\n', [["1", "Ann, A", "x"]]),
    "semicolons": ("id;name;note\n1;Ann;1,5\n2;Bob;2,5\n", [["1", "Ann", "1,5"], ["2", "Bob", "2,5"]]),
    "tabs": ("id\tname\tnote\n1\tAnn, A\tx;y\n", [["1", "Ann, A", "x;y"]]),
    "pipes": ("id|name|note\n1|Ann|x,y\n2|Bob|z,w\n", [["1", "Ann", "x,y"], ["2", "Bob", "z,w"]]),
    "Excel's sep line": ("sep=;\nid;name;note\n1;Ann;x\n", [["1", "Ann", "x"]]),
    "title lines above the header": (
        "Contacts of 2024\nMade by,Ann\n\nid,name,note,a,b,c\n1,Ann,x,1,2,3\n2,B,y,1,2,3\n3,C,z,1,2,3\n",
        [["1", "Ann", "x", "1", "2", "3"], ["2", "B", "y", "1", "2", "3"], ["3", "C", "z", "1", "2", "3"]],
    ),
    "empty cells beyond the header": ("id,name,note\n1,Ann,x,,,\n2,Bob,y\n", [["1", "Ann", "x"], ["2", "Bob", "y"]]),
    "blank lines and lines of delimiters": ("id,name,note\n\n1,Ann,x\n,,\n\n2,Bob,y\n\n", [["1", "Ann", "x"], ["2", "Bob", "y"]]),
    "leading zeros": ("id,name,note\n1,Ann,007\n", [["1", "Ann", "007"]]),
    "other Unicode line separators are text": ("id,name,note\n1,Ann,a\u2028b\x0bc\x85d\n", [["1", "Ann", "a\u2028b\x0bc\x85d"]]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), READS_RIGHT.values(), ids=READS_RIGHT)
def test_reads_right(tmp_path: Path, text: str, rows: list[list[str]]) -> None:
    found = listing(write(tmp_path, "contacts.csv", text))
    assert (found.rows, found.rejects) == (rows, [])


UNDECODABLE = HEADER.encode() + "1,Zoë,x\n2,Bjørn,x\n".encode() + b"3,Caf\xe9,x\n" + "4,Łukasz,y\n".encode()
REJECTED = {
    "too few cells": (HEADER + "1,Ann,x\n2,Bob\n3,Cy,z\n", codes.CODE_RAGGED, 3, "note", ["1", "3"]),
    "too many cells": (HEADER + "1,Ann,x,y\n3,Cy,z\n", codes.CODE_RAGGED, 2, "4", ["3"]),
    "quote never closed": (HEADER + '1,Ann,x\n2,"Bob,y\n3,Cy,z\n4,Di,w\n', codes.CODE_QUOTE, 3, "name", ["1", "3", "4"]),
    "quote closed by another row": (HEADER + '1,Ann,"x\n2,"Bob",y\n3,Cy,z\n', codes.CODE_QUOTE, 2, "note", ["2", "3"]),
    "quote that swallows rows": (HEADER + '1,"Ann\n2,Bob,y\n3,Cy,z"\n4,Di,w\n', codes.CODE_QUOTE, 2, "name", ["2", "3", "4"]),
    "text after a closing quote": (HEADER + '1,"An"n,x\n2,Bob,y\n', codes.CODE_QUOTE, 2, "name", ["2"]),
    "undecodable byte": (UNDECODABLE, codes.CODE_ENCODING, 4, "name", ["1", "2", "4"]),
    "NUL byte": (HEADER + "1,A\0nn,x\n2,Bob,y\n", codes.CODE_NUL, 2, "name", ["2"]),
    "blank id": (HEADER + "1,Ann,x\n,Bob,y\n2,Cy,y\n", codes.CODE_NO_ID, 3, "id", ["1", "2"]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "code", "row", "column", "read"), REJECTED.values(), ids=REJECTED)
def test_rejected_with_file_row_and_column(
    tmp_path: Path, content: str | bytes, code: str, row: int, column: str, read: list[str]
) -> None:
    found = listing(write(tmp_path, "contacts.csv", content), id_column="id")
    assert found.column("id") == read
    first = found.rejects[0]
    assert (first.code, first.place.file, first.place.row, first.place.column) == (code, "contacts.csv", row, column)
    assert first.message.startswith(f"contacts.csv, row {row}, column {column}: ")
    json.dumps(first.raw).encode()  # storable


def test_ragged_rows_say_how_many_cells_were_expected(tmp_path: Path) -> None:
    found = listing(write(tmp_path, "contacts.csv", HEADER + "1,Ann\n"), id_column="id")
    assert "the row has 2 cells, the header has 3" in found.rejects[0].message
    assert found.rejects[0].raw == {"columns": ["id", "name", "note"], "cells": ["1", "Ann"]}


def test_an_unclosed_quote_far_from_the_end_costs_one_row(tmp_path: Path) -> None:
    rows = [f"{n},name {n},note\n" for n in range(60_000)]
    rows[100] = '100,"open,note\n'
    found = listing(write(tmp_path, "contacts.csv", HEADER + "".join(rows)), max_cell_mb="1")
    assert [r.place.row for r in found.rejects] == [102]
    assert found.column("id") == [str(n) for n in range(60_000) if n != 100]
    stepped_over = next(page for page in found.pages if page.rejects)
    rest = listing(tmp_path, "contacts", stepped_over.cursor, max_cell_mb="1")
    later = found.pages[found.pages.index(stepped_over) + 1 :]
    assert [page.cursor for page in rest.pages] == [page.cursor for page in later], "the same pages, whoever reads them"


def test_no_value_appears_in_a_message(tmp_path: Path) -> None:
    content = (
        HEADER.encode()
        + b'1,SECRETNAME\n2,"SECRETNAME"x,y\n3,SECRETNAME\0,y\n\xc3\xa9,\xc3\xa9,SECRETNAME\xe9\n5,E,y\n'
    )
    found = listing(write(tmp_path, "contacts.csv", content), id_column="id")
    assert len(found.rejects) == 4
    assert not any("SECRETNAME" in reject.message for reject in found.rejects)


def test_duplicate_and_blank_headers_are_renamed_and_told(tmp_path: Path) -> None:
    path = write(tmp_path, "contacts.csv", "id,Name,Name,,Name\n1,a,b,c,d\n")
    schema = connector(path).describe().objects["contacts"]
    assert schema.field_names == ("id", "Name", "Name (2)", "Column 4", "Name (3)")
    assert len(schema.attributes["warnings"]) == 3
    assert listing(path).rows == [["1", "a", "b", "c", "d"]]


def test_header_only_is_an_object_without_records(tmp_path: Path) -> None:
    files = connector(write(tmp_path, "contacts.csv", HEADER))
    assert files.count(["contacts"]) == {"contacts": 0}
    assert [page.last for page in listing(tmp_path).pages] == [True]


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_empty_files_are_left_out_and_told(tmp_path: Path, content: str) -> None:
    write(tmp_path, "empty.csv", content)
    write(tmp_path, "contacts.csv", HEADER)
    info = connector(tmp_path).check()
    assert info.details["skipped"] == [{"file": "empty.csv", "reason": "is empty"}]


def test_nothing_but_empty_files_needs_a_person(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no table"):
        connector(write(tmp_path, "empty.csv", "")).check()


def test_settings_overrule_what_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path, "contacts.csv", "1;José;a,b\n2;Ann;c,d\n", "mac_roman")
    found = listing(path, header="no", delimiter=";", encoding="mac_roman")
    assert found.column("Column 2") == ["José", "Ann"]


def test_places_name_the_line_a_record_starts_at(tmp_path: Path) -> None:
    path = write(tmp_path, "contacts.csv", 'id,name\n1,"a\nb"\n\n2,c\n3,"d\r\ne"\n4,f\n')
    assert listing(path).places == [("contacts.csv", n) for n in (2, 5, 6, 8)]


def test_records_are_rows_and_rejects(tmp_path: Path) -> None:
    path = write(tmp_path, "contacts.csv", HEADER + '1,Ann,x\n2,Bob\n3,"C\n4,D,"x"y\n5,E,z\n\n')
    found = listing(path)
    assert connector(path).count(["contacts"]) == {"contacts": 5}
    assert len(found.rows) + len(found.rejects) == 5
