"""Owners: the portal's users as records refer to them.

https://developers.hubspot.com/docs/guides/api/crm/owners
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.hubspot.times import iso


@dataclass(slots=True)
class Owner:
    """``user_id`` is another number than the owner's own ``id``; a deactivated user's owner is archived and loses it."""

    id: str
    email: str
    first_name: str
    last_name: str
    user_id: int
    created: int
    archived: bool = False

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": self.id,
            "email": self.email,
            "type": "PERSON",
            "firstName": self.first_name,
            "lastName": self.last_name,
            "userIdIncludingInactive": self.user_id,
            "createdAt": iso(self.created),
            "updatedAt": iso(self.created),
            "archived": self.archived,
        }
        return body if self.archived else body | {"userId": self.user_id}
