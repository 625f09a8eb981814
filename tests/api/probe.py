"""Routes that exist in tests only: what handlers may do, at its plainest."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from api import app as application
from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body
from bootstrap.wiring import Hub
from domain.access import Actor
from storage import audit

router = APIRouter(prefix="/probe")


class Wish(Body):
    """What the handler should do."""

    name: str
    blocks: int = 1
    then: str = ""


class Done(BaseModel):
    name: str
    entries: list[int]


@router.post("/joined", operation_id="probe_joined", status_code=201)
def joined(body: Wish, caller: Annotated[Caller, allowed("keys:write")]) -> Done:
    """Write an audit entry in each of several blocks, then perhaps fail."""
    entries = []
    for _ in range(body.blocks):
        with caller.transaction() as conn:
            entries.append(audit.record(conn, caller.actor, "probe.write", "probe", body.name))
    if body.then == "refuse":
        raise ApiError(409, "conflict", "Not like this.")
    if body.then == "crash":
        raise RuntimeError("a bug")
    return Done(name=body.name, entries=entries)


@router.post("/caught", operation_id="probe_caught")
def caught(body: Wish, caller: Annotated[Caller, allowed("keys:write")]) -> Done:
    """Fail inside of one block, and go on in another."""
    entries = []
    for number in range(body.blocks):
        try:
            with caller.transaction() as conn:
                entries.append(audit.record(conn, caller.actor, "probe.write", "probe", body.name))
                if number == 0 or body.then == "always":
                    conn.exec_driver_sql("SELECT 1 / 0")
        except Exception:  # noqa: S112
            continue
    return Done(name=body.name, entries=entries)


@router.post("/apart", operation_id="probe_apart")
def apart(body: Wish, caller: Annotated[Caller, allowed("keys:write")]) -> Done:
    """Work in a transaction of one's own."""
    with caller.hub.db.tenant(caller.tenant_id) as conn:
        entries = [audit.record(conn, Actor("system", "probe"), "probe.write", "probe", body.name)]
    return Done(name=body.name, entries=entries)


@router.put("/{probe_id}", operation_id="probe_put")
def put(probe_id: UUID, body: Wish, caller: Annotated[Caller, allowed("keys:write")]) -> Done:
    with caller.transaction() as conn:
        return Done(name=body.name, entries=[audit.record(conn, caller.actor, "probe.write", "probe", probe_id)])


def probing_app(hub: Hub) -> FastAPI:
    """The application with these routes besides."""
    made = application.create_app(hub)
    made.include_router(router, prefix="/v1")
    return made
