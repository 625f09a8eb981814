"""A product's price, which Salesforce keeps as an entry of the standard price book."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.kit.contract import ReadRequest
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.standard_prices import CURRENCY, PRICE, StandardPrices
from domain.records import Outgoing
from sandbox.salesforce.server import SandboxServer
from tests.connectors.salesforce.conftest import Connect


def entries(server: SandboxServer, product: str) -> list[Any]:
    return [e for e in server.sandbox.org.live("PricebookEntry") if e["Product2Id"] == product]


def test_the_schema_of_products_has_a_price_that_only_a_standing_product_takes(salesforce: SalesforceConnector) -> None:
    schema = salesforce.describe(["Product2"]).objects["Product2"]
    price, currency = schema.field(PRICE), schema.field(CURRENCY)
    assert (price.createable, price.updateable, price.required) == (False, True, True)
    assert [o.value for o in currency.options] == ["USD"]


def test_an_org_of_one_currency_tells_no_currency_and_has_prices_all_the_same(
    server: SandboxServer, connect: Connect
) -> None:
    org = server.sandbox.org
    product = org.live("Product2")[0]["Id"]
    for entry in [e for e in entries(server, product) if e["CurrencyIsoCode"] != "USD"]:
        org.tables["PricebookEntry"].pop(entry["Id"])
    for name in ("PricebookEntry", "Product2", "Opportunity"):
        org.remove_field(name, "CurrencyIsoCode")
    connector = connect(server)
    assert CURRENCY not in connector.describe(["Product2"]).objects["Product2"].field_names
    (page,) = connector.read(ReadRequest("Product2", ("Id", PRICE), ids=(product,)))
    standard = {b["Id"] for b in org.live("Pricebook2") if b.get("IsStandard")}
    (price,) = [e["UnitPrice"] for e in entries(server, product) if e["Pricebook2Id"] in standard]
    assert list(page.rows) == [(product, price)]


def test_prices_are_written_beside_the_products_and_named_by_the_record_that_they_belong_to(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    known = server.sandbox.org.live("Product2")[0]["Id"]
    records = [
        Outgoing("new", {"Name": "New", PRICE: 5, CURRENCY: "USD"}),
        Outgoing("bad", {"Name": None, PRICE: 6}, known),
        Outgoing("gone", {PRICE: 7}, "01tgK0000009999QAA"),
        Outgoing("price", {PRICE: 8}, known),
        Outgoing("plain", {"Name": "Plain"}),
    ]
    done = salesforce.upsert("Product2", records)
    assert [d.key for d in done] == [r.key for r in records]
    assert [d.error is None for d in done] == [True, False, False, True, True]
    assert [e["UnitPrice"] for e in entries(server, str(done[0].vendor_id))] == [5.0]
    assert sorted(e["UnitPrice"] for e in entries(server, known) if e["CurrencyIsoCode"] == "USD").count(8.0) == 1
    assert entries(server, str(done[4].vendor_id)) == []


def test_a_price_that_somebody_else_made_meanwhile_is_changed(
    server: SandboxServer, salesforce: SalesforceConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = server.sandbox.org.live("Product2")[0]["Id"]
    looked = StandardPrices._entries
    monkeypatch.setattr(StandardPrices, "_entries", _blind_at_first(looked))
    (done,) = salesforce.upsert("Product2", [Outgoing("k", {PRICE: 11}, known)])
    assert done.error is None
    assert 11.0 in [e["UnitPrice"] for e in entries(server, known)]


def _blind_at_first(looked: Any) -> Any:
    seen: list[bool] = []

    def entries_(self: Any, products: Any, currency: Any) -> Any:
        seen.append(True)
        return {} if len(seen) == 1 else looked(self, products, currency)

    return entries_


def test_a_changed_price_lists_its_product_and_other_entries_do_not(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    org = server.sandbox
    *_, last = salesforce.read(ReadRequest("Product2", ("Id", PRICE)))
    org.clock.advance(600)
    product = org.org.live("Product2")[1]["Id"]
    standard = {b["Id"] for b in org.org.live("Pricebook2") if b.get("IsStandard")}
    by_kind = {(e["Pricebook2Id"] in standard, e["CurrencyIsoCode"]): e["Id"] for e in entries(server, product)}
    org.edit({"object": "PricebookEntry", "id": by_kind[True, "EUR"], "properties": {"UnitPrice": 3.0}})
    pages = list(salesforce.read(ReadRequest("Product2", ("Id", PRICE), last.cursor)))
    assert product not in {row[0] for page in pages for row in page.rows}
    org.edit({"object": "PricebookEntry", "id": by_kind[True, "USD"], "properties": {"UnitPrice": 4.0}})
    pages = list(salesforce.read(ReadRequest("Product2", ("Id", PRICE), last.cursor)))
    assert (product, 4.0) in [row for page in pages for row in page.rows]
    pages = list(salesforce.read(ReadRequest("Product2", ("Id", "Name"), last.cursor)))
    assert product not in {row[0] for page in pages for row in page.rows}, (
        "who does not ask for prices hears nothing of them"
    )


def test_a_price_of_another_book_is_not_the_price_of_the_product(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    org = server.sandbox.org
    standard = {b["Id"] for b in org.live("Pricebook2") if b.get("IsStandard")}
    dollars = [e for e in org.live("PricebookEntry") if e["CurrencyIsoCode"] == "USD"]
    product = next(e["Product2Id"] for e in dollars if e["Pricebook2Id"] not in standard)
    for entry in dollars:
        if entry["Product2Id"] == product and entry["Pricebook2Id"] in standard:
            org.tables["PricebookEntry"].pop(entry["Id"])
    (page,) = salesforce.read(ReadRequest("Product2", ("Id", PRICE), ids=(product,)))
    assert list(page.rows) == [(product, None)]


def test_products_that_were_written_are_told_whatever_becomes_of_their_prices(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    org = server.sandbox.org
    known = org.live("Product2")[0]["Id"]
    for entry in entries(server, known):
        org.tables["PricebookEntry"].pop(entry["Id"])
    for book in [b for b in org.live("Pricebook2") if b.get("IsStandard")]:
        org.tables["Pricebook2"].pop(book["Id"])
    made, priced = salesforce.upsert(
        "Product2", [Outgoing("new", {"Name": "Made"}), Outgoing("price", {"Name": "Renamed", PRICE: 8}, known)]
    )
    assert (made.error, made.created) == (None, True)
    assert (priced.error is not None and priced.error.code, priced.vendor_id) == ("no_price", known)
    assert org.live("Product2")[0]["Name"] == "Renamed"


def test_a_price_of_a_product_that_was_refused_is_not_tried(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    known = server.sandbox.org.live("Product2")[0]["Id"]
    before = sorted(str(e["UnitPrice"]) for e in entries(server, known))
    (done,) = salesforce.upsert("Product2", [Outgoing("bad", {"Name": None, PRICE: 4_711}, known)])
    assert done.error is not None
    assert sorted(str(e["UnitPrice"]) for e in entries(server, known)) == before


def test_a_new_entry_is_in_the_currency_of_the_org(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    (done,) = salesforce.upsert("Product2", [Outgoing("new", {"Name": "New", PRICE: 5})])
    assert [(e["UnitPrice"], e["CurrencyIsoCode"]) for e in entries(server, str(done.vendor_id))] == [(5.0, "USD")]
