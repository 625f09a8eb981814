"""What describe says of an object and of its fields.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_describesobjects_describesobjectresult.htm
"""

from __future__ import annotations

from typing import Any

from sandbox.salesforce.org import Org
from sandbox.salesforce.relations import children
from sandbox.salesforce.schema import COMPOUND_TYPES, TEXT_TYPES, Field, ObjectType

MASTER_RECORD_TYPE = "012000000000000AAA"
_SOAP = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime",
    "base64": "xsd:base64Binary", "address": "urn:address", "location": "urn:location", "anyType": "xsd:anyType",
}  # fmt: skip


def global_describe(org: Org, version: str) -> dict[str, Any]:
    items = [summary(item, version) for item in org.visible_objects()]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": items}


def summary(item: ObjectType, version: str) -> dict[str, Any]:
    base = f"/services/data/v{version}/sobjects/{item.name}"
    return {
        "activateable": False,
        "associateEntityType": None,
        "associateParentEntity": None,
        "createable": item.createable,
        "custom": item.custom,
        "customSetting": False,
        "deepCloneable": False,
        "deletable": item.deletable,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": item.prefix,
        "label": item.label,
        "labelPlural": item.plural,
        "layoutable": True,
        "mergeable": item.name in {"Account", "Contact", "Lead", "Case"},
        "mruEnabled": True,
        "name": item.name,
        "queryable": True,
        "replicateable": "IsDeleted" in item.fields,
        "retrieveable": True,
        "searchable": True,
        "triggerable": True,
        "undeletable": "IsDeleted" in item.fields,
        "updateable": item.updateable,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def describe(org: Org, item: ObjectType, version: str) -> dict[str, Any]:
    base = f"/services/data/v{version}/sobjects/{item.name}"
    result = summary(item, version)
    result |= {
        "actionOverrides": [],
        "childRelationships": [_child(c, f, name) for c, f, name in children(org, item)],
        "compactLayoutable": True,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [describe_field(org, item, f) for f in org.visible_fields(item)],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": _record_types(org, item, base),
        "searchLayoutable": True,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": f"All {item.plural.lower()}", "name": "everything"}],
    }
    return result


def _child(child: ObjectType, link: Field, name: str | None) -> dict[str, Any]:
    return {
        "cascadeDelete": link.required,
        "childSObject": child.name,
        "deprecatedAndHidden": False,
        "field": link.name,
        "junctionIdListNames": [],
        "junctionReferenceTo": [],
        "relationshipName": name,
        "restrictedDelete": False,
    }


def _record_types(org: Org, item: ObjectType, base: str) -> list[dict[str, Any]]:
    rows = org.record_types(item.name)
    infos = [_record_type(row["Id"], row["Name"], row["DeveloperName"], base, i == 0) for i, row in enumerate(rows)]
    master = _record_type(MASTER_RECORD_TYPE, "Master", "Master", base, not rows)
    return [*infos, master | {"master": True}]


def _record_type(record_id: str, name: str, developer_name: str, base: str, default: bool) -> dict[str, Any]:
    return {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": default,
        "developerName": developer_name,
        "master": False,
        "name": name,
        "recordTypeId": record_id,
        "urls": {"layout": f"{base}/describe/layouts/{record_id}"},
    }


def describe_field(org: Org, owner: ObjectType, item: Field) -> dict[str, Any]:
    return {
        "aggregatable": item.type not in COMPOUND_TYPES | {"base64", "boolean"} and item.filterable,
        "aiPredictionField": False,
        "autoNumber": item.auto_number,
        "byteLength": item.length * 3 if item.type in TEXT_TYPES else item.length,
        "calculated": item.calculated,
        "calculatedFormula": None,
        "cascadeDelete": False,
        "caseSensitive": item.case_sensitive,
        "compoundFieldName": item.of,
        "controllerName": None,
        "createable": item.createable and owner.createable,
        "custom": item.custom,
        "defaultValue": (item.default == "true") if item.type == "boolean" else None,
        "defaultValueFormula": None,
        "defaultedOnCreate": item.type == "boolean" or item.default is not None or item.auto_number,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": 9 if item.type == "int" else 0,
        "displayLocationInDecimal": item.type == "location",
        "encrypted": False,
        "externalId": item.external_id,
        "extraTypeInfo": _extra(item),
        "filterable": item.filterable and item.type not in COMPOUND_TYPES,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": item.type in {"id", "reference", "picklist", "boolean", "date", "string", "email", "phone", "int"},
        "highScaleNumber": False,
        "htmlFormatted": item.html,
        "idLookup": item.type == "id" or item.external_id or item.name == "Email",
        "inlineHelpText": None,
        "label": item.label,
        "length": item.length,
        "mask": None,
        "maskType": None,
        "name": item.name,
        "nameField": item.name_field,
        "namePointing": item.polymorphic,
        "nillable": not item.required,
        "permissionable": item.custom or not item.required,
        "picklistValues": _options(item),
        "polymorphicForeignKey": item.polymorphic,
        "precision": item.precision,
        "queryByDistance": item.type in COMPOUND_TYPES,
        "referenceTargetField": None,
        "referenceTo": [name for name in item.refers_to if name in org.objects],
        "relationshipName": item.relationship,
        "relationshipOrder": None,
        "restrictedDelete": False,
        "restrictedPicklist": item.restricted,
        "scale": item.scale,
        "searchPrefilterable": item.type == "reference",
        "soapType": _SOAP.get(item.type, "xsd:string"),
        "sortable": item.filterable and item.type not in COMPOUND_TYPES | {"multipicklist"},
        "type": item.type,
        "unique": item.unique,
        "updateable": item.updateable and owner.updateable,
        "writeRequiresMasterRead": False,
    }


def _extra(item: Field) -> str | None:
    if item.html:
        return "richtextarea"
    if item.type == "textarea":
        return "plaintextarea"
    if item.type == "reference" and item.polymorphic:
        return None
    return "personname" if item.name == "Name" and item.type == "string" and item.length == 121 else None


def _options(item: Field) -> list[dict[str, Any]]:
    return [
        {"active": True, "defaultValue": item.default == value, "label": value, "validFor": None, "value": value}
        for value in item.options
    ]
