"""An audit and a plan as tables for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from bootstrap.error_codes import meaning
from cli.output import duration, table

if TYPE_CHECKING:
    from migration.audit_model import Audit, ObjectAudit
    from migration.plan_model import Plan, PlannedObject

_MOST_FIELDS = 12


def audit(found: Audit) -> Iterator[str | Table]:
    """The objects, what is wrong with them, the fields of the largest, and what migrating costs."""
    yield f"\n[bold]{escape(found.display_name or found.remote_account)}[/bold] ({found.vendor})"
    yield _objects(found)
    yield from _findings(found)
    largest = sorted(found.objects, key=lambda o: -o.count)[:3]
    for audited in largest:
        if audited.fields:
            yield _fields(audited)
    for unread in found.unread:
        yield f"[yellow]Not read:[/yellow] {escape(unread.object)}: {escape(unread.reason)}"
    cost = found.estimate
    moved = f"{_counted(found.records, 'record')} in {_counted(len(found.objects), 'object')}"
    calls = f" and {_counted(cost.calls, 'call')} to the vendor" if cost.calls else ""
    yield f"{moved}. Migrating them takes about {duration(cost.seconds)}{calls}."


def _counted(number: int, noun: str) -> str:
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def _objects(found: Audit) -> Table:
    rows = [
        (
            o.object,
            o.entity or ("custom record" if o.custom else None),
            o.count,
            o.rejects,
            sum(d.records - d.groups for d in o.duplicates),
            sum(r.orphans for r in o.orphans),
            o.oldest.date().isoformat() if o.oldest else None,
            o.newest.date().isoformat() if o.newest else None,
        )
        for o in found.objects
    ]
    columns = ("object", "becomes", "records", "unreadable", "duplicates", "orphans", "oldest", "newest")
    return table(columns, rows, numbers=("records", "unreadable", "duplicates", "orphans"))


def _findings(found: Audit) -> Iterator[Table]:
    rows = []
    for o in found.objects:
        for d in o.duplicates:
            if d.groups:
                about = "" if d.exact else "about "
                rows.append(
                    (
                        o.object,
                        f"{about}{d.records:,} records in {_counted(d.groups, 'group')} agree on {', '.join(d.rule)}",
                    )
                )
        if o.shared_emails and o.shared_emails.addresses:
            shared = o.shared_emails
            rows.append(
                (
                    o.object,
                    f"{_counted(shared.addresses, 'e-mail address')} {'is' if shared.addresses == 1 else 'are'} shared by "
                    f"{shared.people:,} differently named people",
                )
            )
        for r in o.orphans:
            if r.orphans:
                rows.append((o.object, f"{r.orphans:,} of {r.references:,} {r.field} lead to no record that is listed"))
        rows += [(o.object, note) for note in o.notes]
        rows += [
            (o.object, f"{_counted(number, 'record')}: {meaning(problem)}") for problem, number in o.problems.items()
        ]
    if rows:
        yield table(("object", "worth knowing"), rows)


def _fields(audited: ObjectAudit) -> Table:
    shown = sorted(audited.fields, key=lambda f: -f.filled)[:_MOST_FIELDS]
    rows = [
        (
            f.name,
            f.kind.value,
            f"{f.fill_rate:.0%}",
            f"{'' if f.distinct_exact else '~'}{f.distinct:,}",
            f"{f.minimum} – {f.maximum}" if f.minimum is not None else ", ".join(value for value, _ in f.top[:4]),
        )
        for f in shown
    ]
    left = len(audited.fields) - len(shown)
    title = f"{escape(audited.object)}: fullest fields" + (f" ({left} more with --json)" if left else "")
    return table(("field", "kind", "filled", "distinct", "values"), rows, title=title, numbers=("filled", "distinct"))


def plan(proposal: Plan) -> Iterator[str | Table]:
    """What goes where, what stays behind and why, and who owns what."""
    rows = [(o.phase.label, o.object, o.entity, o.expected_count, *_uses(o), _rules(o)) for o in proposal.objects]
    columns = ("stage", "object", "becomes", "records", "mapped", "custom", "ignored", "same when they agree on")
    yield table(columns, rows, numbers=("records", "mapped", "custom", "ignored"))
    if proposal.skipped:
        yield table(
            ("stays behind", "reason", "records"),
            [(s.object, f"{s.reason.value}{': ' + s.why if s.why else ''}", s.count) for s in proposal.skipped],
            numbers=("records",),
        )
    for ring in proposal.cycles:
        yield f"These refer to each other; their references are set last: {escape(' → '.join(ring))}"
    matched = sum(owner.hub_user_id is not None for owner in proposal.owners)
    if proposal.owners:
        yield f"{len(proposal.owners):,} owners: {matched:,} found by e-mail, {len(proposal.owners) - matched:,} created."
    for pipeline in proposal.pipelines:
        yield f"Pipeline {escape(pipeline.name)}: {escape(', '.join(s.name for s in pipeline.stages))}"


def _uses(planned: PlannedObject) -> tuple[int, int, int]:
    uses = [f.use.value for f in planned.fields]
    return uses.count("mapped"), uses.count("custom"), uses.count("ignored")


def _rules(planned: PlannedObject) -> str:
    return "; ".join(" + ".join(rule) for rule in planned.match_rules)


def plan_json(proposal: Plan, path: Path) -> dict[str, Any]:
    """The plan as JSON values, with where it was written and whether it is approved."""
    return {
        "plan": str(path),
        "checksum": proposal.checksum,
        "approved": proposal.is_approved,
        "created_at": proposal.created_at,
        **proposal.content(),
    }
