"""From staging into the canonical tables, range by range: create, merge, update, associate, resolve.

Every range is one transaction that ends with its chunk row; a range whose chunk row stands is never done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from domain.ids import new_id
from mappings.compile import Lens
from migration.refused import bury
from storage import associating, loading, runs, updating
from storage.database import Database
from storage.loading import Reference, Refused
from storage.planning import StagedObject
from storage.runs import Chunk
from storage.tables import table_name
from storage.updating import WHOLE, Patch, Share, Sides
from sync_engine.core.merge import Merge, Policy, is_blank, merge

RANGE_ROWS = 20_000
UPDATE_ROWS = 2_000
UPDATE_PHASES = ("update", "update-2")
"""Many updates are shared out by hub record to as many sessions, each of which records what it did as a phase of its own."""
STATISTICS_FROM_ROWS = 1_000


@dataclass(frozen=True)
class LoadJob:
    """One staged object on its way in.

    ``rows``: one more than its highest row number; ``staged_rows``: how many are staged; ``filled``: the canonical fields that any
    of them has a value of; ``planned``: how many the planner gave each action, without an entry where it gave none.
    """

    database: Database
    staged: StagedObject
    lens: Lens
    rows: int
    staged_rows: int
    filled: frozenset[str]
    planned: Mapping[str, int] = field(default_factory=dict)
    threads: int = 2

    @property
    def references(self) -> dict[str, Reference]:
        """Reference fields of the mapping, with the source field that each is read from."""
        lines = self.lens.spec.fields
        return {name: Reference(objects, lines[name].sources[0]) for name, objects in self.lens.refs.items()}

    @property
    def mapped(self) -> list[str]:
        """Canonical fields that the source has a say in."""
        spec = self.lens.spec
        return [
            *(name for name, line in spec.fields.items() if line.reads),
            *(c for c in spec.constants if c not in spec.fields),
        ]


OnRows = Callable[[int, Mapping[str, Any]], None]


def in_ranges(
    job: LoadJob, phase: str, work: Callable[[Any, int, int], dict[str, Any]], on_rows: OnRows, threads: int
) -> None:
    """Do ``work(connection, first, end)`` for every range of the object that ``phase`` has not done yet."""
    key = job.staged.key
    with job.database.tenant(key.tenant_id) as connection:
        done = {
            c.seq
            for c in runs.chunks(connection, key.tenant_id, key.run_id, object_name=job.staged.object, phase=phase)
        }

    def one(seq: int) -> tuple[int, dict[str, Any]]:
        first, end = seq * RANGE_ROWS, min((seq + 1) * RANGE_ROWS, job.rows)
        with job.database.tenant(key.tenant_id) as connection:
            runs.fence(connection, key)
            loading.prepare(connection)
            counts = work(connection, first, end)
            runs.add_chunk(
                connection, key, Chunk(job.staged.object, phase, seq, rows=end - first, first_row=first, counts=counts)
            )
        return end - first, counts

    todo = [seq for seq in range(-(-job.rows // RANGE_ROWS)) if seq not in done]
    if threads < 2 or len(todo) < 2:
        for seq in todo:
            on_rows(*one(seq))
        return
    with ThreadPoolExecutor(threads) as pool:
        for result in pool.map(one, todo):
            on_rows(*result)


def create(job: LoadJob, on_rows: OnRows) -> None:
    """Create the hub records of everything new."""
    references = job.references

    def work(connection: Any, first: int, end: int) -> dict[str, Any]:
        refused: list[Refused] = []
        loading.vouch_for_references(connection)
        loaded = loading.create_isolating(connection, job.staged, references, job.filled, first, end, refused)
        bury(connection, job.staged, refused)
        if loaded.created:
            loading.queue_created(connection, job.staged, first, end)
            loading.log_bulk_change(connection, job.staged, str(new_id()), first, end, loaded.created)
        return {
            "created": loaded.created,
            "rejected": len(refused),
            "rejects": {"not_storable": len(refused)} if refused else {},
            "pending": loaded.pending,
        }

    in_ranges(job, "load", work, on_rows, job.threads)


def link_merged(job: LoadJob, on_rows: OnRows) -> None:
    """Link every merged record to its survivor. A record whose survivor was refused is refused with it."""
    if not job.planned.get("merged"):
        return
    references = job.references

    def work(connection: Any, first: int, end: int) -> dict[str, Any]:
        merged = loading.link_merged(connection, job.staged, references, job.filled, first, end)
        lost = [
            Refused(seq, vendor_id, "the record it duplicates was rejected")
            for seq, vendor_id in loading.merged_without_survivor(connection, job.staged, first, end)
        ]
        bury(connection, job.staged, lost, code="survivor_rejected")
        return {"merged": merged, "rejected": len(lost), "rejects": {"survivor_rejected": len(lost)} if lost else {}}

    in_ranges(job, "merge", work, on_rows, job.threads)


def alias(job: LoadJob, on_rows: OnRows) -> None:
    """Link records under their other names, where the mapping gives them any."""

    def work(connection: Any, first: int, end: int) -> dict[str, Any]:
        loading.link_aliases(connection, job.staged, first, end)
        return {}

    if any(line.alias for line in job.lens.links):
        in_ranges(job, "alias", work, on_rows, 1)


def mark_repeated(job: LoadJob) -> None:
    """Remember which records the source lists several times."""
    if not job.planned.get("superseded"):
        return
    with job.database.tenant(job.staged.key.tenant_id) as connection:
        runs.fence(connection, job.staged.key)
        loading.mark_repeated(connection, job.staged)


def refresh_statistics(job: LoadJob) -> None:
    """After a load that moved much, let the planner see it; a second run over an unchanged source moves nothing."""
    if job.staged_rows >= STATISTICS_FROM_ROWS:
        with job.database.tenant(job.staged.key.tenant_id) as connection:
            loading.refresh_statistics(connection, "link", table_name(job.staged.entity))


# ---------------------------------------------------------------- records that stand already


def decide(sides: Sides) -> tuple[Patch, Merge]:
    """What a changed or matched source record changes in the hub. Pure.

    A linked record is merged against its base; where a person edited the hub meanwhile, the hub's value stays and the conflict is
    told. A matched one, never linked, only fills blanks.
    """
    policy = Policy.HUB_WINS
    plain = merge(
        _without_custom(sides.base), _without_custom(sides.hub) or {}, _without_custom(sides.vendor) or {}, policy
    )
    theirs = dict(sides.vendor.get("custom_fields") or {})
    agreed = None if sides.base is None else dict(sides.base.get("custom_fields") or {})
    for name in agreed or {}:
        theirs.setdefault(name, None)
    custom = merge(agreed, dict(sides.hub.get("custom_fields") or {}), theirs, policy)
    patch = Patch(
        sides.seq,
        fields=tuple(plain.to_hub),
        custom=tuple(n for n, v in custom.to_hub.items() if not is_blank(v)),
        custom_removed=tuple(n for n, v in custom.to_hub.items() if is_blank(v)),
        rule="three-way merge" if sides.base is not None else "fill blanks",
    )
    return patch, Merge(plain.to_hub, plain.to_vendor, plain.conflicts + custom.conflicts)


def _without_custom(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {k: v for k, v in values.items() if k != "custom_fields"}


def update(job: LoadJob, on_rows: OnRows) -> None:
    """Merge changed and matched records into the hub records that stand already."""
    if not (job.planned.get("updated") or job.planned.get("matched")):
        return
    rows = job.planned.get("updated", 0) + job.planned.get("matched", 0)
    if rows < UPDATE_ROWS * len(UPDATE_PHASES):
        _update(job, on_rows, UPDATE_PHASES[0], WHOLE)
        return
    one_by_one = Lock()

    def on_rows_of_share(rows: int, counts: Mapping[str, Any]) -> None:
        with one_by_one:
            on_rows(rows, counts)

    shares = [(phase, Share(n, len(UPDATE_PHASES))) for n, phase in enumerate(UPDATE_PHASES)]
    with ThreadPoolExecutor(len(shares)) as pool:
        for done in [pool.submit(_update, job, on_rows_of_share, *share) for share in shares]:
            done.result()


def _update(job: LoadJob, on_rows: OnRows, phase: str, share: Share) -> None:
    """Update the records of one share, batch by batch: several changes of one hub record build on each other."""
    key = job.staged.key
    with job.database.tenant(key.tenant_id) as connection:
        done = runs.chunks(connection, key.tenant_id, key.run_id, object_name=job.staged.object, phase=phase)
    after = max((c.seq for c in done), default=-1)
    while True:
        with job.database.tenant(key.tenant_id) as connection:
            runs.fence(connection, key)
            loading.commit_at_once(connection)
            batch = updating.gather(connection, job.staged, job.references, job.mapped, after, UPDATE_ROWS, share=share)
            if not batch:
                return
            counts = _update_batch(connection, job, batch)
            after = batch[-1].seq
            runs.add_chunk(connection, key, Chunk(job.staged.object, phase, after, rows=len(batch), counts=counts))
        on_rows(len(batch), counts)


def _update_batch(connection: Any, job: LoadJob, batch: Sequence[Sides]) -> Counter[str]:
    """Decide and apply; further changes of one hub record are read again, since they build on the first."""
    counts: Counter[str] = Counter(updated=0, unchanged=0, merged=0, conflicts=0)
    while batch:
        now, later = _one_each(batch)
        decided = [decide(sides) for sides in now]
        updating.apply(connection, job.staged, job.references, job.mapped, [patch for patch, _ in decided])
        counts.update(_update_counts(now, decided))
        if not later:
            break
        batch = updating.gather(connection, job.staged, job.references, job.mapped, -1, len(later), only=later)
    return counts


def _one_each(batch: Sequence[Sides]) -> tuple[list[Sides], list[int]]:
    """Rows of a batch in which no hub record occurs twice, and the row numbers of the rest: those build on these."""
    first: dict[Any, Sides] = {}
    later = [sides.seq for sides in batch if first.setdefault(sides.hub_id, sides) is not sides]
    return list(first.values()), later


def _update_counts(batch: Sequence[Sides], decided: Sequence[tuple[Patch, Merge]]) -> dict[str, int]:
    linked = [patch for sides, (patch, _) in zip(batch, decided, strict=True) if sides.action == "updated"]
    changed = sum(not patch.is_empty for patch in linked)
    return {
        "updated": changed,
        "unchanged": len(linked) - changed,
        "merged": len(batch) - len(linked),
        "conflicts": sum(len(m.conflicts) for _, m in decided),
    }


# ---------------------------------------------------------------- associations and references


def associate(job: LoadJob, on_rows: OnRows) -> None:
    """Load a junction object: create its associations, change those that stand, refuse those that lack an end."""
    from_objects, to_objects = job.lens.refs["from_id"], job.lens.refs["to_id"]

    def work(connection: Any, first: int, end: int) -> dict[str, Any]:
        associating.keep_lists(connection, job.staged, from_objects, to_objects, first, end)
        created, merged = associating.create_range(connection, job.staged, from_objects, to_objects, first, end)
        updated = associating.update_range(connection, job.staged, from_objects, to_objects, first, end)
        loose = [
            Refused(seq, vendor_id, _missing_end(has_from, has_to))
            for seq, vendor_id, has_from, has_to in associating.unresolved(
                connection, job.staged, from_objects, to_objects, first, end
            )
        ]
        bury(connection, job.staged, loose, code="association_without_end")
        return {
            "created": created,
            "merged": merged,
            "updated": updated,
            "rejected": len(loose),
            "rejects": {"association_without_end": len(loose)} if loose else {},
        }

    in_ranges(job, "load", work, on_rows, 1)


def _missing_end(has_from: bool, has_to: bool) -> str:
    if not has_from and not has_to:
        return "neither of the records it connects was migrated"
    return f"the record at its {'far' if has_from else 'near'} end was not migrated"


def associate_found(job: LoadJob, on_rows: OnRows) -> None:
    """Create the associations found inside records."""

    def work(connection: Any, first: int, end: int) -> dict[str, Any]:
        return {"associations": associating.create_found(connection, job.staged, first, end)}

    in_ranges(job, "associate", work, on_rows, 1)


def resolve(job: LoadJob) -> dict[str, int]:
    """Settle references to records that came later (or in a ring); returns how many are left waiting, by field."""
    key = job.staged.key
    with job.database.tenant(key.tenant_id) as connection:
        runs.fence(connection, key)
        loading.prepare(connection)
        waiting = loading.pending_by_field(connection, job.staged, of_run=False)
        if sum(waiting.values()) >= STATISTICS_FROM_ROWS:  # else each would be compared with each
            loading.refresh_statistics(connection, "pending_reference")
        resolved = sum(loading.resolve_pending(connection, job.staged, field) for field in waiting)
        left = loading.pending_by_field(connection, job.staged, of_run=True)
        runs.put_chunk(
            connection,
            key,
            Chunk(
                job.staged.object,
                "resolve",
                0,
                last=True,
                counts={
                    "resolved": resolved,
                    "pending_left": sum(left.values()),
                    "warnings": {f"reference_missing:{field}": n for field, n in left.items()},
                },
            ),
        )
    return left
