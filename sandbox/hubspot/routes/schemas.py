"""Custom objects.

https://developers.hubspot.com/docs/guides/api/crm/objects/custom-objects
"""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.errors import ApiError, invalid, not_found
from sandbox.hubspot.portal import Portal
from sandbox.hubspot.routes.properties import parse
from sandbox.hubspot.schema import Group, ObjectType
from sandbox.hubspot.standard import add_everywhere
from sandbox.hubspot.times import iso
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

ROOT = "/crm-object-schemas/v3/schemas"
ALWAYS_ASSOCIATED = ("notes", "calls", "emails", "meetings", "tasks")


def register(router: Router) -> None:
    read, write = "crm.schemas.custom.read", "crm.schemas.custom.write"
    for root in (ROOT, "/crm/v3/schemas"):
        router.add("GET", root, "schemas", scope=read)(list_schemas)
        router.add("POST", root, "schema_create", scope=write)(create)
        router.add("GET", root + "/{object}", "schemas", scope=read)(get)
        router.add("DELETE", root + "/{object}", "schema_delete", scope=write)(delete)
        router.add("POST", root + "/{object}/associations", "schema_associate", scope=write)(associate)


def list_schemas(call: Call) -> Reply:
    """Custom ones only."""
    custom = [item for item in call.portal.objects.values() if item.custom is not None]
    return Reply(json={"results": [as_json(call.portal, item) for item in custom] if not call.flag("archived") else []})


def get(call: Call) -> Reply:
    item = call.portal.find_object(call.path["object"])
    if item is None:
        raise not_found(f"No schema found for {call.path['object']}")
    return Reply(json=as_json(call.portal, item))


def create(call: Call) -> Reply:
    return Reply(201, as_json(call.portal, define(call.portal, call.request.json_object())))


def define(portal: Portal, given: dict[str, Any]) -> ObjectType:
    """A new custom object. Raises 400, or 409 when there is one of that name."""
    name, labels = str(given.get("name", "")), given.get("labels") or {}
    if not name or not labels.get("singular") or not given.get("properties"):
        raise invalid("A schema needs name, labels and properties")
    if portal.find_object(name) is not None:
        raise ApiError(409, "OBJECT_ALREADY_EXISTS", f"The object type {name} already exists.")
    now = portal.now()
    item = ObjectType(
        name,
        f"2-{portal.counters.next('schemas', 3_000_001)}",
        name,
        created_name="hs_createdate",
        custom=given | {"at": now},
    )
    group = f"{name}_information"
    item.groups[group] = Group(group, f"{labels['singular']} information")
    for each in given["properties"]:
        made = parse({"groupName": group} | each, now)
        item.properties[made.name] = made
    add_everywhere(item, group)
    item.required = tuple(given.get("requiredProperties") or ())
    portal.objects[name] = item
    portal.tables[name] = {}
    for other in dict.fromkeys([*(given.get("associatedObjects") or ()), *ALWAYS_ASSOCIATED]):
        portal.associations.connect(name, portal.object(str(other)).name)
    return item


def delete(call: Call) -> Reply:
    """Raises 400 while there are records of it."""
    item = call.portal.find_object(call.path["object"])
    if item is None or item.custom is None:
        raise not_found()
    if call.portal.live(item.name):
        raise invalid(f"{item.name} can't be deleted while there are records of it")
    del call.portal.objects[item.name], call.portal.tables[item.name]
    return Reply(204)


def associate(call: Call) -> Reply:
    item, body = call.portal.object(call.path["object"]), call.request.json_object()
    target = call.portal.object(str(body.get("toObjectTypeId", "")))
    made = call.portal.associations.connect(item.name, target.name)
    return Reply(
        201, {"id": str(made.id), "fromObjectTypeId": item.type_id, "toObjectTypeId": target.type_id, "name": made.name}
    )


def as_json(portal: Portal, item: ObjectType) -> dict[str, Any]:
    given = item.custom or {"labels": {"singular": item.singular.capitalize(), "plural": item.name.capitalize()}}
    at = iso(given.get("at", 0))
    return {
        "id": item.type_id.partition("-")[2],
        "name": item.name,
        "objectTypeId": item.type_id,
        "fullyQualifiedName": f"p{portal.id}_{item.name}" if item.custom else item.label,
        "labels": given["labels"],
        "description": given.get("description"),
        "primaryDisplayProperty": given.get("primaryDisplayProperty"),
        "secondaryDisplayProperties": given.get("secondaryDisplayProperties") or [],
        "searchableProperties": given.get("searchableProperties") or [],
        "requiredProperties": list(item.required),
        "properties": [p.as_json() for p in item.properties.values() if not p.archived],
        "associations": _associations(portal, item),
        "createdAt": at,
        "updatedAt": at,
        "archived": False,
    }


def _associations(portal: Portal, item: ObjectType) -> list[dict[str, Any]]:
    found = []
    for (source, target), types in portal.associations.types.items():
        if source == item.name and target in portal.objects:
            ends = {"fromObjectTypeId": item.type_id, "toObjectTypeId": portal.objects[target].type_id}
            found += [{"id": str(t.id), "name": t.name} | ends for t in types.values()]
    return found
