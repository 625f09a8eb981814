"""Kinds of columns: none may change or lose a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.files.infer import ColumnProbe, Hints, Verdict
from domain.entities import Kind

from .support import connector, write

PLAIN = Hints()


def verdict(name: str, values: list[str], hints: Hints = PLAIN) -> Verdict:
    probe = ColumnProbe(name)
    for start in range(0, len(values), 3):
        probe.feed(values[start : start + 3])
    return probe.verdict(hints)


@pytest.mark.parametrize(
    ("name", "values", "kind", "vendor_type"),
    [
        ("n", ["1", "-2", "", "30"], Kind.INTEGER, ""),
        ("zip", ["94105", "01234"], Kind.TEXT, ""),
        ("n", ["12345678901234567890"], Kind.DECIMAL, "decimal:point"),
        ("n", ["1.5", "2", "1,234.50"], Kind.DECIMAL, "decimal:point"),
        ("n", ["1,5", "2", "1.234,50"], Kind.DECIMAL, "decimal:comma"),
        ("n", ["1.5", "n/a"], Kind.TEXT, ""),
        ("sku", ["12E5", "13E5"], Kind.TEXT, ""),
        ("b", ["true", "FALSE", ""], Kind.BOOLEAN, ""),
        ("b", ["Yes", "no"], Kind.BOOLEAN, ""),
        ("IsDeleted", ["0", "1"], Kind.BOOLEAN, ""),
        ("is_active", ["0", "1"], Kind.BOOLEAN, ""),
        ("Island", ["0", "1"], Kind.INTEGER, ""),
        ("d", ["2024-01-31", "2024-02-01"], Kind.DATE, ""),
        ("d", ["2024-01-31T10:00:00.000Z", "2024-01-31 10:00"], Kind.TIMESTAMP, ""),
        ("d", ["31/01/2024", "01/02/2024"], Kind.DATE, "date:%d/%m/%Y"),
        ("d", ["01/31/2024", "01/02/2024"], Kind.DATE, "date:%m/%d/%Y"),
        ("d", ["01.02.2024"], Kind.DATE, "date:%d.%m.%Y"),
        ("d", ["31-1-24", "1-12-23"], Kind.DATE, "date:%d-%m-%y"),
        ("d", ["2024/1/31", "2024/12/1"], Kind.DATE, "date:%Y/%m/%d"),
        ("d", ["31/01/2024 13:05", "01/02/2024 00:00"], Kind.TIMESTAMP, "timestamp:%d/%m/%Y %H:%M"),
        ("d", ["1/31/2024 1:05:00 PM"], Kind.TIMESTAMP, "timestamp:%m/%d/%Y %I:%M:%S %p"),
        ("d", ["31/01/2024", "01/31/2024"], Kind.TEXT, ""),
        ("e", ["a@x.example", "B@y.example", ""], Kind.EMAIL, ""),
        ("e", [f"u{n}@x.example" for n in range(9)] + ["none"], Kind.EMAIL, ""),
        ("e", ["a@x.example", "hello"], Kind.TEXT, ""),
        ("Mobile Phone", ["+49 170 1234567", "(415) 555-0100", "4155550100"], Kind.PHONE, ""),
        ("number", ["4155550100"], Kind.INTEGER, ""),
        ("u", ["https://x.example/a", "www.y.example"], Kind.URL, ""),
        ("t", ["", ""], Kind.TEXT, ""),
    ],
)
def test_kinds(name: str, values: list[str], kind: Kind, vendor_type: str) -> None:
    found = verdict(name, values)
    assert (found.kind, found.vendor_type) == (kind, vendor_type)


def test_one_late_leading_zero_makes_a_column_text() -> None:
    values = [str(10_000 + n) for n in range(5_000)]
    assert verdict("zip", values).kind is Kind.INTEGER
    assert verdict("zip", [*values, "01234"]).kind is Kind.TEXT


def test_a_late_misfit_counts_beyond_what_is_tested_of_bearable_kinds() -> None:
    values = [str(n) for n in range(100_000, 160_000)]
    probe = ColumnProbe("n")
    for start in range(0, len(values), 10_000):
        probe.feed(values[start : start + 10_000])
    probe.feed(["n/a"])
    assert probe.verdict(PLAIN).kind is Kind.TEXT


def test_a_doubtful_order_of_dates_follows_the_hint_and_is_told() -> None:
    values = ["01/02/2024", "03/04/2024"]
    assert verdict("d", values).vendor_type == "date:%m/%d/%Y"
    day_first = verdict("d", values, Hints(date_order="dmy"))
    assert day_first.vendor_type == "date:%d/%m/%Y"
    assert "day-first or month-first" in day_first.doubt


def test_a_doubtful_decimal_mark_follows_the_list_separator() -> None:
    values = ["1,234", "5,678"]
    assert verdict("n", values).vendor_type == "decimal:point"
    assert verdict("n", values, Hints(decimal_comma=True)).vendor_type == "decimal:comma"


@pytest.mark.parametrize(
    ("text", "settings", "form"),
    [
        ("id,a,b\n1,01/02/2024,31/12/2024\n", {}, "date:%d/%m/%Y"),
        ("id,a\n1,01/02/2024\n", {}, "date:%m/%d/%Y"),
        ("id;a\n1;01/02/2024\n", {}, "date:%d/%m/%Y"),
        ("id,a\n1,01/02/2024\n", {"date_order": "dmy"}, "date:%d/%m/%Y"),
    ],
    ids=["another column proves it", "comma", "semicolon", "setting"],
)
def test_where_the_hint_comes_from(tmp_path: Path, text: str, settings: dict[str, str], form: str) -> None:
    schema = connector(write(tmp_path, "t.csv", text), **settings).describe().objects["t"]
    assert schema.field("a").vendor_type == form


def test_fill_counts_and_picklists(tmp_path: Path) -> None:
    rows = "".join(f"{n},name {n},{('new', 'won', '')[n % 3]}\n" for n in range(30))
    schema = connector(write(tmp_path, "deals.csv", "id,name,stage\n" + rows)).describe().objects["deals"]
    assert schema.attributes["fill"] == {"id": 30, "name": 30, "stage": 20}
    assert [option.value for option in schema.field("stage").options] == ["new", "won"]
    assert schema.field("name").options == ()


def test_special_fields(tmp_path: Path) -> None:
    text = "id,Name,Created At,last_modified\n1,Ann,2024-01-01,2024-01-02 10:00\n"
    schema = connector(write(tmp_path, "t.csv", text)).describe().objects["t"]
    assert (schema.id_field, schema.name_field) == ("id", "Name")
    assert (schema.created_field, schema.modified_field) == ("Created At", "last_modified")
