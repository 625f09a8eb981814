"""Fill a portal. One seed and one size give one portal, on every machine and every day."""

from __future__ import annotations

import random

from sandbox.hubspot.data.basics import basics
from sandbox.hubspot.portal import Portal


def generate(portal: Portal, contacts: int, seed: int) -> None:
    """Zero contacts: an empty portal with its owners and its first pipelines."""
    rng = random.Random(seed)
    basics(portal, rng)
