"""The audit log: who did what, read by page, checked, and taken away as a file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel

from api.access import Caller, allowed
from api.paging import Cursor, Limit, Page, decode_number, page_of
from storage import audit
from storage.audit import Entry, Wanted

router = APIRouter(prefix="/audit", tags=["audit"])
_PAGE = 1_000
Text = Annotated[str | None, Query(max_length=200)]
Moment = Annotated[AwareDatetime | None, Query()]


class EntryOut(BaseModel):
    """Who did what. ``hash`` covers the entry and ``previous``, the hash of the one before."""

    seq: int
    at: datetime
    actor_kind: str
    actor: str
    action: str
    target_kind: str
    target_id: str
    detail: dict[str, Any]
    request_id: str | None
    previous: str
    hash: str


class VerdictOut(BaseModel):
    """Whether the chain holds. ``broken_at``: the first entry that does not follow from the one before."""

    ok: bool
    entries: int
    head: str
    broken_at: int | None
    reason: str


def _wanted(
    action: Text = None,
    actor: Text = None,
    target_kind: Text = None,
    target_id: Text = None,
    since: Moment = None,
    until: Moment = None,
) -> Wanted:
    return Wanted(action, actor, target_kind, target_id, since, until)


@router.get("", operation_id="list_audit")
def list_audit(
    caller: Annotated[Caller, allowed("audit:read")],
    wanted: Annotated[Wanted, Depends(_wanted)],
    order: Literal["newest", "oldest"] = "newest",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[EntryOut]:
    """Entries that agree with every filter given; `since` counts in, `until` does not."""
    with caller.transaction() as conn:
        found = audit.entries(conn, wanted, after=decode_number(cursor), limit=limit + 1, newest=order == "newest")
    return page_of(found, limit, lambda entry: EntryOut(**_fields(entry)), lambda entry: entry.seq)


@router.get("/verify", operation_id="verify_audit")
def verify_audit(caller: Annotated[Caller, allowed("audit:read")]) -> VerdictOut:
    """Compute the whole chain again. Note the head elsewhere now and then: it proves that nothing before it was changed."""
    with caller.transaction() as conn:
        verdict = audit.verify(conn)
    return VerdictOut(
        ok=verdict.ok,
        entries=verdict.entries,
        head=verdict.head,
        broken_at=verdict.broken_at,
        reason=verdict.reason,
    )


@router.get(
    "/export",
    operation_id="export_audit",
    response_class=StreamingResponse,
    responses={200: {"description": "One JSON object a line", "content": {"application/x-ndjson": {}}}},
)
def export_audit(
    caller: Annotated[Caller, allowed("audit:read")], wanted: Annotated[Wanted, Depends(_wanted)]
) -> StreamingResponse:
    """The entries that agree with every filter given, oldest first, one JSON object a line. Taking them away is an entry, too."""
    with caller.transaction() as conn:
        caller.audit(conn, "audit.export", "audit", caller.tenant_id)
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(_lines(caller, wanted), media_type="application/x-ndjson", headers=headers)


def _lines(caller: Caller, wanted: Wanted) -> Iterator[bytes]:
    after: int | None = None
    while True:
        with caller.transaction() as conn:
            page = audit.entries(conn, wanted, after=after, limit=_PAGE)
        yield from (orjson.dumps(_fields(entry)) + b"\n" for entry in page)
        if len(page) < _PAGE:
            return
        after = page[-1].seq


def _fields(entry: Entry) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in EntryOut.model_fields}
    return values | {"previous": entry.previous.hex(), "hash": entry.hash.hex()}
