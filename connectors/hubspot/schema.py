"""HubSpot's properties, custom objects and set-up in hub terms.

https://developers.hubspot.com/docs/guides/api/crm/properties
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.hubspot.objects import ASSOCIATED, FILES, ID_FIELD, LISTS, MEMBERSHIPS, OWNERS, CrmObject
from domain.entities import Kind
from domain.records import FieldSchema, ObjectSchema, Option

_KINDS: Mapping[str, Kind] = {
    "string": Kind.TEXT,
    "number": Kind.DECIMAL,
    "bool": Kind.BOOLEAN,
    "enumeration": Kind.TEXT,
    "date": Kind.DATE,
    "datetime": Kind.TIMESTAMP,
    "phone_number": Kind.PHONE,
}
_OWNER = "OWNER"


def object_schema(
    kind: CrmObject, properties: Sequence[Mapping[str, Any]], *, label: str = "", custom: bool = False
) -> ObjectSchema:
    """The schema of an object of records from its list of properties."""
    fields = [field_schema(p) for p in properties if not _is_internal(p)]
    names = {f.name for f in fields}
    if ID_FIELD not in names:
        fields.insert(0, _read_only(ID_FIELD, Kind.TEXT))
    fields += [_associated(target) for target in kind.targets]
    return ObjectSchema(
        kind.name,
        tuple(fields),
        label=label or kind.name,
        custom=custom,
        id_field=ID_FIELD,
        name_field=kind.label_field if kind.label_field in names else None,
        created_field=kind.created if kind.created in names else None,
        modified_field=kind.modified if kind.modified in names else None,
        writable=kind.writable,
    )


def field_schema(entry: Mapping[str, Any]) -> FieldSchema:
    """One property."""
    meta = entry.get("modificationMetadata") or {}
    writable = not (entry.get("calculated") or meta.get("readOnlyValue"))
    multiple = entry.get("type") == "enumeration" and entry.get("fieldType") == "checkbox"
    owner = entry.get("referencedObjectType") == _OWNER
    unique = bool(entry.get("hasUniqueValue"))
    kind = Kind.TEXT_LIST if multiple else _KINDS.get(str(entry.get("type")), Kind.TEXT)
    name = str(entry["name"])
    return FieldSchema(
        name,
        Kind.REFERENCE if owner else Kind.TEXT if name == ID_FIELD else kind,
        label=str(entry.get("label") or ""),
        vendor_type=f"{entry.get('type')}/{entry.get('fieldType')}",
        custom=entry.get("hubspotDefined") is not True,
        unique=unique,
        external_id=unique and writable,
        createable=writable,
        updateable=writable,
        calculated=bool(entry.get("calculated")),
        options=() if owner else tuple(_option(o) for o in entry.get("options") or ()),
        closed=entry.get("type") == "enumeration",
        multiple=multiple,
        refers_to=(OWNERS,) if owner else (),
    )


def _option(entry: Mapping[str, Any]) -> Option:
    return Option(str(entry["value"]), str(entry.get("label") or ""), is_active=not entry.get("hidden"))


def _is_internal(entry: Mapping[str, Any]) -> bool:
    """What HubSpot computes for itself and shows to nobody, dozens on every object."""
    computed = entry.get("calculated") or (entry.get("modificationMetadata") or {}).get("readOnlyValue")
    needed = entry.get("name") in (ID_FIELD, "hs_merged_object_ids", "hs_lastmodifieddate", "lastmodifieddate")
    return bool(entry.get("hidden") and entry.get("hubspotDefined") and computed) and not needed


def _associated(target: str) -> FieldSchema:
    return FieldSchema(f"{ASSOCIATED}{target}", label=f"Associated {target}", vendor_type="association")


def _read_only(name: str, kind: Kind = Kind.TEXT, *refers_to: str) -> FieldSchema:
    return FieldSchema(
        name, kind, label=name, vendor_type="read-only", createable=False, updateable=False, refers_to=refers_to
    )


# ---------------------------------------------------------------- set-up and pairs


def association_schema(name: str, source: str, target: str) -> ObjectSchema:
    """Pairs of records: one row for each pair and label."""
    fields = (
        _read_only("id"),
        FieldSchema("from_id", Kind.REFERENCE, refers_to=(source,), required=True),
        FieldSchema("to_id", Kind.REFERENCE, refers_to=(target,), required=True),
        FieldSchema("label"),
        FieldSchema("category"),
        FieldSchema("type_id", Kind.INTEGER),
        FieldSchema("is_primary", Kind.BOOLEAN),
    )
    return ObjectSchema(name, fields, label=f"{source} to {target}")


_TIMES = (_read_only("createdAt", Kind.TIMESTAMP), _read_only("updatedAt", Kind.TIMESTAMP))
_ORDER = _read_only("displayOrder", Kind.INTEGER)

OWNER_FIELDS = (
    _read_only("id"),
    *(_read_only(n) for n in ("firstName", "lastName", "fullName", "type")),
    _read_only("email", Kind.EMAIL),
    _read_only("userId"),
    _read_only("isActive", Kind.BOOLEAN),
    *_TIMES,
)
PIPELINE_FIELDS = (
    _read_only("id"),
    _read_only("label"),
    _ORDER,
    _read_only("isDefault", Kind.BOOLEAN),
    *_TIMES,
)
LIST_FIELDS = (
    _read_only("listId"),
    *(_read_only(n) for n in ("name", "objectTypeId", "processingType")),
    *_TIMES,
)
FILE_FIELDS = (
    _read_only("id"),
    *(_read_only(n) for n in ("name", "fileName", "extension", "type", "path", "access", "encoding", "contentType")),
    _read_only("size", Kind.INTEGER),
    *_TIMES,
)


def stage_fields(pipelines: str) -> tuple[FieldSchema, ...]:
    """The fields of the stages of ``pipelines``."""
    return (
        _read_only("id"),
        _read_only("stageId"),
        _read_only("label"),
        _ORDER,
        _read_only("pipelineId", Kind.REFERENCE, pipelines),
        _read_only("probability", Kind.DECIMAL),
        _read_only("isWon", Kind.BOOLEAN),
        _read_only("isClosed", Kind.BOOLEAN),
        *_TIMES,
    )


def setup_schema(name: str) -> ObjectSchema | None:
    """The schema of owners, pipelines, stages, lists, memberships or files; None for another name."""
    kinds: Mapping[str, tuple[tuple[FieldSchema, ...], str | None]] = {
        OWNERS: (OWNER_FIELDS, "fullName"),
        "deal_pipelines": (PIPELINE_FIELDS, "label"),
        "ticket_pipelines": (PIPELINE_FIELDS, "label"),
        "deal_stages": (stage_fields("deal_pipelines"), "label"),
        "ticket_stages": (stage_fields("ticket_pipelines"), "label"),
        LISTS: (LIST_FIELDS, "name"),
        FILES: (FILE_FIELDS, "name"),
    }
    if name == MEMBERSHIPS:
        members = (_read_only("id"), _read_only("list_id", Kind.REFERENCE, LISTS), _read_only("record_id"),
                  _read_only("objectTypeId"), _read_only("membershipTimestamp", Kind.TIMESTAMP))  # fmt: skip
        return ObjectSchema(name, members, label=name, writable=False)
    if name not in kinds:
        return None
    fields, label_field = kinds[name]
    names = {f.name for f in fields}
    return ObjectSchema(
        name,
        fields,
        label=name.replace("_", " "),
        id_field="listId" if name == LISTS else "id",
        name_field=label_field,
        created_field="createdAt" if "createdAt" in names else None,
        modified_field="updatedAt" if "updatedAt" in names else None,
        writable=False,
    )
