"""What is kept in step: objects of connections, by which rules, how they stand, and telling the workers to look now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body, Name
from api.paging import Cursor, Limit, Page, decode, decode_id, page_of
from bootstrap.syncing import syncing
from bootstrap.syncing_rules import StreamSettings
from domain.entities import ENTITIES
from mappings.spec import parse_spec
from storage import connections, scheduling, stream_health, stream_runs, streams
from storage.database import Connection
from storage.stream_health import StreamHealth
from storage.stream_runs import StreamRun
from storage.streams import Stream

everywhere = APIRouter(prefix="/streams", tags=["streams"])
router = APIRouter(prefix="/connections/{connection_id}", tags=["streams"])

Reader = Annotated[Caller, allowed("streams:read")]
Writer = Annotated[Caller, allowed("streams:write")]
Runner = Annotated[Caller, allowed("streams:run")]

PolicyName = Literal["hub_wins", "vendor_wins", "newest", "prefer_nonblank", "ask"]
Deletes = Literal["propagate", "archive", "ignore"]


class RulesIn(Body):
    """By which rules. ``direction``: in is only read, out only written. ``policy``: who wins a field that both sides changed;
    ``policies``: field by field. ``deletes_in``, ``deletes_out``: what a delete at the vendor, or here, does on the other side.
    ``key_field``: the vendor's unique field that may hold the hub's ids. ``skew_s``: how far the vendor's clock may differ.
    ``lead_stages``: of contacts that are leads in some stages, these stages; ``converted_stage``: the one to which such a contact
    is moved when its lead was converted elsewhere, "" for none. Without them: as the connector has it."""

    direction: Literal["both", "in", "out"] = "both"
    policy: PolicyName = "hub_wins"
    policies: dict[str, PolicyName] = Field(default={}, max_length=500)
    deletes_in: Deletes = "propagate"
    deletes_out: Deletes = "propagate"
    edit_beats_delete: bool = True
    creates_in: bool = True
    creates_out: bool = True
    key_field: Name | None = None
    skew_s: int = Field(default=300, ge=0, le=86_400)
    lead_stages: list[Name] = Field(default=[], max_length=50)
    converted_stage: str | None = Field(default=None, max_length=200)


class NewStreams(RulesIn):
    """Objects to keep in step; without: those that leave no choice. ``make_key_field``: let the connector make that field."""

    objects: list[Name] | None = Field(default=None, min_length=1, max_length=200, examples=[["contacts", "companies"]])
    make_key_field: bool = False


class Offer(BaseModel):
    """An object that can be kept in step. ``usual``: nobody has to choose; ``added``: it is kept in step already."""

    object: str
    entity: str
    usual: bool
    added: bool


class StreamOut(BaseModel):
    """A stream. ``status``: idle (it runs when something is due), paused, reauth (the connection has to sign in), stopped, braked
    (more deletes than the brake lets through), with its ``reason``.

    ``verified_at``: every change at the vendor up to then has been seen; ``lag_s``: how long ago that is. ``polled_at``: when the
    last whole poll began; ``counts``: what became of records in all passes. ``to_send``, ``to_read``, ``conflicts``,
    ``dead_letters``: what waits, counted to 10,000. ``failures``: passes in a row that failed; it is tried again at ``not_before``.
    """

    connection_id: UUID
    object: str
    entity: str
    direction: str
    rules: dict[str, Any]
    status: str
    reason: dict[str, Any] | None
    running: bool
    comparing: bool
    verified_at: datetime | None
    lag_s: float | None
    polled_at: datetime | None
    compare_at: datetime | None
    asked_at: datetime | None
    not_before: datetime | None
    failures: int
    counts: dict[str, int]
    to_send: int
    to_read: int
    conflicts: int
    dead_letters: int
    created_at: datetime


class RunOut(BaseModel):
    """A pass over a stream. ``kind``: poll, notice (records that notices named), comparison (a full one, or a part of it) or push.

    ``counts``: what became of records in it (created, updated, matched, deleted, unchanged, superseded, conflict, rejected …);
    sent: ``pushed_…``, ``push_dead``. ``calls``: made to the vendor. ``complete``: nothing was left to do; else it made room for
    others, or ``stopped`` says why it ended, by the error ``code``. ``status``: running, ended, or lost: its process was killed or
    cut off, and what it did is told by the records alone; its end is when its lease ran out.
    """

    id: UUID
    kind: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    counts: dict[str, int]
    calls: int
    complete: bool
    stopped: str | None
    code: str | None


# ---------------------------------------------------------------- looking


@everywhere.get("", operation_id="list_all_streams")
def list_all_streams(caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[StreamOut]:
    """Every stream of every connection."""
    return _listed(caller, limit, cursor, None)


@router.get("/streams", operation_id="list_streams")
def list_streams(connection_id: UUID, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[StreamOut]:
    """The streams of a connection."""
    return _listed(caller, limit, cursor, connection_id)


@router.get("/offers", operation_id="list_offers")
def list_offers(connection_id: UUID, caller: Reader) -> list[Offer]:
    """What could be kept in step: objects with a mapping that comes with the product. The vendor is asked."""
    with syncing(caller.hub) as syncs:
        offered, usual = syncs.offered(connection_id), set(syncs.usual(connection_id))
        added = {s.object for s in syncs.list(connection_id)}
    return [Offer(object=n, entity=e, usual=n in usual, added=n in added) for n, e in offered]


@router.get("/streams/{object_name}", operation_id="get_stream")
def get_stream(connection_id: UUID, object_name: str, caller: Reader) -> StreamOut:
    """One stream, and how it stands."""
    with caller.transaction() as conn:
        return _shown(stream_health.get(conn, connection_id, object_name))


@router.get("/streams/{object_name}/runs", operation_id="list_stream_runs")
def list_stream_runs(
    connection_id: UUID, object_name: str, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[RunOut]:
    """Single passes over a stream, the newest first, as long as they are kept; one under way and those that were lost, too."""
    with caller.transaction() as conn:
        streams.get(conn, connection_id, object_name)
        found = stream_runs.page(conn, connection_id, object_name, before=decode_id(cursor), limit=limit + 1)
    return page_of(found, limit, _shown_run, lambda run: run.id)


# ---------------------------------------------------------------- choosing


@router.post("/streams", operation_id="add_streams", status_code=201)
def add_streams(connection_id: UUID, body: NewStreams, caller: Writer) -> list[StreamOut]:
    """Keep objects in step from now on. What they hold already is exchanged first."""
    with syncing(caller.hub) as syncs:
        objects = list(dict.fromkeys(body.objects or syncs.usual(connection_id)))
        known = sorted({s.object for s in syncs.list(connection_id)} & set(objects))
        if body.objects and known:
            raise ApiError(
                409,
                "already_exists",
                f"{', '.join(known)} is kept in step already.",
                remedy="Change its rules instead.",
            )
        entities = dict(syncs.offered(connection_id))
        _check_fields(body, {entities[n] for n in objects if n in entities})
        settings = StreamSettings.from_json(body.model_dump(exclude={"objects", "make_key_field"}))
        made = syncs.add(
            connection_id, [n for n in objects if n not in known], settings, make_key_field=body.make_key_field,
            noting=_noting(caller, "stream.add", sorted(body.model_fields_set - {"objects"})),
        )  # fmt: skip
    with caller.transaction() as conn:
        return [_shown(stream_health.get(conn, connection_id, s.object)) for s in made]


@router.patch("/streams/{object_name}", operation_id="change_stream")
def change_stream(connection_id: UUID, object_name: str, body: RulesIn, caller: Writer) -> StreamOut:
    """Change the rules that are given; the others stay. Where the stream stands is kept."""
    given = body.model_dump(exclude_unset=True)
    with syncing(caller.hub) as syncs:
        with caller.looking() as conn:
            known = streams.get(conn, connection_id, object_name)
        _check_fields(body, {known.entity})
        settings = StreamSettings.from_json({**known.settings, **given})
        spec = parse_spec(str(known.settings["spec"]), f"{object_name}.toml")
        syncs.add(
            connection_id, [object_name], settings, {object_name: spec},
            noting=_noting(caller, "stream.change", sorted(given)),
        )  # fmt: skip
    with caller.transaction() as conn:
        return _shown(stream_health.get(conn, connection_id, object_name))


@router.delete("/streams/{object_name}", operation_id="remove_stream", status_code=204)
def remove_stream(connection_id: UUID, object_name: str, caller: Writer) -> None:
    """Stop keeping an object in step. Records and links stay as they are."""
    with caller.transaction() as conn:
        stream_health.get(conn, connection_id, object_name, lock=True)
        streams.remove(conn, connection_id, object_name)
        _audit(caller, conn, "stream.remove", connection_id, object_name)


# ---------------------------------------------------------------- running


@router.post("/streams/{object_name}/pause", operation_id="pause_stream")
def pause_stream(connection_id: UUID, object_name: str, caller: Writer) -> StreamOut:
    """Stop exchanging; changes collect meanwhile."""
    with caller.transaction() as conn:
        stream_health.get(conn, connection_id, object_name, lock=True)
        streams.set_status(conn, connection_id, [object_name], "paused")
        return _told(caller, conn, "stream.pause", connection_id, object_name)


@router.post("/streams/{object_name}/resume", operation_id="resume_stream")
def resume_stream(connection_id: UUID, object_name: str, caller: Writer) -> StreamOut:
    """Go on after a pause, or after what stopped it was mended. A braked one needs a decision about its deletes instead."""
    with caller.transaction() as conn:
        found = stream_health.get(conn, connection_id, object_name, lock=True)
        if found.status == "braked":
            raise ApiError(
                409, "braked", "The stream was stopped because too many records were deleted.",
                remedy="Look at what was deleted; then let the deletes through, or bring the records back.",
            )  # fmt: skip
        _require_running(conn, connection_id)
        streams.set_status(conn, connection_id, [object_name], "idle")
        return _told(caller, conn, "stream.resume", connection_id, object_name)


@router.post("/streams/{object_name}/allow-deletes", operation_id="allow_deletes")
def allow_deletes(connection_id: UUID, object_name: str, caller: Writer) -> StreamOut:
    """Say that the deletes which stopped a braked stream are meant: it compares everything once more and takes them over."""
    with caller.transaction() as conn:
        found = stream_health.get(conn, connection_id, object_name, lock=True)
        if found.status != "braked":
            raise ApiError(
                409, "not_braked", "No deletes of this stream wait for a decision.", remedy="Look at it again."
            )
        _require_running(conn, connection_id)
        streams.let_deletes_through(conn, connection_id, [object_name], datetime.now(UTC))
        streams.set_status(conn, connection_id, [object_name], "idle")
        return _told(caller, conn, "stream.allow_deletes", connection_id, object_name)


@router.post("/streams/{object_name}/run", operation_id="run_stream", status_code=202)
def run_stream(connection_id: UUID, object_name: str, caller: Runner) -> StreamOut:
    """Exchange changes as soon as a worker is free, whatever the timetable says."""
    return _asked(caller, "stream.run", connection_id, object_name, compare=False)


@router.post("/streams/{object_name}/compare", operation_id="compare_stream", status_code=202)
def compare_stream(connection_id: UUID, object_name: str, caller: Runner) -> StreamOut:
    """Compare every record with the vendor's as soon as a worker is free."""
    return _asked(caller, "stream.compare", connection_id, object_name, compare=True)


# ---------------------------------------------------------------- parts


def _listed(caller: Caller, limit: int, cursor: str | None, connection_id: UUID | None) -> Page[StreamOut]:
    with caller.transaction() as conn:
        if connection_id is not None:
            connections.get(conn, connection_id)
        found = stream_health.page(conn, after=_after(cursor), limit=limit + 1, connection_id=connection_id)
    return page_of(found, limit, _shown, lambda s: [s.connection_id, s.object])


def _after(cursor: str | None) -> tuple[UUID, str] | None:
    key = decode(cursor)
    try:
        return None if key is None else (UUID(key[0]), str(key[1]))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ApiError(422, "bad_cursor", "The cursor is not one of ours.", remedy="Begin without one.") from None


def _asked(caller: Caller, action: str, connection_id: UUID, object_name: str, *, compare: bool) -> StreamOut:
    with caller.transaction() as conn:
        found = stream_health.get(conn, connection_id, object_name, lock=True)
        if found.status != "idle":
            raise ApiError(
                409, "stream_stopped", f"The stream is {found.status}, so it does not run.",
                remedy="Mend what stopped it, and resume it.",
            )  # fmt: skip
        scheduling.ask(conn, connection_id, object_name, datetime.now(UTC), compare=compare)
        return _told(caller, conn, action, connection_id, object_name)


def _told(caller: Caller, conn: Connection, action: str, connection_id: UUID, object_name: str) -> StreamOut:
    _audit(caller, conn, action, connection_id, object_name)
    return _shown(stream_health.get(conn, connection_id, object_name))


def _audit(caller: Caller, conn: Connection, action: str, connection_id: UUID, object_name: str) -> None:
    caller.audit(conn, action, "stream", f"{connection_id}/{object_name}")


def _noting(caller: Caller, action: str, names: Sequence[str]) -> Any:
    def note(conn: Connection, made: Sequence[Stream]) -> None:
        for one in made:
            caller.audit(conn, action, "stream", f"{one.connection_id}/{one.object}", {"rules": list(names)})

    return note


def _require_running(conn: Connection, connection_id: UUID) -> None:
    status = connections.get(conn, connection_id).status
    if status in ("paused", "disconnected"):
        raise ApiError(
            409, "stream_stopped", f"The connection is {status}.", remedy="Resume the connection, or connect it again."
        )


def _check_fields(body: RulesIn, entities: set[str]) -> None:
    for entity in sorted(entities):
        odd = sorted(set(body.policies) - set(ENTITIES[entity].all_fields))
        if odd:
            raise ApiError(
                422,
                "no_such_field",
                f"A {entity} has no field {', '.join(odd)}.",
                remedy="Name fields of the hub's record.",
            )


def _shown_run(run: StreamRun) -> RunOut:
    values = {name: getattr(run, name) for name in RunOut.model_fields if name != "duration_s"}
    return RunOut(
        **values, duration_s=None if run.ended_at is None else (run.ended_at - run.started_at).total_seconds()
    )


def _shown(found: StreamHealth) -> StreamOut:
    special = ("direction", "rules", "lag_s")
    values = {name: getattr(found, name) for name in StreamOut.model_fields if name not in special}
    lag = None if found.verified_at is None else max(0.0, (datetime.now(UTC) - found.verified_at).total_seconds())
    return StreamOut(
        **values,
        direction=str(found.settings.get("direction", "both")) if found.pushes else "in",
        rules={n: v for n, v in found.settings.items() if n in RulesIn.model_fields},
        lag_s=lag,
    )
