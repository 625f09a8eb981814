"""`syncline sync`: which objects of which connections are kept in step, by which rules, and how they stand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli.exits import DIFFERENCES
from cli.noted import note, note_alone
from cli.output import duration, table
from cli.progress import ProgressView, watched
from cli.session import Session, command
from domain.errors import ConfigurationError, RunInProgressError, TransientError

if TYPE_CHECKING:
    from bootstrap.syncing import Syncs
    from bootstrap.syncing_rules import StreamSettings
    from storage.database import Connection
    from storage.streams import Stream
    from sync_engine.engine import Report

app = typer.Typer(help="Keep connections and the hub in step.", no_args_is_help=True)

_WANT_A_PERSON = ("reauth", "stopped", "braked")

SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help="The connection's name or id.")]
ObjectsOption = Annotated[
    list[str] | None, typer.Option("--object", metavar="NAME", help="Only this object; repeatable.")
]

StagesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="NAME=ID",
        help="What a stage of this vendor (by its id) is called elsewhere; repeatable. Stages of the same name need none.",
    ),
]
PipelinesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pipeline",
        metavar="NAME=ID",
        help="The same for a pipeline; * for NAME: the one of records whose pipeline has no counterpart here.",
    ),
]

NoCreatesOption = Annotated[
    bool, typer.Option("--no-creates", help="Exchange only records that are linked or match; create none.")
]
LeadStagesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lead-stage",
        metavar="STAGE",
        help="Of HubSpot's contact_leads: a lifecycle stage, by its internal name, in which a contact is a lead; repeatable. "
        "Without it: subscriber, lead, marketingqualifiedlead, salesqualifiedlead.",
    ),
]
ConvertedOption = Annotated[
    str | None,
    typer.Option(
        "--converted-stage",
        metavar="STAGE",
        help="Of HubSpot's contact_leads: the stage of a contact whose lead was converted elsewhere, opportunity unless given; "
        "'' for none.",
    ),
]


@command(app, "add")
def add(
    session: Session,
    source: SourceArgument,
    objects: ObjectsOption = None,
    direction: Annotated[
        str, typer.Option("--direction", metavar="DIRECTION", help="both, in (only read) or out (only written).")
    ] = "both",
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="POLICY",
            help="Who wins a field that both sides changed: hub_wins, vendor_wins, newest, prefer_nonblank or ask.",
        ),
    ] = "hub_wins",
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="FIELD=POLICY", help="Another policy for one field; repeatable."),
    ] = None,
    deletes: Annotated[
        str,
        typer.Option(
            "--deletes",
            metavar="POLICY",
            help="What a delete on one side does on the other: propagate, archive (keep the record, stop exchanging it) or ignore.",
        ),
    ] = "propagate",
    key_field: Annotated[
        str | None,
        typer.Option(
            "--key-field",
            metavar="FIELD",
            help="The vendor's unique field that may hold the hub's ids, so that no create is ever doubled.",
        ),
    ] = None,
    make_key_field: Annotated[
        bool,
        typer.Option("--make-key-field", help="Let the connector make that field at the vendor, where it can."),
    ] = False,
    stages: StagesOption = None,
    pipelines: PipelinesOption = None,
    lead_stages: LeadStagesOption = None,
    converted_stage: ConvertedOption = None,
    no_creates: NoCreatesOption = False,
) -> None:
    """Keep objects of a connection in step from now on; without --object those that leave no choice."""
    from bootstrap.syncing import syncing
    from cli.sources import find_connection

    settings = replace(
        _settings(direction, policy, fields or (), deletes, key_field, creates=not no_creates),
        names=(*_names("stage", stages or ()), *_names("pipeline", pipelines or ())),
        lead_stages=tuple(lead_stages or ()),
        converted_stage=converted_stage,
    )
    of = find_connection(session, source).id
    with syncing(session.hub) as syncs:
        made = syncs.add(of, objects or syncs.usual(of), settings, make_key_field=make_key_field, noting=_note_added)
    session.out.result([_plain(s) for s in made], _table(session, made))


def _note_added(conn: Connection, made: Sequence[Stream]) -> None:
    for one in made:
        note(conn, "stream.add", "stream", f"{one.connection_id}/{one.object}", {"rules": sorted(one.settings)})


def _names(entity: str, given: Sequence[str]) -> list[tuple[str, str, str]]:
    """``Name=id`` as (entity, name, vendor id); the name may hold the sign, too."""
    parts = [text.rpartition("=") for text in given]
    for name, _, vendor_id in parts:
        if not name.strip() or not vendor_id.strip():
            raise ConfigurationError(
                f"--{entity} takes a name and the vendor's id of the {entity}, with = between them.",
                remedy=f"For example --{entity} 'Closed Won=closedwon'.",
                code="bad_setting",
            )
    return [(entity, name.strip(), vendor_id.strip()) for name, _, vendor_id in parts]


def _settings(
    direction: str, policy: str, fields: Sequence[str], deletes: str, key_field: str | None, *, creates: bool
) -> StreamSettings:
    from bootstrap.syncing_rules import StreamSettings

    return StreamSettings.from_json(
        {
            "direction": _one_of(direction, ("both", "in", "out")),
            "policy": _policy(policy),
            "policies": dict(_field_policy(text) for text in fields),
            "deletes_in": _one_of(deletes, ("propagate", "archive", "ignore")),
            "deletes_out": deletes,
            "key_field": key_field,
            "creates_in": creates,
            "creates_out": creates,
        }
    )


@command(app, "remove")
def remove(
    session: Session,
    source: SourceArgument,
    objects: Annotated[list[str], typer.Option("--object", metavar="NAME", help="The object; repeatable.")],
) -> None:
    """Stop keeping objects in step. Records and links stay as they are."""
    from cli.sources import find_connection
    from storage import streams

    connection = find_connection(session, source)
    with session.hub.db.tenant(session.tenant_id) as conn:
        gone = [name for name in objects if streams.remove(conn, connection.id, name)]
        for name in gone:
            note(conn, "stream.remove", "stream", f"{connection.id}/{name}")
    session.out.result({"removed": gone}, f"No longer kept in step: {', '.join(gone) or 'nothing'}.")


@command(app, "status")
def status(session: Session) -> None:
    """Show how every stream stands: up to when it has been compared, its ledger, and what stops it."""
    from bootstrap.syncing import order_of
    from storage import streams

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = sorted(streams.list_all(conn), key=lambda s: (order_of(s.entity), s.object))
    shown = _table(session, found) if found else "Nothing is kept in step yet: add it with `syncline sync add`."
    session.out.result([_plain(s) for s in found], shown)


@command(app, "runs")
def runs(
    session: Session,
    source: SourceArgument,
    object_name: Annotated[str, typer.Option("--object", metavar="NAME", help="The object.")],
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=500, help="At most so many.")] = 20,
) -> None:
    """Show single passes over a stream, the newest first: what became of records, calls made, and why one ended early."""
    from cli.sources import find_connection
    from storage import stream_runs, streams

    connection = find_connection(session, source)
    with session.hub.db.tenant(session.tenant_id) as conn:
        streams.get(conn, connection.id, object_name)
        found = stream_runs.page(conn, connection.id, object_name, before=None, limit=limit)
    rows = [
        (
            r.started_at,
            r.kind,
            "" if r.ended_at is None else duration((r.ended_at - r.started_at).total_seconds()),
            _counted(r.counts),
            r.calls,
            r.code or r.stopped or ("still running" if r.ended_at is None else ""),
        )
        for r in found
    ]
    columns = ("began", "kind", "took", "records", "calls", "why it ended")
    session.out.result(
        [asdict(r) | {"status": r.status} for r in found],
        table(columns, rows) if found else "Nothing is known of any pass yet.",
    )


@command(app, "run")
def run(
    session: Session,
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE…", help="Connections by name; without any: all.")
    ] = None,
) -> None:
    """Exchange changes until nothing is left to exchange. `syncline worker` does the same all the time."""
    from bootstrap.syncing import syncing
    from cli.sources import find_connection
    from domain.collecting import SYNCING, collect_rarely

    wanted = [find_connection(session, name).id for name in sources] if sources else None

    def told(stream: Stream, report: Report) -> None:
        what = ", ".join(f"{count} {name}" for name, count in sorted(report.counts.items()))
        if what or report.stopped:
            session.out.say(f"{stream.object}: {what or 'nothing'}{f' ({report.stopped})' if report.stopped else ''}")

    note_alone(session, "stream.run", "connection", "several", {"connections": [str(c) for c in wanted or ()]})
    with syncing(session.hub) as syncs:
        collect_rarely(SYNCING)
        rounds = syncs.settle(wanted, on_pass=told)
        found = syncs.list()
    session.out.result({"rounds": rounds, "streams": [_plain(s) for s in found]}, _table(session, found))


@command(app, "compare")
def compare(session: Session, source: SourceArgument, objects: ObjectsOption = None) -> None:
    """Compare every record with the vendor's now, and take over what differs. One that was interrupted goes on where it stopped.

    Finds what no listing of changes tells, and what vanished without a trace. Where workers run, they do so from time to time.
    """
    from bootstrap.syncing import syncing
    from cli.sources import find_connection
    from domain.collecting import SYNCING, collect_rarely

    connection = find_connection(session, source)
    with syncing(session.hub) as syncs, watched(session.out, go_on=f"syncline sync compare {source}") as view:
        collect_rarely(SYNCING)
        chosen = _to_compare(session, connection.id, syncs.list(connection.id), objects)
        asked = {"objects": [s.object for s in chosen]}
        note_alone(session, "stream.compare", "connection", connection.id, asked)
        reports = {s.object: _compare(syncs, s, view) if _comparable(s) else None for s in chosen}
        now = {s.object: s for s in syncs.list(connection.id)}
    found = [_Comparison.of(now.get(s.object, s), reports[s.object]) for s in chosen]
    columns = ("object", "entity", "outcome", "listed", "records", "compared up to", "why")
    rows = [(c.object, c.entity, c.outcome, c.listed, _counted(c.counts), c.verified_at, c.why) for c in found]
    shown = table(columns, rows, numbers=("listed",))
    session.out.result(
        found, shown if found else f"Nothing of {source} is kept in step yet: add it with `syncline sync add`."
    )
    _finish(session, found)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What came of one object. ``listed``: how many records the vendor listed, None where it was not to the end.

    ``counts``: what became of those that had to be looked at. ``why``: what stops the stream.
    """

    object: str
    entity: str
    outcome: str
    listed: int | None
    counts: Mapping[str, int]
    verified_at: datetime | None
    why: str

    @classmethod
    def of(cls, now: Stream, report: Report | None) -> _Comparison:
        counts = {} if report is None else {name: n for name, n in report.counts.items() if n}
        listed = report.listed if report is not None and not report.stopped else None
        return cls(now.object, now.entity, _outcome(now, report), listed, counts, now.verified_at, _reason(now))


def _outcome(now: Stream, report: Report | None) -> str:
    if report is not None and not report.stopped:
        return "compared" if report.compared else "read for the first time"
    if report is not None and report.stopped == "busy":
        return "busy"
    return now.status if now.status != "idle" else "only written"


def _comparable(stream: Stream) -> bool:
    return stream.status == "idle" and stream.settings.get("direction") != "out"


def _to_compare(session: Session, connection_id: UUID, known: list[Stream], objects: list[str] | None) -> list[Stream]:
    """The streams that are meant, parents first. Raises ConfigurationError for one that was named and cannot be compared."""
    from storage import streams

    if not objects:
        return known
    with session.hub.db.tenant(session.tenant_id) as conn:
        named = {name: streams.get(conn, connection_id, name) for name in objects}
    for name, stream in named.items():
        if stream.status != "idle":
            raise ConfigurationError(
                f"{name} is {stream.status}, so it is not compared.",
                remedy="`syncline sync status` says why; mend that, and go on with `syncline sync resume`.",
                code="stream_stopped",
            )
        if not _comparable(stream):
            raise ConfigurationError(
                f"{name} is only written, so there is nothing to compare.",
                remedy="Add it again with --direction both, and it is read, too.",
                code="bad_setting",
            )
    return [stream for stream in known if stream.object in named]


def _compare(syncs: Syncs, stream: Stream, view: ProgressView) -> Report:
    """One comparison, shown as it comes on. Raises what ended it early, unless that is the brake or somebody else at work."""
    from migration.progress import Progress

    total, began = syncs.store.live_links(syncs.lane(stream)) or None, time.monotonic()
    phase = "read" if stream.verified_at is None else "compared"

    def told(report: Report, *, finished: bool = False) -> None:
        elapsed = time.monotonic() - began
        rate = report.listed / elapsed if elapsed > 0.2 else None
        view(Progress(stream.object, phase, report.listed, total, rate, dict(report.counts), finished))

    report = syncs.compare(stream, told)
    if report.error is not None:
        raise report.error
    if report.stopped == "incomplete":
        raise TransientError(
            f"The vendor's listing of {stream.object} broke off.",
            remedy="Compare again: it goes on where it stopped.",
            code="bad_reply",
        )
    told(report, finished=not report.stopped)
    return report


def _finish(session: Session, found: Sequence[_Comparison]) -> None:
    """Say what is left to do, and leave with the exit code of that."""
    if any(c.counts.keys() - {"unchanged", "superseded", "skipped"} for c in found):
        session.out.say("What was taken over goes on to other connections with `syncline sync run`, or by the workers.")
    if busy := [c.object for c in found if c.outcome == "busy"]:
        raise RunInProgressError(
            f"{', '.join(busy)}: being synchronised right now.",
            remedy="Workers compare it next. Where none run, compare again in a moment.",
            code="lane_busy",
        )
    if any(c.outcome in _WANT_A_PERSON for c in found):
        raise typer.Exit(DIFFERENCES)


@command(app, "pause")
def pause(session: Session, source: SourceArgument, objects: ObjectsOption = None) -> None:
    """Stop exchanging; changes collect meanwhile."""
    _set_status(session, source, objects, "paused")


@command(app, "resume")
def resume(session: Session, source: SourceArgument, objects: ObjectsOption = None) -> None:
    """Go on exchanging after a pause, after signing in again, or after deletes were found to be meant."""
    _set_status(session, source, objects, "idle")


def _set_status(session: Session, source: str, objects: list[str] | None, status: str) -> None:
    from bootstrap.syncing import syncing
    from cli.sources import find_connection

    connection = find_connection(session, source)
    action = "stream.pause" if status == "paused" else "stream.resume"
    note_alone(session, action, "connection", connection.id, {"objects": list(objects or ())})
    with syncing(session.hub) as syncs:
        count = syncs.set_status(connection.id, status, objects or ())
    session.out.result({"streams": count, "status": status}, f"{count} streams are {status} now.")


def _table(session: Session, found: list[Stream]) -> Any:
    from storage import connections

    with session.hub.db.tenant(session.tenant_id) as conn:
        names = {c.id: c.name for c in connections.list_all(conn)}
    rows = [
        (names.get(s.connection_id), s.object, s.entity, _direction(s), s.status, s.verified_at, _ledger(s), _reason(s))
        for s in found
    ]
    return table(("connection", "object", "entity", "direction", "state", "compared up to", "ledger", "why"), rows)


def _direction(stream: Stream) -> str:
    return str(stream.settings.get("direction", "both")) if stream.pushes else "in"


def _ledger(stream: Stream) -> str:
    return _counted(stream.counts)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _reason(stream: Stream) -> str:
    return str((stream.reason or {}).get("message", ""))


def _plain(stream: Stream) -> dict[str, Any]:
    hidden = ("settings", "cursor", "resync", "writes")
    told = {name: getattr(stream, name) for name in type(stream).__slots__ if name not in hidden}
    return {**told, "settings": {n: v for n, v in stream.settings.items() if n != "spec"}}


def _policy(text: str) -> str:
    from sync_engine.core.model import Policy

    return _one_of(text, tuple(str(p) for p in Policy))


def _field_policy(text: str) -> tuple[str, str]:
    name, _, policy = text.partition("=")
    return name.strip(), _policy(policy.strip())


def _one_of(text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise ConfigurationError(f"{text!r} is not understood.", remedy=f"Choose one of: {', '.join(known)}.")
    return text
