"""From TOML to a checked `MappingSpec`. Every mistake names file, line and field, and what was probably meant."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from domain.entities import ENTITIES, Kind
from domain.errors import MappingSpecError
from mappings.context import MappingContext
from mappings.model import ASSOCIATION, CustomRule, FieldLine, LinkLine, MappingSpec, fields_of
from mappings.transforms import DEFAULTS, REGISTRY
from mappings.transforms.base import Bound, Flaw, Settings, Transform

Raw = dict[str, Any]

SECTIONS: Final = (
    "spec",
    "fields",
    "association",
    "constants",
    "ignore",
    "only",
    "creates",
    "fallback",
    "custom",
    "links",
)
_HEAD: Final = ("vendor", "object", "entity", "id", "id_via", "version")
_LINE: Final = ("from", "via", "direction", "on_error", "values", "blank", "default", "objects")
_LINK: Final = ("label", "from", "objects", "via", "separator", "alias", "when")
_CUSTOM: Final = ("unmapped", "reason", "rename")
_HEADER = re.compile(r"\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}\s*(?:#.*)?$")


class Source:
    """The text being read, to point into: what `fail` needs to name the line."""

    def __init__(self, text: str, filename: str) -> None:
        self.filename = filename
        self._lines = text.splitlines()

    def line(self, section: str, key: str | None = None) -> int | None:
        """1-based line of ``key`` in ``[section]``, of the section's header, or None when neither is written."""
        current, header = "", None
        for number, line in enumerate(self._lines, 1):
            if match := _HEADER.match(line):
                current = match[1]
                inside = current == section or current.startswith(section + ".")
                header = header or (number if inside else None)
                if inside and key is not None and current == f"{section}.{key}":
                    return number
            elif key is not None and (current == section or current.startswith(section + ".")) and key_of(line) == key:
                return number
        return header

    def fail(self, section: str, key: str | None, problem: str, remedy: str = "") -> NoReturn:
        """Raise MappingSpecError for ``key`` of ``[section]``."""
        number = self.line(section, key)
        where = f"{self.filename}, line {number}" if number else self.filename
        what = f"[{section}] {key}" if key else f"[{section}]"
        raise MappingSpecError(f"{where}: {what} {problem}", remedy=remedy, context={"line": number, "field": key})


def key_of(line: str) -> str | None:
    """The key that a line of TOML sets."""
    match = re.match(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*[=.]""", line)
    return next(part for part in match.groups() if part is not None) if match else None


def meant(word: str, known: Iterable[str]) -> str:
    """A remedy: the known word that was probably meant, or all of them if they are few."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known are: {', '.join(names)}." if 0 < len(names) <= 30 else ""


def load_toml(text: str, filename: str) -> Raw:
    """The tables of ``text``. Raises MappingSpecError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"at line (\d+)", str(error))
        line = f", line {where[1]}" if where else ""
        raise MappingSpecError(
            f"{filename}{line}: this is not valid TOML: {error}.",
            remedy="Mend the line and try again.",
            context={"line": int(where[1]) if where else None},
        ) from None


def build(raw: Raw, source: Source) -> MappingSpec:
    """The checked spec of raw tables. Raises MappingSpecError."""
    _known_keys(raw, SECTIONS, source, None)
    head = _head(raw, source)
    entity = head["entity"]
    if "association" in raw and (entity != ASSOCIATION or "fields" in raw):
        source.fail("association", None, 'is another name of [fields] for entity = "association" alone')
    section = "association" if "association" in raw else "fields"
    known = fields_of(entity)
    lines: dict[str, FieldLine] = {}
    for name, value in _table(raw, section, source).items():
        if name not in known:
            source.fail(section, name, f"is not a field of {entity}.", meant(name, known))
        lines[name] = _line(name, value, known[name].kind, section, source)
    spec = MappingSpec(
        **head,
        fields=lines,
        constants=_constants(raw, entity, lines, source),
        ignore=_texts(raw, "ignore", source),
        only=_only(raw, source),
        creates=_creates(raw, entity, source),
        fallback=_fallback(raw, entity, source),
        custom=_custom(raw, source),
        links=_links(raw, source),
    )
    _check_whole(spec, section, source)
    return spec


# ---------------------------------------------------------------- pieces


def _table(raw: Raw, section: str, source: Source) -> Raw:
    value = raw.get(section, {})
    if not isinstance(value, dict):
        source.fail(section, None, "must be a table.", f"Write [{section}] on a line of its own.")
    return value


def _known_keys(
    table: Mapping[str, Any], known: Iterable[str], source: Source, section: str | None, key: str = ""
) -> None:
    for name in table:
        if name not in known:
            if section is None:
                source.fail(name, None, "is not a section of a mapping.", meant(name, known))
            source.fail(section, key or name, f"has the unknown setting {name!r}.", meant(name, known))


def _text(value: Any, section: str, key: str, source: Source) -> str:
    if not isinstance(value, str) or not value.strip():
        source.fail(section, key, "must be a text in quotes.")
    return value


def _names(value: Any, section: str, key: str, what: str, source: Source) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        source.fail(section, key, f"needs {what} as a list of texts.", f'Write {what} = ["…"].')
    return tuple(value)


def _head(raw: Raw, source: Source) -> Raw:
    head = _table(raw, "spec", source)
    _known_keys(head, _HEAD, source, "spec")
    for name in ("vendor", "object", "entity", "id"):
        if name not in head:
            source.fail("spec", name, "is missing.")
    result = {name: _text(value, "spec", name, source) for name, value in head.items()}
    if result["entity"] != ASSOCIATION and result["entity"] not in ENTITIES:
        source.fail(
            "spec",
            "entity",
            f"{result['entity']!r} is not an entity.",
            meant(result["entity"], [*ENTITIES, ASSOCIATION]),
        )
    via = result.get("id_via", "text")
    if via not in ("text", "salesforce_reference"):
        source.fail("spec", "id_via", f"{via!r} cannot read ids.", "Use text or salesforce_reference.")
    return result


def _line(name: str, value: Any, kind: Kind, section: str, source: Source) -> FieldLine:
    table = {"from": value} if isinstance(value, (str, list)) else value
    if not isinstance(table, dict):
        source.fail(section, name, "must be a source field in quotes, or a table { from = …, via = … }.")
    if "from" not in table:
        source.fail(section, name, "does not say which source field it comes from.", 'Add from = "…".')
    origin = table["from"]
    sources = (origin,) if isinstance(origin, str) and origin else _names(origin, section, name, "from", source)
    transform = _transform(name, table.get("via", DEFAULTS[kind]), kind, len(sources), section, source)
    _known_keys(table, (*_LINE, *transform.options), source, section, name)
    line = FieldLine(
        sources=sources,
        via=transform.name,
        direction=_choice(table, "direction", ("both", "in", "out"), section, name, source),
        on_error=_choice(table, "on_error", ("keep", "reject"), section, name, source),
        values=_values(table, transform, section, name, source),
        blank=_names(table["blank"], section, name, "blank", source) if "blank" in table else (),
        objects=_names(table["objects"], section, name, "objects", source) if "objects" in table else (),
        options=_options(table, transform, section, name, source),
    )
    if "default" in table:
        line = line.model_copy(update={"default": _constant(table["default"], kind, section, name, source)})
    return line


def _transform(name: str, via: Any, kind: Kind, sources: int, section: str, source: Source) -> Transform:
    transform = REGISTRY.get(via) if isinstance(via, str) else None
    if transform is None:
        source.fail(section, name, f"names the unknown transform {via!r}.", meant(str(via), REGISTRY))
    if kind not in transform.kinds:
        fitting = ", ".join(sorted(t.name for t in REGISTRY.values() if kind in t.kinds))
        source.fail(section, name, f"holds a {kind.value}, which {via} does not make.", f"Use one of: {fitting}.")
    if sources > 1 and not transform.multi:
        multi = ", ".join(sorted(t.name for t in REGISTRY.values() if t.multi and kind in t.kinds))
        source.fail(
            section, name, f"has several sources, but {via} reads one.", f"Use one of: {multi}." if multi else ""
        )
    return transform


def _choice(table: Raw, key: str, known: tuple[str, ...], section: str, name: str, source: Source) -> Any:
    value = table.get(key, known[0])
    if value not in known:
        source.fail(section, name, f"has {key} = {value!r}.", f"Use one of: {', '.join(known)}.")
    return value


def _values(table: Raw, transform: Transform, section: str, name: str, source: Source) -> dict[str, str]:
    values = table.get("values", {})
    if values and not transform.takes_values:
        source.fail(
            section, name, f"has a table of values, which {transform.name} does not use.", 'Add via = "picklist".'
        )
    if not isinstance(values, dict) or not all(isinstance(v, str) and v for v in values.values()):
        source.fail(
            section, name, "needs values as a table of texts.", 'Write values = { "Vendor word" = "hub word" }.'
        )
    return values


def _options(table: Raw, transform: Transform, section: str, name: str, source: Source) -> Raw:
    result: Raw = {}
    for key, option in transform.options.items():
        if key not in table:
            if option.required:
                source.fail(
                    section,
                    name,
                    f"needs the option {key} of {transform.name}.",
                    f"Use one of: {', '.join(option.choices)}.",
                )
            continue
        given: Any = table[key]
        value: Any = tuple(given) if option.type is tuple and isinstance(given, list) else given
        if type(value) is not option.type or (isinstance(value, tuple) and not all(isinstance(v, str) for v in value)):
            wanted = {tuple: "a list of texts", str: "a text", bool: "true or false", int: "a whole number"}[
                option.type
            ]
            source.fail(section, name, f"needs {key} as {wanted}.")
        if option.choices and value not in option.choices:
            source.fail(section, name, f"has {key} = {value!r}.", f"Use one of: {', '.join(option.choices)}.")
        if value in ("", 0):
            source.fail(section, name, f"has an empty {key}.", "Give it a value or leave it out.")
        result[key] = value
    return result


def _constant(value: Any, kind: Kind, section: str, name: str, source: Source) -> Any:
    if kind is Kind.REFERENCE:
        source.fail(section, name, "is a reference, which cannot have a fixed value.")
    result = Bound(REGISTRY[DEFAULTS[kind]], Settings(MappingContext())).scalar(value)
    if result is None or isinstance(result, Flaw):
        source.fail(section, name, f"has a fixed value that is not a {kind.value}.")
    return value


def _constants(raw: Raw, entity: str, lines: Mapping[str, FieldLine], source: Source) -> Raw:
    known = fields_of(entity)
    for name, value in (table := _table(raw, "constants", source)).items():
        if name not in known:
            source.fail("constants", name, f"is not a field of {entity}.", meant(name, known))
        if name in lines:
            source.fail(
                "constants",
                name,
                "is mapped from a source field, too.",
                "Keep one of the two, or give the line a default.",
            )
        _constant(value, known[name].kind, "constants", name, source)
    return table


def _texts(raw: Raw, section: str, source: Source) -> dict[str, str]:
    return {k: _text(v, section, k, source) for k, v in _table(raw, section, source).items()}


def _only(raw: Raw, source: Source) -> dict[str, tuple[str, ...]]:
    return {k: _names(v, "only", k, k, source) for k, v in _table(raw, "only", source).items()}


def _creates(raw: Raw, entity: str, source: Source) -> dict[str, tuple[str, ...]]:
    table = _table(raw, "creates", source)
    for name in table:
        if name not in fields_of(entity):
            source.fail("creates", name, f"is not a field of {entity}.", meant(name, fields_of(entity)))
    return {
        k: tuple(_text(v, "creates", k, source) for v in _list(values, "creates", k, source))
        for k, values in table.items()
    }


def _list(value: Any, section: str, key: str, source: Source) -> list[Any]:
    if not isinstance(value, list):
        source.fail(section, key, "must be a list of values; an empty one means that nothing is made.")
    return value


def _fallback(raw: Raw, entity: str, source: Source) -> dict[str, str]:
    table = _texts(raw, "fallback", source)
    for key, name in table.items():
        if name not in fields_of(entity):
            source.fail(
                "fallback", key, f"names {name}, which is not a field of {entity}.", meant(name, fields_of(entity))
            )
    return table


def _custom(raw: Raw, source: Source) -> CustomRule:
    table = _table(raw, "custom", source)
    _known_keys(table, _CUSTOM, source, "custom")
    unmapped = _choice(table, "unmapped", ("custom_fields", "ignore"), "custom", "unmapped", source)
    if unmapped == "ignore" and not table.get("reason"):
        source.fail("custom", "unmapped", "leaves out every unmapped field without saying why.", 'Add reason = "…".')
    rename = {k: _text(v, "custom", k, source) for k, v in _table(table, "rename", source).items()}
    if len(set(rename.values())) != len(rename):
        source.fail("custom", "rename", "gives two fields the same name.")
    return CustomRule(unmapped=unmapped, reason=table.get("reason", ""), rename=rename)


def _links(raw: Raw, source: Source) -> tuple[LinkLine, ...]:
    entries = raw.get("links", [])
    if not isinstance(entries, list):
        source.fail("links", None, "must be a list of tables.", "Write [[links]] above each entry.")
    result = []
    for entry in entries:
        via = entry.get("via", "reference")
        if via not in ("reference", "salesforce_reference"):
            source.fail("links", "via", f"{via!r} cannot read ids.", "Use reference or salesforce_reference.")
        transform = REGISTRY[via]
        _known_keys(entry, (*_LINK, *transform.options), source, "links")
        for key in ("label", "from"):
            _text(entry.get(key), "links", key, source)
        result.append(
            LinkLine(
                label=entry["label"],
                source=entry["from"],
                objects=_names(entry.get("objects", ["*"]), "links", "objects", "objects", source),
                via=via,
                separator=_text(entry["separator"], "links", "separator", source) if "separator" in entry else "",
                alias=_alias(entry, source),
                when={k: _names(v, "links", "when", k, source) for k, v in _table(entry, "when", source).items()},
                options=_options(entry, transform, "links", entry["label"], source),
            )
        )
    return tuple(result)


def _alias(entry: Raw, source: Source) -> bool:
    alias = entry.get("alias", False)
    if not isinstance(alias, bool):
        source.fail("links", "alias", "must be true or false.")
    objects = entry.get("objects", ["*"])
    if alias and (objects == ["*"] or len(objects) != 1):
        source.fail("links", "objects", "must name the one object whose id is another name of the record.")
    return alias


# ---------------------------------------------------------------- the whole


def _check_whole(spec: MappingSpec, section: str, source: Source) -> None:
    known = fields_of(spec.entity)
    for name, definition in known.items():
        if definition.required and name not in spec.fields and name not in spec.constants:
            source.fail(section, None, f"does not say where {spec.entity}.{name} comes from, which every record needs.",
                        f'Add {name} = "…", or a value under [constants].')  # fmt: skip
    for name, line in spec.fields.items():
        if known[name].kind is Kind.REFERENCE and not line.objects:
            source.fail(section, name, "is a reference and does not say to which objects.", 'Add objects = ["…"].')
        if line.objects and known[name].kind is not Kind.REFERENCE:
            source.fail(section, name, "is no reference, so objects means nothing.")
    for name in spec.ignore:  # a field of [only] may be ignored: it decides and is not kept
        if name in spec.mapped_sources:
            source.fail("ignore", name, "is mapped as well as ignored.", "Remove one of the two.")
    taken = {n for n in spec.mapped_sources if n not in spec.custom.rename}
    for name, alias in spec.custom.rename.items():
        if name in spec.mapped_sources or alias in taken:
            source.fail("custom", name, "is renamed to or from a field that is mapped.", "Choose another name.")
    _check_writers(spec, section, source)


def _check_writers(spec: MappingSpec, section: str, source: Source) -> None:
    """One source field is written by one line, by parts of one compound, or by references of which one is filled."""
    known = fields_of(spec.entity)
    writers: dict[str, list[str]] = {}
    for name, line in spec.fields.items():
        if line.writes:
            for origin in line.sources:
                writers.setdefault(origin, []).append(name)
    for origin, names in writers.items():
        lines = [spec.fields[n] for n in names]
        transforms = {line.via for line in lines}
        parts = [line.options.get("part") for line in lines]
        compound = len(transforms) == 1 and REGISTRY[lines[0].via].combine and len(set(parts)) == len(parts)
        references = all(known[n].kind is Kind.REFERENCE for n in names)
        if len(names) > 1 and not compound and not references:
            source.fail(section, names[1], f"writes {origin}, which {names[0]} writes as well.",
                        'Give one of them direction = "in".')  # fmt: skip
