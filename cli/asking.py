"""Asking a person before something goes for good, also where their answer comes through a pipe."""

from __future__ import annotations

import sys

import typer

from domain.errors import ConfigurationError


def confirm(question: str) -> None:
    """Go on only after a yes. Raises `typer.Abort` (exit code 1) for a no, and ConfigurationError where nobody answers."""
    if sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)
        return
    sys.stderr.write(f"{question} [y/N]: ")
    answer = sys.stdin.readline()
    sys.stderr.write(f"{answer.strip()}\n")  # no terminal echoes it, so the line would stay open
    if not answer:
        raise ConfigurationError(
            "Nobody is there to answer, so nothing was done.", remedy="Give --yes to go ahead.", code="unconfirmed"
        )
    if answer.strip().lower() not in ("y", "yes"):
        raise typer.Abort
