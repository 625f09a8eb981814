"""From a spec to a `Lens`: whole columns forward, single records backward."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Final

from domain.entities import Field, Kind
from domain.records import FieldSchema, MappedBatch, ObjectSchema, PendingLink, Problem
from mappings.context import MappingContext
from mappings.custom import COMPOUND_REASON, EXCLUDED_TYPES, CustomColumn, jsonable, parse_format
from mappings.model import FieldLine, LinkLine, MappingSpec, fields_of
from mappings.transforms import DEFAULTS, REGISTRY, VERSION
from mappings.transforms.base import Bound, Flaw, Settings, is_blank
from mappings.transforms.text import same

__all__ = ["Lens", "MappedRecord", "MappingContext", "compile_spec"]

ALIAS: Final = "="
"""Label of a pending link that is another name of the record itself; no association has it."""

OUT_OF_SCOPE: Final = "out_of_scope"
"""Code of the problem of a record that the spec's ``[only]`` leaves out: no fault of the record, nothing to mend."""


def compile_spec(spec: MappingSpec, schema: ObjectSchema | None = None, context: MappingContext | None = None) -> Lens:
    """The lens of ``spec``. ``schema`` types the custom fields and tells which fields may be written."""
    return Lens(fit_spec(spec, schema) if schema is not None else spec, schema, context or MappingContext())


def fit_spec(spec: MappingSpec, schema: ObjectSchema) -> MappingSpec:
    """``spec`` with source names as ``schema`` writes them.

    Exports write the same column as "Create Date" or "Create date", and name the id column after the object: a name that the
    schema lacks means the one that differs in capitals alone, and a missing id means the schema's own id field.
    """
    known = {f.name for f in schema.fields}
    folded = {f.name.casefold(): f.name for f in reversed(schema.fields)}

    def fit(name: str) -> str:
        return name if name in known else folded.get(name.casefold(), name)

    id_field = fit(spec.id)
    if id_field not in known and schema.id_field in known:
        id_field = schema.id_field
    lines = {n: x.model_copy(update={"sources": tuple(map(fit, x.sources))}) for n, x in spec.fields.items()}
    rename = {fit(n): alias for n, alias in spec.custom.rename.items()}
    return spec.model_copy(
        update={
            "id": id_field,
            "version": fit(spec.version) if spec.version else None,
            "fields": lines,
            "ignore": {fit(n): reason for n, reason in spec.ignore.items()},
            "only": {fit(n): values for n, values in spec.only.items()},
            "fallback": {fit(n): field for n, field in spec.fallback.items()},
            "custom": spec.custom.model_copy(update={"rename": rename}),
            "links": tuple(k.model_copy(update={"source": fit(k.source)}) for k in spec.links),
        }
    )


@dataclass(frozen=True, slots=True)
class MappedRecord:
    """One record forward: canonical ``values``, links as (label, vendor id), and what was wrong."""

    vendor_id: str
    values: Mapping[str, Any]
    custom_fields: Mapping[str, Any]
    links: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """The form that `Lens.backward` takes: fields by name, ``custom_fields`` and ``links``."""
        links: dict[str, list[str]] = {}
        for label, vendor_id in self.links:
            links.setdefault(label, []).append(vendor_id)
        return {**self.values, "custom_fields": dict(self.custom_fields), "links": links}


@dataclass(slots=True)
class _Line:
    """A field line ready to run."""

    field: Field
    line: FieldLine
    bound: Bound
    rejects: bool

    @property
    def name(self) -> str:
        return self.field.name


@dataclass(frozen=True, slots=True)
class _Link:
    label: str
    source: str
    objects: tuple[str, ...]
    separator: str
    bound: Bound
    alias: bool = False
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Work:
    """One batch in the making."""

    batch: MappedBatch
    source: Mapping[str, Sequence[Any]]
    size: int
    refused: set[tuple[int, str]] = field(default_factory=set)


class Lens:
    """A compiled spec.

    ``source_fields``: what to read from the vendor. ``refs``: for each reference field the vendor objects it may point to.
    ``links``: lookups that become associations, those of custom fields included.
    ``version``: digest of spec, context and types: part of every record's fingerprint. ``destinations``: where each source
    field of the schema goes, in words. ``missing``: mapped source fields that the schema lacks. Lenses can be pickled.
    """

    def __init__(self, spec: MappingSpec, schema: ObjectSchema | None, context: MappingContext) -> None:
        self.spec = spec
        self.schema = schema
        self.context = context
        self.entity = spec.entity
        self._known: Mapping[str, FieldSchema] = {f.name: f for f in schema.fields} if schema else {}
        self._customs: dict[str, CustomColumn | None] = {}
        self._mapped = frozenset(spec.mapped_sources)
        self._id = self._bind(spec.id_via, {}, (spec.id,))
        self._lines = tuple(self._compile(name, line) for name, line in spec.fields.items())
        self.links = (*spec.links, *self._custom_lookups())
        self._links = tuple(
            _Link(k.label, k.source, k.objects, k.separator, self._bind(k.via, k.options, (k.source,)), k.alias, k.when)
            for k in self.links
        )
        readers = [s for x in self._lines if x.line.reads for s in x.line.sources]
        self._readers = Counter([*readers, *(k.source for k in spec.links)])
        self._constants = {name: self._constant(name, value) for name, value in spec.constants.items()}
        self._required_names = tuple(f.name for f in fields_of(spec.entity).values() if f.required)
        self.refs: Mapping[str, tuple[str, ...]] = {
            x.name: x.line.objects for x in self._lines if x.field.kind is Kind.REFERENCE and x.line.reads
        }
        self.destinations: Mapping[str, str] = {name: self._destination(name) for name in self._known}
        self.source_fields = self._source_fields()
        self.missing = tuple(n for n in spec.mapped_sources if schema is not None and n not in self._known)
        self.version = self._digest()
        self._writables = frozenset(filter(self.writable, self._known))
        self._alone = self._standing_alone()
        alone = {name for name, *_ in self._alone}
        self._joined = frozenset(x.name for x in self._lines if x.line.writes and x.name not in alone)
        self._groups = lru_cache(1000)(self._group)

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_spec, (self.spec, self.schema, self.context)

    # ------------------------------------------------------------ forward

    def forward(self, fields: tuple[str, ...], rows: list[Sequence[Any]]) -> MappedBatch:
        """Canonical columns of ``rows``; ``rows[i][j]`` is the value of ``fields[j]``. Never raises for a value."""
        columns: Mapping[str, Sequence[Any]] = dict(zip(fields, zip(*rows, strict=True), strict=True)) if rows else {}
        size = len(rows)
        batch = MappedBatch(self.entity, [], {}, self.refs, [{} for _ in range(size)])
        work = _Work(batch, columns, size)
        self._ids(work)
        self._scope(work)
        for name, value in self._constants.items():
            batch.columns[name] = [list(value) if isinstance(value, list) else value for _ in range(size)]
        for line in self._lines:
            if line.line.reads:
                batch.columns[line.name] = self._column(work, line)
        self._required(work)
        for link in self._links:
            self._link(work, link)
        for name, values in columns.items():
            if (custom := self._custom(name)) is not None:
                self._keep(work, name, custom, values)
        batch.problems.sort(key=lambda p: p.row)
        return batch

    def forward_one(self, record: Mapping[str, Any]) -> MappedRecord:
        """`forward` of a single record given by field name."""
        batch = self.forward(tuple(record), [tuple(record.values())])
        return MappedRecord(
            batch.vendor_ids[0],
            {name: column[0] for name, column in batch.columns.items()},
            batch.custom_fields[0],
            tuple((link.label, link.vendor_id) for link in batch.links),
            tuple(batch.problems),
        )

    def ids(self, fields: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> list[str]:
        """The vendor ids that `forward` gives these rows, without mapping anything else; "" where there is none."""
        place = fields.index(self.spec.id) if self.spec.id in fields else None
        column = self._id.column([row[place] for row in rows]) if place is not None else [None] * len(rows)
        return [(v.value if v.__class__ is Flaw else v) or "" for v in column]

    def _ids(self, work: _Work) -> None:
        column = self._read(work, self._id, (self.spec.id,))
        if all(column) and Flaw not in set(map(type, column)):
            work.batch.vendor_ids.extend(column)
            return
        for row, value in enumerate(column):
            found = value.value if value.__class__ is Flaw else value
            work.batch.vendor_ids.append(found or "")
            if not found:
                message = (
                    f"{self.spec.object}.{self.spec.id} is blank: a record without an id cannot be told from others."
                )
                work.batch.problems.append(Problem(row, "id_missing", message, None, self.spec.id, rejects=True))

    def _scope(self, work: _Work) -> None:
        for name, wanted in self.spec.only.items():
            allowed = {w.casefold() for w in wanted}
            for row, value in enumerate(work.source.get(name, ())):
                if not is_blank(value) and str(value).strip().casefold() not in allowed:
                    message = f"{self.spec.object} records are migrated only where {name} is {' or '.join(wanted)}."
                    work.batch.problems.append(Problem(row, OUT_OF_SCOPE, message, None, name, rejects=True))

    def _read(self, work: _Work, bound: Bound, sources: tuple[str, ...]) -> list[Any]:
        found = self._read_sent(work, bound, sources)
        return [bound.default] * work.size if found is None else found

    def _read_sent(self, work: _Work, bound: Bound, sources: tuple[str, ...]) -> list[Any] | None:
        """What ``bound`` makes of the sources; None where no record has a value in any of them."""
        found = [work.source.get(name) for name in sources]
        if all(column is None or not _any_value(column) for column in found):
            return None
        if not bound.tupled:
            return bound.column(found[0] or ())
        absent = (None,) * work.size
        return bound.column(list(zip(*(absent if c is None else c for c in found), strict=True)))

    def _column(self, work: _Work, line: _Line) -> list[Any]:
        values = self._read_sent(work, line.bound, line.line.sources)
        if values is None:
            return [line.bound.default] * work.size
        if Flaw in set(map(type, values)):
            for row, value in enumerate(values):
                if value.__class__ is Flaw:
                    values[row] = value.value
                    self._flaw(work, line, row, value)
        return values

    def _flaw(self, work: _Work, line: _Line, row: int, flaw: Flaw) -> None:
        for place in flaw.keep:
            source = line.line.sources[place]
            if not flaw.code and self._readers[source] > 1:
                continue  # another line holds it
            work.batch.custom_fields[row][source] = jsonable(work.source[source][row])
        if not flaw.code:
            return
        source = line.line.sources[0]
        blank = flaw.value is None
        kept = " The field stays blank and the value is kept in custom_fields." if blank and not line.rejects else ""
        message = f"{self.spec.object}.{source} {flaw.message} ({self.entity}.{line.name}).{kept}"
        rejects = blank and line.rejects
        work.batch.problems.append(Problem(row, flaw.code, message, line.name, source, rejects))
        if rejects:
            work.refused.add((row, line.name))

    def _required(self, work: _Work) -> None:
        for name in self._required_names:
            values = work.batch.columns.get(name) or [None] * work.size
            if None not in values:
                continue
            line = self.spec.fields.get(name)
            source = " or ".join(line.sources) if line else None
            what = f"{self.spec.object}.{source} is blank" if line else f"Nothing of {self.spec.object} maps to {name}"
            message = f"{what}, but {self.entity}.{name} is required."
            for row, value in enumerate(values):
                if value is None and (row, name) not in work.refused:
                    work.batch.problems.append(Problem(row, "required_missing", message, name, source, rejects=True))

    def _link(self, work: _Work, link: _Link) -> None:
        for row, value in enumerate(self._read(work, link.bound, (link.source,))):
            found = value.value if value.__class__ is Flaw else value
            if found is None or not _applies(work, link, row):
                continue
            parts = found.split(link.separator) if link.separator else (found,)
            for vendor_id in dict.fromkeys(part.strip() for part in parts):
                if vendor_id:
                    work.batch.links.append(
                        PendingLink(row, ALIAS if link.alias else link.label, link.objects, vendor_id)
                    )

    def _keep(self, work: _Work, name: str, custom: CustomColumn, values: Sequence[Any]) -> None:
        if not _any_value(values):
            return
        found, odd = custom.read(values)
        for record, value in zip(work.batch.custom_fields, found, strict=True):
            if value is not None:
                record[custom.name] = value
        for row in odd:
            message = f"{self.spec.object}.{name} does not fit its type {custom.kind}; it is kept as it came."
            work.batch.problems.append(Problem(row, "custom_untyped", message, None, name))

    # ------------------------------------------------------------ backward

    def backward(self, record: Mapping[str, Any], fields: Collection[str] | None = None) -> dict[str, Any]:
        """The vendor's fields of a canonical record; None clears a field.

        ``record`` maps canonical fields (references: vendor ids) and may hold ``custom_fields`` and ``links`` (label to
        vendor ids). ``fields``: only these canonical fields (``custom_fields`` and ``links`` among them); None: all that
        the record has.
        A raw value kept by `forward` goes back as it came while the field still holds what it was read as.
        """
        custom: Mapping[str, Any] = record.get("custom_fields") or {}
        result = self._backward_custom(custom) if custom and (fields is None or "custom_fields" in fields) else {}
        filtered = bool(result)
        for name, source, bound, turned in self._alone:
            if name in record and (fields is None or name in fields):
                value = record[name]
                if custom and source in custom and _reads_as(bound, custom[source], value):
                    value = custom[source]
                elif turned and value is not None:
                    value = bound.transform.backward(value, bound.settings)
                result[source] = value
        if self._joined:
            wanted = None if fields is None else self._joined.intersection(fields)
            for group in self._groups(self._joined.intersection(record), wanted):
                self._put(result, group, record, custom)
                filtered = True
        links = record.get("links") or {}
        for link in self._links if links else ():
            wants = fields is None or "links" in fields or link.source in result
            if wants and links.get(link.label) and result.get(link.source) is None:
                result[link.source] = (link.separator or ";").join(links[link.label])
                filtered = True
        if self.schema is None or not filtered:
            return result
        return {name: value for name, value in result.items() if name in self._writables}

    def writable(self, source: str) -> bool:
        """Whether the vendor lets this field be written, as far as the schema tells."""
        if self.schema is None:
            return True
        known = self._known.get(source)
        return known is not None and not known.calculated and (known.createable or known.updateable)

    def _standing_alone(self) -> tuple[tuple[str, str, Bound, bool], ...]:
        """(field, source, transform, whether it changes values) of the lines that share their only, writable source with none."""
        writers = [x for x in self._lines if x.line.writes]
        readers = Counter(s for x in writers for s in x.line.sources)
        return tuple(
            (x.name, x.line.sources[0], x.bound, x.bound.transform.backward is not same)
            for x in writers
            if len(x.line.sources) == readers[x.line.sources[0]] == 1
            and self.writable(x.line.sources[0])
            and not x.bound.tupled
            and x.bound.transform.combine is None
        )

    def _group(self, known: frozenset[str], fields: frozenset[str] | None) -> list[list[_Line]]:
        """Lines to write of a record with these names, those of one source together: parts need all of their siblings."""
        groups: dict[tuple[str, ...], list[_Line]] = {}
        for line in self._lines:
            if line.name in known:
                groups.setdefault(line.line.sources, []).append(line)
        return [g for g in groups.values() if fields is None or any(x.name in fields for x in g)]

    def _put(
        self, result: dict[str, Any], group: list[_Line], record: Mapping[str, Any], custom: Mapping[str, Any]
    ) -> None:
        sources = group[0].line.sources
        raw = self._kept(group, record, custom) if custom else None
        if raw is not None:
            result.update(raw)
            return
        combine = group[0].bound.transform.combine
        if combine is not None:
            parts = {x.line.options["part"]: record[x.name] for x in group}
            value = combine(parts, group[0].bound.settings)
            result[sources[0]] = value
            return
        line = group[0]
        if len(group) > 1:
            line = next((x for x in group if record[x.name] is not None), line)
        value = line.bound.backward(record[line.field.name])
        if not line.bound.tupled:
            if result.get(sources[0]) is None:
                result[sources[0]] = value
            return
        for name, part in zip(sources, value, strict=True):
            if result.get(name) is None:
                result[name] = part

    def _kept(self, group: list[_Line], record: Mapping[str, Any], custom: Mapping[str, Any]) -> dict[str, Any] | None:
        """Raw values kept for these sources, if the record still holds what they were read as."""
        sources = group[0].line.sources
        if not any(name in custom for name in sources):
            return None
        raw: dict[str, Any] = {name: custom.get(name) for name in sources}
        if group[0].bound.tupled:
            line = group[0]
            written = dict(zip(sources, line.bound.backward(record[line.name]), strict=True))
            raw = {name: custom.get(name, written[name]) for name in sources}
        for line in group:
            value = tuple(raw.values()) if line.bound.tupled else raw[sources[0]]
            if not _reads_as(line.bound, value, record[line.name]):
                return None
        return raw

    def _backward_custom(self, custom: Mapping[str, Any]) -> dict[str, Any]:
        names = {alias: name for name, alias in self.spec.custom.rename.items()}
        result: dict[str, Any] = {}
        for alias, value in custom.items():
            name = names.get(alias, alias)
            column = self._custom(name) if name not in self._mapped else None
            if column is not None:
                result[name] = column.backward(value)
        return result

    # ------------------------------------------------------------ compiling

    def _custom_lookups(self) -> list[LinkLine]:
        """Custom lookup fields that no line names: associations, besides being kept in `custom_fields`."""
        via = "salesforce_reference" if self.spec.id_via == "salesforce_reference" else "reference"
        return [
            LinkLine(label=f.name, source=f.name, objects=f.refers_to, via=via)
            for f in self._known.values()
            if f.kind is Kind.REFERENCE and f.custom and f.refers_to and self._custom(f.name) is not None
        ]

    def _bind(
        self, via: str, options: Mapping[str, Any], sources: tuple[str, ...], line: FieldLine | None = None
    ) -> Bound:
        settings = Settings(
            self.context,
            {**options, "sources": len(sources)} if REGISTRY[via].multi else options,
            line.values if line else {},
            parse_format(self._known.get(sources[0])),
        )
        assumed = self.context.default_currency if options.get("assume") else None
        return Bound(REGISTRY[via], settings, sources=len(sources), blank=line.blank if line else (), default=assumed)

    def _compile(self, name: str, line: FieldLine) -> _Line:
        definition = fields_of(self.entity)[name]
        bound = self._bind(line.via, line.options, line.sources, line)
        if line.default is not None:
            bound.set_default(self._constant(name, line.default))
        return _Line(definition, line, bound, line.on_error == "reject" or definition.required)

    def _constant(self, name: str, value: Any) -> Any:
        return Bound(REGISTRY[DEFAULTS[fields_of(self.entity)[name].kind]], Settings(self.context)).scalar(value)

    def _custom(self, name: str) -> CustomColumn | None:
        """How an unmapped source field is kept; None for one that is mapped or left out."""
        if name not in self._customs:
            mapped = name in self._mapped or name in (self.spec.id, self.spec.version)
            alias = self.spec.custom.rename.get(name, name)
            left_out = mapped or self._left_out(name)
            self._customs[name] = None if left_out else CustomColumn(alias, self._known.get(name), self.context)
        return self._customs[name]

    def _left_out(self, name: str) -> str:
        """Why a source field goes nowhere; empty when it goes somewhere."""
        if name in self._mapped:
            return ""
        known = self._known.get(name)
        if name in self.spec.ignore:
            return self.spec.ignore[name]
        if known is not None and known.compound:
            return COMPOUND_REASON
        if known is not None and known.vendor_type in EXCLUDED_TYPES:
            return EXCLUDED_TYPES[known.vendor_type]
        return self.spec.custom.reason if self.spec.custom.unmapped == "ignore" else ""

    def _destination(self, name: str) -> str:
        targets = [f"{self.entity}.{x.name}" for x in self._lines if name in x.line.sources]
        targets += [f"link {link.label}" for link in self.spec.links if link.source == name]
        if name == self.spec.id:
            targets.insert(0, "vendor id")
        if name == self.spec.version and not targets:
            targets = ["vendor version"]
        if not targets and (reason := self._left_out(name)):
            return f"ignored: {reason}"
        return ", ".join(targets) or f"custom_fields.{self.spec.custom.rename.get(name, name)}"

    def _source_fields(self) -> tuple[str, ...]:
        needed = [self.spec.id, *([self.spec.version] if self.spec.version else []), *self.spec.only]
        needed += [s for x in self._lines if x.line.reads for s in x.line.sources] + [k.source for k in self._links]
        needed += [name for link in self._links for name in link.when]
        if self.schema is None:
            return tuple(dict.fromkeys(needed))
        wanted = set(needed)
        return tuple(n for n, d in self.destinations.items() if n in wanted or not d.startswith("ignored: "))

    def _digest(self) -> str:
        types = sorted((f.name, str(f.kind), parse_format(f), f.compound) for f in self._known.values())
        content = [VERSION, self.spec.model_dump(mode="json"), asdict(self.context), types]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _reads_as(bound: Bound, raw: Any, value: Any) -> bool:
    """Whether a vendor's raw value is read as this canonical one."""
    found = bound.scalar(raw)
    return bool((found.value if isinstance(found, Flaw) else found) == value)


def _applies(work: _Work, link: _Link, row: int) -> bool:
    """Whether the row's fields have the values that an alias asks for."""
    for name, wanted in link.when.items():
        column = work.source.get(name)
        if column is None or str(column[row]).strip().casefold() not in {w.casefold() for w in wanted}:
            return False
    return True


def _any_value(column: Sequence[Any]) -> bool:
    """Whether a column holds anything at all; most columns of a wide object do not."""
    return any(column) or not all(map(is_blank, column))
