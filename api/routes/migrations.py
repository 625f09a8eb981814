"""Migrations: files are uploaded, a source is audited and planned, the plan edited and approved, then run, certified, undone.

Whatever takes long is a job (`/v1/jobs`), which tells its progress and goes on after a crash.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.bodies import BYTES_MAX
from api.errors import ApiError
from api.models import Body, Id
from api.paging import Cursor, Limit, Page, decode_id, page_of
from api.reading import pieces
from api.routes.jobs import JobOut
from api.routes.jobs import shown as shown_job
from bootstrap import uploads
from migration.certificate import Certificate
from migration.certificate_html import render
from migration.plan_model import Plan
from migration.values import without_values_certificate
from storage import connections, jobs, plans
from storage.plans import StoredPlan

router = APIRouter(prefix="/migrations", tags=["migrations"])

Reader = Annotated[Caller, allowed("migrations:read")]
Writer = Annotated[Caller, allowed("migrations:write")]


class NewUpload(Body):
    """A source that consists of files."""

    name: str = Field(min_length=1, max_length=200, examples=["Old CRM"])


class UploadedFile(BaseModel):
    """A file that was sent. ``size``: in bytes."""

    name: str
    size: int


class UploadOut(BaseModel):
    """A source of uploaded files: a connection like any other."""

    connection_id: UUID
    name: str
    files: list[UploadedFile]


class Look(Body):
    """What to look at. ``objects`` none: everything."""

    connection_id: Id
    objects: list[str] | None = Field(default=None, max_length=1000, examples=[["Contact", "Account"]])


class PlanOut(BaseModel):
    """A plan without its text. It is approved while ``approved`` equals ``checksum``: an edit takes the approval back."""

    id: UUID
    connection_id: UUID
    checksum: str
    approved: str | None
    is_approved: bool
    approved_by: str | None
    approved_at: datetime | None
    created_at: datetime
    updated_at: datetime


class PlanText(PlanOut):
    """A plan with its text: commented TOML, made to be edited."""

    text: str


class EditedPlan(Body):
    """Another text of a plan."""

    text: str = Field(min_length=1, max_length=5_000_000, examples=['version = 1\nvendor = "files"\n'])


class Approval(Body):
    """Approval of a plan as it was read."""

    checksum: str = Field(
        min_length=64, max_length=64, examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )


class Part(Body):
    """By which plan, and how much of the source: at most ``limit`` records an object, or ``percent`` of connected records."""

    plan_id: Id
    limit: int | None = Field(default=None, ge=1)
    percent: float | None = Field(default=None, gt=0, le=100)


class NewRun(Part):
    """A run. ``certificate``: prove at its end that everything of the source is accounted for."""

    certificate: bool = True


class Resumption(Body):
    """How to go on."""

    certificate: bool = True


class UndoRequest(Body):
    """What to take back: everything, or some objects or stages; ``force``: also records that somebody edited since.

    ``also_at_vendors``: what streams made of its records at other vendors is deleted there, too; else the job's result lists it.
    """

    objects: list[str] | None = Field(default=None, max_length=1000)
    force: bool = False
    also_at_vendors: bool = False


class FollowRequest(Body):
    """Who wins a field that was changed on both sides meanwhile."""

    policy: Literal["hub_wins", "vendor_wins", "newest", "prefer_nonblank", "ask"] = "vendor_wins"


class RunOut(BaseModel):
    """A run as it stands. ``objects``: the ledger of each, source = created + merged + updated + unchanged + rejected."""

    run_id: UUID
    connection: str
    kind: str
    status: str
    phase: str | None
    started_at: datetime
    finished_at: datetime | None
    error: dict[str, Any] | None
    objects: dict[str, Any]


# ---------------------------------------------------------------- sources


@router.post("/uploads", operation_id="create_upload", status_code=201)
def create_upload(body: NewUpload, caller: Writer) -> UploadOut:
    """Make a source to send files to: CSV, Excel, JSON, or archives of them; exports of Salesforce and HubSpot are recognised."""
    made = uploads.create(caller.hub, body.name)
    with caller.transaction() as conn:
        caller.audit(conn, "upload.create", "connection", made.id, {"name": made.name})
    return UploadOut(connection_id=made.id, name=made.name, files=[])


@router.get("/uploads/{connection_id}", operation_id="get_upload")
def get_upload(connection_id: UUID, caller: Reader) -> UploadOut:
    """What was sent so far."""
    with caller.transaction() as conn:
        name = connections.get(conn, connection_id).name
    sent = [UploadedFile(name=n, size=s) for n, s in uploads.files(caller.hub, connection_id)]
    return UploadOut(connection_id=connection_id, name=name, files=sent)


@router.put(
    "/uploads/{connection_id}/files/{name}",
    operation_id="upload_file",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def upload_file(connection_id: UUID, name: str, request: Request, caller: Writer) -> UploadedFile:
    """Send one file as the raw body. Sent again under the same name, it replaces the one before; one that broke off is not kept."""
    most = caller.hub.settings.upload_max_mb * 1_000_000
    size = 0
    with uploads.receiving(caller.hub, connection_id, name) as file:
        for piece in pieces(request):
            size += len(piece)
            if size > most:
                raise ApiError(
                    413, "too_large", f"The file is larger than {most:,} bytes.", remedy="Split it, or compress it."
                )
            file.write(piece)
    with caller.transaction() as conn:
        caller.audit(conn, "upload.file", "connection", connection_id, {"name": name, "size": size})
    return UploadedFile(name=name, size=size)


@router.post("/audits", operation_id="audit_source", status_code=202)
def audit_source(body: Look, caller: Writer) -> JobOut:
    """Look at everything in a source: objects, counts, fill rates, duplicates, orphans, time to migrate. Writes nothing."""
    return _started(caller, "migration.audit", body, connection_id=body.connection_id)


# ---------------------------------------------------------------- plans


@router.post("/plans", operation_id="propose_plan", status_code=202)
def propose_plan(body: Look, caller: Writer) -> JobOut:
    """Propose how everything maps. The job's result names the plan."""
    return _started(caller, "migration.plan", body, connection_id=body.connection_id)


@router.get("/plans", operation_id="list_plans")
def list_plans(
    caller: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    connection_id: Annotated[UUID | None, Query(description="Only of this source.")] = None,
) -> Page[PlanOut]:
    """Plans, the newest first."""
    with caller.transaction() as conn:
        found = plans.list_plans(conn, connection_id=connection_id, before=decode_id(cursor), limit=limit + 1)
    return page_of(found, limit, _plan, lambda p: p.id)


@router.get("/plans/{plan_id}", operation_id="get_plan")
def get_plan(plan_id: UUID, caller: Reader) -> PlanText:
    """One plan with its text."""
    with caller.transaction() as conn:
        return _plan_text(plans.get(conn, plan_id))


@router.put("/plans/{plan_id}", operation_id="edit_plan", openapi_extra={BYTES_MAX: 8_388_608})
def edit_plan(plan_id: UUID, body: EditedPlan, caller: Writer) -> PlanText:
    """Put an edited text in a plan's place. What is wrong with it is told by line and field."""
    with caller.transaction() as conn:
        before = plans.get(conn, plan_id, lock=True)
        known, edited = Plan.from_toml(before.text, "the plan"), Plan.from_toml(body.text, "the plan")
        if (edited.vendor, edited.remote_account) != (known.vendor, known.remote_account):
            raise ApiError(422, "other_account", "The text is a plan of another source.", remedy="Plan this source.")
        stored = plans.put(conn, plan_id, before.connection_id, body.text, edited.checksum)
        caller.audit(conn, "plan.edit", "plan", plan_id, {"checksum": edited.checksum})
        return _plan_text(stored)


@router.post("/plans/{plan_id}/approve", operation_id="approve_plan")
def approve_plan(plan_id: UUID, body: Approval, caller: Writer) -> PlanOut:
    """Approve a plan as it was read. A later edit takes the approval back."""
    with caller.transaction() as conn:
        stored = plans.approve(conn, plan_id, body.checksum, caller.actor.label)
        caller.audit(conn, "plan.approve", "plan", plan_id, {"checksum": body.checksum})
    return _plan(stored)


# ---------------------------------------------------------------- runs


@router.post("/dry-runs", operation_id="dry_run", status_code=202)
def dry_run(body: Part, caller: Writer) -> JobOut:
    """Plan every record as a run would, and write none; the job's result shows what would become of each object."""
    return _started(caller, "migration.dry_run", body, plan_id=body.plan_id)


@router.post("/runs", operation_id="start_run", status_code=202)
def start_run(body: NewRun, caller: Writer) -> JobOut:
    """Migrate by an approved plan. The run's id is the job's; running again changes nothing."""
    return _started(caller, "migration.run", body, plan_id=body.plan_id)


@router.get("/runs", operation_id="list_runs")
def list_runs(caller: Reader, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> list[RunOut]:
    """Runs and dry runs, the newest first, with how far each has come."""
    return [RunOut(**found.to_json()) for found in caller.hub.migrations.status(limit=limit)]


@router.get("/runs/{run_id}", operation_id="get_run")
def get_run(run_id: UUID, caller: Reader) -> RunOut:
    """One run."""
    return RunOut(**caller.hub.migrations.status(run_id)[0].to_json())


@router.get(
    "/runs/{run_id}/certificate",
    operation_id="get_certificate",
    response_model=dict[str, Any],
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
def get_certificate(
    run_id: UUID, caller: Reader, form: Annotated[Literal["json", "html"], Query(alias="format")] = "json"
) -> Any:
    """The reconciliation certificate: is everything of the source accounted for, record by record, field by field?

    Values that differ need `payloads:read`, and that look is written to the audit log; without it one sees where they are.
    """
    found = caller.hub.migrations.report(run_id).to_json()
    bare = without_values_certificate(found)
    if bare != found and caller.may("payloads:read"):
        with caller.transaction() as conn:
            caller.audit(conn, "payload.read", "run", run_id)
        bare = found
    return HTMLResponse(render(Certificate.from_json(bare))) if form == "html" else bare


@router.post("/runs/{run_id}/resume", operation_id="resume_run", status_code=202)
def resume_run(run_id: UUID, body: Resumption, caller: Writer) -> JobOut:
    """Go on with a run, or an undo, that was interrupted. It ends as if it had never stopped."""
    return _started(caller, "migration.resume", body, run_id=run_id)


@router.post("/runs/{run_id}/undo", operation_id="undo_run", status_code=202)
def undo_run(run_id: UUID, body: UndoRequest, caller: Writer) -> JobOut:
    """Take a run back: remove what it created, restore what it changed. Records edited since are kept, and listed."""
    return _started(caller, "migration.undo", body, run_id=run_id)


@router.post("/runs/{run_id}/follow", operation_id="follow_run", status_code=202)
def follow_run(run_id: UUID, body: FollowRequest, caller: Writer) -> JobOut:
    """Keep the source's changes coming after a run, until the day of the cut-over."""
    return _started(caller, "migration.follow", body, run_id=run_id)


@router.post("/runs/{run_id}/cutover", operation_id="cut_over", status_code=202)
def cut_over(run_id: UUID, caller: Writer) -> JobOut:
    """Stop following after a last pass, and compare everything with the source; the job's result is the certificate."""
    return _started(caller, "migration.cutover", None, run_id=run_id)


# ---------------------------------------------------------------- parts


def _started(caller: Caller, kind: str, body: Body | None, **subject: UUID) -> JobOut:
    """Queue a job about something of the tenant's. Raises ConfigurationError (404) where that does not exist."""
    params = {} if body is None else body.model_dump(mode="json", exclude_none=True)
    if "run_id" in subject:
        caller.hub.migrations.status(subject["run_id"])
    with caller.transaction() as conn:
        if "connection_id" in subject:
            connections.get(conn, subject["connection_id"])
        if "plan_id" in subject:
            plans.get(conn, subject["plan_id"])
        params |= {name: str(value) for name, value in subject.items()}
        job = jobs.add(conn, kind, params, caller.actor)
        caller.audit(conn, kind, "job", job.id, {name: str(value) for name, value in subject.items()})
    return shown_job(job)


def _plan(stored: StoredPlan) -> PlanOut:
    return PlanOut(**{name: getattr(stored, name) for name in PlanOut.model_fields})


def _plan_text(stored: StoredPlan) -> PlanText:
    return PlanText(**{name: getattr(stored, name) for name in PlanText.model_fields})
