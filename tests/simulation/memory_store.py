"""A `SyncStore` in memory, with the semantics of `sync_engine.ports` to the letter: every method is one transaction.

A change works on a copy of the tables, which replaces them if nothing was refused: so a commit is whole or not at all.
The same contract tests run over it and over the store in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sync_engine.core.merge import same
from sync_engine.core.model import Failure, Hub, HubRef, Intent, Known, Link, Pushable, Record
from sync_engine.core.stand_ins import SetUp
from sync_engine.ports import (
    Gathered,
    Lane,
    LaneState,
    Lease,
    LeaseLostError,
    PullCommit,
    PullQuery,
    Pushed,
    PushWork,
    RecordNotice,
    Sending,
    Span,
)
from tests.simulation import applying
from tests.simulation.stages import Catalogue
from tests.simulation.tables import HubRow, LaneRow, Stream, Tables


def _rank(id_order: str) -> Callable[[str], tuple[int, str]]:
    return lambda vendor_id: (len(vendor_id) if id_order == "numeric" else 0, vendor_id)


_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryStore:
    """The store. ``clock`` tells the time that history and field times get."""

    def __init__(self, clock: Callable[[], datetime] = lambda: _FIRST) -> None:
        self.tables = Tables()
        self.clock = clock
        self.catalogues: dict[UUID, Catalogue] = {}
        """Stages and pipelines by tenant, where there are any."""

    # ------------------------------------------------------------ set-up and people

    def register(self, lane: Lane, entity: str, pushes: bool = True, writes: frozenset[str] | None = None) -> None:
        """Set a lane up: the entity it feeds, and whether (and which fields of it) it takes."""
        self.tables.streams[lane] = Stream(entity, pushes, writes)

    def create(self, tenant_id: UUID, entity: str, entity_id: UUID, values: Record) -> UUID:
        """A person creates a hub record."""
        with self._change() as tables:
            applying.create_hub(tables, self.clock(), tenant_id, entity, entity_id, values, None, "created")
        return entity_id

    def edit(self, entity_id: UUID, values: Record) -> None:
        """A person edits a hub record. Raises KeyError where it is gone."""
        with self._change() as tables:
            if tables.hubs[entity_id].deleted:
                raise KeyError(entity_id)
            applying.set_hub(tables, self.clock(), entity_id, values, {}, None)

    def delete(self, entity_id: UUID) -> None:
        """A person deletes a hub record."""
        with self._change() as tables:
            applying.delete_hub(tables, self.clock(), entity_id, None)

    def resolve(self, lane: Lane, vendor_id: str, name: str, value: Any) -> None:
        """A person answers an open conflict with a value: the hub takes it, and the vendor is sent it if it has another."""
        with self._change() as tables:
            link = tables.links[lane, vendor_id]
            theirs = link.open[name][1]
            rest = {n: pair for n, pair in link.open.items() if n != name}
            base = {**(link.base or {}), name: theirs}
            tables.links[lane, vendor_id] = replace(link, base=base, open=rest, revision=link.revision + 1)
            applying.close_conflicts(tables, lane, vendor_id, name, "resolved")
            applying.set_hub(tables, self.clock(), link.entity_id, {name: value}, {name: "resolved"}, None)
            applying.queue(tables, lane, link.entity_id)

    # ------------------------------------------------------------ lanes

    def take(self, lane: Lane, owner: str, now: datetime, until: datetime) -> Lease | None:
        row = self.tables.lanes.get(lane, LaneRow())
        if row.owner not in (None, owner) and row.until is not None and row.until > now:
            return None
        with self._change() as tables:
            tables.lanes[lane] = replace(row, owner=owner, generation=row.generation + 1, until=until)
        return Lease(lane, owner, row.generation + 1, until)

    def release(self, lease: Lease) -> None:
        row = self.tables.lanes.get(lease.lane)
        if row is not None and row.generation == lease.generation:
            with self._change() as tables:
                tables.lanes[lease.lane] = replace(row, owner=None, until=None)

    def state(self, lane: Lane) -> LaneState:
        return self.tables.lanes.get(lane, LaneRow()).state

    def live_links(self, lane: Lane) -> int:
        return sum(1 for (of, _), link in self.tables.links.items() if of == lane and not link.tombstoned)

    def pause(self, lane: Lane, status: str, failure: Failure | None) -> None:
        with self._change() as tables:
            row = tables.lanes.get(lane, LaneRow())
            reason = None if status == "idle" else failure
            tables.lanes[lane] = replace(row, state=replace(row.state, status=status), reason=reason)

    # ------------------------------------------------------------ pulling

    def gather_pull(self, lane: Lane, query: PullQuery) -> Gathered:
        links = {v: self.tables.links[lane, v] for v in query.vendor_ids if (lane, v) in self.tables.links}
        candidates = {
            v: found
            for v, keys in query.matches.items()
            if not self._stands(links.get(v)) and (found := self._candidates(lane, query.entity, keys))
        }
        intents = tuple(i for (of, _), i in self.tables.intents.items() if of == lane)
        wanted = {
            *(link.entity_id for link in links.values()),
            *(c for found in candidates.values() for c in found),
            *(i.entity_id for i in intents),
            *query.keys,
        }
        redirects = self._redirects(wanted)
        wanted |= set(redirects.values())
        hubs = {i: self._hub(i) for i in sorted(wanted) if self._is(lane.tenant_id, i, query.entity)}
        if not query.times:
            hubs = {i: replace(hub, times={}) for i, hub in hubs.items()}
        return Gathered(Known(links, hubs, candidates, intents, redirects), self._resolved(lane, query))

    def _stands(self, link: Link | None) -> bool:
        if link is None or link.tombstoned or link.entity_id not in self.tables.hubs:
            return False
        return not self._hub(link.entity_id).deleted

    def _candidates(self, lane: Lane, entity: str, keys: Sequence[Mapping[str, Any]]) -> tuple[UUID, ...]:
        return applying.candidates(self.tables, lane, entity, keys)

    def _redirects(self, ids: set[UUID]) -> dict[UUID, UUID]:
        found: dict[UUID, UUID] = {}
        open_ids = list(ids)
        while open_ids:
            current = open_ids.pop()
            if current in self.tables.redirects and current not in found:
                found[current] = self.tables.redirects[current]
                open_ids.append(found[current])
        return found

    def _is(self, tenant_id: UUID, entity_id: UUID, entity: str) -> bool:
        row = self.tables.hubs.get(entity_id)
        return row is not None and row.tenant_id == tenant_id and row.entity == entity

    def _hub(self, entity_id: UUID) -> Hub:
        row = self.tables.hubs[entity_id]
        return Hub(entity_id, row.version, row.values, {}, row.times, row.deleted, row.deleted_by)

    def _resolved(self, lane: Lane, query: PullQuery) -> dict[tuple[tuple[str, ...], str], UUID]:
        found = {(objects, v): applying.hub_of(self.tables, lane, objects, v) for objects, v in query.refs}
        return {ref: entity_id for ref, entity_id in found.items() if entity_id is not None}

    def commit_pull(self, lease: Lease, commit: PullCommit) -> None:
        with self._change(lease) as tables:
            applying.apply_pull(tables, self.clock(), lease, commit)

    def notices(self, lane: Lane, limit: int) -> Sequence[RecordNotice]:
        mine = [n for (of, _), n in self.tables.notices.items() if of == lane]
        return sorted(mine, key=lambda n: n.id)[:limit]

    def add_notices(self, lane: Lane, vendor_ids: Mapping[str, bool]) -> None:
        with self._change() as tables:
            for vendor_id, deleted in vendor_ids.items():
                applying.notice(tables, lane, vendor_id, deleted)

    # ------------------------------------------------------------ pushing

    def push_work(self, lane: Lane, entity: str, now: datetime, limit: int) -> Sequence[PushWork]:
        due = [
            (row.due_at or _FIRST, row.token, entity_id)
            for (of, entity_id), row in self.tables.work.items()
            if of == lane and not row.waiting and (row.due_at is None or row.due_at <= now)
        ]
        return [self._work(lane, entity_id) for _, _, entity_id in sorted(due)[:limit]]

    def _work(self, lane: Lane, entity_id: UUID) -> PushWork:
        tables = self.tables
        row = tables.work[lane, entity_id]
        hub = self._hub(entity_id) if entity_id in tables.hubs else None
        waits = () if hub is None or hub.deleted else self._unlinked_references(lane, tables.hubs[entity_id])
        link = applying.link_of(tables, lane, entity_id)
        item = Pushable(entity_id, hub, link, waits, intent=tables.intents.get((lane, entity_id)))
        return PushWork(item, row.token, row.attempts)

    def _unlinked_references(self, lane: Lane, row: HubRow) -> tuple[HubRef, ...]:
        refs = sorted((n, v) for n, v in row.values.items() if isinstance(v, UUID) and v in self.tables.hubs)
        return tuple(
            HubRef(name, self.tables.hubs[target].entity, target)
            for name, target in refs
            if not applying.is_linked(self.tables, lane, target)
        )

    def vendor_refs(self, lane: Lane, hub_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[tuple[str, str]]]:
        found: dict[UUID, list[tuple[str, str]]] = {}
        for (of, vendor_id), link in self.tables.links.items():
            same_account = (of.tenant_id, of.connection_id) == (lane.tenant_id, lane.connection_id)
            if same_account and link.entity_id in hub_ids and not link.tombstoned:
                found.setdefault(link.entity_id, []).append((of.object, vendor_id))
        return found

    def joins(self, lane: Lane, other: str, entity: str, hub_ids: Sequence[UUID]) -> Mapping[UUID, str | None]:
        """No vendor of a simulation holds its records as two objects."""
        raise AssertionError("no vendor here holds its records as two objects")

    def set_up(self, lane: Lane) -> SetUp:
        return self.catalogues[lane.tenant_id].set_up(lane.connection_id) if self.catalogues else SetUp()

    def announce(self, lease: Lease, now: datetime, sendings: Sequence[Sending]) -> None:
        with self._change(lease) as tables:
            for sending in sendings:
                key = (lease.lane, sending.entity_id)
                if sending.vendor_id is None:
                    tables.intents[key] = Intent(sending.entity_id, dict(sending.fields), now, lease.generation)
                else:
                    applying.note_sent(tables, lease.lane, sending.vendor_id, sending.fields)

    def commit_push(self, lease: Lease, entity: str, ends: Sequence[Pushed]) -> None:
        with self._change(lease) as tables:
            applying.apply_push(tables, lease, ends)

    def links_between(self, lane: Lane, span: Span) -> Sequence[tuple[str, str]]:
        rank = _rank(span.id_order)
        mine = [
            (v, k.version if k.fingerprint else "")
            for (of, v), k in self.tables.links.items()
            if of == lane and not k.tombstoned
        ]
        return sorted(
            (
                (v, version)
                for v, version in mine
                if (span.after is None or rank(v) > rank(span.after))
                and (span.upto is None or rank(v) <= rank(span.upto))
            ),
            key=lambda pair: rank(pair[0]),
        )

    # ------------------------------------------------------------ transactions

    @contextmanager
    def _change(self, lease: Lease | None = None) -> Iterator[Tables]:
        draft = self.tables.copied()
        if lease is not None and draft.lanes.get(lease.lane, LaneRow()).generation != lease.generation:
            raise LeaseLostError
        yield draft
        self.tables = draft

    # ------------------------------------------------------------ for checks

    def forget_cursors(self) -> None:
        """Make every lane read from the beginning, and take nothing as known by its fingerprint."""
        with self._change() as tables:
            for lane, row in tables.lanes.items():
                tables.lanes[lane] = replace(row, state=replace(row.state, cursor=None))
            for key, link in tables.links.items():
                tables.links[key] = replace(link, fingerprint=b"")

    def hub_values(self, entity_id: UUID) -> Record | None:
        """What stands in the hub, or None where it is deleted."""
        row = self.tables.hubs[entity_id]
        return None if row.deleted else row.values

    def find(self, tenant_id: UUID, entity: str, name: str, value: Any) -> list[UUID]:
        """Live hub records that have ``value``."""
        return [
            entity_id
            for entity_id, row in self.tables.hubs.items()
            if (row.tenant_id, row.entity, row.deleted) == (tenant_id, entity, False)
            and same(row.values.get(name), value)
        ]

    def live_link(self, lane: Lane, vendor_id: str) -> Link | None:
        link = self.tables.links.get((lane, vendor_id))
        return None if link is None or link.tombstoned else link
