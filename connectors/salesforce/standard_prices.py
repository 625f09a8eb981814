"""The price of a product, which Salesforce keeps in a record of its own: the entry of the standard price book.

Other systems know one price of a product. Here it is the standard price book's entry in the org's own currency (the corporate
one, where there are several), seen from the product: two fields of Product2 that Salesforce itself does not have. Entries of
other price books and in other currencies are left alone.

https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_pricebookentry.htm
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.errors import vendor_code
from connectors.salesforce.objects import IDS_PER_QUERY
from connectors.salesforce.org import Org
from domain.entities import Kind
from domain.errors import RecordRejectedError, SynclineError
from domain.records import FieldSchema, ObjectSchema, Option, Outgoing, WriteResult

PRODUCT, ENTRY = "Product2", "PricebookEntry"
PRICE, CURRENCY = "PricebookEntries.UnitPrice", "PricebookEntries.CurrencyIsoCode"
"""Named as Salesforce names the way from a product to its entries."""
FIELDS = (PRICE, CURRENCY)

Send = Callable[[str, Sequence[Outgoing]], Sequence[WriteResult]]
"""Writes records of an object."""


def with_price(product: ObjectSchema, entry: ObjectSchema, corporate: str | None) -> ObjectSchema:
    """Product2's schema with its price. ``corporate``: the currency of the org, None where it has no other.

    A price is written once its product stands, for it is a record of its own; and Salesforce takes none that is blank.
    """
    known = entry.field("UnitPrice")
    price = replace(known, name=PRICE, label="Standard Price", createable=False)
    fields = [*product.fields, replace(price, updateable=known.updateable and entry.writable)]
    if corporate is not None:
        only = (Option(corporate, corporate),)
        fields.append(
            FieldSchema(CURRENCY, Kind.TEXT, "Currency of the Standard Price", "picklist", options=only, closed=True)
        )
    return replace(product, fields=tuple(fields))


def currency_of(product: ObjectSchema) -> str | None:
    """The currency that `with_price` was told."""
    return product.field(CURRENCY).options[0].value if CURRENCY in product.field_names else None


class StandardPrices:
    """Reads and writes standard prices of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._book: str | None = None

    def fill(self, products: Sequence[dict[str, Any]], currency: str | None) -> None:
        """Give product records their price: of the entry, whether it is active or not, blank where there is none."""
        entries = self._entries([str(p["Id"]) for p in products], currency)
        for product in products:
            entry = entries.get(str(product["Id"])[:15])
            product[PRICE] = None if entry is None else entry["UnitPrice"]
            if currency is not None:
                product[CURRENCY] = currency

    def changed(self, since: datetime, currency: str | None) -> list[str]:
        """Products whose entry came or changed since, which does not move the product's own stamp."""
        where = (*_standard(currency), soql.since("SystemModstamp", since))
        found = self._org.query_all(soql.select(ENTRY, ("Product2Id",), where=where), include_deleted=True)
        return sorted({str(entry["Product2Id"]) for entry in found})

    def write(self, products: Sequence[Outgoing], currency: str | None, send: Send) -> list[WriteResult]:
        """Write products, and the prices among their values as entries: changed where one stands, made where none does.

        ``send`` writes plain records. A product is written before its price, which is not tried where that failed.
        """
        plain = [_without_price(one) for one in products]
        ready = [place for place, one in enumerate(plain) if one.values or one.vendor_id is None]
        results = [WriteResult(one.key, one.vendor_id, created=False) for one in products]
        for place, result in zip(ready, send(PRODUCT, [plain[p] for p in ready]) if ready else (), strict=True):
            results[place] = result
        priced = {
            place: (result.vendor_id, products[place].values[PRICE])
            for place, result in enumerate(results)
            if result.ok and result.vendor_id and products[place].values.get(PRICE) is not None
        }
        try:
            failed = self._price(priced, currency, send) if priced else {}
        except SynclineError as error:  # the products are written, and whoever wrote them has to hear so
            failed = dict.fromkeys(priced, error)
        return [replace(result, error=failed.get(place, result.error)) for place, result in enumerate(results)]

    def _price(self, priced: Mapping[int, tuple[str, Any]], currency: str | None, send: Send) -> dict[int, Exception]:
        """Send prices, by place. Of one that somebody else made in the meantime, what stands is changed after all."""
        failed = self._send(priced, currency, send)
        standing = {place: priced[place] for place, error in failed.items() if _stands(error)}
        if standing:
            failed = {place: error for place, error in failed.items() if place not in standing}
            failed |= self._send(standing, currency, send)
        return failed

    def _send(self, priced: Mapping[int, tuple[str, Any]], currency: str | None, send: Send) -> dict[int, Exception]:
        entries = self._entries([product for product, _ in priced.values()], currency)
        writes = []
        for place, (product, price) in priced.items():
            entry = entries.get(product[:15])
            values = {"UnitPrice": price} if entry is not None else self._new(product, price, currency)
            writes.append(Outgoing(str(place), values, None if entry is None else str(entry["Id"])))
        results = send(ENTRY, writes)
        return {int(r.key): r.error for r in results if r.error is not None}

    def _new(self, product: str, price: Any, currency: str | None) -> dict[str, Any]:
        values = {"Pricebook2Id": self._standard_book(), "Product2Id": product, "UnitPrice": price, "IsActive": True}
        return values if currency is None else {**values, "CurrencyIsoCode": currency}

    def _standard_book(self) -> str:
        """The id of the standard price book: by what it is, for an admin may give it any name."""
        if self._book is None:
            found = list(self._org.query_all(soql.select("Pricebook2", ("Id",), where=("IsStandard = true",))))
            if not found:
                raise RecordRejectedError(
                    "The org has no standard price book that the connected user may read.",
                    remedy="Give the user read access to price books, and replay the record.",
                    code="no_price",
                    context={"object": PRODUCT, "field": PRICE},
                )
            self._book = str(found[0]["Id"])
        return self._book

    def _entries(self, products: Sequence[str], currency: str | None) -> Mapping[str, Mapping[str, Any]]:
        """The standard entry of each product, by the first 15 characters of its id; of several the oldest."""
        found: dict[str, Mapping[str, Any]] = {}
        for chunk in soql.chunks(sorted(set(products)), IDS_PER_QUERY):
            where = (*_standard(currency), soql.among("Product2Id", chunk))
            query = soql.select(ENTRY, ("Id", "Product2Id", "UnitPrice"), where=where, order=("Id",))
            for entry in self._org.query_all(query):
                found.setdefault(str(entry["Product2Id"])[:15], entry)
        return found


def _standard(currency: str | None) -> tuple[str, ...]:
    where = ("Pricebook2.IsStandard = true",)
    return where if currency is None else (*where, soql.among("CurrencyIsoCode", [currency]))


def _without_price(product: Outgoing) -> Outgoing:
    return replace(product, values={n: v for n, v in product.values.items() if n not in FIELDS})


def _stands(error: Exception) -> bool:
    """Whether an entry of that product, price book and currency is there already: an inactive one counts, too."""
    return isinstance(error, SynclineError) and vendor_code(error) in ("DUPLICATE_VALUE", "FIELD_INTEGRITY_EXCEPTION")
