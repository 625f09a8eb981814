"""The change feed: every change of every record, without gaps, from a cursor on; by long polling or as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api import paging
from api.access import Caller, allowed
from api.errors import ApiError
from api.paging import Limit
from api.tails import Tails
from storage import change_feed, payloads
from storage.change_feed import Change, ChangesExpiredError, Position

router = APIRouter(prefix="/changes", tags=["changes"])

WAIT_MOST_S = 30
HEARTBEAT_S = 15.0
STREAM_S = 600.0
"""A stream ends after so long, and its reader comes back with the last id: a key that was revoked reads no longer than that."""
_STREAM_PAGE = 100

Reader = Annotated[Caller, allowed("records:read")]
Since = Annotated[
    str | None,
    Query(
        max_length=200,
        description="`next` of the answer before; `now`: from this moment on; none: from the oldest change that is kept.",
    ),
]
WithRecords = Annotated[bool, Query(description="Add each record as it stands now, in the form of the API.")]


class ChangeOut(BaseModel):
    """One change. ``kind``: created, updated, deleted, merged, restored, or bulk: ``detail`` then names the run and counts rows."""

    id: UUID
    at: datetime
    entity: str
    entity_id: UUID | None
    kind: str
    fields: list[str]
    version: int | None
    connection_id: UUID | None
    detail: dict[str, Any]
    record: dict[str, Any] | None = Field(default=None, description="Only where asked for; null: it is gone by now.")


class Changes(BaseModel):
    """Changes in the order in which they were made. ``more``: there may be further ones at once."""

    items: list[ChangeOut]
    next: str = Field(description="Give it as `cursor` to go on, now or later.")
    more: bool


@router.get(
    "", operation_id="list_changes", response_model=Changes, responses={410: {"description": "Not kept any more"}}
)
async def list_changes(
    caller: Reader,
    request: Request,
    cursor: Since = None,
    limit: Limit = 100,
    wait: Annotated[int, Query(ge=0, le=WAIT_MOST_S, description="Wait so many seconds for a change.")] = 0,
    records: WithRecords = False,
) -> Response:
    """The next changes. No change is ever left out, however late its transaction commits; none comes twice for one cursor."""
    tails, deadline = _tails(request), time.monotonic() + wait
    position = await run_in_threadpool(_position, caller, cursor)
    mark = await tails.mark(caller.tenant_id) if wait else (0, 0)
    page, items = await run_in_threadpool(_read, caller, position, limit, records)
    while not items and (left := deadline - time.monotonic()) > 0:
        moved = await tails.moved(caller.tenant_id, mark, left)
        if moved is None:
            break
        mark = moved
        page, items = await run_in_threadpool(_read, caller, page.position, limit, records)
    body = {"items": items, "next": _encoded(page.position), "more": page.more}
    return Response(orjson.dumps(body), media_type="application/json", headers={"Cache-Control": "no-store"})


@router.get(
    "/stream",
    operation_id="stream_changes",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        410: {"description": "Not kept any more"},
    },
)
async def stream_changes(
    caller: Reader,
    request: Request,
    cursor: Since = None,
    records: WithRecords = False,
    last_event_id: Annotated[
        str | None, Header(max_length=200, description="The id of the last event that was received: go on behind it.")
    ] = None,
) -> StreamingResponse:
    """Changes as server-sent events as they happen. The id of each is a cursor; the stream ends now and then: come back with it."""
    position = await run_in_threadpool(_position, caller, last_event_id or cursor)
    first = await run_in_threadpool(_read, caller, position, 1, False)  # an expired cursor is answered, not streamed
    del first
    return StreamingResponse(
        _stream(caller, _tails(request), position, records),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(caller: Caller, tails: Tails, position: Position, records: bool) -> AsyncIterator[bytes]:
    end = time.monotonic() + STREAM_S
    yield b": begin\n\n"
    while time.monotonic() < end:
        mark = await tails.mark(caller.tenant_id)
        page, items = await run_in_threadpool(_read, caller, position, _STREAM_PAGE, records)
        for change, item in zip(page.changes, items, strict=True):
            at = Position(page.window.low, page.window.high, change.seq)
            yield b"id: %s\nevent: change\ndata: %s\n\n" % (_encoded(at).encode(), orjson.dumps(item))
        position = page.position
        if not page.more and await tails.moved(caller.tenant_id, mark, HEARTBEAT_S) is None:
            yield b": still here\n\n"


def _read(
    caller: Caller, position: Position, limit: int, records: bool
) -> tuple[change_feed.Page, list[dict[str, Any]]]:
    try:
        with caller.transaction() as conn:
            page = change_feed.read(conn, position, limit)
            told = _records(conn, page.changes) if records else {}
    except ChangesExpiredError as error:
        raise ApiError(410, error.code, error.message, remedy=error.remedy) from None
    return page, [_item(c, told, records) for c in page.changes]


def _records(conn: Any, changes: Sequence[Change]) -> dict[tuple[str, UUID], str]:
    """The records of the changes that stand, as JSON text."""
    wanted = sorted({(c.entity, c.entity_id) for c in changes if c.entity_id is not None})
    return {
        (entity, record_id): form
        for entity, group in groupby(wanted, key=lambda pair: pair[0])
        for record_id, form in payloads.records(conn, entity, [i for _, i in group]).items()
    }


def _item(change: Change, told: dict[tuple[str, UUID], str], records: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        name: getattr(change, name) for name in ChangeOut.model_fields if name not in ("record", "fields")
    }
    item["fields"] = list(change.fields)
    if records:
        form = None if change.entity_id is None else told.get((change.entity, change.entity_id))
        item["record"] = None if form is None else orjson.Fragment(form)
    return item


def _position(caller: Caller, cursor: str | None) -> Position:
    if cursor is None or cursor == "now":
        with caller.transaction() as conn:
            return change_feed.now(conn) if cursor else change_feed.beginning(conn)
    key = paging.decode(cursor)
    if (
        not isinstance(key, list)
        or len(key) != 3
        or not all(type(part) is int and 0 <= part < 1 << 62 for part in key)
        or key[0] > key[1]
    ):
        raise ApiError(422, "bad_cursor", "The cursor is not one of ours.", remedy="Begin without one.")
    return Position(*key)


def _encoded(position: Position) -> str:
    return paging.encode([position.low, position.high, position.seq])


def _tails(request: Request) -> Tails:
    tails: Tails = request.app.state.tails
    return tails
