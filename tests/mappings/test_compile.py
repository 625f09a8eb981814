"""The lens around its transforms: custom fields, lookups, writing, spelling, memory."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.entities import Kind
from domain.records import MISSING, FieldSchema, ObjectSchema, PendingLink
from mappings.compile import Lens, MappingContext, compile_spec
from mappings.spec import load_shipped, parse_spec
from mappings.transforms import REGISTRY
from mappings.transforms.base import MEMO_LIMIT, Bound, Settings

HEAD = '[spec]\nvendor = "acme"\nobject = "Thing"\nentity = "account"\nid = "Id"\n[fields]\nname = "Name"\n'


def lens_of(*fields: FieldSchema, extra: str = "", **context: str) -> Lens:
    schema = ObjectSchema("Thing", (FieldSchema("Id"), FieldSchema("Name"), *fields), id_field="Id")
    return compile_spec(parse_spec(HEAD + extra, "thing.toml"), schema, MappingContext(**context))


# ---------------------------------------------------------------- custom fields


@pytest.mark.parametrize(
    ("kind", "vendor_type", "raw", "kept"),
    [
        (Kind.INTEGER, "", "42", 42),
        (Kind.DECIMAL, "", "1.50", 1.5),
        (Kind.DECIMAL, "decimal:comma", "1,234", 1.234),
        (Kind.DECIMAL, "", "12345678901234567890.123456789", "12345678901234567890.123456789"),
        (Kind.BOOLEAN, "", "true", True),
        (Kind.BOOLEAN, "", "false", False),
        (Kind.DATE, "date:%d/%m/%Y", "03/04/2024", "2024-04-03"),
        (Kind.TIMESTAMP, "", "2024-01-02T03:04:05.000+0000", "2024-01-02T03:04:05.000Z"),
        (Kind.TEXT_LIST, "", "b;a", ["a", "b"]),
        (Kind.JSON, "", '{"a": [1]}', {"a": [1]}),
        (Kind.TEXT, "", " as it came ", " as it came "),
        (Kind.PHONE, "", "(415) 555-1234", "(415) 555-1234"),
        (Kind.TEXT, "", "a\x00b\ud800", "ab"),
        (Kind.INTEGER, "", 0, 0),
    ],
)
def test_unmapped_fields_are_typed_by_the_source(kind: Kind, vendor_type: str, raw: Any, kept: Any) -> None:
    lens = lens_of(FieldSchema("X", kind, vendor_type=vendor_type))
    record = lens.forward_one({"Id": "1", "Name": "n", "X": raw})
    assert record.custom_fields == {"X": kept}
    assert type(record.custom_fields["X"]) is type(kept)
    assert record.problems == ()


@pytest.mark.parametrize("raw", [None, MISSING, "", "  ", [], {}])
def test_blank_unmapped_values_are_left_out(raw: Any) -> None:
    assert lens_of(FieldSchema("X")).forward_one({"Id": "1", "Name": "n", "X": raw}).custom_fields == {}


def test_a_custom_value_that_does_not_fit_its_type_is_kept_as_it_came() -> None:
    record = lens_of(FieldSchema("X", Kind.INTEGER)).forward_one({"Id": "1", "Name": "n", "X": "many"})
    assert record.custom_fields == {"X": "many"}
    assert [(p.code, p.source_field, p.rejects) for p in record.problems] == [("custom_untyped", "X", False)]


def test_a_field_that_appeared_after_the_schema_was_read_is_kept() -> None:
    assert lens_of().forward_one({"Id": "1", "Name": "n", "New__c": 1}).custom_fields == {"New__c": 1}


def test_compounds_and_file_contents_are_left_out_with_a_reason() -> None:
    lens = lens_of(
        FieldSchema("Address", compound=True), FieldSchema("Body", vendor_type="base64"), FieldSchema("City")
    )
    assert lens.destinations["Address"] == "ignored: repeats the fields it is made of"
    assert lens.destinations["Body"].startswith("ignored: file content")
    assert lens.source_fields == ("Id", "Name", "City")


def test_a_custom_lookup_is_kept_and_becomes_an_association() -> None:
    lens = lens_of(FieldSchema("Partner__c", Kind.REFERENCE, custom=True, refers_to=("Account",)))
    batch = lens.forward(("Id", "Name", "Partner__c"), [["1", "n", "001000000000001AAA"], ["2", "m", ""]])
    assert batch.links == [PendingLink(0, "Partner__c", ("Account",), "001000000000001AAA")]
    assert batch.custom_fields == [{"Partner__c": "001000000000001AAA"}, {}]


# ---------------------------------------------------------------- rows


def test_a_record_without_id_or_required_field_is_refused_and_the_others_go_on() -> None:
    batch = lens_of().forward(("Id", "Name"), [["", "a"], ["2", " "], ["3", "c"]])
    assert [(p.row, p.code, p.rejects) for p in batch.problems] == [
        (0, "id_missing", True),
        (1, "required_missing", True),
    ]
    assert batch.vendor_ids == ["", "2", "3"]
    assert batch.columns["name"] == ["a", None, "c"]


def test_no_rows_make_an_empty_batch() -> None:
    batch = lens_of().forward(("Id", "Name"), [])
    assert len(batch) == 0
    assert batch.columns["name"] == []


def test_warnings_keep_the_raw_value_under_its_source_name() -> None:
    lens = lens_of(extra='employees = "Staff"\n')
    record = lens.forward_one({"Id": "1", "Name": "n", "Staff": "about 40"})
    assert record.values["employees"] is None
    assert record.custom_fields == {"Staff": "about 40"}
    assert "about 40" not in record.problems[0].message
    assert "Thing.Staff" in record.problems[0].message
    assert (
        lens_of(FieldSchema("Staff"), extra='employees = "Staff"\n').backward(record.as_record())["Staff"] == "about 40"
    )


def test_a_person_who_fills_the_field_overrules_the_raw_value() -> None:
    lens = lens_of(FieldSchema("Staff"), extra='employees = "Staff"\n')
    record = lens.forward_one({"Id": "1", "Name": "n", "Staff": "about 40"}).as_record()
    assert lens.backward({**record, "employees": 41})["Staff"] == 41


def test_an_amount_without_currency_has_the_tenants() -> None:
    spec = load_shipped("salesforce", "Opportunity")
    assert spec is not None
    record = compile_spec(spec, None, MappingContext("DE", "EUR")).forward_one({"Id": "1", "Name": "n", "Amount": 5})
    assert (record.values["amount"], record.values["currency"]) == (Decimal(5), "EUR")


# ---------------------------------------------------------------- writing


def test_nothing_is_written_to_a_field_that_the_vendor_keeps_to_itself() -> None:
    lens = lens_of(
        FieldSchema("Phone", createable=False, updateable=False), FieldSchema("Score", calculated=True), FieldSchema("Fax"),
        extra='phone = "Phone"\nfax = "Fax"\nwebsite = "Gone"\n',
    )  # fmt: skip
    written = lens.backward(
        {"name": "n", "phone": "+1", "fax": None, "website": "x.org", "custom_fields": {"Score": 1}}
    )
    assert written == {"Name": "n", "Fax": None}
    assert lens.missing == ("Gone",)


def test_parts_of_one_field_are_written_together() -> None:
    lens = compile_spec(
        parse_spec(
            '[spec]\nvendor = "a"\nobject = "b"\nentity = "contact"\nid = "Id"\n[fields]\n'
            'first_name = { from = "Name", via = "name_part", part = "first" }\n'
            'last_name = { from = "Name", via = "name_part", part = "last" }\n',
            "b.toml",
        )
    )
    assert lens.forward_one({"Id": "1", "Name": "Vincent van Gogh"}).values == {
        "first_name": "Vincent",
        "last_name": "van Gogh",
    }
    assert lens.backward({"first_name": "Theo", "last_name": "van Gogh"}, ["first_name"]) == {"Name": "Theo van Gogh"}


# ---------------------------------------------------------------- spelling


def test_headers_may_differ_in_capitals_and_the_id_column_in_name() -> None:
    spec = load_shipped("hubspot_export", "contacts")
    assert spec is not None
    names = ("Record ID - Contact", "first name", "Create date", "Associated Company IDs")
    schema = ObjectSchema("contacts.csv", tuple(map(FieldSchema, names)), id_field="Record ID - Contact")
    record = compile_spec(spec, schema, MappingContext("DE", "EUR", "Europe/Berlin")).forward_one(
        dict(zip(names, ("7", "Ada", "2024-01-05 12:30", "11;12"), strict=True))
    )
    assert record.vendor_id == "7"
    assert record.values["first_name"] == "Ada"
    assert record.values["account_id"] == "11"
    assert record.values["source_created_at"].isoformat() == "2024-01-05T11:30:00+00:00"
    assert record.links == (("company", "11"), ("company", "12"))
    assert record.custom_fields == {}


# ---------------------------------------------------------------- memory


def test_what_a_column_remembers_is_bounded() -> None:
    bound = Bound(REGISTRY["picklist"], Settings())
    for start in range(0, 5 * MEMO_LIMIT, MEMO_LIMIT):
        bound.column([f"choice {i}" for i in range(start, start + MEMO_LIMIT)])
    assert len(bound.memo) <= 2 * MEMO_LIMIT


def test_numbers_and_texts_that_are_equal_to_python_are_not_mixed_up() -> None:
    bound = Bound(REGISTRY["text"], Settings())
    assert bound.column([True, 1, 1.0, "1", 0, False]) == ["true", "1", "1", "1", "0", "false"]
