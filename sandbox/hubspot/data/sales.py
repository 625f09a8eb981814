"""Deals in two pipelines, products and line items, quotes, tickets, and machines: an object of the portal's own."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.data.seeder import Seeder
from sandbox.hubspot.records import Record
from sandbox.kit import words

CURRENCIES = ("USD", "USD", "USD", "EUR", "GBP", "JPY")


def products(seed: Seeder) -> list[Record]:
    return [
        seed.put(
            "products",
            {"name": name, "hs_sku": f"SKU-{number:04d}", "price": seed.amount(), "description": seed.maybe(3, name)},
        )
        for number, name in enumerate(words.PRODUCTS)
    ]


def deals(seed: Seeder, count: int, people: list[Record], catalogue: list[Record]) -> list[Record]:
    made = []
    for number in range(count):
        deal = seed.put("deals", _deal(seed, number))
        person = seed.pick(people)
        seed.link("deals", deal, "contacts", person)
        company = person.values.get("associatedcompanyid")
        if company:
            seed.link("deals", deal, "companies", seed.portal.tables["companies"][company])
        for _ in range(int(seed.rng.random() * 3)):
            _line(seed, deal, seed.pick(catalogue))
        made.append(deal)
    return made


def _deal(seed: Seeder, number: int) -> dict[str, Any]:
    pipeline = seed.pick(list(seed.portal.pipelines["deals"].values()))
    return {
        "dealname": f"{seed.pick(words.STEMS)} – {seed.pick(words.PRODUCTS)} {number}",
        "pipeline": pipeline.id,
        "dealstage": seed.pick(list(pipeline.stages)),
        "amount": seed.amount() if not seed.one_in(15) else "",
        "deal_currency_code": seed.pick(CURRENCIES),
        "closedate": seed.moment() if not seed.one_in(12) else "",
        "dealtype": seed.pick(("newbusiness", "existingbusiness", "")),
        "hubspot_owner_id": seed.owner(),
        "renewal_date": seed.maybe(4, seed.date(back=10, ahead=700)),
        "description": seed.maybe(4, seed.pick(words.TEXTS)),
    }


def _line(seed: Seeder, deal: Record, product: Record) -> None:
    """One in ten is a position of its own, without a product."""
    values = {
        "name": product.values["name"],
        "price": product.values["price"],
        "quantity": 1 + int(seed.rng.random() * 9),
    }
    if not seed.one_in(10):
        values["hs_product_id"] = product.id
    line = seed.put("line_items", values | {"hs_line_item_currency_code": deal.values["deal_currency_code"]})
    seed.link("deals", deal, "line_items", line)


def quotes(seed: Seeder, sales: list[Record]) -> None:
    for number, deal in enumerate(sales[::6]):
        values = {
            "hs_title": f"Quote {number:05d}",
            "hs_expiration_date": seed.date(back=30),
            "hs_status": seed.pick(("DRAFT", "APPROVED")),
        }
        quote = seed.put("quotes", values | {"hs_currency": deal.values["deal_currency_code"], "hs_terms": seed.html()})
        seed.link("quotes", quote, "deals", deal)


def tickets(seed: Seeder, count: int, people: list[Record]) -> list[Record]:
    made = []
    for _ in range(count):
        values = {
            "subject": seed.pick(words.SUBJECTS),
            "content": seed.pick(words.TEXTS),
            "hs_pipeline": "0",
            "hs_pipeline_stage": seed.pick(("1", "2", "3", "4")),
            "hs_ticket_priority": seed.pick(("LOW", "MEDIUM", "HIGH", "")),
            "hs_ticket_category": seed.pick(("PRODUCT_ISSUE", "BILLING_ISSUE;GENERAL_INQUIRY", "")),
            "hubspot_owner_id": seed.owner(),
        }
        made.append(seed.put("tickets", values))
        seed.link("tickets", made[-1], "contacts", seed.pick(people))
    return made


def machines(seed: Seeder, count: int, firms: list[Record]) -> None:
    for number in range(count):
        values = {
            "serial_number": f"M-{number:07d}",
            "model": seed.pick(words.PRODUCTS),
            "installed_on": seed.date(),
            "status": seed.pick(("running", "idle", "scrapped")),
            "operating_hours": int(seed.rng.random() * 40_000),
        }
        machine = seed.put("machines", values)
        if firms:
            seed.link("machines", machine, "companies", seed.pick(firms))
