"""Which mapping an object gets, what that means for each of its fields, and what a person's choices change in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.errors import ConfigurationError
from domain.records import AccountInfo, Catalog, FieldSchema, ObjectSchema
from mappings.context import MappingContext
from mappings.propose import propose
from mappings.spec import MappingSpec, load_shipped
from migration.audit_model import ObjectAudit
from migration.plan_model import FieldUse, PlannedField
from migration.plan_references import shares

INLINE = "inline"
LEFT_OUT = "left out in the plan"
REPEATS = "repeats other fields of the record"


@dataclass(frozen=True, slots=True)
class BaseMapping:
    """A mapping before any choice. ``name``: ``vendor/object`` of a shipped one, or ``inline`` for a proposed one."""

    name: str
    spec: MappingSpec

    @property
    def is_shipped(self) -> bool:
        return self.name != INLINE


def base_mapping(vendor: str, schema: ObjectSchema) -> BaseMapping:
    """The shipped mapping of the object (of the dialect that a file is written in), else a proposed one."""
    dialect = str(schema.attributes.get("dialect") or vendor)
    known_as = str(schema.attributes.get("dialect_object") or schema.name)
    for source in (f"{dialect}_export", dialect) if "dialect" in schema.attributes else (vendor,):
        spec = load_shipped(source, known_as)
        if spec is not None:
            return BaseMapping(f"{spec.vendor}/{spec.object}", spec)
    return BaseMapping(INLINE, propose(schema, vendor=vendor).spec)


def named_mapping(name: str) -> MappingSpec | None:
    """The shipped mapping called ``vendor/object``."""
    vendor, _, object_name = name.partition("/")
    return load_shipped(vendor, object_name)


def aliases(catalog: Catalog) -> dict[str, str]:
    """What the objects of a dialect are called in this source: a file of Salesforce contacts may have any name."""
    found: dict[str, str] = {}
    for name, schema in sorted(catalog.objects.items()):
        known_as = str(schema.attributes.get("dialect_object") or name)
        if known_as not in catalog.objects:
            found.setdefault(known_as, name)
    return found


def with_aliases(spec: MappingSpec, names: Mapping[str, str]) -> MappingSpec:
    """The mapping with references to this source's own object names."""

    def renamed(objects: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names.get(o, o) for o in objects))

    if not names:
        return spec
    fields = {n: line.model_copy(update={"objects": renamed(line.objects)}) for n, line in spec.fields.items()}
    links = tuple(link.model_copy(update={"objects": renamed(link.objects)}) for link in spec.links)
    return spec.model_copy(update={"fields": fields, "links": links})


def targets(spec: MappingSpec, field: str) -> tuple[str, ...]:
    """What a source field feeds: canonical fields, ``id``, and ``link:label`` for associations."""
    own = ("id",) if field == spec.id else ()
    fields = tuple(name for name, line in spec.fields.items() if line.reads and field in line.sources)
    return own + fields + tuple(f"link:{link.label}" for link in spec.links if link.source == field)


def use_of(spec: MappingSpec, schema: FieldSchema) -> tuple[FieldUse, str]:
    """What the mapping does with a source field, and why where it leaves it out."""
    if targets(spec, schema.name):
        return FieldUse.MAPPED, ""
    if schema.name in spec.ignore:
        return FieldUse.IGNORED, spec.ignore[schema.name]
    if schema.compound:
        return FieldUse.IGNORED, REPEATS
    if spec.custom.unmapped == "ignore":
        return FieldUse.IGNORED, spec.custom.reason
    return FieldUse.CUSTOM, ""


def planned_fields(spec: MappingSpec, schema: ObjectSchema, audited: ObjectAudit | None) -> tuple[PlannedField, ...]:
    """Every field of the object with what becomes of it."""
    result, led = [], shares(audited)
    for field in schema.fields:
        use, why = use_of(spec, field)
        found = audited.field(field.name) if audited else None
        fill = round(found.fill_rate, 4) if found and found.records else None
        to = targets(spec, field.name)
        row = PlannedField(field.name, field.kind, use, to, why, fill, field.refers_to, led.get(field.name))
        result.append(row)
    return tuple(result)


def with_choice(spec: MappingSpec, field: str, use: FieldUse, why: str) -> MappingSpec:
    """The mapping after a person chose another use for ``field``. Raises ConfigurationError where a choice can't say how."""
    if use is FieldUse.MAPPED:
        raise ConfigurationError(
            f"{field} is marked as mapped, but nothing says to what.",
            remedy=f'Write the line into this object\'s override: [fields] canonical_field = "{field}".',
        )
    if field == spec.id:
        raise ConfigurationError(
            f"{field} is the record's id and can't be left out.", remedy='Set its use to "mapped".'
        )
    fields = {n: line for n, line in spec.fields.items() if field not in line.sources}
    ignore = {n: reason for n, reason in spec.ignore.items() if n != field}
    if use is FieldUse.IGNORED:
        ignore[field] = why or LEFT_OUT
    links = tuple(link for link in spec.links if link.source != field)
    return spec.model_copy(update={"fields": fields, "ignore": ignore, "links": links})


def context_of(account: AccountInfo, *, country: str = "", currency: str = "", time_zone: str = "") -> MappingContext:
    """Defaults for reading values: what the caller says, else what the account says, else US, USD and UTC.

    What an account says may be no code at all (a country's name): that is then left at its default.
    """
    wanted = {
        "default_country": country or account.country,
        "default_currency": currency or account.currency,
        "time_zone": time_zone or account.time_zone,
    }
    told = {"default_country": country, "default_currency": currency, "time_zone": time_zone}
    accepted: dict[str, str] = {}
    for name, value in wanted.items():
        if value and (told[name] or _is_valid(name, value)):
            accepted[name] = value
    return MappingContext(**accepted)


def _is_valid(name: str, value: str) -> bool:
    try:
        MappingContext(**{name: value})
    except ConfigurationError:
        return False
    return True
