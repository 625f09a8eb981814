"""As what a record is associated: one text ``<id of the associated record> <label>``, which a set merges pair by pair.

No id holds a space, neither the hub's nor a vendor's; a label may.
"""

from __future__ import annotations

from uuid import UUID


def joined(record: UUID | str, label: str) -> str:
    """Id and label as one text."""
    return f"{record} {label}"


def split(pair: str) -> tuple[str, str]:
    """Id and label of one text."""
    record, _, label = pair.partition(" ")
    return record, label
