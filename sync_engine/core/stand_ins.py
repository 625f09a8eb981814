"""Stages and pipelines of one vendor as another vendor has them: found by name, or by the names that a person gave them.

An admin sets stages up at each vendor, so each vendor's are records of their own. An opportunity at a stage that a vendor does
not have stands there at the stage of that vendor which answers to the same name, in the pipeline that it belongs to. Where none
does, or several do, nothing is guessed: a `Failure` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from sync_engine.core.model import Failure, Hub, Record, Rules

STAGE: Final = "stage_id"
PIPELINE: Final = "pipeline_id"
ANY: Final = "*"
"""The name that makes a pipeline stand in for whichever has no other."""

NOWHERE: Final = UUID(int=0)
"""Stands for what the vendor has no place for: a reference that nothing is linked to."""


@dataclass(frozen=True, slots=True)
class SetUpRecord:
    """A stage or pipeline of the hub.

    ``objects``: as which objects this vendor has it; none: it is another vendor's. ``names``: what else a person calls it, in
    small letters. ``parent``: a stage's pipeline.
    """

    id: UUID
    entity: str
    name: str
    parent: UUID | None = None
    objects: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        return self.name.strip().casefold()

    def rank(self, sought: SetUpRecord) -> int | None:
        """How well this record stands in for another one: lower is better, None not at all."""
        if self.id == sought.id:
            return 0
        if sought.title in self.names:
            return 1
        if sought.title == self.title:
            return 2
        return 3 if self.title in sought.names or (self.names - {ANY}) & sought.names else None


@dataclass(frozen=True, slots=True)
class SetUp:
    """Every stage and pipeline of the hub, by id."""

    records: Mapping[UUID, SetUpRecord] = field(default_factory=dict)

    def get(self, record_id: Any) -> SetUpRecord | None:
        return self.records.get(record_id)

    def here(self, entity: str, objects: Sequence[str]) -> list[SetUpRecord]:
        """Those that the vendor has, as one of ``objects``."""
        return [r for r in self.records.values() if r.entity == entity and not r.objects.isdisjoint(objects)]


def stand_in(hub: Hub, held: Record | None, known: SetUp, rules: Rules) -> tuple[Hub, Failure | None]:
    """The hub record with stages and pipelines that the vendor has in place of others; and why there is no stage, where so.

    ``held``: what the vendor last said, None of a record that it does not have. A record in a pipeline that the vendor lacks stays
    in the one that it is in there, or goes where its stage is.
    """
    if not rules.writes_field(STAGE):
        return hub, None
    sought, pipeline = known.get(hub.values.get(STAGE)), known.get(hub.values.get(PIPELINE))
    pipelines = known.here("pipeline", rules.refers.get(PIPELINE, ()))
    place = _pipeline(pipeline, pipelines)
    if sought is None:
        return (hub if place is None else _with(hub, {PIPELINE: place.id})), None
    found = _stage(sought, known.here("stage", rules.refers.get(STAGE, ())), place, pipelines, held or {})
    if not isinstance(found, SetUpRecord):
        return _with(hub, {STAGE: NOWHERE, PIPELINE: NOWHERE}), _failure(sought, place, found)
    inside = found.parent or (None if place is None else place.id)
    return _with(hub, {STAGE: found.id} | ({} if inside is None else {PIPELINE: inside})), None


def _pipeline(sought: SetUpRecord | None, here: Sequence[SetUpRecord]) -> SetUpRecord | None:
    if sought is None:
        return None
    found = _best(sought, here)
    return found[0] if len(found) == 1 else None


def _stage(
    sought: SetUpRecord,
    here: Sequence[SetUpRecord],
    place: SetUpRecord | None,
    pipelines: Sequence[SetUpRecord],
    held: Record,
) -> SetUpRecord | Sequence[SetUpRecord]:
    """The one stage that stands in for another, or the several or no ones that might."""
    if place is not None and any(s.parent is not None for s in here):
        return _one(_best(sought, _within({place.id}, here)), held)
    for within in (_held_in(held), {p.id for p in pipelines if ANY in p.names}):
        if within and (found := _best(sought, _within(within, here))):
            return _one(found, held)
    return _one(_best(sought, here), held)


def _held_in(held: Record) -> set[UUID]:
    value = held.get(PIPELINE)
    return {value} if isinstance(value, UUID) else set()


def _within(pipelines: Iterable[UUID], stages: Sequence[SetUpRecord]) -> list[SetUpRecord]:
    wanted = set(pipelines)
    return [s for s in stages if s.parent in wanted]


def _best(sought: SetUpRecord, among: Sequence[SetUpRecord]) -> list[SetUpRecord]:
    """Those that stand in best for the one sought."""
    ranked = [(rank, r) for r in among if (rank := r.rank(sought)) is not None]
    best = min((rank for rank, _ in ranked), default=0)
    return [r for rank, r in ranked if rank == best]


def _one(found: Sequence[SetUpRecord], held: Record) -> SetUpRecord | Sequence[SetUpRecord]:
    """The only one; of several the one that the vendor's record is at already."""
    at = [s for s in found if s.id == held.get(STAGE)]
    return found[0] if len(found) == 1 else at[0] if at else found


def _with(hub: Hub, values: Record) -> Hub:
    return replace(hub, values={**hub.values, **values})


def _failure(sought: SetUpRecord, place: SetUpRecord | None, found: Sequence[SetUpRecord]) -> Failure:
    where = "at this vendor" if place is None else f"in its pipeline “{place.name}”"
    what = "no counterpart" if not found else f"{len(found)} counterparts"
    return Failure("no_counterpart", f"The stage “{sought.name}” has {what} {where}.", STAGE)


def for_records(
    hubs: Sequence[Hub], held: Callable[[Hub], Record | None], known: SetUp, rules: Rules
) -> tuple[list[Hub], dict[UUID, Failure]]:
    """`stand_in` for many records: as the vendor has them, and the failures by record."""
    found = [stand_in(hub, held(hub), known, rules) for hub in hubs]
    return [one for one, _ in found], {hub.id: failure for hub, failure in found if failure}
