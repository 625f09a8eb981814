"""A plan as a TOML file: written for a person to read and edit, read back with errors that name file, line and field.

What a person may change: whether an object is migrated, its match rules, survivor and blank filling, what becomes of each
field, an override of its mapping, owners, and the defaults. Counts and fill rates are there to decide by.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import tomlkit
from pydantic import ValidationError

from domain.errors import ConfigurationError, MappingSpecError
from mappings.context import MappingContext
from mappings.model import fields_of
from mappings.spec import MappingSpec, parse_spec, with_override
from migration.plan_lines import Lines
from migration.plan_mapping import INLINE, REPEATS, named_mapping, targets, with_aliases, with_choice
from migration.plan_model import (
    FieldUse,
    OwnerMatch,
    Phase,
    Plan,
    PlannedField,
    PlannedObject,
    PlannedPipeline,
    PlannedStage,
    SkippedObject,
    SkipReason,
)
from migration.plan_order import in_load_order, phase_of
from migration.plan_shape import CREATE, FORMAT, Defaults, Document, FieldRow, ObjectTable, OwnerTable, PipelineTable


class PlanFileError(ConfigurationError):
    """A plan file is wrong; the message names file, line and field."""

    code = "plan_file"


# ---------------------------------------------------------------- plan -> document


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
        table.add(name, _value(row))
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


# ---------------------------------------------------------------- document -> plan


class _Reader:
    """Builds a plan from a document and knows where in which file it stands."""

    def __init__(self, filename: str, lines: Lines | None) -> None:
        self._filename = filename
        self._lines = lines

    def fail(self, path: Sequence[str | int], problem: str, remedy: str = "") -> NoReturn:
        line = self._lines.line(path) if self._lines else None
        where = f"{self._filename}, line {line}" if line else self._filename
        field = ".".join(str(step) for step in path)
        raise PlanFileError(f"{where}: {field} {problem}", remedy=remedy, context={"line": line, "field": field})

    def plan(self, data: Mapping[str, Any]) -> Plan:
        document = self._validated(data)
        migrated: list[PlannedObject] = []
        skipped: list[SkippedObject] = []
        for position, table in enumerate(document.objects):
            if any(table.object == earlier.object for earlier in document.objects[:position]):
                self.fail(
                    ("objects", position, "object"), f"names {table.object} a second time.", "Remove one of them."
                )
            planned = self._object(position, table)
            if table.migrate and planned is not None:
                migrated.append(planned)
            else:
                reason = table.reason or SkipReason.CHOICE
                skipped.append(SkippedObject(table.object, reason, table.why, table.records, planned))
        objects, cycles = in_load_order(migrated)
        head = document.plan
        return Plan(
            vendor=head.vendor, remote_account=head.remote_account, objects=objects, context=self._context(document.defaults),
            catalog_fingerprint=head.catalog_fingerprint,
            owners=tuple(self._owner(i, owner) for i, owner in enumerate(document.owners)), skipped=tuple(skipped),
            pipelines=tuple(map(_pipeline, document.pipelines)), cycles=cycles, display_name=head.display_name,
            created_at=head.created_at, approved=head.approved,
        )  # fmt: skip

    def _validated(self, data: Mapping[str, Any]) -> Document:
        try:
            return Document.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            self.fail(first["loc"], f"is wrong: {first['msg']}.", "Mend the line and try again.")

    def _context(self, defaults: Defaults) -> MappingContext:
        wanted = {
            "default_country": defaults.country,
            "default_currency": defaults.currency,
            "time_zone": defaults.time_zone,
        }
        for name, value in wanted.items():
            try:
                MappingContext(**{name: value})
            except ConfigurationError as error:
                self.fail(("defaults", name.removeprefix("default_")), f"is wrong: {error.message}", error.remedy)
        return MappingContext(**wanted)

    def _object(self, position: int, table: ObjectTable) -> PlannedObject | None:
        path = ("objects", position)
        if not table.mapping:
            if table.migrate:
                why = table.why or (table.reason.value if table.reason else "")
                self.fail(
                    (*path, "migrate"), f"is true, but {table.object} has no mapping ({why}).", "Set it to false."
                )
            return None
        base = self._base(path, table)
        spec = self._effective(path, table, base)
        known = fields_of(spec.entity)
        if table.entity and table.entity != spec.entity:
            self.fail((*path, "entity"), f"is {table.entity!r}, but the mapping leads to {spec.entity!r}.",
                      "The mapping decides; change the mapping instead.")  # fmt: skip
        for rule in table.match_rules:
            for name in rule:
                if name not in known:
                    self.fail((*path, "match_rules"), f"names {name!r}, which {spec.entity} does not have.",
                              "Use canonical field names, such as those in `to` below.")  # fmt: skip
        return PlannedObject(
            object=table.object, entity=spec.entity, phase=phase_of(spec.entity), spec=spec,
            match_rules=tuple(tuple(rule) for rule in table.match_rules if rule), survivor=table.survivor,
            blank_fill=table.blank_fill, expected_count=table.records, fields=_fields(table, spec), mapping=table.mapping,
            override=table.override, label=table.label, base_text=table.spec, aliases=tuple(sorted(table.aliases.items())),
        )  # fmt: skip

    def _base(self, path: Sequence[str | int], table: ObjectTable) -> MappingSpec:
        if table.mapping == INLINE:
            if not table.spec:
                self.fail(
                    (*path, "mapping"),
                    "is inline, but there is no spec.",
                    "Restore the spec of the plan as it was made.",
                )
            return self._parsed(
                (*path, "spec"), lambda: parse_spec(table.spec, f"{self._filename} ({table.object}, spec)")
            )
        spec = named_mapping(table.mapping)
        if spec is None:
            self.fail(
                (*path, "mapping"), f"names {table.mapping!r}, which is no shipped mapping.", "Write vendor/object."
            )
        return spec

    def _parsed(self, path: Sequence[str | int], parse: Callable[[], MappingSpec]) -> MappingSpec:
        try:
            return parse()
        except MappingSpecError as error:
            line = self._lines.line(path) if self._lines else None
            where = f"The mapping at line {line}: " if line else ""
            raise PlanFileError(where + error.message, remedy=error.remedy, context=error.context) from error

    def _effective(self, path: Sequence[str | int], table: ObjectTable, base: MappingSpec) -> MappingSpec:
        """Base mapping, then the override, then the choices of the field table that differ from what the base does."""
        spec = with_aliases(base, table.aliases)
        if table.override:
            name = f"{self._filename} ({table.object}, override)"
            spec = self._parsed((*path, "override"), lambda: with_override(spec, table.override, name))
            spec = with_aliases(spec, table.aliases)
        for name, row in table.fields.items():
            if row.use is _plain_use(base, name, row):
                continue
            if row.use is FieldUse.MAPPED and targets(spec, name):
                continue
            try:
                spec = with_choice(spec, name, row.use, row.why)
            except ConfigurationError as error:
                self.fail((*path, "fields", name), f"can't be chosen: {error.message}", error.remedy)
        return spec

    def _owner(self, position: int, owner: OwnerTable) -> OwnerMatch:
        try:
            hub_user = None if owner.hub_user == CREATE else UUID(owner.hub_user)
        except ValueError:
            self.fail(("owners", position, "hub_user"), f"is {owner.hub_user!r}, which is no id.",
                      'Write the id of a hub user, or "create".')  # fmt: skip
        return OwnerMatch(owner.id, owner.email, owner.name, owner.active, hub_user)


def _plain_use(base: MappingSpec, name: str, row: FieldRow) -> FieldUse:
    """What the base mapping alone does with a field. Fields that repeat others are ignored by any mapping."""
    if targets(base, name):
        return FieldUse.MAPPED
    if name in base.ignore or base.custom.unmapped == "ignore":
        return FieldUse.IGNORED
    return FieldUse.IGNORED if row.why == REPEATS else FieldUse.CUSTOM


def _fields(table: ObjectTable, spec: MappingSpec) -> tuple[PlannedField, ...]:
    """The rows of the file, brought up to date with what override and choices make of the mapping."""
    result = []
    for name, row in table.fields.items():
        to = targets(spec, name)
        use = FieldUse.MAPPED if to else FieldUse.IGNORED if name in spec.ignore else row.use
        why = spec.ignore.get(name, row.why) if use is FieldUse.IGNORED else ""
        result.append(PlannedField(name, row.kind, use, to, why, row.fill, tuple(row.refers_to)))
    return tuple(result)


def _pipeline(table: PipelineTable) -> PlannedPipeline:
    stages = tuple(
        PlannedStage(s.name, None if s.probability is None else Decimal(str(s.probability)), s.won, s.closed, s.active)
        for s in table.stages
    )
    return PlannedPipeline(table.name, table.found_in, stages)


def from_document(data: Mapping[str, Any], filename: str = "the stored plan", lines: Lines | None = None) -> Plan:
    """The plan that a document holds. Raises PlanFileError naming file, line and field."""
    return _Reader(filename, lines).plan(data)


def from_toml(text: str, filename: str) -> Plan:
    """The plan that a file holds. Raises PlanFileError naming file, line and field."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanFileError(
            f"{filename}: this is not valid TOML: {error}.", remedy="Mend the line and try again."
        ) from error
    return from_document(data, filename, Lines(text))


def approved_text(text: str, filename: str) -> str:
    """The same file with the approval set to its content's checksum; layout and comments stay. Raises PlanFileError."""
    plan = from_toml(text, filename)
    document = tomlkit.parse(text)
    document["plan"]["approved"] = plan.checksum
    return tomlkit.dumps(document)
