"""Conflicts: fields that both sides changed, and what was decided."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body
from api.paging import Cursor, Limit, Page, decode_moment, page_of
from storage.sync import conflicts
from storage.sync.conflicts import StoredConflict

router = APIRouter(prefix="/conflicts", tags=["conflicts"])

Status = Literal["open", "settled", "resolved", "all"]


class ConflictOut(BaseModel):
    """A field that both sides changed. ``status``: open (a person decides), settled (by ``rule``) or resolved (by a person)."""

    id: UUID
    connection_id: UUID
    object: str
    entity: str
    entity_id: UUID
    vendor_id: str
    field: str
    status: str
    rule: str
    winner: str | None
    hub_value: Any
    vendor_value: Any
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    resolved_by: str | None


class Decision(Body):
    """Whose value stands, or another value instead."""

    take: Literal["hub", "vendor"] | None = Field(default=None, examples=["vendor"])
    value: Any = Field(default=None, description="Another value, typed as the field is, or as text.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Decision:
        if (self.take is None) == ("value" not in self.model_fields_set):
            raise ValueError("give either take or value")
        return self


@router.get("", operation_id="list_conflicts")
def list_conflicts(
    caller: Annotated[Caller, allowed("conflicts:read")],
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[Status, Query(description="open, settled, resolved or all.")] = "open",
    connection_id: Annotated[UUID | None, Query(description="Only of this connection.")] = None,
    entity_id: Annotated[UUID | None, Query(description="Only of this record.")] = None,
) -> Page[ConflictOut]:
    """Conflicts, the newest first."""
    with caller.transaction() as conn:
        found = conflicts.list_conflicts(
            conn,
            status=None if status == "all" else status,
            connection_id=connection_id,
            entity_id=entity_id,
            before=decode_moment(cursor),
            limit=limit + 1,
        )
    return page_of(found, limit, _shown, lambda c: (c.opened_at, c.id))


@router.get("/{conflict_id}", operation_id="get_conflict")
def get_conflict(conflict_id: UUID, caller: Annotated[Caller, allowed("conflicts:read")]) -> ConflictOut:
    """One conflict with both values."""
    with caller.transaction() as conn:
        found = conflicts.get(conn, conflict_id)
    if found is None:
        raise _missing()
    return _shown(found)


@router.post("/{conflict_id}/resolve", operation_id="resolve_conflict")
def resolve_conflict(
    conflict_id: UUID, body: Decision, caller: Annotated[Caller, allowed("conflicts:write")]
) -> ConflictOut:
    """Decide an open conflict; the other side follows. It opens again only if someone edits the field anew."""
    with caller.transaction() as conn:
        conflicts.resolve(conn, conflict_id, side=body.take, value=body.value, by=caller.actor.label)
        caller.audit(conn, "conflict.resolve", "conflict", conflict_id, {"take": body.take or "value"})
        found = conflicts.get(conn, conflict_id)
    if found is None:
        raise _missing()
    return _shown(found)


def _shown(found: StoredConflict) -> ConflictOut:
    return ConflictOut(**{name: getattr(found, name) for name in ConflictOut.model_fields})


def _missing() -> ApiError:
    return ApiError(404, "no_such_conflict", "There is no conflict with this id.", remedy="List the conflicts.")
