"""Single records: list, read, create, change, archive, merge, forget; and the search.

https://developers.hubspot.com/docs/guides/api/crm/understanding-the-crm
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from sandbox.hubspot import shapes
from sandbox.hubspot.errors import invalid, not_found
from sandbox.hubspot.records import Record
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.search import search
from sandbox.hubspot.wire import Call, Router
from sandbox.hubspot.write import Writer
from sandbox.kit.wire import Reply

OBJECTS = "/crm/v3/objects/{object}"
MOST_LISTED, MOST_WITH_HISTORY = 100, 50


def register(router: Router) -> None:
    read, write = "objects.read", "objects.write"
    router.add("GET", OBJECTS, "list", scope=read)(list_records)
    router.add("POST", OBJECTS, "create", scope=write)(create)
    router.add("POST", OBJECTS + "/search", "search", scope=read)(search_records)
    router.add("POST", OBJECTS + "/merge", "merge", scope=write)(merge)
    router.add("POST", OBJECTS + "/gdpr-delete", "gdpr_delete", scope=write)(gdpr_delete)
    router.add("GET", OBJECTS + "/{id}", "get", scope=read)(get)
    router.add("PATCH", OBJECTS + "/{id}", "update", scope=write)(update)
    router.add("DELETE", OBJECTS + "/{id}", "archive", scope=write)(archive)


def list_records(call: Call) -> Reply:
    """In the order of ids. ``after`` is the id to go on from, so that writes between two pages neither skip nor repeat."""
    portal, item = call.portal, call.portal.object(call.path["object"])
    history = call.names("propertiesWithHistory")
    limit = call.number("limit", 10, MOST_WITH_HISTORY if history else MOST_LISTED)
    archived, after = call.flag("archived"), call.request.query.get("after", "0")
    if not after.isdigit():
        raise invalid(f"Invalid value for after: {after}")
    fitting = (
        r
        for r in portal.records_from(item.name, int(after))
        if r.archived == archived and not r.merged_into and int(r.id) >= int(after)
    )
    page = [record for record, _ in zip(fitting, range(limit + 1), strict=False)]
    body: dict[str, Any] = {"results": [_shown(call, item, record) for record in page[:limit]]}
    if len(page) > limit:
        body["paging"] = {"next": {"after": page[limit].id, "link": _next_link(call, page[limit].id)}}
    return Reply(json=body)


def _next_link(call: Call, after: str) -> str:
    query = [(k, v) for k, v in call.request.pairs if k != "after"]
    return f"{call.request.base_url}{call.request.path}?{urlencode([*query, ('after', after)])}"


def _shown(call: Call, item: ObjectType, record: Record) -> dict[str, Any]:
    return shapes.shown(
        call.portal,
        item,
        record,
        call.names("properties"),
        call.names("propertiesWithHistory"),
        call.names("associations"),
    )


def found(call: Call, item: ObjectType, *, archived: bool = False) -> Record:
    """The record that the path names, by id or by ``idProperty``. Raises 404."""
    key = call.request.query.get("idProperty", "")
    record = (
        call.portal.by_property(item, key, call.path["id"]) if key else call.portal.find(item.name, call.path["id"])
    )
    if record is None or record.archived != archived:
        raise not_found()
    return record


def get(call: Call) -> Reply:
    item = call.portal.object(call.path["object"])
    return Reply(json=_shown(call, item, found(call, item, archived=call.flag("archived"))))


def create(call: Call) -> Reply:
    item, body = call.portal.object(call.path["object"]), call.request.json_object()
    record = writer(call).create(item, body.get("properties") or {}, body.get("associations") or ())
    return Reply(201, shapes.written(record, item, body.get("properties") or {}))


def update(call: Call) -> Reply:
    item, body = call.portal.object(call.path["object"]), call.request.json_object()
    record = writer(call).update(item, found(call, item), body.get("properties") or {})
    return Reply(json=shapes.written(record, item, body.get("properties") or {}))


def archive(call: Call) -> Reply:
    """Archiving what is archived already, or never was, is no error."""
    item = call.portal.object(call.path["object"])
    record = call.portal.find_live(item.name, call.path["id"])
    if record is not None:
        writer(call).archive(item, record)
    return Reply(204)


def merge(call: Call) -> Reply:
    portal, item, body = call.portal, call.portal.object(call.path["object"]), call.request.json_object()
    survivor, merged = (portal.get(item, str(body.get(name, ""))) for name in ("primaryObjectId", "objectIdToMerge"))
    return Reply(
        json=shapes.shown(
            portal, item, writer(call).merge(item, survivor, merged), (*item.shown, "hs_merged_object_ids")
        )
    )


def gdpr_delete(call: Call) -> Reply:
    """For good. By ``objectId``, or by e-mail address with ``idProperty``."""
    portal, item, body = call.portal, call.portal.object(call.path["object"]), call.request.json_object()
    key, value = body.get("idProperty"), str(body.get("objectId", ""))
    record = portal.by_property(item, str(key), value) if key else portal.find(item.name, value)
    if record is None:
        raise not_found()
    writer(call).forget(item, record)
    return Reply(204)


def search_records(call: Call) -> Reply:
    portal, item, body = call.portal, call.portal.object(call.path["object"]), call.request.json_object()
    hits = search(portal, item, body)
    names = [str(name) for name in body.get("properties") or ()]
    answer: dict[str, Any] = {
        "total": hits.total,
        "results": [shapes.indexed(portal, item, record, values, names) for record, values in hits.records],
    }
    if hits.after is not None:
        answer["paging"] = {"next": {"after": hits.after}}
    return Reply(json=answer)


def writer(call: Call) -> Writer:
    app = "private-app" if call.grant and call.grant.private else "oauth-app"
    return Writer(call.portal, "API", app)
