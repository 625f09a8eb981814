"""What the engine needs of the world: a store and a vendor. Each method of a store is one transaction; each of a vendor, one call.

`storage.sync.PostgresSyncStore` is the store; the tests' in-memory store passes the same contract tests. The
engine may be killed between any two of these calls, and goes on from what was committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from domain.frozen import dataclass
from domain.records import Cursor, WriteResult
from sync_engine.core.model import Conflict, Decision, Failure, Hub, HubRef, Incoming, Known, Pushable, Record, Rules
from sync_engine.core.stand_ins import SetUp

if TYPE_CHECKING:
    from sync_engine.views import Membership

# ---------------------------------------------------------------- lanes


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """One object of one connection: everything that is read from it or written to it goes through one holder at a time."""

    tenant_id: UUID
    connection_id: UUID
    object: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a lane until ``until``. Every commit names ``generation``; an older one is refused."""

    lane: Lane
    owner: str
    generation: int
    until: datetime


Refs = Mapping[UUID, Sequence[tuple[str, str]]]
"""The (object, vendor id) pairs by which a vendor knows hub records."""


class LeaseLostError(Exception):
    """Another worker took the lane over: nothing was committed, and this worker must stop."""


class StaleError(Exception):
    """A record changed between planning and committing: nothing was committed, plan again."""


@dataclass(frozen=True, slots=True)
class Resync:
    """A full comparison under way: ``after`` is the last vendor id compared, None at its beginning.

    ``missing`` counts links whose record was not listed; once all are listed, and the brake lets it, a second pass (``deleting``)
    asks for each of them and takes their deletes over. ``confirmed``: a person let the deletes pass the brake.
    """

    started_at: datetime
    after: str | None = None
    missing: int = 0
    deleting: bool = False
    confirmed: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LaneState:
    """Where a lane stands. ``counts``: its ledger so far, by `Outcome` and by what was pushed; ``deletes``: what the brake counts.

    ``status``: idle, paused (by a person), reauth, stopped (configuration), braked (too many deletes).
    """

    cursor: Cursor | None = None
    resync: Resync | None = None
    status: str = "idle"
    verified_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    deletes: Mapping[str, int] = field(default_factory=dict)


# ---------------------------------------------------------------- pulling


Held = Mapping[UUID, Record | None]
"""What a vendor last said of each hub record that it has."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A mapped vendor record before its references are resolved. ``refs``: field to (vendor objects, vendor id).

    ``lists``: lists of associated records, as (vendor objects, vendor ids); ``labels``: as what, as (vendor id, label).
    """

    incoming: Incoming
    refs: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    lists: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    labels: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = field(default_factory=dict)

    @property
    def referred(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Everything that it refers to, as (vendor objects, vendor id)."""
        yield from self.refs.values()
        for objects, ids in self.lists.values():
            yield from ((objects, vendor_id) for vendor_id in ids)


@dataclass(frozen=True, slots=True)
class PullQuery:
    """What to gather for a batch: ``vendor_ids`` and merge survivors to find links of; ``refs`` to resolve, as (objects, id);

    ``matches``: for each vendor id (of records that may be new), the values of each match key that has all of them; ``keys``: hub
    ids named by the vendor's external-id field.
    """

    vendor_ids: Sequence[str]
    entity: str
    refs: Sequence[tuple[tuple[str, ...], str]] = ()
    matches: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    keys: Sequence[UUID] = ()
    times: bool = False


@dataclass(frozen=True, slots=True)
class Gathered:
    """``refs``: the hub ids of references that are known. Hubs come with ``seen`` empty: the engine projects them."""

    known: Known
    refs: Mapping[tuple[tuple[str, ...], str], UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PullCommit:
    """One batch, whole or not at all: records, history, links, conflicts, dead letters, work for other lanes, and the cursor.

    ``cursor`` and ``deletes`` (the brake's tally) None leave them. ``matches`` repeats the query for records that are created: if
    one of them matches by now, the plan is stale. ``notices``: ids of notices that this batch answers. ``rejects``: pieces of a
    page that were no record. ``beside``: another object over the same vendor records, and those of the batch that it was known to
    have; a record that is linked anew is stale if it is linked there by now, and one that was is looked at there once more.
    """

    entity: str
    decisions: Sequence[Decision] = ()
    cursor: Cursor | None = None
    resync: Resync | None = None
    clears_resync: bool = False
    verified_at: datetime | None = None
    matches: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    notices: Sequence[UUID] = ()
    rejects: Sequence[tuple[Failure, Any]] = ()
    deletes: Mapping[str, int] | None = None
    beside: tuple[str, frozenset[str]] | None = None


@dataclass(frozen=True, slots=True)
class RecordNotice:
    """A hint that a vendor record may have changed, coalesced per record."""

    id: UUID
    vendor_id: str
    deleted: bool = False


# ---------------------------------------------------------------- pushing


@dataclass(frozen=True, slots=True)
class PushWork:
    """A hub record that may have to go out on a lane, with everything known about it; ``due_version`` when it was queued."""

    item: Pushable
    token: int
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Sending:
    """A write about to be sent. A create (``vendor_id`` None) leaves an intent; an update leaves ``sent`` on the link."""

    entity_id: UUID
    fields: Record
    vendor_id: str | None = None


class PushEnd(StrEnum):
    """How one piece of push work ended."""

    SENT = "sent"  # created, updated or deleted there
    NOTHING = "nothing"  # nothing to send
    WAITING = "waiting"  # for `waits`; becomes due when one of them is linked
    RETRY = "retry"  # not before `retry_at`
    DEAD = "dead"  # refused: a dead letter holds it
    UNCERTAIN = "uncertain"  # sent, and no answer came: read back before anything else


@dataclass(frozen=True, slots=True)
class Pushed:
    """The end of one piece of push work.

    ``link``: (vendor id, base, version) of the link as it stands now, None: as it was. ``deleted``: the link is a tombstone.
    ``later``: references that were left out; the record becomes due again once one of them is linked on this connection.
    """

    entity_id: UUID
    token: int
    end: PushEnd
    link: tuple[str, Record, str] | None = None
    link_revision: int | None = None
    deleted: bool = False
    created: bool = False
    conflicts: tuple[Conflict, ...] = ()
    waits: tuple[HubRef, ...] = ()
    later: tuple[HubRef, ...] = ()
    failure: Failure | None = None
    mapped: Any = None
    retry_at: datetime | None = None
    hub_version: int = 0


# ---------------------------------------------------------------- the store


@dataclass(frozen=True, slots=True)
class Span:
    """The vendor ids behind ``after`` up to and with ``upto``, in the vendor's order; None: no bound on that side.

    ``id_order``: "numeric" (by number) or "ascii" (by code point).
    """

    after: str | None
    upto: str | None
    id_order: str = "ascii"


class SyncStore(Protocol):
    """Everything durable. All times are handed in: a store has no clock of its own that matters."""

    def take(self, lane: Lane, owner: str, now: datetime, until: datetime) -> Lease | None:
        """Take a free or expired lane, or one's own again; each taking has a higher generation. None: someone else holds it."""

    def release(self, lease: Lease) -> None:
        """Give a lane back; nothing happens if it was taken over."""

    def state(self, lane: Lane) -> LaneState: ...

    def live_links(self, lane: Lane) -> int:
        """How many live links the lane has. Counting a million takes a while."""

    def gather_pull(self, lane: Lane, query: PullQuery) -> Gathered: ...

    def commit_pull(self, lease: Lease, commit: PullCommit) -> None:
        """Apply it in one transaction. Raises LeaseLostError or StaleError, having changed nothing.

        Hub changes queue push work on every other lane that pushes the entity (and on this one where ``Decision.push``); a new
        link makes due what waited for it: hub records (``HubRef``) and vendor records (``VendorRef``: a notice for the record that
        waits).
        """

    def notices(self, lane: Lane, limit: int) -> Sequence[RecordNotice]: ...

    def add_notices(self, lane: Lane, vendor_ids: Mapping[str, bool]) -> None:
        """Note hints (vendor id to: is it a delete), one a record however many come."""

    def push_work(self, lane: Lane, entity: str, now: datetime, limit: int) -> Sequence[PushWork]:
        """What is due, oldest first: hub records with ``seen`` empty, links, intents; references as ``waits`` where unlinked."""

    def vendor_refs(self, lane: Lane, hub_ids: Sequence[UUID]) -> Refs:
        """The live (object, vendor id) pairs of hub records on this connection."""

    def joins(self, lane: Lane, other: str, entity: str, hub_ids: Sequence[UUID]) -> Mapping[UUID, str | None]:
        """Of hub records that are to be created on the lane, those that may be there already as what they were before.

        ``other``: the object that holds them until then, ``entity`` its own. The vendor id of the record that turned into each;
        None where the other connections that have it have not read their records of that entity since it came, of which one
        may have turned into it: they are asked for. Absent: it is new there.
        """

    def set_up(self, lane: Lane) -> SetUp:
        """Every stage and pipeline of the hub, as this connection has it, with the names that people gave it."""

    def announce(self, lease: Lease, now: datetime, sendings: Sequence[Sending]) -> None:
        """Commit what is about to be sent. Raises LeaseLostError."""

    def commit_push(self, lease: Lease, entity: str, ends: Sequence[Pushed]) -> None:
        """Record how pushes ended. Raises LeaseLostError or StaleError, having changed nothing."""

    def links_between(self, lane: Lane, span: Span) -> Sequence[tuple[str, str]]:
        """The live links of the span as (vendor id, version), in the vendor's id order.

        The version is "" where the link has no fingerprint: what we wrote last was not read back yet, and may read differently.
        """

    def pause(self, lane: Lane, status: str, failure: Failure | None) -> None:
        """Set a lane's status with its reason; idle clears it."""


# ---------------------------------------------------------------- the vendor


@dataclass(frozen=True, slots=True)
class Listing:
    """One page as the hub understands it. ``last``: the listing is complete with it, and ``cursor`` starts the next poll."""

    raws: Sequence[Raw]
    cursor: Cursor
    last: bool = False
    rejects: Sequence[tuple[Failure, Any]] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """Ids and versions of some records, in the vendor's id order, with nothing between them and the page before."""

    listed: Sequence[tuple[str, str]]
    last: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """One record to write: ``fields`` changed, out of the whole ``record`` (what the hub says, custom fields flat).

    ``base``: what the vendor last said, from which lists of associated records are changed.
    """

    entity_id: UUID
    fields: Record
    record: Record
    vendor_id: str | None = None
    expected_version: str | None = None
    base: Record = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Projection:
    """A hub record as the vendor can hold it, and the references that it cannot hold yet.

    ``failure``: why a value that must not be left out has no place at the vendor.
    """

    seen: Record
    waits: tuple[HubRef, ...] = ()
    failure: Failure | None = None


class VendorPort(Protocol):
    """One object of one connection, in the hub's terms. Raises the errors of `domain.errors`.

    ``batch_size``: how many records one call writes; ``ids_size``: how many one call reads by their ids.
    ``repeatable_creates``: a create repeated with the same key finds its own record. ``conditional_writes``: a write that names an
    outdated version is refused. ``settle_s``: how long after a write the vendor's listings may still lack it. ``membership``:
    which of the vendor's records it holds, where it shares them with another object (`sync_engine.views`).
    """

    @property
    def rules(self) -> Rules: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def ids_size(self) -> int: ...

    @property
    def repeatable_creates(self) -> bool: ...

    @property
    def conditional_writes(self) -> bool: ...

    @property
    def can_find(self) -> bool: ...

    @property
    def can_compare(self) -> bool: ...

    @property
    def id_order(self) -> str: ...

    @property
    def settle_s(self) -> float: ...

    def untold(self, *, every: bool) -> bool:
        """Whether a pass, or (``every``) a full comparison, has to ask for lists of associated records that no listing tells."""

    @property
    def membership(self) -> Membership | None: ...

    def associated(self, vendor_ids: Sequence[str], *, every: bool) -> Sequence[Raw]:
        """The lists of associated records alone, as they are now, whose changes no listing tells; one for each record."""

    def pages(self, cursor: Cursor | None) -> Iterator[Listing]: ...

    def fetch(self, vendor_ids: Sequence[str]) -> Sequence[Raw]:
        """The records as they are now; one that is gone comes as deleted (or merged), and none is left out."""

    def versions(self, after: str | None) -> Iterator[Versions]: ...

    def project(self, hubs: Sequence[Hub], refs: Refs, held: Held | None = None) -> Sequence[Projection]:
        """Each hub record as the vendor can hold it, in order. ``held``: what the vendor last said of each that it has."""

    def write(self, writes: Sequence[Write], refs: Refs) -> Sequence[WriteResult]:
        """Create or update; one result each, in order. Raises only while nothing can have been written."""

    def delete(self, vendor_ids: Sequence[str]) -> Sequence[WriteResult]: ...

    def find(self, keys: Sequence[UUID]) -> Mapping[UUID, str]: ...

    def new_id(self, incoming: Incoming) -> UUID:
        """The id of the hub record that an incoming record creates: the same one every time."""

    def cursor_at(self, moment: datetime) -> Cursor:
        """A cursor from which a poll reads whatever changed at or after ``moment``, with the vendor's own overlap."""
