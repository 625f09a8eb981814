"""The laws of the lenses, over every shipped spec and every transform."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.entities import Kind
from domain.records import MISSING, FieldSchema, ObjectSchema
from mappings.compile import Lens, MappedRecord, MappingContext, compile_spec
from mappings.model import MappingSpec, fields_of
from mappings.spec import parse_spec, shipped, spec_to_toml
from mappings.transforms import REGISTRY
from mappings.transforms.base import Bound, Flaw, Settings
from tests.mappings.strategies import canonical_values, junk, vendor_values

SPECS = [pytest.param(spec, id=f"{spec.vendor}-{spec.object}") for spec in shipped()]
WRITING = [p for p, spec in zip(SPECS, shipped(), strict=True) if any(line.writes for line in spec.fields.values())]
"""Those that write anything; the others only read, as of owners and pipelines."""
CONTEXTS = (MappingContext(), MappingContext("DE", "EUR", "Europe/Berlin"))

quick = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def sources_of(spec: MappingSpec) -> dict[str, Kind]:
    known = fields_of(spec.entity)
    kinds = {link.source: Kind.REFERENCE for link in spec.links}
    kinds |= {s: known[name].kind for name, line in spec.fields.items() for s in line.sources}
    return kinds


@st.composite
def records(draw: st.DrawFn, spec: MappingSpec) -> dict[str, Any]:
    kinds = sources_of(spec)
    record: dict[str, Any] = {spec.id: draw(st.sampled_from(["0035g00000AbCdEAAV", "12", "a b"]))}
    for name in draw(st.lists(st.sampled_from(sorted(kinds)), unique=True, max_size=6)):
        record[name] = draw(vendor_values(kinds[name]))
    if draw(st.booleans()):
        record["Extra__c"] = draw(junk)
    return record


def two_way(lens: Lens, record: MappedRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """The part of a record that a vendor is given: fields that are written, and what stands in custom_fields beside them."""
    lines = lens.spec.fields
    written = {s for line in lines.values() if line.writes for s in line.sources} | {k.source for k in lens.spec.links}
    mapped = set(lens.spec.mapped_sources)
    values = {n: v for n, v in record.values.items() if n in lines and lines[n].writes}
    return values, {n: v for n, v in record.custom_fields.items() if n in written or n not in mapped}


@pytest.mark.parametrize("spec", SPECS)
@given(data=st.data())
@quick
def test_get_put_what_was_read_reads_the_same_after_it_was_written_back(spec: MappingSpec, data: st.DataObject) -> None:
    lens = compile_spec(spec, None, data.draw(st.sampled_from(CONTEXTS)))
    first = lens.forward_one(data.draw(records(spec)))
    again = lens.forward_one({spec.id: first.vendor_id, **lens.backward(first.as_record())})
    assert two_way(lens, again) == two_way(lens, first)


@pytest.mark.parametrize("spec", WRITING)
@given(data=st.data())
@quick
def test_put_get_what_the_hub_holds_arrives_unchanged(spec: MappingSpec, data: st.DataObject) -> None:
    lens = compile_spec(spec)
    groups: dict[str, list[str]] = {}
    for name, line in spec.fields.items():
        if line.writes:
            groups.setdefault(line.sources[0], []).append(name)
    record: dict[str, Any] = {}
    for name in data.draw(st.lists(st.sampled_from([names[0] for names in groups.values()]), unique=True, max_size=6)):
        line, kind = spec.fields[name], fields_of(spec.entity)[name].kind
        value = data.draw(canonical_values(kind))
        if line.values:
            value = data.draw(st.sampled_from(sorted(line.values.values())))
        if kind is Kind.REFERENCE:
            value = (line.options.get("prefixes") or ("005",))[0] + value[3:]
        if line.via == "domain":
            value = data.draw(st.sampled_from(["example.com", "a.co.uk"]))
        if line.via == "currency":
            value = data.draw(st.sampled_from(["EUR", "USD", "JPY"]))
        if kind is Kind.INTEGER and line.options.get("times"):
            value = value // (2 * line.options["times"]) * line.options["times"]
        if line.options.get("day"):
            value = value.replace(hour=0, minute=0, second=0, microsecond=0)
        record[name] = value
    again = lens.forward_one({spec.id: "x", **lens.backward(record)})
    assert {n: again.values[n] for n in record} == record


@pytest.mark.parametrize("spec", SPECS)
@given(data=st.data())
@quick
def test_forward_is_total_deterministic_and_survives_pickling(spec: MappingSpec, data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(sorted(sources_of(spec))), unique=True, max_size=6))
    names = tuple(dict.fromkeys((spec.id, *some, "Extra__c")))
    rows = data.draw(st.lists(st.lists(junk, min_size=len(names), max_size=len(names)), max_size=3))
    lens = compile_spec(spec)
    batch = lens.forward(names, rows)
    copy: Lens = pickle.loads(pickle.dumps(lens))  # noqa: S301
    again = copy.forward(names, rows)
    assert copy.version == lens.version
    assert (batch.vendor_ids, batch.columns, batch.links, batch.problems) == (
        again.vendor_ids, again.columns, again.links, again.problems,
    )  # fmt: skip
    assert repr(batch.custom_fields) == repr(again.custom_fields)
    assert all(len(column) == len(rows) for column in batch.columns.values())
    assert_storable(batch.columns, batch.custom_fields, batch.vendor_ids)


def assert_storable(*parts: Any) -> None:
    text = repr(parts)
    assert "\\x00" not in text
    assert "\\ud8" not in text


@pytest.mark.parametrize("spec", SPECS)
@given(data=st.data())
@quick
def test_a_batch_maps_as_its_records_do(spec: MappingSpec, data: st.DataObject) -> None:
    lens = compile_spec(spec)
    found = data.draw(st.lists(records(spec), min_size=1, max_size=5))
    names = tuple(dict.fromkeys(n for r in found for n in r))
    batch = lens.forward(names, [tuple(r.get(n, MISSING) for n in names) for r in found])
    for row, record in enumerate(found):
        one = lens.forward_one(record)
        assert {n: c[row] for n, c in batch.columns.items()} == one.values
        assert repr(batch.custom_fields[row]) == repr(one.custom_fields) or sorted(
            map(repr, batch.custom_fields[row].items())
        ) == sorted(map(repr, one.custom_fields.items()))
        assert [p.code for p in batch.problems if p.row == row] == [p.code for p in one.problems]


@pytest.mark.parametrize("name", sorted(REGISTRY))
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_column_is_its_values_one_by_one(name: str, data: st.DataObject) -> None:
    transform = REGISTRY[name]
    kind = sorted(transform.kinds)[0]
    options: dict[str, Any] = {k: o.choices[0] for k, o in transform.options.items() if o.required}
    sources = 2 if transform.multi else 1
    if transform.multi:
        options["sources"] = 2
    bound = Bound(transform, Settings(data.draw(st.sampled_from(CONTEXTS)), options), sources=sources)
    one: st.SearchStrategy[Any] = vendor_values(kind)
    values = data.draw(st.lists(st.tuples(one, one) if transform.multi else one, max_size=12))
    assert list(map(repr, bound.column(values))) == [repr(bound.scalar(v)) for v in values]


VARIANTS: list[tuple[str, dict[str, Any], str]] = [
    *(
        (name, {k: o.choices[0] for k, o in t.options.items() if o.required}, "")
        for name, t in sorted(REGISTRY.items())
        if name != "name_part"  # half a name says nothing: test_transforms has the law of whole ones
    ),
    ("decimal", {"decimal": ","}, ""),
    ("decimal", {}, ","),
    ("integer", {"times": 60}, ""),
    ("boolean", {"invert": True}, ""),
    ("timestamp", {"unit": "ms"}, ""),
    ("timestamp", {}, "%d/%m/%Y %H:%M"),
    ("date", {"unit": "ms"}, ""),
    ("date", {"format": "%d/%m/%Y"}, ""),
    ("multi_picklist", {"separator": ","}, ""),
    ("salesforce_reference", {"prefixes": ("003",)}, ""),
]


@pytest.mark.parametrize(("name", "options", "form"), VARIANTS, ids=lambda v: str(v))
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_transform_reads_back_what_it_wrote(
    name: str, options: dict[str, Any], form: str, data: st.DataObject
) -> None:
    transform = REGISTRY[name]
    options = options | ({"sources": 2} if transform.multi else {})
    where = Settings(data.draw(st.sampled_from(CONTEXTS)), options, format=form)
    bound = Bound(transform, where, sources=2 if transform.multi else 1)
    one = vendor_values(sorted(transform.kinds)[0])
    first = bound.scalar(data.draw(st.tuples(one, one) if transform.multi else one))
    value = first.value if isinstance(first, Flaw) else first
    if value is None:
        return
    combine = transform.combine
    back = bound.backward(value) if combine is None else combine({options["part"]: value}, where)
    again = bound.scalar(back)
    assert (again.value if isinstance(again, Flaw) else again) == value


@pytest.mark.parametrize("spec", SPECS)
def test_every_source_field_is_mapped_custom_or_ignored_with_a_reason(spec: MappingSpec) -> None:
    names = [spec.id, *sources_of(spec), *spec.ignore, "Extra__c", "Compound"]
    fields = tuple(FieldSchema(n, compound=n == "Compound") for n in dict.fromkeys(names))
    lens = compile_spec(spec, ObjectSchema(spec.object, fields, id_field=spec.id))
    assert set(lens.destinations) == set(lens.schema.field_names if lens.schema else ())
    for name, destination in lens.destinations.items():
        ignored = destination.startswith("ignored: ")
        assert len(destination) > 15 if ignored else destination, name
        assert ignored or name in lens.source_fields
    assert lens.destinations["Extra__c"] == "custom_fields.Extra__c"
    assert lens.destinations["Compound"].startswith("ignored: ")


@pytest.mark.parametrize("spec", SPECS)
def test_no_id_falls_between_prefixes(spec: MappingSpec) -> None:
    """A source that lines read by prefix has another line or link for every other prefix."""
    for source in sources_of(spec):
        wanted = [line.options.get("prefixes") for line in spec.fields.values() if line.sources == (source,)]
        if not wanted or not all(wanted):
            continue
        taken = {p for prefixes in wanted for p in prefixes or ()}
        rest = [
            set(k.options.get("except_prefixes", ()))
            for k in spec.links
            if k.source == source and not k.options.get("prefixes")
        ]
        assert any(excepted <= taken for excepted in rest), source


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_survives_being_written_and_read(spec: MappingSpec) -> None:
    assert parse_spec(spec_to_toml(spec), "copy.toml") == spec
