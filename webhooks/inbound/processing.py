"""From the inbox to what it means: vendors' notices to lanes, posted data to records. The inbox row is the truth of it.

One transaction at a time holds an endpoint. What deliveries lead to and the note of how they ended commit together, so that a
process may die at any moment and nothing happens twice or not at all.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from storage.suppression import ERASED, refused
from storage.sync import queueing
from storage.sync.lanes import LaneKey
from webhooks.inbound import posted
from webhooks.inbound.contract import Carries, Item, Posted, Scheme
from webhooks.inbound.schemes import scheme

log = logging.getLogger("syncline.intake")

ErasedAmong = Callable[[Connection, str, Sequence[Mapping[str, Any]]], Collection[int]]
NamesErased = Callable[[Connection, Any], bool]

STAGE: Final = "webhook"
HINTS_AT_ONCE: Final = 1_000
DATA_AT_ONCE: Final = 500
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
    posts: list[_Post] = field(default_factory=list)
    held_back: set[UUID] = field(default_factory=set)

    def note(self, delivery_id: UUID, became: Became, reason: str | None = None) -> None:
        self.counts[delivery_id][became] += 1
        if reason is not None:
            self.reasons[delivery_id] = reason

    def add(self, other: _Batch) -> None:
        for delivery_id, counts in other.counts.items():
            self.counts[delivery_id] += counts
        self.reasons |= other.reasons
        self.letters += other.letters
        self.notices += other.notices


@dataclass(frozen=True, slots=True)
class _Post:
    """A post of a delivery, and what it says or why that cannot be told."""

    row: Received
    item: Posted
    occurred_at: datetime
    reading: posted.Reading | RecordRejectedError


@dataclass(frozen=True, slots=True)
class _Door:
    """The endpoint whose deliveries a batch is of. ``reader``: None where posts are kept as they came."""

    tenant_id: UUID
    endpoint: Endpoint
    kind: Scheme
    reader: posted.Reader | None


class Processing:
    """Processes the inboxes of any tenant.

    ``erased_among`` tells which records are those of people who were erased; ``names_erased`` says whether a post that cannot
    be read names one.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        erased_among: ErasedAmong = lambda *_: (),
        names_erased: NamesErased = lambda *_: False,
    ) -> None:
        self._db, self._clock, self._erased_among, self._names_erased = db, clock, erased_among, names_erased

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
        door, batch = _Door(tenant_id, endpoint, kind, posted.reader_of(kind)), _Batch()
        self._follow(conn, door, rows, batch)
        self._notices(conn, tenant_id, endpoint, batch)
        dead_letters.record(conn, tenant_id, batch.letters)
        done = [
            Done(row.id, batch.counts[row.id], batch.reasons.get(row.id))
            for row in rows
            if row.id not in batch.held_back
        ]
        inbox.finish(conn, done, self._clock())
        return done

    # ------------------------------------------------------------ deliveries

    def _follow(self, conn: Connection, door: _Door, rows: Sequence[Received], batch: _Batch) -> None:
        """Follow deliveries together. Where that meets a bug, halves of them are tried until the one that causes it is alone:
        it is tried again later, and ends as a dead letter. Others are not held up."""
        mine = _Batch()
        try:
            with conn.begin_nested():
                for row in rows:
                    self._read(conn, door, row, mine)
                self._apply(conn, door, mine)
        except Exception as error:
            if isinstance(domain_error(error) or error, TransientError | StorageFullError):
                raise
            if len(rows) == 1:
                self._fail(conn, door, rows[0], error, batch)
                return
            middle = len(rows) // 2
            self._follow(conn, door, rows[:middle], batch)
            self._follow(conn, door, rows[middle:], batch)
            return
        batch.add(mine)

    def _fail(self, conn: Connection, door: _Door, row: Received, error: Exception, batch: _Batch) -> None:
        log.error(
            "a delivery could not be processed",
            exc_info=error,
            extra={"endpoint": door.endpoint.id, "delivery": row.id},
        )
        if row.attempts + 1 < ATTEMPTS_MOST:
            wait = timedelta(seconds=_BACKOFF_S * 2**row.attempts)
            inbox.hold_back(conn, row.id, self._clock() + wait)
            batch.held_back.add(row.id)
            return
        code = error.code if isinstance(error, SynclineError) else "bug"
        self._unread(conn, door.endpoint, row, batch, code, "The delivery could not be processed.", fault="ours")

    def _read(self, conn: Connection, door: _Door, row: Received, batch: _Batch) -> None:
        """What a delivery says."""
        before = len(batch.notices) + len(batch.posts)
        for item in items(door.kind, row.body, row.headers):
            if isinstance(item, RecordRejectedError):
                self._unread(conn, door.endpoint, row, batch, item.code, item.message)
            elif isinstance(item, Notice):
                batch.notices.append((row.id, item))
            elif door.kind.batched and not inbox.first_time(conn, door.endpoint.id, item.dedupe_key, row.id):
                batch.note(row.id, Became.SUPERSEDED, "repeated")
            elif door.reader is None:
                batch.note(row.id, Became.KEPT)
            else:
                batch.posts.append(_post(door.reader, row, item))
        if row.id not in batch.counts and len(batch.notices) + len(batch.posts) == before:
            batch.note(row.id, Became.IGNORED, "filtered")

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

    def _apply(self, conn: Connection, door: _Door, batch: _Batch) -> None:
        """What posts became; those that cannot be applied are set aside."""
        outcomes: dict[int, posted.Outcome] = {}
        readings: dict[int, posted.Reading] = {}
        for place, post in enumerate(batch.posts):
            if isinstance(post.reading, RecordRejectedError):
                outcomes[place] = post.reading
            else:
                readings[place] = post.reading
        if readings and door.reader is not None:
            told = self._erased_among(conn, door.reader.entity, [r.values for r in readings.values()])
            outcomes |= {place: refused() for n, place in enumerate(list(readings)) if n in told}
        good = [place for place in readings if place not in outcomes]
        given = [posted.Post(readings[place], batch.posts[place].occurred_at) for place in good]
        applied = posted.apply_all(conn, door.tenant_id, door.endpoint, given)
        outcomes |= dict(zip(good, applied, strict=True))
        for place, post in enumerate(batch.posts):
            outcome = outcomes[place]
            if isinstance(outcome, RecordRejectedError):
                self._set_aside(conn, door, post, outcome, batch)
            else:
                batch.note(post.row.id, outcome)

    def _set_aside(self, conn: Connection, door: _Door, post: _Post, error: RecordRejectedError, batch: _Batch) -> None:
        entity = door.reader.entity if door.reader is not None else ""
        erased = error.code == ERASED or self._names_erased(conn, post.item.data)
        if erased:
            inbox.forget(conn, [post.row.id])
        erased_in = post.row.id if erased else None
        batch.letters.append(
            posted_letter(door.endpoint, entity, post.item, post.occurred_at, error, erased_in=erased_in)
        )
        batch.note(post.row.id, Became.DEAD, error.code)

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


def _post(reader: posted.Reader, row: Received, item: Posted) -> _Post:
    occurred_at = item.occurred_at or row.occurred_at or row.received_at
    try:
        reading: posted.Reading | RecordRejectedError = reader.read(item.data)
    except RecordRejectedError as error:
        reading = error
    return _Post(row, item, occurred_at, reading)


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
