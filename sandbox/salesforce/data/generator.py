"""Fill an org. One seed and one size give one org, on every machine and every day."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sandbox.salesforce.data.basics import basics
from sandbox.salesforce.data.people import accounts, contacts, leads
from sandbox.salesforce.data.seeder import Seeder
from sandbox.salesforce.org import Org


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
    firms = accounts(seed, max(1, options.contacts // 5))
    people = contacts(seed, options.contacts, firms)
    leads(seed, options.contacts // 4, people)
