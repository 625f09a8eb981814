"""What the contract's tests work with: a world behind a store, and a worker that does on a lane what the engine does.

A `World` adds what the protocol leaves to others: setting lanes up, edits by people, looks at history, conflicts and letters.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from sync_engine.core.model import (
    Decision,
    Hub,
    Incoming,
    Link,
    Record,
    Rules,
    VendorRef,
)
from sync_engine.core.pull import plan_pull
from sync_engine.ports import (
    Lane,
    Lease,
    PullCommit,
    PullQuery,
    Pushed,
    PushEnd,
    PushWork,
    SyncStore,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
_NAMES = uuid.UUID("6f1b7f0e-6d9c-4a44-9a59-2d0ff3f6f3a1")


class World(Protocol):
    """One tenant of a store."""

    store: SyncStore

    def lane(
        self,
        object_name: str,
        entity: str,
        *,
        connection: UUID | None = None,
        pushes: bool = True,
        writes: Sequence[str] = (),
    ) -> Lane:
        """A lane that is set up; of a new connection, unless one is given. ``writes`` (): every field."""

    def create(self, entity: str, values: Record) -> UUID: ...

    def edit(self, entity: str, entity_id: UUID, values: Record) -> None: ...

    def delete(self, entity: str, entity_id: UUID) -> None: ...

    def history(self, entity_id: UUID) -> list[tuple[str, Any, str]]:
        """(field, new value, rule) of changes of fields, oldest first, without those of a creation."""

    def conflicts(self, lane: Lane) -> list[tuple[str, str]]:
        """(field, open or closed) of the lane's conflicts."""

    def letters(self, lane: Lane) -> list[tuple[str, bool]]:
        """(code, is it open) of the lane's dead letters."""


CONTACT = Rules(
    "contact",
    frozenset({"last_name", "email", "phone", "birth_date", "account_id", "custom_fields"}),
    frozenset({"last_name", "email", "phone", "birth_date", "account_id", "custom_fields"}),
    match_keys=(("email",),),
)
ACCOUNT = Rules(
    "account", frozenset({"name", "annual_revenue", "parent_id"}), frozenset({"name", "annual_revenue", "parent_id"})
)


def said(vendor_id: str, version: str = "1", waits: tuple[VendorRef, ...] = (), **values: Any) -> Incoming:
    fingerprint = b"" if waits else repr((version, sorted(values.items()))).encode()
    return Incoming(vendor_id, values, version, NOW, fingerprint, waits=waits, raw={"id": vendor_id})


def gone(vendor_id: str) -> Incoming:
    return Incoming(vendor_id, deleted=True)


def new_id(incoming: Incoming) -> UUID:
    return uuid.uuid5(_NAMES, incoming.vendor_id)


class Worker:
    """Who holds a lane and does on it what the engine does."""

    def __init__(self, world: World, lane: Lane, rules: Rules) -> None:
        self.world, self.store, self.lane, self.rules = world, world.store, lane, rules
        lease = self.store.take(lane, "worker", NOW, LATER)
        assert lease is not None
        self.lease: Lease = lease

    def query(self, *items: Incoming, keys: Sequence[UUID] = ()) -> PullQuery:
        matches: dict[str, list[Mapping[str, Any]]] = {}
        for item in items:
            found = [
                {n: item.values[n] for n in key}
                for key in self.rules.match_keys
                if all(item.values.get(n) for n in key)
            ]
            if found:
                matches[item.vendor_id] = found
        ids = [*(i.vendor_id for i in items), *(i.merged_into for i in items if i.merged_into)]
        return PullQuery(ids, self.rules.entity, matches=matches, keys=keys, times=True)

    def plan(self, *items: Incoming) -> PullCommit:
        query = self.query(*items)
        known = self.store.gather_pull(self.lane, query).known
        hubs = {i: replace(h, seen=h.values) for i, h in known.hubs.items()}
        decisions = plan_pull(items, replace(known, hubs=hubs), self.rules, new_id)
        return PullCommit(self.rules.entity, decisions, matches=query.matches)

    def pull(self, *items: Incoming, **more: Any) -> list[Decision]:
        commit = replace(self.plan(*items), **more)
        self.store.commit_pull(self.lease, commit)
        return list(commit.decisions)

    def link(self, vendor_id: str) -> Link | None:
        query = PullQuery([vendor_id], self.rules.entity)
        return self.store.gather_pull(self.lane, query).known.links.get(vendor_id)

    def hub(self, entity_id: UUID) -> Hub | None:
        query = PullQuery([], self.rules.entity, keys=[entity_id], times=True)
        return self.store.gather_pull(self.lane, query).known.hubs.get(entity_id)

    def work(self, now: datetime = NOW) -> list[PushWork]:
        return list(self.store.push_work(self.lane, self.rules.entity, now, 100))

    def due(self, now: datetime = NOW) -> list[UUID]:
        return [w.item.entity_id for w in self.work(now)]

    def push(self, end: PushEnd = PushEnd.SENT, now: datetime = NOW, **more: Any) -> Pushed:
        """End the one piece of work that is due."""
        (work,) = self.work(now)
        pushed = Pushed(work.item.entity_id, work.token, end, **more)
        self.store.commit_push(self.lease, self.rules.entity, [pushed])
        return pushed

    def notices(self) -> list[tuple[str, bool]]:
        return [(n.vendor_id, n.deleted) for n in self.store.notices(self.lane, 100)]

    def counts(self) -> dict[str, int]:
        return dict(self.store.state(self.lane).counts)
