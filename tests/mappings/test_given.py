"""What a program gives as JSON is normalised, or refused with the field's name and never its value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.errors import RecordRejectedError
from mappings.given import typed

SOMEONE = "01a1fedc-814f-759a-8448-3d7c640fd516"


@pytest.mark.parametrize(
    ("entity", "field", "given", "stored"),
    [
        ("contact", "email", "Ada <ADA@Acme.Example>", "ada@acme.example"),
        ("contact", "phone", "+44 20 7946 0018", "+442079460018"),
        ("contact", "phone", "020 7946 0018", "+442079460018"),
        ("contact", "birth_date", "1815-12-10", date(1815, 12, 10)),
        ("contact", "tags", ["b", "a", "b"], ["a", "b"]),
        ("contact", "do_not_call", False, False),
        ("contact", "account_id", SOMEONE, UUID(SOMEONE)),
        ("contact", "last_name", None, None),
        ("contact", "custom_fields.shoe_size", 38, 38),
        ("lead", "annual_revenue", "12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        ("lead", "annual_revenue", 0.1, Decimal("0.1")),
        ("lead", "converted_at", "2026-01-31T01:00:00+02:00", datetime(2026, 1, 30, 23, tzinfo=UTC)),
        ("lead", "website", "HTTPS://acme.example/a", "https://acme.example/a"),
    ],
)
def test_values_are_stored_in_one_form(entity: str, field: str, given: Any, stored: Any) -> None:
    assert typed(entity, {field: given}, "GB") == {field: stored}


@pytest.mark.parametrize(
    ("entity", "field", "given", "code"),
    [
        ("contact", "email", "tea-at-four", "not_an_email"),
        ("contact", "email", 5, "bad_value"),
        ("contact", "phone", "tea-at-four", "not_a_phone"),
        ("contact", "last_name", 5, "bad_value"),
        ("contact", "last_name", ["x"], "bad_value"),
        ("contact", "do_not_call", "false", "bad_value"),
        ("contact", "do_not_call", 0, "bad_value"),
        ("contact", "birth_date", "31.01.2026", "bad_value"),
        ("contact", "birth_date", "2026-02-30", "bad_value"),
        ("contact", "birth_date", "20260131T", "bad_value"),
        ("contact", "account_id", "tea-at-four", "bad_value"),
        ("contact", "tags", "a,b", "bad_value"),
        ("contact", "tags", [1], "bad_value"),
        ("lead", "employees", 1.5, "bad_value"),
        ("lead", "employees", True, "bad_value"),
        ("lead", "employees", 2**63, "bad_value"),
        ("lead", "annual_revenue", "NaN", "bad_value"),
        ("lead", "annual_revenue", "1e999999", "bad_value"),
        ("lead", "annual_revenue", "tea-at-four", "bad_value"),
        ("lead", "converted_at", "2026-01-31T01:00:00", "bad_value"),
        ("lead", "website", "javascript:alert(1)", "unsafe_url"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_without_the_value(entity: str, field: str, given: Any, code: str) -> None:
    with pytest.raises(RecordRejectedError, match=field) as caught:
        typed(entity, {field: given})
    assert caught.value.code == code
    assert str(given) not in caught.value.message


def test_a_list_of_associated_records_is_a_list_of_ids() -> None:
    one, two = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
    assert typed("opportunity", {"contact_ids": [two, one, two]}) == {"contact_ids": [UUID(one), UUID(two)]}
    assert typed("opportunity", {"contact_ids": None}) == {"contact_ids": []}


@pytest.mark.parametrize("value", ["x", 5, {}, ["x"], [5], [None]])
def test_anything_else_is_no_list_of_associated_records(value: object) -> None:
    with pytest.raises(RecordRejectedError) as refused:
        typed("opportunity", {"contact_ids": value})
    assert refused.value.code == "bad_value"
