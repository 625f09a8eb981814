"""A count of calls by kind, so that a client's cost can be compared with the least possible."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

KEPT = 10_000


@dataclass(slots=True)
class Journal:
    """``counted`` are the calls that the vendor's quota counts; ``entries`` the last ones, without bodies or headers.

    ``created``: the ids of the records that calls created, by object.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    counted: int = 0
    created: dict[str, list[str]] = field(default_factory=dict)
    entries: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, kind: str, method: str, path: str, status: int, counted: bool) -> None:
        self.kinds[kind] += 1
        self.statuses[status] += 1
        self.counted += counted
        self.entries.append({"kind": kind, "method": method, "path": path, "status": status})

    def wrote(self, object_name: str, record_id: str) -> None:
        """A call created a record: with this, a test can count doubles."""
        self.created.setdefault(object_name, []).append(record_id)

    def clear(self) -> None:
        self.kinds.clear()
        self.statuses.clear()
        self.entries.clear()
        self.counted = 0
        self.created.clear()

    def as_json(self) -> dict[str, Any]:
        return {
            "total": sum(self.kinds.values()),
            "counted": self.counted,
            "kinds": dict(self.kinds),
            "statuses": {str(k): v for k, v in self.statuses.items()},
            "created": {name: list(ids) for name, ids in self.created.items()},
            "entries": list(self.entries),
        }
