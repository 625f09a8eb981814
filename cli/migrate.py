"""`syncline migrate`: audit, plan, approve, dry-run, run, status, resume, report, undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli import show
from cli.exits import DIFFERENCES
from cli.progress import ProgressView
from cli.session import Session, command
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from storage.connections import StoredConnection

app = typer.Typer(
    help="Move a CRM, or a folder of exported files, into the canonical store.",
    no_args_is_help=True,
)

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A connection's name or id, or the path of a file, folder or archive.")
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="The plan file. Default: SOURCE-plan.toml in the current folder."),
]
RunId = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run's id, or its first characters. Default: the latest run.")
]
Objects = Annotated[
    list[str] | None, typer.Option("--object", metavar="NAME", help="Only this object; may be given several times.")
]


@command(app)
def audit(session: Session, source: Source, objects: Objects = None) -> None:
    """Look at everything in the source: objects, counts, fill rates, duplicates, orphans, time to migrate. Writes nothing."""
    connection = _open(session, source)
    with _watched(session) as on_progress:
        found = session.hub.migrations.audit(connection.id, objects=objects or None, on_progress=on_progress)
    session.out.result(found, *show.audit(found))
    session.out.say(f"Next: [bold]syncline migrate plan {source}[/bold]")


@command(app)
def plan(
    session: Session,
    source: Source,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write it. Default: SOURCE-plan.toml here.")
    ] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve the proposal as it stands.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing plan file.")] = False,
    objects: Objects = None,
) -> None:
    """Propose how everything maps, as a file that a person edits and approves."""
    from cli import plans

    connection = _open(session, source)
    path = out or plans.default_path(connection.name)
    if path.exists() and not overwrite:
        plans.refuse_overwriting(path)
    with _watched(session) as on_progress:
        proposal = session.hub.migrations.plan(connection.id, objects=objects or None, on_progress=on_progress)
    if approve:
        proposal = proposal.approve()
    plans.write_plan(proposal, path, overwrite=overwrite)
    session.out.result(show.plan_json(proposal, path), *show.plan(proposal))
    session.out.say(f"Written to [bold]{path}[/bold].")
    if not approve:
        session.out.say(f"Read it, edit it, then: [bold]syncline migrate approve {path}[/bold]")


@command(app, "approve")
def approve_plan(
    session: Session, file: Annotated[Path, typer.Argument(metavar="FILE", help="The plan file.")]
) -> None:
    """Approve a plan file as it stands now. A later edit takes the approval back."""
    from cli import plans

    approved = plans.read_plan(file).approve()
    plans.write_plan(approved, file, overwrite=True)
    session.out.result(
        {"plan": file, "approved": approved.checksum}, f"Approved {file} (checksum {approved.checksum[:12]})."
    )


@command(app, "dry-run")
def dry_run(
    session: Session,
    source: Source,
    plan_file: PlanFile = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N records of each object.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="PERCENT", help="A share of connected records, such as 10%.")
    ] = None,
) -> None:
    """Plan every record as a run would, and write none: what would be created, updated, merged, rejected, and why."""
    connection = _open(session, source)
    chosen = _plan_of(connection, plan_file)
    share = None if sample is None else percent(sample)
    with _watched(session) as on_progress:
        outcome = session.hub.migrations.dry_run(
            connection.id, chosen, limit=limit, sample=share, on_progress=on_progress
        )
    session.out.result(outcome, *show.dry_run(outcome))


@command(app)
def run(
    session: Session,
    source: Source,
    plan_file: PlanFile = None,
) -> None:
    """Migrate by an approved plan. Can be stopped and resumed at any moment; running again changes nothing."""
    connection = _open(session, source)
    chosen = _plan_of(connection, plan_file)
    with _watched(session, resumable=True) as on_progress:
        outcome = session.hub.migrations.run(connection.id, chosen, on_progress=on_progress)
    _finish(session, outcome)


@command(app)
def resume(session: Session, run_id: RunId = None) -> None:
    """Go on with a run that was interrupted. It ends as if it had never stopped."""
    chosen = _run_id(session, run_id)
    with _watched(session, resumable=True) as on_progress:
        outcome = session.hub.migrations.resume(chosen, on_progress=on_progress)
    _finish(session, outcome)


@command(app)
def status(session: Session, run_id: RunId = None) -> None:
    """Show runs and how far each has come."""
    runs = session.hub.migrations.status(_run_id(session, run_id) if run_id else None)
    session.out.result(runs, *show.runs(runs))


@command(app)
def report(
    session: Session,
    run_id: RunId = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the certificate as an HTML page.")
    ] = None,
) -> None:
    """The reconciliation certificate: is everything of the source accounted for, record by record, field by field?"""
    certificate = session.hub.migrations.report(_run_id(session, run_id))
    if html is not None:
        show.write_html(certificate, html)
        session.out.say(f"Written to [bold]{html}[/bold].")
    session.out.result(certificate, *show.certificate(certificate))
    if not certificate.ok:
        raise typer.Exit(DIFFERENCES)


@command(app)
def undo(
    session: Session,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its first characters.")],
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="STAGE", help="Only this stage, such as `transactions`.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also undo records that somebody edited since the run.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a run back: remove what it created, restore what it changed. Records edited since are kept, and listed."""
    chosen = _run_id(session, run_id)
    _confirm(f"Undo {'stage ' + stage if stage else 'the whole run'} {chosen}?", yes)
    with _watched(session, hint=f"syncline migrate undo {chosen}") as on_progress:
        outcome = session.hub.migrations.undo(chosen, stage=stage, force=force, on_progress=on_progress)
    session.out.result(outcome, *show.undo(outcome))
    if show.conflicts(outcome):
        raise typer.Exit(DIFFERENCES)


# ---------------------------------------------------------------- helpers


def _open(session: Session, source: str) -> StoredConnection:
    from cli.sources import resolve_source

    session.out.say("Opening the database …")
    return resolve_source(session, source)


def _plan_of(connection: StoredConnection, file: Path | None) -> Any:
    from cli import plans

    return plans.read_plan(file or plans.default_path(connection.name))


def percent(text: str) -> float:
    """``10%`` or ``10`` as 10.0. Raises a usage error outside 0–100."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 < value <= 100:
        raise typer.BadParameter("give a share above 0 and up to 100, such as 10%", param_hint="--sample")
    return value


def _run_id(session: Session, text: str | None) -> UUID:
    """The run that ``text`` begins, or the latest. Raises ConfigurationError for none or several."""
    known = session.hub.migrations.status(None)
    matching = [r for r in known if text is None or str(r.id).startswith(text.lower())]
    if not matching:
        what = f"There is no run {text}." if text else "There is no run yet."
        raise ConfigurationError(what, remedy="`syncline migrate status` lists them.", code="no_such_run")
    if text is not None and len(matching) > 1:
        raise ConfigurationError(f"{text} begins the ids of {len(matching)} runs.", remedy="Give more characters.")
    return matching[0].id


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


@contextmanager
def _watched(session: Session, *, resumable: bool = False, hint: str = "") -> Iterator[Callable[[Any], None]]:
    """Progress on stderr; after Ctrl-C, a sentence on how to go on."""
    try:
        with ProgressView(session.out.status) as view:
            yield view
    except KeyboardInterrupt:
        go_on = "syncline migrate resume" if resumable else hint
        session.out.say("Stopped." + (f" What is done is kept. Go on with: [bold]{go_on}[/bold]" if go_on else ""))
        raise


def _finish(session: Session, outcome: Any) -> None:
    session.out.result(outcome, *show.run(outcome))
    if not outcome.certificate.ok:
        raise typer.Exit(DIFFERENCES)
