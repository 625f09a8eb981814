"""`syncline dead-letters`: records that were set aside, why, what mends them, and putting them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from bootstrap.error_codes import registry
from cli.output import table
from cli.session import Session, command
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from bootstrap.syncing import Syncs
    from storage.dead_letters import Filter, Letter

app = typer.Typer(
    help="Records that were set aside: why, what mends them, and putting them back.", no_args_is_help=True
)

SourceOption = Annotated[str | None, typer.Option("--source", metavar="SOURCE", help="Only those of this connection.")]
ObjectOption = Annotated[str | None, typer.Option("--object", metavar="NAME", help="Only those of this object.")]
CodeOption = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those of this cause.")]
GroupOption = Annotated[str | None, typer.Option("--group", metavar="GROUP", help="Only those of this group.")]
RecordOption = Annotated[str | None, typer.Option("--record", metavar="ID", help="Only those of this vendor record.")]
SinceOption = Annotated[
    datetime | None, typer.Option("--since", metavar="TIME", help="Only those that failed at or after this time (UTC).")
]
UntilOption = Annotated[
    datetime | None, typer.Option("--until", metavar="TIME", help="Only those that failed before this time (UTC).")
]
StatusOption = Annotated[str, typer.Option("--status", metavar="STATUS", help="open, resolved or all.")]
LetterArgument = Annotated[UUID, typer.Argument(metavar="LETTER", help="The letter's id.")]
LettersArgument = Annotated[list[UUID] | None, typer.Argument(metavar="LETTER…", help="Letters by id.")]


@command(app, "list")
def list_letters(
    session: Session,
    source: SourceOption = None,
    object_name: ObjectOption = None,
    code: CodeOption = None,
    group: GroupOption = None,
    record: RecordOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    status: StatusOption = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 50,
    payload: Annotated[
        bool, typer.Option("--payload", help="With --json: show the raw records, too. They hold customer data.")
    ] = False,
) -> None:
    """List dead letters, grouped by cause and one by one."""
    from storage import dead_letters

    wanted = _filter(session, None, source, object_name, code, group, record, since, until, status)
    with session.hub.db.tenant(session.tenant_id) as conn:
        causes = dead_letters.groups(conn, wanted)
        letters = dead_letters.list_letters(conn, wanted, limit=limit)
    shown: list[Any] = ["Nothing is set aside."]
    if causes:
        shown = [
            table(
                ("records", "object", "cause", "field", "for example"),
                [(c.count, c.object, c.code, c.field, c.message) for c in causes],
                numbers=("records",),
            ),
            table(
                ("letter", "object", "record", "where", "what is wrong", "tries"),
                [
                    (a.id, a.object, a.vendor_id, a.place, a.message.removeprefix(f"{a.place}: "), a.attempts)
                    for a in letters
                ],
                numbers=("tries",),
            ),
        ]
    session.out.result({"causes": causes, "letters": [_plain(a, payload) for a in letters]}, *shown)


@command(app, "groups")
def groups(
    session: Session,
    source: SourceOption = None,
    object_name: ObjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    status: StatusOption = "open",
) -> None:
    """List causes: how many records each holds, whose fault it is, and what mends it."""
    from storage import dead_letters

    wanted = _filter(session, None, source, object_name, None, None, None, since, until, status)
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = dead_letters.groups(conn, wanted)
    rows = [(g.fingerprint, g.count, g.object, g.code, g.field, _fault(g.fault), _fix(g.code)) for g in found]
    shown = table(
        ("group", "records", "object", "cause", "field", "whose", "what mends it"), rows, numbers=("records",)
    )
    session.out.result(found, shown if found else "Nothing is set aside.")


@command(app, "show")
def show(
    session: Session,
    letter: LetterArgument,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show the raw record, too. It holds customer data.")
    ] = False,
) -> None:
    """Show one letter: what failed, why, and what mends it."""
    from storage import dead_letters

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = dead_letters.get(conn, letter)
    known = registry().get(found.code)
    facts = [(name, value) for name, value in _plain(found, with_payload=False).items() if value is not None]
    facts += [("what it means", known.means), ("what mends it", known.fix)] if known else []
    shown: list[Any] = [table(("", ""), facts)]
    if payload:
        shown.append(table(("field", "value"), [(k, v) for k, v in dict(found.payload or {}).items()]))
    told = {**_plain(found, payload), "means": known.means if known else "", "fix": known.fix if known else ""}
    session.out.result(told, *shown)


@command(app, "edit")
def edit(
    session: Session,
    letter: LetterArgument,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the source and its right value; repeatable."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="FIELD", help="A field to take out; repeatable.")
    ] = None,
) -> None:
    """Mend the record that a letter holds. What the source sent stays on record; nothing is applied before a replay."""
    from storage import dead_letters

    changes = dict(_pair(text) for text in values or ())
    if not changes and not remove:
        raise ConfigurationError("Nothing to change was named.", remedy="Give --set FIELD=VALUE or --remove FIELD.")
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = dead_letters.get(conn, letter)
        if not isinstance(found.payload, dict):
            raise ConfigurationError(
                "This letter holds no whole record.", remedy="Mend it in the source and read it again."
            )
        kept = {k: v for k, v in found.payload.items() if k not in set(remove or ())}
        dead_letters.edit(conn, letter, {**kept, **changes})
    session.out.result(
        {"letter": letter, "set": sorted(changes), "removed": sorted(remove or ())},
        f"The letter holds the mended record. Look at it with `syncline dead-letters preview {letter}`, "
        f"then `syncline dead-letters replay {letter}`.",
    )


@command(app, "preview")
def preview(
    session: Session,
    letters: LettersArgument = None,
    source: SourceOption = None,
    object_name: ObjectOption = None,
    code: CodeOption = None,
    group: GroupOption = None,
    record: RecordOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 20,
) -> None:
    """Show what replaying would change, field by field. Changes nothing."""
    wanted = _filter(session, letters, source, object_name, code, group, record, since, until, "open")
    with _syncs(session) as syncs:
        found = syncs.replays.preview(wanted, limit)
    rows = [
        (p.letter, p.vendor_id, p.outcome, name or "", before, after, p.problem)
        for p in found
        for name, (before, after) in (p.changes.items() or [("", (None, None))])
    ]
    shown = table(("letter", "record", "would be", "field", "now", "then", "problem"), rows)
    session.out.result(found, shown if found else "Nothing to replay.")


@command(app, "replay")
def replay(
    session: Session,
    letters: LettersArgument = None,
    source: SourceOption = None,
    object_name: ObjectOption = None,
    code: CodeOption = None,
    group: GroupOption = None,
    record: RecordOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every open letter.")] = False,
) -> None:
    """Put records back through the ordinary path, mapped anew. Older than what the hub knows: superseded. Twice: no change."""
    wanted = _filter(session, letters, source, object_name, code, group, record, since, until, "open")
    _require_choice(everything, letters, source, object_name, code, group, record, since, until)
    done = [0]

    def progress(count: int) -> None:
        done[0] += count
        session.out.say(f"{done[0]} letters looked at …")

    with _syncs(session) as syncs:
        result = syncs.replays.replay(wanted, progress)
    rows = [(name, count) for name, count in sorted(result.counts.items())]
    shown: list[Any] = [table(("ended as", "letters"), rows, numbers=("letters",)) if rows else "Nothing to replay."]
    shown += [f"  {count} × {problem}" for problem, count in result.problems.most_common(10)]
    session.out.result({"counts": result.counts, "problems": result.problems}, *shown)
    if result.counts["still open"]:
        raise typer.Exit(1)


@command(app, "discard")
def discard(
    session: Session,
    letters: LettersArgument = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays on record.")] = "",
    source: SourceOption = None,
    object_name: ObjectOption = None,
    code: CodeOption = None,
    group: GroupOption = None,
    record: RecordOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Close letters without applying them. They stay listed with --status resolved until their retention ends."""
    from storage import dead_letters

    if not reason.strip():
        raise ConfigurationError("A letter is not discarded without a reason.", remedy="Say why with --reason.")
    wanted = _filter(session, letters, source, object_name, code, group, record, since, until, "open")
    _require_choice(False, letters, source, object_name, code, group, record, since, until)
    closed = 0
    with session.hub.db.tenant(session.tenant_id) as conn:
        while page := dead_letters.list_letters(conn, wanted, limit=1000):
            closed += dead_letters.resolve(conn, [a.id for a in page], f"discarded: {reason.strip()}")
    session.out.result({"discarded": closed}, f"{closed} letters closed: {reason.strip()}")


@command(app, "purge")
def purge(
    session: Session,
    before: Annotated[
        datetime, typer.Option("--before", metavar="TIME", help="Letters closed before this time (UTC).")
    ],
) -> None:
    """Delete letters that were closed long ago. Open ones are never deleted."""
    from storage import dead_letters

    with session.hub.db.tenant(session.tenant_id) as conn:
        gone = dead_letters.purge(conn, _utc(before) or before)
    session.out.result({"deleted": gone}, f"{gone} closed letters deleted.")


# ---------------------------------------------------------------- parts


def _filter(
    session: Session,
    letters: list[UUID] | None,
    source: str | None,
    object_name: str | None,
    code: str | None,
    group: str | None,
    record: str | None,
    since: datetime | None,
    until: datetime | None,
    status: str,
) -> Filter:
    from cli.sources import find_connection
    from storage.dead_letters import Filter

    if status not in ("open", "resolved", "all"):
        raise ConfigurationError(f"There is no status {status}.", remedy="Choose open, resolved or all.")
    return Filter(
        status=None if status == "all" else status,
        ids=tuple(letters) if letters else None,
        connection_id=find_connection(session, source).id if source else None,
        object=object_name,
        code=code,
        fingerprint=group,
        vendor_id=record,
        since=_utc(since),
        until=_utc(until),
    )


def _require_choice(everything: bool, *chosen: object) -> None:
    if not everything and not any(chosen):
        raise ConfigurationError(
            "Nothing says which letters are meant.", remedy="Name letters, a group, an object or a time; or give --all."
        )


@contextmanager
def _syncs(session: Session) -> Iterator[Syncs]:
    from bootstrap.syncing import syncing

    with syncing(session.hub) as syncs:
        yield syncs


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(f"{text!r} is not FIELD=VALUE.", remedy='Write it as --set "Email=ada@acme.example".')
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _fault(fault: str) -> str:
    return {"data": "the data", "vendor": "the vendor", "ours": "Syncline (a bug)"}.get(fault, fault)


def _fix(code: str) -> str:
    known = registry().get(code)
    return known.fix if known else ""


def _plain(letter: Letter, with_payload: bool) -> dict[str, Any]:
    hidden = () if with_payload else ("payload", "mapped", "original")
    return {name: getattr(letter, name) for name in type(letter).__slots__ if name not in hidden}
