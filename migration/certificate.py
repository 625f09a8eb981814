"""The reconciliation certificate of a run: what the source held, where it stands now, and every difference between the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from connectors.kit.contract import SupportsCount
from mappings.compile import Lens
from migration.ledger import ObjectLedger
from migration.plan_model import PlannedObject
from migration.progress import Meter, OnProgress, silent
from migration.run import RunContext
from storage import certify as sql
from storage import certify_fields, certify_files, certify_references, runs
from storage.certify import Finding, Findings, Scope
from storage.certify_fields import FieldSum
from storage.certify_files import FileSum
from storage.certify_references import AssociationSum, ReferenceSum
from storage.database import Database
from storage.runs import RunKey

LISTED = 200
"""Differences of one kind and object that are listed one by one; all of them are counted."""

KINDS: Mapping[str, str] = {
    "count": "records not accounted for",
    "vendor_count": "counts that differ from the vendor's own",
    "missing_record": "records missing in the hub",
    "missing_link": "records without link",
    "wrong_link": "records linked to the wrong hub record",
    "extra_link": "links that nothing in the source accounts for",
    "changed_value": "changed values",
    "wrong_owner": "wrong owners or authors",
    "wrong_date": "wrong dates",
    "wrong_reference": "wrong references",
    "lost_reference": "lost references",
    "lost_association": "lost associations",
    "missing_content": "files without content",
    "corrupted_content": "files with other content than they are filed under",
    "wrong_size": "files of the wrong size",
    "rejected_without_letter": "rejected records that are not in the dead-letter queue",
}


@dataclass(frozen=True, slots=True)
class ObjectCertificate:
    """What became of one object. ``source`` = created + merged + updated + unchanged + rejected; superseded ones (listed
    again later in the same run) and those ``left_out`` (``left_out_why``: by which choice) stand apart. ``vendor_count``
    is the vendor's own number where it has one; it counts what was left out, too."""

    object: str
    entity: str
    label: str = ""
    source: int = 0
    vendor_count: int | None = None
    created: int = 0
    merged: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    superseded: int = 0
    conflicts: int = 0
    linked: int = 0
    fields: tuple[FieldSum, ...] = ()
    references: tuple[ReferenceSum, ...] = ()
    associations: AssociationSum | None = None
    files: FileSum | None = None
    differences: int = 0
    left_out: int = 0
    left_out_why: str = ""

    @property
    def accounted(self) -> bool:
        return self.source == self.created + self.merged + self.updated + self.unchanged + self.rejected


@dataclass(frozen=True, slots=True)
class Certificate:
    """The whole certificate. ``differences``, ``edited`` (changed by somebody since the run) and ``pending`` (references
    whose other end is not in the hub) are listed up to a bound; their ``total`` counts all."""

    run_id: UUID
    vendor: str
    remote_account: str
    plan_checksum: str
    at: datetime
    ran_at: datetime
    objects: tuple[ObjectCertificate, ...]
    differences: Findings = field(default_factory=Findings)
    edited: Findings = field(default_factory=Findings)
    pending: Findings = field(default_factory=Findings)
    by_kind: Mapping[str, int] = field(default_factory=dict)
    display_name: str = ""

    @property
    def ok(self) -> bool:
        return self.differences.total == 0

    @property
    def verdict(self) -> str:
        """The certificate in one sentence (two, where something asks for attention)."""
        if not self.ok:
            kinds = ", ".join(f"{number} {KINDS.get(kind, kind)}" for kind, number in self.by_kind.items())
            return f"{self.differences.total} differences: {kinds}.{self._open()}"
        source = sum(o.source for o in self.objects)
        rejected = sum(o.rejected for o in self.objects)
        sentence = f"Nothing was lost: all {source:,} records of the source are accounted for, and every value agrees."
        if rejected:
            sentence += f" {rejected:,} of them wait in the dead-letter queue, each with its reason."
        return sentence + self._open()

    @property
    def notes(self) -> tuple[str, ...]:
        """What explains numbers that seem not to fit: which records were left out on purpose, a sentence an object."""
        return tuple(
            f"{o.object}: {o.left_out:,} of {o.source + o.left_out:,} records stay out, because {o.left_out_why}."
            for o in self.objects
            if o.left_out
        )

    def _open(self) -> str:
        """What the verdict says of references whose other end the source did not give; one that exists is a difference."""
        number = self.pending.total
        if not number:
            return ""
        which = "1 reference names a record" if number == 1 else f"{number:,} references name records"
        return f" {which} that the source does not hold or that was rejected: listed, and open until it arrives."

    def to_json(self) -> dict[str, Any]:
        """JSON values, the verdict included."""
        result: dict[str, Any] = _json(asdict(self))
        for row, certified in zip(result["objects"], self.objects, strict=True):
            row["accounted"] = certified.accounted
        return {"ok": self.ok, "verdict": self.verdict, "notes": list(self.notes), **result}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Certificate:
        """The certificate that `to_json` gave."""
        known = {name: data[name] for name in Certificate.__dataclass_fields__}
        known["objects"] = [{k: v for k, v in row.items() if k != "accounted"} for row in known["objects"]]
        return TypeAdapter(Certificate).validate_python(known)

    def to_html(self) -> str:
        """The certificate as one self-contained page that prints well."""
        from migration.certificate_html import render

        return render(self)


@dataclass(slots=True)
class _Found:
    """Findings of one object, by what they mean."""

    differences: Findings = field(default_factory=Findings)
    edited: Findings = field(default_factory=Findings)
    pending: Findings = field(default_factory=Findings)
    kinds: Counter[str] = field(default_factory=Counter)

    def differ(self, *found: Findings) -> None:
        for findings in found:
            self.differences += findings
            if findings.items:
                self._count(findings)

    def _count(self, findings: Findings) -> None:
        listed = Counter(item.kind for item in findings.items)
        main = listed.most_common(1)[0][0]
        listed[main] += findings.total - listed.total()
        self.kinds.update(listed)


def certify(
    database: Database,
    key: RunKey,
    context: RunContext,
    books: Mapping[str, ObjectLedger],
    on_progress: OnProgress = silent,
    *,
    limit: int = LISTED,
) -> Certificate:
    """Compare everything that a run staged with what stands in the hub now.

    ``books``: the run's ledgers. One transaction an object, set-based; only findings, at most ``limit`` of a kind, come
    into memory. Where the connector can count, its own numbers are compared too. Raises what the connector raises.
    """
    plan, lenses = context.plan, context.plan.lenses(context.catalog)
    with database.tenant(key.tenant_id) as connection:
        run = runs.get(connection, key.tenant_id, key.run_id)
    counts = _vendor_counts(context)
    checks: list[tuple[ObjectCertificate, _Found]] = []
    for planned in plan.objects:
        lens, ledger = lenses[planned.object], books[planned.object]
        scope = Scope(
            key.tenant_id,
            key.run_id,
            context.connection_id,
            planned.object,
            planned.entity,
            run.started_at,
            _mapped(lens),
        )
        meter = Meter(on_progress, planned.object, "certify", ledger.source)
        with database.tenant(key.tenant_id) as connection:
            sql.prepare(connection)
            why = _left_out_why(lens, sampled=context.chosen is not None)
            check = _ObjectCheck(connection, scope, planned, lens, ledger, limit, list(books), why)
            checks.append((check.run(counts.get(planned.object)), check.found))
        meter.add(ledger.source)
        meter.finish()
    kinds: Counter[str] = sum((f.kinds for _, f in checks), Counter())
    return Certificate(
        run_id=key.run_id, vendor=plan.vendor, remote_account=plan.remote_account, plan_checksum=run.plan_checksum,
        at=datetime.now(UTC), ran_at=run.started_at, objects=tuple(certified for certified, _ in checks),
        differences=_joined(f.differences for _, f in checks), edited=_joined(f.edited for _, f in checks),
        pending=_joined(f.pending for _, f in checks), by_kind=dict(kinds.most_common()), display_name=plan.display_name,
    )  # fmt: skip


def _vendor_counts(context: RunContext) -> Mapping[str, int]:
    """The vendor's own numbers, where it has some and the whole of each object was wanted."""
    if context.limit is not None or context.chosen is not None or not isinstance(context.connector, SupportsCount):
        return {}
    return context.connector.count([p.object for p in context.plan.objects])


def _left_out_why(lens: Lens, *, sampled: bool) -> str:
    """The choices that leave records of an object out, as the end of a sentence."""
    only = [f"{name} is {' or '.join(map(str, values))}" for name, values in lens.spec.only.items()]
    choices = ["only a sample was asked for"] if sampled else []
    return "; ".join(choices + ([f"its mapping takes only those whose {' and '.join(only)}"] if only else []))


def _mapped(lens: Lens) -> frozenset[str]:
    return frozenset(name for name, line in lens.spec.fields.items() if line.reads) | frozenset(lens.spec.constants)


class _ObjectCheck:
    """All checks of one object in one transaction."""

    def __init__(
        self,
        connection: Any,
        scope: Scope,
        planned: PlannedObject,
        lens: Lens,
        ledger: ObjectLedger,
        limit: int,
        objects: Sequence[str],
        left_out_why: str,
    ) -> None:
        self.found = _Found()
        self._connection = connection
        self._scope = scope
        self._planned = planned
        self._refs = lens.refs
        self._left_out_why = left_out_why
        self._ledger = ledger
        self._limit = limit
        self._objects = objects

    def run(self, vendor_count: int | None) -> ObjectCertificate:
        ledger = self._ledger
        self.found.differ(*self._counts(vendor_count), *self._records())
        fields = self._fields()
        references = self._references() if self._scope.entity != "association" else ()
        associations = self._associations()
        files = self._files() if self._scope.entity == "attachment" else None
        return ObjectCertificate(
            object=ledger.object, entity=self._scope.entity, label=self._planned.label, source=ledger.source,
            vendor_count=vendor_count, created=ledger.created, merged=ledger.merged, updated=ledger.updated,
            unchanged=ledger.unchanged, rejected=ledger.rejected, superseded=ledger.superseded,
            conflicts=ledger.conflicts, linked=sql.linked(self._connection, self._scope), fields=fields,
            references=references, associations=associations, files=files, differences=self.found.differences.total,
            left_out=ledger.left_out, left_out_why=self._left_out_why if ledger.left_out else "",
        )  # fmt: skip

    def _counts(self, vendor_count: int | None) -> list[Findings]:
        ledger = self._ledger
        made = sql.origins(self._connection, self._scope).get("created", 0)
        checks = [("count", "source", ledger.source, ledger.decided), ("count", "created", ledger.created, made)]
        if vendor_count is not None and vendor_count != ledger.listed:  # a file may well list a record twice
            checks.append(("vendor_count", "source", vendor_count, ledger.source))
        return [
            Findings(1, (Finding(kind, ledger.object, field=what, expected=str(expected), found=str(found)),))
            for kind, what, expected, found in checks
            if expected != found
        ]

    def _records(self) -> list[Findings]:
        arguments = (self._connection, self._scope, self._limit)
        return [
            sql.rejected_without_letter(*arguments),
            sql.links(*arguments),
            self._extra_links(),
            sql.missing_records(*arguments),
        ]

    def _extra_links(self) -> Findings:
        """Links that nothing staged accounts for, apart from those of records whose staged rows a crash of the server took."""
        found = sql.extra_links(self._connection, self._scope, self._limit)
        return found if found.total > self._ledger.recovered else Findings()

    def _fields(self) -> tuple[FieldSum, ...]:
        skip = ("sha256", "size_bytes") if self._scope.entity == "attachment" else ()
        names = certify_fields.value_fields(self._scope, skip=skip)
        sums = certify_fields.field_sums(self._connection, self._scope, names)
        suspect = [s.field for s in sums if s.differing]
        arguments = (self._connection, self._scope, suspect, self._limit)
        self.found.differ(certify_fields.differing(*arguments))
        self.found.edited += certify_fields.differing(*arguments, edited=True)
        return tuple(s for s in sums if s.filled or s.differing)

    def _references(self) -> tuple[ReferenceSum, ...]:
        sums = []
        for name, objects in self._refs.items():
            total = certify_references.reference_sum(self._connection, self._scope, name, objects)
            sums.append(total)
            if total.wrong or total.lost:
                self.found.differ(self._of_reference(name, objects, "different"))
                self.found.edited += self._of_reference(name, objects, "edited")
            if total.pending:
                self.found.pending += self._of_reference(name, objects, "pending")
        return tuple(s for s in sums if s.staged or s.wrong)

    def _of_reference(self, name: str, objects: Sequence[str], verdict: str) -> Findings:
        return certify_references.references(self._connection, self._scope, name, objects, self._limit, verdict=verdict)

    def _associations(self) -> AssociationSum | None:
        near, far = (self._refs.get(name, ("*",)) for name in ("from_id", "to_id"))
        pairs = certify_references.associations(self._scope, near, far, self._objects)
        total = certify_references.association_sum(self._connection, pairs)
        arguments = (self._connection, self._scope, pairs, self._limit)
        if total.lost:
            self.found.differ(certify_references.association_findings(*arguments, pending=False))
        if total.pending:
            self.found.pending += certify_references.association_findings(*arguments, pending=True)
        return total if total.staged else None

    def _files(self) -> FileSum:
        total, differences = certify_files.files(self._connection, self._scope, self._limit)
        self.found.differ(differences)
        return total


def _joined(parts: Iterable[Findings]) -> Findings:
    return sum(parts, Findings())


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
