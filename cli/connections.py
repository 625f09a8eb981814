"""`syncline connections`: list, test, show, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.asking import confirm
from cli.exits import DIFFERENCES
from cli.noted import COMMAND_LINE, note, note_alone
from cli.output import table
from cli.session import Session, command
from domain.errors import SynclineError

if TYPE_CHECKING:
    from storage.connections import StoredConnection

app = typer.Typer(help="What is connected.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A connection's name or id.")]


@command(app, "list")
def list_connections(session: Session) -> None:
    """List connections: whether each signed in the last time it was tried, and whether it is healthy."""
    from storage import connections

    with session.hub.db.tenant(session.tenant_id) as conn:
        known = connections.list_all(conn)
    rows = [(c.name, c.vendor, c.remote_account, c.status, _health(c), c.verified_at) for c in known]
    shown = table(("name", "vendor", "account", "status", "health", "last signed in"), rows)
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
        told = {"ok": outcomes[-1]["ok"], "code": outcomes[-1].get("code", "")}
        note_alone(session, "connection.test", "connection", connection.id, told)
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
        ("health", _health(found)),
        ("since", found.health_since),
        *(("reason", reason["message"]) for reason in found.unhealthy_reasons),
        *((f"setting {key}", value) for key, value in sorted(found.settings.items())),
    ]
    session.out.result(found, table((found.name, ""), facts))


def _health(connection: StoredConnection) -> str:
    return "healthy" if connection.healthy else "unhealthy"


@command(app)
def remove(
    session: Session,
    name: Name,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove its streams, links and everything that waits. Records stay.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget a connection and its credentials. What was migrated stays."""
    from cli.sources import find_connection
    from storage import disconnecting

    found = find_connection(session, name)
    if not purge:
        with session.hub.db.tenant(session.tenant_id) as conn:
            disconnecting.require_unused(conn, found.id)
    if not yes:
        more = ", its streams, links and everything that waits" if purge else ""
        confirm(f"Forget the connection {found.name} and its credentials{more}?")
    if purge:
        links = _purge(session, found)
        session.out.result(
            {"removed": found.name, "links": links}, f"Removed {found.name} with {links:,} links. Its records stay."
        )
        return
    session.hub.forget_connection(found.id)
    with session.hub.db.tenant(session.tenant_id) as conn:
        note(conn, "connection.remove", "connection", found.id, {"name": found.name})
    session.out.result({"removed": found.name}, f"Forgot {found.name}. What was migrated from it stays.")


def _purge(session: Session, found: StoredConnection) -> int:
    """Disconnect at once, then remove in batches what is left. Returns how many links that were."""
    from bootstrap import jobs as running
    from storage import disconnecting, jobs

    with session.hub.db.tenant(session.tenant_id) as conn:
        disconnecting.forget(conn, found.id)
        job = jobs.add(conn, "connection.purge", {"connection_id": str(found.id), "purge": "links"}, COMMAND_LINE)
        note(conn, "connection.disconnect", "connection", found.id, {"purge": "links"})
    running.run(session.hub, job.id, "command line")
    with session.hub.db.tenant(session.tenant_id) as conn:
        result = running.result_of(jobs.get(conn, job.id))
    return int(result["links"])
