"""Up to 200 records in one call, each with its own result.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sandbox.kit.wire import Reply
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.routes.records import saved, shown
from sandbox.salesforce.routes.rest import DATA
from sandbox.salesforce.wire import Call, Router
from sandbox.salesforce.write import Writer

MOST = 200
ROLLED_BACK = {
    "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "message": "Record rolled back because not all records were valid and the request was using AllOrNone header",
    "fields": [],
}
Result = dict[str, Any]
Save = Callable[[Writer, dict[str, Any]], Result]


def register(router: Router) -> None:
    many = DATA + "/composite/sobjects"
    router.add("POST", many, "collection_create")(create)
    router.add("PATCH", many, "collection_update")(update)
    router.add("DELETE", many, "collection_delete")(delete)
    router.add("GET POST", many + "/{object}", "collection_retrieve")(retrieve)
    router.add("PATCH", many + "/{object}/{key}", "collection_upsert")(upsert)


def create(call: Call) -> Reply:
    return _each(call, lambda writer, record: saved(writer.insert(_type(record), record)))


def update(call: Call) -> Reply:
    def save(writer: Writer, record: dict[str, Any]) -> Result:
        record_id = record.get("id") or record.get("Id")
        if not record_id:
            raise ApiError("MISSING_ARGUMENT", "Id not specified in an update call")
        return saved(writer.update(_type(record), str(record_id), record))

    return _each(call, save)


def upsert(call: Call) -> Reply:
    item, key = call.sandbox.org.resource(call.path["object"]), call.path["key"]
    seen: set[str] = set()

    def save(writer: Writer, record: dict[str, Any]) -> Result:
        value = next((v for name, v in record.items() if name.lower() == key.lower()), None)
        if value in {None, ""}:
            raise ApiError("MISSING_ARGUMENT", f"{key} not specified")
        if str(value).lower() in seen:
            raise ApiError("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", fields=[key])
        seen.add(str(value).lower())
        values = {name: v for name, v in record.items() if name.lower() != key.lower()}
        record_id, new = writer.upsert(item.name, key, value, values)
        return saved(record_id, new)

    return _each(call, save)


def delete(call: Call) -> Reply:
    ids = [part.strip() for part in call.request.query.get("ids", "").split(",") if part.strip()]
    everything = call.request.query.get("allOrNone", "false").lower() == "true"

    def save(writer: Writer, record: dict[str, Any]) -> Result:
        found = call.sandbox.org.find(record["id"])
        if found is None:
            raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return saved(writer.delete(found[0].name, record["id"]))

    return run(call, [{"id": record_id} for record_id in ids], everything, save)


def retrieve(call: Call) -> Reply:
    """The records asked for, in that order, null for each that isn't there."""
    item = call.sandbox.org.resource(call.path["object"])
    if call.request.method == "GET":
        query = call.request.query
        ids, fields = query.get("ids", "").split(","), query.get("fields", "").split(",")
        most = 800
    else:
        body = call.request.json_object()
        ids, fields, most = list(body.get("ids") or ()), list(body.get("fields") or ()), 2000
    if len(ids) > most:
        raise ApiError(
            "EXCEEDED_ID_LIMIT", f"record limit reached. cannot retrieve more than {most} records in this call"
        )
    rows = [call.sandbox.org.get(item.name, record_id) for record_id in ids]
    return Reply(json=[shown(call, item, r, fields) if r and not r.get("IsDeleted") else None for r in rows])


def _type(record: dict[str, Any]) -> str:
    kind = (record.get("attributes") or {}).get("type")
    if not kind:
        raise ApiError("INVALID_INPUT", "Include a type attribute for each record: attributes.type")
    return str(kind)


def _each(call: Call, save: Save) -> Reply:
    body = call.request.json_object()
    records = body.get("records")
    if not isinstance(records, list):
        raise ApiError("MISSING_ARGUMENT", "records is missing in the request body")
    return run(call, records, bool(body.get("allOrNone", False)), save)


def run(call: Call, records: Sequence[dict[str, Any]], all_or_none: bool, save: Save) -> Reply:
    """Save one after another; a refusal is that record's own unless ``all_or_none`` takes back the rest."""
    if len(records) > MOST:
        message = f"record limit reached. cannot submit more than {MOST} records into this call"
        raise ApiError("EXCEEDED_ID_LIMIT", message)
    writer = Writer(call.sandbox.org, call.user_id)
    results: list[Result] = []
    try:
        with writer.transaction():
            results = [_one(writer, record, save) for record in records]
            if all_or_none and not all(result["success"] for result in results):
                raise _TakeBack
    except _TakeBack:
        results = [r if not r["success"] else {"success": False, "errors": [ROLLED_BACK]} for r in results]
    return Reply(json=results)


class _TakeBack(Exception):
    """Not an error: leaves the transaction so that it is undone."""


def _one(writer: Writer, record: dict[str, Any], save: Save) -> Result:
    try:
        with writer.transaction():
            return save(writer, record)
    except ApiError as error:
        return {"success": False, "errors": [error.write()]}
