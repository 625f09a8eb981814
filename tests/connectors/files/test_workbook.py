"""Workbooks: what Excel stores comes out as what it means, or is named."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from connectors.files import rejects as codes
from connectors.files.limits import Limits
from connectors.files.sources import DiskFile
from connectors.files.workbook import open_workbook
from domain.errors import ConfigurationError

from .support import connector, listing, write


def saved(path: Path, *rows: list[Any], **changes: Any) -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    for cell, value in changes.items():
        sheet[cell] = value
    book.save(path)
    return path


def edited(path: Path, member: str, old: bytes, new: bytes) -> Path:
    """The workbook with its XML changed: what Excel writes and openpyxl cannot."""
    with zipfile.ZipFile(path) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    assert old in contents[member]
    contents[member] = contents[member].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


SHEET = "xl/worksheets/sheet1.xml"


def test_values_are_what_they_mean(tmp_path: Path) -> None:
    saved(
        tmp_path / "book.xlsx",
        ["id", "text", "whole", "fraction", "yes", "day", "moment", "empty"],
        [1, "007", 5, 0.25, True, date(2024, 2, 29), datetime(2024, 2, 29, 13, 5), None],  # noqa: DTZ001
    )
    found = listing(tmp_path)
    assert found.rows == [[1, "007", 5, 0.25, True, date(2024, 2, 29), datetime(2024, 2, 29, 13, 5), None]]  # noqa: DTZ001
    assert found.places == [("book.xlsx [Sheet]", 2)]
    fields = {f.name: str(f.kind) for f in connector(tmp_path).describe().objects["book"].fields}
    assert fields == {
        "id": "text",
        "text": "text",
        "whole": "integer",
        "fraction": "decimal",
        "yes": "boolean",
        "day": "date",
        "moment": "timestamp",
        "empty": "text",
    }


def test_both_calendars_of_excel_give_the_same_day(tmp_path: Path) -> None:
    for name, epoch in (("mac", CALENDAR_MAC_1904), ("windows", None)):
        book = Workbook()
        if epoch:
            book.epoch = epoch
        sheet = book.active
        assert sheet is not None
        sheet.append(["id", "day"])
        sheet.append([1, date(2024, 2, 29)])
        book.save(tmp_path / f"{name}.xlsx")
    serials = set()
    for name in ("mac", "windows"):
        assert listing(tmp_path, name).column("day") == [date(2024, 2, 29)]
        with zipfile.ZipFile(tmp_path / f"{name}.xlsx") as archive:
            serials.add(archive.read(SHEET).split(b'r="B2"')[1].split(b"<v>")[1].split(b"<")[0])
    assert serials == {b"43889", b"45351"} or len(serials) == 2


def test_days_before_the_leap_day_that_never_was(tmp_path: Path) -> None:
    path = saved(tmp_path / "book.xlsx", ["id", "day"], [1, date(1900, 2, 28)], [2, date(1900, 3, 1)])
    assert listing(path).column("day") == [date(1900, 2, 28), date(1900, 3, 1)]


def test_a_formula_counts_by_its_last_value_and_is_rejected_without_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "book.xlsx", ["id", "sum"], [1, "=1+1"], [2, "=2+2"], [3, "plain"], [4, '=""'])
    edited(path, SHEET, b"<f>2+2</f><v></v>", b"<f>2+2</f><v>4</v>")
    with zipfile.ZipFile(path) as archive:
        xml = archive.read(SHEET)
    cell = next(part for part in xml.split(b"<c ") if b'r="B5"' in part).split(b"</c>")[0]
    edited(path, SHEET, b"<c " + cell, b'<c r="B5" t="str"><f>""</f><v></v>')
    found = listing(path)
    assert found.rows == [[2, 4], [3, "plain"], [4, None]]
    (only,) = found.rejects
    assert (only.code, str(only.place)) == (codes.CODE_FORMULA, "book.xlsx [Sheet], row 2, column sum")
    assert "B2" in only.message


def test_error_values_are_rejects(tmp_path: Path) -> None:
    found = listing(saved(tmp_path / "book.xlsx", ["id", "x"], [1, "#N/A"], [2, "ok"], [3, "#REF!"]))
    assert found.rows == [[2, "ok"]]
    assert [(r.code, r.place.row, r.place.column) for r in found.rejects] == [
        (codes.CODE_EXCEL_ERROR, 2, "x"),
        (codes.CODE_EXCEL_ERROR, 4, "x"),
    ]


def test_a_date_beyond_the_calendar_is_a_reject(tmp_path: Path) -> None:
    path = saved(tmp_path / "book.xlsx", ["id", "day"], [1, date(2024, 2, 29)], [2, date(2024, 3, 1)])
    edited(path, SHEET, b"<v>45351</v>", b"<v>99999999999</v>")
    found = listing(path)
    assert found.column("id") == [2]
    assert [(r.place.row, r.place.column) for r in found.rejects] == [(2, "day")]


def test_merged_cells_hold_downwards_and_reject_sideways(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (
        ["id", "team", "note"],
        [1, "Red", "a"],
        [2, None, "b"],
        [3, None, "c"],
        [4, "Blue", None],
        [5, "Red", "d"],
    ):
        sheet.append(row)
    sheet.merge_cells("B2:B4")
    sheet.merge_cells("B5:C5")
    book.save(tmp_path / "book.xlsx")
    found = listing(tmp_path)
    assert found.rows == [[1, "Red", "a"], [2, "Red", "b"], [3, "Red", "c"], [5, "Red", "d"]]
    (only,) = found.rejects
    assert (only.code, only.place.row, only.place.column) == (codes.CODE_MERGED, 5, "team")


def test_each_sheet_is_an_object_and_hidden_ones_are_told(tmp_path: Path) -> None:
    book = Workbook()
    first = book.active
    assert first is not None
    first.title = "People"
    first.append(["id", "name"])
    for name, state in (("Places", "visible"), ("Lists", "hidden")):
        sheet = book.create_sheet(name)
        sheet.sheet_state = state
        sheet.append(["id", name])
        sheet.append([1, "x"])
    book.create_sheet("Empty")
    book.save(tmp_path / "Customers.xlsx")
    objects = connector(tmp_path).describe().objects
    assert set(objects) == {"Customers.People", "Customers.Places", "Customers.Lists"}
    assert any("hidden" in w for w in objects["Customers.Lists"].attributes["warnings"])
    assert listing(tmp_path, "Customers.People").rows == []


def test_titles_gaps_and_cells_beyond_the_header(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "book.xlsx",
        ["People of 2024"],
        [],
        ["id", "name", "name"],
        [1, "a", "b"],
        [],
        [2, "c"],
        G7="x",
        A7=3,
    )
    found = listing(path)
    assert found.pages[0].fields == ("id", "name", "name (2)")
    assert found.rows == [[1, "a", "b"], [2, "c", None]]
    assert found.places == [("book.xlsx [Sheet]", 4), ("book.xlsx [Sheet]", 6)]
    assert [(r.place.row, r.place.column) for r in found.rejects] == [(7, "G")]


def test_line_breaks_that_excel_escapes(tmp_path: Path) -> None:
    path = saved(tmp_path / "book.xlsx", ["id", "note"], [1, "a_x000D_\nb"])
    assert listing(path).column("note") == ["a\r\nb"]


def test_texts_that_excel_keeps_apart_from_the_cells(tmp_path: Path) -> None:
    """Excel writes texts to one shared list; openpyxl writes them in place, so the list is put in by hand."""
    path = saved(tmp_path / "book.xlsx", ["id", "name"], [1, "Ann"])
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    relation = f'<Relationship Id="rIdS" Type="{kind}" Target="sharedStrings.xml"/></Relationships>'
    part = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    content_type = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{part}"/></Types>'
    edited(path, SHEET, b't="inlineStr"><is><t>Ann</t></is>', b't="s"><v>1</v>')
    edited(path, "xl/_rels/workbook.xml.rels", b"</Relationships>", relation.encode())
    edited(path, "[Content_Types].xml", b"</Types>", content_type.encode())
    with zipfile.ZipFile(path, "a") as archive:
        texts = "<si><t>x</t></si><si><r><t>Zo</t></r><r><t>\u00eb</t></r></si>"
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">{texts}</sst>')
    assert listing(path).rows == [[1, "Zo\u00eb"]]


def test_resumes_after_any_page(tmp_path: Path) -> None:
    path = saved(tmp_path / "book.xlsx", ["id", "n"], *[[n, n % 7] for n in range(20)])
    (table,) = open_workbook(DiskFile(path, "book.xlsx"), Limits(page_rows=6))
    chunks = list(table.chunks(None))
    assert [len(chunk.rows) for chunk in chunks] == [6, 6, 6, 2]
    for number, chunk in enumerate(chunks):
        rest = [row for later in table.chunks(chunk.after) for row in later.rows]
        assert rest == [row for later in chunks[number + 1 :] for row in later.rows]


@pytest.mark.parametrize("content", [b"\xd0\xcf\x11\xe0 old", b"PK\x03\x04 nothing", b""])
def test_what_is_no_workbook_is_named(tmp_path: Path, content: bytes) -> None:
    schema = connector(write(tmp_path, "book.xlsx", content)).describe().objects["book"]
    assert not schema.readable
    assert "book.xlsx" in schema.attributes["problem"]


def test_a_workbook_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "book.xlsx", ["id", "n"], [1, 2])
    edited(path, SHEET, b"</worksheet>", b" " * 200_000 + b"</worksheet>")
    with pytest.raises(ConfigurationError, match="bomb"):
        open_workbook(DiskFile(path, "book.xlsx"), Limits(ratio=50, ratio_from=100_000))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", b" " * 100_001)
    with pytest.raises(ConfigurationError, match="larger than"):
        open_workbook(DiskFile(path, "book.xlsx"), Limits(workbook_strings=100_000))


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    path = saved(tmp_path / "book.xlsx", ["id", "n"], [1, 2])
    laughs = b'<!DOCTYPE x [<!ENTITY a "' + b"ha" * 50 + b'"><!ENTITY b "' + b"&a;" * 50 + b'">]>'
    with zipfile.ZipFile(path) as archive:
        start = archive.read(SHEET)[:11]
    edited(path, SHEET, start, laughs + start)
    assert not connector(path).describe().objects["book"].readable


def test_a_workbook_in_an_archive(tmp_path: Path) -> None:
    book = saved(tmp_path / "book.xlsx", ["id", "n"], [1, 2]).read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("book.xlsx", book)
    found = listing(write(tmp_path / "zipped", "all.zip", out.getvalue()))
    assert (found.rows, found.places) == ([[1, 2]], [("all.zip/book.xlsx [Sheet]", 2)])
