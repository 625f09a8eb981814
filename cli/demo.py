"""`syncline demo`: a sandbox Salesforce org moves into the canonical store while you watch."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bootstrap.settings import Settings
from cli import show
from cli.exits import DIFFERENCES
from cli.progress import ProgressView
from cli.sandbox_process import SandboxProcess
from cli.session import Session

CONNECTION = "demo-salesforce"


@dataclass(frozen=True, slots=True)
class Finished:
    """How the demo ended. ``missing`` says in words what is not as it should be; empty means that all is well."""

    certificate: Any
    page: Path
    resumed: bool
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "ok": not self.missing,
            "missing": list(self.missing),
            "resumed": self.resumed,
            "page": str(self.page),
            "certificate": self.certificate.to_json(),
        }


def demo(
    session: Session,
    leave: Annotated[bool, typer.Option("--exit", help="End when done, instead of staying up until Ctrl-C.")] = False,
    contacts: Annotated[int, typer.Option("--contacts", min=1, metavar="N", help="Size of the sandbox org.")] = 400,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed makes another org.")] = 1,
) -> None:
    """Start a database and a sandbox Salesforce org, migrate it, certify the result, and show where to look.

    It has a home of its own (`demo` in the home folder) and never touches your data or DATABASE_URL. Running it again goes
    on where it was interrupted, or finds nothing to do.
    """
    out = session.out
    out.say("[bold]Syncline demo[/bold]: a sandbox Salesforce org moves into the canonical store. Ctrl-C stops everything.")
    settings = demo_settings(session.settings)
    inner = Session(session.as_json, settings.home, str(settings.tenant), given=settings)
    with ExitStack() as stack:
        stack.callback(inner.close)
        _start_database(inner, stack)
        sandbox = _start_sandbox(inner, stack, contacts, seed)
        finished = _migrate(inner, sandbox)
        out.result(finished, *_shown(inner, finished))
        if not leave:
            _stay(inner, sandbox)
    if finished.missing:
        raise typer.Exit(DIFFERENCES)


def demo_settings(settings: Settings) -> Settings:
    """Settings of the demo: a home of its own, and always the embedded database."""
    home = settings.home / "demo"
    home.mkdir(parents=True, exist_ok=True)
    return settings.model_copy(update={"home": home, "database_url": None, "database_admin_url": None})


def _start_database(inner: Session, stack: ExitStack) -> None:
    inner.out.say("[dim]1/5[/dim] Database")
    stack.callback(inner.hub.server.stop)
    _ = inner.hub.db
    inner.out.say(f"      PostgreSQL runs on {inner.hub.address()}.")


def _start_sandbox(inner: Session, stack: ExitStack, contacts: int, seed: int) -> SandboxProcess:
    inner.out.say(f"[dim]2/5[/dim] Sandbox Salesforce with {contacts:,} contacts")
    options = ["--contacts", str(contacts), "--seed", str(seed)]
    sandbox = stack.enter_context(SandboxProcess("salesforce", options, inner.settings.home / "sandbox.log"))
    inner.out.say(f"      It answers on {sandbox.url}.")
    return sandbox


def _migrate(inner: Session, sandbox: SandboxProcess) -> Finished:
    from bootstrap.connecting import connect_again_or_new

    out, migrations = inner.out, inner.hub.migrations
    connection_id = connect_again_or_new(inner.hub, CONNECTION, sandbox.url)
    interrupted = [r for r in migrations.status(None) if r.resumable]
    with ProgressView(out.status) as view:
        if interrupted:
            out.say("[dim]3/5[/dim] An earlier run was interrupted")
            out.say("[dim]4/5[/dim] Going on with it")
            outcome = migrations.resume(interrupted[0].id, on_progress=view)
        else:
            out.say("[dim]3/5[/dim] Audit and plan (a person would read, edit and approve it; the demo approves it as it is)")
            plan = migrations.plan(connection_id, on_progress=view).approve()
            out.say("[dim]4/5[/dim] Migrate")
            outcome = migrations.run(connection_id, plan, on_progress=view)
    out.say("[dim]5/5[/dim] Certificate")
    page = inner.settings.home / "certificate.html"
    show.write_html(outcome.certificate, page)
    return Finished(outcome.certificate, page, bool(interrupted), tuple(show.missing(outcome)))


def _shown(inner: Session, finished: Finished) -> list[Any]:
    home = inner.settings.home
    return [
        *show.certificate(finished.certificate),
        *(f"[red]Not as it should be:[/red] {problem}" for problem in finished.missing),
        f"\nThe certificate as a page:  {finished.page}",
        f"The runs:                   syncline migrate status --home {home}",
        f"Records set aside:          syncline dead-letters list --home {home}",
        f"Take it all back:           syncline migrate undo RUN --home {home}",
    ]


def _stay(inner: Session, sandbox: SandboxProcess) -> None:
    inner.out.say(f"\nThe database ({inner.hub.address()}) and the sandbox ({sandbox.url}) stay up. Ctrl-C stops both.")
    try:
        if hasattr(signal, "pause"):
            signal.pause()
        else:
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        inner.out.say("Stopping …")
