"""The state of one org: its schema, its rows, its files. Rules for writing are in `write.py`, reading by SOQL in `query.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.clock import Clock
from sandbox.salesforce.errors import ApiError, not_found, unsupported_type
from sandbox.salesforce.ids import IdFactory, to18
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.standard import standard_objects

Row = dict[str, Any]
Undo = Callable[[], None]
Table = dict[str, Row]
"""Rows by 18-character id, in the order of creation. A row holds no nulls; a deleted one stays, with IsDeleted true."""


@dataclass(slots=True)
class Permissions:
    """What the connected user may do. ``hidden`` holds ``Object`` and ``Object.Field`` names taken away from them."""

    set_audit_fields: bool = False
    hidden: set[str] | None = None

    def sees(self, name: str) -> bool:
        return self.hidden is None or name not in self.hidden


class Org:
    """Schema and rows. Nothing here does I/O; every time comes from ``clock``, every id is counted up."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ids = IdFactory()
        self.objects: dict[str, ObjectType] = standard_objects()
        self.tables: dict[str, Table] = {name: {} for name in self.objects}
        self.blobs: dict[str, bytes] = {}
        self.permissions = Permissions()
        self.created: dict[str, list[str]] = {}
        self.schema_version = 1
        self.indexes: dict[tuple[str, str], dict[Any, list[str]]] = {}
        self.counters: dict[str, int] = {}
        self.undo: list[Undo] | None = None
        self.locks: dict[str, int] = {}
        self.purged_before: str | None = None
        self.binless: set[str] = set()  # deleted, and in no recycle bin: only getDeleted still tells
        self._names = {name.lower(): name for name in self.objects}
        self._prefixes: dict[str, list[str]] = {}
        self._register_prefixes()

    def _register_prefixes(self) -> None:
        self._names = {name.lower(): name for name in self.objects}
        self._prefixes = {}
        for item in self.objects.values():
            self._prefixes.setdefault(item.prefix, []).append(item.name)

    # ------------------------------------------------------------ schema

    def object(self, name: str) -> ObjectType:
        """The object of that name, in any case. Raises INVALID_TYPE when there is none, or none this user may see."""
        known = self._names.get(name.lower())
        if known is None or not self.permissions.sees(known):
            raise unsupported_type(name)
        return self.objects[known]

    def resource(self, name: str) -> ObjectType:
        """The same, named in a URL, where the vendor answers 404."""
        try:
            return self.object(name)
        except ApiError as error:
            raise not_found() from error

    def visible_objects(self) -> list[ObjectType]:
        return [o for o in self.objects.values() if self.permissions.sees(o.name)]

    def visible_fields(self, item: ObjectType) -> list[Field]:
        return [f for f in item.fields.values() if self.permissions.sees(f"{item.name}.{f.name}")]

    def field(self, item: ObjectType, name: str) -> Field | None:
        found = item.find(name)
        return found if found and self.permissions.sees(f"{item.name}.{found.name}") else None

    def remove_object(self, name: str) -> None:
        """Take an object away that belongs to a feature which the org has not switched on."""
        del self.objects[name], self.tables[name]
        self._register_prefixes()

    def add_object(self, item: ObjectType) -> None:
        self.objects[item.name] = item
        self.tables.setdefault(item.name, {})
        self.schema_version += 1
        self._register_prefixes()

    def add_field(self, object_name: str, item: Field) -> None:
        self.objects[object_name].add(item)
        self.schema_version += 1

    def remove_field(self, object_name: str, name: str) -> None:
        self.objects[object_name].remove(name)
        self.schema_version += 1

    # ------------------------------------------------------------ rows

    def get(self, object_name: str, record_id: str) -> Row | None:
        """The row with a 15- or 18-character id, deleted ones included."""
        table = self.tables[object_name]
        return table.get(record_id) or table.get(to18(record_id) or "")

    def find(self, record_id: str | None) -> tuple[ObjectType, Row] | None:
        """The row with this id, whatever its object."""
        if not record_id:
            return None
        for name in self._prefixes.get(record_id[:3], ()):
            row = self.get(name, record_id)
            if row is not None:
                return self.objects[name], row
        return None

    def put(self, object_name: str, row: Row) -> Row:
        """Store a row as it stands, without rules: seeded and legacy data."""
        if "Id" not in row:
            row["Id"] = self.ids.next(self.objects[object_name].prefix)
        self.tables[object_name][row["Id"]] = row
        self.indexes.clear()
        return row

    def live(self, object_name: str) -> list[Row]:
        return [row for row in self.tables[object_name].values() if not row.get("IsDeleted")]

    def organization(self) -> Row:
        return next(iter(self.tables["Organization"].values()))

    def record_types(self, object_name: str) -> list[Row]:
        return [r for r in self.tables["RecordType"].values() if r["SobjectType"] == object_name]

    def kinds_of(self, record_id: str) -> set[str]:
        """The objects that an id of this prefix can belong to."""
        return set(self._prefixes.get(record_id[:3], ()))

    def take_lock(self, record_id: str) -> bool:
        """Whether someone else holds the record just now; each such refusal counts down (see faults)."""
        held = self.locks.get(record_id, self.locks.get("*", 0))
        name = record_id if record_id in self.locks else "*"
        if held:
            self.locks[name] = held - 1
        return held > 0

    def next_number(self, name: str) -> int:
        self.counters[name] = self.counters.get(name, 0) + 1
        return self.counters[name]
