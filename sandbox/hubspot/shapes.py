"""Records as answers show them: which properties, whose history, which associations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sandbox.hubspot.portal import Portal
from sandbox.hubspot.records import Record, Values
from sandbox.hubspot.schema import ObjectType

ASSOCIATIONS_SHOWN = 100


def shown(
    portal: Portal, item: ObjectType, record: Record, names: Sequence[str] = (), history: Sequence[str] = (),
    associations: Iterable[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """One record. Names of properties that don't exist are passed over, as the vendor does."""
    known = [
        name
        for name in dict.fromkeys([*(names or (*history, *item.shown)), *history, *item.always])
        if portal.property(item, name)
    ]
    body = record.as_json(known)
    if history:
        past = {name: [v.as_json() for v in record.versions(name)] for name in history if portal.property(item, name)}
        body["propertiesWithHistory"] = past
    linked = {
        portal.object(name).name: _associated(portal, item, record, portal.object(name).name) for name in associations
    }
    if any(linked.values()):
        body["associations"] = {name.replace("_", " "): value for name, value in linked.items() if value}
    return body


def _associated(portal: Portal, item: ObjectType, record: Record, target: str) -> dict[str, Any]:
    """One entry for each type: a primary company is there twice."""
    known = portal.associations.of(item.name, target)
    entries = [
        {"id": target_id, "type": known[spec].name}
        for target_id, specs in portal.associations.targets(item.name, record.id, target).items()
        for spec in sorted(specs, key=lambda s: s[1])
        if spec in known
    ]
    if not entries:
        return {}
    body: dict[str, Any] = {"results": entries[:ASSOCIATIONS_SHOWN]}
    if len(entries) > ASSOCIATIONS_SHOWN:
        last = entries[ASSOCIATIONS_SHOWN - 1]["id"]
        path = f"https://api.hubapi.com/crm/v3/objects/{item.name}/{record.id}/associations/{target}"
        body["paging"] = {"next": {"after": last, "link": f"{path}?after={last}&limit={ASSOCIATIONS_SHOWN}"}}
    return body


def written(record: Record, item: ObjectType, given: Iterable[str]) -> dict[str, Any]:
    """What a write answers with: what was written, what was computed, and the record's own moments."""
    computed = [n for n, p in item.properties.items() if p.calculated and n in record.values]
    own = [n for n in record.values if n.startswith("hs_object_source")]
    names = dict.fromkeys([*given, *computed, *own, *item.always])
    return record.as_json([n for n in names if n in record.values or n in item.always or n in item.shown])


def indexed(portal: Portal, item: ObjectType, record: Record, values: Values, names: Sequence[str]) -> dict[str, Any]:
    """A search's result: the values of the index, which may be older than the record's."""
    known = [n for n in dict.fromkeys([*(names or item.shown), *item.always]) if portal.property(item, n)]
    body = record.as_json([])
    body["properties"] = {name: values.get(name) for name in known}
    body["updatedAt"] = values.get(item.modified_name, body["updatedAt"])
    body["archived"] = False
    body.pop("archivedAt", None)
    return body
