"""What the commands of all stand-in vendors share: their options, a port that may be taken, faults from a file, the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import orjson
import typer

from sandbox.kit.server import HOST, bind, serve
from sandbox.kit.stand_in import AnyStandIn

StandInT = TypeVar("StandInT", bound=AnyStandIn)

Port = Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")]
Contacts = Annotated[int, typer.Option(min=0, help="How many contacts; everything else in proportion.")]
FaultsFile = Annotated[Path | None, typer.Option(help="JSON file with faults to inject.", exists=True, dir_okay=False)]


def run(
    port: int, faults: Path | None, build: Callable[[], StandInT], greeting: Callable[[StandInT, str], str]
) -> None:
    """Serve a stand-in until Ctrl-C. Leaves with a plain sentence when the port or the file can't be used."""
    try:
        listener = bind(port)
    except OSError as error:
        fail(
            f"Port {port} of {HOST} can't be used ({error.strerror}): choose another with --port, or 0 for a free one.",
            error,
        )
    with closing(listener):
        sandbox = build()
        if faults is not None:
            _inject(sandbox, faults)
        typer.echo(greeting(sandbox, f"http://{HOST}:{listener.getsockname()[1]}"))
        serve(sandbox, listener)
    typer.echo("Sandbox stopped.")


def _inject(sandbox: AnyStandIn, file: Path) -> None:
    try:
        listed: Any = orjson.loads(file.read_bytes())
        sandbox.faults.add(listed if isinstance(listed, list) else [listed])
    except (ValueError, TypeError) as error:
        fail(f"{file} is not a list of faults: {error}.", error)


def fail(message: str, cause: Exception) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2) from cause
