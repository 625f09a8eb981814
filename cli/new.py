"""`syncline new`: skeletons for what a person writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.session import Session, command

app = typer.Typer(help="Skeletons for new parts of Syncline.", no_args_is_help=True)


@command(app)
def connector(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The vendor, in lower case, such as `acme`.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="FOLDER", help="The checkout to write into. Default: the current folder.")
    ] = Path(),
) -> None:
    """Write a connector's skeleton, which passes the first half of its conformance suite as it is."""
    from connectors.kit.scaffold import create

    written = create(name, into.resolve())
    session.out.result({"name": name, "files": written}, "\n".join(str(path) for path in written))
    session.out.say(f"Next: read connectors/{name}/README.md; run its tests with pytest tests/connectors/{name}")
