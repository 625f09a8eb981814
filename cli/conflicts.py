"""`syncline conflicts`: fields that both sides changed, who won by which rule, and those that a person decides."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from cli.noted import note
from cli.output import table
from cli.session import Session, command
from domain.errors import ConfigurationError

app = typer.Typer(help="Fields that both sides changed, and who decides.", no_args_is_help=True)


@command(app, "list")
def list_conflicts(
    session: Session,
    status: Annotated[
        str,
        typer.Option("--status", metavar="STATUS", help="open (a person decides), settled (by rule), resolved or all."),
    ] = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 50,
) -> None:
    """List conflicts, the newest first."""
    from storage.sync import conflicts

    if status not in ("open", "settled", "resolved", "all"):
        raise ConfigurationError(f"There is no status {status}.", remedy="Choose open, settled, resolved or all.")
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = conflicts.list_conflicts(conn, status=None if status == "all" else status, limit=limit)
    rows = [
        (c.id, c.object, c.vendor_id, c.field, c.status, c.rule, c.winner, c.hub_value, c.vendor_value) for c in found
    ]
    shown: Any = "No conflicts."
    if rows:
        shown = table(
            ("conflict", "object", "record", "field", "state", "rule", "winner", "hub says", "vendor says"), rows
        )
    session.out.result(found, shown)


@command(app, "resolve")
def resolve(
    session: Session,
    conflict: Annotated[UUID, typer.Argument(metavar="CONFLICT", help="The conflict's id.")],
    side: Annotated[
        str | None, typer.Option("--take", metavar="SIDE", help="hub or vendor: whose value stands.")
    ] = None,
    value: Annotated[str | None, typer.Option("--value", metavar="VALUE", help="Another value instead.")] = None,
) -> None:
    """Decide an open conflict. It opens again only if someone edits the field anew."""
    from storage.sync import conflicts

    if (side is None) == (value is None):
        raise ConfigurationError("Say whose value stands.", remedy="Give --take hub, --take vendor, or --value VALUE.")
    if side not in (None, "hub", "vendor"):
        raise ConfigurationError(f"There is no side {side}.", remedy="Give --take hub or --take vendor.")
    with session.hub.db.tenant(session.tenant_id) as conn:
        conflicts.resolve(conn, conflict, side=side, value=value, by="command line")
        note(conn, "conflict.resolve", "conflict", conflict, {"take": side or "value"})
    session.out.result({"conflict": conflict, "take": side, "value": value}, "Decided; the other side follows.")
