"""What changed in the source's schema since a plan was made, and whether the plan still holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from domain.errors import PlanChangedError
from domain.records import Catalog, FieldSchema, ObjectSchema
from migration.plan_model import FieldUse, Plan, PlannedField, PlannedObject


@dataclass(frozen=True, slots=True)
class Drift:
    """One change. ``breaking``: running the plan regardless would lose or garble data."""

    object: str
    field: str | None
    breaking: bool
    message: str


def check_drift(plan: Plan, catalog: Catalog) -> list[Drift]:
    """Every difference between the schema that was planned for and ``catalog``, breaking ones first."""
    found: list[Drift] = []
    for planned in plan.objects:
        schema = catalog.objects.get(planned.object)
        if schema is None or not schema.readable:
            why = "is no longer in the source" if schema is None else "may no longer be read"
            found.append(Drift(planned.object, None, True, f"{planned.object} {why}."))
        else:
            found += _object_drift(planned, schema)
    known = {o.object for o in plan.objects} | {s.object for s in plan.skipped}
    for name in sorted(set(catalog.objects) - known):
        found.append(Drift(name, None, False, f"{name} is new in the source and not part of the plan."))
    return sorted(found, key=lambda drift: not drift.breaking)


def require_compatible(plan: Plan, catalog: Catalog) -> list[Drift]:
    """The harmless changes. Raises PlanChangedError that names the breaking ones, if there are any."""
    found = check_drift(plan, catalog)
    breaking = [drift for drift in found if drift.breaking]
    if breaking:
        more = f" And {len(breaking) - 5} more." if len(breaking) > 5 else ""
        raise PlanChangedError(
            "The source changed since the plan was made: " + " ".join(drift.message for drift in breaking[:5]) + more,
            remedy="Undo the change in the source, or make a new plan with `syncline migrate plan`.",
            code="schema_drift",
            context={"drift": [drift.message for drift in breaking]},
        )
    return found


def _object_drift(planned: PlannedObject, schema: ObjectSchema) -> Iterator[Drift]:
    now = {f.name: f for f in schema.fields}
    for field in planned.fields:
        current = now.pop(field.name, None)
        if field.use is not FieldUse.IGNORED:
            yield from _field_drift(planned, field, current)
    fate = "is left out" if planned.spec.custom.unmapped == "ignore" else "goes to custom_fields"
    for name in now:
        if not now[name].compound:
            yield Drift(planned.object, name, False, f"{planned.object}.{name} is new in the source; it {fate}.")


def _field_drift(planned: PlannedObject, field: PlannedField, current: FieldSchema | None) -> Iterator[Drift]:
    name = f"{planned.object}.{field.name}"
    if current is None:
        if field.fill == 0:
            yield Drift(planned.object, field.name, False, f"{name} is gone from the source; it was empty.")
        else:
            yield Drift(planned.object, field.name, True, f"{name} is gone from the source.")
        return
    mapped = field.use is FieldUse.MAPPED
    if current.kind is not field.kind:
        change = f"{name} was {field.kind.value} and is now {current.kind.value}."
        yield Drift(planned.object, field.name, mapped, change)
    if set(field.refers_to) - set(current.refers_to):
        lost = ", ".join(sorted(set(field.refers_to) - set(current.refers_to)))
        yield Drift(planned.object, field.name, mapped, f"{name} no longer refers to {lost}.")
