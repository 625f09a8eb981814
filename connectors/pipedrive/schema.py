"""Schemas: the standard fields of an object, and the custom ones that the company added.

https://pipedrive.readme.io/docs/core-api-concepts-custom-fields
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.pipedrive.objects import ADDRESS_PARTS, Kind
from domain.entities import Kind as ValueKind
from domain.records import FieldSchema, ObjectSchema, Option

CUSTOM_KEY = re.compile(r"[0-9a-f]{40}")
COMPUTED = frozenset(
    {
        "id", "key", "add_time", "update_time", "creator_user_id", "creator_id", "is_deleted", "active_flag", "is_won",
        "is_closed", "stage_change_time", "origin", "source_lead_id", "source_deal_id", "sum", "order_nr",
        "last_update_user_id", "starts_at", "duration_s", "location_text", "file_size", "file_type", "url", "picture_id",
        "arr", "mrr", "acv", "first_name", "last_name", "source_name", "next_activity_id", "cc_email", "name:deal_products",
    }
) - {"starts_at", "duration_s", "location_text", "order_nr", "first_name", "last_name"}  # fmt: skip
"""Fields that Pipedrive sets itself."""

_STANDARD: Mapping[str, ValueKind] = {
    "text": ValueKind.TEXT,
    "html": ValueKind.TEXT,
    "enum": ValueKind.TEXT,
    "set": ValueKind.TEXT_LIST,
    "address": ValueKind.JSON,
}
_CUSTOM: Mapping[str, ValueKind] = {
    "int": ValueKind.INTEGER,
    "double": ValueKind.DECIMAL,
    "boolean": ValueKind.BOOLEAN,
    "date": ValueKind.DATE,
    "phone": ValueKind.PHONE,
    "set": ValueKind.TEXT_LIST,
    "monetary": ValueKind.JSON,
    "daterange": ValueKind.JSON,
    "time": ValueKind.JSON,
    "timerange": ValueKind.JSON,
    "address": ValueKind.JSON,
    "json": ValueKind.JSON,
}
"""Kinds of custom fields. An amount comes with its currency, a time with its zone, a range with both its ends."""
_REFERENCES: Mapping[str, str] = {
    "user": "users",
    "org": "organizations",
    "people": "persons",
    "person": "persons",
    "deal": "deals",
    "lead": "leads",
    "product": "products",
    "pipeline": "pipelines",
    "stage": "stages",
}
SEARCHABLE = frozenset({"address", "varchar", "text", "varchar_auto", "double", "monetary", "phone"})
"""Types whose values can be searched for: https://developers.pipedrive.com/docs/api/v1/ItemSearch#searchItemByField"""


def object_schema(kind: Kind, described: Iterable[Mapping[str, Any]]) -> ObjectSchema:
    """The schema of an object from its field list (of either version)."""
    by_code = {code(entry): entry for entry in described}
    standard = [_standard(kind, text, by_code) for text in kind.fields.split()]
    names = {field.name for field in standard}
    custom = [
        custom_field(entry)
        for key, entry in by_code.items()
        if CUSTOM_KEY.fullmatch(key) and key not in names and entry.get("active_flag", True)
    ]
    return ObjectSchema(
        name=kind.name,
        fields=(*standard, *custom),
        label=kind.label,
        id_field=kind.id_field,
        name_field=kind.name_field,
        created_field=kind.created,
        modified_field=kind.modified,
        writable=kind.update is not None,
        attributes={"soft_delete": kind.deleted_field is not None},
    )


def code(entry: Mapping[str, Any]) -> str:
    """The key of a field: v2 calls it ``field_code``, v1 ``key``."""
    return str(entry.get("field_code") or entry.get("key") or "")


def _standard(kind: Kind, text: str, described: Mapping[str, Mapping[str, Any]]) -> FieldSchema:
    name, _, type_name = text.partition(":")
    target = re.fullmatch(r"ref\((\w+)\)", type_name)
    entry = described.get(name, {})
    value_kind = ValueKind.REFERENCE if target else _STANDARD.get(type_name) or ValueKind(type_name)
    settable = kind.update is not None and name not in COMPUTED
    return FieldSchema(
        name=name,
        kind=value_kind,
        label=str(entry.get("field_name") or entry.get("name") or name.replace("_", " ").capitalize()),
        vendor_type=type_name if not target else "reference",
        unique=name == kind.id_field,
        createable=settable,
        updateable=settable,
        calculated=name in COMPUTED,
        compound=type_name == "address",
        part_of=_part_of(name),
        options=options(entry),
        closed=bool(options(entry)),
        multiple=type_name == "set",
        refers_to=(target[1],) if target else (),
    )


def _part_of(name: str) -> str | None:
    for prefix in ("postal_address", "address"):
        if name in {f"{prefix}_{part}" for part in ADDRESS_PARTS}:
            return prefix
    return None


def custom_field(entry: Mapping[str, Any]) -> FieldSchema:
    """A field that the company added."""
    type_name = str(entry.get("field_type") or "varchar")
    target = _REFERENCES.get(type_name)
    return FieldSchema(
        name=code(entry),
        kind=ValueKind.REFERENCE if target else _CUSTOM.get(type_name, ValueKind.TEXT),
        label=str(entry.get("field_name") or entry.get("name") or code(entry)),
        vendor_type=type_name,
        custom=True,
        options=options(entry),
        closed=bool(options(entry)),
        multiple=type_name == "set",
        refers_to=(target,) if target else (),
    )


def options(entry: Mapping[str, Any]) -> tuple[Option, ...]:
    """Picklist entries by label, with the id that Pipedrive stores as an attribute.

    Two options of one label are told apart by their ids, which then stand for them.
    """
    found: Sequence[Mapping[str, Any]] = [o for o in entry.get("options") or () if o.get("label") is not None]
    labels = [str(o["label"]) for o in found]
    return tuple(
        Option(label if labels.count(label) == 1 else str(o["id"]), label, attributes={"id": o["id"]})
        for o, label in zip(found, labels, strict=True)
    )
