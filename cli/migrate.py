"""`syncline migrate`: audit, plan, approve, dry-run, run, status, resume, report, undo, follow, cutover."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.markup import escape

from cli import show
from cli.asking import confirm
from cli.exits import DIFFERENCES
from cli.noted import note_alone
from cli.progress import watched
from cli.session import Session, command
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from migration.plan_model import Plan
    from migration.service import RunResult
    from migration.undo import UndoResult
    from storage.connections import StoredConnection

_RUNS_SEARCHED = 1_000

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
FinishedRun = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A finished run's id, or its first characters. Default: the latest, if only one source has one.",
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N records of each object.")
]
Sample = Annotated[
    str | None,
    typer.Option("--sample", metavar="PERCENT", help="Only a share of the records, connected ones, such as 10%."),
]
WithCertificate = Annotated[
    bool, typer.Option("--certificate/--no-certificate", help="Compare everything afterwards, field by field.")
]
Objects = Annotated[
    list[str] | None, typer.Option("--object", metavar="NAME", help="Only this object; may be given several times.")
]


@command(app)
def audit(session: Session, source: Source, objects: Objects = None) -> None:
    """Look at everything in the source: objects, counts, fill rates, duplicates, orphans, time to migrate. Writes nothing."""
    from bootstrap.planning import audit_source

    connection = _open(session, source)
    note_alone(session, "migration.audit", "connection", connection.id)
    with watched(session.out) as on_progress:
        found = audit_source(session.hub, connection.id, objects or None, on_progress)
    session.out.result(found, *show.audit(found))
    session.out.say(f"Next: [bold]syncline migrate plan {escape(quote(source))}[/bold]")


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
    from bootstrap.planning import plan_source
    from cli import plans

    connection = _open(session, source)
    path = out or plans.default_path(connection.name)
    if not overwrite:
        plans.refuse_overwriting(path)
    note_alone(session, "migration.plan", "connection", connection.id)
    with watched(session.out) as on_progress:
        proposal = plan_source(session.hub, connection.id, objects or None, on_progress)
    if approve:
        proposal = proposal.approve()
    plans.write_plan(proposal, path, overwrite=overwrite)
    session.out.result(show.plan_json(proposal, path), *show.plan(proposal))
    session.out.say(f"Written to [bold]{escape(str(path))}[/bold].")
    if not approve:
        session.out.say(f"Read it, edit it, then: [bold]syncline migrate approve {escape(quote(str(path)))}[/bold]")


@command(app, "approve")
def approve_plan(
    session: Session, file: Annotated[Path, typer.Argument(metavar="FILE", help="The plan file.")]
) -> None:
    """Approve a plan file as it stands now. A later edit takes the approval back."""
    from cli import plans

    checksum = plans.approve(file)
    session.out.result({"plan": file, "approved": checksum}, f"Approved {file} (checksum {checksum[:12]}).")


@command(app, "dry-run")
def dry_run(
    session: Session,
    source: Source,
    plan_file: PlanFile = None,
    limit: Limit = None,
    sample: Sample = None,
) -> None:
    """Plan every record as a run would, and write none: what would be created, updated, merged, rejected, and why."""
    share = percent(sample)
    connection = _open(session, source)
    chosen = _plan_of(connection, plan_file)
    note_alone(session, "migration.dry_run", "connection", connection.id, {"plan": chosen.checksum})
    with watched(session.out) as on_progress:
        outcome = session.hub.migrations.dry_run(connection.id, chosen, on_progress, limit=limit, percent=share)
    session.out.result(outcome, *show.dry_run(outcome))


@command(app)
def run(
    session: Session,
    source: Source,
    plan_file: PlanFile = None,
    limit: Limit = None,
    sample: Sample = None,
    certificate: WithCertificate = True,
) -> None:
    """Migrate by an approved plan. Can be stopped and resumed at any moment; running again changes nothing."""
    share = percent(sample)
    connection = _open(session, source)
    chosen = _plan_of(connection, plan_file)
    note_alone(session, "migration.run", "connection", connection.id, {"plan": chosen.checksum})
    with watched(session.out, go_on="syncline migrate resume") as on_progress:
        outcome = session.hub.migrations.run(
            connection.id, chosen, on_progress, limit=limit, percent=share, certificate=certificate
        )
    _finish(session, outcome)


@command(app)
def resume(session: Session, run_id: RunId = None, certificate: WithCertificate = True) -> None:
    """Go on with a run, or an undo, that was interrupted. It ends as if it had never stopped."""
    chosen = _run_id(session, run_id) if run_id else None
    note_alone(session, "migration.resume", "run", chosen or "latest")
    with watched(session.out, go_on="syncline migrate resume") as on_progress:
        outcome = session.hub.migrations.resume(chosen, on_progress, certificate=certificate)
    _finish(session, outcome)


@command(app)
def status(session: Session, run_id: RunId = None) -> None:
    """Show runs and how far each has come."""
    found = session.hub.migrations.status(_run_id(session, run_id) if run_id else None)
    session.out.result(found, *show.runs(found))


@command(app)
def report(
    session: Session,
    run_id: RunId = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the certificate as an HTML page.")
    ] = None,
) -> None:
    """The reconciliation certificate: is everything of the source accounted for, record by record, field by field?"""
    found = session.hub.migrations.report(_run_id(session, run_id) if run_id else None)
    if html is not None:
        show.write_text(found.to_html(), html)
        session.out.say(f"Written to [bold]{html}[/bold].")
    session.out.result(found, *show.certificate(found))
    if not found.ok:
        raise typer.Exit(DIFFERENCES)


@command(app)
def undo(
    session: Session,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its first characters.")],
    stages: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", metavar="STAGE", help="Only this stage or object, such as `transactions` or `Contact`."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also undo records that somebody edited since the run.")
    ] = False,
    also_at_vendors: Annotated[
        bool,
        typer.Option(
            "--also-at-vendors", help="Also delete what streams made of its records at other vendors; else that stays."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a run back: remove what it created, restore what it changed. Records edited since are kept, and listed.

    Says first how many of its records streams have sent on to other vendors. What stays there, a stream of that vendor brings back
    into the hub.
    """
    chosen = _run_id(session, run_id)
    for line in show.sent_on(session.hub.migrations.sent_on(chosen, stages or None), gone=also_at_vendors):
        session.out.say(line)
    if not yes:
        confirm(f"Undo {', '.join(stages) + ' of run' if stages else 'the whole run'} {chosen}?")
    asked = {"stages": list(stages or ()), "force": force, "also_at_vendors": also_at_vendors}
    note_alone(session, "migration.undo", "run", chosen, asked)
    with watched(session.out, go_on=f"syncline migrate resume {chosen}") as on_progress:
        outcome = session.hub.migrations.undo(
            chosen, objects=stages or None, force=force, also_at_vendors=also_at_vendors, on_progress=on_progress
        )
    _finish(session, outcome)


@command(app)
def follow(
    session: Session,
    run_id: FinishedRun = None,
    once: Annotated[bool, typer.Option("--once", help="Take over what changed until now, and end.")] = False,
    every: Annotated[
        int, typer.Option("--every", min=1, metavar="SECONDS", help="How long to wait between passes.")
    ] = 60,
    policy: Annotated[
        str,
        typer.Option("--policy", metavar="POLICY", help="Who wins a field that was changed on both sides meanwhile."),
    ] = "vendor_wins",
) -> None:
    """Keep the source's changes coming after a run, until the day of the cut-over. Ctrl-C stops; nothing is lost by it."""
    import time

    from bootstrap.following import catch_up
    from bootstrap.following import follow as begin
    from bootstrap.syncing import syncing
    from sync_engine.core.model import Policy

    if policy not in tuple(Policy):
        raise ConfigurationError(f"There is no policy {policy}.", remedy=f"Choose one of: {', '.join(Policy)}.")
    chosen = _finished(session, run_id)
    note_alone(session, "migration.follow", "run", chosen, {"policy": policy})
    with syncing(session.hub) as syncs:
        run, left_out = begin(session.hub, syncs, chosen, Policy(policy))
        if left_out:
            session.out.say(f"Not followed, another run brings their changes: {', '.join(left_out)}.")
        total = catch_up(syncs, run.connection_id)
        session.out.say(f"{total:,} changes taken over.")
        while not once:
            time.sleep(every)
            if changed := catch_up(syncs, run.connection_id):
                total += changed
                session.out.say(f"{changed:,} changes taken over.")
    session.out.result(
        {"run_id": run.id, "changes": total, "not_followed": left_out},
        f"In step with the source: {total:,} changes taken over. When the day has come: syncline migrate cutover",
    )


@command(app)
def cutover(
    session: Session,
    run_id: FinishedRun = None,
    back: Annotated[bool, typer.Option("--take-back", help="Go on following: the cut-over is called off.")] = False,
) -> None:
    """Stop following after a last pass, and compare everything with the source."""
    from bootstrap.following import cut_over, take_back
    from bootstrap.syncing import syncing
    from cli.output import table

    chosen = _finished(session, run_id)
    note_alone(session, "migration.cutover", "run", chosen, {"take_back": back})
    with syncing(session.hub) as syncs:
        if back:
            count = take_back(session.hub, syncs, chosen)
            session.out.result({"run_id": chosen, "followed": count}, f"{count} objects are followed again.")
            return
        done = cut_over(session.hub, syncs, chosen)
    rows = [
        (
            o.object,
            o.listed if o.compared else None,
            o.linked if o.compared else None,
            len(o.only_there),
            len(o.only_here),
            len(o.changed),
            "same" if o.ok else ("listed whole, not comparable" if not o.compared else f"{o.differences} differ"),
        )
        for o in done.objects
    ]
    shown = table(
        ("object", "at the source", "here", "only there", "only here", "changed there", "verdict"),
        rows,
        numbers=("at the source", "here", "only there", "only here", "changed there"),
    )
    verdict = "Both sides agree." if done.ok else "The sides differ; the table says where."
    if not any(o.compared for o in done.objects):
        verdict = "Nothing could be compared: this vendor lists no versions of its records. Compare numbers by hand."
    told = {"run_id": done.run_id, "at": done.at, "ok": done.ok, "objects": done.objects, "not_followed": done.left_out}
    session.out.result(told, shown, verdict)
    if not done.ok:
        raise typer.Exit(DIFFERENCES)


# ---------------------------------------------------------------- helpers


def _open(session: Session, source: str) -> StoredConnection:
    from cli.sources import resolve_source

    session.out.say("Opening the database …")
    return resolve_source(session, source)


def _plan_of(connection: StoredConnection, file: Path | None) -> Plan:
    from cli import plans

    return plans.read_plan(file or plans.default_path(connection.name))


def percent(text: str | None) -> float | None:
    """``10%`` or ``10`` as 10.0. Raises a usage error outside 0–100."""
    if text is None:
        return None
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 < value <= 100:
        raise typer.BadParameter("give a share above 0 and up to 100, such as 10%", param_hint="--sample")
    return value


def _run_id(session: Session, text: str) -> UUID:
    """The run whose id begins with ``text``. Raises ConfigurationError for none or several."""
    known = [s.run.id for s in session.hub.migrations.status(limit=_RUNS_SEARCHED)]
    matching = [i for i in known if str(i).startswith(text.lower())]
    if not matching:
        raise ConfigurationError(
            f"There is no run {text}.", remedy="`syncline migrate status` lists them.", code="no_such_run"
        )
    if len(matching) > 1:
        raise ConfigurationError(
            f"{text} begins the ids of {len(matching)} runs.", remedy="Give more characters.", code="no_such_run"
        )
    return matching[0]


def _finished(session: Session, text: str | None) -> UUID:
    """The finished run to go on from, which is said: the named one, or the newest of the only source that has one."""
    run, _ = session.hub.migrations.finished(_run_id(session, text) if text else None)
    (status,) = session.hub.migrations.status(run.id)
    session.out.say(f"Run {run.id} of {status.connection_name}, begun {run.started_at:%Y-%m-%d %H:%M} UTC.")
    return run.id


def _finish(session: Session, outcome: RunResult | UndoResult) -> None:
    """Show how a run or an undo ended, and leave with the exit code of that."""
    from migration.undo import UndoResult

    if isinstance(outcome, UndoResult):
        session.out.result(outcome, *show.undo(outcome))
        fine = not outcome.kept_total
    else:
        session.out.result(outcome, *show.run(outcome))
        fine = outcome.certificate is None or outcome.certificate.ok
    if not fine:
        raise typer.Exit(DIFFERENCES)
