"""`syncline webhooks subscriptions`: endpoints of others that listen to our events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli.asking import confirm
from cli.exits import DIFFERENCES
from cli.noted import COMMAND_LINE
from cli.output import table
from cli.session import Session, command

if TYPE_CHECKING:
    from storage.subscriptions import Subscription
    from webhooks.outbound.service import Subscriptions

app = typer.Typer(help="Endpoints of others that listen to our events.", no_args_is_help=True)

SubscriptionArgument = Annotated[UUID, typer.Argument(metavar="SUBSCRIPTION", help="The subscription's id.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=500, metavar="N", help="At most so many.")]
StatusOption = Annotated[
    str | None, typer.Option("--status", metavar="STATUS", help="pending, delivered, failed or expired.")
]
TypeOption = Annotated[str | None, typer.Option("--type", metavar="EVENT", help="Only events of this type.")]
_UNTIL_SENT = 200


@command(app, "list")
def list_subscriptions(session: Session) -> None:
    """List endpoints that listen, and how each stands."""
    from storage import subscriptions

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = subscriptions.list_all(conn)
    rows = [(s.id, s.name, s.url, ", ".join(s.types), s.status, s.failures, s.paused_until) for s in found]
    columns = ("subscription", "name", "address", "events", "status", "failures in a row", "paused until")
    session.out.result(found, table(columns, rows) if found else "Nobody listens.")


@command(app, "add")
def add(
    session: Session,
    url: Annotated[str, typer.Argument(metavar="URL", help="A public https address.")],
    types: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="An event, contact.* for all of a kind, or * (repeatable)."),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call it.")] = "webhook",
    unordered: Annotated[
        bool, typer.Option("--unordered", help="Do not let events of a record wait for its earlier ones.")
    ] = False,
    each: Annotated[
        bool, typer.Option("--each", help="Of bulk loads each created record, not only a summary.")
    ] = False,
    rate: Annotated[
        int, typer.Option("--rate", min=1, max=1000, metavar="N", help="Deliveries a second at most.")
    ] = 50,
) -> None:
    """Add an endpoint; it hears of everything from now on. Its secret is shown this once."""
    given = {"name": name, "url": url, "types": types or ["*"], "ordered": not unordered, "rate_per_s": rate}
    with _service(session) as service:
        made, secret = service.create(given | {"bulk": "each" if each else "summary"})
    session.out.result(
        {"subscription": made, "secret": secret}, f"{made.id} listens to {', '.join(made.types)}.", _shown(secret)
    )


@command(app, "show")
def show(session: Session, subscription: SubscriptionArgument) -> None:
    """Show an endpoint and the number of its deliveries by status."""
    from storage import deliveries, subscriptions

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = subscriptions.get(conn, subscription)
        counts = deliveries.counts(conn, subscription)
    facts = [
        ("address", found.url),
        ("events", ", ".join(found.types)),
        ("status", found.status),
        ("reason", found.status_reason),
        ("order kept", found.ordered),
        ("bulk loads", found.bulk),
        ("a second at most", found.rate_per_s),
        ("failing since", found.failing_since),
        *((f"deliveries {status}", count) for status, count in sorted(counts.items())),
    ]
    session.out.result({"subscription": found, "deliveries": counts}, table((found.name, ""), facts))


@command(app, "change")
def change(
    session: Session,
    subscription: SubscriptionArgument,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Another address.")] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="Events instead of those it hears (repeatable)."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name.")] = None,
    rate: Annotated[
        int | None, typer.Option("--rate", min=1, max=1000, metavar="N", help="Deliveries a second at most.")
    ] = None,
) -> None:
    """Change what is given. What is queued already goes to the new address."""
    given = {"url": url, "types": types or None, "name": name, "rate_per_s": rate}
    with _service(session) as service:
        changed = service.change(subscription, {k: v for k, v in given.items() if v is not None})
    session.out.result(changed, f"{changed.name} listens to {', '.join(changed.types)} at {changed.url}.")


@command(app, "rotate")
def rotate(
    session: Session,
    subscription: SubscriptionArgument,
    overlap: Annotated[
        float, typer.Option("--overlap", min=0, max=720, metavar="HOURS", help="How long the old secret signs, too.")
    ] = 24.0,
) -> None:
    """Give an endpoint a new secret, shown this once. For a while both sign, so that the receiver may change in peace."""
    with _service(session) as service:
        secret = service.rotate(subscription, timedelta(hours=overlap), now=_now())
    session.out.result({"subscription": subscription, "secret": secret}, _shown(secret))


@command(app, "enable")
def enable(session: Session, subscription: SubscriptionArgument) -> None:
    """Send again: everything that waited goes out in order."""
    with _service(session) as service:
        service.enable(subscription, _now())
    _tell(session, subscription, "Enabled; what waited goes out in order.")


@command(app, "disable")
def disable(session: Session, subscription: SubscriptionArgument) -> None:
    """Send nothing any more. What happens meanwhile is kept until it is enabled, within retention."""
    with _service(session) as service:
        service.disable(subscription)
    _tell(session, subscription, "Disabled; what happens meanwhile is kept for it.")


@command(app, "remove")
def remove(
    session: Session,
    subscription: SubscriptionArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget an endpoint, its secrets, and everything that was or was to be delivered to it."""
    from storage import subscriptions

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = subscriptions.get(conn, subscription)
    if not yes:
        confirm(f"Remove {found.name} and what was to be delivered to it?")
    with _service(session) as service:
        service.remove(subscription)
    session.out.result({"removed": subscription}, f"{found.name} is removed.")


@command(app, "test")
def send_test(session: Session, subscription: SubscriptionArgument) -> None:
    """Send a test event, after what is due already, and say how it went."""
    from storage import deliveries

    with _service(session) as service:
        event_id = service.test(subscription, _now())
    deliverer = session.hub.deliverer()
    for _ in range(_UNTIL_SENT):
        with session.hub.db.tenant(session.tenant_id) as conn:
            tries = deliveries.attempts(conn, subscription, event_id)
        if tries or not deliverer.run(session.tenant_id, subscription):
            break
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = deliveries.get(conn, subscription, event_id)
    answer = found.last_status or found.last_error or "not sent yet: the endpoint is disabled, paused or busy"
    session.out.result(found, f"The test is {found.status}: {answer}.")
    if found.status != "delivered":
        raise typer.Exit(DIFFERENCES)


@command(app, "deliveries")
def list_deliveries(
    session: Session,
    subscription: SubscriptionArgument,
    event: Annotated[
        UUID | None, typer.Option("--event", metavar="EVENT", help="One event's delivery, with every try.")
    ] = None,
    status: StatusOption = None,
    type_name: TypeOption = None,
    limit: LimitOption = 50,
) -> None:
    """List deliveries to an endpoint, the newest first, or every try of one."""
    from storage import deliveries
    from storage.deliveries import Filter

    with session.hub.db.tenant(session.tenant_id) as conn:
        if event is not None:
            deliveries.get(conn, subscription, event)
            tries = deliveries.attempts(conn, subscription, event)
            rows: list[tuple[Any, ...]] = [(a.at, a.ms, a.http_status, a.error, a.excerpt) for a in tries]
            session.out.result(tries, table(("tried at", "ms", "answer", "error", "it said"), rows))
            return
        found = deliveries.list_deliveries(conn, subscription, Filter(status=status, type=type_name), limit=limit)
    rows = [
        (
            d.event_id,
            d.type,
            d.status,
            d.attempts,
            d.last_status or d.last_error,
            d.created_at,
            d.due_at if d.status == "pending" else None,
        )
        for d in found
    ]
    columns = ("event", "type", "status", "failures", "last answer", "queued at", "due at")
    session.out.result(found, table(columns, rows) if found else "Nothing was to be delivered.")


@command(app, "replay")
def replay(
    session: Session,
    subscription: SubscriptionArgument,
    event: Annotated[UUID | None, typer.Option("--event", metavar="EVENT", help="Only this event.")] = None,
    status: StatusOption = None,
    type_name: TypeOption = None,
    since: Annotated[datetime | None, typer.Option("--since", metavar="TIME", help="Queued since then (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option("--until", metavar="TIME", help="Queued before then (UTC).")] = None,
) -> None:
    """Send again what was delivered or failed, with the same event ids: one event, or what agrees with every option."""
    from storage.deliveries import Filter

    wanted = Filter(status, type_name, _utc(since), _utc(until), event)
    with _service(session) as service:
        count = service.replay(subscription, wanted, _now())
    session.out.result({"deliveries": count}, f"{count:,} deliveries are due again.")


@contextmanager
def _service(session: Session) -> Iterator[Subscriptions]:
    from webhooks.outbound.service import Subscriptions

    with session.hub.db.tenant(session.tenant_id) as conn:
        yield Subscriptions(conn, session.hub.vault, session.hub.webhook_allow, COMMAND_LINE)


def _tell(session: Session, subscription: UUID, sentence: str) -> None:
    from storage import subscriptions

    with session.hub.db.tenant(session.tenant_id) as conn:
        found: Subscription = subscriptions.get(conn, subscription)
    session.out.result(found, sentence)


def _shown(secret: str) -> str:
    return f"The secret, shown this once: {secret}"


def _now() -> datetime:
    return datetime.now(UTC)


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
