"""Three-way merge, field by field, against what the vendor last said.

A field that only one side changed takes that side's value. A field that both changed differently is a conflict: a value that
names the winner, the loser and the rule, and is never dropped. Pure: no I/O, no clock.

The *base* is the vendor's state as the hub last took account of it. So, of any field: the vendor changed it if it differs from
the base now; the hub changed it if the hub's value, *as this vendor can hold it*, differs from the base. A write of ours whose
outcome was never recorded (``sent``) counts as the base where the vendor says exactly that: an echo is nobody's edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, Final

from domain.frozen import dataclass
from domain.records import MISSING
from sync_engine.core.lists import merge_lists, same_list
from sync_engine.core.model import Conflict, ListKind, Policy, Record, Side

__all__ = ["Conflict", "Merge", "Policy", "Side", "Sides", "is_blank", "merge", "merge_sides", "same"]

_UNKNOWN: Final = object()


@dataclass(frozen=True, slots=True)
class Merge:
    """``to_hub``: fields whose vendor value the hub takes; ``to_vendor``: fields where the vendor lags behind the hub.

    ``rules``: by which rule the hub takes a field. ``base``: fields of the base that are different now. ``settled``: fields
    with an open conflict that the sides do not differ about any more, or that one of them alone has changed by now.
    """

    to_hub: Mapping[str, Any] = field(default_factory=dict)
    to_vendor: Mapping[str, Any] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    base: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    settled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared. ``seen``: the hub's values as the vendor can hold them, where that differs.

    ``vendor`` is compared in the fields it has; ``base`` None means that the two were never compared. ``open``: conflicts that
    wait for a person, as (hub value, vendor value). ``hub_times`` and ``vendor_time``: of the last edits, where known.
    ``own``: fields that the vendor filled in by itself when the hub's value had no place there: taken account of, nobody's edit.
    ``placeless``: fields whose hub value never has a place there, so that what the vendor changes is all that it could say.
    """

    hub: Record
    vendor: Record
    base: Record | None = None
    seen: Record = field(default_factory=dict)
    sent: Record = field(default_factory=dict)
    open: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    hub_times: Mapping[str, datetime] = field(default_factory=dict)
    vendor_time: datetime | None = None
    own: frozenset[str] = frozenset()
    placeless: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Draft:
    to_hub: dict[str, Any] = field(default_factory=dict)
    to_vendor: dict[str, Any] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    base: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)

    def take(self, name: str, value: Any, rule: str) -> None:
        self.to_hub[name] = value
        self.rules[name] = rule


def is_blank(value: Any) -> bool:
    """None, the empty text, the empty list and the empty object say nothing."""
    if value is None or value is MISSING:
        return True
    return not value and value in ("", [], {})


def merge(
    base: Record | None,
    hub: Record,
    vendor: Record,
    policy: Policy = Policy.HUB_WINS,
    policies: Mapping[str, Policy] | None = None,
) -> Merge:
    """Merge what ``vendor`` says into ``hub``. Only fields present in ``vendor`` are considered.

    ``base`` None means that the two were never compared: a field blank on one side takes the other's value, and where
    both have one the policy decides. A field missing from a base that exists was blank when they last agreed.
    """
    chosen = policies or {}
    merged = merge_sides(Sides(hub, vendor, base), lambda name: chosen.get(name, policy))
    return Merge(merged.to_hub, merged.to_vendor, merged.conflicts)


def merge_sides(
    sides: Sides,
    policy_of: Callable[[str], Policy] = lambda _name: Policy.HUB_WINS,
    lists: Mapping[str, ListKind] | None = None,
    skew: timedelta = timedelta(0),
    follows: Mapping[str, str] | None = None,
) -> Merge:
    """Merge all fields that the vendor sent. ``policy_of``: name to `Policy`; ``skew``: how far two clocks may disagree.

    ``follows``: fields that another one decides; they go with it, and are never contested on their own.
    """
    draft, leaders = _Draft(), follows or {}
    for name in sorted(sides.vendor, key=leaders.__contains__):  # leaders first
        theirs = sides.vendor[name]
        if theirs is MISSING:
            continue
        if name in sides.own:
            _rebase(draft, sides, name, theirs)
        elif name not in leaders or not _goes_with(draft, sides, name, theirs, leaders[name]):
            _merge_field(draft, sides, name, theirs, policy_of(name), (lists or {}).get(name), skew)
    settled = tuple(sorted(n for n in sides.open if n in sides.vendor and n not in draft.undecided))
    return Merge(draft.to_hub, draft.to_vendor, tuple(draft.conflicts), draft.base, draft.rules, settled)


def _merge_field(
    draft: _Draft, sides: Sides, name: str, theirs: Any, policy: Policy, kind: ListKind | None, skew: timedelta
) -> None:
    ours = sides.hub.get(name)
    seen = sides.seen.get(name, ours)
    agreed = _agreed(sides, name, theirs)
    if _equal(kind, ours, theirs) or _equal(kind, seen, theirs):
        _rebase(draft, sides, name, theirs)
    elif kind in (ListKind.LINKS, ListKind.LABELS):
        _merge_links(draft, sides, name, None if agreed is _UNKNOWN else agreed, theirs)
    elif agreed is not _UNKNOWN and _equal(kind, agreed, theirs):
        draft.to_vendor[name] = seen
        _rebase(draft, sides, name, theirs)
    elif agreed is not _UNKNOWN and (_equal(kind, agreed, seen) or name in sides.placeless):
        draft.take(name, theirs, "vendor_changed")
        draft.base[name] = theirs
    elif kind is not None:
        _merge_list(draft, name, None if agreed is _UNKNOWN else agreed, ours, theirs, kind)
    elif agreed is _UNKNOWN and (is_blank(ours) or is_blank(theirs)):
        _fill(draft, name, seen, theirs)
    else:
        _contest(draft, sides, name, seen, theirs, policy, skew)


def _goes_with(draft: _Draft, sides: Sides, name: str, theirs: Any, leader: str) -> bool:
    """Decide a field by the one that it follows, if the two sides differ about it; False where there is nothing to decide."""
    ours, agreed = sides.hub.get(name), _agreed(sides, name, theirs)
    seen = sides.seen.get(name, ours)
    if leader in draft.to_hub:
        if not same(ours, theirs):
            draft.take(name, theirs, draft.rules[leader])
    elif any(same(a, b) for a, b in ((seen, theirs), (agreed, theirs), (agreed, seen))) or (
        agreed is _UNKNOWN and (is_blank(ours) or is_blank(theirs))
    ):
        return False
    _rebase(draft, sides, name, theirs)
    return True


def _agreed(sides: Sides, name: str, theirs: Any) -> Any:
    if name in sides.sent and same(sides.sent[name], theirs):
        return theirs
    return _UNKNOWN if sides.base is None else sides.base.get(name)


def _rebase(draft: _Draft, sides: Sides, name: str, theirs: Any) -> None:
    if sides.base is None or not same(sides.base.get(name), theirs):
        draft.base[name] = theirs


def _merge_list(draft: _Draft, name: str, agreed: Any, ours: Any, theirs: Any, kind: ListKind) -> None:
    merged = merge_lists(agreed, ours, theirs)
    if not same_list(kind, merged, ours):
        draft.take(name, merged, f"merged_{kind}")
    if not same_list(kind, merged, theirs):
        draft.to_vendor[name] = merged
    draft.base[name] = theirs


def _merge_links(draft: _Draft, sides: Sides, name: str, agreed: Any, theirs: Any) -> None:
    """Additions and removals of both sides; records and labels that the vendor lacks stay associated in the hub."""
    ours = sides.hub.get(name) or []
    seen, said, before = (_respelled(ours, items) for items in (sides.seen.get(name, ours), theirs, agreed))
    lacks = [i for i in ours if i not in seen]
    merged = sorted(merge_lists(before, ours, said))
    if not same(merged, ours):
        draft.take(name, merged, "merged_links")
    if not same([i for i in merged if i not in lacks], sorted(said)):
        draft.to_vendor[name] = [i for i in merged if i not in lacks]
    _rebase(draft, sides, name, theirs)


def _respelled(ours: Sequence[Any], items: Sequence[Any] | None) -> list[Any]:
    """Labels as the hub spells those that it has; ids are what they are."""
    known = {i.casefold(): i for i in ours if isinstance(i, str)}
    return [known.get(i.casefold(), i) if isinstance(i, str) else i for i in items or ()]


def _fill(draft: _Draft, name: str, seen: Any, theirs: Any) -> None:
    if is_blank(theirs):
        draft.to_vendor[name] = seen
    else:
        draft.take(name, theirs, "filled_blank")
    draft.base[name] = theirs


def _contest(draft: _Draft, sides: Sides, name: str, seen: Any, theirs: Any, policy: Policy, skew: timedelta) -> None:
    """Both changed it: the policy decides, and what it decides is noted, with the hub's value in full."""
    ours = sides.hub.get(name)
    winner = _winner(sides, name, ours, policy, skew)
    if winner is None:
        draft.undecided.add(name)
        asked = sides.open.get(name)
        if asked is None or not (same(asked[0], ours) and same(asked[1], theirs)):
            draft.conflicts.append(Conflict(name, None, policy, ours, theirs))
        return
    draft.base[name] = theirs
    if winner is Side.VENDOR:
        draft.take(name, theirs, str(policy))
        draft.conflicts.append(Conflict(name, winner, policy, theirs, ours))
    else:
        draft.to_vendor[name] = seen
        draft.conflicts.append(Conflict(name, winner, policy, ours, theirs))


def _winner(sides: Sides, name: str, ours: Any, policy: Policy, skew: timedelta) -> Side | None:
    if policy is Policy.ASK:
        return None
    if policy is Policy.VENDOR_WINS:
        return Side.VENDOR
    if policy is Policy.PREFER_NONBLANK:
        return Side.VENDOR if is_blank(ours) else Side.HUB
    if policy is Policy.NEWEST:
        hub_time = sides.hub_times.get(name)
        later = hub_time is not None and sides.vendor_time is not None and sides.vendor_time - hub_time > skew
        return Side.VENDOR if later else Side.HUB
    return Side.HUB


def _equal(kind: ListKind | None, left: Any, right: Any) -> bool:
    if kind is not None and isinstance(left, list | None) and isinstance(right, list | None):
        return same_list(kind, left, right)
    return same(left, right)


def same(left: Any, right: Any) -> bool:
    """Whether two values say the same: blanks of any kind do, and 1 is not true."""
    return (bool(left == right) and _alike(left, right)) or (is_blank(left) and is_blank(right))


def _alike(left: Any, right: Any) -> bool:
    """Whether equal values are equal as JSON, too: to Python, true is 1."""
    if isinstance(left, dict):
        return all(_alike(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple):
        return all(map(_alike, left, right))
    return isinstance(left, bool) is isinstance(right, bool)
