"""Between the engine's values and the rows of its store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.entities import ENTITIES
from storage.dead_letters import NewLetter
from storage.sync.changing import Edit
from storage.sync.contested import NewConflict
from storage.sync.gathering import StoredHub, StoredLink
from storage.sync.lanes import LaneKey, StoredLane
from storage.sync.pushing import DueWork
from storage.sync.setting_up import StoredSetUp
from storage.sync.values import decode, encode
from sync_engine.core.merge import is_blank
from sync_engine.core.model import (
    PROVENANCE,
    Conflict,
    Decision,
    Failure,
    Hub,
    HubRef,
    Intent,
    Link,
    Record,
    Side,
)
from sync_engine.core.stand_ins import SetUp, SetUpRecord
from sync_engine.ports import Lane, LaneState, Pushed, Resync


def key_of(lane: Lane) -> LaneKey:
    return LaneKey(lane.tenant_id, lane.connection_id, lane.object)


# ---------------------------------------------------------------- read


def state_of(stored: StoredLane | None) -> LaneState:
    """A lane that nobody set up stands at its beginning."""
    if stored is None:
        return LaneState()
    resync = None
    if stored.resync is not None:
        resync = Resync(**{**stored.resync, "started_at": datetime.fromisoformat(stored.resync["started_at"])})
    return LaneState(stored.cursor, resync, stored.status, stored.verified_at, stored.counts, deletes=stored.deletes)


def link_of(entity: str, stored: StoredLink, hub: StoredHub | None, asked: Mapping[str, tuple[Any, Any]]) -> Link:
    """A link; where its base is what the hub record itself says, that is written out."""
    held = {} if hub is None else hub.values
    return Link(
        stored.vendor_id,
        stored.entity_id,
        held if stored.base is None else decode(entity, stored.base),
        decode(entity, stored.sent or {}, blanks=True),
        stored.version,
        stored.fingerprint,
        stored.origin,
        stored.revision,
        stored.tombstoned,
        asked,
    )


def hub_of(stored: StoredHub, times: Mapping[str, datetime] | None = None) -> Hub:
    return Hub(stored.id, stored.version, stored.values, {}, times or {}, stored.deleted, stored.deleted_by)


def intent_of(entity: str, entity_id: UUID, sent: Mapping[str, Any], at: datetime, generation: int) -> Intent:
    return Intent(entity_id, decode(entity, sent, blanks=True), at, generation)


def due_intent(entity: str, work: DueWork) -> Intent | None:
    return None if work.intent is None else intent_of(entity, work.entity_id, *work.intent)


def references_of(entity: str, hub: Hub) -> list[HubRef]:
    """The references of a record that a lane might write."""
    return [
        HubRef(f.name, f.refers_to, hub.values[f.name])
        for f in ENTITIES[entity].references
        if hub.values.get(f.name) is not None and f.name not in PROVENANCE and f.refers_to
    ]


def set_up_of(connection_id: UUID, stored: Sequence[StoredSetUp], names: Sequence[tuple[UUID, str, str, str]]) -> SetUp:
    """Stages and pipelines as one connection has them, with the names that streams (of whichever connection) give them."""
    given: dict[tuple[UUID, str, str], set[str]] = {}
    for named_by, entity, name, vendor_id in names:
        given.setdefault((named_by, entity, vendor_id), set()).add(name.strip().casefold())
    records = {
        s.id: SetUpRecord(
            s.id,
            s.entity,
            s.name,
            s.parent,
            frozenset(object_name for where, object_name, _ in s.links if where == connection_id),
            frozenset(n for where, _, vendor_id in s.links for n in given.get((where, s.entity, vendor_id), ())),
        )
        for s in stored
    }
    return SetUp(records)


# ---------------------------------------------------------------- written


def resync_form(resync: Resync | None) -> dict[str, Any] | None:
    return None if resync is None else asdict(resync)


def failure_form(failure: Failure | None) -> dict[str, Any] | None:
    return None if failure is None else asdict(failure)


def base_form(base: Record) -> dict[str, Any]:
    """The JSON form of a base: what is blank says nothing."""
    return encode({n: v for n, v in base.items() if v or not is_blank(v)})


def edit_of(decision: Decision, entity_id: UUID) -> Edit:
    return Edit(entity_id, decision.set_hub, decision.rules)


def link_row(decision: Decision) -> dict[str, Any]:
    """The row of a link that a decision renews, for `storage.sync.linking.put`."""
    item = decision.incoming
    return {
        "vendor_id": decision.vendor_id,
        "entity_id": decision.entity_id,
        "base": base_form(decision.base or {}),
        "version": "" if item is None else item.version,
        "fingerprint": "" if item is None else item.fingerprint.hex(),
        "origin": decision.link_origin,
        "tombstone": decision.tombstone_link,
        "drop_sent": decision.drop_sent or decision.tombstone_link,
    }


def pushed_row(pushed: Pushed, *, drop_sent: bool, known: bool) -> dict[str, Any]:
    """The row of a link after a write. What the vendor lists of it next is looked at, whatever it said before.

    ``drop_sent``: nothing is in flight to it any more. ``known``: it stands already, and keeps where it came from.
    """
    vendor_id, base, version = pushed.link or ("", {}, "")
    return {
        "vendor_id": vendor_id,
        "entity_id": pushed.entity_id,
        "base": base_form(base),
        "version": version,
        "fingerprint": "",
        "origin": "" if known else "pushed",
        "tombstone": pushed.deleted,
        "drop_sent": drop_sent,
    }


def conflicts_of(
    vendor_id: str, entity_id: UUID | None, conflicts: Iterable[Conflict], revision: int | None
) -> list[NewConflict]:
    return [_conflict(vendor_id, entity_id, c, revision) for c in conflicts if entity_id is not None]


def _conflict(vendor_id: str, entity_id: UUID, conflict: Conflict, revision: int | None) -> NewConflict:
    """Of an open conflict, the first value is the hub's."""
    hub, vendor = conflict.winning_value, conflict.losing_value
    if conflict.winner is Side.VENDOR:
        hub, vendor = vendor, hub
    winner = None if conflict.winner is None else str(conflict.winner)
    return NewConflict(vendor_id, entity_id, conflict.field, str(conflict.rule), winner, hub, vendor, revision or 0)


def letter_of(key: LaneKey, entity: str, decision: Decision, failure: Failure) -> NewLetter:
    """The dead letter of a record that was refused: by its mapping, or by the hub."""
    item = decision.incoming
    mapped = item is not None and item.error is None
    return replace(
        _letter("pull" if mapped else "map", key, entity, failure),
        vendor_id=decision.vendor_id,
        entity_id=decision.entity_id,
        payload=None if item is None else item.raw,
        mapped=encode(item.values) if item is not None and mapped else None,
    )


def piece_letter(key: LaneKey, entity: str, failure: Failure, raw: Any) -> NewLetter:
    """The dead letter of a piece of a page that was no record."""
    return replace(_letter("map", key, entity, failure), payload=raw)


def push_letter(key: LaneKey, entity: str, pushed: Pushed, failure: Failure) -> NewLetter:
    return replace(_letter("push", key, entity, failure), entity_id=pushed.entity_id, mapped=pushed.mapped)


def _letter(stage: str, key: LaneKey, entity: str, failure: Failure) -> NewLetter:
    return NewLetter(
        stage=stage,
        code=failure.code,
        message=failure.message,
        connection_id=key.connection_id,
        object=key.object,
        entity=entity,
        field=failure.field,
        fault=failure.fault,
    )


def wait_rows(pushed: Sequence[Pushed]) -> list[dict[str, Any]]:
    """What pushed records wait for, for `storage.sync.queueing.await_hub`."""
    return [
        {"entity_id": p.entity_id, "wait_entity": ref.entity, "wait_id": ref.entity_id}
        for p in pushed
        for ref in (*p.waits, *p.later)
    ]
