"""The migration plan: what a person reads, edits and approves, and what a run then executes.

A plan is data and decides everything that can be decided before the first record moves: which objects go where, in which
order, by which mapping, what counts as the same record, who owns what. `plan_document` writes it as TOML,
`plan_reading` reads it back, `plan` proposes one from an audit.

The checksum covers the whole content, the effective mappings included: approving stores it in the plan, and a plan, or a
shipped mapping, that changed afterwards no longer agrees with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

from domain.entities import Kind
from domain.errors import PlanChangedError
from domain.records import Catalog
from mappings.compile import Lens, compile_spec
from mappings.context import MappingContext
from mappings.spec import MappingSpec


class Phase(IntEnum):
    """The stages of a run, in order. Everything of one phase is loaded before the next one starts."""

    METADATA = 1
    USERS = 2
    MASTER_DATA = 3
    TRANSACTIONS = 4
    ASSOCIATIONS = 5
    ATTACHMENTS = 6

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", " ")


class Survivor(StrEnum):
    """Which record of a group of duplicates stays; the others are merged into it and linked to it."""

    OLDEST = "oldest"
    NEWEST = "newest"
    MOST_COMPLETE = "most_complete"


class FieldUse(StrEnum):
    """What becomes of a source field."""

    MAPPED = "mapped"
    CUSTOM = "custom"  # kept in custom_fields
    IGNORED = "ignored"


class SkipReason(StrEnum):
    """Why an object stays behind."""

    EMPTY = "empty"
    UNREADABLE = "not readable"
    SYSTEM = "system object"
    NO_MAPPING = "no mapping"
    CHOICE = "your choice"


@dataclass(frozen=True, slots=True)
class PlannedField:
    """One source field. ``to``: the canonical fields it feeds. From the audit, both 0–1: ``fill``, the share of records that
    have it, and ``found``, the share of a reference's values that are ids of what it refers to."""

    name: str
    kind: Kind
    use: FieldUse
    to: tuple[str, ...] = ()
    why: str = ""
    fill: float | None = None
    refers_to: tuple[str, ...] = ()
    found: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """One vendor object that is migrated.

    ``entity`` is a canonical entity or ``association``. ``spec`` is the effective mapping: shipped or inline one, plus
    ``override``, plus the choices of ``fields``. ``mapping`` names where it comes from: ``vendor/object`` of a shipped
    mapping, or ``inline``, whose text is ``base_text``. ``aliases``: what this source calls the objects that the mapping
    names. ``match_rules``: each a tuple of canonical fields; records that agree on all of them, none
    blank, are the same. ``blank_fill``: the survivor takes what it lacks from the merged ones.
    """

    object: str
    entity: str
    phase: Phase
    spec: MappingSpec
    match_rules: tuple[tuple[str, ...], ...] = ()
    survivor: Survivor = Survivor.OLDEST
    blank_fill: bool = True
    expected_count: int | None = None
    fields: tuple[PlannedField, ...] = ()
    mapping: str = "inline"
    override: str = ""
    label: str = ""
    base_text: str = ""
    aliases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedObject:
    """One vendor object that stays behind, and why. ``planned``: how it would go, had it been wanted."""

    object: str
    reason: SkipReason
    why: str = ""
    count: int | None = None
    planned: PlannedObject | None = None


@dataclass(frozen=True, slots=True)
class OwnerMatch:
    """One source user. ``hub_user_id`` is the hub user with the same e-mail address; None: created, inactive where the
    source says so or where nobody may sign in as them."""

    vendor_id: str
    email: str = ""
    name: str = ""
    is_active: bool = True
    hub_user_id: UUID | None = None

    @property
    def action(self) -> str:
        return "match" if self.hub_user_id else "create"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage as found in the source. ``probability`` in per cent (0–100)."""

    name: str
    probability: Decimal | None = None
    is_won: bool | None = None
    is_closed: bool | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class PlannedPipeline:
    """One pipeline and its stages in order. ``found_in``: ``object.field`` whose picklist or values told them."""

    name: str
    found_in: str
    stages: tuple[PlannedStage, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan. ``objects`` stand in load order; ``cycles`` names the objects that refer to each other in a ring
    (their references are set after all of them are loaded). ``approved`` is the checksum that a person approved."""

    vendor: str
    remote_account: str
    objects: tuple[PlannedObject, ...]
    context: MappingContext
    catalog_fingerprint: str
    owners: tuple[OwnerMatch, ...] = ()
    skipped: tuple[SkippedObject, ...] = ()
    pipelines: tuple[PlannedPipeline, ...] = ()
    cycles: tuple[tuple[str, ...], ...] = ()
    display_name: str = ""
    created_at: datetime | None = None
    approved: str = field(default="", compare=False)

    @property
    def checksum(self) -> str:
        """Hex digest of everything that the plan says, but not of how its file is laid out or whether it is approved."""
        text = json.dumps(self.content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def content(self) -> dict[str, Any]:
        """The content as JSON values, objects by name, without the approval."""
        return {
            "vendor": self.vendor,
            "remote_account": self.remote_account,
            "catalog_fingerprint": self.catalog_fingerprint,
            "context": _plain_fields(self.context, ("default_country", "default_currency", "time_zone")),
            "objects": {o.object: _object_content(o) for o in self.objects},
            "skipped": {s.object: s.reason.value for s in self.skipped},
            "owners": {o.vendor_id: [o.email, o.name, o.is_active, _text(o.hub_user_id)] for o in self.owners},
            "pipelines": {f"{p.found_in} {p.name}": [_stage_content(s) for s in p.stages] for p in self.pipelines},
        }

    @property
    def is_approved(self) -> bool:
        return bool(self.approved) and self.approved == self.checksum

    def approve(self) -> Plan:
        """The same plan, approved as it stands."""
        return replace(self, approved=self.checksum)

    def require_approved(self) -> None:
        """Raises PlanChangedError unless the plan was approved exactly as it stands."""
        if not self.approved:
            raise PlanChangedError(
                "The plan has not been approved yet.",
                remedy="Read it, edit it, then run `syncline migrate approve`.",
                code="plan_not_approved",
            )
        if self.approved != self.checksum:
            raise PlanChangedError(
                "The plan, or a mapping it uses, changed after it was approved.",
                remedy="Read the change and run `syncline migrate approve` again.",
            )

    def object(self, name: str) -> PlannedObject:
        """The planned object called ``name``. Raises KeyError when it is not migrated."""
        for planned in self.objects:
            if planned.object == name:
                return planned
        raise KeyError(name)

    def to_toml(self) -> str:
        """The plan as a commented file for a person; see `plan_document`."""
        from migration.plan_document import to_toml

        return to_toml(self)

    @staticmethod
    def from_toml(text: str, filename: str) -> Plan:
        """The plan of a file. Raises PlanFileError naming file, line and field."""
        from migration.plan_reading import from_toml

        return from_toml(text, filename)

    def to_json(self) -> dict[str, Any]:
        """The plan's document as JSON values, for storing with the run."""
        from migration.plan_document import to_document

        return to_document(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` gave. Raises PlanFileError."""
        from migration.plan_reading import from_document

        return from_document(data)

    def lenses(self, catalog: Catalog) -> dict[str, Lens]:
        """The compiled mapping of every migrated object. Raises MappingSpecError, PlanChangedError (object gone)."""
        result: dict[str, Lens] = {}
        for planned in self.objects:
            schema = catalog.objects.get(planned.object)
            if schema is None:
                raise PlanChangedError(
                    f"{planned.object} is in the plan but the source no longer lists it.",
                    remedy="Restore it or the permission to read it, or plan again.",
                )
            result[planned.object] = compile_spec(planned.spec, schema, self.context)
        return result


def _object_content(planned: PlannedObject) -> dict[str, Any]:
    return {
        "entity": planned.entity,
        "spec": planned.spec.model_dump(mode="json"),
        "match_rules": [list(rule) for rule in planned.match_rules],
        "survivor": planned.survivor.value,
        "blank_fill": planned.blank_fill,
        "expected_count": planned.expected_count,
        "fields": {
            f.name: [f.kind.value, f.use.value, sorted(f.to), f.why, sorted(f.refers_to)] for f in planned.fields
        },
    }


def _stage_content(stage: PlannedStage) -> list[Any]:
    odds = None if stage.probability is None else format(stage.probability.normalize(), "f")
    return [stage.name, odds, stage.is_won, stage.is_closed, stage.is_active]


def _plain_fields(value: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    return {name: getattr(value, name) for name in names}


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
