"""`syncline explain`: why a record is as it is, or why it is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import table
from cli.session import Session
from domain.entities import ENTITIES
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from storage.explaining import Explanation, Unknown


def explain(
    session: Session,
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="contact, account, opportunity, …")],
    record: Annotated[
        str, typer.Argument(metavar="RECORD", help="The hub's id, a vendor's id, an e-mail address or the name.")
    ],
) -> None:
    """Tell every value of a record: who set it, when, by which rule, and what it replaced; and what still waits."""
    from storage import explaining

    if entity not in ENTITIES:
        raise ConfigurationError(
            f"There is no kind of record called {entity}.", remedy=f"Choose one of: {', '.join(ENTITIES)}."
        )
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = explaining.find(conn, entity, record.strip())
        told = [explaining.explain(conn, entity, entity_id) for entity_id in found]
        unknown = None if told else explaining.why_not(conn, entity, record.strip())
    if unknown is not None:
        session.out.result({"records": [], "unknown": unknown}, *_unknown(entity, unknown))
        raise typer.Exit(1)
    session.out.result({"records": told}, *[part for one in told for part in _shown(one)])


def _unknown(entity: str, unknown: Unknown) -> list[Any]:
    return [f"The hub has no {entity} {unknown.sought}.", *(f"  · {reason}" for reason in unknown.reasons)]


def _shown(told: Explanation) -> list[Any]:
    parts: list[Any] = [
        f"[bold]{told.entity} {told.entity_id}[/bold]  {told.state}, version {told.version}",
        *told.notes,
    ]
    parts.append(
        table(
            ("field", "value", "set by", "rule", "when", "replaced"),
            [(f.field, f.value, f.by, f.rule, f.at, f.replaced) for f in told.fields],
        )
    )
    parts.append(
        table(
            ("connection", "object", "record", "origin", "state"),
            [(k.connection, k.object, k.vendor_id, k.origin, _state(k)) for k in told.links],
        )
        if told.links
        else "It is at no vendor yet."
    )
    parts += [f"Waits: {text}" for text in told.pending]
    if told.conflicts:
        rows = [
            (c["connection"], c["field"], _verdict(c), c["rule"], c["winner"], c["hub_value"], c["vendor_value"])
            for c in told.conflicts
        ]
        parts.append(table(("connection", "conflict on", "state", "rule", "winner", "hub said", "vendor said"), rows))
    if told.letters:
        letters = [(a.object, a.vendor_id, a.status, a.message, a.attempts) for a in told.letters]
        parts.append(table(("object", "record", "dead letter", "what is wrong", "tries"), letters, numbers=("tries",)))
    return parts


def _verdict(conflict: Mapping[str, Any]) -> str:
    by = conflict["resolved_by"]
    return f"{conflict['status']} by {by}" if by else str(conflict["status"])


def _state(link: Any) -> str:
    if link.tombstoned:
        return "deleted there"
    if link.uncertain:
        return f"a write of {', '.join(link.uncertain)} has no answer yet"
    return "to be sent" if link.behind else "in step"
