"""Hub records as a vendor can hold them: a batch says what each record alone would say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from benchmarks.vendors import MemoryHubSpot, MemorySalesforce, MemoryVendor, port_of
from domain.ids import new_id
from domain.records import FieldSchema, Option
from mappings.compile import compile_spec
from sync_engine.core.model import Hub
from sync_engine.vendor import ConnectorObject

ACCOUNT, OWNER = new_id(), new_id()
REFS = {ACCOUNT: [("Account", "001000000000001AAA"), ("companies", "77")]}
RECORDS: tuple[dict[str, Any], ...] = (
    {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com", "account_id": ACCOUNT},
    {"last_name": "Hopper", "phone": "+14155551234;ext=12", "email_opt_out": True, "custom_fields.shoe_size": "38"},
    {},
    {"last_name": "Curie", "owner_id": OWNER, "custom_fields.colour": "green", "mailing_country": "France"},
)


@pytest.fixture(params=[MemorySalesforce, MemoryHubSpot], ids=["salesforce", "hubspot"])
def port(request: pytest.FixtureRequest) -> ConnectorObject:
    vendor: MemoryVendor = request.param()
    customs = tuple(FieldSchema(name, custom=True) for name in ("shoe_size", "colour"))
    schema = replace(vendor.schema, fields=(*vendor.schema.fields, *customs))
    return replace(port_of(vendor, UUID(int=1)), lens=compile_spec(vendor.spec, schema))


def hubs() -> list[Hub]:
    return [Hub(new_id(), 1, values) for values in RECORDS]


def test_a_batch_says_what_each_record_alone_says(port: ConnectorObject) -> None:
    together = port.project(hubs(), REFS)
    alone = [port.project([hub], REFS)[0] for hub in hubs()]
    assert list(together) == alone
    assert [p.seen.get("last_name") for p in together] == ["Lovelace", "Hopper", None, "Curie"]


def test_references_come_back_as_the_hub_has_them_or_wait(port: ConnectorObject) -> None:
    found = port.project(hubs(), REFS)
    assert found[0].seen["account_id"] == ACCOUNT
    assert [(w.field, w.entity_id) for w in found[3].waits] == [("owner_id", OWNER)]
    assert found[0].waits == found[1].waits == found[2].waits == ()


def test_of_one_record_a_custom_field_never_shows_on_another(port: ConnectorObject) -> None:
    found = port.project(hubs(), REFS)
    assert [sorted(n for n in p.seen if n.startswith("custom_fields.")) for p in found] == [
        [],
        ["custom_fields.shoe_size"],
        [],
        ["custom_fields.colour"],
    ]


def test_only_what_the_stream_may_write_is_seen(port: ConnectorObject) -> None:
    narrow = replace(port, rules=replace(port.rules, writes=frozenset({"last_name"})))
    seen = {name for p in narrow.project(hubs(), REFS) for name in p.seen}
    assert {name for name in seen if not name.startswith("custom_fields.")} == {"last_name"}


def test_no_records_are_no_projections(port: ConnectorObject) -> None:
    assert list(port.project([], REFS)) == []


def test_a_value_that_a_closed_list_lacks_is_not_seen_and_leaves_the_others_alone() -> None:
    vendor = MemoryHubSpot()
    closed = FieldSchema("salutation", closed=True, options=(Option("Ms.", "Ms."), Option("dr", "Dr.")))
    fields = tuple(closed if f.name == "salutation" else f for f in vendor.schema.fields)
    port = port_of(vendor, UUID(int=1))
    port = replace(port, lens=compile_spec(vendor.spec, replace(vendor.schema, fields=fields)))
    values = ({"salutation": "Ms."}, {"salutation": "Count", "last_name": "Dracula"}, {"last_name": "Hopper"})
    found = port.project([Hub(new_id(), 1, v) for v in values], {})
    assert ["salutation" in p.seen for p in found] == [True, False, True]
    assert [p.seen.get("salutation") for p in found] == ["Ms.", None, None]
    assert [p.seen.get("last_name") for p in found] == [None, "Dracula", "Hopper"]
