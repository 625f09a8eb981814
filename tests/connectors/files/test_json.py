"""JSON Lines and JSON documents."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from connectors.files import rejects as codes
from domain.records import MISSING

from .support import connector, listing, write

LINES = '{"id": 1, "name": "Ann", "tags": ["a", "b"]}\n\n{"id": 2, "extra": {"x": null}}\r\n'


def test_lines_are_records_and_absent_fields_are_missing(tmp_path: Path) -> None:
    found = listing(write(tmp_path, "people.jsonl", LINES))
    assert found.pages[0].fields == ("id", "name", "tags", "extra")
    assert found.rows == [[1, "Ann", ["a", "b"], MISSING], [2, MISSING, MISSING, {"x": None}]]
    assert found.places == [("people.jsonl", 1), ("people.jsonl", 3)]


def test_a_field_that_only_a_late_line_has_is_a_column(tmp_path: Path) -> None:
    lines = [json.dumps({"id": n, "note": "x" * 100}) for n in range(20_000)] + ['{"id": 20000, "late": true}']
    path = write(tmp_path, "people.ndjson", "\n".join(lines))
    pages = listing(path).pages
    assert len(pages) > 2
    assert listing(path).column("late")[-1] is True
    for number, page in enumerate(pages):
        rest = listing(path, "people", page.cursor)
        assert rest.rows == [row for later in pages[number + 1 :] for row in later.rows]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nope", codes.CODE_JSON),
        ('{"id": 1, "x": NaN}', codes.CODE_JSON),
        ("[1, 2]", codes.CODE_JSON),
        ('"text"', codes.CODE_JSON),
        ('{"id": 1', codes.CODE_JSON),
        ('{"id": 1, "x": "a\\u0000b"}', codes.CODE_NUL),
        ('{"id": 1, "x": {"y": ["\\u0000"]}}', codes.CODE_NUL),
    ],
)
def test_broken_lines_are_rejects(tmp_path: Path, line: str, code: str) -> None:
    found = listing(write(tmp_path, "people.jsonl", f'{{"id": 0}}\n{line}\n{{"id": 2}}\n'))
    assert found.column("id") == [0, 2]
    (only,) = found.rejects
    assert (only.code, only.place.row) == (code, 2)
    json.dumps(only.raw)


def test_bytes_that_are_no_utf_8_are_rejects(tmp_path: Path) -> None:
    found = listing(write(tmp_path, "people.jsonl", b'{"id": 0}\n{"id": "\xe9"}\n{"id": 2}\n'))
    assert [r.place.row for r in found.rejects] == [2]


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    text = '{"id": 123456789012345678901234567890, "amount": 0.12345678901234567890, "small": 0.1}\n'
    (row,) = listing(write(tmp_path, "people.jsonl", text)).rows
    assert row == [123456789012345678901234567890, Decimal("0.12345678901234567890"), Decimal("0.1")]


@pytest.mark.parametrize(
    "text", ['[{"id": 1}, {"id": 2}]', '{"records": [{"id": 1}, {"id": 2}]}', '[\n{"id": 1},\n{"id": 2}\n]']
)
def test_documents_are_lists_of_records(tmp_path: Path, text: str) -> None:
    assert listing(write(tmp_path, "people.json", text)).rows == [[1], [2]]


def test_a_broken_document_is_named(tmp_path: Path) -> None:
    schema = connector(write(tmp_path, "people.json", '[{"id": 1},')).describe().objects["people"]
    assert "people.json is no valid JSON" in schema.attributes["problem"]


def test_parts_may_lack_columns(tmp_path: Path) -> None:
    write(tmp_path, "people_1.jsonl", '{"id": 1, "a": 1}\n')
    write(tmp_path, "people_2.jsonl", '{"id": 2, "b": 2}\n')
    found = listing(tmp_path)
    assert (found.pages[0].fields, found.rows) == (("id", "a", "b"), [[1, 1, MISSING], [2, MISSING, 2]])


def test_salesforce_trees_refer_across_files(tmp_path: Path) -> None:
    """Shape of `sf data export tree`, as in the dreamhouse sample app's data folder."""

    def record(kind: str, reference: str, **values: str) -> dict[str, object]:
        return {"attributes": {"type": kind, "referenceId": reference}, **values}

    write(tmp_path, "brokers-data.json", json.dumps({"records": [record("Broker__c", "AnnRef", Name="@home")]}))
    homes = [record("Property__c", "HomeRef", Name="Home", Broker__c="@AnnRef")]
    write(tmp_path, "properties-data.json", json.dumps({"records": homes}))
    write(tmp_path, "plan.json", json.dumps([{"sobject": "Broker__c", "files": ["brokers-data.json"]}]))
    objects = connector(tmp_path).describe().objects
    assert set(objects) == {"Broker__c", "Property__c"}
    assert objects["Property__c"].field("Broker__c").refers_to == ("Broker__c",)
    assert objects["Property__c"].attributes["dialect"] == "salesforce"
    assert listing(tmp_path, "Property__c").rows == [["HomeRef", "Home", "AnnRef"]]
    assert listing(tmp_path, "Broker__c").rows == [["AnnRef", "@home"]]
