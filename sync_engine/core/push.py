"""What to send to a vendor about hub records that changed: a `Pushable` becomes a `PushDecision`.

Only fields that differ from what the vendor last said are sent. A reference to a record that the vendor lacks is left out and
sent later, unless the vendor refuses the record without it: so parents come first, and cycles close in a second pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from uuid import UUID

from sync_engine.core.edits import differing, vendor_edits
from sync_engine.core.merge import is_blank, same
from sync_engine.core.model import (
    Conflict,
    Decision,
    DeletePolicy,
    Hub,
    Incoming,
    Known,
    Link,
    Outcome,
    Pushable,
    PushDecision,
    PushKind,
    Record,
    Rules,
    Side,
)
from sync_engine.core.pull import plan_pull
from sync_engine.core.stand_ins import PIPELINE, STAGE

AT_ONCE = frozenset({STAGE, PIPELINE})


def plan_push(items: Sequence[Pushable], rules: Rules) -> list[PushDecision]:
    """One decision a record, in the order given."""
    return [_decide(item, rules) for item in items]


def _decide(item: Pushable, rules: Rules) -> PushDecision:
    hub, link = item.hub, item.link
    if not rules.pushes or hub is None:
        return PushDecision(item.entity_id, PushKind.NOTHING)
    if hub.deleted and item.found is None:
        return _delete(item, hub, rules)
    if link is None or (link.tombstoned and not item.found):
        return _create(item, hub, rules)
    if link.tombstoned:
        return PushDecision(item.entity_id, PushKind.NOTHING)
    return _update(item, hub, link, rules)


# ---------------------------------------------------------------- updates


def _update(item: Pushable, hub: Hub, link: Link, rules: Rules) -> PushDecision:
    if item.current is not None and item.current.merged_into is not None:
        return PushDecision(item.entity_id, PushKind.FOLLOW, vendor_id=link.vendor_id)
    learned = _learn(item, link, hub, rules)
    if learned is not None and _teaches(learned, link):
        return PushDecision(item.entity_id, PushKind.NOTHING, vendor_id=link.vendor_id, pull=learned)
    fields = outgoing(rules, link, hub)
    version = item.current.version if item.current is not None else link.version
    return PushDecision(
        item.entity_id,
        PushKind.UPDATE if fields else PushKind.REFUSE if item.failure else PushKind.NOTHING,
        fields,
        link.vendor_id,
        version or None,
        hub.version,
        later=item.waits,
        failure=item.failure,
    )


def _learn(item: Pushable, link: Link, hub: Hub, rules: Rules) -> Decision | None:
    """What the vendor says right now is taken in first, as if it had been pulled."""
    if item.current is None:
        return None
    known = Known({link.vendor_id: link}, {hub.id: hub})
    always = replace(item.current, fingerprint=b"", version=max(item.current.version, link.version))
    learned = plan_pull([always], known, replace(rules, pulls=True), lambda _: hub.id)[0]
    return replace(learned, incoming=replace(item.current, version=always.version))


def _teaches(learned: Decision, link: Link) -> bool:
    """Whether the vendor said something that the hub has not taken account of: then nothing is sent before it is."""
    moved = learned.base is not None and dict(learned.base) != dict(link.base or {})
    told = learned.set_hub or learned.conflicts or learned.settled or learned.drop_sent
    return bool(moved or told or learned.delete or learned.tombstone_link)


def outgoing(rules: Rules, link: Link, hub: Hub) -> Record:
    """The fields in which the vendor lags behind, by what it last said. Fields under an open conflict stay put.

    So do references that the vendor cannot be without, where the record that they led to was deleted. A stage and its pipeline go
    together, or a vendor would be sent a pipeline that lacks the stage; while one of them is asked about, neither goes. Of a
    record that turned into another one only that goes which it turned into.
    """
    base = link.base or {}
    asked = set(link.open) | (AT_ONCE if AT_ONCE & link.open.keys() else set())
    gone = {n for n in rules.required if is_blank(hub.values.get(n)) and isinstance(base.get(n), UUID)}
    fields = {n: value for n, value in differing(rules, link, hub).items() if n not in asked and n not in gone}
    if rules.becomes is not None and rules.is_history(hub):
        return {n: value for n, value in fields.items() if n == rules.becomes.into}
    if AT_ONCE & fields.keys():  # whatever somebody makes of the other there meanwhile
        sure = AT_ONCE - rules.once
        fields |= {n: v for n, v in hub.seen.items() if n in sure and not is_blank(v) and rules.writes_field(n)}
    return fields


# ---------------------------------------------------------------- creates


def _create(item: Pushable, hub: Hub, rules: Rules) -> PushDecision:
    if item.found is not None:
        base = item.intent.sent if item.intent is not None else {}
        return PushDecision(item.entity_id, PushKind.ADOPT, base, item.found, None, hub.version)
    if rules.is_history(hub) or any(hub.values.get(name) not in values for name, values in rules.only.items()):
        return PushDecision(item.entity_id, PushKind.NOTHING)
    if not rules.creates_out or (item.link is not None and not _recreates(item.link, hub, rules)):
        return PushDecision(item.entity_id, PushKind.NOTHING)
    fields = {n: v for n, v in hub.seen.items() if (v or not is_blank(v)) and rules.writes_field(n)}
    # Associated once it is known to be there, so that no create hangs on it; but a main one alone comes with the record.
    later = {n for n in fields.keys() & rules.links if fields[n] != [fields.get(rules.mains.get(n, ""))]}
    later |= fields.keys() & (rules.afterwards | rules.labels)
    more = bool(later) or item.failure is not None
    fields = {n: v for n, v in fields.items() if n not in later} if later else fields
    if item.failure is not None and item.failure.field not in rules.labels:
        return PushDecision(item.entity_id, PushKind.REFUSE, fields, hub_version=hub.version, failure=item.failure)
    waited = tuple(w for w in item.waits if w.field in rules.required)
    if waited:
        return PushDecision(item.entity_id, PushKind.WAIT, hub_version=hub.version, waits=waited)
    return PushDecision(item.entity_id, PushKind.CREATE, fields, None, None, hub.version, later=item.waits, more=more)


def _recreates(link: Link, hub: Hub, rules: Rules) -> bool:
    """Whether a record that the vendor deleted is created there again.

    Never by ARCHIVE; by IGNORE where the hub has edits since; by PROPAGATE always: a record that stands although its delete was
    propagated was restored, or edited meanwhile.
    """
    if rules.deletes_in is not DeletePolicy.IGNORE:
        return rules.deletes_in is DeletePolicy.PROPAGATE
    base = link.base or {}
    return any(rules.writes_field(n) and not same(v, base.get(n)) for n, v in hub.seen.items())


# ---------------------------------------------------------------- deletes


def _delete(item: Pushable, hub: Hub, rules: Rules) -> PushDecision:
    link = item.link
    if link is None or link.tombstoned or rules.deletes_out is not DeletePolicy.PROPAGATE:
        return PushDecision(item.entity_id, PushKind.NOTHING)
    if item.elsewhere or (item.current is not None and item.current.outside):
        return PushDecision(item.entity_id, PushKind.PART, {}, link.vendor_id, hub_version=hub.version)
    if item.current is not None and rules.edit_beats_delete and rules.pulls:
        known = Known({link.vendor_id: link}, {hub.id: hub})
        learned = plan_pull([item.current], known, rules, lambda _: hub.id)[0]
        if learned.outcome is Outcome.REVIVED:
            return PushDecision(item.entity_id, PushKind.RESTORE, vendor_id=link.vendor_id, pull=learned)
    conflicts: tuple[Conflict, ...] = ()
    if item.current is not None and not item.current.deleted:
        changed = vendor_edits(rules, link, item.current)
        if changed:
            conflicts = (Conflict("*", Side.HUB, "delete_beats_edit", None, changed),)
    return PushDecision(
        item.entity_id, PushKind.DELETE, {}, link.vendor_id, link.version or None, hub.version, conflicts=conflicts
    )


# ---------------------------------------------------------------- refused


class Refusal(StrEnum):
    """What becomes of a create that the vendor refuses for a record that stands there."""

    OVER = "over"  # the record is linked or merged by now
    WAIT = "wait"  # what stands there is about to go, or to be taken in
    DEAD = "dead"  # a person has to say which of the two it is


def after_refusal(entity_id: UUID, standing: Incoming, known: Known, *, shared: bool) -> Refusal:
    """Decide, once ``standing`` was read and taken account of. ``shared``: another object may hold that one, and take it in."""
    own, link = known.hubs.get(entity_id), known.links.get(standing.vendor_id)
    if own is None or own.deleted:
        return Refusal.OVER
    if standing.deleted or standing.merged_into is not None:
        return Refusal.WAIT
    if link is None:
        return Refusal.WAIT if shared else Refusal.DEAD
    if link.entity_id == entity_id:
        return Refusal.WAIT if link.tombstoned else Refusal.OVER
    hub = known.hubs.get(link.entity_id)
    return Refusal.WAIT if hub is None or hub.deleted else Refusal.DEAD


# ---------------------------------------------------------------- order


def in_order(decisions: Sequence[PushDecision]) -> list[PushDecision]:
    """Decisions with parents before the records of the same object that wait for them, as far as there is no cycle."""
    by_id = {d.entity_id: d for d in decisions}
    placed: dict[UUID, None] = {}

    def place(decision: PushDecision, above: frozenset[UUID]) -> None:
        for ref in (*decision.waits, *decision.later):
            parent = by_id.get(ref.entity_id)
            if parent is not None and ref.entity_id not in above and ref.entity_id not in placed:
                place(parent, above | {decision.entity_id})
        placed.setdefault(decision.entity_id)

    for decision in decisions:
        place(decision, frozenset())
    return [by_id[entity_id] for entity_id in placed]
