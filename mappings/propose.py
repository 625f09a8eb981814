"""A first mapping for an object that nobody has mapped yet: a guess with its reasons, for a person to read and edit.

Names decide (in several languages), kinds and sample values can veto. What finds no field goes to `custom_fields`; an
object that is nothing the hub knows becomes a `custom_record`.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from domain.entities import Kind
from domain.records import FieldSchema, ObjectSchema
from mappings.context import MappingContext
from mappings.custom import parse_format
from mappings.model import FieldLine, LinkLine, MappingSpec, fields_of
from mappings.transforms import DEFAULTS, REGISTRY
from mappings.transforms.base import Bound, Flaw, Settings

_PERSONS: Final = ("contact", "lead", "user")
_ADDRESS_PREFIX: Final = {"account": "billing", "contact": "mailing", "lead": "mailing"}
_FITS: Final[Mapping[Kind, frozenset[Kind]]] = {
    Kind.EMAIL: frozenset({Kind.EMAIL, Kind.TEXT}),
    Kind.PHONE: frozenset({Kind.PHONE, Kind.TEXT, Kind.INTEGER}),
    Kind.URL: frozenset({Kind.URL, Kind.TEXT}),
    Kind.INTEGER: frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.TEXT}),
    Kind.DECIMAL: frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.TEXT}),
    Kind.BOOLEAN: frozenset({Kind.BOOLEAN, Kind.TEXT, Kind.INTEGER}),
    Kind.DATE: frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TEXT}),
    Kind.TIMESTAMP: frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TEXT}),
    Kind.TEXT_LIST: frozenset({Kind.TEXT_LIST, Kind.TEXT}),
    Kind.JSON: frozenset({Kind.JSON}),
}
_READABLE_MIN: Final = 0.8
"""Share of sample values that a field must be able to read before it is proposed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mapping with, for each canonical field, how sure the guess is (0 to 1) and why. ``unmapped`` goes to custom_fields.

    ``entity_confidence`` says how sure the entity itself is; below 0.5 a person should look.
    """

    spec: MappingSpec
    confidence: Mapping[str, float]
    reasons: Mapping[str, str]
    unmapped: tuple[str, ...]
    entity_confidence: float = 1.0
    entity_reason: str = ""


@dataclass(slots=True)
class _Draft:
    """Field lines as they are found."""

    entity: str
    lines: dict[str, FieldLine] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def add(self, name: str, line: FieldLine, confidence: float, reason: str) -> None:
        self.lines[name] = line
        self.confidence[name] = confidence
        self.reasons[name] = reason
        self.used.update(line.sources)


def propose(
    schema: ObjectSchema,
    entity: str | None = None,
    samples: Mapping[str, Sequence[Any]] | None = None,
    vendor: str | None = None,
    context: MappingContext | None = None,
) -> Proposal:
    """Guess a mapping of ``schema``; ``entity`` where it is known, ``samples`` some values of each field.

    ``vendor`` goes into the spec: a Salesforce object is recognised, anything else is ``files``.
    """
    salesforce = vendor == "salesforce" or (vendor is None and _is_salesforce(schema))
    chosen, sure, why = _entity(schema, entity, salesforce)
    draft = _draft(chosen, schema, samples or {}, context or MappingContext())
    missing = [
        f.name for f in fields_of(chosen).values() if f.required and f.name not in draft.lines and f.name != "kind"
    ]
    if missing and chosen != "custom_record":
        why = f"It looks like {chosen}, but no field could be its {missing[0]}."
        chosen, sure = "custom_record", 0.3
        draft = _draft(chosen, schema, samples or {}, context or MappingContext())
    spec = _spec(schema, draft, vendor or ("salesforce" if salesforce else "files"), salesforce)
    unmapped = tuple(n for n in schema.field_names if n not in spec.mapped_sources and n not in (spec.id, spec.version))
    return Proposal(spec, draft.confidence, draft.reasons, unmapped, sure, why)


# ---------------------------------------------------------------- words


@lru_cache(maxsize=1)
def _synonyms() -> Mapping[str, Mapping[str, list[str]]]:
    return tomllib.loads(files("mappings").joinpath("synonyms.toml").read_text("utf-8"))


def plain_words(name: str) -> str:
    """``name`` as the synonyms write it: `E-Mail-Adresse` and `emailAdresse__c` become words in lower case."""
    text = re.sub(r"__[cr]$", "", name)
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(c for c in text if not unicodedata.combining(c))
    return " ".join(re.sub(r"[\W_]+", " ", text).split())


@lru_cache(maxsize=64)
def _words_of(entity: str) -> Mapping[str, str]:
    """Canonical field by the words it goes by."""
    synonyms = _synonyms()
    tables: list[Mapping[str, list[str]]] = [synonyms.get(entity, {})]
    if entity in _PERSONS:
        tables.append(synonyms["person"])
    if entity in _ADDRESS_PREFIX:
        prefix = _ADDRESS_PREFIX[entity]
        tables.append(
            {f"{prefix}_{part}": [*w, *(f"{prefix} {x}" for x in w)] for part, w in synonyms["address"].items()}
        )
    if entity == "account":
        tables.append({f"shipping_{p}": [f"shipping {x}" for x in w] for p, w in synonyms["address"].items()})
    tables.append(synonyms["standard"])
    known = fields_of(entity)
    found: dict[str, str] = {}
    for name in known:
        found.setdefault(plain_words(name), name)
    for table in tables:
        for name, entries in table.items():
            if name in known:
                for entry in entries:
                    found.setdefault(plain_words(entry), name)
    return found


# ---------------------------------------------------------------- the entity


def _is_salesforce(schema: ObjectSchema) -> bool:
    names = set(schema.field_names)
    return schema.attributes.get("dialect") == "salesforce" or (
        {"Id", "SystemModstamp"} <= names and schema.id_field == "Id"
    )


def _entity(schema: ObjectSchema, wanted: str | None, salesforce: bool) -> tuple[str, float, str]:
    if wanted is not None:
        return wanted, 1.0, "It was asked for."
    if salesforce or schema.custom:
        return "custom_record", 1.0, "It is an object of the vendor that no shipped mapping knows."
    named = _by_name(schema)
    scores = {name: _score(name, schema) + (3.0 if name == named else 0.0) for name in _synonyms()["objects"]}
    scores |= {name: 0.0 for name in scores if name != named and not _complete(name, schema)}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < 2.0:
        return "custom_record", 0.5, "Neither its name nor its fields are those of anything the hub knows."
    rest = sorted(scores.values())[-2]
    sure = min(1.0, 0.4 + (scores[best] - rest) / 6 + (0.2 if best == named else 0.0))
    reason = f"Its name says {best}." if best == named else f"Its fields are mostly those of {best}."
    return best, round(sure, 2), reason


def _complete(entity: str, schema: ObjectSchema) -> bool:
    """Whether some field could be each one that the entity requires (what a record is about is told by other means)."""
    found = {_target(entity, f) for f in schema.fields}
    return all(f.name in found or f.name == "kind" for f in fields_of(entity).values() if f.required)


def _by_name(schema: ObjectSchema) -> str | None:
    words = plain_words(f"{schema.attributes.get('dialect_object') or schema.name}")
    words = re.sub(r"\b(?:export|all|csv|xlsx|list|data|\d+)\b", " ", words)
    padded = f" {' '.join(words.split())} "
    hits = [(len(w), name) for name, entries in _synonyms()["objects"].items() for w in entries if f" {w} " in padded]
    return max(hits)[1] if hits else None


def _score(entity: str, schema: ObjectSchema) -> float:
    """How much the fields speak for ``entity``: words that few entities share count more."""
    found = {target for f in schema.fields if (target := _target(entity, f))}
    shared = {"name", "description", "status", "kind", "currency", "phone", "email", "source", "number", "is_active"}
    standard = {f.name for f in fields_of("custom_record").values()}
    return sum(0.0 if name in standard else 0.5 if name in shared else 1.0 for name in found)


# ---------------------------------------------------------------- the fields


def _target(entity: str, source: FieldSchema) -> str | None:
    words = _words_of(entity)
    for name in (source.name, source.label):
        spelled = plain_words(name)
        if spelled in words:
            return words[spelled]
        without = re.sub(rf"^(?:{entity}|person|contact|kunden?|primary) ", "", spelled)
        if without in words:
            return words[without]
    return None


def _draft(entity: str, schema: ObjectSchema, samples: Mapping[str, Sequence[Any]], context: MappingContext) -> _Draft:
    draft = _Draft(entity)
    candidates = [f for f in schema.fields if not f.compound and f.name != schema.id_field]
    if entity == "custom_record" and schema.name_field:
        line = FieldLine(sources=(schema.name_field,), via="text")
        draft.add("name", line, 1.0, "The source says that this field names a record.")
    for source in candidates:
        name = _target(entity, source)
        if name is not None and name not in draft.lines and source.name not in draft.used:
            _try(draft, name, source, samples, context, 0.9, f"Its name {source.name!r} means {name}.")
    _full_name(draft, candidates)
    for kind, name in ((Kind.EMAIL, "email"), (Kind.PHONE, "phone"), (Kind.URL, "website")):
        left = [f for f in candidates if f.kind is kind and f.name not in draft.used]
        if name in fields_of(entity) and name not in draft.lines and left:
            _try(
                draft,
                name,
                left[0],
                samples,
                context,
                0.6,
                f"Its values are {kind.value}s and nothing else is the {name}.",
            )
    return draft


def _try(
    draft: _Draft, name: str, source: FieldSchema, samples: Mapping[str, Sequence[Any]], context: MappingContext,
    confidence: float, reason: str,
) -> None:  # fmt: skip
    """Add the line unless the kind or the sample values speak against it."""
    kind = fields_of(draft.entity)[name].kind
    if kind is Kind.REFERENCE:
        if source.refers_to:
            line = FieldLine(sources=(source.name,), via="reference", objects=source.refers_to)
            draft.add(name, line, confidence, f"{reason} It refers to {', '.join(source.refers_to)}.")
        return
    if kind in _FITS and source.kind not in _FITS[kind]:
        return
    via = DEFAULTS[kind]
    share = _readable(via, source, samples.get(source.name, ()), context)
    if share < _READABLE_MIN:
        return
    draft.add(name, FieldLine(sources=(source.name,), via=via), round(confidence * share, 2), reason)


def _readable(via: str, source: FieldSchema, values: Iterable[Any], context: MappingContext) -> float:
    bound = Bound(REGISTRY[via], Settings(context, format=parse_format(source)))
    results = [r for r in map(bound.scalar, values) if r is not None]
    bad = sum(isinstance(r, Flaw) and r.value is None for r in results)
    return 1.0 - bad / len(results) if results else 1.0


def _full_name(draft: _Draft, candidates: Sequence[FieldSchema]) -> None:
    """A person known by one column is split; a user is known by the whole name anyway."""
    if draft.entity not in ("contact", "lead") or {"first_name", "last_name"} & set(draft.lines):
        return
    words = {
        "name",
        "full name",
        "contact name",
        "fullname",
        "vollstandiger name",
        "nom complet",
        "nombre completo",
        "person",
    }
    for source in candidates:
        if plain_words(source.name) in words and source.name not in draft.used:
            for name, part in (("first_name", "first"), ("last_name", "last")):
                line = FieldLine(sources=(source.name,), via="name_part", options={"part": part})
                draft.add(name, line, 0.7, f"{source.name!r} holds whole names; they are divided.")
            return


# ---------------------------------------------------------------- the spec


def _spec(schema: ObjectSchema, draft: _Draft, vendor: str, salesforce: bool) -> MappingSpec:
    names = set(schema.field_names)
    reference = "salesforce_reference" if salesforce else "reference"
    lines = {n: _directed(n, line, reference) for n, line in draft.lines.items()}
    constants = _constants(schema, draft)
    version = schema.modified_field if schema.modified_field in names else None
    return MappingSpec(
        vendor=vendor,
        object=schema.name,
        entity=draft.entity,
        id=schema.id_field,
        id_via=reference if salesforce else "text",
        version=version,
        fields=lines,
        constants=constants,
        only={"IsDeleted": ("false", "0")} if salesforce and "IsDeleted" in names else {},
        links=tuple(_links(schema, draft, reference)),
    )


def _directed(name: str, line: FieldLine, reference: str) -> FieldLine:
    """What the vendor stamps by itself is only read."""
    stamped = name in ("created_by_id", "updated_by_id", "source_created_at", "source_updated_at")
    changes: dict[str, Any] = {"direction": "in"} if stamped else {}
    if line.via == "reference":
        changes["via"] = reference
    return line.model_copy(update=changes)


def _constants(schema: ObjectSchema, draft: _Draft) -> dict[str, Any]:
    if draft.entity == "custom_record":
        return {"object_name": schema.name}
    if draft.entity == "activity" and "kind" not in draft.lines:
        spelled = f" {plain_words(schema.name)} "
        kinds = _synonyms()["kinds"]
        kind = next((k for k, entries in kinds.items() if any(f" {w} " in spelled for w in entries)), "note")
        return {"kind": kind}
    return {}


def _links(schema: ObjectSchema, draft: _Draft, reference: str) -> Iterable[LinkLine]:
    """Every lookup that no field took: an association, whatever it points to."""
    for source in schema.fields:
        if source.kind is Kind.REFERENCE and source.refers_to and source.name not in draft.used:
            if source.name == schema.id_field:
                continue
            yield LinkLine(label=source.name, source=source.name, objects=source.refers_to, via=reference)
