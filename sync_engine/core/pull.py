"""What to do about records that a vendor listed: a batch of `Incoming` and what is `Known` become one `Decision` each.

Planning again after applying plans nothing; a record listed twice is applied once; nothing is decided from time or chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from domain.entities import ENTITIES, SET_UP
from sync_engine.core.edits import base_of, vendor_edits
from sync_engine.core.gone import deleted, follow_survivor, losers_of, merged_away, settles, survivor_comes, take_over
from sync_engine.core.merge import Merge, Sides, is_blank, merge_sides, same
from sync_engine.core.model import (
    PROVENANCE,
    Conflict,
    Decision,
    DeletePolicy,
    Failure,
    Hub,
    Incoming,
    Intent,
    Known,
    Link,
    Outcome,
    Record,
    Rules,
    Side,
)
from sync_engine.core.planning import NewId, Planning, again, hub_of, survivor_of


def plan_pull(batch: Sequence[Incoming], known: Known, rules: Rules, new_id: NewId) -> list[Decision]:
    """One decision a record, in the order given.

    Of a record that comes twice, the later state counts and the other is superseded. Two records of one batch never change the
    same hub record: the second is decided as `Outcome.SKIPPED` with ``failure`` None and has to be planned again
    (`needs_another_look`).
    """
    last = _last_states(batch)
    merged = any(item.merged_into is not None for item in batch)
    planning = Planning(rules, known, new_id, {i: batch[place] for i, place in last.items()} if merged else {})
    planning.losers = losers_of(planning)
    decisions: dict[int, Decision] = {}
    # What follows a record that the hub does not know yet is decided after it.
    for place in sorted(range(len(batch)), key=lambda p: _follows(planning, batch[p])) if merged else range(len(batch)):
        item = batch[place]
        if last[item.vendor_id] != place:
            decisions[place] = Decision(item.vendor_id, Outcome.SUPERSEDED, incoming=item)
            continue
        decisions[place] = _decide(planning, item)
        if merged and settles(decisions[place]):
            planning.settling.add(item.vendor_id)
    made = (decisions[place] for place in range(len(batch)))
    return [d if d.incoming is item else replace(d, incoming=item) for d, item in zip(made, batch, strict=True)]


def _follows(planning: Planning, item: Incoming) -> bool:
    """Whether a merged record's survivor comes in the same batch, and is not one of the hub's before that is applied."""
    return item.merged_into is not None and survivor_comes(planning, item)


def _last_states(batch: Sequence[Incoming]) -> Mapping[str, int]:
    """Place of the latest state of each record: the highest version; of equal ones the last listed. Nothing follows an end."""
    last: dict[str, int] = {}
    for place, item in enumerate(batch):
        known = last.get(item.vendor_id)
        if known is None or _is_end(item) or (not _is_end(batch[known]) and item.version >= batch[known].version):
            last[item.vendor_id] = place
    return last


def _is_end(item: Incoming) -> bool:
    """Whether the record is no more, or is another one now: a listing that shows it all the same lags behind."""
    return item.deleted or item.merged_into is not None


def _decide(planning: Planning, item: Incoming) -> Decision:
    link = planning.known.links.get(item.vendor_id)
    if item.merged_into is not None:
        return merged_away(planning, item, link)
    if item.deleted:
        return deleted(planning, item, link)
    if link is not None and is_superseded(item, link):
        return Decision(item.vendor_id, Outcome.SUPERSEDED)
    if item.error is not None:
        code, message, name = item.error
        return Decision(item.vendor_id, Outcome.REJECTED, failure=Failure(code, message, name))
    if not planning.rules.pulls:
        return Decision(item.vendor_id, Outcome.SKIPPED)
    if link is None or (item.outside and link.tombstoned):
        return _unlinked(planning, item, link)
    return _linked(planning, item, link)


def is_superseded(item: Incoming, link: Link) -> bool:
    """Whether the hub knows a later state of this record already."""
    return bool(item.version and link.version and item.version < link.version)


def is_doubtful(item: Incoming, link: Link | None) -> bool:
    """Whether nothing tells if a listed state is older or newer than the one that the hub knows: they differ, at one version.

    A vendor without versions says nothing else; one whose clock counts seconds does for two changes within one. What the hub
    wrote itself has the version of that write, and no fingerprint yet. Nor is a record believed to have come back for what a
    listing shows, which may not have seen it go.
    """
    if link is None or item.deleted or item.merged_into is not None:
        return False
    if link.tombstoned:
        return not item.outside
    if item.version != link.version:
        return False
    return item.fingerprint != link.fingerprint and bool((item.fingerprint and link.fingerprint) or not item.version)


# ---------------------------------------------------------------- records with a link


def _linked(planning: Planning, item: Incoming, link: Link) -> Decision:
    hub = hub_of(planning.known, link)
    if hub is None:
        return _unlinked(planning, item, link)
    if hub.id in planning.touched:
        return again(item)
    if link.tombstoned or hub.deleted:
        return _against_tombstone(planning, item, link, hub)
    if item.fingerprint and item.fingerprint == link.fingerprint and not link.sent:
        unchanged = Decision(item.vendor_id, Outcome.UNCHANGED, hub.id, link_origin=link.origin, incoming=item)
        if item.version == link.version:
            return unchanged
        return replace(unchanged, base=link.base or {}, link_revision=link.revision)
    planning.touched.add(hub.id)
    return _compare(planning, item, link, hub)


def _compare(planning: Planning, item: Incoming, link: Link, hub: Hub) -> Decision:
    merged = merge_record(planning.rules, item, link, hub)
    renewed = renewed_base(link, item, merged)
    changed = bool(merged.to_hub)
    moved = (
        renewed is not None or item.version != link.version or item.fingerprint != link.fingerprint or merged.settled
    )
    return Decision(
        item.vendor_id,
        Outcome.UPDATED if changed or merged.conflicts else Outcome.UNCHANGED,
        hub.id,
        set_hub=merged.to_hub,
        rules=merged.rules,
        hub_version=hub.version,
        base=(renewed if renewed is not None else link.base) if moved or link.sent else None,
        link_revision=link.revision,
        link_origin=link.origin,
        drop_sent=bool(link.sent) and _sent_arrived(link, item),
        push=_lags(planning.rules, merged),
        conflicts=merged.conflicts,
        settled=merged.settled,
        waits=item.waits,
        incoming=item,
    )


def merge_record(rules: Rules, item: Incoming, link: Link | None, hub: Hub) -> Merge:
    """Merge one vendor record into its hub record, by the stream's rules."""
    said: Record = {name: value for name, value in item.values.items() if _compared(rules, name, link)}
    base = None if link is None else link.base
    turned, said = _turned(rules, said, base, hub)
    placeless = _placeless(rules, hub)
    sides = Sides(
        hub.values,
        _with_removed(rules, said, base, item),
        base,
        hub.seen,
        {} if link is None else link.sent,
        {} if link is None else link.open,
        hub.times,
        item.modified_at,
        _filled_in(said, link, hub, placeless),
        placeless,
    )
    merged = merge_sides(sides, rules.policy_of, rules.lists, rules.skew, rules.follows)
    if picked := _picked(rules, item, base, hub, merged):
        merged = replace(
            merged, to_hub={**merged.to_hub, **picked}, rules={**merged.rules, **dict.fromkeys(picked, "filled_blank")}
        )
    if turned:
        merged = replace(
            merged,
            to_hub={**merged.to_hub, **turned},
            rules={**merged.rules, **dict.fromkeys(turned, "vendor_changed")},
            base={**merged.base, **turned},
        )
    return replace(merged, to_vendor={n: v for n, v in merged.to_vendor.items() if rules.writes_field(n)})


def _turned(rules: Rules, said: Record, base: Record | None, hub: Hub) -> tuple[Record, Record]:
    """Whether the vendor tells the hub that the record turned into another one, and what else it says.

    Who says that it did is never contested: a vendor that does not say so has only not heard of it.
    """
    flag = "" if rules.becomes is None else rules.becomes.flag
    if flag not in said or (base or {}).get(flag) is True:
        return {}, said
    rest = {n: v for n, v in said.items() if n != flag}
    if said[flag] is True:
        return ({}, said) if hub.values.get(flag) is True else ({flag: True}, rest)
    return ({}, rest) if hub.values.get(flag) is True else ({}, said)


def _picked(rules: Rules, item: Incoming, base: Record | None, hub: Hub, merged: Merge) -> Record:
    """Main records for lists that have none in the hub: of what it has just added, the one that the vendor names.

    A list that always has a main one, or that took its former one along, gets one, too, when it lost that.
    """
    result = {}
    led = {s.main for s in ENTITIES[rules.entity].several if s.led}
    moves = {s.main for s in ENTITIES[rules.entity].several if s.moves}
    for name, of in rules.picks.items():
        named, listed = item.values.get(name), merged.to_hub.get(of, hub.values.get(of)) or ()
        if hub.values.get(name) in listed:
            continue
        held = (base or {}).get(of) or ()
        parted = name in moves and of in merged.to_hub and hub.values.get(name) is not None
        if named in listed and (name in led or parted or named not in held):
            result[name] = named
        elif listed and name in led and of in merged.to_hub:
            result[name] = min(listed)
    return result


def _filled_in(said: Record, link: Link | None, hub: Hub, placeless: frozenset[str]) -> frozenset[str]:
    """What a vendor put by itself into a record that the hub has just created, where the hub's own value had no place there.

    An owner whom only the hub knows stays the hub's, although the vendor names the integration's user instead; a name
    that the vendor makes up itself is its own. A reference that only waits for its other end is none of these.
    """
    if link is None or link.origin != "pushed" or link.revision:
        return frozenset()
    base = link.base or {}
    ours = {n: v for n in said if n not in hub.seen and is_blank(base.get(n)) and not is_blank(v := hub.values.get(n))}
    return frozenset(n for n, v in ours.items() if n in placeless or not isinstance(v, UUID))


def _placeless(rules: Rules, hub: Hub) -> frozenset[str]:
    """References to users, stages and pipelines that only other vendors have: none of them is ever made at this one."""
    known = {f.name for f in ENTITIES[rules.entity].references if f.refers_to in SET_UP and rules.writes_field(f.name)}
    return frozenset(n for n in known if n not in hub.seen and not is_blank(hub.values.get(n)))


def _with_removed(rules: Rules, said: Record, base: Record | None, item: Incoming) -> Record:
    """What the vendor says, with blanks for custom fields that it said before and says no more."""
    if base is None or item.outside or "custom_fields" not in rules.reads:
        return said
    waiting = {w.field for w in item.waits}
    gone = {n: None for n in base if n.startswith("custom_fields.") and n not in said and n not in waiting}
    return {**said, **gone}


def _compared(rules: Rules, name: str, link: Link | None) -> bool:
    if name in PROVENANCE and link is not None and link.origin != "created":
        return False
    return rules.reads_field(name) and name not in rules.picks


def renewed_base(link: Link | None, item: Incoming, merged: Merge) -> Record | None:
    """The link's base after the merge, or None where it stays as it was."""
    if link is None or link.base is None:
        agreed = {n: v for n, v in item.values.items() if not is_blank(v)}
        undecided = {c.field for c in merged.conflicts if c.winner is None}
        return {n: v for n, v in agreed.items() if n not in undecided}
    if not merged.base:
        return None
    return {n: v for n, v in {**link.base, **merged.base}.items() if not is_blank(v)}


def _sent_arrived(link: Link, item: Incoming) -> bool:
    return all(same(item.values.get(name), value) for name, value in link.sent.items())


def _lags(rules: Rules, merged: Merge) -> bool:
    return rules.pushes and bool(merged.to_vendor)


# ---------------------------------------------------------------- records without a link


def _unlinked(planning: Planning, item: Incoming, stale: Link | None = None) -> Decision:
    known, rules = planning.known, planning.rules
    intent = _announced(known.intents, item)
    if intent is not None and (gone := _deleted_meanwhile(planning.known, intent)) is not None:
        return _to_be_deleted(planning, item, intent, gone)
    target = _target(planning, item, intent)
    if isinstance(target, Decision):
        return target
    if target is not None:
        return _adopt_free(planning, item, target, intent, stale)
    if (held := take_over(planning, item)) is not None:
        return _taken_over(planning, item, held, stale)
    if item.outside or not rules.creates_in:
        return Decision(item.vendor_id, Outcome.SKIPPED)
    return _create(planning, item, stale)


def _announced(intents: Sequence[Intent], item: Incoming) -> Intent | None:
    """The create of ours that this record is the outcome of: by its key, or because it says just what was sent."""
    for intent in intents:
        if item.key == intent.entity_id:
            return intent
    for intent in intents:
        said = {n: v for n, v in intent.sent.items() if n in item.values}
        if item.key is None and said and all(same(item.values[n], v) for n, v in said.items()):
            return intent
    return None


def _deleted_meanwhile(known: Known, intent: Intent) -> Hub | None:
    hub = known.hubs.get(intent.entity_id)
    return hub if hub is not None and hub.deleted else None


def _to_be_deleted(planning: Planning, item: Incoming, intent: Intent, hub: Hub) -> Decision:
    """A create of ours arrived after its hub record was deleted: it is linked, so that it can be deleted, too."""
    if hub.id in planning.touched:
        return again(item)
    planning.touched.add(hub.id)
    return Decision(
        item.vendor_id,
        Outcome.MATCHED,
        hub.id,
        base=dict(intent.sent),
        link_origin="pushed",
        settles_intent=True,
        push=planning.rules.pushes,
    )


def _target(planning: Planning, item: Incoming, intent: Intent | None) -> Hub | Decision | None:
    """The hub record that an unlinked record is, if any; a refusal where several could be."""
    known = planning.known
    for named in (item.key, intent.entity_id if intent else None, known.became.get(item.vendor_id)):
        hub = known.hubs.get(survivor_of(known, named)) if named is not None else None
        # A copied record may carry the key of the one it was copied from.
        if hub is not None and not hub.deleted and known.taken.get(hub.id, item.vendor_id) == item.vendor_id:
            return hub
    candidates = [c for c in known.candidates.get(item.vendor_id, ()) if c in known.hubs and not known.hubs[c].deleted]
    free = [c for c in candidates if c not in planning.claimed]
    if len(free) > 1:
        message = f"The record matches {len(free)} records of the hub; nothing tells which of them it is."
        return Decision(item.vendor_id, Outcome.REJECTED, failure=Failure("ambiguous_match", message))
    return known.hubs[free[0]] if free else None


def _adopt_free(planning: Planning, item: Incoming, hub: Hub, intent: Intent | None, stale: Link | None) -> Decision:
    if hub.id in planning.touched:
        return again(item)
    planning.touched.add(hub.id)
    planning.claimed.add(hub.id)
    return _adopt(planning, item, hub, intent, stale)


def _adopt(planning: Planning, item: Incoming, hub: Hub, intent: Intent | None, stale: Link | None) -> Decision:
    """Link an unlinked record to a hub record that stands."""
    origin = "matched" if intent is None else "pushed"
    assumed = Link(item.vendor_id, hub.id, None if intent is None else intent.sent, origin=origin)
    merged = merge_record(planning.rules, item, assumed, hub)
    return Decision(
        item.vendor_id,
        Outcome.MATCHED,
        hub.id,
        set_hub=merged.to_hub,
        rules=merged.rules,
        hub_version=hub.version,
        base=renewed_base(assumed, item, merged) or assumed.base or {},
        link_revision=None if stale is None else stale.revision,
        link_origin=origin,
        settles_intent=intent is not None,
        push=_lags(planning.rules, merged) or _has_more(planning.rules, hub, item),
        conflicts=merged.conflicts,
        waits=item.waits,
    )


def _taken_over(planning: Planning, item: Incoming, held: Link, stale: Link | None) -> Decision:
    """A record that the hub did not know has swallowed one that it knows: it is that one from now on, edits and all."""
    hub = hub_of(planning.known, held)
    if hub is None or hub.id in planning.touched:
        return again(item)
    planning.touched.add(hub.id)
    planning.claimed.add(hub.id)
    planning.taken_over[item.vendor_id] = hub.id
    assumed = replace(held, vendor_id=item.vendor_id, open={}, tombstoned=False)
    merged = merge_record(planning.rules, item, assumed, hub)
    return Decision(
        item.vendor_id,
        Outcome.MATCHED,
        hub.id,
        set_hub=merged.to_hub,
        rules=merged.rules,
        hub_version=hub.version,
        base=renewed_base(assumed, item, merged) or assumed.base or {},
        link_revision=None if stale is None else stale.revision,
        link_origin=held.origin,
        push=_lags(planning.rules, merged) or _has_more(planning.rules, hub, item),
        conflicts=merged.conflicts,
        waits=item.waits,
    )


def _has_more(rules: Rules, hub: Hub, item: Incoming) -> bool:
    """Whether the hub knows fields that the vendor did not send at all."""
    return rules.pushes and any(
        rules.writes_field(n) and n not in item.values and not is_blank(v) for n, v in hub.seen.items()
    )


def _create(planning: Planning, item: Incoming, stale: Link | None) -> Decision:
    reads = planning.rules.reads_field
    values = {n: v for n, v in item.values.items() if (v or not is_blank(v)) and reads(n)}
    return Decision(
        item.vendor_id,
        Outcome.CREATED,
        planning.new_id(item),
        create=True,
        set_hub=values,
        rules=dict.fromkeys(values, "created"),
        base=values,
        link_revision=None if stale is None else stale.revision,
        waits=item.waits,
        incoming=item,
    )


# ---------------------------------------------------------------- deletes and merges


def _against_tombstone(planning: Planning, item: Incoming, link: Link, hub: Hub) -> Decision:
    """A record that was gone on one side is listed again: the vendor restored it, or edited what the hub deleted."""
    rules = planning.rules
    if not hub.deleted:  # the vendor had deleted it, and the hub kept its record
        if planning.known.taken.get(hub.id, item.vendor_id) != item.vendor_id:
            message = "The record was restored, but a new one stands in its place; merge the two at the vendor."
            return Decision(item.vendor_id, Outcome.REJECTED, failure=Failure("restored_twin", message))
        planning.touched.add(hub.id)
        compared = _compare(planning, item, replace(link, tombstoned=False), hub)
        base = compared.base if compared.base is not None else (link.base or {})
        return replace(compared, outcome=Outcome.REVIVED, base=base)
    edits = vendor_edits(rules, link, item)
    restored = link.tombstoned or (rules.edit_beats_delete and bool(edits))
    if not restored or (not link.tombstoned and rules.deletes_out is DeletePolicy.ARCHIVE):
        return Decision(item.vendor_id, Outcome.SUPERSEDED, hub.id)
    if not link.tombstoned and (followed := follow_survivor(planning, item, link, hub, edits)) is not None:
        return followed
    other = _target(planning, item, None)
    if isinstance(other, Decision):
        return other
    if other is not None:  # deleted and entered anew meanwhile: it is that record now
        return _adopt_free(planning, item, other, None, link)
    planning.touched.add(hub.id)
    values = {**hub.values, **{n: v for n, v in item.values.items() if rules.reads_field(n) and n not in PROVENANCE}}
    conflict = () if link.tombstoned else (Conflict("*", Side.VENDOR, "edit_beats_delete", edits, None),)
    return Decision(
        item.vendor_id,
        Outcome.REVIVED,
        hub.id,
        restore=True,
        set_hub={n: v for n, v in values.items() if not is_blank(v)},
        rules=dict.fromkeys(edits, "vendor_changed"),
        hub_version=hub.version,
        base=base_of(item, link),
        link_revision=link.revision,
        link_origin=link.origin,
        conflicts=conflict,
        waits=item.waits,
    )
