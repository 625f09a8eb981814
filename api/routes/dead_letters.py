"""Dead letters: what could not be applied, why, what mends it, and putting it back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field

from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body, Id, Moment
from api.paging import Cursor, Limit, Page, decode_id, page_of
from api.routes.jobs import JobOut
from api.routes.jobs import shown as shown_job
from bootstrap.error_codes import registry
from bootstrap.job_kinds import filter_of
from bootstrap.syncing import syncing
from storage import dead_letters, jobs
from storage.dead_letters import Filter, Group, Letter

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

Status = Literal["open", "resolved", "all"]


class Wanted(Body):
    """Which letters: those that agree with everything that is given. ``since``/``until``: when they last failed."""

    ids: list[Id] | None = Field(default=None, min_length=1, max_length=1000)
    run_id: Id | None = None
    connection_id: Id | None = None
    object: str | None = Field(default=None, max_length=200, examples=["contacts"])
    code: str | None = Field(default=None, max_length=100, examples=["bad_email"])
    stage: str | None = Field(default=None, max_length=50)
    fault: Literal["data", "vendor", "ours"] | None = None
    fingerprint: str | None = Field(
        default=None, max_length=100, description="A group, as the list of groups names it."
    )
    vendor_id: str | None = Field(default=None, max_length=500)
    entity_id: Id | None = None
    since: Moment | None = None
    until: Moment | None = None

    def params(self) -> dict[str, Any]:
        """The JSON form that a job keeps."""
        return self.model_dump(mode="json", exclude_none=True, include=set(Wanted.model_fields))


class Choice(Wanted):
    """Letters to do something with. Naming none is refused unless ``all`` says that every open letter is meant."""

    all: bool = False

    def chosen(self) -> dict[str, Any]:
        """`params`. Raises ApiError 422 where nothing was chosen."""
        params = self.params()
        if not params and not self.all:
            raise ApiError(
                422,
                "nothing_chosen",
                "Nothing says which letters are meant.",
                remedy="Name letters, a group, an object or a time; or give all: true.",
            )
        return params


class Discard(Choice):
    """Letters to close without applying them."""

    reason: str = Field(min_length=1, max_length=1000, examples=["Test records of the vendor"])


class Preview(Wanted):
    """Letters whose replay is to be shown."""

    limit: int = Field(default=20, ge=1, le=100)


class Edit(Body):
    """What to mend in the record that a letter holds."""

    set: dict[str, Any] = Field(default_factory=dict, max_length=1000, examples=[{"Email": "ada@acme.example"}])
    remove: list[str] = Field(default_factory=list, max_length=1000)


class LetterOut(BaseModel):
    """A dead letter. ``means`` and ``fix`` say in words what its code means and what mends it."""

    id: UUID
    connection_id: UUID | None
    run_id: UUID | None
    object: str | None
    vendor_id: str | None
    entity: str | None
    entity_id: UUID | None
    stage: str
    code: str
    message: str
    means: str
    fix: str
    field: str | None
    place: str | None
    fault: str
    fingerprint: str
    attempts: int
    first_at: datetime
    last_at: datetime
    status: str
    resolution: str | None
    resolved_at: datetime | None
    edited_at: datetime | None


class LetterPayload(BaseModel):
    """What a letter holds: the record as the source sent it (``original``, where a person mended ``payload``), and as mapped."""

    payload: Any
    mapped: Any
    original: Any


class GroupOut(BaseModel):
    """Letters with one cause; ``message`` is one of theirs, as an example."""

    fingerprint: str
    object: str | None
    stage: str
    code: str
    means: str
    fix: str
    field: str | None
    fault: str
    count: int
    first_at: datetime
    last_at: datetime
    message: str


class Change(BaseModel):
    """What a field holds now, and what it would hold."""

    now: Any
    then: Any


class PreviewOut(BaseModel):
    """What replaying one letter would do."""

    letter: UUID
    vendor_id: str | None
    outcome: str
    entity_id: UUID | None
    changes: dict[str, Change]
    problem: str


class Closed(BaseModel):
    """How many letters it was."""

    count: int


def _wanted(
    run_id: UUID | None = None,
    connection_id: UUID | None = None,
    object_name: Annotated[str | None, Query(alias="object", max_length=200)] = None,
    code: Annotated[str | None, Query(max_length=100)] = None,
    stage: Annotated[str | None, Query(max_length=50)] = None,
    fault: Literal["data", "vendor", "ours"] | None = None,
    fingerprint: Annotated[str | None, Query(max_length=100)] = None,
    vendor_id: Annotated[str | None, Query(max_length=500)] = None,
    entity_id: UUID | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    status: Status = "open",
) -> Filter:
    return Filter(
        status=None if status == "all" else status, run_id=run_id, connection_id=connection_id, object=object_name,
        code=code, stage=stage, fault=fault, fingerprint=fingerprint, vendor_id=vendor_id, entity_id=entity_id,
        since=since, until=until,
    )  # fmt: skip


Chosen = Annotated[Filter, Depends(_wanted)]


@router.get("", operation_id="list_dead_letters")
def list_letters(
    caller: Annotated[Caller, allowed("dead_letters:read")], wanted: Chosen, limit: Limit = 50, cursor: Cursor = None
) -> Page[LetterOut]:
    """Letters in the order they first came. What they hold is behind a route of its own."""
    with caller.transaction() as conn:
        found = dead_letters.list_letters(conn, wanted, after=decode_id(cursor), limit=limit + 1)
    return page_of(found, limit, _shown, lambda a: a.id)


@router.get("/groups", operation_id="list_dead_letter_groups")
def list_groups(caller: Annotated[Caller, allowed("dead_letters:read")], wanted: Chosen) -> list[GroupOut]:
    """Causes, the most frequent first: how many records each holds, whose fault it is, and what mends it."""
    with caller.transaction() as conn:
        return [_shown_group(g) for g in dead_letters.groups(conn, wanted)]


@router.get("/{letter_id}", operation_id="get_dead_letter")
def get_letter(letter_id: UUID, caller: Annotated[Caller, allowed("dead_letters:read")]) -> LetterOut:
    """One letter: what failed, why, and what mends it."""
    with caller.transaction() as conn:
        return _shown(dead_letters.get(conn, letter_id))


@router.get("/{letter_id}/payload", operation_id="get_dead_letter_payload")
def get_payload(letter_id: UUID, caller: Annotated[Caller, allowed("payloads:read")]) -> LetterPayload:
    """The record that a letter holds: customer data. The look is written to the audit log."""
    with caller.transaction() as conn:
        found = dead_letters.get(conn, letter_id)
        caller.audit(conn, "payload.read", "dead_letter", letter_id)
    return LetterPayload(payload=found.payload, mapped=found.mapped, original=found.original)


@router.patch("/{letter_id}/payload", operation_id="edit_dead_letter")
def edit_payload(letter_id: UUID, body: Edit, caller: Annotated[Caller, allowed("dead_letters:write")]) -> LetterOut:
    """Mend the record that a letter holds. What the source sent stays on record; nothing is applied before a replay."""
    with caller.transaction() as conn:
        found = dead_letters.get(conn, letter_id)
        if not isinstance(found.payload, Mapping):
            raise ApiError(
                409,
                "no_whole_record",
                "This letter holds no whole record.",
                remedy="Mend it in the source and read it again.",
            )
        kept = {name: value for name, value in found.payload.items() if name not in body.remove}
        dead_letters.edit(conn, letter_id, kept | body.set)
        caller.audit(
            conn,
            "dead_letter.edit",
            "dead_letter",
            letter_id,
            {"set": sorted(body.set), "removed": sorted(body.remove)},
        )
        return _shown(dead_letters.get(conn, letter_id))


@router.post("/preview", operation_id="preview_dead_letters")
def preview(body: Preview, caller: Annotated[Caller, allowed("payloads:read")]) -> list[PreviewOut]:
    """What replaying letters would change, field by field. Changes nothing; the look is written to the audit log."""
    with syncing(caller.hub) as syncs:
        found = syncs.replays.preview(filter_of(body.params()), body.limit)
    with caller.transaction() as conn:
        caller.audit(conn, "payload.read", "dead_letter", "preview", {"letters": [str(p.letter) for p in found]})
    return [
        PreviewOut(
            letter=p.letter,
            vendor_id=p.vendor_id,
            outcome=p.outcome,
            entity_id=p.entity_id,
            changes={name: Change(now=before, then=after) for name, (before, after) in p.changes.items()},
            problem=p.problem,
        )
        for p in found
    ]


@router.post("/replay", operation_id="replay_dead_letters", status_code=202)
def replay(body: Choice, caller: Annotated[Caller, allowed("dead_letters:write")]) -> JobOut:
    """Put records back through the ordinary path, mapped anew, as a job.

    Older than what the hub knows: superseded. Twice: no change. The job's result says how many ended how.
    """
    params = body.chosen()
    with caller.transaction() as conn:
        job = jobs.add(conn, "dead_letters.replay", params, caller.actor)
        caller.audit(conn, "dead_letter.replay", "job", job.id, params)
    return shown_job(job)


@router.post("/discard", operation_id="discard_dead_letters")
def discard(body: Discard, caller: Annotated[Caller, allowed("dead_letters:write")]) -> Closed:
    """Close letters without applying them. They stay listed as resolved, with the reason, until their retention ends."""
    params = body.chosen()
    with caller.transaction() as conn:
        count = dead_letters.discard(conn, filter_of(params), body.reason)
        caller.audit(
            conn, "dead_letter.discard", "dead_letter", "several", params | {"count": count, "reason": body.reason}
        )
    return Closed(count=count)


@router.post("/purge", operation_id="purge_dead_letters")
def purge(
    caller: Annotated[Caller, allowed("dead_letters:write")],
    before: Annotated[AwareDatetime, Query(description="Letters that were closed before this moment.")],
) -> Closed:
    """Delete letters that were closed long ago. Open ones are never deleted."""
    with caller.transaction() as conn:
        count = dead_letters.purge(conn, before)
        caller.audit(conn, "dead_letter.purge", "dead_letter", "several", {"before": before, "count": count})
    return Closed(count=count)


def _shown(letter: Letter) -> LetterOut:
    values = {name: getattr(letter, name) for name in LetterOut.model_fields if name not in ("means", "fix")}
    return LetterOut(**values, **_words(letter.code))


def _shown_group(group: Group) -> GroupOut:
    values = {name: getattr(group, name) for name in GroupOut.model_fields if name not in ("means", "fix")}
    return GroupOut(**values, **_words(group.code))


def _words(code: str) -> dict[str, Any]:
    known = registry().get(code)
    return {"means": known.means if known else "", "fix": known.fix if known else ""}
