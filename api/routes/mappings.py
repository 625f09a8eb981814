"""Mappings: those that come with the product, and each stream's own, checked, tried on real records, changed, applied again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body, Verbatim
from api.paging import Cursor, Limit, Page, decode, page_of
from api.routes.jobs import JobOut
from api.routes.jobs import shown as shown_job
from bootstrap import remapping
from bootstrap.syncing import syncing
from domain.errors import MappingSpecError
from mappings.spec import MappingSpec, load_shipped, shipped, spec_to_toml
from storage import connections, jobs, mapping_versions, streams
from storage.database import Connection
from storage.mapping_versions import MappingVersion
from storage.streams import Stream

catalogue = APIRouter(prefix="/mappings", tags=["mappings"])
router = APIRouter(prefix="/connections/{connection_id}/streams/{object_name}/mapping", tags=["mappings"])

Reader = Annotated[Caller, allowed("mappings:read")]
Writer = Annotated[Caller, allowed("mappings:write")]


class ShippedOut(BaseModel):
    """A mapping that comes with the product."""

    vendor: str
    object: str
    entity: str


class ShippedText(ShippedOut):
    """A mapping that comes with the product, as TOML."""

    text: str


class MappingIn(Body):
    """A mapping as TOML: a whole one, or (``override``) only what differs from the one that comes with the product."""

    text: Verbatim = Field(examples=['[fields]\ndepartment = "department"\n'])
    override: bool = False


class NewMapping(MappingIn):
    """Another mapping of a stream, and why."""

    reason: str = Field(default="", max_length=500)


class Trial(Body):
    """What to try: a mapping, or without ``text`` the one in force, on so many records."""

    text: Verbatim | None = None
    override: bool = False
    limit: int = Field(default=10, ge=1, le=50)


class Restoration(Body):
    """Which version to put in force again."""

    version: int = Field(ge=1, examples=[1])


class Flaw(BaseModel):
    """What is wrong with a mapping: in which ``line`` of the text, at which ``field``."""

    line: int | None
    field: str | None
    message: str
    remedy: str


class Verdict(BaseModel):
    """Whether a mapping can be used. ``missing``: fields that it reads and the vendor does not have; they stay blank."""

    ok: bool
    flaws: list[Flaw] = []
    missing: list[str] = []


class WarningOut(BaseModel):
    """Something wrong with one value; ``rejects``: the record would be set aside."""

    code: str
    message: str
    field: str | None
    source_field: str | None
    rejects: bool


class MappedOut(BaseModel):
    """One record: as the vendor has it (``source``), and as the mapping reads it. References are ids of the vendor's."""

    vendor_id: str
    source: dict[str, Any]
    fields: dict[str, Any]
    custom_fields: dict[str, Any]
    links: list[tuple[str, str]]
    warnings: list[WarningOut]


class VersionOut(BaseModel):
    """A version of a stream's mapping. The first one is what was in force before the first change."""

    version: int
    author: str
    reason: str
    at: datetime


class VersionText(VersionOut):
    """A version with its text."""

    text: str


class InForce(BaseModel):
    """The mapping of a stream. ``version``: null while nobody changed it."""

    text: str
    version: int | None
    is_shipped: bool


# ---------------------------------------------------------------- what comes with the product


@catalogue.get("", operation_id="list_mappings")
def list_mappings(_caller: Reader) -> list[ShippedOut]:
    """Every mapping that comes with the product."""
    return [ShippedOut(vendor=s.vendor, object=s.object, entity=s.entity) for s in shipped()]


@catalogue.get("/{vendor}/{object_name}", operation_id="get_shipped_mapping")
def get_shipped_mapping(vendor: str, object_name: str, _caller: Reader) -> ShippedText:
    """One mapping that comes with the product."""
    spec = load_shipped(vendor, object_name)
    if spec is None:
        raise ApiError(404, "no_such_mapping", "No such mapping comes with the product.", remedy="List the mappings.")
    return ShippedText(vendor=spec.vendor, object=spec.object, entity=spec.entity, text=spec_to_toml(spec))


# ---------------------------------------------------------------- a stream's own


@router.get("", operation_id="get_mapping")
def get_mapping(connection_id: UUID, object_name: str, caller: Reader) -> InForce:
    """The mapping that is in force."""
    with caller.transaction() as conn:
        return _in_force(conn, *_stream(conn, connection_id, object_name))


@router.put("", operation_id="change_mapping")
def change_mapping(connection_id: UUID, object_name: str, body: NewMapping, caller: Writer) -> InForce:
    """Put another mapping in force for what is exchanged from now on. What is here already changes when it is applied."""
    with caller.looking() as conn:
        stream, vendor = _stream(conn, connection_id, object_name)
    spec = remapping.read_spec(stream, vendor, body.text, override=body.override)
    return _changed(caller, stream, spec, body.reason or "changed", "mapping.change")


@router.post("/validate", operation_id="validate_mapping")
def validate_mapping(connection_id: UUID, object_name: str, body: MappingIn, caller: Reader) -> Verdict:
    """Check a mapping against its own rules and the vendor's fields. Changes nothing."""
    with caller.looking() as conn:
        stream, vendor = _stream(conn, connection_id, object_name)
    try:
        spec = remapping.read_spec(stream, vendor, body.text, override=body.override)
        with syncing(caller.hub) as syncs:
            lens = syncs.lens(connection_id, object_name, spec)
    except MappingSpecError as error:
        line, field = error.context.get("line"), error.context.get("field")
        return Verdict(ok=False, flaws=[Flaw(line=line, field=field, message=error.message, remedy=error.remedy)])
    return Verdict(ok=True, missing=sorted(lens.missing))


@router.post("/preview", operation_id="preview_mapping")
def preview_mapping(
    connection_id: UUID,
    object_name: str,
    body: Trial,
    caller: Reader,
    _also: Annotated[Caller, allowed("payloads:read")],
) -> list[MappedOut]:
    """Try a mapping on the first records that the vendor lists right now. Changes nothing; the look is written to the audit log."""
    with caller.looking() as conn:
        stream, vendor = _stream(conn, connection_id, object_name)
    text = body.text or str(stream.settings["spec"])
    spec = remapping.read_spec(stream, vendor, text, override=body.override and body.text is not None)
    with syncing(caller.hub) as syncs:
        found = remapping.try_on(syncs, stream, spec, body.limit)
    with caller.transaction() as conn:
        _audit(caller, conn, "payload.read", stream, {"records": len(found)})
    return [
        MappedOut(
            vendor_id=one.vendor_id, source=dict(one.source), fields=dict(one.values), links=list(one.links),
            custom_fields=dict(one.custom_fields),
            warnings=[WarningOut(**{n: getattr(p, n) for n in WarningOut.model_fields}) for p in one.problems],
        )
        for one in found
    ]  # fmt: skip


@router.get("/versions", operation_id="list_mapping_versions")
def list_mapping_versions(
    connection_id: UUID, object_name: str, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[VersionOut]:
    """Every version of the mapping, the newest first."""
    with caller.transaction() as conn:
        _stream(conn, connection_id, object_name)
        found = mapping_versions.list_all(conn, connection_id, object_name, before=_before(cursor), limit=limit + 1)
    return page_of(found, limit, lambda v: VersionOut(**_fields(v, VersionOut)), lambda v: v.version)


@router.get("/versions/{version}", operation_id="get_mapping_version")
def get_mapping_version(connection_id: UUID, object_name: str, version: int, caller: Reader) -> VersionText:
    """One version with its text."""
    with caller.transaction() as conn:
        _stream(conn, connection_id, object_name)
        return VersionText(**_fields(mapping_versions.get(conn, connection_id, object_name, version), VersionText))


@router.post("/restore", operation_id="restore_mapping")
def restore_mapping(connection_id: UUID, object_name: str, body: Restoration, caller: Writer) -> InForce:
    """Put an earlier version in force again, as a version of its own."""
    with caller.looking() as conn:
        stream, vendor = _stream(conn, connection_id, object_name)
        wanted = mapping_versions.get(conn, connection_id, object_name, body.version)
    spec = remapping.read_spec(stream, vendor, wanted.text, override=False)
    return _changed(caller, stream, spec, f"version {wanted.version} restored", "mapping.restore")


@router.post("/apply", operation_id="apply_mapping", status_code=202)
def apply_mapping(connection_id: UUID, object_name: str, caller: Writer) -> JobOut:
    """Map every record of the stream again by the mapping in force. The job marks them; the workers then read each record once
    more and merge what comes out differently, as a change of the vendor's, by the stream's rules. The rest stays untouched."""
    with caller.transaction() as conn:
        stream, _ = _stream(conn, connection_id, object_name)
        if stream.settings.get("direction") == "out":
            raise ApiError(
                409, "only_written", "This stream only writes, so there is nothing to read again.",
                remedy="Records go out by the new mapping when they change next.",
            )  # fmt: skip
        params = {"connection_id": str(connection_id), "object": object_name}
        job = jobs.add(conn, "mapping.apply", params, caller.actor)
        _audit(caller, conn, "mapping.apply_asked", stream, {"job": str(job.id)})
    return shown_job(job)


# ---------------------------------------------------------------- parts


def _stream(conn: Connection, connection_id: UUID, object_name: str) -> tuple[Stream, str]:
    """The stream and its vendor. Raises ConfigurationError (404)."""
    return streams.get(conn, connection_id, object_name), connections.get(conn, connection_id).vendor


def _in_force(conn: Connection, stream: Stream, vendor: str) -> InForce:
    text = str(stream.settings["spec"])
    newest = mapping_versions.list_all(conn, stream.connection_id, stream.object, before=None, limit=1)
    known = load_shipped(vendor, stream.object)
    return InForce(
        text=text,
        version=newest[0].version if newest else None,
        is_shipped=known is not None and spec_to_toml(known) == text,
    )


def _changed(caller: Caller, stream: Stream, spec: MappingSpec, reason: str, action: str) -> InForce:
    def note(conn: Connection, version: int) -> None:
        _audit(caller, conn, action, stream, {"version": version})

    with syncing(caller.hub) as syncs:
        remapping.change(syncs, stream, spec, caller.actor.label, reason, note)
    with caller.transaction() as conn:
        return _in_force(conn, *_stream(conn, stream.connection_id, stream.object))


def _audit(caller: Caller, conn: Connection, action: str, stream: Stream, detail: dict[str, Any]) -> None:
    caller.audit(conn, action, "stream", f"{stream.connection_id}/{stream.object}", detail)


def _before(cursor: str | None) -> int | None:
    key = decode(cursor)
    if key is not None and type(key) is not int:
        raise ApiError(422, "bad_cursor", "The cursor is not one of ours.", remedy="Begin without one.")
    return key


def _fields(found: MappingVersion, shape: type[VersionOut]) -> dict[str, Any]:
    return {name: getattr(found, name) for name in shape.model_fields}
