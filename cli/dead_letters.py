"""`syncline dead-letters`: records that were set aside, why, and what to do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.output import table
from cli.session import Session, command

app = typer.Typer(help="Records that were set aside, and why.", no_args_is_help=True)


@command(app, "list")
def list_letters(
    session: Session,
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="Only those of this connection.")
    ] = None,
    object_name: Annotated[
        str | None, typer.Option("--object", metavar="NAME", help="Only those of this object.")
    ] = None,
    code: Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those of this cause.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 50,
    payload: Annotated[
        bool, typer.Option("--payload", help="With --json: show the raw records, too. They hold customer data.")
    ] = False,
) -> None:
    """List open dead letters, grouped by cause and one by one."""
    from cli.sources import find_connection
    from storage import dead_letters

    connection_id = find_connection(session, source).id if source else None
    with session.hub.db.tenant(session.tenant_id) as conn:
        causes = dead_letters.count_by_code(conn, connection_id=connection_id)
        letters = dead_letters.list_letters(
            conn, connection_id=connection_id, object=object_name, code=code, limit=limit
        )
    shown: list[Any] = ["Nothing is set aside."]
    if causes:
        shown = [
            table(
                ("records", "object", "cause", "field", "for example"),
                [(c.count, c.object, c.code, c.field, c.message) for c in causes],
                numbers=("records",),
            ),
            table(
                ("object", "record", "where", "what is wrong", "tries"),
                [(a.object, a.vendor_id, a.place, a.message.removeprefix(f"{a.place}: "), a.attempts) for a in letters],
                numbers=("tries",),
            ),
        ]
    session.out.result({"causes": causes, "letters": [_plain(a, payload) for a in letters]}, *shown)


def _plain(letter: Any, with_payload: bool) -> dict[str, Any]:
    hidden = () if with_payload else ("payload", "mapped")
    return {name: getattr(letter, name) for name in type(letter).__slots__ if name not in hidden}
