"""`syncline privacy`: hand over what is kept about a person, erase it; how long things are kept; consents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli.asking import confirm
from cli.noted import COMMAND_LINE, note
from cli.output import table
from cli.session import Session, command
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from storage.erasures import Erasure
    from storage.persons import Sought

app = typer.Typer(help="People's rights: hand over or erase what is kept about somebody.", no_args_is_help=True)

EmailOption = Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="Whose e-mail address it is.")]
PhoneOption = Annotated[
    str | None, typer.Option("--phone", metavar="NUMBER", help="Whose number it is, as +442079460123.")
]
RecordOption = Annotated[UUID | None, typer.Option("--record", metavar="ID", help="Id of their contact, lead or user.")]
_NEVER = "never: delete it"


@command(app)
def export(
    session: Session,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to write the JSON document; not yet there.")
    ],
    email: EmailOption = None,
    phone: PhoneOption = None,
    record: RecordOption = None,
) -> None:
    """Write everything that is kept about a person into a file that only you can read."""
    from bootstrap import privacy
    from storage import persons

    sought = _sought(email, phone, record)
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = persons.find(conn, sought)
        note(conn, "person.export", "person", "several", {"records": len(found.ids)})
    try:
        out.touch(mode=0o600, exist_ok=False)
        with out.open("wb") as file:
            for piece in privacy.export(session.hub, sought):
                file.write(piece)
    except OSError as error:
        raise ConfigurationError(
            f"{out} cannot be written: {(error.strerror or 'unknown reason').lower()}.",
            remedy="Name a file that is not there yet.",
        ) from None
    session.out.result({"records": len(found.ids), "file": str(out)}, f"{len(found.ids):,} records are in {out}.")


@command(app)
def erase(
    session: Session,
    email: EmailOption = None,
    phone: PhoneOption = None,
    record: RecordOption = None,
    vendors: Annotated[
        str,
        typer.Option(
            "--vendors",
            metavar="POLICY",
            help="refuse what vendors send of them, delete them there too (where deletes propagate), or keep them there.",
        ),
    ] = "refuse",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person from every table for good, and keep later syncs from bringing them back."""
    from bootstrap import jobs as running
    from bootstrap import privacy
    from storage import jobs, persons
    from storage.suppression import POLICIES

    if vendors not in POLICIES:
        raise ConfigurationError(f"There is no policy {vendors}.", remedy=f"Choose one of {', '.join(POLICIES)}.")
    sought = _sought(email, phone, record)
    with session.hub.db.tenant(session.tenant_id) as conn:
        found = persons.find(conn, sought)
    if not yes:
        confirm(f"Erase {len(found.ids):,} records, {len(found.files):,} files and every trace of them for good?")
    with session.hub.db.tenant(session.tenant_id) as conn:
        job = privacy.request_erasure(conn, session.hub, sought, COMMAND_LINE, vendors)
    running.run(session.hub, job.id, "command line")
    with session.hub.db.tenant(session.tenant_id) as conn:
        result = running.result_of(jobs.get(conn, job.id))
    rows = [(name, count) for name, count in result["tables"].items()]
    shown = [table(("table", "rows erased"), rows, numbers=("rows erased",)) if rows else "", _told(result["at_vendors"]),
             *_files(result), _summary(result)]  # fmt: skip
    session.out.result(result, *(part for part in shown if part))


@command(app)
def erasures(
    session: Session,
    erasure: Annotated[UUID | None, typer.Argument(metavar="[ID]", help="Default: the last hundred.")] = None,
) -> None:
    """Show what was erased, by whose request, and what became of the person at vendors by now."""
    from storage import erasures as kept

    with session.hub.db.tenant(session.tenant_id) as conn:
        found = kept.list_all(conn) if erasure is None else [kept.get(conn, erasure)]
        held = [kept.at_vendors(conn, known) for known in found]
    told = [_proof(known, now) for known, now in zip(found, held, strict=True)]
    if erasure is not None:
        proof = told[0]
        searched = [(name, n) for name, n in ((proof["report"] or {}).get("searched") or {}).items()]
        shown = table(("table searched", "rows left"), searched, numbers=("rows left",)) if searched else ""
        parts = [shown, _told(proof["at_vendors"])]
        parts += [*_files(proof["report"]), _summary(proof["report"])] if proof["report"] else []
        session.out.result(proof, *(part for part in parts if part))
        return
    rows = [
        (e["id"], e["status"], e["vendors"], e["requested_by"], e["finished_at"], _summed(e["at_vendors"]))
        for e in told
    ]
    names = ("erasure", "status", "vendors", "by", "finished", "at vendors")
    session.out.result(told, table(names, rows) if rows else "Nobody was erased yet.")


@command(app)
def retention(
    session: Session,
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Which kind to change.")] = None,
    days: Annotated[int | None, typer.Option("--days", min=1, metavar="N", help="Keep it for so many days.")] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Never delete it.")] = False,
) -> None:
    """Show how long each kind of data is kept, or change it."""
    from bootstrap import privacy
    from storage import retention as kept

    if kind is not None and (days is None) is not forever:
        raise ConfigurationError("Say for how long to keep it.", remedy="Give --days N or --forever.")
    with session.hub.db.tenant(session.tenant_id) as conn:
        if kind is not None:
            kept.put(conn, kind, days)
            note(conn, "retention.set", "retention", kind, {"days": days})
        found = kept.effective(conn, privacy.defaults(session.settings))
    rows = [(name, "for ever" if n is None else n, kept.KINDS[name]) for name, n in found.items()]
    session.out.result(found, table(("kind", "days", "of what, since when"), rows))


@command(app)
def consents(
    session: Session,
    withdraw: Annotated[UUID | None, typer.Option("--withdraw", metavar="ID", help="Note that this one ended.")] = None,
) -> None:
    """List what owners of mailboxes and calendars agreed to."""
    from storage import consents as kept

    with session.hub.db.tenant(session.tenant_id) as conn:
        if withdraw is not None:
            kept.withdraw(conn, withdraw, COMMAND_LINE.label)
            note(conn, "consent.withdraw", "consent", withdraw)
        found = kept.list_all(conn)
    rows = [(c.id, c.who, ", ".join(c.scopes), c.text_version, c.given_at, c.withdrawn_at) for c in found]
    shown: Any = table(("consent", "who", "scopes", "text", "given", "withdrawn"), rows) if rows else "No consents."
    session.out.result(found, shown)


def _sought(email: str | None, phone: str | None, record: UUID | None) -> Sought:
    from storage.persons import Sought

    return Sought(email=email, phone=phone, record_id=record)


def _proof(known: Erasure, held: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("id", "status", "vendors", "report", "requested_by", "requested_at", "finished_at")
    sha256 = None if known.report_hash is None else bytes(known.report_hash).hex()
    return {name: getattr(known, name) for name in names} | {"sha256": sha256, "at_vendors": list(held)}


def _told(held: Sequence[Mapping[str, Any]]) -> Any:
    rows = [(h["name"] or h["connection_id"], h["object"], h["record"], h["outcome"]) for h in held]
    return table(("connection", "object", "record", "at the vendor"), rows) if rows else ""


def _summed(held: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(Counter(h["outcome"] for h in held).items()))


def _files(report: Mapping[str, Any]) -> list[Any]:
    named = [(u["file"], u["connection_id"], u["expires"] or _NEVER) for u in report["uploads"]]
    unread = [
        (u["file"], f"{_inside(u)} {u['why']}".strip(), u["connection_id"], u["expires"] or _NEVER)
        for u in report["uploads_unsearched"]
    ]
    return [
        table(("uploaded file that names them still", "connection", "goes"), named) if named else "",
        table(("uploaded file that could not be searched", "why", "connection", "goes"), unread) if unread else "",
    ]


def _inside(unread: Mapping[str, Any]) -> str:
    """The parts that could not be searched; none where it is the whole file."""
    more = unread["parts"] - len(unread["inside"])
    return ", ".join([*unread["inside"], *([f"{more:,} more"] if more else [])]) + (":" if unread["parts"] else "")


def _summary(report: Mapping[str, Any]) -> str:
    left, named = sum(report["left"].values()), len(report["uploads"])
    unread = len({(u["connection_id"], u["file"]) for u in report["uploads_unsearched"]})
    said = [f"{len(report['searched']):,} tables were searched."]
    said += [f"{left:,} rows still name the person."] if left else []
    said += [f"{named:,} uploaded files still name the person."] if named else []
    if not report["sought"]:
        said.append("They have no address or number to look for: only what is bound to their records was found.")
    elif unread:
        said.append(f"Not everything could be searched: {unread:,} uploaded files may name the person.")
    elif not left and not named:
        said.append("Nothing names the person any more.")
    return " ".join(said)
