"""`syncline doctor`: is everything in place, and if not, what to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from cli.exits import DIFFERENCES
from cli.output import table
from cli.session import Session
from domain.errors import SynclineError

_ROOM_WANTED_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. ``fix`` says what to do when it is not ok."""

    check: str
    ok: bool
    found: str
    fix: str = ""


def doctor(session: Session) -> None:
    """Check Python, home folder, disk, database, isolation of tenants, keys and connectors, and say what to do."""
    findings = list(_findings(session))
    rows = [("ok" if f.ok else "[x]", f.check, f.found, "" if f.ok else f.fix) for f in findings]
    session.out.result(findings, table(("", "check", "found", "what to do"), rows))
    if not all(f.ok for f in findings):
        raise typer.Exit(DIFFERENCES)


def _findings(session: Session) -> Iterator[Finding]:
    yield Finding("Python", sys.version_info >= (3, 11), sys.version.split()[0], "Use Python 3.11 or newer.")
    home = _attempt("home folder", lambda: str(session.settings.home))
    yield home
    if not home.ok:
        return
    yield _disk(session)
    database = _attempt("database", session.hub.address)
    yield database
    if database.ok:
        yield _attempt("schema and isolation of tenants", lambda: _isolation(session))
    yield _attempt("master key", lambda: f"current: {session.hub.vault.current_key}")
    yield from _connectors()


def _attempt(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, look())
    except SynclineError as error:
        return Finding(check, False, error.message, error.remedy)


def _disk(session: Session) -> Finding:
    free = shutil.disk_usage(session.settings.home).free
    return Finding(
        "disk", free >= _ROOM_WANTED_BYTES, f"{free / 1024**3:.1f} GB free", "Make room: a migration needs a few GB."
    )


def _isolation(session: Session) -> str:
    session.hub.db.assert_safe()
    return f"revision {session.hub.revision()}, row-level security forced on every table"


def _connectors() -> Iterator[Finding]:
    from connectors.kit import registry

    for info in registry.available():
        yield Finding(
            f"connector {info.name}",
            info.error is None,
            info.error or f"{info.label} ({info.origin})",
            "Mend or reinstall it.",
        )
