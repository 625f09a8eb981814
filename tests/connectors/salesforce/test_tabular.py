from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce.tabular import cell, convert_rows, read_rows, write_csv
from domain.errors import TransientError
from domain.records import MISSING, FieldSchema

FIXTURES = Path(__file__).parent / "fixtures"
TYPES = {
    "Id": "id",
    "LastName": "string",
    "Description": "textarea",
    "AnnualRevenue": "currency",
    "NumberOfEmployees": "int",
    "IsActive": "boolean",
    "SystemModstamp": "datetime",
}
FIELDS = [FieldSchema(name, vendor_type=kind) for name, kind in TYPES.items()]


def rows_of(text: str, fields: list[FieldSchema]) -> list[tuple[Any, ...]]:
    lines = read_rows(io.StringIO(text, newline=""))
    return list(convert_rows(lines, next(lines), fields))


def test_bulk_values_read_as_rest_sends_them() -> None:
    assert rows_of((FIXTURES / "bulk_results.csv").read_text("utf-8"), FIELDS) == [
        ("0011", 'O"Neil', "two\nlines", 100.0, 145, True, "2024-04-16T19:00:00.000+0000"),
        ("0012", None, None, None, None, False, None),
    ]


def test_an_empty_cell_of_bulk_is_null() -> None:
    assert rows_of('"Id"\n""\n', FIELDS[:1]) == [(None,)]


def test_columns_go_by_name_whatever_their_order_and_case() -> None:
    assert rows_of('"lastname","ID"\n"Doe","001"\n', FIELDS[:2]) == [("001", "Doe")]


def test_a_column_that_is_not_there_is_missing() -> None:
    assert rows_of('"Id"\n"001"\n', FIELDS[:2]) == [("001", MISSING)]


def test_integers_keep_every_digit() -> None:
    field = FieldSchema("N", vendor_type="long")
    assert rows_of('"N"\n"9007199254740993"\n"1.2E3"\n', [field]) == [(9007199254740993,), (1200,)]


@pytest.mark.parametrize("broken", ['"Id","LastName"\n"001"\n', '"Id"\n"001\n'])
def test_results_that_break_off_are_read_again(broken: str) -> None:
    with pytest.raises(TransientError):
        rows_of(broken, FIELDS[:2])


def test_a_cell_may_be_as_long_as_a_rich_text_field() -> None:
    long = "x" * 200_000
    assert rows_of(f'"Description"\n"{long}"\n', [FIELDS[2]]) == [(long,)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "#N/A"),
        ("", "#N/A"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (Decimal("12345678901234.56"), "12345678901234.56"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC), "2024-02-29T01:02:03.000Z"),
        (["A", "B"], "A;B"),
    ],
)
def test_cells_of_an_ingest_job(value: Any, text: str) -> None:
    assert cell(value) == text


def test_blank_clears_and_absent_leaves_alone() -> None:
    [(content, count)] = write_csv([{"Id": "1", "Name": None}, {"Id": "2"}], ("Id", "Name"))
    assert (content, count) == (b"Id,Name\n1,#N/A\n2,\n", 2)


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=30)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=30), st.integers(1, 200))
def test_files_are_cut_between_records_and_hold_them_all(rows: list[tuple[str, str]], bytes_max: int) -> None:
    records = [{"Id": a, "Name": b} for a, b in rows]
    files = list(write_csv(records, ("Id", "Name"), bytes_max=bytes_max))
    assert sum(count for _, count in files) == len(rows)
    back = [row for content, _ in files for row in csv.reader(io.StringIO(content.decode(), newline="")) if row]
    assert [r for r in back if r != ["Id", "Name"]] == [[cell(a), cell(b)] for a, b in rows if (a, b) != ("Id", "Name")]
    header = len(b"Id,Name\n")
    assert all(count == 1 or len(content) <= max(bytes_max, header) for content, count in files)
