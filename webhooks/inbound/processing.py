"""From the inbox to what it means: vendors' notices to lanes, posted data to records. The inbox row is the truth of it.

One transaction at a time holds an endpoint. What deliveries lead to and the note of how they ended commit together, so that a
process may die at any moment and nothing happens twice or not at all.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from connectors.kit.contract import Notice, Signal
from domain.access import SYSTEM_TENANT
from domain.errors import RecordRejectedError, StorageFullError, SynclineError, TransientError
from storage import dead_letters, inbound_endpoints, inbox, routes, streams
from storage.database import Connection, Database
from storage.dead_letters import NewLetter
from storage.failures import domain_error
from storage.inbound_endpoints import Endpoint
from storage.inbox import Became, Done, Received
from storage.suppression import ERASED
from storage.sync import queueing
from storage.sync.lanes import LaneKey
from webhooks.inbound import posted
from webhooks.inbound.contract import Carries, Item, Posted, Scheme
from webhooks.inbound.schemes import scheme

log = logging.getLogger("syncline.intake")

Refuse = Callable[[Connection, str, Mapping[str, Any]], None]
NamesErased = Callable[[Connection, Any], bool]

STAGE: Final = "webhook"
HINTS_AT_ONCE: Final = 1_000
DATA_AT_ONCE: Final = 100
ATTEMPTS_MOST: Final = 5
_BACKOFF_S: Final = 5.0

_VENDORS: Final = {
    "google_pubsub": "google",
    "google_channel": "google",
    "graph": "microsoft",
    "salesforce_outbound": "salesforce",
}
"""Whose accounts a scheme's notices name, where the scheme is not called after its vendor."""

_COMPARES: Final = frozenset({Signal.MISSED, Signal.REMOVED, Signal.REAUTHORIZE})


@dataclass(slots=True)
class _Batch:
    """What a batch of deliveries comes to, before it is written. Hints are one a record, however many deliveries named it."""

    counts: dict[UUID, Counter[Became]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: dict[UUID, str] = field(default_factory=dict)
    letters: list[NewLetter] = field(default_factory=list)
    notices: list[tuple[UUID, Notice]] = field(default_factory=list)
    held_back: set[UUID] = field(default_factory=set)

    def note(self, delivery_id: UUID, became: Became, reason: str | None = None) -> None:
        self.counts[delivery_id][became] += 1
        if reason is not None:
            self.reasons[delivery_id] = reason


class Processing:
    """Processes the inboxes of any tenant.

    ``refuse`` raises RecordRejectedError for values of a person who was erased; ``names_erased`` says whether a post that cannot
    be read names one.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        refuse: Refuse = lambda *_: None,
        names_erased: NamesErased = lambda *_: False,
    ) -> None:
        self._db, self._clock, self._refuse, self._names_erased = db, clock, refuse, names_erased

    def process(self, tenant_id: UUID, endpoint_id: UUID, over: Callable[[], bool] = lambda: False) -> Counter[Became]:
        """Process what is due at an endpoint, oldest first; returns deliveries by outcome.

        Does nothing while another process is at it. Raises TransientError and StorageFullError: what was not committed waits.
        """
        total: Counter[Became] = Counter()
        while True:
            with self._db.tenant(tenant_id) as conn:
                done = self._batch(conn, tenant_id, endpoint_id)
            if done is None:
                return total
            total.update(d.outcome for d in done)
            if over():
                return total

    def _batch(self, conn: Connection, tenant_id: UUID, endpoint_id: UUID) -> list[Done] | None:
        """One batch; None where nothing is due, or someone else holds the endpoint."""
        if not inbox.hold(conn, endpoint_id):
            return None
        endpoint = inbound_endpoints.get(conn, endpoint_id)
        kind = scheme(endpoint.scheme, endpoint.settings)
        at_once = DATA_AT_ONCE if kind.carries is Carries.DATA else HINTS_AT_ONCE
        rows = inbox.take(conn, endpoint_id, self._clock(), at_once)
        if not rows:
            return None
        reader = posted.reader_of(kind)
        batch = _Batch()
        for row in rows:
            self._one(conn, tenant_id, endpoint, kind, reader, row, batch)
        self._notices(conn, tenant_id, endpoint, batch)
        dead_letters.record(conn, tenant_id, batch.letters)
        done = [
            Done(row.id, batch.counts[row.id], batch.reasons.get(row.id))
            for row in rows
            if row.id not in batch.held_back
        ]
        inbox.finish(conn, done, self._clock())
        return done

    # ------------------------------------------------------------ one delivery

    def _one(
        self,
        conn: Connection,
        tenant_id: UUID,
        endpoint: Endpoint,
        kind: Scheme,
        reader: posted.Reader | None,
        row: Received,
        batch: _Batch,
    ) -> None:
        """Follow one delivery. A bug that it meets is tried again later, and ends as a dead letter: others are not held up."""
        mine = _Batch()
        try:
            with conn.begin_nested():
                for item in items(kind, row.body, row.headers):
                    self._item(conn, tenant_id, endpoint, kind, reader, row, item, mine)
                if not mine.counts and not mine.notices:
                    mine.note(row.id, Became.IGNORED, "filtered")
        except Exception as error:
            if isinstance(domain_error(error) or error, TransientError | StorageFullError):
                raise
            mine = _Batch()
            log.exception("a delivery could not be processed", extra={"endpoint": endpoint.id, "delivery": row.id})
            if row.attempts + 1 < ATTEMPTS_MOST:
                wait = timedelta(seconds=_BACKOFF_S * 2**row.attempts)
                inbox.hold_back(conn, row.id, self._clock() + wait)
                batch.held_back.add(row.id)
                return
            code = error.code if isinstance(error, SynclineError) else "bug"
            self._unread(conn, endpoint, row, mine, code, "The delivery could not be processed.", fault="ours")
        batch.counts |= mine.counts
        batch.reasons |= mine.reasons
        batch.letters += mine.letters
        batch.notices += mine.notices

    def _item(
        self,
        conn: Connection,
        tenant_id: UUID,
        endpoint: Endpoint,
        kind: Scheme,
        reader: posted.Reader | None,
        row: Received,
        item: Item,
        batch: _Batch,
    ) -> None:
        if isinstance(item, RecordRejectedError):
            self._unread(conn, endpoint, row, batch, item.code, item.message)
        elif isinstance(item, Notice):
            batch.notices.append((row.id, item))
        elif kind.batched and not inbox.first_time(conn, endpoint.id, item.dedupe_key, row.id):
            batch.note(row.id, Became.SUPERSEDED, "repeated")
        elif reader is None:
            batch.note(row.id, Became.KEPT)
        else:
            occurred_at = item.occurred_at or row.occurred_at or row.received_at
            self._apply(conn, tenant_id, endpoint, reader, row, item, occurred_at, batch)

    def _unread(
        self,
        conn: Connection,
        endpoint: Endpoint,
        row: Received,
        batch: _Batch,
        code: str,
        message: str,
        fault: str = "data",
    ) -> None:
        """Set aside what nobody could read. Where it names someone who was erased, nothing of it is kept."""
        erased = self._names_erased(conn, row.body)
        if erased:
            inbox.forget(conn, [row.id])
        batch.letters.append(_letter(endpoint, row, code, message, fault=fault, erased=erased))
        batch.note(row.id, Became.DEAD, code)

    def _apply(
        self,
        conn: Connection,
        tenant_id: UUID,
        endpoint: Endpoint,
        reader: posted.Reader,
        row: Received,
        item: Posted,
        occurred_at: datetime,
        batch: _Batch,
    ) -> None:
        try:
            with conn.begin_nested():
                reading = reader.read(item.data)
                self._refuse(conn, reading.entity, reading.values)
                became = posted.apply(conn, tenant_id, endpoint, reading, occurred_at)
        except RecordRejectedError as error:
            erased = error.code == ERASED or self._names_erased(conn, item.data)
            if erased:
                inbox.forget(conn, [row.id])
            batch.letters.append(
                posted_letter(endpoint, reader.entity, item, occurred_at, error, erased_in=row.id if erased else None)
            )
            batch.note(row.id, Became.DEAD, error.code)
        else:
            batch.note(row.id, became)

    # ------------------------------------------------------------ notices

    def _notices(self, conn: Connection, tenant_id: UUID, endpoint: Endpoint, batch: _Batch) -> None:
        if not batch.notices:
            return
        if endpoint.connection_id is not None:
            outcome = follow(conn, tenant_id, endpoint.connection_id, [n for _, n in batch.notices])
            for (delivery_id, _), (became, reason) in zip(batch.notices, outcome, strict=True):
                batch.note(delivery_id, became, reason)
        elif tenant_id == SYSTEM_TENANT:
            self._route(endpoint, batch)
        else:
            for delivery_id, _ in batch.notices:
                batch.note(delivery_id, Became.IGNORED, "no_connection")

    def _route(self, endpoint: Endpoint, batch: _Batch) -> None:
        """Notices of a vendor's whole app. Each tenant's are noted in its own transaction, before this one marks the deliveries:
        a crash between means that a hint is noted twice, which changes nothing."""
        vendor = vendor_of(endpoint)
        accounts = frozenset(n.account for _, n in batch.notices if n.account)
        known = routes.find(self._db, vendor, accounts)
        by_place: dict[tuple[UUID, UUID], list[tuple[UUID, Notice]]] = defaultdict(list)
        for delivery_id, notice in batch.notices:
            places = known.get(notice.account or "", [])
            for place in places:
                by_place[place].append((delivery_id, notice))
            if not places:
                batch.note(delivery_id, Became.UNROUTABLE, f"account {notice.account or 'not named'}")
        for (tenant_id, connection_id), found in by_place.items():
            with self._db.tenant(tenant_id) as conn:
                outcome = follow(conn, tenant_id, connection_id, [n for _, n in found])
            for (delivery_id, _), (became, reason) in zip(found, outcome, strict=True):
                batch.note(delivery_id, became, reason)


def follow(
    conn: Connection, tenant_id: UUID, connection_id: UUID, notices: list[Notice]
) -> list[tuple[Became, str | None]]:
    """Make lanes due by what a vendor says: hints about records, one each; polls; comparisons. Returns what became of each."""
    lanes: dict[str, list[str]] = defaultdict(list)
    for stream in streams.list_all(conn, connection_id):
        for name in {
            stream.object,
            str(stream.settings.get("of") or stream.object),
        }:  # of a part's records the vendor names the whole
            lanes[name.casefold()].append(stream.object)
    everything = {name for names in lanes.values() for name in names}
    hints: dict[str, dict[str, bool]] = defaultdict(dict)
    polls: set[str] = set()
    compares: set[str] = set()
    result: list[tuple[Became, str | None]] = []
    for notice in notices:
        names = lanes.get(notice.object.casefold(), [])
        if notice.signal is Signal.STARTED:
            result.append((Became.IGNORED, "subscription started"))
            continue
        if notice.signal in _COMPARES:
            compares.update(names or everything)
            result.append((Became.NOTED, str(notice.signal)) if lanes else (Became.IGNORED, "no_stream"))
            continue
        if not names:
            result.append((Became.IGNORED, "no_stream"))
            continue
        for name in names:
            if notice.vendor_id:
                hints[name][notice.vendor_id] = hints[name].get(notice.vendor_id, False) or notice.deleted
            else:
                polls.add(name)
        result.append((Became.NOTED, None))
    for name, ids in sorted(hints.items()):
        queueing.add_notices(conn, LaneKey(tenant_id, connection_id, name), ids)
    streams.make_due(conn, connection_id, polls=sorted(polls), compares=sorted(compares))
    return result


def vendor_of(endpoint: Endpoint) -> str:
    """Whose accounts the notices name that are posted to an endpoint."""
    return _VENDORS.get(endpoint.scheme, endpoint.scheme)


def items(kind: Scheme, body: bytes, headers: Mapping[str, str]) -> Iterator[Item]:
    """What a delivery says; what as a whole cannot be understood is one error."""
    try:
        yield from kind.notices(body, headers)
    except RecordRejectedError as error:
        yield error


def _letter(
    endpoint: Endpoint, row: Received, code: str, message: str, *, fault: str = "data", erased: bool = False
) -> NewLetter:
    """The letter of a delivery that cannot be understood: its body stays in the inbox, and replaying processes it once more.

    Of one about a person who was erased, nothing stays, and its own key may be an address.
    """
    return NewLetter(
        STAGE,
        code,
        message,
        connection_id=endpoint.connection_id,
        object=endpoint.name,
        vendor_id=str(row.id) if erased else row.dedupe_key,
        place=inbox.place_of(row.id),
        payload=None if erased else {"endpoint": str(endpoint.id), "inbox": str(row.id)},
        fault=fault,
    )


def posted_letter(
    endpoint: Endpoint,
    entity: str,
    item: Posted,
    occurred_at: datetime,
    error: RecordRejectedError,
    erased_in: UUID | None = None,
) -> NewLetter:
    """The letter of a post that cannot be applied, with the post itself: a person may mend it.

    Of a post about a person who was erased, it names only the delivery (``erased_in``): its own key may be an address.
    """
    named = error.context.get("field")
    return NewLetter(
        STAGE,
        error.code,
        error.message,
        object=endpoint.name,
        vendor_id=item.dedupe_key if erased_in is None else str(erased_in),
        entity=entity,
        field=named if isinstance(named, str) else None,
        place=f"endpoint {endpoint.id}",
        payload=item.data if erased_in is None else None,
        mapped={"occurred_at": occurred_at.isoformat()},
    )
