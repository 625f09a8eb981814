"""A spec as TOML that a person can read, and that parses back to the same spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table

from mappings.model import ASSOCIATION, FieldLine, LinkLine, MappingSpec, fields_of
from mappings.transforms import DEFAULTS, REGISTRY

_COMMENTS = {
    "fields": "canonical field = source field, or { from, via, ... }: both directions unless direction says otherwise",
    "constants": "the same for every record",
    "ignore": "source fields left out, and why",
    "only": "records whose field has another value are left out",
    "creates": "hub records that have one of these values are made here; others are not",
    "fallback": "source field = the canonical field that it is written from where it would be blank",
    "custom": "what becomes of source fields that no line names",
    "links": "lookups that become associations",
}


def spec_to_raw(spec: MappingSpec) -> dict[str, Any]:
    """The plain tables that `reading.build` makes the spec from."""
    head = {"vendor": spec.vendor, "object": spec.object, "entity": spec.entity, "id": spec.id}
    if spec.id_via != "text":
        head["id_via"] = spec.id_via
    if spec.version:
        head["version"] = spec.version
    raw: dict[str, Any] = {"spec": head, "fields": {n: _line(spec, n, line) for n, line in spec.fields.items()}}
    raw["constants"] = dict(spec.constants)
    raw["ignore"] = dict(spec.ignore)
    raw["only"] = {name: list(values) for name, values in spec.only.items()}
    raw["creates"] = {name: list(values) for name, values in spec.creates.items()}
    raw["fallback"] = dict(spec.fallback)
    raw["custom"] = _without_defaults(
        {"unmapped": spec.custom.unmapped, "reason": spec.custom.reason, "rename": dict(spec.custom.rename)},
        {"unmapped": "custom_fields", "reason": "", "rename": {}},
    )
    raw["links"] = [_link(link) for link in spec.links]
    return {name: value for name, value in raw.items() if value}


def _line(spec: MappingSpec, name: str, line: FieldLine) -> Any:
    origin: Any = line.sources[0] if len(line.sources) == 1 else list(line.sources)
    table: dict[str, Any] = {"from": origin}
    if line.via != DEFAULTS[fields_of(spec.entity)[name].kind]:
        table["via"] = line.via
    table |= {key: list(v) if isinstance(v, tuple) else v for key, v in line.options.items()}
    extras = {
        "objects": list(line.objects),
        "direction": line.direction,
        "on_error": line.on_error,
        "values": dict(line.values),
        "blank": list(line.blank),
        "default": line.default,
    }
    defaults: dict[str, Any] = {
        "objects": [],
        "direction": "both",
        "on_error": "keep",
        "values": {},
        "blank": [],
        "default": None,
    }
    table |= _without_defaults(extras, defaults)
    return origin if len(table) == 1 else table


def _link(link: LinkLine) -> dict[str, Any]:
    table: dict[str, Any] = {"label": link.label, "from": link.source, "objects": list(link.objects)}
    if link.via != "reference":
        table["via"] = link.via
    if link.separator:
        table["separator"] = link.separator
    if link.alias:
        table["alias"] = True
    if link.when:
        table["when"] = {name: list(values) for name, values in link.when.items()}
    return table | {key: list(v) if isinstance(v, tuple) else v for key, v in link.options.items()}


def _without_defaults(table: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value != defaults[key]}


def spec_to_toml(spec: MappingSpec) -> str:
    """TOML with comments for the person who edits it. ``parse_spec`` gives back an equal spec."""
    document = tomlkit.document()
    what = "associations" if spec.entity == ASSOCIATION else f"the canonical entity {spec.entity}"
    document.add(tomlkit.comment(f"How {spec.object} of {spec.vendor} maps to {what}."))
    for section, content in spec_to_raw(spec).items():
        if section == "links":
            document.add("links", _links(content))
            continue
        table = tomlkit.table()
        if section in _COMMENTS:
            table.add(tomlkit.comment(_COMMENTS[section]))
        for key, value in content.items():
            table.add(key, _value(value, nested=key == "rename"))
            if (
                section == "fields"
                and (loss := REGISTRY[spec.fields[key].via].loss)
                and isinstance(value, dict)
                and "via" in value
            ):
                table[key].comment(f"loses: {loss}")
        document.add(section, table)
    return tomlkit.dumps(document)


def _links(entries: list[dict[str, Any]]) -> Any:
    array = tomlkit.aot()
    for entry in entries:
        table = tomlkit.table()
        for key, value in entry.items():
            table.add(key, value)
        array.append(table)
    return array


def _value(value: Any, *, nested: bool) -> Any:
    if not isinstance(value, dict):
        return value
    table: Table | InlineTable = tomlkit.table() if nested else tomlkit.inline_table()
    for key, item in value.items():
        table.add(key, _value(item, nested=False))
    return table
