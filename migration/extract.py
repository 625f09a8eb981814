"""One page of a source becomes one chunk of staged rows: compare, map, identify, stage, count. In one transaction.

The same function serves the run's own process and its mapping processes. Everything it needs is in `ObjectJob`, which can be
pickled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from domain.ids import record_ids, record_namespace
from domain.records import MISSING, MappedBatch, ObjectSchema, Page, Problem, Reject
from domain.versions import comparable
from mappings.compile import OUT_OF_SCOPE, MappingContext, compile_spec
from mappings.fingerprint import fingerprints
from mappings.spec import MappingSpec
from storage import dead_letters, loading, runs, staging, suppression
from storage.database import Database
from storage.runs import Chunk, RunKey

_LEFT_OUT = (OUT_OF_SCOPE, suppression.STAYS)
SAMPLES_MAX = 20
"""How many rejected records a chunk remembers by name; all of them are counted, and a real run keeps all as dead letters."""


@dataclass(frozen=True)
class ObjectJob:
    """What mapping one object of one run takes."""

    key: RunKey
    connection_id: UUID
    vendor: str
    remote_account: str
    object: str
    entity: str
    spec: MappingSpec
    schema: ObjectSchema
    context: MappingContext
    dry_run: bool = False
    compare: bool = True
    """False when nothing of this object was ever linked, which spares the comparison."""
    chosen: frozenset[str] | None = None
    """Only these vendor ids (a sample), or all."""
    suppression_key: bytes | None = field(default=None, repr=False)
    """What people who were erased are recognised by."""

    @property
    def namespace(self) -> bytes:
        return record_namespace(self.key.tenant_id, self.vendor, self.remote_account, self.object)


@dataclass(slots=True)
class Counts:
    """How a page's records end, or will be decided later (``staged``). Together they are all that the source listed."""

    listed: int = 0
    staged: int = 0
    unchanged: int = 0
    rejected: int = 0
    left_out: int = 0  # not part of the sample
    filled: tuple[str, ...] = ()  # canonical fields that any staged record has a value of
    done: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "listed": self.listed,
            "staged": self.staged,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "left_out": self.left_out,
            "filled": self.filled,
            "done": dict(self.done),
            "warnings": dict(self.warnings),
            "rejects": dict(self.rejects),
            "samples": self.samples,
        }


class PageStager:
    """Stages pages of one object. Holds the compiled lens; not shared between threads."""

    def __init__(self, database: Database, job: ObjectJob) -> None:
        self._database = database
        self._job = job
        self._lens = compile_spec(job.spec, job.schema, job.context)

    def stage(self, page: Page, seq: int, first_row: int) -> Counts:
        """Stage ``page`` as chunk ``seq``, its rows numbered from ``first_row``; returns what became of them."""
        counts = Counts(listed=len(page.rows) + len(page.rejects))
        rows, positions = self._choose(page, counts)
        prints = fingerprints(self._lens, page.fields, rows)
        with self._database.tenant(self._job.key.tenant_id) as connection:
            runs.fence(connection, self._job.key)
            loading.commit_at_once(connection)
            targets: dict[int, UUID] = {}
            if self._job.compare and rows:
                ids = self._lens.ids(page.fields, rows)
                known = staging.known(connection, self._job.key, self._job.connection_id, self._job.object, ids, prints)
                counts.unchanged = len(known.unchanged)
                counts.done.update(known.done.values())
                keep = [i for i in range(len(rows)) if i not in known.unchanged and i not in known.done]
                rows, prints, positions = _pick(keep, rows), _pick(keep, prints), _pick(keep, positions)
                targets = {new: known.changed[old] for new, old in enumerate(keep) if old in known.changed}
            batch = suppression.screen(
                connection, self._job.suppression_key, self._lens.forward(page.fields, rows), self._job.connection_id,
                self._job.object,
            )  # fmt: skip
            rejects = list(page.rejects) + self._refused(page, rows, positions, batch)
            versions = self._versions(page.fields, rows, batch)
            staged = self._staged(batch, prints, positions, targets, first_row, versions)
            counts.filled = staged.filled
            rejects += [
                self._with_raw(r, page.fields, rows, batch)
                for r in staging.add_isolating(connection, self._job.key, staged)
            ]
            rejects = suppression.unkept(connection, self._job.suppression_key, rejects)
            self._count(counts, batch, rejects)
            if rejects and not self._job.dry_run:
                unread = len(page.rejects)
                letters = [self._letter(r, "extract" if n < unread else "map") for n, r in enumerate(rejects)]
                dead_letters.record(connection, self._job.key.tenant_id, letters)
            runs.add_chunk(
                connection,
                self._job.key,
                Chunk(
                    self._job.object,
                    "extract",
                    seq,
                    rows=counts.listed,
                    first_row=first_row,
                    cursor=page.cursor,
                    last=page.last,
                    counts=counts.to_json(),
                ),
            )
        return counts

    # ------------------------------------------------------------ steps

    def _choose(self, page: Page, counts: Counts) -> tuple[list[Sequence[Any]], list[int]]:
        if self._job.chosen is None:
            return page.rows, list(range(len(page.rows)))
        ids = self._lens.ids(page.fields, page.rows)
        keep = [i for i, vendor_id in enumerate(ids) if vendor_id in self._job.chosen]
        counts.left_out = len(ids) - len(keep)
        return _pick(keep, page.rows), keep

    def _refused(self, page: Page, rows: list[Sequence[Any]], positions: list[int], batch: MappedBatch) -> list[Reject]:
        """Records that the mapping refuses, each with its raw fields for a later replay."""
        first: dict[int, Problem] = {}
        for problem in batch.problems:
            if problem.rejects:
                first.setdefault(problem.row, problem)
        first = {row: p for row, p in first.items() if p.code not in _LEFT_OUT}
        result = []
        for row, problem in first.items():
            raw = None if problem.code == suppression.ERASED else _raw_record(page.fields, rows[row])
            place = page.places[positions[row]] if page.places is not None else None
            reject = Reject(problem.code, problem.message, raw=raw, vendor_id=batch.vendor_ids[row] or None)
            if place is not None:
                reject = replace(reject, place=replace(place, column=problem.source_field or place.column))
            result.append(reject)
        return result

    def _with_raw(
        self, reject: Reject, fields: tuple[str, ...], rows: list[Sequence[Any]], batch: MappedBatch
    ) -> Reject:
        return replace(reject, raw=_raw_record(fields, rows[batch.vendor_ids.index(reject.vendor_id or "")]))

    def _staged(
        self,
        batch: MappedBatch,
        prints: list[bytes],
        positions: list[int],
        targets: dict[int, UUID],
        first_row: int,
        versions: list[str | None],
    ) -> staging.StagedRows:
        refused = {p.row for p in batch.problems if p.rejects}
        warnings: dict[int, list[dict[str, Any]]] = {}
        for p in batch.problems:
            if not p.rejects:
                warnings.setdefault(p.row, []).append({"code": p.code, "field": p.field, "message": p.message})
        n = len(batch)
        created = batch.columns.get("source_created_at")
        # Without a creation date the place in the listing keeps ids in order and repeatable.
        stamps = [
            first_row + position if moment is None else int(moment.timestamp() * 1000)
            for moment, position in zip(created or [None] * n, positions, strict=True)
        ]
        columns: dict[str, Sequence[Any]] = {
            "vendor_ids": batch.vendor_ids,
            "ids": record_ids(self._job.namespace, batch.vendor_ids, stamps),
            "fingerprints": prints,
            "seqs": [first_row + p for p in positions],
            "targets": [targets.get(i) for i in range(n)],
            "versions": versions,
            "warnings": [warnings.get(i) for i in range(n)],
            "custom_fields": batch.custom_fields,
        }
        values, links = dict(batch.columns), batch.links
        if refused:
            keep = [i for i in range(n) if i not in refused]
            moved = {old: new for new, old in enumerate(keep)}
            columns = {name: _pick(keep, column) for name, column in columns.items()}
            values = {name: _pick(keep, column) for name, column in values.items()}
            links = [replace(p, row=moved[p.row]) for p in links if p.row in moved]
        return staging.StagedRows(
            object=self._job.object, entity=self._job.entity, columns=values, links=links, **columns
        )

    def _versions(self, fields: tuple[str, ...], rows: Sequence[Sequence[Any]], batch: MappedBatch) -> list[str | None]:
        """The vendor's own version of each record, as two-way sync compares it; else when the record was changed."""
        name = self._job.spec.version
        if name is not None and name in fields:
            place = fields.index(name)
            return [comparable(row[place]) if isinstance(row[place], str) else None for row in rows]
        updated = batch.columns.get("source_updated_at")
        return [None if u is None else u.isoformat() for u in updated] if updated is not None else [None] * len(batch)

    def _count(self, counts: Counts, batch: MappedBatch, rejects: list[Reject]) -> None:
        counts.left_out += len({p.row for p in batch.problems if p.code in _LEFT_OUT})
        counts.rejected = len(rejects)
        counts.rejects.update(r.code for r in rejects)
        counts.staged = counts.listed - counts.unchanged - counts.rejected - counts.left_out - sum(counts.done.values())
        counts.warnings.update(p.code for p in batch.problems if not p.rejects)
        counts.samples = [
            {"code": r.code, "message": r.message, "vendor_id": r.vendor_id, "place": str(r.place)}
            for r in rejects[:SAMPLES_MAX]
        ]

    def _letter(self, reject: Reject, stage: str) -> dead_letters.NewLetter:
        return dead_letters.NewLetter(
            connection_id=self._job.connection_id,
            run_id=self._job.key.run_id,
            object=self._job.object,
            vendor_id=reject.vendor_id,
            entity=self._job.entity,
            stage=stage,
            code=reject.code,
            message=reject.message,
            place=str(reject.place) or None,
            payload=reject.raw,
            field=reject.place.column,
        )


def _raw_record(fields: tuple[str, ...], row: Sequence[Any]) -> dict[str, Any]:
    return {
        name: value for name, value in zip(fields, row, strict=True) if value is not MISSING and value not in (None, "")
    }


def _pick(positions: Sequence[int], values: Sequence[Any]) -> list[Any]:
    return [values[i] for i in positions]
