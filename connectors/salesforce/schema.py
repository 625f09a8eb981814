"""Describe results as hub schemas.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_describesobjects_describesobjectresult.htm
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.salesforce.objects import STANDARD_OBJECTS, quirk, vendors_own
from domain.entities import Kind
from domain.records import FieldSchema, ObjectSchema, Option

KINDS: Mapping[str, Kind] = {
    "email": Kind.EMAIL,
    "phone": Kind.PHONE,
    "url": Kind.URL,
    "multipicklist": Kind.TEXT_LIST,
    "currency": Kind.DECIMAL,
    "double": Kind.DECIMAL,
    "percent": Kind.DECIMAL,
    "int": Kind.INTEGER,
    "long": Kind.INTEGER,
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "datetime": Kind.TIMESTAMP,
    "reference": Kind.REFERENCE,
    "address": Kind.JSON,
    "location": Kind.JSON,
    "complexvalue": Kind.JSON,
}
"""Kinds of the vendor's field types; all others (string, picklist, textarea, id, time, …) are text."""

COMPOUND_TYPES = frozenset({"address", "location"})
UNREADABLE_TYPES = frozenset({"base64", "junctionidlist"})
"""base64 is content, read as a file; a junction id list repeats a relation and can only be queried alone."""

_MASTER_RECORD_TYPE = "012000000000000AAA"


def default_objects(listing: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names to describe, out of the global describe's ``sobjects``: the standard ones and every custom object."""
    queryable = {entry["name"]: entry for entry in listing if entry.get("queryable")}
    custom = sorted(name for name, entry in queryable.items() if _is_custom_object(entry))
    shares = "TaskRelation" in queryable  # otherwise EventRelation holds invitees alone
    standard = (n for n in STANDARD_OBJECTS if vendors_own(n) in queryable and (shares or n != "EventRelation"))
    return (*standard, *custom)


def _is_custom_object(entry: Mapping[str, Any]) -> bool:
    hidden = entry.get("customSetting") or entry.get("deprecatedAndHidden")
    return bool(entry.get("custom")) and str(entry["name"]).endswith("__c") and not hidden


def object_schema(payload: Mapping[str, Any]) -> ObjectSchema:
    """One object's schema from its describe result."""
    raw_fields: Sequence[Mapping[str, Any]] = payload.get("fields") or ()
    compounds = _compounds(raw_fields)
    name = str(payload["name"])
    inline = quirk(name).content if quirk(name).inline else None
    fields = tuple(
        field_schema(raw, compound=raw["name"] in compounds)
        for raw in raw_fields
        if str(raw["type"]).lower() not in UNREADABLE_TYPES or raw["name"] == inline
    )
    names = {field.name for field in fields}
    return ObjectSchema(
        name=name,
        fields=fields,
        label=str(payload.get("label") or name),
        custom=bool(payload.get("custom")),
        id_field="Id",
        name_field=next((str(raw["name"]) for raw in raw_fields if raw.get("nameField")), None),
        created_field="CreatedDate" if "CreatedDate" in names else None,
        modified_field=_modified_field(raw_fields),
        readable=bool(payload.get("queryable", True)),
        writable=bool(payload.get("createable") or payload.get("updateable")),
        record_types=_record_types(payload.get("recordTypeInfos") or ()),
        attributes={
            "key_prefix": payload.get("keyPrefix"),
            "replicateable": bool(payload.get("replicateable")),
            "soft_delete": "IsDeleted" in names,
            "content_field": quirk(name).content,
        },
    )


def field_schema(raw: Mapping[str, Any], *, compound: bool = False) -> FieldSchema:
    """One field's schema from its entry in a describe result."""
    kind_name = str(raw["type"]).lower()
    own_name = str(raw["name"])
    parent = raw.get("compoundFieldName")
    return FieldSchema(
        name=own_name,
        kind=KINDS.get(kind_name, Kind.TEXT),
        label=str(raw.get("label") or own_name),
        vendor_type=str(raw["type"]),
        custom=bool(raw.get("custom")),
        required=not raw.get("nillable", True) and bool(raw.get("createable")) and not raw.get("defaultedOnCreate"),
        unique=bool(raw.get("unique")) or bool(raw.get("idLookup") and own_name == "Id"),
        external_id=bool(raw.get("externalId")),
        createable=bool(raw.get("createable")),
        updateable=bool(raw.get("updateable")),
        calculated=bool(raw.get("calculated")) or bool(raw.get("autoNumber")),
        compound=compound,
        part_of=str(parent) if parent and parent != own_name else None,
        length=raw.get("length") or None,
        precision=raw.get("precision") or raw.get("digits") or None,
        scale=raw.get("scale") if raw.get("precision") else None,
        options=_options(raw.get("picklistValues") or ()),
        closed=bool(raw.get("restrictedPicklist")),
        multiple=kind_name == "multipicklist",
        refers_to=tuple(raw.get("referenceTo") or ()),
    )


def with_stages(schema: ObjectSchema, stages: Iterable[Mapping[str, Any]]) -> ObjectSchema:
    """Opportunity's schema, its stage options carrying probability, order, won and closed from OpportunityStage."""
    known = {str(stage.get("ApiName") or stage.get("MasterLabel")): stage for stage in stages}
    fields = tuple(
        replace(field, options=tuple(_staged(option, known.get(option.value)) for option in field.options))
        if field.name == "StageName"
        else field
        for field in schema.fields
    )
    return replace(schema, fields=fields)


def _staged(option: Option, stage: Mapping[str, Any] | None) -> Option:
    if stage is None:
        return option
    attributes = {
        "probability": stage.get("DefaultProbability"),
        "is_won": stage.get("IsWon"),
        "is_closed": stage.get("IsClosed"),
        "position": stage.get("SortOrder"),
        "forecast_category": stage.get("ForecastCategoryName"),
    }
    return replace(option, attributes=attributes)


def readable_fields(schema: ObjectSchema) -> tuple[str, ...]:
    """What a listing asks for by default: everything but compound addresses and places, which repeat their parts."""
    parents = {field.part_of for field in schema.fields}
    return tuple(
        field.name
        for field in schema.fields
        if field.vendor_type.lower() not in COMPOUND_TYPES or field.name not in parents
    )


def _compounds(raw_fields: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    parents = {raw.get("compoundFieldName") for raw in raw_fields if raw.get("compoundFieldName") != raw["name"]}
    return frozenset(
        str(raw["name"]) for raw in raw_fields if raw["name"] in parents or str(raw["type"]).lower() in COMPOUND_TYPES
    )


def _modified_field(raw_fields: Sequence[Mapping[str, Any]]) -> str | None:
    """SystemModstamp: automated changes move it and leave LastModifiedDate, so only it makes a cursor that misses nothing.

    A history object has neither, and never changes: when its records were created is when they were modified.
    """
    usable = {str(raw["name"]): raw for raw in raw_fields if raw.get("filterable", True) and raw.get("sortable", True)}
    if "SystemModstamp" in usable:
        return "SystemModstamp"
    frozen = "LastModifiedDate" not in usable and not any(raw.get("updateable") for raw in raw_fields)
    return "CreatedDate" if frozen and "CreatedDate" in usable else None


def _options(values: Iterable[Mapping[str, Any]]) -> tuple[Option, ...]:
    return tuple(
        Option(str(entry["value"]), str(entry.get("label") or entry["value"]), bool(entry.get("active", True)))
        for entry in values
        if entry.get("value") is not None
    )


def _record_types(infos: Iterable[Mapping[str, Any]]) -> tuple[Option, ...]:
    return tuple(
        Option(
            str(info["recordTypeId"]),
            str(info.get("name") or ""),
            bool(info.get("active", True)),
            {"developer_name": info.get("developerName"), "available": bool(info.get("available"))},
        )
        for info in infos
        if not info.get("master") and str(info.get("recordTypeId", "")) != _MASTER_RECORD_TYPE
    )
