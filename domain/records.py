"""How records travel: schemas, pages as a vendor lists them, batches as the hub understands them.

Pages and batches are tables, not dictionaries: one tuple of field names and many rows. A page of 2,000 records is
mapped column by column, which is several times cheaper than record by record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from domain.entities import Kind


class _Missing:
    """The vendor did not send this field, which is different from sending it empty."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()

Cursor = dict[str, Any]
"""Where to go on reading: opaque to everyone but the connector that made it, and serialisable as JSON."""


# ---------------------------------------------------------------- schemas


@dataclass(frozen=True, slots=True)
class Option:
    """One picklist entry. ``attributes``: what the vendor adds (probability and is_won of a stage, …)."""

    value: str
    label: str = ""
    is_active: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """One field of a vendor's object, in hub terms.

    ``kind`` is what its values are; ``vendor_type`` the vendor's own word for it. ``refers_to`` lists the vendor objects a
    reference may name (several when polymorphic); ``inferred``: concluded from names alone, so that the values must bear it
    out. ``closed``: only values of ``options`` can be written. ``part_of`` names the compound field that repeats this one.
    """

    name: str
    kind: Kind = Kind.TEXT
    label: str = ""
    vendor_type: str = ""
    custom: bool = False
    required: bool = False
    unique: bool = False
    external_id: bool = False
    createable: bool = True
    updateable: bool = True
    calculated: bool = False
    compound: bool = False
    part_of: str | None = None
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    options: tuple[Option, ...] = ()
    closed: bool = False
    multiple: bool = False
    refers_to: tuple[str, ...] = ()
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class ObjectSchema:
    """One object of a vendor and its fields. ``count`` is the vendor's own record count where it tells one."""

    name: str
    fields: tuple[FieldSchema, ...]
    label: str = ""
    custom: bool = False
    id_field: str = "id"
    name_field: str | None = None
    created_field: str | None = None
    modified_field: str | None = None
    readable: bool = True
    writable: bool = True
    record_types: tuple[Option, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def field(self, name: str) -> FieldSchema:
        """Return the field called ``name``. Raises KeyError."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(f"{self.name}.{name}")

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything a connection can read: the result of ``describe``."""

    objects: Mapping[str, ObjectSchema]

    def restricted_to(self, names: Sequence[str]) -> Catalog:
        """The same catalogue with only ``names``."""
        return replace(self, objects={n: self.objects[n] for n in names if n in self.objects})

    def fingerprint(self) -> str:
        """Hex digest that changes when an object or a field appears, disappears or changes type."""
        shape = {
            name: sorted([f.name, str(f.kind), f.vendor_type, sorted(f.refers_to)] for f in schema.fields)
            for name, schema in sorted(self.objects.items())
        }
        return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------- what a vendor lists


@dataclass(frozen=True, slots=True)
class Place:
    """Where a raw value stands in a source: file, 1-based row (line of its start) and column name or number."""

    file: str = ""
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        parts = [self.file] if self.file else []
        if self.row is not None:
            parts.append(f"row {self.row}")
        if self.column is not None:
            parts.append(f"column {self.column}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Reject:
    """A piece of the source that is no record: it becomes a dead letter with ``raw`` as its payload."""

    code: str
    message: str
    place: Place = Place()
    raw: Any = None
    vendor_id: str | None = None


@dataclass(slots=True)
class Page:
    """Some records of one object, as the vendor sent them.

    ``rows[i][j]`` is the value of ``fields[j]``; MISSING where the vendor did not send it. ``cursor`` resumes *after* this
    page. ``last`` says that the listing is complete with this page (an incomplete listing never implies deletes); then
    ``cursor`` is where the next incremental read starts. ``places`` (files) runs parallel to ``rows``. ``merged`` lists
    (loser id, survivor id) of records that the vendor merged: the loser's id now means the survivor.
    """

    object: str
    fields: tuple[str, ...]
    rows: list[Sequence[Any]]
    cursor: Cursor
    last: bool = False
    deleted: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    places: Sequence[Place] | None = None
    merged: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows as dictionaries, without the missing fields."""
        for row in self.rows:
            yield {name: value for name, value in zip(self.fields, row, strict=True) if value is not MISSING}


# ---------------------------------------------------------------- what the hub understands


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one value or record. ``rejects`` tells a dead letter from a warning.

    A warning means: the field stays blank, and the raw value is kept in ``custom_fields`` under its source name.
    The message names field and rule, never the value itself.
    """

    row: int
    code: str
    message: str
    field: str | None = None
    source_field: str | None = None
    rejects: bool = False


@dataclass(frozen=True, slots=True)
class PendingLink:
    """An association by vendor ids, to be resolved once both ends exist."""

    row: int
    label: str
    vendor_objects: tuple[str, ...]
    vendor_id: str


@dataclass(slots=True)
class MappedBatch:
    """Records of one vendor object as canonical columns; every list has one entry a row.

    ``columns`` holds plain Python values (str, int, Decimal, bool, date, aware datetime, list[str], JSON) or None; reference
    columns hold the *vendor id* they refer to, and ``refs`` tells which vendor objects that may be.
    For ``entity == "association"`` the columns are from_id, to_id (references), label, is_primary.
    """

    entity: str
    vendor_ids: list[str]
    columns: dict[str, list[Any]]
    refs: Mapping[str, tuple[str, ...]]
    custom_fields: list[dict[str, Any]]
    links: list[PendingLink] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.vendor_ids)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to write to a vendor, in the vendor's fields. ``key`` is the hub's id of it (idempotency, matching results)."""

    key: str
    values: Mapping[str, Any]
    vendor_id: str | None = None
    expected_version: str | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What the vendor said about one outgoing record. ``error`` is a SynclineError telling what happens next."""

    key: str
    vendor_id: str | None = None
    created: bool | None = None
    version: str | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """Who and where a connection is, as the vendor tells: shown to the admin, and the stable part of every hub id."""

    remote_account: str
    display_name: str = ""
    user: str = ""
    time_zone: str = "UTC"
    currency: str = ""
    country: str = ""
    at: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
