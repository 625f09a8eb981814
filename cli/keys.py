"""`syncline keys`: the master keys that encrypt stored credentials."""

from __future__ import annotations

import typer

from cli.session import Session, command

app = typer.Typer(help="The master keys that encrypt stored credentials.", no_args_is_help=True)


@command(app)
def rotate(session: Session) -> None:
    """Encrypt every stored credential of the tenant under the current master key. Can be repeated and interrupted."""
    count = session.hub.rotate_keys()
    text = f"{count:,} credentials are encrypted under the current master key." if count else "Nothing to do."
    session.out.result({"rotated": count}, text)
