"""Batches of records: read, create, update, upsert, archive; at most a hundred inputs.

An input with an ``objectWriteTraceId`` is refused alone: the answer is a 207 that names it. Inputs without one stand and fall
together: the first bad one is the whole call's error. Reading and updating ids that don't exist is a 207 either way.

https://developers.hubspot.com/docs/api-reference/error-handling#multi-status-errors
https://developers.hubspot.com/changelog/simplifying-batch-update-response-codes-for-crm-v3-apis
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.hubspot import shapes
from sandbox.hubspot.errors import ApiError, invalid, missing_objects, not_found
from sandbox.hubspot.records import Record
from sandbox.hubspot.routes.records import OBJECTS, writer
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.times import iso
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

MOST_INPUTS = 100
Input = Mapping[str, Any]


def register(router: Router) -> None:
    batch = OBJECTS + "/batch"
    router.add("POST", batch + "/read", "batch_read", scope="objects.read")(read)
    router.add("POST", batch + "/create", "batch_create", scope="objects.write")(create)
    router.add("POST", batch + "/update", "batch_update", scope="objects.write")(update)
    router.add("POST", batch + "/upsert", "batch_upsert", scope="objects.write")(upsert)
    router.add("POST", batch + "/archive", "batch_archive", scope="objects.write")(archive)


def inputs(call: Call) -> list[Input]:
    """The batch. Raises 400 for none, for more than a hundred, for anything that isn't an object."""
    given = call.request.json_object().get("inputs")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise invalid("Invalid input JSON: inputs has to be a list of objects")
    if not given:
        raise invalid("inputs: must not be empty")
    if len(given) > MOST_INPUTS:
        raise invalid(f"The maximum batch size is {MOST_INPUTS}, got {len(given)}")
    return given


def read(call: Call) -> Reply:
    item, body = call.portal.object(call.path["object"]), call.request.json_object()
    ids = [str(each.get("id", "")) for each in inputs(call)]
    archived, key = call.flag("archived"), str(body.get("idProperty") or "")
    names, history = body.get("properties") or (), body.get("propertiesWithHistory") or ()
    found: dict[str, Record] = {}
    missing = []
    for each in dict.fromkeys(ids):
        record = call.portal.by_property(item, key, each) if key else call.portal.find(item.name, each)
        if record is None or record.archived != archived:
            missing.append(each)
        else:
            found.setdefault(record.id, record)
    results = [shapes.shown(call.portal, item, record, names, history) for record in found.values()]
    return answer(call, results, [missing_objects(item.label, missing).item()] if missing else [])


def create(call: Call) -> Reply:
    item = call.portal.object(call.path["object"])
    writes = writer(call)

    def one(given: Input) -> dict[str, Any]:
        properties = given.get("properties") or {}
        record = writes.create(item, properties, given.get("associations") or ())
        return shapes.written(record, item, properties)

    def check(given: Input) -> None:
        writes.checked_new(item, given.get("properties") or {}, given.get("associations") or ())

    return _each(call, item, inputs(call), check, one, 201)


def update(call: Call) -> Reply:
    item, given = call.portal.object(call.path["object"]), inputs(call)
    _distinct(given)
    targets = {id(each): _target(call, item, each) for each in given}
    missing = [str(each.get("id", "")) for each in given if targets[id(each)] is None]
    writes = writer(call)

    def one(each: Input) -> dict[str, Any]:
        properties = each.get("properties") or {}
        return shapes.written(writes.update(item, _there(targets[id(each)]), properties), item, properties)

    def check(each: Input) -> None:
        record = _there(targets[id(each)])
        writes.checked(item, each.get("properties") or {}, record.values, record)

    reply = _each(call, item, [e for e in given if targets[id(e)] is not None], check, one, 200)
    if missing:
        traces = [e["objectWriteTraceId"] for e in given if targets[id(e)] is None and "objectWriteTraceId" in e]
        error = missing_objects(item.label, missing).item()
        if traces:
            error["context"]["objectWriteTraceId"] = traces
        _add_error(reply, error)
    return reply


def upsert(call: Call) -> Reply:
    """By a unique property, or an e-mail address of a contact; ``new`` tells what became of an input."""
    item, given = call.portal.object(call.path["object"]), inputs(call)
    _distinct(given)
    writes = writer(call)
    for each in given:
        _unique_key(call, item, each)

    def properties(each: Input) -> dict[str, Any]:
        return {str(each["idProperty"]): each.get("id"), **(each.get("properties") or {})}

    def one(each: Input) -> dict[str, Any]:
        record = call.portal.by_property(item, str(each["idProperty"]), str(each.get("id", "")))
        values = properties(each)
        made = writes.create(item, values) if record is None else writes.update(item, record, values)
        return shapes.written(made, item, values) | {"new": record is None}

    def check(each: Input) -> None:
        record = call.portal.by_property(item, str(each["idProperty"]), str(each.get("id", "")))
        if record is None:
            writes.checked_new(item, properties(each))
        else:
            writes.checked(item, properties(each), record.values, record)

    return _each(call, item, given, check, one, 200)


def archive(call: Call) -> Reply:
    """What isn't there is passed over."""
    item = call.portal.object(call.path["object"])
    for each in inputs(call):
        record = call.portal.find_live(item.name, str(each.get("id", "")))
        if record is not None:
            writer(call).archive(item, record)
    return Reply(204)


# ---------------------------------------------------------------- one by one


def _each(
    call: Call,
    item: ObjectType,
    given: list[Input],
    check: Callable[[Input], None],
    one: Callable[[Input], dict[str, Any]],
    status: int,
) -> Reply:
    """Carry out inputs in order. Without trace ids one bad input fails all: nothing is written before all were checked."""
    if not all("objectWriteTraceId" in each for each in given):
        for each in given:
            _refuse(call)
            check(each)
        _no_doubles(item, given)
        return answer(call, [one(each) for each in given], [], status)
    results, errors = [], []
    for each in given:
        trace = str(each["objectWriteTraceId"])
        try:
            _refuse(call)
            results.append(one(each) | {"objectWriteTraceId": trace})
        except ApiError as error:
            errors.append(error.item(trace))
    return answer(call, results, errors, status)


def _no_doubles(item: ObjectType, given: list[Input]) -> None:
    """Two inputs of one batch can't have the same unique value."""
    seen: set[tuple[str, str]] = set()
    for each in given:
        for name in item.unique_names():
            value = str((each.get("properties") or {}).get(name) or "").strip().lower()
            if value and (name, value) in seen:
                raise invalid(f"Duplicate values of {name} found in batch input: [{value}]")
            seen.add((name, value))


def _refuse(call: Call) -> None:
    """An injected refusal of the next input."""
    if call.rejected > 0:
        call.rejected -= 1
        raise invalid("This input was refused on request.")


def _distinct(given: list[Input]) -> None:
    ids = [str(each.get("id", "")).lower() for each in given]
    double = sorted({each for each in ids if ids.count(each) > 1})
    if double:
        raise invalid(f"Duplicate IDs found in batch input: [{', '.join(double)}]. IDs must be unique", ids=double)


def _target(call: Call, item: ObjectType, each: Input) -> Record | None:
    key = each.get("idProperty")
    if key:
        _unique_key(call, item, each)
        return call.portal.by_property(item, str(key), str(each.get("id", "")))
    return call.portal.find_live(item.name, str(each.get("id", "")))


def _unique_key(call: Call, item: ObjectType, each: Input) -> None:
    found = call.portal.property(item, str(each.get("idProperty") or ""))
    if found is None or not found.unique:
        raise invalid(f"Unable to perform update/upsert by non-unique {item.type_id} property")
    if not each.get("id"):
        raise invalid("id: must not be blank")


def _there(record: Record | None) -> Record:
    if record is None:
        raise not_found()
    return record


def answer(call: Call, results: list[dict[str, Any]], errors: list[dict[str, Any]], status: int = 200) -> Reply:
    """A batch's envelope: 207 as soon as one input was refused."""
    at = iso(call.portal.now())
    body: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "requestedAt": at,
        "startedAt": at,
        "completedAt": at,
    }
    reply = Reply(status, body)
    for error in errors:
        _add_error(reply, error)
    return reply


def _add_error(reply: Reply, error: dict[str, Any]) -> None:
    reply.status = 207
    reply.json.setdefault("errors", []).append(error)
    reply.json["numErrors"] = len(reply.json["errors"])
