"""The `syncline` command: its tree, and the one place where errors become sentences and exit codes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from bootstrap.logs import write_bug_report
from bootstrap.redact import redact
from bootstrap.settings import default_home, load_settings
from cli import (
    audit_log,
    conflicts,
    connect,
    connections,
    db,
    dead_letters,
    demo,
    doctor,
    explain,
    keys,
    migrate,
    new,
    privacy,
    service,
    sync,
    webhooks,
)
from cli.exits import BUG
from cli.session import HomeOption, JsonOption, Session, TenantOption, command
from domain.errors import SynclineError

app = typer.Typer(
    name="syncline",
    help="Move a CRM into one canonical store, and prove that nothing was lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


@app.callback()
def root(ctx: typer.Context, as_json: JsonOption = False, home: HomeOption = None, tenant: TenantOption = None) -> None:
    """Move a CRM into one canonical store, and prove that nothing was lost."""
    ctx.obj = Session(as_json, home, tenant)


for name, group in {
    "connections": connections.app,
    "migrate": migrate.app,
    "sync": sync.app,
    "conflicts": conflicts.app,
    "dead-letters": dead_letters.app,
    "webhooks": webhooks.app,
    "db": db.app,
    "keys": keys.app,
    "privacy": privacy.app,
    "audit": audit_log.app,
    "new": new.app,
    "sandbox": typer.Typer(help="Stand-in vendors: whole systems to connect to, without an account anywhere."),
}.items():
    app.add_typer(group, name=name)


def mount_sandbox() -> None:
    """Put the sandbox's own commands in their place. Not at start: importing them takes as long as all the rest."""
    from sandbox.cli import app as sandbox_app

    group = next(g for g in app.registered_groups if g.name == "sandbox")
    if group.typer_instance is not sandbox_app:
        group.typer_instance = sandbox_app
        _tree.cache_clear()


@cache
def _tree(of: typer.Typer) -> Callable[..., Any]:
    """The commands as they are carried out: building them takes as long as many a command does."""
    return typer.main.get_command(of)


command(app)(connect.connect)
command(app)(explain.explain)
command(app)(doctor.doctor)
command(app)(demo.demo)
command(app)(service.up)
command(app)(service.api)
command(app)(service.worker)
command(app)(service.scheduler)


@command(app)
def version(session: Session) -> None:
    """Show the versions of Syncline and Python."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        product = installed("syncline")
    except PackageNotFoundError:
        product = "run from its source, not installed"
    versions = {"syncline": product, "python": sys.version.split()[0]}
    session.out.result(versions, "\n".join(f"{name} {number}" for name, number in versions.items()))


def main() -> None:
    """Entry point of the `syncline` script."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code. Never raises but for a second Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminate)
    as_json = "--json" in argv
    if "sandbox" in argv:
        mount_sandbox()
    try:
        _tree(app)(argv, prog_name="syncline", standalone_mode=True)
    except SystemExit as stop:
        return _code(stop.code)
    except SynclineError as error:
        _tell(error.message, error.remedy, code=error.code, exit_code=error.exit_code, as_json=as_json)
        return error.exit_code
    except Exception as error:
        return _bug(error, argv, as_json=as_json)
    return 0


def _terminate(_signum: int, _frame: FrameType | None) -> None:
    """SIGTERM stops like Ctrl-C: what is committed stays, and everything that was started is stopped."""
    raise KeyboardInterrupt


def _code(code: Any) -> int:
    if code is None:
        return 0
    return code if isinstance(code, int) else 1


def _bug(error: Exception, argv: list[str], *, as_json: bool) -> int:
    home = _home(argv)
    try:
        where = f"The details are in {write_bug_report(home, error)}."
    except OSError:
        where = "The details could not be written; run `syncline doctor`."
    message = (
        f"This is a bug in Syncline ({type(error).__name__}), not something you did. What was committed before is kept."
    )
    _tell(message, f"{where} Please report it with that file.", code="bug", exit_code=BUG, as_json=as_json)
    return BUG


def _home(argv: list[str]) -> Path:
    for place, word in enumerate(argv):
        if word.startswith("--home="):
            return Path(word.removeprefix("--home="))
        if word == "--home" and place + 1 < len(argv):
            return Path(argv[place + 1])
    try:
        return load_settings().home
    except SynclineError:
        return default_home()


def _tell(message: str, remedy: str, *, code: str, exit_code: int, as_json: bool) -> None:
    """One plain sentence and what to do, on stderr; with --json the same as a document."""
    message, remedy = redact(message), redact(remedy)
    if as_json:
        error = {"error": {"code": code, "message": message, "remedy": remedy, "exit_code": exit_code}}
        sys.stderr.write(json.dumps(error, ensure_ascii=False) + "\n")
        return
    sys.stderr.write(f"Error: {message}\n")
    if remedy:
        sys.stderr.write(f"  -> {remedy}\n")


if __name__ == "__main__":
    main()
