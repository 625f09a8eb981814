"""``syncline sandbox …``: stand-in vendors to try things on. A vendor's folder is its registration: see its ``command.py``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import typer

app = typer.Typer(
    no_args_is_help=True, help="Stand-in vendors: whole systems to connect to, without an account anywhere."
)


@app.callback()
def main() -> None:
    """Stand-in vendors: whole systems to connect to, without an account anywhere."""


def vendors() -> Iterator[str]:
    """The folders that have a command."""
    return (file.parent.name for file in sorted(Path(__file__).parent.glob("*/command.py")))


for vendor in vendors():
    app.command(vendor)(import_module(f"sandbox.{vendor}.command").command)
