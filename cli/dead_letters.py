"""`syncline dead-letters`: records that were set aside, why, what mends them, and putting them back."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from bootstrap.error_codes import registry
from cli.noted import note, note_alone
from cli.output import table
from cli.session import Session, command
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from bootstrap.syncing import Syncs
    from storage.dead_letters import Filter, Letter

app = typer.Typer(
    help="Records that were set aside: why, what mends them, and putting them back.", no_args_is_help=True
)

LetterArgument = Annotated[UUID, typer.Argument(metavar="LETTER", help="The letter's id.")]


def _only(name: str, metavar: str, help_: str) -> Any:
    return typer.Option(f"--{name}", metavar=metavar, help=f"Only those {help_}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant. The fields are options that several commands share; see `choosing`."""

    letters: Annotated[list[UUID] | None, typer.Argument(metavar="LETTER…", help="Letters by id.")] = None
    source: Annotated[str | None, _only("source", "SOURCE", "of this connection.")] = None
    object_name: Annotated[str | None, _only("object", "NAME", "of this object.")] = None
    code: Annotated[str | None, _only("code", "CODE", "of this cause.")] = None
    group: Annotated[str | None, _only("group", "GROUP", "of this group.")] = None
    record: Annotated[str | None, _only("record", "ID", "of this vendor record.")] = None
    since: Annotated[datetime | None, _only("since", "TIME", "that failed at or after this time (UTC).")] = None
    until: Annotated[datetime | None, _only("until", "TIME", "that failed before this time (UTC).")] = None
    status: Annotated[str, typer.Option("--status", metavar="STATUS", help="open, resolved or all.")] = "open"

    def is_any(self) -> bool:
        """Whether anything but the status limits the choice."""
        return any(getattr(self, name) for name in self.__slots__ if name != "status")

    def told(self) -> dict[str, Any]:
        """What was asked for, for the audit log."""
        given = {name: getattr(self, name) for name in self.__slots__ if name not in ("status", "letters")}
        named = {"letters": [str(letter) for letter in self.letters]} if self.letters else {}
        return named | {name: value for name, value in given.items() if value is not None}

    def filter(self, session: Session) -> Filter:
        """The same for the database. Raises ConfigurationError."""
        from cli.sources import find_connection
        from storage.dead_letters import Filter

        if self.status not in ("open", "resolved", "all"):
            raise ConfigurationError(f"There is no status {self.status}.", remedy="Choose open, resolved or all.")
        return Filter(
            status=None if self.status == "all" else self.status,
            ids=tuple(self.letters) if self.letters else None,
            connection_id=find_connection(session, self.source).id if self.source else None,
            object=self.object_name,
            code=self.code,
            fingerprint=self.group,
            vendor_id=self.record,
            since=_utc(self.since),
            until=_utc(self.until),
        )


def choosing(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `Wanted` but for some, and hand them to its second parameter."""
    shared = [p for p in inspect.signature(Wanted, eval_str=True).parameters.values() if p.name not in left_out]

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(session: Session, **given: Any) -> None:
            function(session, Wanted(**{p.name: given.pop(p.name) for p in shared}), **given)

        first, _, *own = inspect.signature(function, eval_str=True).parameters.values()
        options = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*shared, *own)]
        run.__signature__ = inspect.Signature([first, *options])  # type: ignore[attr-defined]
        return run

    return register


@command(app, "list")
@choosing("letters")
def list_letters(
    session: Session,
    wanted: Wanted,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 50,
    payload: Annotated[
        bool,
        typer.Option("--payload", help="With --json: show the raw records, too: customer data; the look is audited."),
    ] = False,
) -> None:
    """List dead letters, grouped by cause and one by one."""
    from storage import dead_letters

    chosen = wanted.filter(session)
    with session.hub.db.tenant(session.tenant_id) as conn:
        causes = dead_letters.groups(conn, chosen)
        letters = dead_letters.list_letters(conn, chosen, limit=limit)
        if payload:
            note(conn, "payload.read", "dead_letter", "list", {"letters": [str(a.id) for a in letters]})
    shown: list[Any] = ["Nothing is set aside."]
    if causes:
        shown = [
            table(
                ("records", "object", "cause", "field", "for example"),
                [(c.count, c.object, c.code, c.field, c.message) for c in causes],
                numbers=("records",),
            ),
            _letters(letters, with_state=wanted.status != "open"),
        ]
    session.out.result({"causes": causes, "letters": [_plain(a, payload) for a in letters]}, *shown)


@command(app, "groups")
@choosing("letters", "code", "group", "record")
def groups(session: Session, wanted: Wanted) -> None:
    """List causes: how many records each holds, whose fault it is, and what mends it."""
    from storage import dead_letters

    chosen = wanted.filter(session)
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = dead_letters.groups(conn, chosen)
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
        bool, typer.Option("--payload", help="Show the raw record, too. It holds customer data; the look is audited.")
    ] = False,
) -> None:
    """Show one letter: what failed, why, and what mends it."""
    from storage import dead_letters

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = dead_letters.get(conn, letter)
        if payload:
            note(conn, "payload.read", "dead_letter", letter)
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
        named = {"set": sorted(changes), "removed": sorted(remove or ())}
        note(conn, "dead_letter.edit", "dead_letter", letter, named)
    session.out.result(
        {"letter": letter, **named},
        f"The letter holds the mended record. Look at it with `syncline dead-letters preview {letter}`, "
        f"then `syncline dead-letters replay {letter}`.",
    )


@command(app, "preview")
@choosing("status")
def preview(
    session: Session,
    wanted: Wanted,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 20,
) -> None:
    """Show what replaying would change, field by field. Changes nothing; the look is audited."""
    with _syncs(session) as syncs:
        found = syncs.replays.preview(wanted.filter(session), limit)
    note_alone(session, "payload.read", "dead_letter", "preview", {"letters": [str(p.letter) for p in found]})
    rows = [
        (p.letter, p.vendor_id, p.outcome, name or "", before, after, p.problem)
        for p in found
        for name, (before, after) in (p.changes.items() or [("", (None, None))])
    ]
    shown = table(("letter", "record", "would be", "field", "now", "then", "problem"), rows)
    session.out.result(found, shown if found else "Nothing to replay.")


@command(app, "replay")
@choosing("status")
def replay(
    session: Session,
    wanted: Wanted,
    everything: Annotated[bool, typer.Option("--all", help="Every open letter.")] = False,
) -> None:
    """Put records back through the ordinary path, mapped anew. Older than what the hub knows: superseded. Twice: no change."""
    if not everything:
        _require_choice(wanted)
    done = [0]

    def progress(count: int) -> None:
        done[0] += count
        session.out.say(f"{done[0]} letters looked at …")

    chosen = wanted.filter(session)
    note_alone(session, "dead_letter.replay", "dead_letter", "several", wanted.told())
    with _syncs(session) as syncs:
        result = syncs.replays.replay(chosen, progress)
    rows = [(name, count) for name, count in sorted(result.counts.items())]
    shown: list[Any] = [table(("ended as", "letters"), rows, numbers=("letters",)) if rows else "Nothing to replay."]
    shown += [f"  {count} × {problem}" for problem, count in result.problems.most_common(10)]
    session.out.result({"counts": result.counts, "problems": result.problems}, *shown)
    if result.counts["still open"]:
        raise typer.Exit(1)


@command(app, "discard")
@choosing("status")
def discard(
    session: Session,
    wanted: Wanted,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays on record.")] = "",
) -> None:
    """Close letters without applying them. They stay listed with --status resolved until their retention ends."""
    from storage import dead_letters

    _require_choice(wanted)
    chosen = wanted.filter(session)
    with session.hub.db.tenant(session.tenant_id) as conn:
        closed = dead_letters.discard(conn, chosen, reason)
        detail = {**wanted.told(), "count": closed, "reason": reason}
        note(conn, "dead_letter.discard", "dead_letter", "several", detail)
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

    moment = _utc(before) or before
    with session.hub.db.tenant(session.tenant_id) as conn:
        gone = dead_letters.purge(conn, moment)
        note(conn, "dead_letter.purge", "dead_letter", "several", {"before": moment, "count": gone})
    session.out.result({"deleted": gone}, f"{gone} closed letters deleted.")


# ---------------------------------------------------------------- parts


def _letters(letters: Sequence[Letter], *, with_state: bool) -> Any:
    names = ["letter", "object", "record", "where", "what is wrong", "tries"]
    rows: list[tuple[Any, ...]] = [
        (a.id, a.object, a.vendor_id, a.place, a.message.removeprefix(f"{a.place}: "), a.attempts) for a in letters
    ]
    if with_state:
        names.append("state")
        rows = [(*row, a.resolution or a.status) for row, a in zip(rows, letters, strict=True)]
    return table(names, rows, numbers=("tries",))


def _require_choice(wanted: Wanted) -> None:
    if not wanted.is_any():
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
