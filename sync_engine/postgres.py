"""The engine's store in PostgreSQL: `sync_engine.ports.SyncStore` over the statements of `storage.sync`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from storage.database import Connection, Database
from storage.staging import concerns_record, reason
from storage.sync import changing, contested, gathering, joining, lanes, linking, pushing, queueing, setting_up
from storage.sync.changing import Cause
from storage.sync.gathering import StoredHub, StoredLink
from storage.sync.linking import Range
from storage.sync.values import encode
from sync_engine import postgres_rows as rows
from sync_engine.core.model import Decision, Failure, Known, Outcome, Pushable
from sync_engine.core.stand_ins import SetUp
from sync_engine.ports import (
    Gathered,
    Lane,
    LaneState,
    Lease,
    PullCommit,
    PullQuery,
    Pushed,
    PushWork,
    RecordNotice,
    Sending,
    Span,
    StaleError,
)
from sync_engine.postgres_apply import apply_pull, apply_push, hold

_MOVED = ("23503", "23505")


class _UndoError(Exception):
    """Ends a transaction that was only a trial."""


class PostgresSyncStore:
    """Everything durable, in one database. Each method is one transaction of the lane's tenant; safe to share between threads.

    Raises TransientError where two transactions met or the connection was lost: nothing was committed.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    # ------------------------------------------------------------ lanes

    def take(self, lane: Lane, owner: str, now: datetime, until: datetime) -> Lease | None:
        with self._db.tenant(lane.tenant_id) as conn:
            generation = lanes.take(conn, rows.key_of(lane), owner, now, until)
        return None if generation is None else Lease(lane, owner, generation, until)

    def release(self, lease: Lease) -> None:
        with self._db.tenant(lease.lane.tenant_id) as conn:
            lanes.release(conn, rows.key_of(lease.lane), lease.generation)

    def state(self, lane: Lane) -> LaneState:
        with self._db.tenant(lane.tenant_id) as conn:
            return rows.state_of(lanes.state(conn, rows.key_of(lane)))

    def live_links(self, lane: Lane) -> int:
        with self._db.tenant(lane.tenant_id) as conn:
            return linking.count(conn, rows.key_of(lane))

    def pause(self, lane: Lane, status: str, failure: Failure | None) -> None:
        with self._db.tenant(lane.tenant_id) as conn:
            reason_ = None if status == "idle" else rows.failure_form(failure)
            lanes.set_status(conn, rows.key_of(lane), status, reason_)

    # ------------------------------------------------------------ pulling

    def gather_pull(self, lane: Lane, query: PullQuery) -> Gathered:
        key, entity = rows.key_of(lane), query.entity
        with self._db.tenant(lane.tenant_id, look_ups=True) as conn:
            links = gathering.links(conn, key, query.vendor_ids)
            asked = contested.open_on(conn, key, entity, [k.vendor_id for k in links])
            hubs = gathering.hubs(conn, lane.tenant_id, entity, {k.entity_id for k in links})
            standing = _standing(links, hubs)
            unlinked = {v: keys for v, keys in query.matches.items() if v not in standing}
            candidates = gathering.candidates(conn, key, entity, unlinked)
            intents = [rows.intent_of(entity, *row) for row in gathering.intents(conn, key)]
            wanted = {*query.keys, *(k.entity_id for k in links), *(i.entity_id for i in intents)}
            wanted |= {i for ids in candidates.values() for i in ids}
            redirects = gathering.redirects(conn, lane.tenant_id, entity, wanted)
            hubs |= gathering.hubs(conn, lane.tenant_id, entity, (wanted | set(redirects.values())) - hubs.keys())
            times = gathering.times(conn, lane.tenant_id, hubs) if query.times else {}
            refs = gathering.references(conn, key, query.refs)
        known = Known(
            {k.vendor_id: rows.link_of(entity, k, hubs.get(k.entity_id), asked.get(k.vendor_id, {})) for k in links},
            {i: rows.hub_of(hub, times.get(i)) for i, hub in hubs.items()},
            candidates,
            intents,
            redirects,
        )
        return Gathered(known, refs)

    def commit_pull(self, lease: Lease, commit: PullCommit) -> None:
        """As the protocol says. A record that the database cannot store is dead-lettered, and the others are applied."""
        try:
            self._commit(lease, lambda conn: apply_pull(conn, rows.key_of(lease.lane), commit))
        except Exception as error:
            if not _is_about_data(error):
                raise
            refused = self._refused(lease, commit, commit.decisions)
            if not refused:
                raise
            decisions = [_rejected(d, refused[d.vendor_id]) if d.vendor_id in refused else d for d in commit.decisions]
            mended = replace(commit, decisions=decisions)
            self._commit(lease, lambda conn: apply_pull(conn, rows.key_of(lease.lane), mended))

    def _refused(self, lease: Lease, commit: PullCommit, decisions: Sequence[Decision]) -> dict[str, str]:
        """Which of the records the database refuses, and why: halves are tried until the culprits stand alone."""
        trial = PullCommit(commit.entity, decisions, matches=commit.matches)
        try:
            self._commit(lease, lambda conn: _tried(conn, lease.lane, trial))
        except _UndoError:
            return {}
        except Exception as error:
            if not _is_about_data(error):
                raise
            if len(decisions) == 1:
                return {decisions[0].vendor_id: reason(error)}
        middle = len(decisions) // 2
        halves = [self._refused(lease, commit, half) for half in (decisions[:middle], decisions[middle:]) if half]
        return {vendor_id: why for half in halves for vendor_id, why in half.items()}

    def notices(self, lane: Lane, limit: int) -> Sequence[RecordNotice]:
        with self._db.tenant(lane.tenant_id) as conn:
            return [RecordNotice(*row) for row in queueing.notices(conn, rows.key_of(lane), limit)]

    def add_notices(self, lane: Lane, vendor_ids: Mapping[str, bool]) -> None:
        with self._db.tenant(lane.tenant_id) as conn:
            queueing.add_notices(conn, rows.key_of(lane), vendor_ids)

    # ------------------------------------------------------------ pushing

    def queue(self, lane: Lane, entity: str, hub_ids: Sequence[UUID]) -> None:
        """Make hub records due on this lane, whatever changed."""
        with self._db.tenant(lane.tenant_id) as conn:
            changing.queue(conn, Cause(lane.tenant_id, "sync", rows.key_of(lane)), entity, (), hub_ids)

    def push_work(self, lane: Lane, entity: str, now: datetime, limit: int) -> Sequence[PushWork]:
        key = rows.key_of(lane)
        with self._db.tenant(lane.tenant_id, look_ups=True) as conn:
            due = pushing.due(conn, key, entity, now, limit)
            hubs = gathering.hubs(conn, lane.tenant_id, entity, [w.entity_id for w in due])
            asked = contested.open_on(conn, key, entity, [w.link.vendor_id for w in due if w.link is not None])
            known = {i: rows.hub_of(hub) for i, hub in hubs.items()}
            refs = {i: [] if hub.deleted else rows.references_of(entity, hub) for i, hub in known.items()}
            writes = pushing.writes(conn, key) if any(refs.values()) else frozenset()
            refs = {i: [r for r in rs if r.field in writes] for i, rs in refs.items()}
            linked = {row[0] for row in linking.live(conn, key, [r.entity_id for rs in refs.values() for r in rs])}
        result = []
        for work in due:
            hub, of = known.get(work.entity_id), hubs.get(work.entity_id)
            link = None
            if work.link is not None:
                link = rows.link_of(entity, work.link, of, asked.get(work.link.vendor_id, {}))
            waits = tuple(r for r in refs.get(work.entity_id, ()) if r.entity_id not in linked)
            intent = rows.due_intent(entity, work)
            result.append(
                PushWork(Pushable(work.entity_id, hub, link, waits, intent=intent), work.token, work.attempts)
            )
        return result

    def vendor_refs(self, lane: Lane, hub_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[tuple[str, str]]]:
        found: dict[UUID, list[tuple[str, str]]] = {}
        with self._db.tenant(lane.tenant_id, look_ups=True) as conn:
            for hub_id, object_name, vendor_id in linking.live(conn, rows.key_of(lane), hub_ids):
                found.setdefault(hub_id, []).append((object_name, vendor_id))
        return found

    def joins(self, lane: Lane, other: str, entity: str, hub_ids: Sequence[UUID]) -> Mapping[UUID, str | None]:
        key = rows.key_of(lane)
        with self._db.tenant(lane.tenant_id, look_ups=True) as conn:
            turned = joining.turned(conn, key, other, entity, hub_ids)
            unread = joining.unread(conn, key, entity, [i for i in hub_ids if i not in turned])
        return turned | dict.fromkeys(unread)

    def set_up(self, lane: Lane) -> SetUp:
        with self._db.tenant(lane.tenant_id, look_ups=True) as conn:
            return rows.set_up_of(lane.connection_id, setting_up.records(conn), setting_up.names(conn))

    def announce(self, lease: Lease, now: datetime, sendings: Sequence[Sending]) -> None:
        key = rows.key_of(lease.lane)
        creates = {s.entity_id: encode(s.fields) for s in sendings if s.vendor_id is None}
        updates = {s.vendor_id: encode(s.fields) for s in sendings if s.vendor_id is not None}
        with self._db.tenant(lease.lane.tenant_id, look_ups=True) as conn:
            hold(conn, key, lease.generation)
            pushing.announce_creates(conn, key, lease.generation, now, creates)
            pushing.announce_updates(conn, key, updates)

    def commit_push(self, lease: Lease, entity: str, ends: Sequence[Pushed]) -> None:
        self._commit(lease, lambda conn: apply_push(conn, rows.key_of(lease.lane), entity, ends))

    # ------------------------------------------------------------ comparing

    def links_between(self, lane: Lane, span: Span) -> Sequence[tuple[str, str]]:
        with self._db.tenant(lane.tenant_id) as conn:
            return linking.between(conn, rows.key_of(lane), Range(span.after, span.upto, span.id_order))

    # ------------------------------------------------------------ transactions

    def _commit(self, lease: Lease, apply: Callable[[Connection], None]) -> None:
        """One fenced transaction; what the database says of records that moved meanwhile makes the plan stale."""
        with _stale_where_records_moved(), self._db.tenant(lease.lane.tenant_id, look_ups=True) as conn:
            hold(conn, rows.key_of(lease.lane), lease.generation)
            apply(conn)


@contextmanager
def _stale_where_records_moved() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _state_of(error) in _MOVED:
            raise StaleError(reason(error)) from error
        raise


def _standing(links: Sequence[StoredLink], hubs: Mapping[UUID, StoredHub]) -> frozenset[str]:
    """Vendor ids with a live link to a hub record that stands: nothing else that they may match is of interest."""
    live = (k for k in links if not k.tombstoned and k.entity_id in hubs)
    return frozenset(k.vendor_id for k in live if not hubs[k.entity_id].deleted)


def _tried(conn: Connection, lane: Lane, trial: PullCommit) -> None:
    apply_pull(conn, rows.key_of(lane), trial)
    raise _UndoError


def _state_of(error: Exception) -> str:
    return str(getattr(getattr(error, "orig", None) or error, "sqlstate", ""))


def _is_about_data(error: Exception) -> bool:
    return concerns_record(error) and _state_of(error) not in _MOVED


def _rejected(decision: Decision, why: str) -> Decision:
    """The decision as a refusal: nothing of it is applied."""
    failure = Failure("not_storable", f"The database cannot store this record ({why}).")
    return Decision(decision.vendor_id, Outcome.REJECTED, failure=failure, incoming=decision.incoming)
