"""Fill a portal. One seed and one size give one portal, on every machine and every day."""

from __future__ import annotations

import random

from sandbox.hubspot.data.activities import activities, attachments, lists
from sandbox.hubspot.data.basics import custom_schema, owners
from sandbox.hubspot.data.people import companies, contacts, count_associates
from sandbox.hubspot.data.sales import deals, machines, products, quotes, tickets
from sandbox.hubspot.data.seeder import Seeder
from sandbox.hubspot.portal import Portal


def generate(portal: Portal, size: int, seed: int) -> None:
    """``size`` contacts and the rest in proportion. Zero: an empty portal, its owners and its first pipelines."""
    seeder = Seeder(portal, random.Random(seed))
    seeder.owners = owners(portal)
    if not size:
        return
    custom_schema(portal)
    firms = companies(seeder, max(1, size // 5))
    people = contacts(seeder, size, firms)
    sales = deals(seeder, size * 3 // 10, people, products(seeder))
    quotes(seeder, sales)
    cases = tickets(seeder, size // 10, people)
    machines(seeder, size // 20, firms)
    notes = activities(seeder, size // 2, people, sales, cases)
    attachments(seeder, notes, min(200, 4 + size // 50))
    lists(seeder, people)
    count_associates(seeder)
