"""Lines of sales and the price book entries that Salesforce asks for."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.salesforce.connector import SalesforceConnector
from domain.records import Outgoing
from sandbox.salesforce.server import SandboxServer

CLOSE = {"StageName": "Prospecting", "CloseDate": "2031-01-01"}


def sale(server: SandboxServer, **more: Any) -> str:
    org = server.sandbox
    made = org.edit(
        {"object": "Opportunity", "properties": {"Name": "Sale", "CurrencyIsoCode": "USD", **CLOSE, **more}}
    )
    return str(made["id"])


def entries(server: SandboxServer, *, standard: bool, currency: str) -> list[Any]:
    org = server.sandbox.org
    books = {b["Id"] for b in org.live("Pricebook2") if bool(b.get("IsStandard")) is standard}
    return [e for e in org.live("PricebookEntry") if e["Pricebook2Id"] in books and e["CurrencyIsoCode"] == currency]


def line(sale_id: str, product: str | None) -> Outgoing:
    values = {"OpportunityId": sale_id, "Quantity": 1, "UnitPrice": 2}
    return Outgoing(f"{sale_id}/{product}", values | ({} if product is None else {"Product2Id": product}))


@pytest.mark.parametrize(("standard", "currency"), [(True, "USD"), (True, "EUR"), (False, "USD")])
def test_a_line_gets_the_entry_of_its_sales_book_and_currency(
    server: SandboxServer, salesforce: SalesforceConnector, standard: bool, currency: str
) -> None:
    entry = entries(server, standard=standard, currency=currency)[0]
    book = {} if standard else {"Pricebook2Id": entry["Pricebook2Id"]}
    (done,) = salesforce.upsert(
        "OpportunityLineItem", [line(sale(server, CurrencyIsoCode=currency, **book), entry["Product2Id"])]
    )
    assert done.error is None
    row = server.sandbox.org.get("OpportunityLineItem", done.vendor_id or "")
    assert (row["PricebookEntryId"], row["Product2Id"]) == (entry["Id"], entry["Product2Id"])  # type: ignore[index]


def test_lines_without_a_price_are_refused_and_the_others_written_in_their_places(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    entry = entries(server, standard=True, currency="USD")[0]
    here, abroad = sale(server), sale(server, CurrencyIsoCode="JPY")
    named = Outgoing("named", {"OpportunityId": here, "Quantity": 1, "PricebookEntryId": entry["Id"]})
    lines = [line(abroad, entry["Product2Id"]), line(here, entry["Product2Id"]), line(here, None), named]
    done = salesforce.upsert("OpportunityLineItem", lines)
    assert [getattr(d.error, "code", None) for d in done] == ["no_price", None, "no_price", None]
    assert [d.key for d in done] == [one.key for one in lines]
    assert len(server.sandbox.org.live("OpportunityLineItem")) >= 2


def test_an_update_of_a_line_looks_nothing_up(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    known = server.sandbox.org.live("OpportunityLineItem")[0]
    server.sandbox.journal.clear()
    (done,) = salesforce.upsert("OpportunityLineItem", [Outgoing("k", {"Quantity": 7}, known["Id"])])
    assert done.error is None
    assert not [e for e in server.sandbox.journal.entries if "query" in e["path"]]
