"""The nouns of two-way sync: what is known about a record on both sides, and what is decided about it.

A record is a flat dictionary of canonical field names to typed values (text, int, Decimal, bool, date, aware datetime, list,
JSON; references are hub ids); custom fields stand in it as ``custom_fields.<name>``. Everything here is a value: planning takes
values and returns values, and does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.entities import Becomes
from domain.frozen import dataclass

Record = Mapping[str, Any]

PROVENANCE = frozenset({"created_by_id", "updated_by_id", "source_created_at", "source_updated_at"})
"""Fields that tell where a record came from: said once by the vendor record that created it, never pushed, never contested."""


class Policy(StrEnum):
    """Who wins a field that both sides changed."""

    HUB_WINS = "hub_wins"
    VENDOR_WINS = "vendor_wins"
    NEWEST = "newest"  # the later edit; within the clocks' allowance: the hub's
    PREFER_NONBLANK = "prefer_nonblank"  # a value beats a blank; two values: the hub's
    ASK = "ask"  # nobody, until a person decides


class ListKind(StrEnum):
    """How a list-valued field merges."""

    SET = "set"  # order means nothing: additions and removals of both sides
    SEQUENCE = "sequence"  # the hub's order, the vendor's additions after it, its removals taken out
    LINKS = "links"  # ids of associated records: a set of which a vendor may hold a part, as far as it has the records
    LABELS = "labels"  # as what they are associated, as far as the vendor has the labels; capitals are no difference


class DeletePolicy(StrEnum):
    """What a delete on one side does on the other."""

    PROPAGATE = "propagate"  # deletes there, too
    ARCHIVE = "archive"  # keeps the record, marks the link as a tombstone, and stops exchanging it
    IGNORE = "ignore"  # the same, but the record is created again at the next edit


class Side(StrEnum):
    HUB = "hub"
    VENDOR = "vendor"


@dataclass(frozen=True, slots=True)
class Rules:
    """How one object of one connection is kept in step with its entity.

    ``reads``/``writes``: canonical fields the mapping reads from the vendor/may write to it (custom fields by prefix:
    ``custom_fields`` in either means all of them). ``required``: fields without which the vendor refuses a create.
    ``match_keys``: unlinked records that agree on all fields of one key are the same thing. ``only``: values of which a hub record
    must have one to be created at the vendor (a call is no meeting, though both are activities). ``follows``: fields that another
    one decides. ``refers``: the vendor objects that a reference field may point to. ``once``: fields that the vendor takes when a
    record is created, and lets nobody change. ``afterwards``: fields that it takes only of a record that stands. ``picks``:
    references for which the vendor names one of a list, having no main one.
    ``mains``: by list of associated records, the reference to its main one, which the vendor has, too. ``becomes``: what records
    of the entity turn into; ``part``: the object holds them only until then, and another object holds them afterwards.
    """

    entity: str
    reads: frozenset[str]
    writes: frozenset[str]
    policy: Policy = Policy.HUB_WINS
    policies: Mapping[str, Policy] = field(default_factory=dict)
    lists: Mapping[str, ListKind] = field(default_factory=dict)
    match_keys: tuple[tuple[str, ...], ...] = ()
    required: frozenset[str] = frozenset()
    only: Mapping[str, frozenset[Any]] = field(default_factory=dict)
    follows: Mapping[str, str] = field(default_factory=dict)
    refers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    once: frozenset[str] = frozenset()
    afterwards: frozenset[str] = frozenset()
    picks: Mapping[str, str] = field(default_factory=dict)
    mains: Mapping[str, str] = field(default_factory=dict)
    becomes: Becomes | None = None
    part: bool = False
    deletes_in: DeletePolicy = DeletePolicy.PROPAGATE
    deletes_out: DeletePolicy = DeletePolicy.PROPAGATE
    edit_beats_delete: bool = True
    pulls: bool = True
    pushes: bool = True
    creates_in: bool = True
    creates_out: bool = True
    skew: timedelta = timedelta(minutes=5)

    def reads_field(self, name: str) -> bool:
        return name in self.reads or ("." in name and _root(name) in self.reads)

    def writes_field(self, name: str) -> bool:
        written = name in self.writes or ("." in name and _root(name) in self.writes)
        return written and name not in PROVENANCE

    @property
    def links(self) -> frozenset[str]:
        """Fields that are lists of associated records."""
        return frozenset(n for n, kind in self.lists.items() if kind is ListKind.LINKS)

    def is_history(self, hub: Hub) -> bool:
        """Whether a hub record has turned into another one: of the record itself nothing is sent any more."""
        return self.becomes is not None and hub.values.get(self.becomes.flag) is True

    @property
    def needs_times(self) -> bool:
        """Whether any field is decided by when it was last set."""
        return Policy.NEWEST in (self.policy, *self.policies.values())

    @property
    def labels(self) -> frozenset[str]:
        """Fields that say as what records are associated."""
        return frozenset(n for n, kind in self.lists.items() if kind is ListKind.LABELS)

    def policy_of(self, name: str) -> Policy:
        return self.policies.get(name) or self.policies.get(_root(name)) or self.policy


def _root(name: str) -> str:
    return name.partition(".")[0]


# ---------------------------------------------------------------- what is known


@dataclass(frozen=True, slots=True)
class VendorRef:
    """A reference by vendor ids whose other end the hub does not know yet."""

    field: str
    objects: tuple[str, ...]
    vendor_id: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """One vendor record as the hub understands it.

    ``values``: what the vendor says, references resolved to hub ids; a field the vendor does not send, or whose reference is
    not known yet (``waits``), is absent. ``version`` orders states of this record (texts that compare, or "" when the
    vendor has none). ``key``: the hub id found in the vendor's external-id field. ``raw``: for the dead letter.
    ``error``: (code, message, field) when mapping refused the record. ``outside``: another object holds the record now, of those
    two that share the vendor's records; None: the vendor does not say which of them does.
    """

    vendor_id: str
    values: Record = field(default_factory=dict)
    version: str = ""
    modified_at: datetime | None = None
    fingerprint: bytes = b""
    created_ms: int = 0
    key: UUID | None = None
    waits: tuple[VendorRef, ...] = ()
    raw: Any = None
    error: tuple[str, str, str | None] | None = None
    deleted: bool = False
    merged_into: str | None = None
    outside: bool | None = False


@dataclass(frozen=True, slots=True)
class Link:
    """The binding of a vendor record to a hub record.

    ``base``: the vendor's state as the hub last took account of it (not: what the hub holds). None: linked but never compared.
    ``sent``: what a write whose outcome is not known yet would have put there. ``open``: fields with an unanswered conflict, as
    (hub value, vendor value). ``revision`` counts changes of the link itself.
    """

    vendor_id: str
    entity_id: UUID
    base: Record | None = None
    sent: Record = field(default_factory=dict)
    version: str = ""
    fingerprint: bytes = b""
    origin: str = "created"
    revision: int = 0
    tombstoned: bool = False
    open: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub record. ``seen``: the record as the vendor in question can hold it (the mapping there and back again).

    ``times``: when each field was last set, as far as known. ``deleted``: only its tombstone is left; ``values`` is what it was.
    ``deleted_by``: the connection whose vendor deleted it, None for a person or program.
    """

    id: UUID
    version: int
    values: Record
    seen: Record = field(default_factory=dict)
    times: Mapping[str, datetime] = field(default_factory=dict)
    deleted: bool = False
    deleted_by: UUID | None = None

    def seen_as(self, seen: Record) -> Hub:
        """The record with what the vendor can hold of it."""
        return Hub(self.id, self.version, self.values, seen, self.times, self.deleted, self.deleted_by)


@dataclass(frozen=True, slots=True)
class Intent:
    """A create announced before it was sent, whose outcome is not recorded: ``sent`` is what it would have put there."""

    entity_id: UUID
    sent: Record
    at: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows about a batch of incoming records.

    ``candidates``: for each unlinked vendor id, hub records that agree on a match key and that this object of the connection has
    no live link to. ``intents``: creates of this lane with unknown outcome. ``redirects``: merged hub ids to survivors.
    ``taken``: of the hub records named by a key, by a buried link or by what a record became, the record of this object that each
    is linked to. ``elsewhere``: by vendor id, the hub records that the same vendor records are as another object's (see
    `sync_engine.views`); ``became``: what those of them are now that turned into a record of this object's entity. ``refused``:
    hub records that the vendor refuses to create, and the vendor record that stands in their way.
    """

    links: Mapping[str, Link] = field(default_factory=dict)
    hubs: Mapping[UUID, Hub] = field(default_factory=dict)
    candidates: Mapping[str, tuple[UUID, ...]] = field(default_factory=dict)
    intents: Sequence[Intent] = ()
    redirects: Mapping[UUID, UUID] = field(default_factory=dict)
    taken: Mapping[UUID, str] = field(default_factory=dict)
    elsewhere: Mapping[str, UUID] = field(default_factory=dict)
    became: Mapping[str, UUID] = field(default_factory=dict)
    refused: Mapping[UUID, str] = field(default_factory=dict)


# ---------------------------------------------------------------- what is decided


class Outcome(StrEnum):
    """What became of one input. Every input has exactly one."""

    CREATED = "created"
    MATCHED = "matched"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    KEPT = "kept"  # the vendor deleted it; the hub keeps its record
    REVIVED = "revived"
    MERGED = "merged"
    SUPERSEDED = "superseded"
    SKIPPED = "skipped"  # the stream takes nothing of the kind (creates switched off, a delete of the unknown)
    REJECTED = "rejected"

    @property
    def ledger(self) -> str:
        """The column of the ledger: applied, superseded or dead."""
        if self is Outcome.SUPERSEDED:
            return "superseded"
        return "dead" if self is Outcome.REJECTED else "applied"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both sides changed ``field``. ``winner`` None: open, a person decides (rule ask).

    ``winner`` kept its value by ``rule``, the other side's is ``losing_value``. For field ``*`` one side deleted the record.
    """

    field: str
    winner: Side | None
    rule: str
    winning_value: Any
    losing_value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record was refused. ``message`` names field and rule, never a value."""

    code: str
    message: str
    field: str | None = None
    fault: str = "data"  # data, vendor, ours


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one incoming record. Applied whole or not at all.

    ``set_hub``: fields to set (``rules``: by which rule); with ``create`` on a new hub record ``entity_id``, with ``restore``
    on one brought back from its tombstone. ``hub_version``: the version planned against; another one there means that the
    plan is stale. ``base``: the link's new base (None: leave the link as it is), ``link_revision`` likewise guards it (None: no
    link yet). ``push``: the vendor lags behind. ``merge_into``: this hub record's survivor (then ``set_hub``
    and ``push`` are about that one; without ``delete`` the two were merged before). ``settled``: fields whose open conflict
    is over without a person's answer: the store closes it.
    """

    vendor_id: str
    outcome: Outcome
    entity_id: UUID | None = None
    create: bool = False
    restore: bool = False
    delete: bool = False
    set_hub: Record = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    hub_version: int | None = None
    base: Record | None = None
    link_revision: int | None = None
    link_origin: str = "created"
    tombstone_link: bool = False
    drop_sent: bool = False
    settles_intent: bool = False
    push: bool = False
    merge_into: UUID | None = None
    conflicts: tuple[Conflict, ...] = ()
    settled: tuple[str, ...] = ()
    waits: tuple[VendorRef, ...] = ()
    failure: Failure | None = None
    incoming: Incoming | None = None


class PushKind(StrEnum):
    NOTHING = "nothing"
    CREATE = "create"
    UPDATE = "update"
    REFUSE = "refuse"  # the vendor has no place for a value that it cannot do without
    DELETE = "delete"
    WAIT = "wait"  # for a parent that the vendor does not have yet, or for the outcome of an earlier create
    ADOPT = "adopt"  # an earlier create did arrive: only the link is missing
    RESTORE = "restore"  # the vendor edited what the hub deleted: the hub takes it back
    FOLLOW = "follow"  # the vendor merged it into another record: it is read with that one
    PART = "part"  # only the link goes: the vendor's record is another hub record's, too


@dataclass(frozen=True, slots=True)
class HubRef:
    """A reference to a hub record that this vendor has no record of yet."""

    field: str
    entity: str
    entity_id: UUID


@dataclass(frozen=True, slots=True)
class Pushable:
    """Everything known about one hub record that may have to go out.

    ``waits``: references that this vendor lacks the other end of; their fields are absent from ``hub.seen``. ``current``: what
    the vendor says now, where it was asked right before writing. ``intent``: an earlier create of unknown outcome; ``found``:
    the vendor id that reading back found for it. ``failure``: why a value that must not be left out has no place at the vendor;
    its field is absent from ``hub.seen``, too. ``elsewhere``: another object holds the vendor's record by now.
    """

    entity_id: UUID
    hub: Hub | None
    link: Link | None = None
    waits: tuple[HubRef, ...] = ()
    current: Incoming | None = None
    intent: Intent | None = None
    found: str | None = None
    failure: Failure | None = None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class PushDecision:
    """What to send about one hub record.

    ``fields``: canonical values to write (all of them for a create). ``pull``: what the pre-read taught (to be applied like a
    pulled record, first). ``waits``: what it waits for. ``later``: left out for now, to be sent once the other end is there.
    ``failure``: what was left out, or why nothing is sent; a dead letter says it. ``more``: something is left to send as soon as
    this is done.
    """

    entity_id: UUID
    kind: PushKind
    fields: Record = field(default_factory=dict)
    vendor_id: str | None = None
    expected_version: str | None = None
    hub_version: int = 0
    pull: Decision | None = None
    conflicts: tuple[Conflict, ...] = ()
    waits: tuple[HubRef, ...] = ()
    later: tuple[HubRef, ...] = ()
    failure: Failure | None = None
    more: bool = False
