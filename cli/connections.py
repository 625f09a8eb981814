"""`syncline connections`: list, test, show, remove."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.asking import confirm
from cli.exits import DIFFERENCES
from cli.output import table
from cli.session import Session, command
from domain.errors import SynclineError

app = typer.Typer(help="What is connected.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A connection's name or id.")]


@command(app, "list")
def list_connections(session: Session) -> None:
    """List connections, and whether each signed in the last time it was tried."""
    from storage import connections

    with session.hub.db.tenant(session.tenant_id) as conn:
        known = connections.list_all(conn)
    rows = [(c.name, c.vendor, c.remote_account, c.status, c.verified_at) for c in known]
    shown = table(("name", "vendor", "account", "status", "last signed in"), rows)
    session.out.result(known, shown if known else "Nothing is connected yet. Begin with: syncline connect salesforce")


@command(app, "test")
def try_connections(
    session: Session, name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: all of them.")] = None
) -> None:
    """Sign in to a connection, or to each of them, and say how it went."""
    from bootstrap.connecting import verify
    from cli.sources import find_connection
    from storage import connections

    if name is not None:
        chosen = [find_connection(session, name)]
    else:
        with session.hub.db.tenant(session.tenant_id) as conn:
            chosen = connections.list_all(conn)
    outcomes: list[dict[str, Any]] = []
    for connection in chosen:
        try:
            account = verify(session.hub, connection.id)
            outcomes.append({"name": connection.name, "ok": True, "message": account.display_name})
        except SynclineError as error:
            outcomes.append({"name": connection.name, "ok": False, "message": str(error), "code": error.code})
    session.out.result(
        outcomes,
        table(("name", "signs in", "account or problem"), [(o["name"], o["ok"], o["message"]) for o in outcomes]),
    )
    if not all(o["ok"] for o in outcomes):
        raise typer.Exit(DIFFERENCES)


@command(app)
def show(session: Session, name: Name) -> None:
    """Show a connection's settings. Secrets are never shown."""
    from cli.sources import find_connection

    found = find_connection(session, name)
    facts = [
        ("id", found.id),
        ("vendor", found.vendor),
        ("account", found.remote_account),
        ("address", found.base_url),
        ("status", found.status),
        ("problem", found.status_message),
        ("last signed in", found.verified_at),
        *((f"setting {key}", value) for key, value in sorted(found.settings.items())),
    ]
    session.out.result(found, table((found.name, ""), facts))


@command(app)
def remove(
    session: Session, name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Forget a connection and its credentials. What was migrated stays."""
    from cli.sources import find_connection

    found = find_connection(session, name)
    if not yes:
        confirm(f"Forget the connection {found.name} and its credentials?")
    session.hub.forget_connection(found.id)
    session.out.result({"removed": found.name}, f"Forgot {found.name}. What was migrated from it stays.")
