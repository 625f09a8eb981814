"""The tables of the in-memory store: plain dictionaries of frozen rows, copied whole before every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sync_engine.core.model import Conflict, Failure, HubRef, Intent, Link, Record, VendorRef
from sync_engine.ports import Lane, LaneState, RecordNotice


@dataclass(frozen=True, slots=True)
class Stream:
    """How a lane is set up: what it pushes to. ``writes`` None: every field concerns it."""

    entity: str
    pushes: bool = True
    writes: frozenset[str] | None = None

    def concerns(self, names: frozenset[str] | None) -> bool:
        """Whether a change of these fields (None: the whole record) has to go out on it."""
        if not self.pushes:
            return False
        return names is None or self.writes is None or any(n.partition(".")[0] in self.writes for n in names)


@dataclass(frozen=True, slots=True)
class LaneRow:
    state: LaneState = field(default_factory=LaneState)
    owner: str | None = None
    generation: int = 0
    until: datetime | None = None
    reason: Failure | None = None


@dataclass(frozen=True, slots=True)
class HubRow:
    """A hub record; ``deleted`` leaves its tombstone, ``values`` being what it was, ``children`` what referred to it."""

    tenant_id: UUID
    entity: str
    version: int
    values: Record
    times: Mapping[str, datetime] = field(default_factory=dict)
    deleted: bool = False
    deleted_by: UUID | None = None
    children: tuple[tuple[UUID, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WorkRow:
    token: int
    due_at: datetime | None  # None: as soon as possible
    attempts: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class ConflictRow:
    lane: Lane
    entity_id: UUID | None
    vendor_id: str
    conflict: Conflict
    status: str  # open, settled, resolved


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One field set: by whom (None: a person), by which rule, replacing what."""

    tenant_id: UUID
    entity: str
    entity_id: UUID
    name: str
    value: Any
    replaced: Any
    rule: str
    connection_id: UUID | None


@dataclass(frozen=True, slots=True)
class DeadRow:
    lane: Lane
    stage: str  # map, push
    key: str
    failure: Failure
    payload: Any
    attempts: int = 1
    open: bool = True


@dataclass(slots=True)
class Tables:
    """Everything durable. `copied` is the beginning of a transaction: rows are frozen, so the dictionaries are enough."""

    streams: dict[Lane, Stream] = field(default_factory=dict)
    lanes: dict[Lane, LaneRow] = field(default_factory=dict)
    hubs: dict[UUID, HubRow] = field(default_factory=dict)
    redirects: dict[UUID, UUID] = field(default_factory=dict)
    links: dict[tuple[Lane, str], Link] = field(default_factory=dict)
    intents: dict[tuple[Lane, UUID], Intent] = field(default_factory=dict)
    work: dict[tuple[Lane, UUID], WorkRow] = field(default_factory=dict)
    push_waits: dict[tuple[Lane, UUID, HubRef], None] = field(default_factory=dict)
    vendor_waits: dict[tuple[Lane, str, VendorRef], None] = field(default_factory=dict)
    notices: dict[tuple[Lane, str], RecordNotice] = field(default_factory=dict)
    conflicts: list[ConflictRow] = field(default_factory=list)
    dead: dict[tuple[Lane, str, str], DeadRow] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    serial: int = 0

    def copied(self) -> Tables:
        return Tables(**{f.name: _copy(getattr(self, f.name)) for f in fields(self)})

    def next_serial(self) -> int:
        self.serial += 1
        return self.serial


def _copy(value: Any) -> Any:
    return value if isinstance(value, int) else value.copy()
