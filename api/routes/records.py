"""Records of the canonical store: listed, searched, read, created, changed, deleted; what was changed flows out to every vendor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from api.access import Caller, allowed
from api.errors import ApiError, Problem, problem, status_of
from api.models import Body, Id
from api.paging import Cursor, Limit, Page, decode, decode_moment, page_of
from bootstrap.error_codes import registry
from domain.entities import ENTITIES, Kind
from domain.errors import SynclineError
from mappings.given import typed
from storage import browsing, explaining, suppression
from storage.browsing import Change, Record
from storage.database import Connection
from storage.sync import records
from storage.sync.values import CUSTOM

router = APIRouter(prefix="/records", tags=["records"])
catalogue = APIRouter(prefix="/entities", tags=["records"])

Reader = Annotated[Caller, allowed("records:read")]
Writer = Annotated[Caller, allowed("records:write")]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=100, description="The ETag that was read: refused with 412 when it is older."),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match", max_length=100, description="The ETag that was read: answered with 304 while it stands."
    ),
]
_CHANGED: dict[int | str, dict[str, Any]] = {
    412: {"model": Problem, "description": "Somebody changed it since it was read"}
}
_OWN = frozenset({"limit", "cursor", "updated_since", "order"})


class FieldOut(BaseModel):
    """A field of an entity. ``kind`` says what JSON it takes (``references``: a list of ids, each once, in any order); ``filter``:
    records can be listed by it.
    """

    name: str
    kind: str
    required: bool
    refers_to: str | None
    filter: bool


class EntityOut(BaseModel):
    """A kind of record."""

    name: str
    label_field: str
    fields: list[FieldOut]


class RecordOut(BaseModel):
    """A record. Blank fields are left out; decimals are strings, so that nothing is rounded on the way. A contact's
    ``account_ids`` and an opportunity's ``contact_ids`` are lists of ids, the main one (``account_id``, ``contact_id``) among them.
    """

    entity: str
    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    fields: dict[str, Any] = Field(examples=[{"last_name": "Lovelace", "email": "ada@acme.example"}])
    custom_fields: dict[str, Any]


class NewRecord(Body):
    """A record to create. With an ``id`` of the caller's choice, creating it twice is refused, not doubled."""

    id: Id | None = None
    fields: dict[str, Any] = Field(
        max_length=500, examples=[{"last_name": "Lovelace", "email": "ada@acme.example", "phone": "+44 20 7946 0018"}]
    )
    custom_fields: dict[str, Any] = Field(default_factory=dict, max_length=500)


class Changes(Body):
    """Fields to set; null blanks a field. A list of ids (``account_ids``, ``contact_ids``) is set as a whole. A contact's main
    account (``account_id``) is always one of its accounts, and stays one when another takes its place; parted from it, the contact
    gets the first of the others.
    """

    fields: dict[str, Any] = Field(default_factory=dict, max_length=500, examples=[{"title": "Countess", "fax": None}])
    custom_fields: dict[str, Any] = Field(default_factory=dict, max_length=500)


class Operation(Body):
    """One part of a bulk request."""

    op: Literal["create", "update", "delete"]
    id: Id | None = None
    fields: dict[str, Any] = Field(default_factory=dict, max_length=500)
    custom_fields: dict[str, Any] = Field(default_factory=dict, max_length=500)


class Bulk(Body):
    """Several operations. Each is done or refused by itself."""

    operations: list[Operation] = Field(
        min_length=1, max_length=500, examples=[[{"op": "create", "fields": {"last_name": "Lovelace"}}]]
    )


class Outcome(BaseModel):
    """How one operation ended: ``status`` as the same call alone would be answered; ``error`` where it was refused."""

    status: int
    id: UUID | None
    version: int | None = None
    error: dict[str, str] | None = None


class ChangeOut(BaseModel):
    """One field that changed. ``origin``: sync (a vendor), hub (a person or program), migration; ``rule``: why it won."""

    at: datetime
    field: str
    old: Any
    new: Any
    origin: str
    connection_id: UUID | None
    rule: str | None
    version: int | None


class Story(BaseModel):
    """Everything that is known about a record, or about why there is none."""

    records: list[dict[str, Any]]
    unknown: dict[str, Any] | None


@catalogue.get("", operation_id="list_entities")
def list_entities(_caller: Reader) -> list[EntityOut]:
    """Every kind of record with its fields."""
    return [
        EntityOut(
            name=entity.name,
            label_field=entity.label_field,
            fields=[
                FieldOut(name=f.name, kind=f.kind, required=f.required, refers_to=f.refers_to, filter=f.name in filters)
                for f in entity.all_fields.values()
            ]
            + [
                FieldOut(name=s.name, kind="references", required=False, refers_to=s.refers_to, filter=False)
                for s in entity.several
            ]
            + [
                FieldOut(name=s.labels, kind="labels", required=False, refers_to=s.refers_to, filter=False)
                for s in entity.several
                if s.labels
            ],
        )
        for entity in ENTITIES.values()
        for filters in [set(browsing.filterable(entity))]
    ]


@router.get("/{entity}", operation_id="list_records")
def list_records(
    entity: str,
    request: Request,
    caller: Reader,
    limit: Limit = 100,
    cursor: Cursor = None,
    updated_since: Annotated[
        AwareDatetime | None, Query(description="Only those that changed since; in that order.")
    ] = None,
    order: Annotated[Literal["id", "updated"], Query(description="By id, or by last change.")] = "id",
) -> Page[RecordOut]:
    """Records of one kind. Any indexed field filters, as `?email=ada@acme.example`; `/v1/entities` names them."""
    filters = {name: value for name, value in request.query_params.items() if name not in _OWN}
    by_change = order == "updated" or updated_since is not None
    with caller.transaction() as conn:
        found = browsing.list_records(
            conn, entity, filters=filters, updated_since=updated_since, by_change=by_change,
            after=_after(cursor, by_change), limit=limit + 1,
        )  # fmt: skip
    return page_of(found, limit, _shown, lambda r: [r.updated_at, r.id] if by_change else [None, r.id])


@router.get("/{entity}/search", operation_id="search_records")
def search_records(
    entity: str,
    caller: Reader,
    q: Annotated[str, Query(min_length=1, max_length=200, description="Beginnings of names, addresses or numbers.")],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[RecordOut]:
    """Records with a name, address or number that begins with each word, those that changed last first."""
    with caller.transaction() as conn:
        return [_shown(r) for r in browsing.search(conn, entity, q, limit)]


@router.get("/{entity}/explain", operation_id="explain_sought")
def explain_sought(
    entity: str,
    caller: Reader,
    sought: Annotated[
        str, Query(min_length=1, max_length=500, description="A hub id, a vendor's id, an e-mail address or a name.")
    ],
) -> Story:
    """What is known about the records that a word may mean; or, where there is none, why not."""
    browsing.entity_of(entity)
    with caller.transaction() as conn:
        told = [explaining.explain(conn, entity, i) for i in explaining.find(conn, entity, sought.strip())]
        unknown = None if told else explaining.why_not(conn, entity, sought.strip())
    return Story(records=[_plain(t) for t in told], unknown=None if unknown is None else _plain(unknown))


@router.post("/{entity}", operation_id="create_record", status_code=201)
def create_record(entity: str, body: NewRecord, caller: Writer, response: Response) -> RecordOut:
    """Create a record. Streams that write this kind of record send it to their vendors."""
    with caller.transaction() as conn:
        made = _create(conn, caller, entity, body.id, body.fields, body.custom_fields)
        caller.audit(conn, "record.create", entity, made.id)
    response.headers["ETag"] = _etag(made)
    response.headers["Location"] = f"/v1/records/{entity}/{made.id}"
    return _shown(made)


@router.post("/{entity}/bulk", operation_id="change_records")
def change_records(entity: str, body: Bulk, caller: Writer) -> list[Outcome]:
    """Up to 500 creates, updates and deletes in one call; each is done or refused by itself, in the order given."""
    browsing.entity_of(entity)
    with caller.transaction() as conn:
        outcomes = [_one(conn, caller, entity, operation) for operation in body.operations]
        done = [str(o.id) for o in outcomes if o.error is None]
        caller.audit(conn, "record.bulk", entity, "several", {"done": len(done), "refused": len(outcomes) - len(done)})
    return outcomes


@router.get(
    "/{entity}/{record_id}",
    operation_id="get_record",
    response_model=RecordOut,
    responses={
        301: {"description": "It was merged into another record"},
        304: {"description": "It is as it was when the ETag of If-None-Match was read"},
        410: {"model": Problem, "description": "It was deleted"},
    },
)
def get_record(
    entity: str,
    record_id: UUID,
    caller: Reader,
    request: Request,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """One record. Its ETag is its version, for If-Match and If-None-Match."""
    with caller.transaction() as conn:
        found = browsing.get(conn, entity, record_id)
        left = browsing.gone(conn, entity, record_id) if found is None else None
    if found is None:
        return _absent(request, entity, left)
    response.headers["ETag"] = _etag(found)
    if if_none_match == _etag(found):
        return Response(status_code=304, headers={"ETag": _etag(found)})
    return _shown(found)


@router.patch("/{entity}/{record_id}", operation_id="update_record", responses=_CHANGED)
def update_record(
    entity: str, record_id: UUID, body: Changes, caller: Writer, response: Response, if_match: IfMatch = None
) -> RecordOut:
    """Set fields of a record; those that are not named stay. What changed is sent to the vendors that take it."""
    with caller.transaction() as conn:
        found = _update(conn, caller, entity, record_id, body.fields, body.custom_fields, if_match)
        caller.audit(conn, "record.update", entity, record_id, {"fields": [*body.fields, *body.custom_fields]})
    response.headers["ETag"] = _etag(found)
    return _shown(found)


@router.delete("/{entity}/{record_id}", operation_id="delete_record", status_code=204, responses=_CHANGED)
def delete_record(entity: str, record_id: UUID, caller: Writer, if_match: IfMatch = None) -> None:
    """Delete a record. A tombstone keeps it, so that it can be restored; what streams do about it at vendors is their setting."""
    with caller.transaction() as conn:
        _require(conn, entity, record_id, if_match)
        records.delete(conn, caller.tenant_id, entity, record_id, caller.actor.label)
        caller.audit(conn, "record.delete", entity, record_id)


@router.post("/{entity}/{record_id}/restore", operation_id="restore_record")
def restore_record(entity: str, record_id: UUID, caller: Writer) -> RecordOut:
    """Bring a deleted record back as it was, with what referred to it."""
    browsing.entity_of(entity)
    with caller.transaction() as conn:
        records.restore(conn, caller.tenant_id, entity, record_id, caller.actor.label)
        caller.audit(conn, "record.restore", entity, record_id)
        return _shown(_require(conn, entity, record_id, None))


@router.get("/{entity}/{record_id}/history", operation_id="list_record_history")
def list_history(
    entity: str,
    record_id: UUID,
    caller: Reader,
    limit: Limit = 100,
    cursor: Cursor = None,
    field: Annotated[str | None, Query(max_length=200, description="Only of this field.")] = None,
) -> Page[ChangeOut]:
    """What changed on a record, the newest first."""
    with caller.transaction() as conn:
        if browsing.get(conn, entity, record_id) is None and browsing.gone(conn, entity, record_id) is None:
            raise _missing(entity)
        found = browsing.history(conn, record_id, field=field, before=decode_moment(cursor), limit=limit + 1)
    return page_of(found, limit, _shown_change, lambda c: [c.at, c.id])


@router.get("/{entity}/{record_id}/explain", operation_id="explain_record")
def explain_record(entity: str, record_id: UUID, caller: Reader) -> dict[str, Any]:
    """Every value of a record: who set it, when, by which rule, what it replaced; and what still waits."""
    browsing.entity_of(entity)
    with caller.transaction() as conn:
        found = explaining.find(conn, entity, str(record_id))
        if not found:
            raise _missing(entity)
        return _plain(explaining.explain(conn, entity, found[0]))


# ---------------------------------------------------------------- parts


def _create(
    conn: Connection,
    caller: Caller,
    entity: str,
    record_id: UUID | None,
    fields: Mapping[str, Any],
    custom: Mapping[str, Any],
) -> Record:
    browsing.entity_of(entity)
    given = typed(entity, _flat(fields, custom))
    suppression.refuse(conn, caller.hub.vault, entity, given)
    made = records.create(conn, caller.tenant_id, entity, given, caller.actor.label, record=record_id)
    return _require(conn, entity, made, None)


def _update(
    conn: Connection, caller: Caller, entity: str, record_id: UUID, fields: Mapping[str, Any], custom: Mapping[str, Any],
    if_match: str | None,
) -> Record:  # fmt: skip
    _require(conn, entity, record_id, if_match)
    given = typed(entity, _flat(fields, custom))
    suppression.refuse(conn, caller.hub.vault, entity, given)
    records.edit(conn, caller.tenant_id, entity, record_id, given, caller.actor.label)
    return _require(conn, entity, record_id, None)


def _one(conn: Connection, caller: Caller, entity: str, part: Operation) -> Outcome:
    try:
        with conn.begin_nested():
            if part.op == "create":
                made = _create(conn, caller, entity, part.id, part.fields, part.custom_fields)
                return Outcome(status=201, id=made.id, version=made.version)
            if part.id is None:
                raise ApiError(422, "invalid_request", "This operation needs an id.", remedy="Name the record.")
            if part.op == "update":
                found = _update(conn, caller, entity, part.id, part.fields, part.custom_fields, None)
                return Outcome(status=200, id=found.id, version=found.version)
            _require(conn, entity, part.id, None)
            records.delete(conn, caller.tenant_id, entity, part.id, caller.actor.label)
            return Outcome(status=204, id=part.id)
    except SynclineError as error:
        return Outcome(
            status=status_of(error),
            id=part.id,
            error={"code": error.code, "detail": error.message, "remedy": error.remedy},
        )


def _require(conn: Connection, entity: str, record_id: UUID, if_match: str | None) -> Record:
    """The record, which nobody else changes from now on. Raises ApiError 404, or 412 where it is not the one that was read."""
    found = browsing.get(conn, entity, record_id, lock=True)
    if found is None:
        raise _missing(entity)
    if if_match is not None and if_match.strip() not in ("*", _etag(found)):
        raise ApiError(
            412, "record_changed", "The record changed since it was read.", remedy="Read it again, and decide anew.",
            headers={"ETag": _etag(found)},
        )  # fmt: skip
    return found


def _flat(fields: Mapping[str, Any], custom: Mapping[str, Any]) -> dict[str, Any]:
    odd = [name for name in fields if name.startswith(CUSTOM)]
    if odd:
        raise ApiError(422, "invalid_request", "Custom fields go into custom_fields.", remedy="Move them there.")
    return {**fields, **{CUSTOM + name: value for name, value in custom.items()}}


def _after(cursor: str | None, by_change: bool) -> list[Any] | None:
    key = decode(cursor)
    if key is None:
        return None
    try:
        moment, record_id = key
        return [datetime.fromisoformat(moment), UUID(record_id)] if by_change else [UUID(record_id)]
    except (AttributeError, TypeError, ValueError):
        raise ApiError(
            422, "bad_cursor", "The cursor is not one of ours, or of another order.", remedy="Begin without one."
        ) from None


def _absent(request: Request, entity: str, left: tuple[str, UUID | None] | None) -> Response:
    if left is None:
        raise _missing(entity)
    what, survivor = left
    if what == "merged" and survivor is not None:
        return Response(status_code=301, headers={"Location": f"/v1/records/{entity}/{survivor}"})
    return problem(
        request, 410, "record_deleted", f"The {entity} was deleted.", remedy=registry()["record_deleted"].fix
    )


def _missing(entity: str) -> ApiError:
    return ApiError(404, "no_such_record", f"There is no {entity} with this id.", remedy="Check the id.")


def _etag(record: Record) -> str:
    return f'"{record.version}"'


def _shown(record: Record) -> RecordOut:
    fields = {name: _json(record.entity, name, value) for name, value in record.fields.items()}
    return RecordOut(
        entity=record.entity, id=record.id, version=record.version, created_at=record.created_at,
        updated_at=record.updated_at, fields=fields, custom_fields=dict(record.custom_fields),
    )  # fmt: skip


def _json(entity: str, name: str, value: Any) -> Any:
    known = ENTITIES[entity].all_fields.get(name)  # none: a list of ids
    return str(value) if known is not None and known.kind is Kind.DECIMAL else value


def _shown_change(change: Change) -> ChangeOut:
    return ChangeOut(**{name: getattr(change, name) for name in ChangeOut.model_fields})


def _plain(told: Any) -> dict[str, Any]:
    """An explanation as JSON, letters without what they hold."""
    return {name: _without_payloads(value) for name, value in asdict(told).items()}


def _without_payloads(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_payloads(v) for k, v in value.items() if k not in ("payload", "mapped", "original")}
    return [_without_payloads(v) for v in value] if isinstance(value, list | tuple) else value
