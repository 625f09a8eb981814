"""A plan as a TOML file, written for a person to read and edit; `plan_reading` reads it back.

What a person may change: whether an object is migrated, its match rules, survivor and blank filling, what becomes of each
field, an override of its mapping, owners, and the defaults. Counts and fill rates are there to decide by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import tomlkit

from migration.plan_model import (
    FieldUse,
    OwnerMatch,
    Phase,
    Plan,
    PlannedField,
    PlannedObject,
    PlannedPipeline,
    SkippedObject,
)
from migration.plan_references import told
from migration.plan_shape import CREATE, FORMAT


def to_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values: what the TOML file and the stored run hold."""
    head = {
        "format": FORMAT,
        "vendor": plan.vendor,
        "remote_account": plan.remote_account,
        "display_name": plan.display_name,
        "catalog_fingerprint": plan.catalog_fingerprint,
        "created_at": plan.created_at.isoformat() if plan.created_at else None,
        "approved": plan.approved,
    }
    context = plan.context
    defaults = {
        "country": context.default_country,
        "currency": context.default_currency,
        "time_zone": context.time_zone,
    }
    objects = [_object_table(o) for o in plan.objects] + [_skipped_table(s) for s in plan.skipped]
    document = {
        "plan": {name: value for name, value in head.items() if value is not None},
        "defaults": defaults,
        "objects": objects,
        "owners": [_owner_table(o) for o in plan.owners],
        "pipelines": [_pipeline_table(p) for p in plan.pipelines],
    }
    return {name: value for name, value in document.items() if value}


def _object_table(planned: PlannedObject, *, migrate: bool = True, **extra: Any) -> dict[str, Any]:
    table: dict[str, Any] = {"object": planned.object, "label": planned.label, "migrate": migrate, **extra}
    table |= {
        "entity": planned.entity,
        "records": planned.expected_count,
        "mapping": planned.mapping,
        "match_rules": [list(rule) for rule in planned.match_rules],
        "survivor": planned.survivor.value,
        "blank_fill": planned.blank_fill,
        "aliases": dict(planned.aliases),
        "spec": planned.base_text,
        "override": planned.override,
        "fields": {f.name: _field_row(f) for f in planned.fields},
    }
    return {name: value for name, value in table.items() if value not in (None, "", {})}


def _skipped_table(skipped: SkippedObject) -> dict[str, Any]:
    said = {"reason": skipped.reason.value, "why": skipped.why}
    if skipped.planned is not None:
        return _object_table(skipped.planned, migrate=False, **said)
    table = {"object": skipped.object, "migrate": False, **said, "records": skipped.count}
    return {name: value for name, value in table.items() if value not in (None, "")}


def _field_row(field: PlannedField) -> dict[str, Any]:
    row = {
        "use": field.use.value,
        "to": list(field.to),
        "why": field.why,
        "fill": field.fill,
        "kind": field.kind.value,
        "refers_to": list(field.refers_to),
        "found": field.found,
    }
    return {name: value for name, value in row.items() if value not in (None, "", [])}


def _owner_table(owner: OwnerMatch) -> dict[str, Any]:
    return {
        "id": owner.vendor_id,
        "email": owner.email,
        "name": owner.name,
        "active": owner.is_active,
        "hub_user": str(owner.hub_user_id or CREATE),
    }


def _pipeline_table(pipeline: PlannedPipeline) -> dict[str, Any]:
    stages = [
        {
            "name": s.name,
            "probability": None if s.probability is None else _plain(s.probability),
            "won": s.is_won,
            "closed": s.is_closed,
            "active": s.is_active,
        }
        for s in pipeline.stages
    ]
    rows = [{name: value for name, value in stage.items() if value is not None} for stage in stages]
    return {"name": pipeline.name, "found_in": pipeline.found_in, "stages": rows}


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


# ---------------------------------------------------------------- document -> TOML


_INTRO = (
    "The migration plan. Read it, change what should be different, then approve it with `syncline migrate approve`.",
    "Any change after that needs a new approval. Lines that say how much or how full are for your information.",
)
_SECTIONS = {
    "defaults": "How to read phone numbers, amounts and times that do not say it themselves.",
    "owners": 'Who owns what. hub_user: the id of the hub user that this person is, or "create".',
    "pipelines": "Pipelines and stages as found in the source.",
}
_HINTS = {
    "approved": "set by `syncline migrate approve`",
    "migrate": "false leaves the whole object behind",
    "match_rules": "records that agree on all fields of a rule are the same",
    "survivor": "oldest, newest or most_complete",
    "blank_fill": "the survivor takes what it lacks from the others",
    "records": "as counted by the audit",
}


def to_toml(plan: Plan) -> str:
    """The plan as a commented TOML file."""
    data = to_document(plan)
    document = tomlkit.document()
    for line in _INTRO:
        document.add(tomlkit.comment(line))
    document.add("plan", _table(data["plan"]))
    document.add("defaults", _table(data["defaults"], _SECTIONS["defaults"]))
    phases = {o.object: o.phase for o in plan.objects}
    document.add("objects", _objects(data.get("objects", []), phases))
    for name in ("owners", "pipelines"):
        if name in data:
            array = tomlkit.aot()
            for position, row in enumerate(data[name]):
                array.append(_table(row, _SECTIONS[name] if position == 0 else ""))
            document.add(name, array)
    return tomlkit.dumps(document)


def _objects(rows: Sequence[Mapping[str, Any]], phases: Mapping[str, Phase]) -> Any:
    array = tomlkit.aot()
    before: Phase | str | None = ""
    for row in rows:
        phase = phases.get(row["object"])
        title = f"{phase.value}. {phase.label}" if phase else "left behind"
        array.append(_table(row, f"---------------- {title}" if phase != before else ""))
        before = phase
    return array


def _table(row: Mapping[str, Any], comment: str = "") -> Any:
    table = tomlkit.table()
    if comment:
        table.add(tomlkit.comment(comment))
    for name, value in row.items():
        if name == "fields":
            table.add(name, _field_rows(value))
        else:
            item = _text(value) if isinstance(value, str) and "\n" in value else tomlkit.item(_value(value))
            if name in _HINTS:
                item.comment(_HINTS[name])
            table.add(name, item)
    return table


def _text(value: str) -> Any:
    """A text of several lines, readable as such; TOML drops the first line break."""
    plain = "'''" not in value and all(c.isprintable() or c in "\n\t" for c in value)
    return tomlkit.string(value, multiline=True, literal=True) if plain else tomlkit.string(value)


def _field_rows(rows: Mapping[str, Mapping[str, Any]]) -> Any:
    table = tomlkit.table()
    table.add(
        tomlkit.comment('use: "mapped" (as the mapping says), "custom" (kept in custom_fields) or "ignored" (with why)')
    )
    for name, row in rows.items():
        item = _value(row)
        if "found" in row:
            item.comment(told(row["found"], row["refers_to"], mapped=row["use"] == FieldUse.MAPPED))
        table.add(name, item)
    return table


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        for name, item in value.items():
            inline.add(name, _value(item))
        return inline
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        array = tomlkit.array()
        for item in value:
            array.append(_value(item))
        return array.multiline(True)
    return value
