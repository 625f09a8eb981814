"""`syncline audit`: who did what, and whether the log of it is whole."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.exits import DIFFERENCES
from cli.output import table
from cli.session import Session, command

app = typer.Typer(help="The audit log: who did what.", no_args_is_help=True)


@command(app, "list")
def list_entries(
    session: Session,
    action: Annotated[str | None, typer.Option("--action", metavar="ACTION", help="Only this, as key.create.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="ID", help="Only what was done to this.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="At most so many.")] = 50,
) -> None:
    """List what was done in the tenant, the newest first."""
    from storage import audit

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = audit.entries(conn, audit.Wanted(action=action, target_id=target), limit=limit, newest=True)
    shown = [
        {
            "seq": e.seq,
            "at": e.at,
            "actor_kind": e.actor_kind,
            "actor": e.actor,
            "action": e.action,
            "target_kind": e.target_kind,
            "target_id": e.target_id,
            "detail": dict(e.detail),
            "hash": e.hash.hex(),
        }
        for e in found
    ]
    rows = [(e["seq"], e["at"], f"{e['actor_kind']} {e['actor']}", e["action"], e["target_id"]) for e in shown]
    text = table(("number", "at", "who", "did", "to"), rows) if rows else "Nothing was done yet."
    session.out.result(shown, text)


@command(app)
def verify(session: Session) -> None:
    """Compute the chain of the log again: an entry that was changed, removed or slipped in breaks it."""
    from storage import audit

    with session.hub.db.tenant(session.tenant_id) as conn:
        verdict = audit.verify(conn)
    text = (
        f"All {verdict.entries:,} entries follow from one another; the last one is {verdict.head}."
        if verdict.ok
        else f"Entry {verdict.broken_at} breaks the chain: {verdict.reason}."
    )
    facts = {"ok": verdict.ok, "entries": verdict.entries, "head": verdict.head, "broken_at": verdict.broken_at}
    session.out.result({**facts, "reason": verdict.reason}, text)
    if not verdict.ok:
        raise typer.Exit(DIFFERENCES)
