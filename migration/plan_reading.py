"""Reading a plan back: from its file or from what a run stored. Errors name file, line and field."""

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
    Plan,
    PlannedField,
    PlannedObject,
    PlannedPipeline,
    PlannedStage,
    SkippedObject,
    SkipReason,
)
from migration.plan_order import in_load_order, phase_of
from migration.plan_shape import CREATE, Defaults, Document, FieldRow, ObjectTable, OwnerTable, PipelineTable


class PlanFileError(ConfigurationError):
    """A plan file is wrong; the message names file, line and field."""

    code = "plan_file"


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
        result.append(PlannedField(name, row.kind, use, to, why, row.fill, tuple(row.refers_to), row.found))
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
