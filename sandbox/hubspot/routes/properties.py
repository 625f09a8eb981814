"""Properties and their groups.

https://developers.hubspot.com/docs/guides/api/crm/properties
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.hubspot.errors import ApiError, invalid, not_found
from sandbox.hubspot.routes.batches import answer, inputs
from sandbox.hubspot.schema import FIELD_TYPES, Group, ObjectType, Option, Property
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

ROOT = "/crm/v3/properties/{object}"
MOST_UNIQUE = 10
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


def register(router: Router) -> None:
    read, write = "schemas.read", "schemas.write"
    router.add("GET", ROOT, "properties", scope=read)(list_properties)
    router.add("POST", ROOT, "property_create", scope=write)(create)
    router.add("GET", ROOT + "/groups", "groups", scope=read)(list_groups)
    router.add("POST", ROOT + "/groups", "group_create", scope=write)(create_group)
    router.add("GET", ROOT + "/groups/{name}", "groups", scope=read)(get_group)
    router.add("DELETE", ROOT + "/groups/{name}", "group_delete", scope=write)(delete_group)
    router.add("POST", ROOT + "/batch/read", "properties", scope=read)(batch_read)
    router.add("POST", ROOT + "/batch/create", "property_create", scope=write)(batch_create)
    router.add("POST", ROOT + "/batch/archive", "property_delete", scope=write)(batch_archive)
    router.add("GET", ROOT + "/{name}", "properties", scope=read)(get)
    router.add("PATCH", ROOT + "/{name}", "property_update", scope=write)(update)
    router.add("DELETE", ROOT + "/{name}", "property_delete", scope=write)(delete)


def _item(call: Call) -> ObjectType:
    return call.portal.object(call.path["object"])


def _found(call: Call, name: str) -> Property:
    item = _item(call)
    found = item.properties.get(name)
    if found is None or found.archived != call.flag("archived"):
        raise ApiError(404, "OBJECT_NOT_FOUND", f"No property with name {name} exists for object type {item.type_id}")
    return found


def list_properties(call: Call) -> Reply:
    archived = call.flag("archived")
    return Reply(json={"results": [p.as_json() for p in _item(call).properties.values() if p.archived == archived]})


def get(call: Call) -> Reply:
    return Reply(json=_found(call, call.path["name"]).as_json())


def create(call: Call) -> Reply:
    return Reply(201, add(call, _item(call), call.request.json_object()).as_json())


def add(call: Call, item: ObjectType, given: Any) -> Property:
    """A new property of the portal's own. Raises 400, or 409 when the name is taken."""
    made = parse(given, call.portal.now())
    if made.name in item.properties and not item.properties[made.name].archived:
        message = f'A property named "{made.name}" already exists.'
        raise ApiError(409, "OBJECT_ALREADY_EXISTS", message, errors=[{"message": message, "code": "PROPERTY_EXISTS"}])
    if made.group not in item.groups:
        raise invalid(f"The property group {made.group} does not exist")
    if made.unique and sum(p.unique and p.created is not None for p in item.properties.values()) >= MOST_UNIQUE:
        raise invalid(f"An object can have at most {MOST_UNIQUE} properties with unique values")
    item.properties[made.name] = made
    call.portal.unique.pop((item.name, made.name), None)
    return made


def parse(given: Any, now: int) -> Property:
    """Raises 400 for what a definition can't be."""
    absent = [n for n in ("name", "label", "type", "fieldType", "groupName") if not given.get(n)]
    if absent:
        raise invalid(f"Some required fields were not set: [{', '.join(absent)}]", fields=absent)
    name, kind, field_type = str(given["name"]), str(given["type"]), str(given["fieldType"])
    if not _NAME.match(name):
        raise invalid(f"Property name {name} is not valid: lower-case letters, digits and underscores, a letter first")
    if field_type not in FIELD_TYPES.get(kind, ()):
        raise invalid(f"The field type {field_type} doesn't go with the type {kind}")
    made = Property(name, str(given["label"]), kind, field_type, str(given["groupName"]), created=now)
    made.options, made.unique = options_of(given), bool(given.get("hasUniqueValue"))
    made.hidden, made.order = bool(given.get("hidden")), int(given.get("displayOrder") or -1)
    made.description, made.referenced = (
        str(given.get("description") or ""),
        str(given.get("referencedObjectType") or ""),
    )
    if made.unique and kind not in {"string", "number"}:
        raise invalid("Only text and number properties can have unique values")
    return made


def options_of(given: Any) -> list[Option]:
    listed = given.get("options") or []
    made = [
        Option(str(o["value"]), str(o.get("label", o["value"])), bool(o.get("hidden")), n) for n, o in enumerate(listed)
    ]
    if len({option.value for option in made}) < len(made):
        raise invalid("Option values must be unique")
    return made


def update(call: Call) -> Reply:
    """``hasUniqueValue`` can't be changed later; the vendor's own properties change their label and options only."""
    found, body = _found(call, call.path["name"]), call.request.json_object()
    found.label, found.group = str(body.get("label", found.label)), str(body.get("groupName", found.group))
    found.description, found.hidden = (
        str(body.get("description", found.description)),
        bool(body.get("hidden", found.hidden)),
    )
    if "options" in body:
        found.options = options_of(body)
    return Reply(json=found.as_json())


def delete(call: Call) -> Reply:
    _archive(call, call.path["name"])
    return Reply(204)


def _archive(call: Call, name: str) -> None:
    found = _item(call).properties.get(name)
    if found is None:
        raise not_found(f"No property with name {name}")
    if found.created is None:
        raise invalid(f"{name} is one of HubSpot's own properties and can't be archived")
    found.archived = True


def batch_read(call: Call) -> Reply:
    return answer(call, [_found(call, str(each.get("name", ""))).as_json() for each in inputs(call)], [])


def batch_create(call: Call) -> Reply:
    return answer(call, [add(call, _item(call), each).as_json() for each in inputs(call)], [], 201)


def batch_archive(call: Call) -> Reply:
    for each in inputs(call):
        _archive(call, str(each.get("name", "")))
    return Reply(204)


# ---------------------------------------------------------------- groups


def list_groups(call: Call) -> Reply:
    return Reply(json={"results": [group.as_json() for group in _item(call).groups.values()]})


def get_group(call: Call) -> Reply:
    found = _item(call).groups.get(call.path["name"])
    if found is None:
        raise not_found()
    return Reply(json=found.as_json())


def create_group(call: Call) -> Reply:
    item, body = _item(call), call.request.json_object()
    name = str(body.get("name", ""))
    if name in item.groups:
        raise ApiError(409, "OBJECT_ALREADY_EXISTS", f"A property group named {name} already exists.")
    item.groups[name] = Group(name, str(body.get("label", name)), int(body.get("displayOrder") or len(item.groups)))
    return Reply(201, item.groups[name].as_json())


def delete_group(call: Call) -> Reply:
    _item(call).groups.pop(call.path["name"], None)
    return Reply(204)
