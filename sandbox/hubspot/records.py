"""One record: its values, their history, and what the search index has seen of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.hubspot.times import iso

Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class Version:
    """One value that a property had. ``at`` in milliseconds."""

    value: str
    at: int
    source: str
    source_id: str = ""

    def as_json(self) -> dict[str, Any]:
        body = {"value": self.value, "timestamp": iso(self.at), "sourceType": self.source}
        return body | ({"sourceId": self.source_id} if self.source_id else {})


@dataclass(slots=True)
class Record:
    """``values`` is replaced, never changed, so that the index can go on holding an older one.

    ``indexed`` is what a search sees (None: nothing), ``pending`` what it will see, and from when (milliseconds).
    Seeded records have no ``history``: each value is as old as its record.
    """

    id: str
    values: Values
    created: int
    updated: int
    archived_at: int | None = None
    history: dict[str, list[Version]] = field(default_factory=dict)
    indexed: Values | None = None
    pending: list[tuple[int, Values | None]] = field(default_factory=list)
    merged_into: str = ""

    @property
    def archived(self) -> bool:
        return self.archived_at is not None

    def searchable(self, now: int) -> Values | None:
        """The values that a search finds this record by."""
        while self.pending and self.pending[0][0] <= now:
            self.indexed = self.pending.pop(0)[1]
        return self.indexed

    def versions(self, name: str) -> list[Version]:
        """Newest first."""
        if name in self.history:
            return self.history[name]
        value = self.values.get(name)
        return [] if value is None else [Version(value, self.created, "IMPORT")]

    def as_json(self, names: list[str]) -> dict[str, Any]:
        """Named properties: those without a value are null."""
        body: dict[str, Any] = {
            "id": self.id,
            "properties": {name: self.values.get(name) for name in names},
            "createdAt": iso(self.created),
            "updatedAt": iso(self.updated),
            "archived": self.archived,
        }
        if self.archived_at is not None:
            body["archivedAt"] = iso(self.archived_at)
        return body
