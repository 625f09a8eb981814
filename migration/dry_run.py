"""The dry run: the planner of a real run over the whole source, and what it would do, with nothing written.

Staging rows are the only trace while it works, and they are gone when it ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from migration import load
from migration.ledger import ObjectLedger
from migration.load import LoadJob
from storage import planning, previews, updating
from storage.loading import Reference
from storage.planning import StagedObject

DIFFS_MAX = 10


@dataclass(frozen=True, slots=True)
class Diff:
    """What one hub record would change: field to (before, after)."""

    vendor_id: str
    hub_id: str
    action: str
    fields: Mapping[str, tuple[Any, Any]]
    conflicts: tuple[str, ...] = ()


@dataclass(slots=True)
class ObjectPreview:
    """What a run would do with one object. ``merges``: samples of (duplicate, survivor, rule) by vendor id."""

    ledger: ObjectLedger
    diffs: list[Diff] = field(default_factory=list)
    merges: list[tuple[str, str, str]] = field(default_factory=list)
    unresolved: dict[str, int] = field(default_factory=dict)
    creates: list[dict[str, Any]] = field(default_factory=list)


def preview(job: LoadJob, ledger: ObjectLedger, staged_objects: Mapping[str, StagedObject]) -> ObjectPreview:
    """Fill in what a real run would find out while loading: creates, merges, updates, associations that lack an end."""
    result = ObjectPreview(ledger)
    staged = job.staged
    with job.database.tenant(staged.key.tenant_id) as connection:
        result.merges = previews.merges(connection, staged, DIFFS_MAX)
        result.creates = previews.creates(connection, staged, DIFFS_MAX)
        if staged.entity == "association":
            _associations(connection, job, ledger, staged_objects)
            return result
        actions = planning.actions(connection, staged)
        ledger.created += actions.get("created", 0)
        ledger.merged += actions.get("merged", 0) + actions.get("matched", 0)
        _updates(connection, job, result)
    return result


def _associations(
    connection: Any, job: LoadJob, ledger: ObjectLedger, staged_objects: Mapping[str, StagedObject]
) -> None:
    ends = previews.associations(
        connection, job.staged, job.lens.refs["from_id"], job.lens.refs["to_id"], list(staged_objects.values())
    )
    ledger.created += ends.created
    ledger.merged += ends.merged
    ledger.updated += ends.updated
    if ends.rejected:
        ledger.rejected += ends.rejected
        ledger.rejects["association_without_end"] += ends.rejected


def _updates(connection: Any, job: LoadJob, result: ObjectPreview) -> None:
    after, shared = -1, updating.shared_targets(connection, job.staged)
    while batch := updating.gather(
        connection, job.staged, job.references, job.mapped, after, load.UPDATE_ROWS, staged_too=True
    ):
        after = batch[-1].seq
        for sides in batch:
            if sides.hub_id in shared:
                sides = replace(sides, hub=_with(sides.hub, shared[sides.hub_id]))
            patch, merged = load.decide(sides)
            if sides.hub_id in shared:
                shared[sides.hub_id] = _with(shared[sides.hub_id], _taken(sides, patch))
            if sides.action == "updated":
                result.ledger.updated += not patch.is_empty
                result.ledger.unchanged += patch.is_empty
            result.ledger.conflicts += len(merged.conflicts)
            if not patch.is_empty and len(result.diffs) < DIFFS_MAX:
                result.diffs.append(_diff(sides, patch, tuple(c.field for c in merged.conflicts)))


def _taken(sides: updating.Sides, patch: updating.Patch) -> dict[str, Any]:
    """The values that a patch brings into the hub record, None for custom fields that it removes."""
    custom = dict(sides.vendor.get("custom_fields") or {})
    taken = {name: custom.get(name) for name in patch.custom} | dict.fromkeys(patch.custom_removed)
    return {name: sides.vendor.get(name) for name in patch.fields} | {"custom_fields": taken}


def _with(record: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    custom = {**(record.get("custom_fields") or {}), **(changes.get("custom_fields") or {})}
    return {**record, **changes, "custom_fields": custom}


def _diff(sides: updating.Sides, patch: updating.Patch, conflicts: tuple[str, ...]) -> Diff:
    fields = {name: (sides.hub.get(name), sides.vendor.get(name)) for name in patch.fields}
    hub, vendor = dict(sides.hub.get("custom_fields") or {}), dict(sides.vendor.get("custom_fields") or {})
    fields |= {
        f"custom_fields.{name}": (hub.get(name), vendor.get(name)) for name in (*patch.custom, *patch.custom_removed)
    }
    return Diff(sides.vendor_id, str(sides.hub_id), sides.action, fields, conflicts)


def unresolved(job: LoadJob, staged_objects: Mapping[str, StagedObject], made: Collection[str] = ()) -> dict[str, int]:
    """How many references of an object lead to nothing that is staged or migrated, by field.

    ``made``: vendor objects whose records the run makes itself, which a dry run does not.
    """
    references = {name: ref for name, ref in job.references.items() if not set(ref.objects) <= set(made)}
    if job.staged.entity == "association":
        references = {name: Reference(job.lens.refs[name], name) for name in ("from_id", "to_id")}
    with job.database.tenant(job.staged.key.tenant_id) as connection:
        return {
            name: n for name, n in previews.unresolved(connection, job.staged, references, staged_objects).items() if n
        }
