"""What an audit found, as data. It holds no record: values appear only where they are choices, numbers or dates.

So that an audit can be passed around, the smallest and largest value are told of numbers and dates alone, and the most
frequent values only of picklists, booleans and texts that take few values in many records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from domain.entities import Kind


@dataclass(frozen=True, slots=True)
class FieldAudit:
    """One field over all records read. ``distinct`` is approximate where ``distinct_exact`` is false.

    ``top``: the most frequent values with their counts; empty where they would be personal or too many.
    """

    name: str
    kind: Kind
    label: str = ""
    vendor_type: str = ""
    custom: bool = False
    records: int = 0
    filled: int = 0
    distinct: int = 0
    distinct_exact: bool = True
    minimum: str | None = None
    maximum: str | None = None
    max_length: int = 0
    top: tuple[tuple[str, int], ...] = ()

    @property
    def fill_rate(self) -> float:
        """Share (0–1) of the records that have a value."""
        return self.filled / self.records if self.records else 0.0


@dataclass(frozen=True, slots=True)
class DuplicateAudit:
    """Records that agree on all fields of one match rule: ``groups`` of them, ``records`` in all (survivors included)."""

    rule: tuple[str, ...]
    groups: int
    records: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class SharedEmails:
    """E-mail addresses that differently named people share: to be looked at, not duplicates to merge."""

    addresses: int
    people: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class OrphanAudit:
    """References of one field that lead to no listed record.

    ``missing``: how many different records are missing; ``unread``: objects it may name that this audit did not read (their
    ids count as missing only where every object that the field may name was read).
    """

    field: str
    refers_to: tuple[str, ...]
    references: int
    orphans: int
    missing: int
    unread: tuple[str, ...] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """What migrating costs: calls to the vendor (0 for files) and seconds for reading and loading."""

    calls: int = 0
    seconds: float = 0.0
    how: str = "pages"

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.calls + other.calls, self.seconds + other.seconds, self.how)


@dataclass(frozen=True, slots=True)
class ObjectAudit:
    """One object. ``count``: records read; ``vendor_count``: the vendor's own number; ``sampled``: only part was read."""

    object: str
    label: str = ""
    entity: str | None = None
    custom: bool = False
    count: int = 0
    vendor_count: int | None = None
    rejects: int = 0
    repeated: int = 0
    sampled: bool = False
    fields: tuple[FieldAudit, ...] = ()
    duplicates: tuple[DuplicateAudit, ...] = ()
    shared_emails: SharedEmails | None = None
    orphans: tuple[OrphanAudit, ...] = ()
    problems: Mapping[str, int] = field(default_factory=dict)
    oldest: datetime | None = None
    newest: datetime | None = None
    estimate: Estimate = Estimate()
    notes: tuple[str, ...] = ()
    """What the connector noticed, as sentences: doubtful dates, records without an id of their own."""

    @property
    def expected_count(self) -> int:
        """How many records a run will list."""
        return self.vendor_count if self.sampled and self.vendor_count is not None else self.count

    def field(self, name: str) -> FieldAudit | None:
        """The audit of field ``name``, if it was read."""
        return next((f for f in self.fields if f.name == name), None)


@dataclass(frozen=True, slots=True)
class UnreadObject:
    """An object that could not be read, and why, as a sentence."""

    object: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceUser:
    """A user of the source, for matching owners by e-mail."""

    vendor_id: str
    email: str = ""
    name: str = ""
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class SourceStage:
    """A stage of the source as its records tell it. ``probability`` in per cent."""

    vendor_id: str
    name: str
    pipeline: str = ""
    position: int | None = None
    probability: Decimal | None = None
    is_won: bool | None = None
    is_closed: bool | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """What is in the source. ``users`` and ``stages`` are the few records that a plan needs one by one."""

    vendor: str
    remote_account: str
    at: datetime
    catalog_fingerprint: str
    objects: tuple[ObjectAudit, ...]
    unread: tuple[UnreadObject, ...] = ()
    users: tuple[SourceUser, ...] = ()
    stages: tuple[SourceStage, ...] = ()
    display_name: str = ""
    exact: bool = True

    @property
    def records(self) -> int:
        return sum(o.expected_count for o in self.objects)

    @property
    def estimate(self) -> Estimate:
        """Calls and time of the whole migration."""
        return sum((o.estimate for o in self.objects), Estimate(how="total"))

    def object(self, name: str) -> ObjectAudit | None:
        """The audit of object ``name``, if it was read."""
        return next((o for o in self.objects if o.object == name), None)

    def to_json(self) -> dict[str, Any]:
        """JSON values, with fill rates and totals worked out; users and stages are only counted."""
        result = {k: _json(v) for k, v in asdict(self).items() if k not in ("objects", "users", "stages")}
        result["objects"] = [_object_json(o) for o in self.objects]
        result["totals"] = {
            "objects": len(self.objects), "records": self.records, "users": len(self.users), "stages": len(self.stages),
            "calls": self.estimate.calls, "seconds": round(self.estimate.seconds, 1),
        }  # fmt: skip
        return result


def _object_json(audited: ObjectAudit) -> dict[str, Any]:
    result: dict[str, Any] = _json(asdict(audited))
    for data, source in zip(result["fields"], audited.fields, strict=True):
        data["fill_rate"] = round(source.fill_rate, 4)
    result["expected_count"] = audited.expected_count
    return result


def _json(value: Any) -> Any:
    """Nested plain values of JSON: dates as ISO text, numbers without loss as text."""
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(v) for v in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value) if isinstance(value, (Decimal, Kind)) else value
