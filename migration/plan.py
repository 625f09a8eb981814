"""Make a plan from an audit: propose what goes where, leave behind what can't or need not go, and say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from domain.entities import ENTITIES
from domain.records import AccountInfo, Catalog, ObjectSchema, Option
from mappings.spec import spec_to_toml, with_override
from migration.audit_model import Audit, SourceStage, SourceUser
from migration.plan_mapping import BaseMapping, aliases, base_mapping, context_of, planned_fields, with_aliases
from migration.plan_model import (
    FieldUse,
    OwnerMatch,
    Plan,
    PlannedObject,
    PlannedPipeline,
    PlannedStage,
    SkippedObject,
    SkipReason,
    Survivor,
)
from migration.plan_order import in_load_order, phase_of, references
from migration.plan_references import borne_out


@dataclass(frozen=True, slots=True)
class HubUser:
    """A user that the hub already has."""

    id: UUID
    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the person asked for. ``only``/``without``: object names. ``overrides``: mapping changes by object, as TOML."""

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    overrides: Mapping[str, str] = field(default_factory=dict)
    survivor: Survivor = Survivor.OLDEST
    blank_fill: bool = True
    country: str = ""
    currency: str = ""
    time_zone: str = ""


def build_plan(
    audit: Audit,
    catalog: Catalog,
    account: AccountInfo,
    hub_users: Iterable[HubUser] = (),
    options: PlanOptions | None = None,
) -> Plan:
    """Propose a plan for everything in ``catalog``. Raises MappingSpecError for a wrong override."""
    maker = _Maker(audit, catalog, options or PlanOptions())
    objects, skipped, cycles = maker.objects()
    chosen = maker.options
    return Plan(
        vendor=audit.vendor,
        remote_account=account.remote_account,
        objects=objects,
        context=context_of(account, country=chosen.country, currency=chosen.currency, time_zone=chosen.time_zone),
        catalog_fingerprint=catalog.fingerprint(),
        owners=match_owners(audit.users, hub_users),
        skipped=skipped,
        pipelines=pipelines(audit, catalog, objects),
        cycles=cycles,
        display_name=account.display_name,
        created_at=datetime.now(UTC).replace(microsecond=0),
    )


class _Maker:
    """Decides object by object."""

    def __init__(self, audit: Audit, catalog: Catalog, options: PlanOptions) -> None:
        self.options = options
        self._audit = audit
        self._catalog = catalog
        self._unread = {u.object: u.reason for u in audit.unread}
        self._aliases = aliases(catalog)

    def objects(self) -> tuple[tuple[PlannedObject, ...], tuple[SkippedObject, ...], tuple[tuple[str, ...], ...]]:
        """(migrated in load order, left behind, rings)."""
        wanted: list[PlannedObject] = []
        skipped: list[SkippedObject] = []
        for _, schema in sorted(self._catalog.objects.items()):
            checked = borne_out(schema, self._audit.object(schema.name))
            verdict = self._skip(schema, base_mapping(self._audit.vendor, checked))
            if verdict is None:
                wanted.append(self._planned(schema))
            elif verdict.reason is SkipReason.UNREADABLE:
                skipped.append(verdict)
            else:
                skipped.append(replace(verdict, planned=self._planned(schema)))
        for name in sorted(set(self._unread) - set(self._catalog.objects)):
            skipped.append(SkippedObject(name, SkipReason.UNREADABLE, self._unread[name]))
        wanted, stood_for = _without_stood_for(wanted)
        skipped += stood_for
        ordered, cycles = in_load_order(wanted)
        return ordered, tuple(skipped), cycles

    def _skip(self, schema: ObjectSchema, base: BaseMapping) -> SkippedObject | None:
        name, found = schema.name, self._audit.object(schema.name)
        count = found.expected_count if found else None
        if name in self._unread or not schema.readable:
            why = self._unread.get(name, "The connected user may not read it.")
            return SkippedObject(name, SkipReason.UNREADABLE, why, count)
        only = self.options.only
        if name in self.options.without or (only is not None and name not in only):
            return SkippedObject(name, SkipReason.CHOICE, "Left out when the plan was made.", count)
        if found is None:
            return SkippedObject(name, SkipReason.CHOICE, "The audit did not look at it.", count)
        if count == 0 and found.rejects == 0:
            return SkippedObject(name, SkipReason.EMPTY, "It has no records.", 0)
        if not base.is_shipped and not schema.custom and "dialect" not in schema.attributes:
            why = "It belongs to the vendor's own workings: no mapping comes with the product."
            return SkippedObject(name, SkipReason.SYSTEM, why, count)
        return None

    def _planned(self, schema: ObjectSchema) -> PlannedObject:
        found = self._audit.object(schema.name)
        base = base_mapping(self._audit.vendor, borne_out(schema, found))
        override = self.options.overrides.get(schema.name, "")
        spec = with_aliases(base.spec, self._aliases)
        if override:
            spec = with_aliases(with_override(spec, override, f"override of {schema.name}"), self._aliases)
        used = set(references(base.spec)) | {o for link in base.spec.links for o in link.objects}
        entity = ENTITIES.get(spec.entity)
        return PlannedObject(
            object=schema.name,
            entity=spec.entity,
            phase=phase_of(spec.entity),
            spec=spec,
            match_rules=entity.match_keys if entity else (),
            survivor=self.options.survivor,
            blank_fill=self.options.blank_fill,
            expected_count=found.expected_count if found else None,
            fields=planned_fields(spec, schema, found),
            mapping=base.name,
            override=override,
            label=schema.label,
            base_text="" if base.is_shipped else spec_to_toml(base.spec),
            aliases=tuple((known, name) for known, name in self._aliases.items() if known in used),
        )


def _without_stood_for(wanted: Sequence[PlannedObject]) -> tuple[list[PlannedObject], list[SkippedObject]]:
    """Leave out objects for which records of another one stand, so that references to them lead to where the content is."""
    names = {planned.object for planned in wanted}
    stands: dict[str, str] = {}
    for planned in wanted:
        for link in planned.spec.links:
            if link.alias:
                stands |= {o: planned.object for o in link.objects if o in names and o != planned.object}
    skipped = [
        SkippedObject(
            p.object,
            SkipReason.CHOICE,
            f"Records of {stands[p.object]} stand for it, and take what refers to it.",
            p.expected_count,
            planned=p,
        )
        for p in wanted
        if p.object in stands
    ]
    return [p for p in wanted if p.object not in stands], skipped


def match_owners(users: Iterable[SourceUser], hub_users: Iterable[HubUser]) -> tuple[OwnerMatch, ...]:
    """Each source user with the hub user who has the same e-mail address; none where several have it or nobody does."""
    known: dict[str, list[UUID]] = {}
    for hub_user in hub_users:
        if hub_user.email.strip():
            known.setdefault(hub_user.email.strip().casefold(), []).append(hub_user.id)
    matches = []
    for user in sorted(users, key=lambda u: u.vendor_id):
        same = known.get(user.email.strip().casefold(), [])
        hub_id = same[0] if len(same) == 1 else None
        matches.append(OwnerMatch(user.vendor_id, user.email, user.name, user.is_active, hub_id))
    return tuple(matches)


# ---------------------------------------------------------------- pipelines and stages


def pipelines(audit: Audit, catalog: Catalog, objects: Sequence[PlannedObject]) -> tuple[PlannedPipeline, ...]:
    """Pipelines as the source tells them: by stage records, else by the picklist of a stage field, else by its values."""
    if audit.stages:
        holder = next((o.object for o in audit.objects if o.entity == "stage"), "stages")
        return _from_records(audit.stages, holder)
    found = []
    for planned in objects:
        for row in planned.fields:
            if row.use is FieldUse.MAPPED and "stage_id" in row.to:
                options = catalog.objects[planned.object].field(row.name).options
                audited = audit.object(planned.object)
                values = audited.field(row.name) if audited else None
                stages = [_from_option(o) for o in options] or [
                    PlannedStage(v) for v, _ in (values.top if values else ())
                ]
                found.append(
                    PlannedPipeline(planned.label or planned.object, f"{planned.object}.{row.name}", tuple(stages))
                )
    return tuple(found)


def _from_records(stages: Sequence[SourceStage], holder: str) -> tuple[PlannedPipeline, ...]:
    grouped: dict[str, list[SourceStage]] = {}
    for stage in stages:
        grouped.setdefault(stage.pipeline, []).append(stage)
    result = []
    for pipeline, members in sorted(grouped.items()):
        members.sort(key=lambda s: (s.position is None, s.position or 0, s.vendor_id))
        planned = tuple(PlannedStage(s.name, s.probability, s.is_won, s.is_closed) for s in members)
        result.append(PlannedPipeline(pipeline or "Default", holder, planned))
    return tuple(result)


def _from_option(option: Option) -> PlannedStage:
    told: Mapping[str, Any] = option.attributes
    return PlannedStage(
        option.label or option.value, _decimal(told.get("probability")), told.get("is_won"), told.get("is_closed"),
        option.is_active,
    )  # fmt: skip


def _decimal(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
