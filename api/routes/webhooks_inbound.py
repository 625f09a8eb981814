"""Addresses that others post to, and what became of every delivery."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.bodies import BYTES_MAX
from api.errors import ApiError
from api.models import Body
from api.paging import Cursor, Limit, Page, decode, page_of
from api.reading import whole
from bootstrap.settings import BODY_BYTES_MOST
from storage import inbound_endpoints, inbox, secrets
from storage.inbound_endpoints import Endpoint
from storage.inbox import Became
from webhooks.inbound import endpoints
from webhooks.inbound.schemes import SCHEMES

router = APIRouter(prefix="/webhooks", tags=["webhooks: incoming"])

Given = Annotated[
    dict[str, str],
    Field(default_factory=dict, max_length=10, description="Secrets that the sender made, by name.", examples=[{}]),
]


class NewEndpoint(Body):
    """An address for one sender. ``settings``: those of its scheme, as the reference of schemes lists them."""

    name: str = Field(min_length=1, max_length=200, examples=["Website forms"])
    scheme: str = Field(examples=["generic"])
    settings: dict[str, Any] = Field(default_factory=dict, examples=[{"proof": {"kind": "api_key"}, "entity": "lead"}])
    secrets: Given
    connection_id: UUID | None = Field(default=None, strict=False, description="Whose notices come here.")


class ChangedEndpoint(Body):
    """What to change of an address."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    settings: dict[str, Any] | None = None
    status: Literal["active", "paused"] | None = Field(
        default=None, description="paused: what comes is stored, and processed once the address is active again."
    )


class Rotation(Body):
    """New secrets; the old ones are accepted for ``overlap_s`` more."""

    secrets: Given
    overlap_s: int = Field(default=86_400, ge=0, le=2_592_000)


class SecretOut(BaseModel):
    """One generation of secrets, without them."""

    generation: int
    created_at: datetime
    expires_at: datetime | None


class EndpointOut(BaseModel):
    """An address and how it verifies. ``url``: what the sender calls."""

    id: UUID
    name: str
    scheme: str
    url: str
    settings: dict[str, Any]
    connection_id: UUID | None
    status: str
    created_at: datetime
    updated_at: datetime


class EndpointDetail(EndpointOut):
    """An address with its secrets' generations, and its ledger: ``received`` = ``pending`` + the sum of ``outcomes``."""

    secret_generations: list[SecretOut]
    received: int
    pending: int
    outcomes: dict[str, int]


class MadeEndpoint(EndpointOut):
    """An address with the secrets that the hub made for it, which are shown this once."""

    secrets: dict[str, str]


class DeliveryOut(BaseModel):
    """A delivery without its payload. ``counts``: its events by outcome."""

    id: UUID
    endpoint_id: UUID
    dedupe_key: str
    occurred_at: datetime | None
    received_at: datetime
    status: str
    attempts: int
    next_at: datetime | None
    outcome: str | None
    reason: str | None
    counts: dict[str, int] | None
    processed_at: datetime | None


class PayloadOut(BaseModel):
    """What was sent, as it came. ``body_base64`` is for bodies that are no UTF-8 text."""

    headers: dict[str, str]
    body: str | None
    body_base64: str


class PreviewOut(BaseModel):
    """What a post would become: created, changed, unchanged, kept, ignored, noted, or dead for the reason in ``problem``."""

    outcome: str
    entity: str | None
    entity_id: UUID | None
    changes: dict[str, tuple[Any, Any]] = Field(description="Field: what stands, what would stand.")
    warnings: list[str]
    problem: str


class Replayed(BaseModel):
    """How many deliveries are processed once more."""

    replayed: int


@router.get("/endpoints", operation_id="list_webhook_endpoints")
def list_endpoints(caller: Annotated[Caller, allowed("webhooks:read")]) -> list[EndpointOut]:
    """Every address of the tenant, by name."""
    with caller.transaction() as conn:
        return [EndpointOut(**_fields(caller, one)) for one in inbound_endpoints.list_all(conn)]


@router.post("/endpoints", operation_id="create_webhook_endpoint", status_code=201)
def create_endpoint(body: NewEndpoint, caller: Annotated[Caller, allowed("webhooks:write")]) -> MadeEndpoint:
    """Make an address. The secrets that the hub makes are in this answer and nowhere else."""
    with caller.transaction() as conn:
        made, shown = endpoints.add(
            conn,
            caller.hub.vault,
            name=body.name,
            scheme_name=body.scheme,
            settings=body.settings,
            given=body.secrets,
            connection_id=body.connection_id,
            allowed=caller.hub.webhook_allow,
        )
        caller.audit(conn, "webhook_endpoint.create", "webhook_endpoint", made.id, {"scheme": made.scheme})
    return MadeEndpoint(**_fields(caller, made), secrets=shown)


@router.get("/schemes", operation_id="list_webhook_schemes")
def list_schemes(_caller: Annotated[Caller, allowed("webhooks:read")]) -> list[dict[str, Any]]:
    """The kinds of senders, with the JSON schema of each one's settings and the names of its secrets."""
    return [
        {
            "name": kind.name,
            "label": kind.label,
            "docs_url": kind.docs_url,
            "carries": str(kind.carries),
            "secrets": [secret.name for secret in kind.secrets],
            "settings": kind.model_json_schema(),
        }
        for kind in SCHEMES.values()
    ]


@router.get("/endpoints/{endpoint_id}", operation_id="get_webhook_endpoint")
def get_endpoint(endpoint_id: UUID, caller: Annotated[Caller, allowed("webhooks:read")]) -> EndpointDetail:
    """One address with the account of everything that came to it."""
    with caller.transaction() as conn:
        found = inbound_endpoints.get(conn, endpoint_id)
        known = [SecretOut(**_of(SecretOut, g)) for g in secrets.generations(conn, endpoint_id)]
        ledger = inbox.ledger(conn, endpoint_id)
    return EndpointDetail(
        **_fields(caller, found),
        secret_generations=known,
        received=ledger.received,
        pending=ledger.pending,
        outcomes=dict(ledger.by_outcome),
    )


@router.patch("/endpoints/{endpoint_id}", operation_id="change_webhook_endpoint")
def change_endpoint(
    endpoint_id: UUID, body: ChangedEndpoint, caller: Annotated[Caller, allowed("webhooks:write")]
) -> EndpointOut:
    """Rename, pause or resume an address, or replace its settings. It takes effect within five seconds."""
    with caller.transaction() as conn:
        found = inbound_endpoints.lock(conn, endpoint_id)
        if body.settings is not None:
            found = endpoints.change(conn, endpoint_id, body.settings, caller.hub.webhook_allow)
        plain = body.model_dump(include={"name", "status"}, exclude_none=True)
        if plain:
            found = inbound_endpoints.update(conn, endpoint_id, **plain)
        changed = sorted(body.model_dump(exclude_none=True))
        caller.audit(conn, "webhook_endpoint.change", "webhook_endpoint", endpoint_id, {"fields": changed})
    return EndpointOut(**_fields(caller, found))


@router.post("/endpoints/{endpoint_id}/rotate", operation_id="rotate_endpoint_secret")
def rotate_secret(
    endpoint_id: UUID, body: Rotation, caller: Annotated[Caller, allowed("webhooks:write")]
) -> MadeEndpoint:
    """Replace the secrets. Those that the hub makes are in this answer and nowhere else."""
    with caller.transaction() as conn:
        found, shown = endpoints.rotate(
            conn, caller.hub.vault, endpoint_id, body.secrets, timedelta(seconds=body.overlap_s)
        )
        caller.audit(conn, "webhook_endpoint.rotate", "webhook_endpoint", endpoint_id, {"overlap_s": body.overlap_s})
    return MadeEndpoint(**_fields(caller, found), secrets=shown)


@router.delete("/endpoints/{endpoint_id}", operation_id="remove_webhook_endpoint")
def remove_endpoint(endpoint_id: UUID, caller: Annotated[Caller, allowed("webhooks:write")]) -> EndpointOut:
    """Accept nothing more at an address, for good. What was received is processed, and stays in the inbox for its time."""
    with caller.transaction() as conn:
        found = inbound_endpoints.remove(conn, endpoint_id)
        caller.audit(conn, "webhook_endpoint.remove", "webhook_endpoint", endpoint_id)
    return EndpointOut(**_fields(caller, found))


_POST: dict[str, Any] = {"schema": {"type": "string"}}
_PREVIEWED = {
    "requestBody": {
        "description": "What the sender would post, as it would post it. Nothing has to be signed.",
        "required": True,
        "content": {
            "application/json": {"schema": {"examples": [{"email": "ada@example.com", "name": "Ada Lovelace"}]}},
            "application/x-www-form-urlencoded": _POST,
            "text/xml": _POST,
        },
    },
    BYTES_MAX: BODY_BYTES_MOST,
}


@router.post("/endpoints/{endpoint_id}/preview", operation_id="preview_webhook", openapi_extra=_PREVIEWED)
def preview(
    endpoint_id: UUID, request: Request, caller: Annotated[Caller, allowed("webhooks:write")]
) -> list[PreviewOut]:
    """What the body of this request would become if it came to the address. Nothing is stored."""
    body = whole(request, caller.hub.settings.webhook_body_max_bytes)
    with caller.transaction() as conn:
        found = endpoints.preview(conn, caller.tenant_id, inbound_endpoints.get(conn, endpoint_id), body)
    return [PreviewOut(**_of(PreviewOut, one) | {"warnings": list(one.warnings)}) for one in found]


@router.get("/inbox", operation_id="list_inbox")
def list_inbox(
    caller: Annotated[Caller, allowed("webhooks:read")],
    endpoint_id: UUID | None = None,
    outcome: Annotated[Became | None, Query(description="What they became.")] = None,
    status: Annotated[Literal["pending", "done"] | None, Query(description="Whether they were processed.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeliveryOut]:
    """Deliveries, the newest first, without their payloads."""
    before = _before(cursor)
    with caller.transaction() as conn:
        rows = inbox.entries(
            conn, endpoint_id=endpoint_id, outcome=outcome, status=status, before=before, limit=limit + 1
        )
    return page_of(rows, limit, lambda row: DeliveryOut(**_of(DeliveryOut, row)), lambda row: row.id)


@router.get("/inbox/{delivery_id}", operation_id="get_delivery")
def get_delivery(delivery_id: UUID, caller: Annotated[Caller, allowed("webhooks:read")]) -> DeliveryOut:
    """One delivery without its payload."""
    with caller.transaction() as conn:
        return DeliveryOut(**_of(DeliveryOut, inbox.get(conn, delivery_id)))


@router.get("/inbox/{delivery_id}/payload", operation_id="get_delivery_payload")
def get_payload(delivery_id: UUID, caller: Annotated[Caller, allowed("payloads:read")]) -> PayloadOut:
    """What was sent, as it came. The look is written to the audit log."""
    with caller.transaction() as conn:
        headers, body = inbox.payload(conn, delivery_id)
        caller.audit(conn, "webhook_payload.read", "delivery", delivery_id)
    return PayloadOut(headers=dict(headers), body=_text(body), body_base64=base64.b64encode(body).decode())


@router.post("/inbox/{delivery_id}/replay", operation_id="replay_delivery")
def replay(delivery_id: UUID, caller: Annotated[Caller, allowed("webhooks:write")]) -> Replayed:
    """Process a delivery once more. What it already did is not done twice; what is older than what stands is superseded."""
    with caller.transaction() as conn:
        inbox.get(conn, delivery_id)
        count = inbox.replay(conn, [delivery_id])
        caller.audit(conn, "delivery.replay", "delivery", delivery_id)
    return Replayed(replayed=count)


def _before(cursor: str | None) -> UUID | None:
    given = decode(cursor)
    try:
        return None if given is None else UUID(given)
    except (ValueError, AttributeError, TypeError):
        raise ApiError(422, "bad_cursor", "The cursor is not one of ours.", remedy="Begin without one.") from None


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _of(shown: type[BaseModel], value: object) -> dict[str, Any]:
    return {name: getattr(value, name) for name in shown.model_fields}


def _fields(caller: Caller, endpoint: Endpoint) -> dict[str, Any]:
    url = endpoints.address(caller.hub.settings.public_url, caller.tenant_id, endpoint)
    return {name: getattr(endpoint, name) for name in Endpoint.__slots__} | {"url": url}
