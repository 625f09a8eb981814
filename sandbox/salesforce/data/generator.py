"""Fill an org. One seed and one size give one org, on every machine and every day."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sandbox.salesforce.data.basics import basics
from sandbox.salesforce.data.people import accounts, contacts, leads, relations
from sandbox.salesforce.data.sales import campaigns, opportunities, products
from sandbox.salesforce.data.seeder import Seeder
from sandbox.salesforce.data.service import activities, cases, files, properties
from sandbox.salesforce.org import Org
from sandbox.salesforce.shared import seeded


@dataclass(frozen=True, slots=True)
class DataOptions:
    """``contacts`` sets the size of everything else. Zero leaves the org with its users and its set-up only."""

    contacts: int
    seed: int
    username: str


def generate(org: Org, options: DataOptions) -> None:
    seed = Seeder(org, random.Random(options.seed))
    basics(seed, options.username, users=12)
    if not options.contacts:
        return
    size = options.contacts
    firms = accounts(seed, max(1, size // 5))
    people = contacts(seed, size, firms)
    relations(seed, people, firms)
    prospects = leads(seed, size // 4, people)
    fairs = campaigns(seed, min(60, 1 + size // 100), people, prospects)
    sales = opportunities(seed, size * 3 // 10, people, products(seed), fairs)
    activities(seed, size // 2, people, prospects, sales)
    seeded(org)
    cases(seed, size // 10, people)
    files(seed, min(400, 6 + size // 50), people, sales)
    properties(seed, min(500, 10 + size // 40), people)
