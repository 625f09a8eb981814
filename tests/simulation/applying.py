"""What the in-memory store does to its tables within one transaction: pulls, pushes, edits, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sync_engine.core.merge import is_blank, same
from sync_engine.core.model import Conflict, Decision, Failure, Link, Outcome, Record
from sync_engine.ports import Lane, LaneState, Lease, PullCommit, Pushed, PushEnd, RecordNotice, StaleError
from tests.simulation.tables import ConflictRow, DeadRow, HistoryRow, HubRow, LaneRow, Tables, WorkRow

# ---------------------------------------------------------------- look-ups


def link_of(tables: Tables, lane: Lane, entity_id: UUID) -> Link | None:
    """The link of a hub record on a lane: the first live one, else the last."""
    mine = [k for (of, _), k in tables.links.items() if of == lane and k.entity_id == entity_id]
    return next((k for k in mine if not k.tombstoned), mine[-1] if mine else None)


def is_linked(tables: Tables, lane: Lane, entity_id: UUID) -> bool:
    """Whether the connection has a live record of it, of whatever object."""
    return any(
        k.entity_id == entity_id and not k.tombstoned
        for (of, _), k in tables.links.items()
        if (of.tenant_id, of.connection_id) == (lane.tenant_id, lane.connection_id)
    )


def hub_of(tables: Tables, lane: Lane, objects: Sequence[str], vendor_id: str) -> UUID | None:
    """The hub record that a reference by vendor id means."""
    for name in objects:
        link = tables.links.get((Lane(lane.tenant_id, lane.connection_id, name), vendor_id))
        if link is not None and not link.tombstoned:
            entity_id = survivor(tables, link.entity_id)
            row = tables.hubs.get(entity_id)
            if row is not None and not row.deleted:
                return entity_id
    return None


def survivor(tables: Tables, entity_id: UUID) -> UUID:
    while entity_id in tables.redirects:
        entity_id = tables.redirects[entity_id]
    return entity_id


def candidates(tables: Tables, lane: Lane, entity: str, keys: Sequence[Mapping[str, Any]]) -> tuple[UUID, ...]:
    """Live hub records that agree on all fields of one key and have no live link on the lane."""
    linked = {k.entity_id for (of, _), k in tables.links.items() if of == lane and not k.tombstoned}
    return tuple(
        entity_id
        for entity_id, row in sorted(tables.hubs.items())
        if (row.tenant_id, row.entity, row.deleted) == (lane.tenant_id, entity, False)
        and entity_id not in linked
        and any(key and all(same(row.values.get(n), v) for n, v in key.items()) for key in keys)
    )


# ---------------------------------------------------------------- work that follows


def queue(tables: Tables, lane: Lane, entity_id: UUID) -> None:
    """Make a hub record due on a lane, with a new token."""
    tables.work[lane, entity_id] = WorkRow(tables.next_serial(), None)


def _queue_everywhere(tables: Tables, entity_id: UUID, names: Iterable[str] | None, lane: Lane | None = None) -> None:
    row = tables.hubs[entity_id]
    changed = None if names is None else frozenset(names)
    for other, stream in tables.streams.items():
        if other.tenant_id != row.tenant_id or stream.entity != row.entity or other == lane:
            continue
        if stream.concerns(changed):
            queue(tables, other, entity_id)


def notice(tables: Tables, lane: Lane, vendor_id: str, deleted: bool = False) -> None:
    """A hint. A new one has a new id, so that answering an older one does not take it away."""
    tables.notices[lane, vendor_id] = RecordNotice(UUID(int=tables.next_serial()), vendor_id, deleted)


def _linked_now(tables: Tables, lane: Lane, vendor_id: str, entity_id: UUID) -> None:
    """A new live link: what waited for it is due."""
    account = (lane.tenant_id, lane.connection_id)
    for of, waiting, ref in list(tables.push_waits):
        if (of.tenant_id, of.connection_id) == account and ref.entity_id == entity_id:
            del tables.push_waits[of, waiting, ref]
            queue(tables, of, waiting)
    for of, waiting_id, vendor_ref in list(tables.vendor_waits):
        here = (of.tenant_id, of.connection_id) == account and lane.object in vendor_ref.objects
        if here and vendor_ref.vendor_id == vendor_id:
            del tables.vendor_waits[of, waiting_id, vendor_ref]
            notice(tables, of, waiting_id)


# ---------------------------------------------------------------- hub records


def create_hub(
    tables: Tables,
    now: datetime,
    tenant_id: UUID,
    entity: str,
    entity_id: UUID,
    values: Record,
    lane: Lane | None,
    rule: str,
) -> None:
    if entity_id in tables.hubs:
        set_hub(tables, now, entity_id, values, {}, lane)
        return
    tables.hubs[entity_id] = HubRow(tenant_id, entity, 0, {})
    set_hub(tables, now, entity_id, values, dict.fromkeys(values, rule), lane, whole=True)


def set_hub(
    tables: Tables,
    now: datetime,
    entity_id: UUID,
    values: Record,
    rules: Mapping[str, str],
    lane: Lane | None,
    *,
    whole: bool = False,
) -> None:
    """Set fields of a live record: version, history, times, and work for every other lane that they concern."""
    row = tables.hubs[entity_id]
    changed = {n: v for n, v in values.items() if not same(row.values.get(n), v)}
    if not changed and not whole:
        return
    by = None if lane is None else lane.connection_id
    for name, value in changed.items():
        rule = rules.get(name, "edited")
        old = row.values.get(name)
        tables.history.append(HistoryRow(row.tenant_id, row.entity, entity_id, name, value, old, rule, by))
    kept = {n: v for n, v in {**row.values, **changed}.items() if not is_blank(v)}
    times = {**row.times, **dict.fromkeys(changed, now)}
    tables.hubs[entity_id] = replace(row, version=row.version + 1, values=kept, times=times)
    _queue_everywhere(tables, entity_id, None if whole else changed, lane)


def delete_hub(tables: Tables, now: datetime, entity_id: UUID, lane: Lane | None, into: UUID | None = None) -> None:
    """Leave a tombstone. Records that referred to it lose the reference, or refer to the survivor of a merge."""
    row = tables.hubs[entity_id]
    if row.deleted:
        return
    by = None if lane is None else lane.connection_id
    children = tuple(
        (i, n) for i, h in tables.hubs.items() for n, v in h.values.items() if not h.deleted and v == entity_id
    )
    kept = () if into is not None else children
    tables.hubs[entity_id] = replace(row, version=row.version + 1, deleted=True, deleted_by=by, children=kept)
    _queue_everywhere(tables, entity_id, None, lane)
    for child_id, name in children:
        set_hub(tables, now, child_id, {name: into}, {name: "reference_gone"}, None)


def _restore_hub(tables: Tables, now: datetime, decision: Decision, lane: Lane) -> None:
    assert decision.entity_id is not None
    row = tables.hubs[decision.entity_id]
    tables.redirects.pop(decision.entity_id, None)
    tables.hubs[decision.entity_id] = replace(row, deleted=False, deleted_by=None, children=())
    set_hub(tables, now, decision.entity_id, decision.set_hub, decision.rules, lane, whole=True)
    for child_id, name in row.children:
        child = tables.hubs[child_id]
        if not child.deleted and is_blank(child.values.get(name)):
            set_hub(tables, now, child_id, {name: decision.entity_id}, {name: "reference_restored"}, None)


def _merge_hubs(tables: Tables, now: datetime, decision: Decision, lane: Lane) -> None:
    loser, into = decision.entity_id, decision.merge_into
    assert loser is not None
    assert into is not None
    stands = tables.hubs[into].values
    fills = {n: v for n, v in decision.set_hub.items() if is_blank(stands.get(n))}
    set_hub(tables, now, into, fills, dict.fromkeys(fills, "merged"), lane)
    if not decision.delete:  # merged before
        return
    tables.redirects[loser] = into
    delete_hub(tables, now, loser, lane, into)
    for (of, vendor_id), link in list(tables.links.items()):
        if link.entity_id != loser or link.tombstoned or of == lane or is_live_on(tables, of, into):
            continue  # a lane that has a record of each has to delete the loser's: its link stays, and `delete_hub` queued it
        tables.links[of, vendor_id] = replace(link, entity_id=into, revision=link.revision + 1)
        queue(tables, of, into)


def is_live_on(tables: Tables, lane: Lane, entity_id: UUID) -> bool:
    link = link_of(tables, lane, entity_id)
    return link is not None and not link.tombstoned


# ---------------------------------------------------------------- pulls


def apply_pull(tables: Tables, now: datetime, lease: Lease, commit: PullCommit) -> None:
    lane = lease.lane
    for decision in commit.decisions:
        _check(tables, lane, decision, commit)
    for decision in commit.decisions:
        _apply_decision(tables, now, lane, decision, commit.entity)
    for failure, raw in commit.rejects:
        _bury(tables, lane, "map", f"piece:{len(tables.dead)}", failure, raw)
    answered = set(commit.notices)
    for key in [k for k, n in tables.notices.items() if n.id in answered]:
        del tables.notices[key]
    names = [str(d.outcome) for d in commit.decisions] + ["rejected"] * len(commit.rejects)
    _move_lane(tables, lane, commit, names)


def _move_lane(tables: Tables, lane: Lane, commit: PullCommit, names: Sequence[str]) -> None:
    row = tables.lanes.get(lane, LaneRow())
    state = _counted(row.state, names)
    if commit.cursor is not None:
        state = replace(state, cursor=commit.cursor)
    if commit.resync is not None or commit.clears_resync:
        state = replace(state, resync=None if commit.clears_resync else commit.resync)
    if commit.deletes is not None:
        state = replace(state, deletes=dict(commit.deletes))
    if commit.verified_at is not None:
        state = replace(state, verified_at=commit.verified_at)
    tables.lanes[lane] = replace(row, state=state)


def _counted(state: LaneState, names: Sequence[str]) -> LaneState:
    counts = dict(state.counts)
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return replace(state, counts=counts)


def _check(tables: Tables, lane: Lane, decision: Decision, commit: PullCommit) -> None:
    """Raise StaleError where the plan's premises no longer hold."""
    if decision.create and candidates(tables, lane, commit.entity, commit.matches.get(decision.vendor_id, ())):
        raise StaleError
    if decision.hub_version is not None and decision.entity_id is not None:
        row = tables.hubs.get(decision.entity_id)
        if row is None or row.version != decision.hub_version:
            raise StaleError
    if decision.merge_into is not None and tables.hubs[decision.merge_into].deleted:
        raise StaleError
    if decision.base is not None:
        link = tables.links.get((lane, decision.vendor_id))
        if (None if link is None else link.revision) != decision.link_revision:
            raise StaleError


def _apply_decision(tables: Tables, now: datetime, lane: Lane, decision: Decision, entity: str) -> None:
    if decision.outcome is Outcome.REJECTED:
        raw = None if decision.incoming is None else decision.incoming.raw
        assert decision.failure is not None
        _bury(tables, lane, "map", decision.vendor_id, decision.failure, raw)
        return
    _apply_to_hub(tables, now, lane, decision, entity)
    _apply_to_link(tables, lane, decision)
    _note_conflicts(tables, lane, decision.vendor_id, decision.entity_id, decision.conflicts)
    if decision.settles_intent and decision.entity_id is not None:
        tables.intents.pop((lane, decision.entity_id), None)
    if decision.push and decision.entity_id is not None:
        queue(tables, lane, decision.merge_into or decision.entity_id)
    if decision.outcome.ledger == "applied":
        _unbury(tables, lane, decision.vendor_id)
    _note_vendor_waits(tables, lane, decision)


def _apply_to_hub(tables: Tables, now: datetime, lane: Lane, decision: Decision, entity: str) -> None:
    entity_id = decision.entity_id
    if entity_id is None:
        return
    if decision.create:
        create_hub(tables, now, lane.tenant_id, entity, entity_id, decision.set_hub, lane, "created")
    elif decision.restore:
        _restore_hub(tables, now, decision, lane)
    elif decision.merge_into is not None:
        _merge_hubs(tables, now, decision, lane)
    elif decision.delete:
        delete_hub(tables, now, entity_id, lane)
    elif decision.set_hub:
        set_hub(tables, now, entity_id, decision.set_hub, decision.rules, lane)


def _apply_to_link(tables: Tables, lane: Lane, decision: Decision) -> None:
    key = (lane, decision.vendor_id)
    old = tables.links.get(key)
    if decision.base is None or decision.entity_id is None:
        if decision.drop_sent and old is not None:
            tables.links[key] = replace(old, sent={})
        return
    item = decision.incoming
    assert item is not None
    tables.links[key] = Link(
        decision.vendor_id,
        decision.entity_id,
        dict(decision.base),
        {} if old is None or decision.drop_sent or decision.tombstone_link else old.sent,
        item.version or ("" if old is None else old.version),
        item.fingerprint,
        decision.link_origin,
        0 if old is None else old.revision + 1,
        decision.tombstone_link,
        {} if old is None else {n: pair for n, pair in old.open.items() if n not in decision.settled},
    )
    for name in decision.settled:
        close_conflicts(tables, lane, decision.vendor_id, name, "settled")
    if not decision.tombstone_link and (old is None or old.tombstoned or old.entity_id != decision.entity_id):
        _linked_now(tables, lane, decision.vendor_id, decision.entity_id)


def _note_vendor_waits(tables: Tables, lane: Lane, decision: Decision) -> None:
    for key in [k for k in tables.vendor_waits if k[:2] == (lane, decision.vendor_id)]:
        if decision.outcome is not Outcome.SUPERSEDED:
            del tables.vendor_waits[key]
    for ref in decision.waits:
        if hub_of(tables, lane, ref.objects, ref.vendor_id) is None:
            tables.vendor_waits[lane, decision.vendor_id, ref] = None
        else:
            notice(tables, lane, decision.vendor_id)


def _note_conflicts(
    tables: Tables, lane: Lane, vendor_id: str, entity_id: UUID | None, conflicts: Sequence[Conflict]
) -> None:
    for conflict in conflicts:
        status = "open" if conflict.winner is None else "settled"
        row = ConflictRow(lane, entity_id, vendor_id, conflict, status)
        if status == "open":
            close_conflicts(tables, lane, vendor_id, conflict.field, "replaced")
            link = tables.links[lane, vendor_id]
            asked = {**link.open, conflict.field: (conflict.winning_value, conflict.losing_value)}
            tables.links[lane, vendor_id] = replace(link, open=asked)
        if row not in tables.conflicts:
            tables.conflicts.append(row)


def close_conflicts(tables: Tables, lane: Lane, vendor_id: str, name: str, status: str) -> None:
    for place, row in enumerate(tables.conflicts):
        if (row.lane, row.vendor_id, row.conflict.field, row.status) == (lane, vendor_id, name, "open"):
            tables.conflicts[place] = replace(row, status=status)


def _bury(tables: Tables, lane: Lane, stage: str, key: str, failure: Failure, payload: Any) -> None:
    old = tables.dead.get((lane, stage, key))
    attempts = 1 if old is None else old.attempts + 1
    tables.dead[lane, stage, key] = DeadRow(lane, stage, key, failure, payload, attempts)


def _unbury(tables: Tables, lane: Lane, key: str) -> None:
    for stage in ("map", "push"):
        row = tables.dead.get((lane, stage, key))
        if row is not None and row.open:
            tables.dead[lane, stage, key] = replace(row, open=False)


# ---------------------------------------------------------------- pushes


def note_sent(tables: Tables, lane: Lane, vendor_id: str, fields: Record) -> None:
    """What is about to be written to a linked record: it counts as known, should it be read back."""
    link = tables.links[lane, vendor_id]
    tables.links[lane, vendor_id] = replace(link, sent={**link.sent, **fields})


def apply_push(tables: Tables, lease: Lease, ends: Sequence[Pushed]) -> None:
    for end in ends:
        _apply_end(tables, lease.lane, end)
    row = tables.lanes[lease.lane]
    tables.lanes[lease.lane] = replace(row, state=_counted(row.state, [f"push_{end.end}" for end in ends]))


def _apply_end(tables: Tables, lane: Lane, end: Pushed) -> None:
    if end.link is not None:
        _relink(tables, lane, end)
    elif end.deleted:
        _bury_link(tables, lane, end.entity_id)
    if end.end in (PushEnd.SENT, PushEnd.DEAD, PushEnd.RETRY):
        _forget_sending(tables, lane, end)
    elif end.end is PushEnd.NOTHING:
        tables.intents.pop((lane, end.entity_id), None)
    vendor_id = end.link[0] if end.link is not None else _vendor_id(tables, lane, end.entity_id)
    _note_conflicts(tables, lane, vendor_id, end.entity_id, end.conflicts)
    if end.end in (PushEnd.SENT, PushEnd.NOTHING):
        _unbury(tables, lane, str(end.entity_id))
    if end.failure is not None:
        _bury(tables, lane, "push", str(end.entity_id), end.failure, end.mapped)
    _end_work(tables, lane, end)


def _vendor_id(tables: Tables, lane: Lane, entity_id: UUID) -> str:
    link = link_of(tables, lane, entity_id)
    return "" if link is None else link.vendor_id


def _relink(tables: Tables, lane: Lane, end: Pushed) -> None:
    assert end.link is not None
    vendor_id, base, version = end.link
    old = tables.links.get((lane, vendor_id))
    if end.link_revision is not None and (old is None or old.revision != end.link_revision):
        raise StaleError
    fresh = Link(vendor_id, end.entity_id, origin="pushed") if old is None else old
    tables.links[lane, vendor_id] = replace(
        fresh,
        entity_id=end.entity_id,
        base=dict(base),
        version=version or fresh.version,
        sent={} if end.end is PushEnd.SENT else fresh.sent,
        fingerprint=b"",
        revision=0 if old is None else old.revision + 1,
        tombstoned=end.deleted,
    )
    if not end.deleted and (old is None or old.tombstoned):
        _linked_now(tables, lane, vendor_id, end.entity_id)


def _bury_link(tables: Tables, lane: Lane, entity_id: UUID) -> None:
    link = link_of(tables, lane, entity_id)
    if link is not None:
        buried = replace(link, tombstoned=True, sent={}, revision=link.revision + 1)
        tables.links[lane, link.vendor_id] = buried


def _forget_sending(tables: Tables, lane: Lane, end: Pushed) -> None:
    """The outcome of what was announced is known."""
    tables.intents.pop((lane, end.entity_id), None)
    link = link_of(tables, lane, end.entity_id)
    if link is not None and link.sent:
        tables.links[lane, link.vendor_id] = replace(link, sent={})


def _end_work(tables: Tables, lane: Lane, end: Pushed) -> None:
    row = tables.work.get((lane, end.entity_id))
    for ref in (*end.waits, *end.later):
        tables.push_waits[lane, end.entity_id, ref] = None
    ready = any(is_linked(tables, lane, ref.entity_id) for ref in (*end.waits, *end.later))
    if ready:  # linked between planning and now
        queue(tables, lane, end.entity_id)
        return
    if row is None or row.token != end.token:
        return  # a newer edit made it due again
    if end.end in (PushEnd.RETRY, PushEnd.UNCERTAIN):
        tables.work[lane, end.entity_id] = replace(row, due_at=end.retry_at, attempts=row.attempts + 1)
    elif end.end is PushEnd.WAITING:
        tables.work[lane, end.entity_id] = replace(row, waiting=True)
    else:
        del tables.work[lane, end.entity_id]
