"""The OpenAPI document, completed: each operation's permission, the headers that every call may bring, and webhooks both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from api import document_webhooks
from api.errors import PROBLEM
from api.examples import ID, OF_OPERATIONS, Examples
from api.unit import HEADER, UNSAFE

_IDEMPOTENCY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Makes a repeated call harmless: within 48 hours the same key with the same request is answered as the first "
    "time, with `Idempotency-Replayed: true`, and nothing is done again. Send a UUID.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
    "example": "0199d1e2-7a3b-7c44-9d55-6e77f8899aab",
}
_TENANT = {
    "name": "Syncline-Tenant",
    "in": "header",
    "required": False,
    "description": "The tenant to work in, for people who belong to several and for system administrators. "
    "Default: the key's own, or the installation's.",
    "schema": {"type": "string", "format": "uuid"},
}

JSON = "application/json"
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_PROBLEMS = {
    "400": ("bad_json", "The body is no JSON that can be read.", "Send one JSON document in UTF-8."),
    "401": ("unauthenticated", "The call brings no valid key or token.", "Send one as `Authorization: Bearer …`."),
    "403": ("forbidden", "The key does not allow records:write.", "Ask an administrator."),
    "404": ("no_such_record", "There is no such contact.", "Look at the id again."),
    "405": ("method_not_allowed", "The address does not know this method.", "Look at the reference."),
    "408": ("too_slow", "The request did not arrive in time.", "Send it again."),
    "409": ("already_exists", "There is one of that name.", "Choose another name."),
    "410": ("record_deleted", "The contact was deleted.", "Restore it, or leave it out."),
    "412": ("record_changed", "The record changed since it was read.", "Read it again, and decide anew."),
    "413": ("too_large", "The body is larger than is taken.", "Send less at once."),
    "415": ("unsupported_media_type", "The body is of a type that is not taken.", "Send application/json."),
    "422": ("invalid_request", "The request does not have the form that the API takes.", "Mend what `errors` names."),
    "429": ("too_many_calls", "The key calls too often.", "Wait as long as Retry-After says."),
    "503": ("database_unavailable", "The database does not answer.", "Try again."),
}
_HEADERS = {
    name: {"description": description, "schema": {"type": kind}, "example": example}
    for name, description, kind, example in (
        ("X-Request-Id", "Names the call in logs and in the audit log; the caller's own where it sent one.", "string", ID),
        ("RateLimit-Limit", "How many calls the key or person may make in one go.", "integer", 200),
        ("RateLimit-Remaining", "How many of them are left.", "integer", 199),
        ("RateLimit-Reset", "In how many seconds all of them are there again.", "integer", 1),
        ("Retry-After", "In how many seconds to try again.", "integer", 5),
        ("Idempotency-Replayed", "`true` where the answer is that of the first call with this Idempotency-Key.", "string", "true"),
        ("ETag", "The record's version, for If-Match and If-None-Match.", "string", '"3"'),
    )
}  # fmt: skip
_RATE = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]
_VERSIONED = frozenset({"create_record", "get_record", "update_record"})


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Have ``app`` describe itself completely. ``routers``: those that it includes."""
    permissions = dict(_permissions(routers))
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        known = app.openapi_schema
        return plain() if known is not None else _completed(plain(), permissions)

    app.openapi = openapi  # type: ignore[method-assign]


def permission_of(route: APIRoute) -> str | None:
    """The permission that a route asks for; None for one that anybody may call, or anybody signed in."""
    asked = (getattr(d.call, "permission", None) for d in route.dependant.dependencies)
    return next((p for p in asked if p is not None), None)


def _permissions(routers: Sequence[APIRouter]) -> Iterator[tuple[str, str | None]]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield str(route.operation_id), permission_of(route)


def _completed(document: dict[str, Any], permissions: dict[str, str | None]) -> dict[str, Any]:
    examples = Examples(document["components"]["schemas"])
    for methods in document["paths"].values():
        for method, operation in methods.items():
            permission = permissions.get(operation["operationId"])
            if permission is not None:
                operation["x-permission"] = permission
            shared = [_TENANT] if "security" in operation else []
            shared += [_IDEMPOTENCY] if method.upper() in UNSAFE else []
            if shared:
                operation.setdefault("parameters", []).extend(shared)
            for status, answer in operation["responses"].items():
                _complete_answer(operation, method.upper(), status, answer, examples)
    document["components"] |= {
        "headers": _HEADERS,
        "examples": {status: {"value": _problem(status)} for status in _PROBLEMS},
    }
    document["paths"] |= document_webhooks.door()
    document["webhooks"] = document_webhooks.events()
    return document


def _complete_answer(
    operation: dict[str, Any], method: str, status: str, answer: dict[str, Any], examples: Examples
) -> None:
    content = answer.get("content", {})
    if status in _PROBLEMS and _tells_a_problem(content):
        content.clear()  # the framework names the kind of the good answer, too
        shown = {"problem": {"$ref": f"#/components/examples/{status}"}}
        content[PROBLEM] = {"schema": _PROBLEM, "examples": shown}
    elif status.startswith("2"):
        for kind, told in content.items():
            given = OF_OPERATIONS.get(operation["operationId"])
            if given is not None and isinstance(given, str) != (kind == JSON):
                told["example"] = given
            elif kind == JSON and "schema" in told:
                with suppress(KeyError):  # a test finds it; the document does without
                    told["example"] = examples.of(told["schema"])
    named = ["X-Request-Id"]
    named += _RATE if ("security" in operation and status[0] == "2") or status == "429" else []
    named += ["Idempotency-Replayed"] if method in UNSAFE and status.startswith("2") else []
    named += ["ETag"] if operation["operationId"] in _VERSIONED and status.startswith("2") else []
    named += ["Retry-After"] if status in ("429", "503") else []
    told_headers = answer.setdefault("headers", {})
    told_headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in named if name not in told_headers}


def _tells_a_problem(content: dict[str, Any]) -> bool:
    return PROBLEM in content or any(told.get("schema") == _PROBLEM for told in content.values())


def _problem(status: str) -> dict[str, Any]:
    phrase = HTTPStatus(int(status)).phrase
    code, detail, remedy = _PROBLEMS[status]
    return {
        "type": f"https://syncline.dev/errors/{code}", "title": phrase, "status": int(status), "code": code, "detail": detail,
        "remedy": remedy, "request_id": ID,
    }  # fmt: skip
