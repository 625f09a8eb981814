"""Three-way merge, field by field, against what both sides last agreed on.

A field that only one side changed takes that side's value. A field that both changed differently is a conflict: a value that
names the winner, the loser and the rule, and is never dropped. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.records import MISSING


class Policy(StrEnum):
    """Who wins a field that both sides changed."""

    HUB_WINS = "hub_wins"
    VENDOR_WINS = "vendor_wins"
    PREFER_NONBLANK = "prefer_nonblank"  # a value beats a blank; two values: the hub's


class Side(StrEnum):
    HUB = "hub"
    VENDOR = "vendor"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both sides changed ``field``; ``winner`` kept its value by ``rule``, the other side's is ``losing_value``."""

    field: str
    winner: Side
    rule: Policy
    winning_value: Any
    losing_value: Any


@dataclass(frozen=True, slots=True)
class Merge:
    """``to_hub``: fields whose vendor value the hub takes; ``to_vendor``: fields where the vendor lags behind the hub."""

    to_hub: Mapping[str, Any] = field(default_factory=dict)
    to_vendor: Mapping[str, Any] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()


def is_blank(value: Any) -> bool:
    """None, the empty text, the empty list and the empty object say nothing."""
    return value is None or value is MISSING or value in ("", [], {})


def merge(
    base: Mapping[str, Any] | None,
    hub: Mapping[str, Any],
    vendor: Mapping[str, Any],
    policy: Policy = Policy.HUB_WINS,
    policies: Mapping[str, Policy] | None = None,
) -> Merge:
    """Merge what ``vendor`` says into ``hub``. Only fields present in ``vendor`` are considered.

    ``base`` None means that the two were never compared: a field blank on one side takes the other's value, and where
    both have one the policy decides. A field missing from a base that exists was blank when they last agreed.
    """
    to_hub: dict[str, Any] = {}
    to_vendor: dict[str, Any] = {}
    conflicts: list[Conflict] = []
    for name, theirs in vendor.items():
        ours = hub.get(name)
        if _same(ours, theirs) or theirs is MISSING:
            continue
        rule = (policies or {}).get(name, policy)
        side, contested = _decide(base, name, ours, theirs, rule)
        (to_hub if side is Side.VENDOR else to_vendor)[name] = theirs if side is Side.VENDOR else ours
        if contested:
            winning, losing = (theirs, ours) if side is Side.VENDOR else (ours, theirs)
            conflicts.append(Conflict(name, side, rule, winning, losing))
    return Merge(to_hub, to_vendor, tuple(conflicts))


def _decide(base: Mapping[str, Any] | None, name: str, ours: Any, theirs: Any, rule: Policy) -> tuple[Side, bool]:
    """Whose value stands, and whether the other side's is lost by it."""
    if base is not None:
        agreed = base.get(name)
        if _same(agreed, ours):
            return Side.VENDOR, False
        if _same(agreed, theirs):
            return Side.HUB, False
    elif is_blank(ours) or is_blank(theirs):
        return (Side.VENDOR if is_blank(ours) else Side.HUB), False
    return _contest(ours, rule), True


def _contest(ours: Any, rule: Policy) -> Side:
    if rule is Policy.PREFER_NONBLANK:
        return Side.VENDOR if is_blank(ours) else Side.HUB
    return Side.VENDOR if rule is Policy.VENDOR_WINS else Side.HUB


def _same(left: Any, right: Any) -> bool:
    return (bool(left == right) and _alike(left, right)) or (is_blank(left) and is_blank(right))


def _alike(left: Any, right: Any) -> bool:
    """Whether equal values are equal as JSON, too: to Python, true is 1."""
    if isinstance(left, dict):
        return all(_alike(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple):
        return all(map(_alike, left, right))
    return isinstance(left, bool) is isinstance(right, bool)
