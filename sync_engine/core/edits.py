"""What one side changed since it last agreed with the other: edits that a delete would lose, and fields that have to be sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sync_engine.core.merge import is_blank, same
from sync_engine.core.model import PROVENANCE, Hub, Incoming, Link, Record, Rules


def edited_since(rules: Rules, link: Link, hub: Hub) -> Record:
    """What the hub changed since it last agreed with this vendor: edits that a delete would lose.

    A reference that is blank now is none: the record it led to was deleted, and took its lines along at the vendor. Nor is a
    list of associated records that only lost some.
    """
    base = link.base or {}
    return {
        name: hub.values.get(name)
        for name, value in differing(rules, link, hub).items()
        if not in_flight(link, name, value)
        and not (is_blank(value) and isinstance(base.get(name), UUID))
        and not (name in rules.links | rules.labels and _lost_only(value, base.get(name)))
    }


def _lost_only(now: Any, before: Any) -> bool:
    return set(now or ()) <= set(before or ())


def differing(rules: Rules, link: Link, hub: Hub) -> Record:
    """The fields in which the hub, as the vendor can hold it, differs from what the vendor last said; conflicts or not."""
    base = link.base or {}
    result = {}
    # Of a list without its main record that one is on its way: it is not blank.
    due = {main for of, main in rules.mains.items() if hub.values.get(of) and is_blank(hub.values.get(main))}
    for name in sorted({*hub.seen, *(n for n in base if n in hub.values or n.startswith("custom_fields."))} - due):
        value = hub.seen.get(name)
        if name not in hub.seen and not is_blank(hub.values.get(name)):
            continue  # a reference that this vendor cannot hold yet, or a value that the mapping does not write
        if rules.writes_field(name) and name not in rules.once and not same(value, base.get(name)):
            result[name] = value
    return result


def in_flight(link: Link, name: str, value: Any) -> bool:
    """Whether this is what a write put there whose outcome is not known yet."""
    return name in link.sent and same(link.sent[name], value)


def vendor_edits(rules: Rules, link: Link, item: Incoming) -> Record:
    """What the vendor changed since it last agreed with the hub; a state that our own write made is nobody's edit."""
    if item.version and item.version == link.version:
        return {}
    base = link.base or {}
    fresh = link.origin == "pushed" and not link.revision
    return {
        n: v
        for n, v in item.values.items()
        if rules.reads_field(n)
        and n not in PROVENANCE
        and n not in rules.picks
        and not same(v, base.get(n))
        and not in_flight(link, n, v)
        and not (n in rules.links | rules.labels and _lost_only(v, base.get(n)))
        and not (fresh and v is False and n not in base)  # a box that nobody ticked in what the hub has just created
    }


def base_of(item: Incoming, link: Link) -> Record:
    """What the vendor says now, and said before of what it leaves out."""
    return {n: v for n, v in {**(link.base or {}), **item.values}.items() if not is_blank(v)}
