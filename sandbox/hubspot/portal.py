"""The state of one portal: schema, records, owners, pipelines, associations, lists, files, and a feed of what changed.

Nothing here does I/O; every time comes from ``clock``, every id is counted up. Rules for writing are in `write.py`.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sandbox.hubspot.associations import Associations
from sandbox.hubspot.errors import ApiError, invalid, not_found
from sandbox.hubspot.files import Files
from sandbox.hubspot.lists import RecordList
from sandbox.hubspot.owners import Owner
from sandbox.hubspot.pipelines import Pipeline, standard_pipelines
from sandbox.hubspot.records import Record, Values
from sandbox.hubspot.schema import STAGES, ObjectType, Property
from sandbox.hubspot.standard import standard_objects
from sandbox.hubspot.times import to_ms
from sandbox.kit.clock import Clock

FIRST_ID = 100_001
CHANGES_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the feed. ``kind``: creation, propertyChange, deletion, privacyDeletion, merge, restore, associationChange.

    ``at`` in milliseconds; ``source``: API, CRM_UI, IMPORT.
    """

    object: str
    id: str
    kind: str
    property: str
    value: str
    at: int
    source: str


@dataclass(slots=True)
class IndexLag:
    """How long a write stays invisible to searches, in seconds: the same for one seed, record and write."""

    seed: int
    least_s: float = 2.0
    most_s: float = 10.0

    def of(self, name: str, record: Record) -> int:
        """In milliseconds."""
        span = int((self.most_s - self.least_s) * 1000)
        roll = zlib.crc32(f"{self.seed}:{name}:{record.id}:{record.updated}".encode())
        return int(self.least_s * 1000) + (roll % span if span > 0 else 0)


@dataclass(slots=True)
class Counters:
    """Ids are counted up for each kind of thing: a contact and a deal may well have the same."""

    last: dict[str, int] = field(default_factory=dict)

    def next(self, kind: str, first: int = FIRST_ID) -> str:
        self.last[kind] = self.last.get(kind, first - 1) + 1
        return str(self.last[kind])


class Portal:
    """``tables``: records by id, in the order of creation; archived and merged ones stay.

    ``merges_renumber``: the objects whose merged records become a new one.
    """

    def __init__(self, clock: Clock, seed: int, portal_id: int = 62_515) -> None:
        self.clock = clock
        self.id = portal_id
        self.lag = IndexLag(seed)
        self.counters = Counters()
        self.objects: dict[str, ObjectType] = standard_objects()
        self.tables: dict[str, dict[str, Record]] = {name: {} for name in self.objects}
        self.owners: dict[str, Owner] = {}
        self.pipelines: dict[str, dict[str, Pipeline]] = standard_pipelines()
        self.associations = Associations(self.objects)
        self.lists: dict[str, RecordList] = {}
        self.files = Files()
        self.changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        self.created: dict[str, list[str]] = {}
        self.unique: dict[tuple[str, str], dict[str, str]] = {}
        self.forgotten: set[str] = set()
        self.merges_renumber = frozenset({"deals"})

    # ------------------------------------------------------------ time and schema

    def now(self) -> int:
        """Milliseconds since 1970."""
        return to_ms(self.clock.now())

    def object(self, name: str) -> ObjectType:
        """By name, type id (``0-1``, ``2-…``), singular or fully qualified name. Raises 400 when there is none."""
        item = self.find_object(name)
        if item is None:
            raise invalid(f"Unable to infer object type from: {name}")
        return item

    def find_object(self, name: str) -> ObjectType | None:
        wanted = name.lower()
        for item in self.objects.values():
            known = {item.name, item.type_id, item.singular, f"p_{item.name}", f"p{self.id}_{item.name}"}
            if wanted in known:
                return item
        return self.objects["meetings"] if wanted == "meeting" else None

    def property(self, item: ObjectType, name: str) -> Property | None:
        found = item.properties.get(name)
        return found if found and not found.archived else None

    def options(self, item: ObjectType, found: Property, values: Values) -> list[str] | None:
        """What an enumeration takes, given the record's other values; None: anything."""
        if found.referenced == "OWNER":
            return [owner.id for owner in self.owners.values() if not owner.archived]
        if found.name in STAGES.values() and item.name in self.pipelines:
            return list(self.pipelines[item.name])
        if found.name in STAGES and item.name in self.pipelines:
            pipeline = self.pipelines[item.name].get(values.get(STAGES[found.name], ""))
            return list(pipeline.stages) if pipeline else []
        return [option.value for option in found.options] or None

    # ------------------------------------------------------------ records

    def find(self, name: str, record_id: str) -> Record | None:
        """The record of that id, archived or not; of a merged one, its survivor."""
        record = self.tables[name].get(record_id)
        while record is not None and record.merged_into:
            record = self.tables[name].get(record.merged_into)
        return record

    def find_live(self, name: str, record_id: str) -> Record | None:
        record = self.find(name, record_id)
        return None if record is None or record.archived else record

    def get(self, item: ObjectType, record_id: str) -> Record:
        """A live record. Raises 404."""
        record = self.find_live(item.name, record_id)
        if record is None:
            raise not_found()
        return record

    def by_property(self, item: ObjectType, name: str, value: str) -> Record | None:
        """The live record with this value of a property that is unique. Raises 400 for one that isn't."""
        found = self.property(item, name)
        if found is None or not found.unique:
            raise ApiError(
                400, "VALIDATION_ERROR", f"Unable to perform lookup by non-unique {item.type_id} property {name}"
            )
        holder = self.holders(item, name).get(unique_key(value))
        return self.find_live(item.name, holder) if holder else None

    def records_from(self, name: str, first: int) -> Iterator[Record]:
        """Records from about this id on, none of them missing: ids count up, and few have gone for good."""
        table = self.tables[name]
        gone = self.counters.last.get(name, FIRST_ID - 1) - FIRST_ID + 1 - len(table)
        return islice(table.values(), max(0, first - FIRST_ID - gone), None)

    def live(self, name: str) -> list[Record]:
        return [r for r in self.tables[name].values() if not r.archived and not r.merged_into]

    def holders(self, item: ObjectType, name: str) -> dict[str, str]:
        """Who holds which value of a unique property; built when first needed, kept up by `reindex`."""
        index = self.unique.get((item.name, name))
        if index is None:
            index = {}
            for record in self.live(item.name):
                for key in _keys(name, record.values):
                    index[key] = record.id
            self.unique[item.name, name] = index
        return index

    def reindex(self, item: ObjectType, record: Record, before: Values | None, after: Values | None) -> None:
        """Keep the unique indexes right; None: not there, archived or gone."""
        for (name, property_name), index in self.unique.items():
            if name != item.name:
                continue
            for key in _keys(property_name, before or {}):
                if index.get(key) == record.id:
                    del index[key]
            for key in _keys(property_name, after or {}):
                index[key] = record.id

    def will_be_seen(self, item: ObjectType, record: Record) -> None:
        """After a write: the index hears of it later, and never of an older write after a newer one."""
        visible = None if record.archived or record.merged_into else record.values
        at = self.now() + self.lag.of(item.name, record)
        record.pending = [entry for entry in record.pending if entry[0] < at]
        record.pending.append((at, visible))

    def note(self, item: ObjectType, record_id: str, kind: str, source: str, name: str = "", value: str = "") -> None:
        self.changes.append(Change(item.name, record_id, kind, name, value, self.now(), source))

    def counts(self) -> dict[str, int]:
        return {name: len(self.live(name)) for name in self.objects}

    def about_objects(self) -> dict[str, Any]:
        return {"portal_id": self.id, "records": self.counts()}


def unique_key(value: str) -> str:
    return value.strip().lower()


def _keys(name: str, values: Values) -> list[str]:
    """A contact answers to its additional addresses, too."""
    found = [values[name]] if values.get(name) else []
    if name == "email" and values.get("hs_additional_emails"):
        found += values["hs_additional_emails"].split(";")
    return [unique_key(value) for value in found]
