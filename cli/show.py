"""Results of a migration as tables for a person. What a program gets is the results' own ``to_json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.markup import escape
from rich.table import Table

from bootstrap.error_codes import meaning
from cli.output import duration, table
from cli.show_audit import audit, plan, plan_json

if TYPE_CHECKING:
    from migration.certificate import Certificate
    from migration.ledger import ObjectLedger
    from migration.service import DryRun, RunResult, RunStatus, SentOn
    from migration.undo import UndoResult
    from storage.certify import Findings

__all__ = ["audit", "plan", "plan_json"]

_OUTCOMES = ("source", "created", "updated", "unchanged", "merged", "rejected")
_SAMPLES = 5
_FINDINGS = 20


def ledger(ledgers: Iterable[ObjectLedger], *, title: str | None = None) -> Table:
    """What became of every record, object by object."""
    rows = [(row.object, *(getattr(row, name) for name in _OUTCOMES), row.pending, row.adds_up) for row in ledgers]
    columns = ("object", *_OUTCOMES, "open references", "adds up")
    return table(columns, rows, title=title, numbers=(*_OUTCOMES, "open references"))


def reasons(ledgers: Iterable[ObjectLedger]) -> Iterator[Table]:
    """Why records were rejected, and what was noticed about others."""
    rows = []
    for row in ledgers:
        rows += [(row.object, "rejected", n, meaning(reason)) for reason, n in row.rejects.most_common()]
        rows += [(row.object, "warning", n, meaning(reason)) for reason, n in row.warnings.most_common()]
    if rows:
        yield table(("object", "", "records", "reason"), rows, numbers=("records",))


def run(outcome: RunResult) -> Iterator[str | Table]:
    """A finished run: its ledger, its reasons, and the certificate's verdict."""
    yield ledger(outcome.ledgers.values(), title=f"Run {short(outcome.run_id)}")
    yield from reasons(outcome.ledgers.values())
    yield f"Done in {duration(outcome.seconds)}."
    if outcome.certificate is not None:
        yield from verdict(outcome.certificate)


def dry_run(outcome: DryRun) -> Iterator[str | Table]:
    """What a run would do: its ledger, samples of merges and changes, references that lead nowhere."""
    previews = outcome.objects
    yield ledger((p.ledger for p in previews.values()), title="A run would do this; nothing was written")
    yield from reasons(p.ledger for p in previews.values())
    merges = [(name, *merge) for name, p in previews.items() for merge in p.merges[:_SAMPLES]]
    if merges:
        yield table(("object", "duplicate", "goes into", "because of"), merges, title="Samples of merges")
    diffs = [(name, d.vendor_id, values(d.fields)) for name, p in previews.items() for d in p.diffs[:_SAMPLES]]
    if diffs:
        yield table(("object", "record", "changes"), diffs, title="Samples of changes")
    nowhere = [(name, field, n) for name, p in previews.items() for field, n in p.unresolved.items()]
    if nowhere:
        yield table(("object", "field", "lead nowhere"), nowhere, numbers=("lead nowhere",))


def certificate(found: Certificate) -> Iterator[str | Table]:
    """The balance of every object, what differs, and the verdict."""
    rows = [
        (o.object, o.vendor_count, *(getattr(o, name) for name in _OUTCOMES), o.differences, o.accounted)
        for o in found.objects
    ]
    columns = ("object", "vendor counts", *_OUTCOMES, "differences", "accounted for")
    yield table(columns, rows, title=f"Certificate of run {short(found.run_id)}", numbers=columns[1:-1])
    yield from verdict(found)


def verdict(found: Certificate) -> Iterator[str | Table]:
    """What differs, what was edited since, what still waits, and the sentence that sums it up."""
    for title, findings in (("Differences", found.differences), ("Edited since the run", found.edited)):
        if findings.total:
            yield _findings(title, findings)
    yield from map(escape, found.notes)
    if found.pending.total:
        yield f"{found.pending.total:,} references wait for a record that the source does not hold; --json lists them."
    yield f"[bold {'green' if found.ok else 'red'}]{escape(found.verdict)}[/]"


def _findings(title: str, findings: Findings) -> Table:
    from migration.certificate import KINDS

    shown = findings.items[:_FINDINGS]
    more = findings.total - len(shown)
    return table(
        ("object", "record", "field", "what", "source", "hub"),
        [(f.object, f.vendor_id, f.field, KINDS.get(f.kind, f.kind), f.expected, f.found) for f in shown],
        title=f"{title}: {findings.total:,}" + (f", {more:,} more with --json" if more else ""),
    )


def runs(found: Sequence[RunStatus]) -> Iterator[str | Table]:
    """Runs, newest first."""
    if not found:
        yield "There is no run yet. Begin with: syncline migrate audit SOURCE"
        return
    rows = [
        (
            short(s.run.id),
            s.connection_name,
            s.run.kind.replace("_", " "),
            s.state + (f" ({s.run.phase})" if s.run.phase and s.state != "done" else ""),
            s.run.started_at,
            sum(row.source for row in s.ledgers.values()) or None,
            (s.run.error or {}).get("message"),
        )
        for s in found
    ]
    columns = ("run", "source", "kind", "status", "started", "records", "problem")
    yield table(columns, rows, numbers=("records",))
    if len(found) == 1 and found[0].ledgers:
        yield ledger(found[0].ledgers.values())


def undo(outcome: UndoResult) -> Iterator[str | Table]:
    """What was taken back, and what was kept and why."""
    objects = sorted({*outcome.deleted, *outcome.restored, *outcome.unlinked})
    rows = [(o, *(part.get(o, 0) for part in (outcome.deleted, outcome.restored, outcome.unlinked))) for o in objects]
    yield table(("object", "removed", "restored", "unlinked"), rows, numbers=("removed", "restored", "unlinked"))
    if outcome.kept_total:
        kept = [(k.entity, str(k.id), k.vendor_id, k.why) for k in outcome.kept]
        yield table(("kept", "id", "source record", "why"), kept)
        yield f"{outcome.kept_total:,} records were kept. --force undoes them, too."
    else:
        yield "Nothing was kept back."
    if outcome.removed_elsewhere:
        removed = Counter[str]()
        for (_, name), count in outcome.removed_elsewhere.items():
            removed[name] += count
        yield f"Deleted at other vendors: {', '.join(f'{n:,} {name}' for name, n in removed.items())}."
    if outcome.left_total:
        yield table(
            ("left at a vendor", "record there", "source record"),
            [(c.object, c.vendor_id, c.source_id) for c in outcome.left],
        )
        yield f"{outcome.left_total:,} records that streams made at other vendors still stand there."


def sent_on(found: Sequence[SentOn], *, gone: bool) -> Iterator[str]:
    """What streams made of a run's records at other connections, and what an undo does about it."""
    for one in found:
        yield f"{one.count:,} of its records were sent on to {one.connection} ({one.object})."
    if found and gone:
        yield "They are deleted there, too."
    elif found:
        yield "They stay there, and streams bring them back when they are edited or compared."
        yield "--also-at-vendors deletes them there, too."


def values(before_after: Mapping[str, tuple[Any, Any]]) -> str:
    """Changed fields as ``field: before → after``."""
    return "; ".join(f"{name}: {_brief(before)} → {_brief(after)}" for name, (before, after) in before_after.items())


def short(run_id: UUID) -> str:
    """The beginning of a run's id: its time to the millisecond, enough to name it."""
    return str(run_id)[:13]


def _brief(value: Any) -> str:
    return "–" if value in (None, "") else str(value)


def write_text(text: str, path: Path) -> None:
    """Write a page. Raises ConfigurationError when it cannot be written."""
    from domain.errors import ConfigurationError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{escape(str(path))} cannot be written: {error.strerror}.") from None
