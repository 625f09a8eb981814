"""Products, and the lines of sales, which need a product, a sale, and in Salesforce a price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.syncing.conftest import Both
from tests.syncing.test_opportunities import PORTAL, new_in_salesforce, opportunity


@pytest.fixture
def lines(both: Both) -> Both:
    """Products, sales and their lines of both vendors, exchanged once."""
    for name in ("OpportunityLineItem", "Opportunity"):  # a sale of the test's own is enough
        for row in both.salesforce.sandbox.org.live(name):
            both.edit("salesforce", object=name, id=row["Id"], delete=True)
    for kind in ("deals", "line_items"):
        for record in list(both.hubspot.portal.live(kind)):
            both.edit("hubspot", object=kind, id=record.id, delete=True)
    both.add("org", "--object", "Product2", "--object", "Opportunity", "--object", "OpportunityLineItem")
    named = [part for name in PORTAL for part in ("--stage", name)]
    both.add(
        "portal", "--object", "products", "--object", "deals", "--object", "line_items", *named, "--make-key-field"
    )
    return both


def line_there(both: Both, hubspot_id: str) -> dict[str, str]:
    found = both.hubspot.portal.find_live("line_items", hubspot_id)
    return {} if found is None else found.values


def line_here(both: Both, salesforce_id: str) -> Any:
    return both.salesforce.sandbox.org.get("OpportunityLineItem", salesforce_id)


def priced(both: Both, currency: str = "USD") -> Any:
    """An entry of the standard price book whose product is sold."""
    org = both.salesforce.sandbox.org
    standard = next(b["Id"] for b in org.live("Pricebook2") if b.get("IsStandard"))
    entries = [e for e in org.live("PricebookEntry") if e["Pricebook2Id"] == standard]
    return next(e for e in entries if e["CurrencyIsoCode"] == currency)


def test_a_line_is_the_same_on_all_three_sides_whoever_changes_it(lines: Both) -> None:
    sale = new_in_salesforce(lines, CurrencyIsoCode="USD")
    values = {"OpportunityId": sale, "PricebookEntryId": priced(lines)["Id"], "Quantity": 2.0, "UnitPrice": 100.0}
    here = str(lines.edit("salesforce", object="OpportunityLineItem", properties=values)["id"])
    lines.sync()
    _, there = lines.ids("line_item", here)
    _, deal = lines.ids("opportunity", sale)
    found = line_there(lines, there)
    assert (found["quantity"], found["price"]) == ("2", "100")
    assert found["hs_product_id"] == lines.ids("product", priced(lines)["Product2Id"])[1]
    assert list(lines.hubspot.portal.associations.targets("line_items", there, "deals")) == [deal]
    assert lines.hubspot.portal.find_live("deals", deal).values["amount"] == "200", "the sum of the lines"
    lines.assert_silent()

    lines.edit("hubspot", object="line_items", id=there, properties={"quantity": "3", "hs_discount_percentage": "10"})
    lines.sync()
    assert (line_here(lines, here)["Quantity"], line_here(lines, here)["Discount"]) == (3.0, 10.0)
    assert opportunity(lines, sale)["Amount"] == 270.0
    known = lines.told("line_item", here)
    lines.edit_hub("line_item", known["entity_id"], unit_price=Decimal("50.5"))
    lines.sync()
    assert (line_here(lines, here)["UnitPrice"], line_there(lines, there)["price"]) == (50.5, "50.5")
    lines.assert_silent()
    assert lines.told("line_item", here)["conflicts"] == []

    lines.edit("salesforce", object="OpportunityLineItem", id=here, delete=True)
    lines.sync()
    assert line_there(lines, there) == {}


def test_a_line_of_hubspot_finds_its_price_in_salesforce(lines: Both) -> None:
    sale = new_in_salesforce(lines, CurrencyIsoCode="EUR")
    lines.sync()
    _, deal = lines.ids("opportunity", sale)
    _, product = lines.ids("product", priced(lines)["Product2Id"])
    sold = {"name": "Sold", "hs_product_id": product, "quantity": "4", "price": "25"}
    made = lines.edit("hubspot", object="line_items", properties={**sold, "hs_line_item_currency_code": "EUR"})
    lines.link_in_hubspot("line_items", made["id"], "deals", deal)
    lines.sync()
    here, _ = lines.ids("line_item", made["id"])
    found = line_here(lines, here)
    assert (found["OpportunityId"], found["Quantity"], found["UnitPrice"]) == (sale, 4.0, 25.0)
    assert found["PricebookEntryId"] == priced(lines, "EUR")["Id"]
    lines.assert_silent()
    assert lines.told("line_item", here)["conflicts"] == []
    lines.edit("hubspot", object="deals", id=deal, delete=True)
    lines.sync()
    lines.sync()  # Salesforce tells what went with the sale
    assert line_here(lines, here)["IsDeleted"], "Salesforce deletes the lines with their sale"
    assert line_there(lines, made["id"]) == {}
    assert lines.letters() == []


def test_a_new_product_and_a_line_of_it_that_has_no_price(lines: Both) -> None:
    sale = new_in_salesforce(lines, CurrencyIsoCode="USD")
    product = lines.edit("hubspot", object="products", properties={"name": "Brand new", "hs_sku": "NEW-1"})
    lines.sync()
    known = lines.ids("product", product["id"])[0]
    row = lines.salesforce.sandbox.org.get("Product2", known)
    assert (row["Name"], row["StockKeepingUnit"]) == ("Brand new", "NEW-1")
    _, deal = lines.ids("opportunity", sale)
    made = lines.edit(
        "hubspot", object="line_items", properties={"hs_product_id": product["id"], "quantity": "1", "price": "9"}
    )
    lines.link_in_hubspot("line_items", made["id"], "deals", deal)
    lines.sync()
    (letter,) = lines.letters()
    assert (letter["code"], letter["object"]) == ("no_price", "OpportunityLineItem")
    lines.edit("hubspot", object="products", id=product["id"], properties={"price": "8"})
    lines.sync()
    assert lines.syncline("dead-letters", "replay", letter["id"]).code == 0
    lines.sync()
    assert line_here(lines, lines.ids("line_item", made["id"])[0])["TotalPrice"] == 9.0
    assert lines.letters() == []
