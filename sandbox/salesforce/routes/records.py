"""Single records: create, read, change, delete, upsert by external id; what was deleted or updated lately; file contents.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_sobject_basic_info.htm
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote_plus

from sandbox.kit.wire import Reply
from sandbox.salesforce.clock import parse_stamp, stamp
from sandbox.salesforce.errors import ApiError, no_such_field, not_found
from sandbox.salesforce.multipart import record_of
from sandbox.salesforce.org import Row
from sandbox.salesforce.routes.rest import DATA
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.values import getter
from sandbox.salesforce.wire import Call, Router
from sandbox.salesforce.write import MultipleChoicesError, Writer

WINDOW = timedelta(days=15)
MOST_IDS = 600_000


def register(router: Router) -> None:
    one = DATA + "/sobjects/{object}"
    router.add("POST", one, "create")(create)
    router.add("GET", one + "/deleted", "getDeleted")(deleted)
    router.add("GET", one + "/updated", "getUpdated")(updated)
    router.add("GET", one + "/{id}", "retrieve")(retrieve)
    router.add("PATCH", one + "/{id}", "update")(update)
    router.add("DELETE", one + "/{id}", "delete")(delete)
    router.add("GET", one + "/{id}/(?P<blob>VersionData|Body|Content)", "download")(download)
    router.add("GET", one + "/{key}/{value}", "retrieve")(retrieve_by_key)
    router.add("PATCH POST", one + "/{key}/{value}", "upsert")(upsert)
    router.add("DELETE", one + "/{key}/{value}", "delete")(delete_by_key)


# ---------------------------------------------------------------- writing


def saved(record_id: str, created: bool | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"id": record_id, "success": True, "errors": []}
    return body if created is None else body | {"created": created}


def create(call: Call) -> Reply:
    item = call.sandbox.org.resource(call.path["object"])
    return Reply(201, saved(_writer(call).insert(item.name, record_of(call.request))))


def update(call: Call) -> Reply:
    item = call.sandbox.org.resource(call.path["object"])
    _unmodified(call, item)
    _writer(call).update(item.name, call.path["id"], call.request.json_object())
    return Reply(204)


def delete(call: Call) -> Reply:
    item = call.sandbox.org.resource(call.path["object"])
    _unmodified(call, item)
    _writer(call).delete(item.name, call.path["id"])
    return Reply(204)


def upsert(call: Call) -> Reply:
    """201 for a new record, 200 for a changed one (204 without a body before version 46), 300 for several."""
    item, writer = call.sandbox.org.resource(call.path["object"]), _writer(call)
    values = call.request.json_object()
    if call.path["key"].lower() in {name.lower() for name in values}:
        message = f"The {call.path['key']} field should not be specified in the sobject data."
        raise ApiError("INVALID_FIELD", message)
    try:
        record_id, new = writer.upsert(item.name, call.path["key"], _value(call), values)
    except MultipleChoicesError as error:
        return _choices(call, error.object_name, error.ids)
    if not new and float(call.version) < 46:
        return Reply(204)
    return Reply(201 if new else 200, saved(record_id, new))


def delete_by_key(call: Call) -> Reply:
    item, writer = call.sandbox.org.resource(call.path["object"]), _writer(call)
    writer.delete(item.name, _only(call, item, writer))
    return Reply(204)


def _writer(call: Call) -> Writer:
    return Writer(call.sandbox.org, call.user_id)


def _value(call: Call) -> str:
    return unquote_plus(call.path["value"])


def _only(call: Call, item: ObjectType, writer: Writer) -> str:
    ids = writer.match(item, call.path["key"], _value(call))
    if not ids:
        raise not_found(f"The requested resource does not exist: {item.name} by {call.path['key']}")
    if len(ids) > 1:
        raise MultipleChoicesError(item.name, ids)
    return ids[0]


def _choices(call: Call, object_name: str, ids: list[str]) -> Reply:
    return Reply(300, [f"{call.base}/sobjects/{object_name}/{record_id}" for record_id in ids])


def _unmodified(call: Call, item: ObjectType) -> None:
    """``If-Unmodified-Since``: 412 when someone has written the record since."""
    since = call.request.headers.get("if-unmodified-since")
    row = call.sandbox.org.get(item.name, call.path["id"])
    if since is None or row is None:
        return
    if parse_stamp(row["SystemModstamp"]) > parsedate_to_datetime(since):
        raise ApiError(
            "PRECONDITION_FAILED", "The record has been modified since the time given in If-Unmodified-Since", 412
        )


# ---------------------------------------------------------------- reading


def retrieve(call: Call) -> Reply:
    item = call.sandbox.org.resource(call.path["object"])
    row = call.sandbox.org.get(item.name, call.path["id"])
    if row is None:
        raise not_found()
    return Reply(json=_shown(call, item, row))


def retrieve_by_key(call: Call) -> Reply:
    item, writer = call.sandbox.org.resource(call.path["object"]), _writer(call)
    try:
        row = call.sandbox.org.tables[item.name][_only(call, item, writer)]
    except MultipleChoicesError as error:
        return _choices(call, item.name, error.ids)
    return Reply(json=_shown(call, item, row))


def _shown(call: Call, item: ObjectType, row: Row) -> dict[str, Any]:
    if row.get("IsDeleted"):
        raise ApiError("ENTITY_IS_DELETED", "entity is deleted", 404)
    asked = call.request.query.get("fields")
    return shown(call, item, row, asked.split(",") if asked else None)


def shown(call: Call, item: ObjectType, row: Row, names: list[str] | None) -> dict[str, Any]:
    """A record as JSON: every field, or the ones named."""
    fields = call.sandbox.org.visible_fields(item) if names is None else [_field(call, item, name) for name in names]
    record: dict[str, Any] = {"attributes": {"type": item.name, "url": f"{call.base}/sobjects/{item.name}/{row['Id']}"}}
    for found in fields:
        value = getter(found, item)(row)
        record[found.name] = value.replace("{version}", call.version) if found.type == "base64" else value
    return record


def _field(call: Call, item: ObjectType, name: str) -> Field:
    found = call.sandbox.org.field(item, name.strip())
    if found is None:
        raise no_such_field(name, item.name)
    return found


def download(call: Call) -> Reply:
    """The bytes of a file."""
    item = call.sandbox.org.resource(call.path["object"])
    row = call.sandbox.org.get(item.name, call.path["id"])
    if row is None or item.find(call.path["blob"]) is None or row.get("IsDeleted"):
        raise not_found()
    return Reply(body=call.sandbox.org.blobs.get(row["Id"], b""), content_type="application/octet-stream")


# ---------------------------------------------------------------- replication


def deleted(call: Call) -> Reply:
    """Records deleted in a span of the last 15 days. Its rules are those of getDeleted().

    https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_getdeleted.htm
    """
    item = call.sandbox.org.resource(call.path["object"])
    start, end = _span(call)
    earliest = _earliest(call)
    if start < earliest:
        raise _replication("startDate before org replication enabled date or before earliestDateAvailable")
    rows = [
        row
        for row in call.sandbox.org.tables[item.name].values()
        if row.get("IsDeleted") and start <= parse_stamp(row["SystemModstamp"]) < end
    ]
    return Reply(
        json={
            "deletedRecords": [{"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in _bounded(rows)],
            "earliestDateAvailable": stamp(earliest),
            "latestDateCovered": stamp(_covered(call, end)),
        }
    )


def updated(call: Call) -> Reply:
    item = call.sandbox.org.resource(call.path["object"])
    start, end = _span(call)
    rows = [row for row in call.sandbox.org.live(item.name) if start <= parse_stamp(row["SystemModstamp"]) < end]
    return Reply(json={"ids": [row["Id"] for row in _bounded(rows)], "latestDateCovered": stamp(_covered(call, end))})


def _bounded(rows: list[Row]) -> list[Row]:
    if len(rows) > MOST_IDS:
        raise ApiError("EXCEEDED_ID_LIMIT", f"limit of {MOST_IDS} ids exceeded: choose dates that are closer together")
    return sorted(rows, key=lambda row: (row["SystemModstamp"], row["Id"]))


def _span(call: Call) -> tuple[datetime, datetime]:
    """Start and end, whose seconds the vendor ignores; more than a minute apart, and not in the future."""
    try:
        start, end = (
            parse_stamp(call.request.query[name]).replace(second=0, microsecond=0) for name in ("start", "end")
        )
    except KeyError as error:
        raise ApiError("MISSING_ARGUMENT", f"Required parameter missing: {error.args[0]}") from error
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", f"invalid dateTime: {error}") from error
    if end - start <= timedelta(minutes=1):
        raise _replication("startDate must be more than one minute before endDate")
    return start, end


def _earliest(call: Call) -> datetime:
    window = call.sandbox.clock.now().replace(second=0, microsecond=0) - WINDOW
    purged = call.sandbox.org.purged_before
    return max(window, parse_stamp(purged)) if purged else window


def _covered(call: Call, end: datetime) -> datetime:
    """Changes of the last moments may still be on their way: the next call must begin here, not at ``end``."""
    safe = call.sandbox.clock.now() - call.sandbox.options.replication_lag
    return min(end, safe).replace(second=0, microsecond=0)


def _replication(message: str) -> ApiError:
    return ApiError("INVALID_REPLICATION_DATE", message)
