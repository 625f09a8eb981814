"""Who listens to us: subscriptions of webhooks, their secrets, their deliveries with every attempt, and replays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field

from api import paging
from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body
from api.paging import Cursor, Limit, Page
from storage import deliveries, subscriptions
from storage.deliveries import Delivery, Filter, Place
from storage.subscriptions import Subscription
from webhooks.outbound.catalogue import EVENTS
from webhooks.outbound.service import OVERLAP, Subscriptions

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

Reader = Annotated[Caller, allowed("webhooks:read")]
Writer = Annotated[Caller, allowed("webhooks:write")]

_TYPES = Field(
    min_length=1,
    max_length=200,
    description="Events to hear: names as in the reference, `contact.*` for all of a kind, `*` for everything.",
    examples=[["contact.*", "opportunity.stage_changed"]],
)
_URL = Field(max_length=2_000, description="A public https address.", examples=["https://hooks.example.com/syncline"])


class NewSubscription(Body):
    """An endpoint that wants to listen."""

    name: str = Field(min_length=1, max_length=200, examples=["Billing"])
    url: str = _URL
    types: list[str] = _TYPES
    ordered: bool = Field(default=True, description="A later event of a record waits for the earlier one.")
    bulk: Literal["summary", "each"] = Field(
        default="summary",
        description="Of a bulk load: one `bulk_loaded` event a chunk, or also `created` for each record.",
    )
    rate_per_s: int = Field(default=50, ge=1, le=1_000, description="At most so many deliveries a second.")


class SubscriptionChange(Body):
    """What to change; what is left out stays."""

    name: str | None = Field(default=None, min_length=1, max_length=200, examples=["Billing 2"])
    url: str | None = Field(default=None, max_length=2_000, examples=["https://hooks.example.com/new"])
    types: list[str] | None = Field(default=None, min_length=1, max_length=200, examples=[["*"]])
    ordered: bool | None = None
    bulk: Literal["summary", "each"] | None = None
    rate_per_s: int | None = Field(default=None, ge=1, le=1_000)


class SubscriptionOut(BaseModel):
    """An endpoint that listens. ``failures``: of the endpoint in a row; it is left alone until ``paused_until``."""

    id: UUID
    name: str
    url: str
    types: list[str]
    ordered: bool
    bulk: str
    rate_per_s: int
    status: str
    status_reason: str | None
    failures: int
    failing_since: datetime | None
    paused_until: datetime | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class SubscriptionDetail(SubscriptionOut):
    """An endpoint with the number of its deliveries by status."""

    deliveries: dict[str, int]


class MadeSubscription(SubscriptionOut):
    """An endpoint with its secret, which is shown this once."""

    secret: str


class Rotation(Body):
    """How to replace a secret."""

    overlap_s: int = Field(
        default=int(OVERLAP.total_seconds()),
        ge=0,
        le=30 * 86_400,
        description="For how long what is sent is signed with the old secret, too.",
        examples=[86_400],
    )


class NewSecret(BaseModel):
    """A new secret, which is shown this once."""

    secret: str


class Queued(BaseModel):
    """An event that is on its way."""

    event_id: UUID


class Replay(Body):
    """What to send again: whatever agrees with everything that is given. Event ids stay the same."""

    event_id: UUID | None = Field(default=None, strict=False)
    status: Literal["delivered", "failed", "expired"] | None = Field(default=None, examples=["failed"])
    type: str | None = Field(default=None, max_length=200, examples=["contact.created"])
    since: AwareDatetime | None = Field(default=None, strict=False, examples=["2026-01-01T00:00:00Z"])
    until: AwareDatetime | None = Field(default=None, strict=False)


class Replayed(BaseModel):
    """How many deliveries are due again."""

    deliveries: int


class DeliveryOut(BaseModel):
    """How the telling of one event stands. ``status``: pending, delivered, failed (no more tries), expired."""

    event_id: UUID
    type: str
    subject: UUID | None
    status: str
    attempts: int
    due_at: datetime
    created_at: datetime
    finished_at: datetime | None
    last_status: int | None
    last_error: str | None


class AttemptOut(BaseModel):
    """One try. ``error`` says in a word why there was no answer; ``excerpt`` is how an answer began, redacted."""

    at: datetime
    ms: int
    http_status: int | None
    error: str | None
    excerpt: str | None


class DeliveryDetail(DeliveryOut):
    """A delivery with every try."""

    tries: list[AttemptOut]


class EventTypeOut(BaseModel):
    """One kind of event. ``json_schema``: of the whole body that is posted."""

    name: str
    version: int
    means: str
    json_schema: dict[str, Any]


@router.get("/events", operation_id="list_event_types")
def list_event_types(_caller: Reader) -> list[EventTypeOut]:
    """Every event that can be heard, with its JSON Schema."""
    return [
        EventTypeOut(name=e.name, version=e.version, means=e.means, json_schema=e.schema()) for e in EVENTS.values()
    ]


@router.get("/subscriptions", operation_id="list_webhook_subscriptions")
def list_subscriptions(caller: Reader) -> list[SubscriptionOut]:
    """Every endpoint that listens, the newest last. Secrets are not shown."""
    with caller.transaction() as conn:
        return [SubscriptionOut(**_fields(s)) for s in subscriptions.list_all(conn)]


@router.post("/subscriptions", operation_id="create_webhook_subscription", status_code=201)
def create_subscription(body: NewSubscription, caller: Writer) -> MadeSubscription:
    """Add an endpoint. It hears of everything from now on; its secret is in this answer and nowhere else."""
    with _service(caller) as service:
        made, secret = service.create(body.model_dump())
    return MadeSubscription(**_fields(made), secret=secret)


@router.get("/subscriptions/{subscription_id}", operation_id="get_webhook_subscription")
def get_subscription(subscription_id: UUID, caller: Reader) -> SubscriptionDetail:
    """One endpoint, and how many deliveries it has in which state."""
    with caller.transaction() as conn:
        found = subscriptions.get(conn, subscription_id)
        return SubscriptionDetail(**_fields(found), deliveries=deliveries.counts(conn, subscription_id))


@router.patch("/subscriptions/{subscription_id}", operation_id="change_webhook_subscription")
def change_subscription(subscription_id: UUID, body: SubscriptionChange, caller: Writer) -> SubscriptionOut:
    """Change an endpoint. What is queued already goes to the new address."""
    with _service(caller) as service:
        changed = service.change(subscription_id, body.model_dump(exclude_none=True))
    return SubscriptionOut(**_fields(changed))


@router.delete("/subscriptions/{subscription_id}", operation_id="remove_webhook_subscription", status_code=204)
def remove_subscription(subscription_id: UUID, caller: Writer) -> None:
    """Forget an endpoint, its secrets, and everything that was or was to be delivered to it."""
    with _service(caller) as service:
        service.remove(subscription_id)


@router.post("/subscriptions/{subscription_id}/rotate", operation_id="rotate_subscription_secret")
def rotate_secret(subscription_id: UUID, body: Rotation, caller: Writer) -> NewSecret:
    """Give an endpoint a new secret. For a while both sign, so that the receiver may change in peace."""
    with _service(caller) as service:
        return NewSecret(secret=service.rotate(subscription_id, timedelta(seconds=body.overlap_s), now=_now()))


@router.post("/subscriptions/{subscription_id}/enable", operation_id="enable_webhook_subscription")
def enable_subscription(subscription_id: UUID, caller: Writer) -> SubscriptionOut:
    """Send again: everything that waited goes out in order."""
    with _service(caller) as service:
        return SubscriptionOut(**_fields(service.enable(subscription_id, _now())))


@router.post("/subscriptions/{subscription_id}/disable", operation_id="disable_webhook_subscription")
def disable_subscription(subscription_id: UUID, caller: Writer) -> SubscriptionOut:
    """Send nothing any more. What happens meanwhile is kept until the endpoint is enabled, within retention."""
    with _service(caller) as service:
        return SubscriptionOut(**_fields(service.disable(subscription_id)))


@router.post("/subscriptions/{subscription_id}/test", operation_id="test_webhook_subscription", status_code=202)
def send_test(subscription_id: UUID, caller: Writer) -> Queued:
    """Queue a `webhook.test` event for this endpoint alone. Its delivery tells how it went."""
    with _service(caller) as service:
        return Queued(event_id=service.test(subscription_id, _now()))


@router.post("/subscriptions/{subscription_id}/replay", operation_id="replay_webhook_deliveries", status_code=202)
def replay(subscription_id: UUID, body: Replay, caller: Writer) -> Replayed:
    """Send deliveries again: one event, those of a status or type, or those of a window of time."""
    with _service(caller) as service:
        return Replayed(deliveries=service.replay(subscription_id, Filter(**body.model_dump()), _now()))


@router.get("/subscriptions/{subscription_id}/deliveries", operation_id="list_webhook_deliveries")
def list_deliveries(
    subscription_id: UUID,
    caller: Reader,
    status: Literal["pending", "delivered", "failed", "expired"] | None = None,
    type: str | None = None,  # noqa: A002  # the name that callers know
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeliveryOut]:
    """Deliveries to an endpoint, the newest first."""
    wanted = Filter(status=status, type=type, since=since, until=until)
    with caller.transaction() as conn:
        subscriptions.get(conn, subscription_id)
        before = _before(cursor)
        found = deliveries.list_deliveries(conn, subscription_id, wanted, before=before, limit=limit + 1)
    return paging.page_of(found, limit, _delivery, lambda d: [d.created_at, d.seq])


@router.get("/subscriptions/{subscription_id}/deliveries/{event_id}", operation_id="get_webhook_delivery")
def get_delivery(subscription_id: UUID, event_id: UUID, caller: Reader) -> DeliveryDetail:
    """One delivery, with every try."""
    with caller.transaction() as conn:
        found = deliveries.get(conn, subscription_id, event_id)
        tries = deliveries.attempts(conn, subscription_id, event_id)
    shown = [AttemptOut(**{n: getattr(a, n) for n in AttemptOut.model_fields}) for a in tries]
    return DeliveryDetail(**_delivery(found).model_dump(), tries=shown)


@contextmanager
def _service(caller: Caller) -> Iterator[Subscriptions]:
    with caller.transaction() as conn:
        yield Subscriptions(conn, caller.hub.vault, caller.hub.webhook_allow, caller.actor, caller.request_id)


def _before(cursor: str | None) -> Place | None:
    match paging.decode(cursor):
        case None:
            return None
        case [str(at), int(seq)] if 0 <= seq < 1 << 62:
            with suppress(ValueError):
                return datetime.fromisoformat(at), seq
    raise ApiError(422, "bad_cursor", "The cursor is not one of ours.", remedy="Begin without one.")


def _now() -> datetime:
    return datetime.now(UTC)


def _fields(s: Subscription) -> dict[str, Any]:
    return {name: getattr(s, name) for name in SubscriptionOut.model_fields} | {"types": list(s.types)}


def _delivery(d: Delivery) -> DeliveryOut:
    return DeliveryOut(**{name: getattr(d, name) for name in DeliveryOut.model_fields})
