"""`syncline demo`: a sandbox Salesforce org moves into the canonical store, and a HubSpot portal joins it, while you watch."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from bootstrap.settings import Settings
from cli import show
from cli.exits import DIFFERENCES
from cli.output import to_plain
from cli.progress import ProgressView
from cli.sandbox_process import SandboxProcess
from cli.session import Session
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from cli.demo_live import Live
    from migration.service import RunResult

CONNECTION = "demo-salesforce"


@dataclass(frozen=True, slots=True)
class Finished:
    """How the demo ended. ``missing`` says in words what is not as it should be; empty means that all is well."""

    outcome: RunResult
    page: Path
    resumed: bool
    missing: tuple[str, ...]
    live: Live | None = None

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "ok": not self.missing,
            "missing": list(self.missing),
            "resumed": self.resumed,
            "page": str(self.page),
            "run": self.outcome.to_json(),
            "live": None if self.live is None else to_plain(self.live),
        }


def demo(
    session: Session,
    leave: Annotated[bool, typer.Option("--exit", help="End when done, instead of staying up until Ctrl-C.")] = False,
    contacts: Annotated[int, typer.Option("--contacts", min=1, metavar="N", help="Size of the sandbox org.")] = 400,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed makes another org.")] = 1,
) -> None:
    """Migrate a sandbox Salesforce org, certify it, then keep it, the hub and a sandbox HubSpot portal in step.

    It has a home of its own (`demo` in the home folder) and never touches your data or DATABASE_URL. Running it again goes
    on where it was interrupted, or finds nothing to do.
    """
    out = session.out
    out.say(
        "[bold]Syncline demo[/bold]: a sandbox Salesforce org moves into the canonical store. Ctrl-C stops everything."
    )
    settings = demo_settings(session.settings)
    inner = Session(session.as_json, settings.home, str(settings.tenant), given=settings)
    with ExitStack() as stack:
        stack.callback(inner.close)
        _start_database(inner, stack)
        sandbox = _start_sandbox(inner, stack, contacts, seed)
        finished = _migrate(inner, sandbox)
        if not finished.missing:
            finished = _go_live(inner, stack, sandbox, finished)
        out.result(finished, *_shown(inner, finished))
        if not leave:
            _stay(inner, sandbox)
    if finished.missing:
        raise typer.Exit(DIFFERENCES)


def _go_live(inner: Session, stack: ExitStack, salesforce: SandboxProcess, finished: Finished) -> Finished:
    from cli.demo_live import go_live

    inner.out.say("[dim]6/7[/dim] An empty sandbox HubSpot portal joins")
    log = inner.settings.home / "sandbox-hubspot.log"
    hubspot = stack.enter_context(SandboxProcess("hubspot", ["--contacts", "0"], log))
    inner.out.say(f"      It answers on {hubspot.url}.")
    inner.out.say("[dim]7/7[/dim] Edits on all three sides")
    live = go_live(inner, _connect(inner, salesforce), salesforce, hubspot)
    return replace(finished, live=live, missing=(*finished.missing, *live.missing))


def demo_settings(settings: Settings) -> Settings:
    """Settings of the demo: a home of its own, and always the embedded database."""
    home = settings.home / "demo"
    home.mkdir(parents=True, exist_ok=True)
    return settings.model_copy(update={"home": home, "database_url": None, "database_admin_url": None})


def _start_database(inner: Session, stack: ExitStack) -> None:
    inner.out.say("[dim]1/7[/dim] Database")
    stack.callback(inner.hub.server.stop)
    _ = inner.hub.db
    inner.out.say(f"      PostgreSQL runs on {inner.hub.address()}.")


def _start_sandbox(inner: Session, stack: ExitStack, contacts: int, seed: int) -> SandboxProcess:
    inner.out.say(f"[dim]2/7[/dim] Sandbox Salesforce with {contacts:,} contacts")
    options = ["--contacts", str(contacts), "--seed", str(seed)]
    sandbox = stack.enter_context(SandboxProcess("salesforce", options, inner.settings.home / "sandbox.log"))
    inner.out.say(f"      It answers on {sandbox.url}.")
    return sandbox


def _connect(inner: Session, sandbox: SandboxProcess) -> UUID:
    """Connect the sandbox org: the first time as a new connection, later as the same one at its new address."""
    from bootstrap.connecting import sign_in, store_connection
    from sandbox.salesforce.auth import Credentials

    known = Credentials()
    secrets = {
        "auth": "password",
        "username": known.username,
        "password": known.password,
        "security_token": known.security_token,
    }
    account, secrets_now = sign_in("salesforce", {}, secrets, sandbox.url)
    stored = store_connection(
        inner.hub,
        vendor="salesforce",
        name=CONNECTION,
        settings={},
        secrets=secrets_now,
        account=account,
        base_url=sandbox.url,
    )
    return stored.id


def _migrate(inner: Session, sandbox: SandboxProcess) -> Finished:
    from migration.certificate_html import render

    migrations = inner.hub.migrations
    connection_id = _connect(inner, sandbox)
    interrupted = [s for s in migrations.status() if s.run.kind == "run" and s.state in ("interrupted", "failed")]
    with ProgressView(inner.out.status) as view:
        outcome = _resume(inner, interrupted[0].run.id, view) if interrupted else _run(inner, connection_id, view)
    inner.out.say("[dim]5/7[/dim] Certificate")
    page = inner.settings.home / "certificate.html"
    if outcome.certificate is not None:
        show.write_text(render(outcome.certificate), page)
    return Finished(outcome, page, bool(interrupted), tuple(problems(outcome)))


def _run(inner: Session, connection_id: UUID, view: ProgressView) -> RunResult:
    from bootstrap.planning import plan_source

    inner.out.say(
        "[dim]3/7[/dim] Audit and plan (a person would read and edit the plan; the demo approves it as it is)"
    )
    plan = plan_source(inner.hub, connection_id, None, view).approve()
    (inner.settings.home / "plan.toml").write_text(plan.to_toml(), encoding="utf-8")
    inner.out.say("[dim]4/7[/dim] Migrate")
    return inner.hub.migrations.run(connection_id, plan, view)


def _resume(inner: Session, run_id: UUID, view: ProgressView) -> RunResult:
    """Go on with an interrupted run. An interrupted undo is finished first, and then there is nothing to certify."""
    inner.out.say("[dim]3/7[/dim] An earlier run was interrupted, so its plan stands")
    inner.out.say("[dim]4/7[/dim] Going on with it")
    from migration.undo import UndoResult

    outcome = inner.hub.migrations.resume(run_id, view)
    if isinstance(outcome, UndoResult):
        raise ConfigurationError("An interrupted undo of the demo is finished now.", remedy="Run the demo again.")
    return outcome


def problems(outcome: RunResult) -> Iterator[str]:
    """What is not as it should be after a run, in words."""
    for name, row in outcome.ledgers.items():
        if not row.adds_up:
            yield f"{name}: {row.source:,} records listed, but {row.decided:,} accounted for."
    if outcome.certificate is None:
        yield "There is no certificate."
    elif not outcome.certificate.ok:
        yield outcome.certificate.verdict


def invoked() -> str:
    """The command as a shell finds it: `make demo` runs one that is not on the PATH."""
    given = Path(sys.argv[0])
    on_path = given.name != "syncline" or shutil.which("syncline") is not None
    return "syncline" if on_path else escape(quote(str(given)))


def _shown(inner: Session, finished: Finished) -> list[Any]:
    home = inner.settings.home
    run_id, at = show.short(finished.outcome.run_id), escape(f"--home {quote(str(home))}")
    return [
        *show.run(finished.outcome),
        *_in_step(finished.live, home),
        *(f"[red]Not as it should be:[/red] {problem}" for problem in finished.missing),
        f"\nThe certificate as a page:  {escape(str(finished.page))}",
        f"The plan it followed:       {escape(str(home / 'plan.toml'))}",
        f"The runs:                   {invoked()} migrate status {at}",
        f"Records set aside:          {invoked()} dead-letters list {at}",
        f"Take it all back:           {invoked()} migrate undo {run_id} {at}",
    ]


def _in_step(live: Live | None, home: Path) -> list[str]:
    if live is None or live.missing:
        return []
    return [
        f"\n{live.contacts:,} contacts stand in Salesforce, in the hub and in HubSpot; an edit on each side was on the other two "
        f"after {live.seconds:.1f} s.",
        f"Why a value is as it is:    syncline explain contact {live.contact} --home {home}",
    ]


def _stay(inner: Session, sandbox: SandboxProcess) -> None:
    try:
        inner.out.say(
            f"\nThe database ({inner.hub.address()}) and the sandbox ({sandbox.url}) stay up. Ctrl-C stops both."
        )
        if hasattr(signal, "pause"):
            signal.pause()
        else:
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        inner.out.say("Stopping …")
