"""Mapping specs: parse, ship, override, write. The TOML is described in docs/reference/mappings.md."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from domain.errors import MappingSpecError
from mappings.model import CustomRule, FieldLine, LinkLine, MappingSpec
from mappings.reading import SECTIONS, Source, build, load_toml, meant
from mappings.writing import spec_to_raw, spec_to_toml

__all__ = [
    "CustomRule",
    "FieldLine",
    "LinkLine",
    "MappingSpec",
    "MappingSpecError",
    "load_shipped",
    "parse_spec",
    "shipped",
    "spec_to_toml",
    "with_override",
]


def parse_spec(text: str, filename: str) -> MappingSpec:
    """The spec that ``text`` holds. Raises MappingSpecError naming ``filename``, line and field."""
    return build(load_toml(text, filename), Source(text, filename))


@lru_cache(maxsize=1)
def _shipped() -> dict[tuple[str, str], MappingSpec]:
    found: dict[tuple[str, str], MappingSpec] = {}
    for vendor in sorted(files("mappings").joinpath("specs").iterdir(), key=lambda p: p.name):
        if not vendor.is_dir():
            continue
        for path in sorted(vendor.iterdir(), key=lambda p: p.name):
            if path.name.endswith(".toml"):
                spec = parse_spec(path.read_text("utf-8"), f"{vendor.name}/{path.name}")
                found[spec.vendor, spec.object] = spec
    return found


def shipped() -> list[MappingSpec]:
    """Every spec that comes with the product."""
    return list(_shipped().values())


def load_shipped(vendor: str, object_name: str) -> MappingSpec | None:
    """The shipped spec of a vendor's object, if there is one. Capitals do not matter."""
    specs = _shipped()
    if (vendor, object_name) in specs:
        return specs[vendor, object_name]
    wanted = (vendor.casefold(), object_name.casefold())
    return next((spec for key, spec in specs.items() if (key[0].casefold(), key[1].casefold()) == wanted), None)


def with_override(spec: MappingSpec, override_text: str, filename: str) -> MappingSpec:
    """``spec`` with a tenant's changes.

    The override has the sections of a spec; each line adds or replaces the line of its name. ``[remove]`` lists lines to
    take out: ``fields = ["fax"]``, ``ignore``, ``constants``, ``only``, ``creates``, ``fallback``, ``links`` (by label),
    ``custom`` (renames).
    Raises MappingSpecError.
    """
    override = load_toml(override_text, filename)
    source = Source(override_text, filename)
    for section in override:
        if section not in (*SECTIONS, "remove"):
            source.fail(section, None, "is not a section of a mapping.", meant(section, (*SECTIONS, "remove")))
    raw = spec_to_raw(spec)
    _remove(raw, override.get("remove", {}), source)
    _same_object(spec, override.get("spec", {}), source)
    for section in SECTIONS:
        if section in override and section != "links":
            _merge(raw, section, override[section], source)
    if "links" in override:
        _merge_links(raw, override["links"], source)
    return build(raw, source)


def _same_object(spec: MappingSpec, head: Any, source: Source) -> None:
    for key in ("vendor", "object", "entity"):
        if isinstance(head, dict) and head.get(key, getattr(spec, key)) != getattr(spec, key):
            source.fail("spec", key, f"differs from {getattr(spec, key)!r}, which this override changes.",
                        "An override keeps vendor, object and entity; write a spec of its own instead.")  # fmt: skip


def _merge(raw: dict[str, Any], section: str, table: Any, source: Source) -> None:
    if not isinstance(table, dict):
        source.fail(section, None, "must be a table.")
    target = raw.setdefault("fields" if section == "association" else section, {})
    if section == "custom":
        table = {**table, "rename": {**target.get("rename", {}), **table.get("rename", {})}}
    target.update(table)
    if section in ("fields", "association"):
        mentioned = {s for line in table.values() for s in _sources(line)}
        for name in mentioned & set(raw.get("ignore", {})):  # mapping an ignored field is what an override is for
            del raw["ignore"][name]
        for name in set(table) & set(raw.get("constants", {})):
            del raw["constants"][name]
    if section == "constants":
        for name in table:
            raw.get("fields", {}).pop(name, None)


def _sources(line: Any) -> list[str]:
    origin = line.get("from") if isinstance(line, dict) else line
    return [origin] if isinstance(origin, str) else [o for o in origin or [] if isinstance(o, str)]


def _merge_links(raw: dict[str, Any], entries: Any, source: Source) -> None:
    if not isinstance(entries, list):
        source.fail("links", None, "must be a list of tables.", "Write [[links]] above each entry.")
    labels = {entry.get("label") for entry in entries}
    raw["links"] = [e for e in raw.get("links", []) if e["label"] not in labels] + entries


def _remove(raw: dict[str, Any], remove: Any, source: Source) -> None:
    sections = ("fields", "ignore", "constants", "only", "creates", "fallback", "links", "custom")
    if not isinstance(remove, dict):
        source.fail("remove", None, "must be a table of lists.", 'Write fields = ["…"] below it.')
    for section, names in remove.items():
        if section not in sections or not isinstance(names, list):
            source.fail("remove", section, "is not a list of lines to remove.", f"Known are: {', '.join(sections)}.")
        for name in names:
            if section == "links":
                known = [entry["label"] for entry in raw.get("links", [])]
                raw["links"] = [entry for entry in raw.get("links", []) if entry["label"] != name]
            else:
                table = raw.get("custom", {}).get("rename", {}) if section == "custom" else raw.get(section, {})
                known = list(table)
                table.pop(name, None)
            if name not in known:
                source.fail(
                    "remove", section, f"lists {name!r}, which the mapping does not have.", meant(str(name), known)
                )
