"""What to do about records that a vendor deleted, or merged into others.

A merge is no delete: the hub's records follow it, whatever anybody edited meanwhile. What the merged one says and the survivor
does not take over is in the conflict log. Only where the survivor is none of the hub's is the merged record deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sync_engine.core.edits import base_of, differing, edited_since, in_flight
from sync_engine.core.merge import is_blank, same
from sync_engine.core.model import (
    Conflict,
    Decision,
    DeletePolicy,
    Hub,
    Incoming,
    Link,
    Outcome,
    Record,
    Side,
)
from sync_engine.core.planning import Planning, again, hub_of, needs_another_look, stands, survivor_of


def deleted(planning: Planning, item: Incoming, link: Link | None) -> Decision:
    """The vendor deleted a record: by policy, unless the hub's own edits since would be lost."""
    if link is None:
        return Decision(item.vendor_id, Outcome.SKIPPED)
    if link.tombstoned:
        return Decision(item.vendor_id, Outcome.UNCHANGED, link.entity_id)
    hub = hub_of(planning.known, link)
    gone = Decision(
        item.vendor_id,
        Outcome.KEPT,
        link.entity_id,
        base=link.base or {},
        link_revision=link.revision,
        link_origin=link.origin,
        tombstone_link=True,
    )
    if (
        hub is None
        or hub.deleted
        or not planning.rules.pulls
        or (planning.rules.part and planning.rules.is_history(hub))
        or planning.rules.deletes_in is not DeletePolicy.PROPAGATE
    ):
        return gone
    if hub.id in planning.touched:
        return again(item)
    planning.touched.add(hub.id)
    lost = edited_since(planning.rules, link, hub)
    if planning.rules.edit_beats_delete and lost:
        conflict = Conflict("*", Side.HUB, "edit_beats_delete", lost, None)
        return replace(gone, conflicts=(conflict,), push=planning.rules.pushes, hub_version=hub.version)
    unsure = {n: hub.values.get(n) for n, v in differing(planning.rules, link, hub).items() if in_flight(link, n, v)}
    lost = {**unsure, **lost}  # what was sent without an answer may have come too late
    conflicts = (Conflict("*", Side.VENDOR, "delete_beats_edit", None, lost),) if lost else ()
    return replace(gone, outcome=Outcome.DELETED, delete=True, hub_version=hub.version, conflicts=conflicts)


def losers_of(planning: Planning) -> Mapping[str, Sequence[Link]]:
    """By survivor, the links of records of the batch that were merged into it and that the hub has to take along."""
    found: dict[str, list[Link]] = {}
    for item in planning.batch.values():
        link = planning.known.links.get(item.vendor_id)
        if item.merged_into is not None and link is not None and _is_taken_along(planning, item, link):
            found.setdefault(_last_survivor(planning, item), []).append(link)
    return found


def survivor_comes(planning: Planning, item: Incoming) -> bool:
    """Whether the survivor of a merged record comes in the same batch, and is not one of the hub's before that is applied."""
    survivor_id = _last_survivor(planning, item)
    return survivor_id in planning.batch and not stands(planning.known, survivor_id)


def settles(decision: Decision) -> bool:
    """Whether a vendor record is linked to a standing one of the hub's once the decision is applied, or is planned again."""
    linked = decision.outcome in (Outcome.CREATED, Outcome.MATCHED, Outcome.REVIVED)
    return linked or needs_another_look(decision)


def merged_away(planning: Planning, item: Incoming, link: Link | None) -> Decision:
    """The vendor merged this record into another one: the hub's records follow, if both are known."""
    if link is None or not _is_taken_along(planning, item, link):
        return Decision(item.vendor_id, Outcome.SKIPPED)
    survivor_id = _last_survivor(planning, item)
    survivor_link = planning.known.links.get(survivor_id)
    loser = hub_of(planning.known, link)
    if loser is not None and planning.taken_over.get(survivor_id) == loser.id:
        return _link_goes(item, link)
    if survivor_id in planning.settling and loser is not None and not loser.deleted:
        return again(item)
    if (
        survivor_link is None
        and loser is not None
        and (turned := _turned_into(planning, item, link, loser, survivor_id)) is not None
    ):
        return turned
    if survivor_link is None or loser is None or loser.deleted:
        return _not_taken_along(planning, item, link)
    survivor = planning.known.hubs.get(survivor_of(planning.known, survivor_link.entity_id))
    if survivor is None or survivor.deleted:
        return replace(_link_goes(item, link), push=planning.rules.pushes)
    if survivor.id == loser.id:
        return _link_goes(item, link)
    return _merge(planning, item, link, loser, survivor)


def _is_taken_along(planning: Planning, item: Incoming, link: Link) -> bool:
    """Whether the hub has yet to follow the merge.

    A link that is gone says that it did, or that the record was deleted for it; unless the vendor refuses to have that record
    beside the survivor: then the two are one there, and nothing else is left.
    """
    if not link.tombstoned:
        return True
    own = planning.known.hubs.get(link.entity_id)
    refused = planning.known.refused.get(link.entity_id)
    return own is not None and not own.deleted and refused == _last_survivor(planning, item)


def _last_survivor(planning: Planning, item: Incoming) -> str:
    """Into what a record was merged, and that into something else, as far as the hub does not know what is between."""
    seen, current = {item.vendor_id}, item.merged_into or ""
    while current not in seen and not stands(planning.known, current):
        between = planning.batch.get(current)
        if between is None or between.merged_into is None:
            break
        seen.add(current)
        current = between.merged_into
    return current


def _link_goes(item: Incoming, link: Link) -> Decision:
    """What the record was stands as it is; only this name of it is gone."""
    return Decision(
        item.vendor_id,
        Outcome.MERGED,
        link.entity_id,
        base=link.base or {},
        link_revision=link.revision,
        link_origin=link.origin,
        tombstone_link=True,
    )


def _not_taken_along(planning: Planning, item: Incoming, link: Link) -> Decision:
    """The survivor is none of the hub's: for the hub, the record is gone. Or another object's, which tells of it first."""
    if link.tombstoned:
        return Decision(item.vendor_id, Outcome.SKIPPED)
    survivor = planning.batch.get(_last_survivor(planning, item))
    if item.waits and survivor is not None and survivor.outside:
        return Decision(item.vendor_id, Outcome.SKIPPED, waits=item.waits)
    return deleted(planning, replace(item, merged_into=None, deleted=True, waits=()), link)


def _merge(planning: Planning, item: Incoming, link: Link, loser: Hub, survivor: Hub) -> Decision:
    if {loser.id, survivor.id} & planning.touched:
        return again(item)
    planning.touched |= {loser.id, survivor.id}
    filled = {n: v for n, v in loser.values.items() if not is_blank(v) and is_blank(survivor.values.get(n))}
    return Decision(
        item.vendor_id,
        Outcome.MERGED,
        loser.id,
        delete=True,
        hub_version=loser.version,
        merge_into=survivor.id,
        conflicts=_merged_over(edited_since(planning.rules, link, loser), survivor),
        set_hub=filled,
        push=planning.rules.pushes and bool(filled),
        base=link.base or {},
        link_revision=link.revision,
        link_origin=link.origin,
        tombstone_link=True,
    )


def take_over(planning: Planning, item: Incoming) -> Link | None:
    """The link of a record that was merged into this one, which the hub knows nothing of: it becomes what that one was."""
    if planning.rules.part and item.outside:
        return None
    for link in planning.losers.get(item.vendor_id, ()):
        hub = hub_of(planning.known, link)
        if hub is not None and not hub.deleted and not (planning.rules.part and planning.rules.is_history(hub)):
            return link
    return None


def follow_survivor(planning: Planning, item: Incoming, link: Link, loser: Hub, edits: Record) -> Decision | None:
    """Somebody edited the half of a merged record that another vendor still has: the survivor takes what it lacks.

    None where the record was not merged, or its survivor is gone, too.
    """
    survivor = planning.known.hubs.get(survivor_of(planning.known, loser.id))
    if survivor is None or survivor.deleted or survivor.id == loser.id:
        return None
    if survivor.id in planning.touched:
        return again(item)
    planning.touched.add(survivor.id)
    filled = {n: v for n, v in edits.items() if not is_blank(v) and is_blank(survivor.values.get(n))}
    return Decision(
        item.vendor_id,
        Outcome.MERGED,
        loser.id,
        merge_into=survivor.id,
        set_hub=filled,
        push=planning.rules.pushes and bool(filled),
        base=base_of(item, link),
        link_revision=link.revision,
        link_origin=link.origin,
        conflicts=_merged_over(edits, survivor),
    )


def _turned_into(planning: Planning, item: Incoming, link: Link, loser: Hub, survivor_id: str) -> Decision | None:
    """A record of the part was merged into one that is held elsewhere: it turned into that one, as if it had been moved over."""
    becomes, survivor = planning.rules.becomes, planning.known.elsewhere.get(survivor_id)
    if not planning.rules.part or becomes is None or survivor is None or loser.deleted:
        return None
    if loser.id in planning.touched:
        return again(item)
    planning.touched.add(loser.id)
    values = {becomes.flag: True, becomes.into: survivor}
    return Decision(
        item.vendor_id,
        Outcome.MERGED,
        loser.id,
        set_hub=values,
        rules=dict.fromkeys(values, "vendor_changed"),
        hub_version=loser.version,
        base=link.base or {},
        link_revision=link.revision,
        link_origin=link.origin,
        tombstone_link=True,
    )


def _merged_over(edits: Record, survivor: Hub) -> tuple[Conflict, ...]:
    """What was said of the loser that the vendor did not know when it merged, and the survivor does not take over."""
    held = survivor.values
    lost = {n: v for n, v in edits.items() if not is_blank(v) and not is_blank(held.get(n)) and not same(held[n], v)}
    return (Conflict("*", Side.VENDOR, "merged_over_edit", None, lost),) if lost else ()
