"""Lists of records: static ones, and dynamic ones whose filter is one property's value.

https://developers.hubspot.com/docs/guides/api/crm/lists/overview
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.hubspot.times import iso


@dataclass(slots=True)
class RecordList:
    """``members``: record ids and when they joined (milliseconds)."""

    id: str
    name: str
    type_id: str
    kind: str
    at: int
    members: dict[str, int] = field(default_factory=dict)
    version: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "listId": self.id,
            "listVersion": self.version,
            "name": self.name,
            "objectTypeId": self.type_id,
            "processingType": self.kind,
            "processingStatus": "COMPLETE",
            "createdAt": iso(self.at),
            "updatedAt": iso(self.at),
            "createdById": "1",
            "updatedById": "1",
            "size": len(self.members),
        }

    def as_found(self) -> dict[str, Any]:
        """As a search for lists tells of it."""
        extra = {"hs_list_size": str(len(self.members)), "hs_list_reference_count": "0"}
        return {name: value for name, value in self.as_json().items() if name != "size"} | {
            "additionalProperties": extra
        }
