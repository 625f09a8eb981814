"""Associations, version 4: read, create, end; singly and in batches.

https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.hubspot.errors import ApiError, invalid, missing_objects, not_found
from sandbox.hubspot.routes.batches import answer
from sandbox.hubspot.routes.records import writer
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

ONE = "/crm/v4/objects/{from}/{id}/associations"
BATCH = "/crm/v4/associations/{from}/{to}/batch"
MOST_LISTED, MOST_READ, MOST_WRITTEN = 500, 1_000, 2_000


def register(router: Router) -> None:
    read, write = "objects.read", "objects.write"
    router.add("PUT", ONE + "/default/{to}/{target}", "association_write", scope=write)(create_default)
    router.add("GET", ONE + "/{to}", "associations", scope=read)(list_one)
    router.add("PUT", ONE + "/{to}/{target}", "association_write", scope=write)(create)
    router.add("DELETE", ONE + "/{to}/{target}", "association_write", scope=write)(end)
    router.add("POST", BATCH + "/read", "associations_read", scope=read)(batch_read)
    router.add("POST", BATCH + "/create", "associations_write", scope=write)(batch_create)
    router.add("POST", BATCH + "/associate/default", "associations_write", scope=write)(batch_default)
    router.add("POST", BATCH + "/archive", "associations_write", scope=write)(batch_archive)
    router.add("POST", BATCH + "/labels/archive", "associations_write", scope=write)(batch_archive_labels)


def ends(call: Call) -> tuple[ObjectType, ObjectType]:
    return call.portal.object(call.path["from"]), call.portal.object(call.path["to"])


def _live(call: Call, item: ObjectType, record_id: str) -> str:
    """The id, of a merged record its survivor's. Raises 404."""
    record = call.portal.find_live(item.name, record_id)
    if record is None:
        raise not_found(f"{item.label} {record_id} not found")
    return record.id


def _targets(call: Call, source: ObjectType, record_id: str, target: ObjectType) -> list[dict[str, Any]]:
    """Ids of the other ends are numbers here, though they are texts everywhere else."""
    known = call.portal.associations.of(source.name, target.name)
    held = call.portal.associations.targets(source.name, record_id, target.name)
    return [
        {
            "toObjectId": int(other),
            "associationTypes": [known[s].as_json() for s in sorted(specs, key=lambda s: s[1]) if s in known],
        }
        for other, specs in sorted(held.items(), key=lambda pair: int(pair[0]))
    ]


def _paged(rows: list[dict[str, Any]], after: str, limit: int) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    if after and not after.isdigit():
        raise invalid(f"Invalid value for after: {after}")
    rest = [row for row in rows if row["toObjectId"] > int(after or 0)]
    more = len(rest) > limit
    return rest[:limit], {"next": {"after": str(rest[limit - 1]["toObjectId"])}} if more else None


def list_one(call: Call) -> Reply:
    source, target = ends(call)
    rows = _targets(call, source, _live(call, source, call.path["id"]), target)
    limit = call.number("limit", MOST_LISTED, MOST_LISTED)
    page, paging = _paged(rows, call.request.query.get("after", ""), limit)
    if paging:
        after = paging["next"]["after"]
        paging["next"]["link"] = f"{call.request.base_url}{call.request.path}?after={after}&limit={limit}"
    return Reply(json={"results": page} | ({"paging": paging} if paging else {}))


def create(call: Call) -> Reply:
    """Labels named in the body are added to those that the pair has."""
    source, target = ends(call)
    specs = call.request.json()
    if not isinstance(specs, list) or not specs:
        raise invalid("The body has to be a list of association types")
    types = call.portal.associations.typed(source.name, target.name, specs)
    first, second = _live(call, source, call.path["id"]), _live(call, target, call.path["target"])
    writer(call).associate(source.name, first, target.name, second, types)
    return Reply(201, _labels(call, source, first, target, second))


def _labels(call: Call, source: ObjectType, first: str, target: ObjectType, second: str) -> dict[str, Any]:
    known = call.portal.associations
    specs = known.targets(source.name, first, target.name).get(second, set())
    labels = [known.of(source.name, target.name)[spec].label for spec in sorted(specs, key=lambda s: s[1])]
    return {
        "fromObjectTypeId": source.type_id,
        "fromObjectId": int(first),
        "toObjectTypeId": target.type_id,
        "toObjectId": int(second),
        "labels": [label for label in labels if label],
    }


def create_default(call: Call) -> Reply:
    source, target = ends(call)
    first, second = _live(call, source, call.path["id"]), _live(call, target, call.path["target"])
    writer(call).associate(source.name, first, target.name, second, [])
    return answer(call, _defaults(call, source, first, target, second), [])


def _defaults(call: Call, source: ObjectType, first: str, target: ObjectType, second: str) -> list[dict[str, Any]]:
    there = call.portal.associations.plain(source.name, target.name)
    one = {
        "from": {"id": first},
        "to": {"id": second},
        "associationSpec": {"associationCategory": there.category, "associationTypeId": there.id},
    }
    back = {
        "from": {"id": second},
        "to": {"id": first},
        "associationSpec": {"associationCategory": there.category, "associationTypeId": there.inverse},
    }
    return [one, back]


def end(call: Call) -> Reply:
    source, target = ends(call)
    writer(call).dissociate(source.name, call.path["id"], target.name, call.path["target"])
    return Reply(204)


# ---------------------------------------------------------------- batches


def _inputs(call: Call, most: int) -> list[Mapping[str, Any]]:
    given = call.request.json_object().get("inputs")
    if not isinstance(given, list) or not given:
        raise invalid("inputs: must not be empty")
    if len(given) > most:
        raise invalid(f"The maximum batch size is {most}, got {len(given)}")
    return given


def batch_read(call: Call) -> Reply:
    """Records without associations are left out, and told of as errors."""
    source, target = ends(call)
    results, lonely = [], []
    for each in _inputs(call, MOST_READ):
        record_id = str(each.get("id", ""))
        record = call.portal.find_live(source.name, record_id)
        rows = _targets(call, source, record.id, target) if record else []
        page, paging = _paged(rows, str(each.get("after") or ""), MOST_LISTED)
        if not page:
            lonely.append(_no_association(source, target, record_id))
            continue
        results.append({"from": {"id": record_id}, "to": page} | ({"paging": paging} if paging else {}))
    return answer(call, results, lonely)


def _no_association(source: ObjectType, target: ObjectType, record_id: str) -> dict[str, Any]:
    message = f"No {target.singular} is associated with {source.singular} {record_id}."
    context = {"fromObjectId": [record_id], "fromObjectType": [source.type_id], "toObjectType": [target.type_id]}
    error = ApiError(404, "OBJECT_NOT_FOUND", message, context=context).item()
    return error | {"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"}


def _pair(call: Call, each: Mapping[str, Any]) -> tuple[str, str]:
    """The ids of an input, of merged records their survivors'. Raises ApiError naming those that don't exist."""
    found = []
    for item, side in zip(ends(call), ("from", "to"), strict=True):
        record_id = str((each.get(side) or {}).get("id", ""))
        record = call.portal.find_live(item.name, record_id)
        if record is None:
            raise missing_objects(item.label, [record_id])
        found.append(record.id)
    return found[0], found[1]


def batch_create(call: Call) -> Reply:
    """An unknown type fails the call; an unknown record only its input."""
    source, target = ends(call)
    given = _inputs(call, MOST_WRITTEN)
    types = [call.portal.associations.typed(source.name, target.name, each.get("types") or ()) for each in given]
    results, errors = [], []
    for each, wanted in zip(given, types, strict=True):
        try:
            first, second = _pair(call, each)
        except ApiError as error:
            errors.append(error.item())
            continue
        writer(call).associate(source.name, first, target.name, second, wanted)
        results.append(_labels(call, source, first, target, second))
    return answer(call, results, errors, 201)


def batch_default(call: Call) -> Reply:
    source, target = ends(call)
    call.portal.associations.plain(source.name, target.name)
    results: list[dict[str, Any]] = []
    errors = []
    for each in _inputs(call, MOST_WRITTEN):
        try:
            first, second = _pair(call, each)
        except ApiError as error:
            errors.append(error.item())
            continue
        writer(call).associate(source.name, first, target.name, second, [])
        results += _defaults(call, source, first, target, second)
    return answer(call, results, errors)


def batch_archive(call: Call) -> Reply:
    """Whatever isn't associated is passed over."""
    source, target = ends(call)
    for each in _inputs(call, MOST_WRITTEN):
        first = str((each.get("from") or {}).get("id", ""))
        for other in each.get("to") or ():
            writer(call).dissociate(source.name, first, target.name, str(other.get("id", "")))
    return Reply(204)


def batch_archive_labels(call: Call) -> Reply:
    """Ends the named types only."""
    source, target = ends(call)
    for each in _inputs(call, MOST_WRITTEN):
        types = call.portal.associations.typed(source.name, target.name, each.get("types") or ())
        first, second = (str((each.get(side) or {}).get("id", "")) for side in ("from", "to"))
        writer(call).dissociate(source.name, first, target.name, second, [(t.category, t.id) for t in types])
    return Reply(204)
