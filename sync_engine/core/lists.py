"""Three-way merge of list-valued fields: what each side added and removed since they last agreed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sync_engine.core.model import ListKind


def merge_lists(base: Sequence[Any] | None, hub: Sequence[Any] | None, vendor: Sequence[Any] | None) -> list[Any]:
    """The hub's items in the hub's order, without what the vendor removed, then what the vendor added, in its order."""
    agreed, ours, theirs = list(base or ()), list(hub or ()), list(vendor or ())
    kept = [item for item in ours if item in theirs or item not in agreed]
    added = [item for item in theirs if item not in agreed and item not in kept]
    return _distinct(kept + added)


def same_list(kind: ListKind, left: Sequence[Any] | None, right: Sequence[Any] | None) -> bool:
    """Whether two lists say the same: in any order for a set."""
    a, b = _distinct(left or ()), _distinct(right or ())
    if kind is ListKind.SEQUENCE:
        return list(left or ()) == list(right or ())
    return len(a) == len(b) and all(item in b for item in a)


def _distinct(items: Sequence[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if item not in result:
            result.append(item)
    return result
