"""People's rights: find somebody in everything that is kept, hand it over, erase it; how long things are kept; consents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, model_validator

from api.access import Caller, allowed
from api.models import Body, Id
from api.paging import Cursor, Limit, Page, decode_id, page_of
from api.routes.jobs import JobOut
from api.routes.jobs import shown as shown_job
from bootstrap import privacy
from storage import consents, erasures, persons, retention
from storage.consents import Consent
from storage.erasures import Erasure
from storage.persons import Sought

router = APIRouter(prefix="/privacy", tags=["privacy"])
Reader = Annotated[Caller, allowed("privacy:read")]
Writer = Annotated[Caller, allowed("privacy:write")]


class Who(Body):
    """Who is meant: one of the three. In a body, so that no address ends up in the log of a proxy."""

    email: str | None = Field(default=None, min_length=3, max_length=320, examples=["ada@acme.example"])
    phone: str | None = Field(default=None, min_length=3, max_length=50, description="In the form +442079460123.")
    record_id: Id | None = Field(default=None, description="Of a contact, a lead or a user.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(v is not None for v in (self.email, self.phone, self.record_id)) != 1:
            raise ValueError("give one of email, phone and record_id")
        return self

    def sought(self) -> Sought:
        return Sought(email=self.email, phone=self.phone, record_id=self.record_id)


class Erase(Who):
    """Whom to erase. Look first with `find`: everything that it lists goes, for good."""

    vendors: Literal["refuse", "delete", "keep"] = Field(
        default="refuse",
        description="What becomes of the person at vendors that hold a linked record. `refuse`: what they send of the person is "
        "refused, with a dead letter each time. `delete`: their records are deleted there too, by streams that propagate deletes. "
        "`keep`: they stay there, and are passed over without a word.",
    )


class Found(BaseModel):
    """What is kept about a person, in ids and numbers."""

    records: dict[str, list[UUID]]
    content: dict[str, int]
    files: int
    links: int


class AtVendorOut(BaseModel):
    """A record that a vendor held of the person, and what became of it, as of now.

    ``outcome``: refuse or keep, as chosen; queued, deleted, failed (a dead letter says why), not_deleted, connection_removed; or
    why none was sent: not_connected, no_stream, read_only, not_propagated.
    """

    connection_id: UUID
    name: str | None
    vendor: str | None
    object: str
    record: UUID
    outcome: str


class ErasureOut(BaseModel):
    """An erasure. ``report``: rows by table; every table searched, with the rows in it that still name the person: none; uploaded
    files that do (``uploads``), and those that could not be searched, with why (``uploads_unsearched``): where there are any,
    ``complete`` is false. Its ``sha256`` is audited. ``at_vendors``: what becomes of the person there."""

    id: UUID
    status: str
    vendors: str
    report: dict[str, Any] | None
    sha256: str | None
    at_vendors: list[AtVendorOut]
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None


class Lifted(BaseModel):
    """How many digests went."""

    count: int


class RetentionOut(BaseModel):
    """How long a kind of data is kept. ``days`` null: for ever; ``own``: the tenant chose it."""

    kind: str
    means: str
    days: int | None
    own: bool


class Keep(Body):
    """For how long to keep a kind of data."""

    days: int | None = Field(ge=1, le=36_500, description="Null: for ever.", examples=[90])


class NewConsent(Body):
    """What the owner of a mailbox or calendar agreed to."""

    connection_id: Id
    who: str = Field(min_length=1, max_length=320, examples=["ada@acme.example"])
    scopes: list[str] = Field(min_length=1, max_length=100, examples=[["mail.read"]])
    text_version: str = Field(min_length=1, max_length=100, examples=["2026-05"])


class ConsentOut(BaseModel):
    """An agreement; it stands while ``withdrawn_at`` is null."""

    id: UUID
    connection_id: UUID
    who: str
    scopes: list[str]
    text_version: str
    given_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None


@router.post("/find", operation_id="find_person")
def find_person(body: Who, caller: Reader) -> Found:
    """What is kept about somebody, in ids and numbers: what an export would hold, and an erasure take away."""
    with caller.transaction() as conn:
        found = persons.find(conn, body.sought())
        caller.audit(conn, "person.find", "person", "several", {"records": len(found.ids)})
    content = {entity: len(ids) for entity, ids in found.content.items()}
    records = {entity: list(ids) for entity, ids in found.records.items()}
    return Found(records=records, content=content, files=len(found.files), links=len(found.links))


@router.post(
    "/exports",
    operation_id="export_person",
    response_class=StreamingResponse,
    responses={200: {"description": "One JSON document", "content": {"application/json": {}}}},
)
def export_person(body: Who, caller: Reader) -> StreamingResponse:
    """Everything that is kept about somebody, as one JSON document with the content of their files. Noted in the audit log."""
    with caller.transaction() as conn:
        found = persons.find(conn, body.sought())
        caller.audit(conn, "person.export", "person", "several", {"records": len(found.ids)})
    headers = {"Content-Disposition": 'attachment; filename="person.json"'}
    return StreamingResponse(privacy.export(caller.hub, body.sought()), media_type="application/json", headers=headers)


@router.post("/erasures", operation_id="erase_person", status_code=202)
def erase_person(body: Erase, caller: Writer) -> JobOut:
    """Erase somebody from every table, as a job; what named them is kept as digests, so that no later sync brings them back."""
    with caller.transaction() as conn:
        job = privacy.request_erasure(conn, caller.hub, body.sought(), caller.actor, body.vendors)
        caller.audit(conn, "person.erase_request", "job", job.id, {"vendors": body.vendors})
    return shown_job(job)


@router.get("/erasures", operation_id="list_erasures")
def list_erasures(caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[ErasureOut]:
    """Erasures, the newest first. None says who it was."""
    with caller.transaction() as conn:
        found = erasures.list_all(conn, before=decode_id(cursor), limit=limit + 1)
        held = {e.id: erasures.at_vendors(conn, e) for e in found}
    return page_of(found, limit, lambda e: _shown(e, held[e.id]), lambda e: e.id)


@router.get("/erasures/{erasure_id}", operation_id="get_erasure")
def get_erasure(erasure_id: UUID, caller: Reader) -> ErasureOut:
    """One erasure with its report."""
    with caller.transaction() as conn:
        found = erasures.get(conn, erasure_id)
        return _shown(found, erasures.at_vendors(conn, found))


@router.post("/suppressions/lift", operation_id="lift_suppression")
def lift_suppression(body: Who, caller: Writer) -> Lifted:
    """Let somebody back in who was erased and has agreed anew."""
    with caller.transaction() as conn:
        count = privacy.lift(conn, caller.hub, body.sought())
        caller.audit(conn, "person.lift_suppression", "person", "several", {"digests": count})
    return Lifted(count=count)


@router.get("/retention", operation_id="list_retention")
def list_retention(caller: Reader) -> list[RetentionOut]:
    """How long each kind of data is kept. The audit log is kept for ever."""
    with caller.transaction() as conn:
        own = retention.chosen(conn)
        days = retention.effective(conn, privacy.defaults(caller.hub.settings))
    return [RetentionOut(kind=k, means=means, days=days[k], own=k in own) for k, means in retention.KINDS.items()]


@router.put("/retention/{kind}", operation_id="set_retention")
def set_retention(kind: str, body: Keep, caller: Writer) -> RetentionOut:
    """Keep a kind of data for so many days, from the next hour on."""
    with caller.transaction() as conn:
        retention.put(conn, kind, body.days)
        caller.audit(conn, "retention.set", "retention", kind, {"days": body.days})
    return RetentionOut(kind=kind, means=retention.KINDS[kind], days=body.days, own=True)


@router.get("/consents", operation_id="list_consents")
def list_consents(caller: Reader, connection_id: UUID | None = None) -> list[ConsentOut]:
    """What owners of mailboxes and calendars agreed to, the newest first, withdrawn agreements included."""
    with caller.transaction() as conn:
        return [_shown_consent(c) for c in consents.list_all(conn, connection_id)]


@router.post("/consents", operation_id="give_consent", status_code=201)
def give_consent(body: NewConsent, caller: Writer) -> ConsentOut:
    """Note what somebody agreed to, with the version of the text that they were shown."""
    with caller.transaction() as conn:
        made = consents.give(conn, body.connection_id, body.who, body.scopes, body.text_version)
        caller.audit(conn, "consent.give", "consent", made.id, {"scopes": body.scopes, "text": body.text_version})
    return _shown_consent(made)


@router.post("/consents/{consent_id}/withdraw", operation_id="withdraw_consent")
def withdraw_consent(consent_id: UUID, caller: Writer) -> ConsentOut:
    """Note that an agreement was withdrawn. It stays listed."""
    with caller.transaction() as conn:
        found = consents.withdraw(conn, consent_id, caller.actor.label)
        caller.audit(conn, "consent.withdraw", "consent", consent_id)
    return _shown_consent(found)


def _shown(found: Erasure, held: Sequence[Mapping[str, Any]]) -> ErasureOut:
    values = {n: getattr(found, n) for n in ErasureOut.model_fields if n not in ("sha256", "at_vendors")}
    sha256 = None if found.report_hash is None else bytes(found.report_hash).hex()
    return ErasureOut(**values, sha256=sha256, at_vendors=[AtVendorOut(**entry) for entry in held])


def _shown_consent(found: Consent) -> ConsentOut:
    return ConsentOut(**{name: getattr(found, name) for name in ConsentOut.model_fields})
