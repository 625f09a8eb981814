"""What a portal has before its first customer: its users as owners."""

from __future__ import annotations

import random

from sandbox.hubspot.owners import Owner
from sandbox.hubspot.portal import Portal
from sandbox.hubspot.times import to_ms
from sandbox.kit.clock import ANCHOR

_PEOPLE = (
    ("Ada", "Admin"), ("Priya", "Raman"), ("Jörg", "Müller"), ("Sofía", "Núñez"), ("Kenji", "山本"), ("Tom", "O'Brien"),
)  # fmt: skip
YEAR_MS = 365 * 86_400_000


def basics(portal: Portal, rng: random.Random) -> None:
    """Six owners; the last has left."""
    for number, (first, last) in enumerate(_PEOPLE):
        created = to_ms(ANCHOR) - 4 * YEAR_MS + rng.randrange(YEAR_MS)
        owner = Owner(
            portal.counters.next("owners", 41_000_001),
            f"owner{number}@syncline.example",
            first,
            last,
            9_000_101 + number,
            created,
        )
        owner.archived = number == len(_PEOPLE) - 1
        portal.owners[owner.id] = owner
