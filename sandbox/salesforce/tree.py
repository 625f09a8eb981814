"""sObject trees: the sample data that development teams keep beside their code, as a plan and files of records.

A plan lists files by object, in order; ``saveRefs`` lets later files refer to records as ``"@ReferenceId"``, ``resolveRefs``
says that a file does. A folder without a plan has its files loaded in the order of their names. Objects and fields that the
org doesn't know are made, their types judged by the values.
https://developer.salesforce.com/docs/atlas.en-us.sfdx_dev.meta/sfdx_dev/sfdx_dev_test_data_example.htm
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from sandbox.salesforce.org import Org
from sandbox.salesforce.schema import Field, ObjectType, label_of, parse_object
from sandbox.salesforce.write import Writer

Record = dict[str, Any]


def load_tree(org: Org, folder: Path, user_id: str) -> dict[str, int]:
    """Load the plan in ``folder`` (or in its ``data``). The number of records of each object.

    Raises FileNotFoundError when there is nothing to load, ValueError for a reference to no record, ApiError for a record
    that breaks a rule of the org.
    """
    files = list(_files(folder))
    if not files:
        raise FileNotFoundError(f"{folder} holds no sObject tree: neither a plan (*plan*.json) nor files with records")
    loaded = [(kind, record) for path in files for kind, record in _records(path)]
    for kind in dict.fromkeys(kind for kind, _ in loaded):
        _fit_schema(org, kind, [record for other, record in loaded if other == kind], dict(_references(loaded)))
    return _insert(org, loaded, user_id)


def _files(folder: Path) -> Iterator[Path]:
    plans = sorted(folder.glob("*plan*.json")) or sorted((folder / "data").glob("*plan*.json"))
    if plans:
        for entry in orjson.loads(plans[0].read_bytes()):
            yield from (plans[0].parent / name for name in entry["files"])
        return
    yield from sorted(folder.glob("*.json"))


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    for record in orjson.loads(path.read_bytes()).get("records", ()):
        yield record["attributes"]["type"], record


def _references(loaded: list[tuple[str, Record]]) -> Iterator[tuple[str, str]]:
    for kind, record in loaded:
        if "referenceId" in record["attributes"]:
            yield record["attributes"]["referenceId"], kind


def _insert(org: Org, loaded: list[tuple[str, Record]], user_id: str) -> dict[str, int]:
    writer = Writer(org, user_id)
    known: dict[str, str] = {}
    counts: dict[str, int] = {}
    for kind, record in loaded:
        values = {name: _resolved(kind, name, value, known) for name, value in record.items() if name != "attributes"}
        record_id = writer.insert(kind, values)
        known[str(record["attributes"].get("referenceId", record_id))] = record_id
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _resolved(kind: str, name: str, value: Any, known: dict[str, str]) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"@\w+", value):
        return value
    if value[1:] not in known:
        raise ValueError(f"{kind}.{name} refers to {value}, which no earlier record is called")
    return known[value[1:]]


# ---------------------------------------------------------------- schema by example


def _fit_schema(org: Org, kind: str, records: list[Record], references: dict[str, str]) -> None:
    """Make the object, and every field of it that the records have and the org hasn't; widen those that are too short."""
    if kind not in org.objects:
        org.add_object(_new_object(org, kind))
    item = org.objects[kind]
    names = dict.fromkeys(name for record in records for name in record if name != "attributes")
    for name in names:
        values = [record[name] for record in records if record.get(name) is not None]
        known = item.find(name)
        if known is not None:
            org.add_field(kind, _widened(known, values))
        else:
            for made in _guessed(name, values, references):
                if item.find(made.name) is None:
                    org.add_field(kind, made)


def _widened(known: Field, values: list[Any]) -> Field:
    """The same field with room for these values: a longer text, more choices."""
    texts = [str(value) for value in values]
    options = dict.fromkeys((*known.options, *(texts if known.restricted else ())))
    length = max([known.length, *map(len, texts)]) if known.type in {"string", "textarea"} else known.length
    return replace(known, options=tuple(options), length=length)


def _new_object(org: Org, kind: str) -> ObjectType:
    taken = {item.prefix for item in org.objects.values()}
    prefix = next(p for p in (f"a{n:02d}" for n in range(100)) if p not in taken)
    label = label_of(kind)
    lines = 'Name string(80) required name\nOwnerId reference(Group|User) rel=Owner default=me "Owner ID"'
    return parse_object(f'{kind} {prefix} "{label}" "{label}s"', lines)


def _guessed(name: str, values: list[Any], references: dict[str, str]) -> Iterator[Field]:
    label = label_of(name)
    coordinate = re.fullmatch(r"(\w+)__(Latitude|Longitude)__s", name)
    if coordinate:
        compound = f"{coordinate.group(1)}__c"
        yield Field(name, "double", label, precision=18, scale=15, of=compound)
        yield Field(compound, "location", label_of(compound), createable=False, updateable=False)
        return
    pointed = {references.get(str(value)[1:]) for value in values if str(value).startswith("@")}
    targets = tuple(sorted(kind for kind in pointed if kind))
    if targets:
        relation = name.removesuffix("__c") + "__r" if name.endswith("__c") else name.removesuffix("Id")
        yield Field(name, "reference", label, length=18, refers_to=targets, relationship=relation)
        return
    yield _scalar(name, label, values)


_SHAPES = (
    ("datetime", re.compile(r"\d{4}-\d\d-\d\dT.*")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d")),
    ("url", re.compile(r"https?://\S{1,240}")),
    ("email", re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}")),
)


def _scalar(name: str, label: str, values: list[Any]) -> Field:
    if values and all(isinstance(value, bool) for value in values):
        return Field(name, "boolean", label, required=True, default="false")
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return Field(name, "double", label, precision=18, scale=0 if all(isinstance(v, int) for v in values) else 6)
    texts = [str(value) for value in values]
    for kind, shape in _SHAPES:
        if texts and all(shape.fullmatch(text) for text in texts):
            return Field(name, kind, label, length={"url": 255, "email": 80}.get(kind, 0))
    if any(len(text) > 255 for text in texts):
        return Field(name, "textarea", label, length=32_768, filterable=False)
    return Field(name, "string", label, length=255)
