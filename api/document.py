"""The OpenAPI document, completed: each operation's permission, and the headers that every call may bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

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
    for methods in document["paths"].values():
        for method, operation in methods.items():
            permission = permissions.get(operation["operationId"])
            if permission is not None:
                operation["x-permission"] = permission
            shared = [_TENANT] if "security" in operation else []
            shared += [_IDEMPOTENCY] if method.upper() in UNSAFE else []
            if shared:
                operation.setdefault("parameters", []).extend(shared)
    return document
