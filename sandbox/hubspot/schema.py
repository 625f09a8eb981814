"""Object types, their properties and property groups.

https://developers.hubspot.com/docs/guides/api/crm/properties
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.hubspot.times import iso

FIELD_TYPES = {
    "string": {"text", "textarea", "html", "file", "phonenumber", "calculation_equation"},
    "number": {"number", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"},
    "bool": {"booleancheckbox", "calculation_equation"},
    "phone_number": {"phonenumber"},
    "json": {"text"},
}


@dataclass(slots=True)
class Option:
    value: str
    label: str
    hidden: bool = False
    order: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"label": self.label, "value": self.value, "displayOrder": self.order, "hidden": self.hidden}


@dataclass(slots=True)
class Property:
    """``referenced``: OWNER, when the options are the portal's owners. ``created`` in milliseconds, None: the vendor's own."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    group: str = ""
    options: list[Option] = field(default_factory=list)
    read_only: bool = False
    calculated: bool = False
    hidden: bool = False
    unique: bool = False
    referenced: str = ""
    description: str = ""
    order: int = -1
    created: int | None = None
    archived: bool = False

    @property
    def multiple(self) -> bool:
        return self.field_type == "checkbox"

    def as_json(self) -> dict[str, Any]:
        at = iso(self.created or 0)
        body: dict[str, Any] = {
            "updatedAt": at,
            "createdAt": at,
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": [option.as_json() for option in self.options],
            "displayOrder": self.order,
            "calculated": self.calculated,
            "externalOptions": bool(self.referenced) or self.name in STAGES,
            "archived": self.archived,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "modificationMetadata": self._modification(),
            "formField": not self.hidden and not self.read_only,
            "dataSensitivity": "non_sensitive",
        }
        if self.created is None:
            body["hubspotDefined"] = True
        if self.referenced:
            body["referencedObjectType"] = self.referenced
        return body

    def _modification(self) -> dict[str, bool]:
        own = self.created is None
        return {
            "archivable": not own,
            "readOnlyDefinition": own,
            "readOnlyOptions": own,
            "readOnlyValue": self.read_only,
        }


STAGES = {"dealstage": "pipeline", "hs_pipeline_stage": "hs_pipeline"}
"""Properties whose options are the stages of the pipeline that another property names."""


@dataclass(slots=True)
class Group:
    name: str
    label: str
    order: int = 0
    archived: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "label": self.label, "displayOrder": self.order, "archived": self.archived}


@dataclass(slots=True)
class ObjectType:
    """``name`` is what URLs say (``contacts``), ``type_id`` what they may say as well (``0-1``), ``singular`` the noun in types.

    ``one_of``: at least one of these is required. ``shown``: the properties of an answer to which none were named.
    """

    name: str
    type_id: str
    singular: str
    properties: dict[str, Property] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    created_name: str = "createdate"
    modified_name: str = "hs_lastmodifieddate"
    custom: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        return self.singular.upper()

    @property
    def always(self) -> tuple[str, str, str]:
        return (self.created_name, self.modified_name, "hs_object_id")

    def unique_names(self) -> list[str]:
        return [p.name for p in self.properties.values() if p.unique and not p.archived]
