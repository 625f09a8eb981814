"""Hub records as a vendor can hold them: a batch says what each record alone would say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from benchmarks.vendors import MemoryHubSpot, MemorySalesforce, MemoryVendor, port_of
from domain.ids import new_id
from domain.records import FieldSchema, ObjectSchema, Option
from mappings.compile import MappingContext, compile_spec
from mappings.spec import load_shipped
from sync_engine.core.model import Hub
from sync_engine.ports import Write
from sync_engine.ruling import rules_of
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


def shipped(vendor: str, name: str, fields: tuple[FieldSchema, ...] = ()) -> ConnectorObject:
    """An object of a vendor with the mapping that comes with the product; without ``fields`` everything may be written."""
    spec = load_shipped(vendor, name)
    assert spec is not None
    schema = ObjectSchema(name, fields) if fields else None
    lens = compile_spec(spec, schema, MappingContext(default_currency="USD"))
    return replace(port_of(MemoryHubSpot(), UUID(int=1)), lens=lens, rules=rules_of(lens))


@pytest.mark.parametrize(
    ("vendor", "name", "body", "kept", "shown"),
    [
        ("hubspot", "notes", "one < two\nthree", "text", "one &lt; two<br>three"),
        ("hubspot", "notes", "<p>as it is</p>", "html", "<p>as it is</p>"),
        ("salesforce", "Note", "<p>one &lt; two</p>", "html", "one < two"),
        ("salesforce", "Note", "1 < 2", "text", "1 < 2"),
    ],
)
def test_a_body_is_shown_in_the_vendors_own_form(vendor: str, name: str, body: str, kept: str, shown: str) -> None:
    port = shipped(vendor, name)
    (found,) = port.project([Hub(new_id(), 1, {"kind": "note", "body": body, "body_format": kept})], {})
    assert (found.seen["body"], found.seen.get("body_format")) == (shown, None)
    write = Write(new_id(), {"body": shown}, {"body": body, "body_format": kept}, "1")
    values = port._outgoing(write, {}).values  # what the connector is handed
    assert shown in values.values(), "what was shown is what is written"


def test_what_a_vendor_cannot_be_without_is_written_from_something_else_and_shown_so() -> None:
    title = FieldSchema("Title", length=8, required=True)
    port = shipped("salesforce", "Note", (FieldSchema("Id"), title, FieldSchema("Body")))
    (found,) = port.project([Hub(new_id(), 1, {"body": "A long story\nends", "body_format": "text"})], {})
    assert found.seen["subject"] == "A long s"
    (named,) = port.project([Hub(new_id(), 1, {"subject": "Tale", "body": "A long story"})], {})
    assert named.seen["subject"] == "Tale"


CURRENCY = FieldSchema("deal_currency_code", closed=True, options=(Option("EUR"), Option("USD")))
AMOUNT = FieldSchema("amount")


@pytest.mark.parametrize(
    ("fields", "values", "fits"),
    [
        pytest.param((AMOUNT, CURRENCY), {"amount": Decimal(5), "currency": "EUR"}, True, id="one of its own"),
        pytest.param((AMOUNT, CURRENCY), {"amount": Decimal(5), "currency": "BRL"}, False, id="not one of its own"),
        pytest.param((AMOUNT, CURRENCY), {"currency": "BRL", "name": "No amount"}, True, id="nothing to misread"),
        pytest.param((AMOUNT,), {"amount": Decimal(5), "currency": "USD"}, True, id="the only one of the account"),
        pytest.param((AMOUNT,), {"amount": Decimal(5), "currency": "EUR"}, False, id="not the only one of the account"),
    ],
)
def test_no_amount_counts_as_one_of_another_currency(
    fields: tuple[FieldSchema, ...], values: dict[str, Any], fits: bool
) -> None:
    port = shipped("hubspot", "deals", (FieldSchema("hs_object_id"), *fields))
    (found,) = port.project([Hub(new_id(), 1, values)], {})
    assert (found.failure is None) == fits
    assert found.failure is None or (found.failure.code, found.failure.field) == ("no_counterpart", "currency")
    assert ("amount" in found.seen) == (fits or "amount" not in values)


def test_rules_know_what_is_made_of_an_object_what_follows_and_what_is_set_but_once() -> None:
    once = FieldSchema("TaskSubtype", updateable=False)
    rules = shipped("salesforce", "Task", (FieldSchema("Id"), once, FieldSchema("Subject"))).rules
    assert (rules.only, rules.once) == ({"kind": frozenset({"task", "call"})}, frozenset({"kind"}))
    assert (rules.follows["body_format"], rules.follows["is_closed"]) == ("body", "status")
    assert shipped("salesforce", "ContentNote").rules.only == {"kind": frozenset()}, "nothing is made of it"
    assert shipped("hubspot", "line_items").rules.required == {"opportunity_id", "product_id"}


PRICE = FieldSchema("PricebookEntries.UnitPrice", required=True, createable=False)
CORPORATE = FieldSchema("PricebookEntries.CurrencyIsoCode", closed=True, options=(Option("USD"),))


@pytest.mark.parametrize(
    ("fields", "values", "seen"),
    [
        pytest.param((CORPORATE,), {"unit_price": Decimal(5), "currency": "USD"}, Decimal(5), id="its own currency"),
        pytest.param((CORPORATE,), {"unit_price": Decimal(5), "currency": "EUR"}, None, id="another one"),
        pytest.param((), {"unit_price": Decimal(5), "currency": "USD"}, Decimal(5), id="the only one"),
        pytest.param((), {"unit_price": Decimal(5), "currency": "EUR"}, None, id="not the only one"),
        pytest.param((CORPORATE,), {"unit_price": None, "currency": "USD"}, None, id="no price"),
    ],
)
def test_a_product_goes_without_a_price_that_has_no_place(
    fields: tuple[FieldSchema, ...], values: dict[str, Any], seen: Decimal | None
) -> None:
    port = shipped("salesforce", "Product2", (FieldSchema("Id"), FieldSchema("Name"), PRICE, *fields))
    assert port.rules.afterwards == {"unit_price"}
    (found,) = port.project([Hub(new_id(), 1, {"name": "Anvil", **values})], {})
    assert found.failure is None, "no dead letter of each"
    assert found.seen["name"] == "Anvil"
    assert found.seen.get("unit_price") == seen
    assert ("unit_price" in found.seen) == (seen is not None), "what is blank is not sent, either"


def test_a_price_of_hubspot_is_in_the_portals_own_currency() -> None:
    port = shipped("hubspot", "products", (FieldSchema("hs_object_id"), FieldSchema("name"), FieldSchema("price")))
    (dollars, euros) = port.project(
        [Hub(new_id(), 1, {"unit_price": Decimal(5), "currency": c}) for c in ("USD", "EUR")], {}
    )
    assert ("unit_price" in dollars.seen, "unit_price" in euros.seen) == (True, False)
