"""The price book entry of a sale's line, which Salesforce asks for where other systems know a product alone.

https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_opportunitylineitem.htm
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.org import Org
from domain.errors import RecordRejectedError
from domain.records import Outgoing, WriteResult

LINE, ENTRY = "OpportunityLineItem", "PricebookEntryId"
IDS_PER_QUERY = 200

Key = tuple[str, str, str | None]
"""A product in a price book in a currency; None in an org of one currency."""


class Prices:
    """Looks prices up in one org."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def complete(self, lines: Sequence[Outgoing], currencies: bool) -> tuple[list[Outgoing], dict[int, WriteResult]]:
        """New lines with the entry of their product, by place; and the refusals of those whose product has no price there.

        The entry is of the sale's own price book, or of the standard one where it has none yet, in the sale's currency.
        ``currencies``: whether the org has more than one. What is not new, or names its entry, stays as it is.
        """
        lacking = [one for one in lines if one.vendor_id is None and not one.values.get(ENTRY)]
        if not lacking:
            return list(lines), {}
        sales = self._sales([str(one.values.get("OpportunityId") or "") for one in lacking], currencies)
        entries = self._entries([str(one.values.get("Product2Id") or "") for one in lacking], currencies)
        done: list[Outgoing] = []
        refused: dict[int, WriteResult] = {}
        for place, one in enumerate(lines):
            entry = None
            if one in lacking:
                book, currency = sales.get(str(one.values.get("OpportunityId") or "")[:15], ("", None))
                entry = entries.get((str(one.values.get("Product2Id") or "")[:15], book, currency))
                if entry is None:
                    refused[place] = WriteResult(one.key, None, error=_no_price())
            values = {n: v for n, v in one.values.items() if n != "Product2Id"} | {ENTRY: entry}
            done.append(one if entry is None else replace(one, values=values))
        return done, refused

    def _sales(self, ids: Sequence[str], currencies: bool) -> Mapping[str, tuple[str, str | None]]:
        """Price book (the standard one's name is "") and currency of each sale."""
        fields = ("Id", "Pricebook2Id", *(("CurrencyIsoCode",) if currencies else ()))
        return {
            str(sale["Id"])[:15]: (str(sale.get("Pricebook2Id") or "")[:15], sale.get("CurrencyIsoCode"))
            for sale in self._found("Opportunity", fields, "Id", ids)
        }

    def _entries(self, products: Sequence[str], currencies: bool) -> Mapping[Key, str]:
        fields = (
            "Id",
            "Product2Id",
            "Pricebook2Id",
            "Pricebook2.IsStandard",
            *(("CurrencyIsoCode",) if currencies else ()),
        )
        found: dict[Key, str] = {}
        for entry in self._found("PricebookEntry", fields, "Product2Id", products, "IsActive = true"):
            product, currency = str(entry["Product2Id"])[:15], entry.get("CurrencyIsoCode")
            found[product, str(entry["Pricebook2Id"])[:15], currency] = str(entry["Id"])
            if (entry.get("Pricebook2") or {}).get("IsStandard"):
                found[product, "", currency] = str(entry["Id"])
        return found

    def _found(
        self, name: str, fields: Sequence[str], key: str, ids: Sequence[str], where: str = ""
    ) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for chunk in soql.chunks(sorted({i for i in ids if i}), IDS_PER_QUERY):
            found += self._org.query_all(soql.select(name, fields, where=(where, soql.among(key, chunk))))
        return found


def _no_price() -> RecordRejectedError:
    return RecordRejectedError(
        "The product has no active price in the sale's price book and currency. Object: OpportunityLineItem.",
        remedy="Add the product to that price book, or to the standard one where the sale has none, and replay the record.",
        code="no_price",
        context={"object": LINE, "field": ENTRY},
    )
