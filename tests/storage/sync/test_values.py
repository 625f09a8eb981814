"""Records survive the way to JSON, through PostgreSQL, and back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from domain.entities import ENTITIES, Kind
from domain.errors import RecordRejectedError
from domain.ids import new_id
from storage.database import Database
from storage.sync import changing, gathering
from storage.sync.changing import Cause, Edit
from storage.sync.values import decode, decode_field, dumps, encode, from_text, loads

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_TEXT, children, max_size=3),
    max_leaves=6,
)
_VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates(),
    Kind.TIMESTAMP: st.datetimes(timezones=st.just(UTC)),
    Kind.JSON: _JSON.filter(lambda value: value is not None),
    Kind.TEXT_LIST: st.lists(_TEXT),
    Kind.REFERENCE: st.uuids(),
}


@st.composite
def records(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    entity = draw(st.sampled_from(sorted(ENTITIES)))
    fields = ENTITIES[entity].all_fields
    names = draw(st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=8))
    values = {name: draw(_VALUES.get(fields[name].kind, _TEXT)) for name in names}
    custom = draw(st.dictionaries(_TEXT, _JSON, max_size=3))
    return entity, {**values, **{f"custom_fields.{name}": value for name, value in custom.items()}}


@given(records())
def test_a_record_comes_back_as_it_was(record: tuple[str, dict[str, Any]]) -> None:
    entity, values = record
    assert decode(entity, loads(dumps(encode(values)))) == values


@given(records())
def test_each_value_comes_back_as_it_was(record: tuple[str, dict[str, Any]]) -> None:
    entity, values = record
    assert {n: decode_field(entity, n, loads(dumps(v))) for n, v in values.items()} == values


def test_a_record_comes_back_as_it_was_from_postgresql(db: Database, tenant_id: UUID) -> None:
    values = {
        "name": 'Zoë "\\" 漢\n',
        "amount": Decimal("0.10"),
        "probability": Decimal("1E+3"),
        "close_date": date(1, 1, 1),
        "source_created_at": datetime(2024, 2, 29, 23, 59, 59, 120000, UTC),
        "is_won": False,
        "tags": ["b", "a"],
        "owner_id": UUID(int=7),
        "custom_fields.n": 1.1,
        "custom_fields.big": 2**70,
        "custom_fields.none": None,
    }
    with db.tenant(tenant_id) as conn:
        conn.execute(text("SET LOCAL timezone = 'Asia/Kathmandu'"))
        form = conn.scalar(
            text(
                """SELECT CAST(to_jsonb(r) AS text)
            FROM jsonb_populate_record(CAST(NULL AS crm_opportunity), CAST(:f AS jsonb)) r"""
            ),
            {"f": dumps(encode(values))},
        )
    assert decode("opportunity", loads(form)) == values


_SAMPLES: dict[Kind, Any] = {
    Kind.INTEGER: -12,
    Kind.DECIMAL: Decimal("1.50"),
    Kind.BOOLEAN: False,
    Kind.DATE: date(2024, 2, 29),
    Kind.TIMESTAMP: datetime(2024, 2, 29, 23, 59, 59, 120000, UTC),
    Kind.JSON: {"a": [1, 2.5, None], "b": {"c": "x"}},
    Kind.TEXT_LIST: ["b", "a", ""],
}
_CUSTOM = {
    "custom_fields.n": 1.1,
    "custom_fields.big": 2**70,
    "custom_fields.none": None,
    "custom_fields.in": {"x": [0.5]},
}


@pytest.mark.parametrize("entity", sorted(ENTITIES))
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_a_hub_record_read_by_columns_is_what_its_json_says(
    db: Database, tenant_id: UUID, entity: str, zone: str
) -> None:
    plain = [f for f in ENTITIES[entity].all_fields.values() if f.kind is not Kind.REFERENCE]
    full, empty = new_id(), new_id()
    fields = {f.name: _SAMPLES.get(f.kind, "Zoë \\ %s") for f in plain}
    with db.tenant(tenant_id) as conn:
        conn.execute(text(f"SET LOCAL timezone = '{zone}'"))
        needed = {f.name: fields[f.name] for f in plain if f.required}
        changing.create(conn, Cause(tenant_id, "hub"), entity, [Edit(full, fields | _CUSTOM), Edit(empty, needed)])
        found = gathering.hubs(conn, tenant_id, entity, [full, empty, new_id()])
        table = gathering.hub_table(entity)
        forms = conn.execute(text(f"SELECT id, CAST(to_jsonb(h) AS text) FROM {table} h"))  # noqa: S608
        assert {i: hub.values for i, hub in found.items()} == {i: decode(entity, loads(form)) for i, form in forms}
    assert found[full].values.items() >= (fields | _CUSTOM).items()
    assert {v.tzinfo for v in found[full].values.values() if isinstance(v, datetime)} <= {UTC}
    assert (found[full].version, found[full].deleted, found[full].deleted_by) == (1, False, None)


def test_blanks_are_told_where_they_are_asked_for() -> None:
    assert decode("contact", {"email": None, "phone": "1"}) == {"phone": "1"}
    assert decode("contact", {"email": None, "phone": "1"}, blanks=True) == {"email": None, "phone": "1"}


def test_what_postgresql_refuses_is_made_storable() -> None:
    assert json.loads(dumps({"a": "x\0y", "b": [Decimal("NaN"), "\ud800"]})) == {"a": "x␀y", "b": ["NaN", "�"]}


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("employees", "12", 12),
        ("annual_revenue", "1.50", Decimal("1.50")),
        ("tags", "a, b,", ["a", "b"]),
        ("name", "12", "12"),
        ("source_created_at", "2024-01-02T03:04:05+01:00", datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("custom_fields.x", "12", "12"),
        ("employees", 12, 12),
        ("employees", None, None),
    ],
)
def test_typed_values_are_read_by_kind(name: str, typed: Any, value: Any) -> None:
    assert from_text("account", name, typed) == value


@pytest.mark.parametrize("name", ["employees", "annual_revenue", "source_created_at", "parent_id"])
def test_a_value_of_the_wrong_kind_is_refused(name: str) -> None:
    with pytest.raises(RecordRejectedError) as refused:
        from_text("account", name, "abc-secret")
    assert "secret" not in str(refused.value)
    assert refused.value.code == "bad_value"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a\0b", "a\u2400b"),
        ({"a\0": ["\ud800"]}, {"a\u2400": ["\ufffd"]}),
        (r"\u0000", r"\u0000"),
        (2**64, 2**64),
        (-(2**70), -(2**70)),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        (datetime(2024, 1, 2), "2024-01-02T00:00:00+00:00"),  # noqa: DTZ001
        (datetime(1890, 1, 2, tzinfo=timezone(timedelta(seconds=3700))), "1890-01-02T00:00:00+01:01:40"),
        (date(2024, 1, 2), "2024-01-02"),
        (Decimal("NaN"), "NaN"),
        (UUID(int=7), str(UUID(int=7))),
        (b"x", [120]),
    ],
)
def test_odd_values_are_written_as_json_can_say_them(value: Any, said: Any) -> None:
    assert json.loads(dumps(value)) == said
    assert json.loads(dumps({"in": [value]})) == {"in": [said]}


def test_decimals_keep_their_digits() -> None:
    assert dumps([Decimal("1.10"), 1.5]) == "[1.10,1.5]"
