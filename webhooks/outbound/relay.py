"""From logs to deliveries: for each tenant, one transaction at a time moves on in the logs and queues what is to be told.

Exactly one delivery for an event and an endpoint that listens to it: the deliveries commit with the place that was reached, and
their primary key refuses a second one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from storage import change_feed, events, payloads, relaying, subscriptions
from storage.change_feed import Change
from storage.database import Connection, Database
from storage.events import Emitted
from storage.payloads import Wanted
from storage.relaying import Bulk, Due, RelayPosition
from storage.subscriptions import Subscription
from webhooks.outbound.catalogue import types_of

PAGE = 1_000


class Relay:
    """Moves tenants on. Any number may run at once: one at a time works for a tenant, and the others pass it over."""

    def __init__(self, db: Database, clock: Callable[[], datetime], *, page: int = PAGE) -> None:
        self._db, self._clock, self._page = db, clock, page

    def run(self, tenant_id: UUID, over: Callable[[], bool] = lambda: False) -> int:
        """Queue everything that can be told by now, until ``over`` says to stop; returns how many deliveries are new."""
        queued = 0
        while not over():
            made = self.step(tenant_id)
            if made is None:
                break
            queued += made
        return queued

    def step(self, tenant_id: UUID) -> int | None:
        """One page, in one transaction; returns how many deliveries are new, or None when there is nothing to do."""
        with self._db.tenant(tenant_id) as conn:
            at = relaying.take(conn)
            if at is None:
                return None
            if at.low == at.high:
                # The horizon first, then who listens: whoever is added in between hears a little more, not a little less.
                at = RelayPosition(at.low, max(at.high, change_feed.horizon(conn)), 0, 0)
            everyone = subscriptions.list_all(conn)
            changes = change_feed.changes(conn, at.of_changes, self._page)
            found = [] if len(changes) == self._page else events.emitted(conn, at.of_events, self._page)
            queued = self._tell(conn, everyone, changes, found)
            relaying.move(conn, self._further(at, changes, found))
            if changes or found:
                return queued
            return 0 if relaying.expand(conn, self._clock(), self._page) else None

    def _further(self, at: RelayPosition, changes: Sequence[Change], found: Sequence[Emitted]) -> RelayPosition:
        if len(changes) == self._page or len(found) == self._page:
            return replace(
                at,
                change_seq=changes[-1].seq if changes else at.change_seq,
                event_seq=found[-1].seq if found else at.event_seq,
            )
        return RelayPosition(at.high, at.high, 0, 0)

    def _tell(
        self, conn: Connection, everyone: Sequence[Subscription], changes: Sequence[Change], found: Sequence[Emitted]
    ) -> int:
        wanted, due = _of_changes(everyone, changes)
        payloads.make(conn, wanted)
        relaying.expand_later(conn, list(_bulk_loads(everyone, changes)), self._clock())
        listened = [e for e in found if any(s.wants(e.type) and e.xid >= s.since_xid for s in everyone)]
        for e in events.not_told_lately(conn, listened):
            listening = [s.id for s in everyone if s.wants(e.type) and e.xid >= s.since_xid]
            due += [Due(s, e.id, e.subject, e.traceparent) for s in listening]
        return relaying.deliver(conn, due, self._clock())


def _of_changes(everyone: Sequence[Subscription], changes: Sequence[Change]) -> tuple[list[Wanted], list[Due]]:
    wanted, due = [], []
    for change in changes:
        for type_name in types_of(change):
            listening = [s.id for s in everyone if change.xid >= s.since_xid and s.wants(type_name)]
            if listening:
                event_id = event_id_of(change, type_name)
                wanted.append(Wanted(event_id, type_name, change))
                due += [Due(s, event_id, change.entity_id, change.traceparent) for s in listening]
    return wanted, due


def event_id_of(change: Change, type_name: str) -> UUID:
    """The id of what is told of a change: the change's own, or for a second event of it one that follows from both."""
    return uuid.uuid5(change.id, type_name) if type_name == payloads.STAGE_CHANGED else change.id


def _bulk_loads(everyone: Sequence[Subscription], changes: Sequence[Change]) -> Iterator[Bulk]:
    for change in changes:
        if change.kind != "bulk" or not change.detail.get("rows"):
            continue
        for s in everyone:
            if s.bulk == "each" and change.xid >= s.since_xid and s.wants(f"{change.entity}.created"):
                yield Bulk(s.id, UUID(change.detail["run_id"]), change.detail["object"], change.entity)
