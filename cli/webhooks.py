"""`syncline webhooks`: addresses that others post to, and what became of every delivery."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli import subscriptions
from cli.noted import note
from cli.output import table
from cli.session import Session, command
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from storage.database import Connection
    from storage.inbound_endpoints import Endpoint

app = typer.Typer(help="Webhooks: what comes in, and who hears of us.", no_args_is_help=True)
endpoints_app = typer.Typer(help="Addresses that others post to.", no_args_is_help=True)
inbox_app = typer.Typer(help="Deliveries that came in, and what became of them.", no_args_is_help=True)
app.add_typer(endpoints_app, name="endpoints")
app.add_typer(inbox_app, name="inbox")
app.add_typer(subscriptions.app, name="subscriptions")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The endpoint's name.")]
Delivery = Annotated[UUID, typer.Argument(metavar="DELIVERY", help="The delivery's id.")]
SecretsOption = Annotated[
    Path | None,
    typer.Option("--secrets", metavar="FILE", help="JSON file of the secrets that the sender made, by name."),
]


@command(endpoints_app, "add")
def add(
    session: Session,
    name: Name,
    scheme: Annotated[
        str, typer.Option("--scheme", metavar="SCHEME", help="Who sends: hubspot, stripe, … or generic.")
    ] = "generic",
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="JSON file of the scheme's settings.")
    ] = None,
    secrets: SecretsOption = None,
    connection: Annotated[
        str | None, typer.Option("--connection", metavar="NAME", help="The connection whose notices come here.")
    ] = None,
) -> None:
    """Make an address. Secrets that the hub makes for it are shown this once."""
    from storage import connections
    from webhooks.inbound import endpoints

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = None if connection is None else connections.by_name(conn, connection)
        if connection is not None and found is None:
            raise ConfigurationError(
                f"There is no connection named {connection}.", remedy="`syncline connections list` shows them.",
                code="no_such_connection",
            )  # fmt: skip
        made, shown = endpoints.add(
            conn,
            session.hub.vault,
            name=name,
            scheme_name=scheme,
            settings=_document(settings),
            given=_document(secrets),
            connection_id=None if found is None else found.id,
            allowed=session.hub.webhook_allow,
        )
        note(conn, "webhook_endpoint.create", "webhook_endpoint", made.id, {"scheme": scheme})
    _show_made(session, made, shown)


@command(endpoints_app, "list")
def list_endpoints(session: Session) -> None:
    """List the addresses, by name."""
    from storage import inbound_endpoints

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = inbound_endpoints.list_all(conn)
    rows = [(e.name, e.scheme, e.status, _url(session, e)) for e in found]
    shown: Any = table(("endpoint", "scheme", "state", "address"), rows) if rows else "No endpoints."
    session.out.result([asdict(e) | {"url": _url(session, e)} for e in found], shown)


@command(endpoints_app, "show")
def show(session: Session, name: Name) -> None:
    """Show an address, its secrets' generations, and the ledger of what came to it."""
    from storage import inbox, secrets

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = _named(conn, name)
        known = secrets.generations(conn, found.id)
        ledger = inbox.ledger(conn, found.id)
    facts = [("address", _url(session, found)), ("scheme", found.scheme), ("state", found.status)]
    facts += [(f"secret {g.generation}", f"until {g.expires_at}" if g.expires_at else "valid") for g in known]
    counted = [("received", ledger.received), ("pending", ledger.pending), *ledger.by_outcome.items()]
    told = asdict(found) | {"url": _url(session, found), "secrets": known, "ledger": ledger}
    session.out.result(told, table(("fact", "value"), facts), table(("deliveries", "number"), counted))


@command(endpoints_app, "rotate")
def rotate(
    session: Session,
    name: Name,
    secrets: SecretsOption = None,
    overlap: Annotated[
        float, typer.Option("--overlap", min=0, metavar="HOURS", help="How long the old secrets are accepted, too.")
    ] = 24.0,
) -> None:
    """Replace the secrets of an address. Within five seconds every process knows the new ones."""
    from webhooks.inbound import endpoints

    with session.hub.db.tenant(session.tenant_id) as conn:
        found, shown = endpoints.rotate(
            conn, session.hub.vault, _named(conn, name).id, _document(secrets), timedelta(hours=overlap)
        )
        note(conn, "webhook_endpoint.rotate", "webhook_endpoint", found.id, {"overlap_h": overlap})
    _show_made(session, found, shown)


@command(endpoints_app, "pause")
def pause(
    session: Session,
    name: Name,
    resume: Annotated[bool, typer.Option("--resume", help="Process what was stored meanwhile, and go on.")] = False,
) -> None:
    """Store what comes and process nothing of it, until it is resumed with --resume."""
    from storage import inbound_endpoints

    status = "active" if resume else "paused"
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = inbound_endpoints.update(conn, _named(conn, name).id, status=status)
        note(conn, "webhook_endpoint.change", "webhook_endpoint", found.id, {"status": status})
    session.out.result(found, f"{name} is {status}.")


@command(endpoints_app, "remove")
def remove(session: Session, name: Name) -> None:
    """Accept nothing more at an address, for good. What was received is still processed."""
    from storage import inbound_endpoints

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = inbound_endpoints.remove(conn, _named(conn, name).id)
        note(conn, "webhook_endpoint.remove", "webhook_endpoint", found.id)
    session.out.result(found, f"{name} accepts nothing more.")


@command(endpoints_app, "preview")
def preview(
    session: Session,
    name: Name,
    sample: Annotated[Path, typer.Argument(metavar="FILE", help="A body as the sender would post it.")],
) -> None:
    """Show what a sample body would become. Nothing is stored."""
    from webhooks.inbound import endpoints

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = endpoints.preview(conn, session.tenant_id, _named(conn, name), _read(sample))
    rows = [(p.outcome, p.entity, n, *p.changes[n]) for p in found for n in p.changes]
    rows += [(p.outcome, p.entity, "", "", p.problem) for p in found if not p.changes]
    session.out.result(found, table(("outcome", "entity", "field", "stands", "would stand"), rows))


@command(inbox_app, "list")
def list_inbox(
    session: Session,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="NAME", help="Only what came to this address.")
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option("--outcome", metavar="OUTCOME", help="Only dead, unroutable, applied, noted, kept, … ones."),
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only those that were not processed yet.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 50,
) -> None:
    """List deliveries, the newest first, and the ledger of all of them."""
    from storage import inbox

    with session.hub.db.tenant(session.tenant_id) as conn:
        only = None if endpoint is None else _named(conn, endpoint).id
        status = "pending" if pending else None
        found = inbox.entries(conn, endpoint_id=only, outcome=outcome, status=status, limit=limit)
        ledger = inbox.ledger(conn, only)
    rows = [(e.id, e.received_at, e.status, e.outcome, e.reason, e.attempts) for e in found]
    counted = [("received", ledger.received), ("pending", ledger.pending), *ledger.by_outcome.items()]
    shown: list[Any] = [table(("delivery", "received", "state", "outcome", "reason", "attempts"), rows)] if rows else []
    session.out.result({"deliveries": found, "ledger": ledger}, *shown, table(("deliveries", "number"), counted))


@command(inbox_app, "show")
def show_delivery(
    session: Session,
    delivery: Delivery,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show what was sent, too. It holds customer data; the look is audited.")
    ] = False,
) -> None:
    """Show a delivery and what became of it."""
    from storage import inbox

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = asdict(inbox.get(conn, delivery))
        if payload:
            headers, body = inbox.payload(conn, delivery)
            found |= {"headers": headers, "body": body.decode("utf-8", "replace")}
            note(conn, "webhook_payload.read", "delivery", delivery)
    facts = [(name, value) for name, value in found.items() if value is not None]
    session.out.result(found, table(("fact", "value"), facts))


@command(inbox_app, "replay")
def replay(session: Session, delivery: Delivery) -> None:
    """Process a delivery once more. Nothing happens twice by it: what is older than what stands is superseded."""
    from storage import inbox

    with session.hub.db.tenant(session.tenant_id) as conn:
        inbox.get(conn, delivery)
        count = inbox.replay(conn, [delivery])
        note(conn, "delivery.replay", "delivery", delivery)
    text = "It is processed once more." if count else "It waits to be processed already."
    session.out.result({"replayed": count}, text)


def _named(conn: Connection, name: str) -> Endpoint:
    from storage import inbound_endpoints

    found = inbound_endpoints.by_name(conn, name)
    if found is None:
        raise ConfigurationError(
            f"There is no webhook endpoint named {name}.",
            remedy="`syncline webhooks endpoints list` shows them.",
            code="no_such_endpoint",
        )
    return found


def _url(session: Session, endpoint: Endpoint) -> str:
    from webhooks.inbound import endpoints

    return endpoints.address(session.settings.public_url, session.tenant_id, endpoint)


def _show_made(session: Session, endpoint: Endpoint, shown: dict[str, str]) -> None:
    url = _url(session, endpoint)
    if "path_token" in shown:
        url = url.replace("<token>", shown["path_token"])
    rows = [("address", url), *shown.items()]
    told = asdict(endpoint) | {"url": url, "secrets": shown}
    note = "Secrets are not shown again." if shown else "Store the sender's secrets with `rotate --secrets FILE`."
    session.out.result(told, table(("what", "value"), rows), note)


def _document(path: Path | None) -> dict[str, Any]:
    """A JSON object from a file; none is an empty one."""
    if path is None:
        return {}
    try:
        found = json.loads(_read(path))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} holds no JSON object.", remedy='Write it as {"name": "value"}.')
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", remedy="Check the path.") from None
