"""`syncline db`: the schema, and the embedded server."""

from __future__ import annotations

import typer

from cli.output import table
from cli.session import Session, command

app = typer.Typer(help="The database: its schema, and the embedded server.", no_args_is_help=True)


@command(app)
def upgrade(session: Session) -> None:
    """Bring the schema to the newest revision. Harmless when it is there already, and while another upgrade runs."""
    before = session.hub.revision()
    session.hub.upgrade()
    after = session.hub.revision()
    text = (
        f"The schema is at {after}."
        if before == after
        else f"Upgraded the schema from {before or 'nothing'} to {after}."
    )
    session.out.result({"before": before, "revision": after}, text)


@command(app)
def status(session: Session) -> None:
    """Show which database is used, and whether its schema is current."""
    hub = session.hub
    revision, head = hub.revision(), hub.head_revision()
    facts = {
        "kind": "embedded" if session.settings.embedded else "DATABASE_URL",
        "address": hub.address(),
        "revision": revision,
        "current": revision == head,
    }
    shown = table(("database", "address", "revision", "current"), [tuple(facts.values())])
    session.out.result(facts, shown)
    if revision != head:
        session.out.say("Next: [bold]syncline db upgrade[/bold]")


@command(app)
def stop(session: Session) -> None:
    """Stop the embedded PostgreSQL. The next command that needs it starts it again."""
    session.hub.server.stop()
    session.out.result({"stopped": True}, "The embedded PostgreSQL is stopped.")
