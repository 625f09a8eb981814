"""The price of a product: HubSpot's unit price, and Salesforce's entry of the standard price book in the corporate currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.syncing.conftest import Both


@pytest.fixture
def catalogue(both: Both) -> Both:
    """Products of both vendors, and Salesforce's prices as records of their own, none exchanged yet."""
    both.add("org", "--object", "Product2", "--object", "PricebookEntry")
    both.add("portal", "--object", "products", "--make-key-field")
    return both


def entries(both: Both, product: str) -> dict[tuple[bool, str], Any]:
    """The price book entries of a product of Salesforce by (of the standard book, currency)."""
    org = both.salesforce.sandbox.org
    return {
        (bool(org.tables["Pricebook2"][e["Pricebook2Id"]].get("IsStandard")), e["CurrencyIsoCode"]): e
        for e in org.live("PricebookEntry")
        if e["Product2Id"] == product
    }


def standard(both: Both, product: str) -> Any:
    return entries(both, product)[True, "USD"]


def price_there(both: Both, product: str) -> str | None:
    found = both.hubspot.portal.find_live("products", product)
    assert found is not None
    return found.values.get("price")


def held(told: Any, name: str) -> Any:
    """What the hub says in a field of a record that `explain` told of."""
    return next((f["value"] for f in told["fields"] if f["field"] == name), None)


def made_in_hubspot(both: Both, **values: str) -> tuple[str, str]:
    """A new product of HubSpot's, exchanged: its Salesforce id and its own."""
    made = both.edit("hubspot", object="products", properties={"name": "Anvil", "hs_sku": "A-1", **values})
    both.sync()
    return both.ids("product", made["id"], "products")


def test_prices_of_salesforce_are_those_of_hubspot_from_the_first_exchange_on(catalogue: Both) -> None:
    catalogue.sync()
    for product in catalogue.salesforce.sandbox.org.live("Product2"):
        _, there = catalogue.ids("product", product["Id"])
        assert Decimal(price_there(catalogue, there) or "0") == Decimal(
            str(standard(catalogue, product["Id"])["UnitPrice"])
        )
    catalogue.assert_silent()
    assert catalogue.letters() == []


def test_a_price_is_the_same_on_all_three_sides_whoever_changes_it(catalogue: Both) -> None:
    here, there = made_in_hubspot(catalogue, price="9.5")
    entry = standard(catalogue, here)
    assert (entry["UnitPrice"], entry["IsActive"]) == (9.5, True)
    assert list(entries(catalogue, here)) == [(True, "USD")], "one entry, and no other"
    known = catalogue.told("product", here)
    assert held(known, "unit_price") == "9.5"
    catalogue.assert_silent()

    catalogue.edit("salesforce", object="PricebookEntry", id=entry["Id"], properties={"UnitPrice": 12.0})
    catalogue.sync()
    assert price_there(catalogue, there) == "12"
    catalogue.edit("hubspot", object="products", id=there, properties={"price": "13"})
    catalogue.sync()
    assert standard(catalogue, here)["UnitPrice"] == 13.0
    catalogue.edit_hub("product", known["entity_id"], unit_price=Decimal("14.25"))
    catalogue.sync()
    assert (standard(catalogue, here)["UnitPrice"], price_there(catalogue, there)) == (14.25, "14.25")
    price = catalogue.told("price", entry["Id"])
    catalogue.edit_hub("price", price["entity_id"], unit_price=Decimal(15))
    catalogue.sync()
    assert (standard(catalogue, here)["UnitPrice"], price_there(catalogue, there)) == (15.0, "15")
    catalogue.assert_silent()
    told = catalogue.told("product", here)
    assert (held(told, "unit_price"), told["conflicts"]) == ("15", [])
    assert catalogue.letters() == []


def test_other_books_and_currencies_are_left_alone(catalogue: Both) -> None:
    catalogue.sync()
    product = next(
        p["Id"] for p in catalogue.salesforce.sandbox.org.live("Product2") if len(entries(catalogue, p["Id"])) == 3
    )
    before = {key: e["UnitPrice"] for key, e in entries(catalogue, product).items()}
    _, there = catalogue.ids("product", product)
    catalogue.edit("hubspot", object="products", id=there, properties={"price": "77"})
    euro = entries(catalogue, product)[True, "EUR"]["Id"]
    catalogue.edit("salesforce", object="PricebookEntry", id=euro, properties={"UnitPrice": 66.0})
    catalogue.sync()
    after = {key: e["UnitPrice"] for key, e in entries(catalogue, product).items()}
    assert after == before | {(True, "USD"): 77.0, (True, "EUR"): 66.0}
    assert price_there(catalogue, there) == "77"


def test_an_inactive_entry_keeps_its_box_and_a_price_that_is_taken_away_stays_in_salesforce(catalogue: Both) -> None:
    here, there = made_in_hubspot(catalogue, price="5")
    catalogue.edit(
        "salesforce", object="PricebookEntry", id=standard(catalogue, here)["Id"], properties={"IsActive": False}
    )
    catalogue.edit("hubspot", object="products", id=there, properties={"price": "6"})
    catalogue.sync()
    assert (standard(catalogue, here)["UnitPrice"], standard(catalogue, here)["IsActive"]) == (6.0, False)
    catalogue.edit("hubspot", object="products", id=there, properties={"price": ""})
    catalogue.sync()
    assert standard(catalogue, here)["UnitPrice"] == 6.0, "Salesforce knows no entry without a price"
    assert price_there(catalogue, there) in (None, "")
    catalogue.assert_silent()
    catalogue.edit("hubspot", object="products", id=there, properties={"price": "7"})
    catalogue.sync()
    assert standard(catalogue, here)["UnitPrice"] == 7.0
    assert catalogue.letters() == []


def test_a_product_without_price_has_no_entry_until_it_has_one(catalogue: Both) -> None:
    here, there = made_in_hubspot(catalogue)
    assert entries(catalogue, here) == {}
    catalogue.edit("hubspot", object="products", id=there, properties={"price": "3"})
    catalogue.sync()
    assert standard(catalogue, here)["UnitPrice"] == 3.0
    catalogue.assert_silent()


def test_a_price_in_another_currency_goes_nowhere_and_the_product_goes_all_the_same(
    catalogue: Both,
) -> None:
    for row in catalogue.salesforce.sandbox.org.tables["CurrencyType"].values():
        row["IsCorporate"] = row["IsoCode"] == "EUR"
    before = {p.id: p.values.get("price") for p in catalogue.hubspot.portal.live("products")}
    here, _ = made_in_hubspot(catalogue, price="9")
    assert entries(catalogue, here) == {}, "nine dollars are not nine euros"
    assert catalogue.letters() == []
    after = {p.id: p.values.get("price") for p in catalogue.hubspot.portal.live("products")}
    assert after == before | {i: "9" if i not in before and after[i] == "9" else before.get(i) for i in after}
    known = next(p["Id"] for p in catalogue.salesforce.sandbox.org.live("Product2") if entries(catalogue, p["Id"]))
    assert held(catalogue.told("product", known), "currency") == "EUR"
    catalogue.assert_silent()
