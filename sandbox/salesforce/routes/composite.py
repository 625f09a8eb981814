"""Several requests in one: composite with references, independent batches, and trees of new records.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/using_composite_resources.htm
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sandbox.kit.wire import Reply, Request
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.routes.rest import DATA
from sandbox.salesforce.wire import Call, Router
from sandbox.salesforce.write import Writer

MOST, MOST_QUERIES, MOST_IN_TREE, DEEPEST_TREE = 25, 5, 200, 5
_REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.\w+|\[\d+\])+)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
HALTED = "The transaction was rolled back since another operation in the same transaction failed."


def register(router: Router) -> None:
    router.add("POST", DATA + "/composite", "composite")(composite)
    router.add("POST", DATA + "/composite/batch", "batch")(batch)
    router.add("POST", DATA + "/composite/tree/{object}", "tree")(tree)


# ---------------------------------------------------------------- composite


def composite(call: Call) -> Reply:
    """Requests in order, later ones using ``@{earlier.field}``. One call of the quota, whatever it holds."""
    body = call.request.json_object()
    parts = body.get("compositeRequest")
    if not isinstance(parts, list):
        raise ApiError("MISSING_ARGUMENT", "compositeRequest is missing in the request body")
    _check_size(parts)
    everything = bool(body.get("allOrNone", False))
    answers: dict[str, Reply] = {}
    try:
        with Writer(call.sandbox.org, call.user_id).transaction():
            for part in parts:
                reply = _run(call, part, answers)
                answers[str(part.get("referenceId", ""))] = reply
                if everything and reply.status >= 400:
                    raise _Halted
    except _Halted:
        failed = str(list(answers)[-1])
        answers = {
            str(p["referenceId"]): answers[failed] if p["referenceId"] == failed else _halted(HALTED) for p in parts
        }
    return Reply(json={"compositeResponse": [_shown(name, reply) for name, reply in answers.items()]})


class _Halted(Exception):
    """Not an error: leaves the transaction so that it is undone."""


def _check_size(parts: list[dict[str, Any]]) -> None:
    if len(parts) > MOST:
        raise ApiError("LIMIT_EXCEEDED", f"The Composite API request has exceeded its limit of {MOST} subrequests")
    queries = [p for p in parts if re.search(r"/(query|queryAll|composite/sobjects)\b", str(p.get("url", "")))]
    if len(queries) > MOST_QUERIES:
        message = f"The Composite API request has exceeded its limit of {MOST_QUERIES} query or sObject collection subrequests"
        raise ApiError("LIMIT_EXCEEDED", message)
    names = [p.get("referenceId") for p in parts]
    if len(set(names)) < len(names) or None in names:
        raise ApiError("INVALID_INPUT", "Every subrequest needs a referenceId of its own")


def _run(call: Call, part: dict[str, Any], answers: dict[str, Reply]) -> Reply:
    try:
        url = str(_filled(part["url"], answers))
        body = _filled(part.get("body"), answers)
    except _UnknownReferenceError as error:
        return _halted(f"Invalid reference specified. No value for {error} found in {str(error).partition('.')[0]}")
    request = Request.of(str(part.get("method", "GET")), url, body, part.get("httpHeaders"))
    return call.sandbox.dispatch(request, call.user_id)


class _UnknownReferenceError(Exception):
    pass


def _filled(value: Any, answers: dict[str, Reply]) -> Any:
    """The value with every ``@{reference}`` replaced. Raises _UnknownReferenceError."""
    if isinstance(value, dict):
        return {key: _filled(inner, answers) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, answers) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _referred(whole, answers)
    return _REFERENCE.sub(lambda match: str(_referred(match, answers)), value)


def _referred(match: re.Match[str], answers: dict[str, Reply]) -> Any:
    reply = answers.get(match.group(1))
    value = reply.json if reply is not None and reply.status < 400 else None
    for name, index in _STEP.findall(match.group(2)):
        try:
            value = value[name] if name else value[int(index)]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            raise _UnknownReferenceError(match.group(1) + match.group(2)) from None
    return value


def _halted(message: str) -> Reply:
    return Reply(400, [{"errorCode": "PROCESSING_HALTED", "message": message}])


def _shown(name: str, reply: Reply) -> dict[str, Any]:
    headers: dict[str, str] = {}
    if reply.status == 201 and isinstance(reply.json, dict) and "id" in reply.json:
        headers["Location"] = str(reply.json["id"])
    return {"body": reply.json, "httpHeaders": headers, "httpStatusCode": reply.status, "referenceId": name}


# ---------------------------------------------------------------- batch


def batch(call: Call) -> Reply:
    """Independent requests; each one counts against the quota."""
    body = call.request.json_object()
    parts = body.get("batchRequests") or []
    if len(parts) > MOST:
        raise ApiError("LIMIT_EXCEEDED", f"The batch request has exceeded its limit of {MOST} subrequests")
    call.sandbox.spend_more(len(parts) - 1)
    results: list[dict[str, Any]] = []
    for part in parts:
        if results and body.get("haltOnError") and results[-1]["statusCode"] >= 400:
            halted = [
                {"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing was halted by an earlier error."}
            ]
            results.append({"statusCode": 412, "result": halted})
            continue
        url = str(part["url"])
        path = url if url.startswith("/services/") else f"/services/data/{url.lstrip('/')}"
        request = Request.of(str(part.get("method", "GET")), path, part.get("richInput"))
        reply = call.sandbox.dispatch(request, call.user_id)
        results.append({"statusCode": reply.status, "result": reply.json})
    return Reply(json={"hasErrors": any(r["statusCode"] >= 400 for r in results), "results": results})


# ---------------------------------------------------------------- tree


def tree(call: Call) -> Reply:
    """New records with their children, all or none."""
    root = call.sandbox.org.resource(call.path["object"]).name
    records = call.request.json_object().get("records") or []
    flat = list(_flatten(root, records, None, None, 1))
    if len(flat) > MOST_IN_TREE:
        raise ApiError("INVALID_INPUT", f"The request has {len(flat)} records; a tree takes {MOST_IN_TREE} at most")
    ids: dict[str, str] = {}
    writer = Writer(call.sandbox.org, call.user_id)
    reference = ""
    try:
        with writer.transaction():
            for kind, reference, values, parent, relation in flat:
                ids[reference] = writer.insert(kind, _linked(call, kind, values, parent, relation, ids))
    except ApiError as error:
        failed = {"referenceId": reference, "errors": [error.write()]}
        return Reply(400, {"hasErrors": True, "results": [failed]})
    return Reply(201, {"hasErrors": False, "results": [{"referenceId": name, "id": i} for name, i in ids.items()]})


Node = tuple[str, str, dict[str, Any], str | None, str | None]


def _flatten(
    kind: str, records: list[dict[str, Any]], parent: str | None, relation: str | None, depth: int
) -> Iterator[Node]:
    """Parents before children: object, reference, own values, and the parent with the name of the relationship."""
    if depth > DEEPEST_TREE:
        raise ApiError("INVALID_INPUT", f"A tree can be {DEEPEST_TREE} levels deep at most")
    for record in records:
        attributes = record.get("attributes") or {}
        reference = attributes.get("referenceId")
        if not reference or (attributes.get("type", kind) != kind and parent is None):
            raise ApiError(
                "INVALID_INPUT", "Include a reference ID, and the type of the tree, for each record in the request."
            )
        nested = {key: value for key, value in record.items() if isinstance(value, dict) and "records" in value}
        values = {key: value for key, value in record.items() if key not in nested}
        yield str(attributes.get("type", kind)), str(reference), values, parent, relation
        for name, children in nested.items():
            yield from _flatten("", children["records"], str(reference), name, depth + 1)


def _linked(
    call: Call, kind: str, values: dict[str, Any], parent: str | None, relation: str | None, ids: dict[str, str]
) -> dict[str, Any]:
    """The values with references resolved: ``@ref`` anywhere, and the parent through its relationship."""
    filled = {k: ids.get(v[1:], v) if isinstance(v, str) and v.startswith("@") else v for k, v in values.items()}
    if parent is None or relation is None:
        return filled
    owner = call.sandbox.org.find(ids[parent])
    if owner is None:
        raise ApiError("INVALID_INPUT", f"unknown reference {parent}")
    child, link = call.sandbox.child_relation(owner[0], relation)
    if child.name != kind:
        raise ApiError("INVALID_INPUT", f"{relation} of {owner[0].name} holds {child.name}, not {kind}")
    return filled | {link.name: ids[parent]}
