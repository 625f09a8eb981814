"""As what records are associated: the labels of one list, between a vendor's words and the hub's.

A field of labels is a sorted list of texts (see `domain.labels`): so it merges as a set, pair by pair. A
vendor tells and takes its own spelling; labels are the same where they differ in capitals alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from domain.labels import joined, split
from sync_engine.core.model import Failure

Labels = Mapping[str, Sequence[str]]
"""By associated record, its labels."""


def told(text: str) -> Labels:
    """The labels of a listing: see `connectors.kit.contract.Ends.labels`."""
    return json.loads(text) if text else {}


def pairs(labels: Labels) -> tuple[tuple[str, str], ...]:
    """(vendor id, label), in order."""
    return tuple(sorted((i, label) for i, of in labels.items() for label in of))


def changes(before: Collection[str], now: Collection[str]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What came and what went, as (id, label)."""
    return [split(p) for p in now if p not in before], [split(p) for p in before if p not in now]


def as_held(
    said: Iterable[str], here: Collection[str], known: Sequence[str], held: Iterable[str], *, single: bool
) -> tuple[list[str], list[str]]:
    """The labels that a vendor can hold of those that the hub says, in its spelling; and the labels that it does not have.

    ``here``: ids of the associated records that it has. ``known``: its labels; none: it has no labels at all, and nothing is
    missed. ``held``: what it last said. ``single``: it holds one label of a record: the one that it holds, or else the first.
    """
    spelled = {label.casefold(): label for label in known}
    found: dict[str, list[str]] = {}
    lacking: dict[str, None] = {}
    for pair in sorted(said):
        record, label = split(pair)
        if record not in here:
            continue
        if label.casefold() in spelled:
            found.setdefault(record, []).append(joined(record, spelled[label.casefold()]))
        elif known:
            lacking[label] = None
    kept = set(held)
    chosen = [p for of in found.values() for p in (sorted(of, key=lambda p: (p not in kept, p))[:1] if single else of)]
    return sorted(chosen), list(lacking)


def failure(field: str, lacking: Sequence[str]) -> Failure | None:
    """Says which labels have no counterpart."""
    if not lacking:
        return None
    named = ", ".join(f"“{label}”" for label in lacking)
    return Failure("no_counterpart", f"The vendor has no role or label {named}; the contact stays without it.", field)
