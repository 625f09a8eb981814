"""Lists and their members.

https://developers.hubspot.com/docs/guides/api/crm/lists/overview
"""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.errors import ApiError, invalid, not_found
from sandbox.hubspot.lists import RecordList
from sandbox.hubspot.times import iso
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

ROOT = "/crm/v3/lists"
MOST_MEMBERS = 250


def register(router: Router) -> None:
    read, write = "crm.lists.read", "crm.lists.write"
    router.add("GET", ROOT, "lists", scope=read)(several)
    router.add("POST", ROOT, "list_create", scope=write)(create)
    router.add("POST", ROOT + "/search", "lists", scope=read)(search)
    router.add("GET", ROOT + "/records/{object}/{id}/memberships", "lists", scope=read)(of_record)
    router.add("GET", ROOT + "/object-type-id/{object}/name/{name}", "lists", scope=read)(by_name)
    router.add("GET", ROOT + "/{list}", "lists", scope=read)(get)
    router.add("DELETE", ROOT + "/{list}", "list_delete", scope=write)(delete)
    router.add("GET", ROOT + "/{list}/memberships", "list_members", scope=read)(members)
    router.add("GET", ROOT + "/{list}/memberships/join-order", "list_members", scope=read)(members)
    router.add("PUT", ROOT + "/{list}/memberships/add", "list_write", scope=write)(add)
    router.add("PUT", ROOT + "/{list}/memberships/remove", "list_write", scope=write)(remove)


def _found(call: Call) -> RecordList:
    found = call.portal.lists.get(call.path["list"])
    if found is None:
        raise not_found(f"List does not exist with ID {call.path['list']}.")
    return found


def get(call: Call) -> Reply:
    return Reply(json={"list": _found(call).as_json()})


def by_name(call: Call) -> Reply:
    type_id = call.portal.object(call.path["object"]).type_id
    found = next((x for x in call.portal.lists.values() if (x.type_id, x.name) == (type_id, call.path["name"])), None)
    if found is None:
        raise not_found(f"List does not exist with name {call.path['name']}.")
    return Reply(json={"list": found.as_json()})


def several(call: Call) -> Reply:
    ids = call.names("listIds")
    return Reply(json={"lists": [call.portal.lists[each].as_json() for each in ids if each in call.portal.lists]})


def search(call: Call) -> Reply:
    body = call.request.json_object()
    kinds, query = body.get("processingTypes") or (), str(body.get("query") or "").lower()
    fitting = [x for x in call.portal.lists.values() if query in x.name.lower() and (not kinds or x.kind in kinds)]
    offset, count = int(body.get("offset") or 0), int(body.get("count") or 20)
    page = fitting[offset : offset + count]
    more = offset + count < len(fitting)
    return Reply(
        json={
            "lists": [x.as_found() for x in page],
            "hasMore": more,
            "offset": offset + len(page),
            "total": len(fitting),
        }
    )


def create(call: Call) -> Reply:
    body = call.request.json_object()
    item, kind, name = (
        call.portal.object(str(body.get("objectTypeId", ""))),
        str(body.get("processingType", "")),
        str(body.get("name", "")),
    )
    if kind not in {"MANUAL", "SNAPSHOT"}:
        raise invalid(f"This sandbox makes MANUAL and SNAPSHOT lists, not {kind!r}.")
    if any(x.name == name and x.type_id == item.type_id for x in call.portal.lists.values()):
        raise ApiError(400, "VALIDATION_ERROR", f"A list with the name {name} already exists.")
    made = RecordList(call.portal.counters.next("lists", 1), name, item.type_id, kind, call.portal.now())
    call.portal.lists[made.id] = made
    return Reply(json={"list": made.as_json()})


def delete(call: Call) -> Reply:
    del call.portal.lists[_found(call).id]
    return Reply(204)


def members(call: Call) -> Reply:
    """In the order of record ids."""
    found, limit = _found(call), call.number("limit", 100, MOST_MEMBERS)
    after = int(call.request.query.get("after") or 0)
    ids = sorted((each for each in found.members if int(each) > after), key=int)
    rows = [{"recordId": each, "membershipTimestamp": iso(found.members[each])} for each in ids[:limit]]
    body: dict[str, Any] = {"results": rows, "total": len(found.members)}
    if len(ids) > limit:
        body["paging"] = {
            "next": {
                "after": ids[limit - 1],
                "link": f"{call.request.base_url}{call.request.path}?after={ids[limit - 1]}",
            }
        }
    return Reply(json=body)


def of_record(call: Call) -> Reply:
    item = call.portal.object(call.path["object"])
    holding = [x for x in call.portal.lists.values() if x.type_id == item.type_id and call.path["id"] in x.members]
    rows = [
        {"listId": x.id, "listVersion": x.version, "isPublicList": True}
        | dict.fromkeys(("firstAddedTimestamp", "lastAddedTimestamp"), iso(x.members[call.path["id"]]))
        for x in holding
    ]
    return Reply(json={"results": rows, "total": len(rows)})


def _ids(call: Call) -> list[str]:
    given = call.request.json()
    if not isinstance(given, list):
        raise invalid("The body has to be a list of record ids")
    return [str(each) for each in given]


def add(call: Call) -> Reply:
    found, given = _found(call), _ids(call)
    if found.kind == "DYNAMIC":
        raise invalid("The members of a dynamic list can't be changed by hand.")
    item = call.portal.object(found.type_id)
    there = [each for each in given if call.portal.find_live(item.name, each) is not None]
    new = [each for each in there if each not in found.members]
    found.members |= dict.fromkeys(new, call.portal.now())
    missing = [each for each in given if each not in there]
    return Reply(
        json={"recordIdsAdded": new, "recordsIdsAdded": new, "recordIdsRemoved": [], "recordIdsMissing": missing}
    )


def remove(call: Call) -> Reply:
    found = _found(call)
    gone = [each for each in _ids(call) if found.members.pop(each, None) is not None]
    return Reply(json={"recordIdsAdded": [], "recordsIdsAdded": [], "recordIdsRemoved": gone, "recordIdsMissing": []})
