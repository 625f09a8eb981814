"""What a commit of the engine does, inside its transaction: premises are checked under locks, then everything is written.

Locks are taken in one order (lane, connection, entity, hub records, links), so that commits queue up rather than deadlock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from storage import dead_letters
from storage.database import Connection
from storage.sync import changing, contested, deleting, gathering, lanes, letters, linking, pushing, queueing
from storage.sync.changing import Cause, Edit
from storage.sync.lanes import LaneKey, Progress
from sync_engine import postgres_rows as rows
from sync_engine.core.merge import is_blank
from sync_engine.core.model import Outcome
from sync_engine.core.planning import needs_another_look
from sync_engine.ports import LeaseLostError, PullCommit, Pushed, PushEnd, StaleError

_KNOWN = (PushEnd.SENT, PushEnd.DEAD, PushEnd.RETRY)
"""Ends after which nothing of a record is in flight: the vendor said what became of it."""

_OVER = (PushEnd.SENT, PushEnd.NOTHING, PushEnd.DEAD)

_THROUGH = (PushEnd.SENT, PushEnd.NOTHING)
"""Ends after which the vendor has what it is to have, so that an earlier refusal is history."""


def hold(conn: Connection, key: LaneKey, generation: int) -> None:
    """Hold the lane's row. Raises LeaseLostError."""
    if not lanes.hold(conn, key, generation):
        raise LeaseLostError(key.object)


# ---------------------------------------------------------------- pulls


def apply_pull(conn: Connection, key: LaneKey, commit: PullCommit) -> None:
    """Apply a batch. Raises StaleError."""
    decisions = commit.decisions
    if any(needs_another_look(d) for d in decisions):
        raise ValueError("a decision that has to be made anew cannot be committed")
    if any(d.base is not None or d.waits for d in decisions):
        lanes.lock_connection(conn, key)
    if any(d.create for d in decisions):
        lanes.lock_entity(conn, key.tenant_id, commit.entity)
    standing = _check_hubs(conn, key, commit)
    linked = _check_links(conn, key, [(d.vendor_id, d.link_revision) for d in decisions if d.base is not None])
    _check_matches(conn, key, commit)
    _look_beside(conn, key, commit, linked)
    _change_hubs(conn, key, commit, standing)
    _renew_links(conn, key, commit, linked)
    _note(conn, key, commit)
    _close_letters(conn, key, commit)
    lanes.advance(conn, key, _progress(commit))


def _check_hubs(conn: Connection, key: LaneKey, commit: PullCommit) -> dict[UUID, tuple[int, bool]]:
    """Lock the hub records of the batch; (version, is it live) of each."""
    changing_ids = {d.entity_id for d in commit.decisions if d.entity_id and (d.create or d.hub_version is not None)}
    survivors = {d.merge_into for d in commit.decisions if d.merge_into is not None}
    standing = gathering.lock_hubs(conn, key.tenant_id, commit.entity, changing_ids | survivors)
    for decision in commit.decisions:
        if decision.hub_version is None or decision.entity_id is None:
            continue
        version, live = standing.get(decision.entity_id, (None, False))
        if version != decision.hub_version or live is decision.restore:
            raise StaleError(decision.vendor_id)
    if any(not standing.get(s, (0, False))[1] for s in survivors):
        raise StaleError("a survivor is gone")
    return standing


def _check_links(
    conn: Connection, key: LaneKey, expected: Sequence[tuple[str, int | None]]
) -> dict[str, tuple[int, UUID, bool]]:
    """Lock the links of the batch; each must stand at the revision that was planned against, or not at all."""
    linked = linking.lock(conn, key, [vendor_id for vendor_id, _ in expected])
    for vendor_id, revision in expected:
        if (linked[vendor_id][0] if vendor_id in linked else None) != revision:
            raise StaleError(vendor_id)
    return linked


def _look_beside(conn: Connection, key: LaneKey, commit: PullCommit, linked: dict[str, tuple[int, UUID, bool]]) -> None:
    """Of records that are linked anew none may be linked by the other object by now; those that were are looked at there again."""
    if commit.beside is None:
        return
    name, known = commit.beside
    new = [
        d.vendor_id
        for d in commit.decisions
        if d.base is not None and not d.tombstone_link and not (d.vendor_id in linked and linked[d.vendor_id][2])
    ]
    other = replace(key, object=name)
    there = {vendor_id for vendor_id, (_, _, live) in linking.lock(conn, other, new).items() if live}
    if there - known:
        raise StaleError(min(there - known))
    if there and lanes.is_stream(conn, other):
        queueing.add_notices(conn, other, dict.fromkeys(there, False))


def _check_matches(conn: Connection, key: LaneKey, commit: PullCommit) -> None:
    """Of records that are created, none may be in the hub by now."""
    own = {d.vendor_id: d.entity_id for d in commit.decisions if d.create}
    matches = {v: keys for v, keys in commit.matches.items() if v in own}
    for vendor_id, ids in gathering.candidates(conn, key, commit.entity, matches).items():
        if any(i != own[vendor_id] for i in ids):
            raise StaleError(vendor_id)


def _change_hubs(conn: Connection, key: LaneKey, commit: PullCommit, standing: dict[UUID, tuple[int, bool]]) -> None:
    """Creates, updates, restores, merges and deletes, and the work that each makes for other lanes."""
    cause, entity = Cause(key.tenant_id, "sync", key), commit.entity
    creates, updates, restores = _sorted_edits(commit, standing)
    touched = [(entity, changing.Touched(i)) for i in sorted(changing.create(conn, cause, entity, creates))]
    merged = {d.entity_id: d.merge_into for d in commit.decisions if d.delete and d.entity_id and d.merge_into}
    updates += _fills(conn, key, commit)
    touched += [(entity, t) for t in changing.update(conn, cause, entity, updates)]
    moved = deleting.restore(conn, cause, entity, restores)
    moved += deleting.merge(conn, cause, entity, merged)
    gone = [d.entity_id for d in commit.decisions if d.delete and d.entity_id and d.merge_into is None]
    moved += deleting.delete(conn, cause, entity, gone)
    # Records that refer to one that went or came are changed by the hub, not by this vendor: it has to be told, too.
    subjects = {d.entity_id for d in commit.decisions}
    own = {d.merge_into or d.entity_id for d in commit.decisions if d.push}
    for name in dict.fromkeys(e for e, _ in [(entity, None), *touched, *moved]):
        told = {t.id for e, t in moved if e == name and t.id not in subjects}
        mine = told | ({i for i in own if i is not None} if name == entity else set())
        changing.queue(conn, cause, name, [t for e, t in [*touched, *moved] if e == name], mine)


def _sorted_edits(
    commit: PullCommit, standing: dict[UUID, tuple[int, bool]]
) -> tuple[list[Edit], list[Edit], list[Edit]]:
    """Creates, updates and restores. A record to create that stands already (the same id) takes the values instead."""
    creates: list[Edit] = []
    updates: list[Edit] = []
    restores: list[Edit] = []
    for d in commit.decisions:
        if d.entity_id is None or d.delete or d.merge_into is not None:
            continue
        edit = rows.edit_of(d, d.entity_id)
        if d.restore or (d.create and d.entity_id in standing and not standing[d.entity_id][1]):
            restores.append(edit)
        elif d.create and d.entity_id not in standing:
            creates.append(edit)
        else:
            updates.append(edit)
    return creates, updates, restores


def _fills(conn: Connection, key: LaneKey, commit: PullCommit) -> list[Edit]:
    """What survivors take from the records merged into them: only where they still have nothing."""
    merges = [d for d in commit.decisions if d.merge_into is not None and d.set_hub]
    hubs = gathering.hubs(conn, key.tenant_id, commit.entity, [d.merge_into for d in merges if d.merge_into])
    result: dict[UUID, dict[str, object]] = {}
    for d in merges:
        assert d.merge_into is not None  # noqa: S101  # chosen so
        stands = rows.hub_of(hubs[d.merge_into]).values
        taken = result.setdefault(d.merge_into, {})
        taken |= {n: v for n, v in d.set_hub.items() if is_blank(stands.get(n)) and n not in taken}
    return [Edit(i, fields, dict.fromkeys(fields, "merged")) for i, fields in result.items()]


def _renew_links(conn: Connection, key: LaneKey, commit: PullCommit, linked: dict[str, tuple[int, UUID, bool]]) -> None:
    renewed = [d for d in commit.decisions if d.base is not None and d.entity_id is not None]
    linking.put(conn, key, commit.entity, [rows.link_row(d) for d in renewed])
    new = []
    for d in renewed:
        _, entity_id, was_live = linked.get(d.vendor_id, (0, None, False))
        if d.entity_id is not None and not d.tombstone_link and not (was_live and entity_id == d.entity_id):
            new.append(d.entity_id)
    queueing.settle(conn, key.tenant_id, new)


def _note(conn: Connection, key: LaneKey, commit: PullCommit) -> None:
    """Conflicts, settled intents, waits and answered notices of a batch."""
    contested.close(
        conn, key, [(d.vendor_id, n) for d in commit.decisions for n in d.settled], "nobody contests it any more"
    )
    contested.close_all(
        conn, key, [d.vendor_id for d in commit.decisions if d.tombstone_link], "the record was deleted"
    )
    found = [
        c
        for d in commit.decisions
        if d.conflicts
        for c in rows.conflicts_of(d.vendor_id, d.entity_id, d.conflicts, d.link_revision)
    ]
    contested.store(conn, key, commit.entity, found)
    pushing.forget_intents(conn, key, [d.entity_id for d in commit.decisions if d.settles_intent and d.entity_id])
    waits = [(d.vendor_id, w.objects, w.vendor_id) for d in commit.decisions for w in d.waits]
    queueing.await_vendor(conn, key, waits)
    queueing.answer(conn, key.tenant_id, commit.notices)


def _close_letters(conn: Connection, key: LaneKey, commit: PullCommit) -> None:
    """Dead letters for what was refused; those of records that got through by now are closed."""
    refused = [d for d in commit.decisions if d.outcome is Outcome.REJECTED]
    new = [rows.letter_of(key, commit.entity, d, d.failure) for d in refused if d.failure is not None]
    new += [rows.piece_letter(key, commit.entity, failure, raw) for failure, raw in commit.rejects]
    if new:
        dead_letters.record(conn, key.tenant_id, new)
    still = {d.vendor_id for d in refused}
    over = {d.vendor_id: d.outcome is Outcome.SUPERSEDED for d in commit.decisions if d.vendor_id not in still}
    letters.close_pulled(conn, key, over)


def _progress(commit: PullCommit) -> Progress:
    counts = Counter({str(outcome): n for outcome, n in Counter(d.outcome for d in commit.decisions).items()})
    if commit.rejects:
        counts[str(Outcome.REJECTED)] += len(commit.rejects)
    resync = rows.resync_form(commit.resync)
    return Progress(counts, commit.cursor, resync, commit.clears_resync, commit.verified_at, commit.deletes)


# ---------------------------------------------------------------- pushes


def apply_push(conn: Connection, key: LaneKey, entity: str, ends: Sequence[Pushed]) -> None:
    """Record how pushes ended. Raises StaleError."""
    if any(e.link or e.waits or e.later for e in ends):
        lanes.lock_connection(conn, key)
    _relink(conn, key, entity, [e for e in ends if e.link is not None])
    linking.bury(conn, key, [e.entity_id for e in ends if e.deleted and e.link is None])
    known = [e for e in ends if e.end in _KNOWN]
    pushing.forget_sent(conn, key, [e.entity_id for e in known if e.link is None])
    _note_push_conflicts(conn, key, entity, ends)
    done = {e.entity_id: e.token for e in ends if e.end in _OVER}
    through = [e.entity_id for e in ends if e.end in _THROUGH]
    announced = [e.entity_id for e in ends if e.end in _KNOWN or e.end is PushEnd.NOTHING]
    pushing.finish(conn, key, done, announced, through)
    failed = [rows.push_letter(key, entity, e, e.failure) for e in ends if e.failure]
    if failed:  # after the letters of earlier failures were closed: what got through may leave something out
        dead_letters.record(conn, key.tenant_id, failed)
    pushing.postpone(conn, key, [(e.entity_id, e.token, _state(e.end), e.retry_at) for e in ends if e.end not in _OVER])
    queueing.await_hub(conn, key, entity, rows.wait_rows(ends))
    lanes.advance(conn, key, Progress({f"push_{end}": n for end, n in Counter(e.end for e in ends).items()}))


def _state(end: PushEnd) -> str:
    return {PushEnd.WAITING: "waiting", PushEnd.UNCERTAIN: "uncertain"}.get(end, "due")


def _relink(conn: Connection, key: LaneKey, entity: str, ends: Sequence[Pushed]) -> None:
    linked = linking.lock(conn, key, [e.link[0] for e in ends if e.link])
    for e in ends:
        known = linked.get(e.link[0]) if e.link else None
        if e.link_revision is not None and (known is None or known[0] != e.link_revision):
            raise StaleError(str(e.entity_id))
        if e.link_revision is None and known is not None and known[2] and known[1] != e.entity_id:
            raise StaleError(str(e.entity_id))
    put = [rows.pushed_row(e, drop_sent=e.end in _KNOWN, known=bool(e.link and e.link[0] in linked)) for e in ends]
    linking.put(conn, key, entity, put)
    live = {v for v, (_, _, was_live) in linked.items() if was_live}
    queueing.settle(
        conn, key.tenant_id, [e.entity_id for e in ends if e.link and not e.deleted and e.link[0] not in live]
    )
    contested.close_all(conn, key, [e.link[0] for e in ends if e.link and e.deleted], "the record was deleted")


def _note_push_conflicts(conn: Connection, key: LaneKey, entity: str, ends: Sequence[Pushed]) -> None:
    told = [e for e in ends if e.conflicts]
    if not told:
        return
    names = linking.vendor_ids(conn, key, [e.entity_id for e in told])
    found = []
    for e in told:
        vendor_id = e.link[0] if e.link else names.get(e.entity_id, "")
        found += rows.conflicts_of(vendor_id, e.entity_id, e.conflicts, e.link_revision)
    contested.store(conn, key, entity, found)
