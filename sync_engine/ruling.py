"""Which rules follow from a connector and a lens: what is read and written, and which lists of associated records there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.kit.contract import Connector, Ends, SupportsAssociations
from domain.entities import ENTITIES, Kind
from mappings.compile import Lens
from sync_engine.core.model import ListKind, Rules
from sync_engine.views import Membership


def several_of(connector: Connector, lens: Lens) -> dict[str, Ends]:
    """The lists of associated records that the connector exchanges for the object of a lens, by canonical name.

    Asks the vendor where not every account has them.
    """
    wanted = {s.refers_to for s in ENTITIES[lens.entity].several}
    if not wanted or not isinstance(connector, SupportsAssociations):
        return {}
    entities = {info.name: info.entity for info in connector.manifest.objects}
    known = {entities.get(ends.target): ends for ends in connector.several.get(lens.spec.object, ())}
    known = {
        entity: ends
        for entity, ends in known.items()
        if entity in wanted and (ends.needs is None or ends.needs in connector.describe([ends.needs]).objects)
    }
    return {s.name: known[s.refers_to] for s in ENTITIES[lens.entity].several if s.refers_to in known}


def rules_of(
    lens: Lens, several: Mapping[str, Ends] | None = None, membership: Membership | None = None, **chosen: Any
) -> Rules:
    """The rules that follow from a lens: what it reads and writes, what the vendor requires, which lists are sets.

    ``several``: lists of associated records that are exchanged. A reference that the mapping reads from one of them is not
    written by itself where the vendor has no main one. ``membership``: of an object that is a part of the vendor's records; where
    the hub moves them over, writing what a record became does.
    """
    lists_of = several or {}
    fields = ENTITIES[lens.entity].all_fields
    lines = lens.spec.fields
    reads = {name for name, line in lines.items() if line.reads} | set(lens.spec.constants) | {"custom_fields"}
    writes = {n for n, line in lines.items() if line.writes and all(lens.writable(s) for s in line.sources)}
    unled = {of: ends for of, ends in lists_of.items() if not ends.main}
    picks = {n: of for of, ends in unled.items() for n, line in lines.items() if line.sources == (ends.field,)}
    labels = labels_of(lens.entity, lists_of).keys()
    reads, writes = reads | lists_of.keys() | labels, (writes | lists_of.keys() | labels) - picks.keys()
    becomes, part = ENTITIES[lens.entity].becomes, membership is not None and membership.part
    if becomes is not None and membership is not None and part:
        reads |= {becomes.flag, becomes.into}
        writes |= {becomes.into} if membership.moves_to else set()
    required = {f.name for f in (lens.schema.fields if lens.schema else ()) if f.required}
    once = {f.name for f in (lens.schema.fields if lens.schema else ()) if f.createable and not f.updateable}
    afterwards = {f.name for f in (lens.schema.fields if lens.schema else ()) if f.updateable and not f.createable}
    parents = writes & set(ENTITIES[lens.entity].parents)
    defaults: dict[str, Any] = {
        "entity": lens.entity,
        "reads": frozenset(reads),
        "writes": frozenset(writes | {"custom_fields"}),
        "required": frozenset({n for n in writes & lines.keys() if required & set(lines[n].sources)} | parents),
        "match_keys": ENTITIES[lens.entity].match_keys,
        "only": {n: frozenset({v}) for n, v in lens.spec.constants.items() if fields[n].follows is None}
        | {n: frozenset(values) for n, values in lens.spec.creates.items()},
        "follows": {n: f.follows for n, f in fields.items() if f.follows is not None},
        "refers": {n: line.objects for n, line in lines.items() if line.objects},
        "once": frozenset(n for n in writes & lines.keys() if once & set(lines[n].sources)),
        "afterwards": frozenset(n for n in writes & lines.keys() if afterwards & set(lines[n].sources)),
        "lists": {n: ListKind.SET for n, f in fields.items() if f.kind is Kind.TEXT_LIST}
        | dict.fromkeys(lists_of, ListKind.LINKS)
        | dict.fromkeys(labels, ListKind.LABELS),
        "picks": picks,
        "becomes": becomes,
        "part": part,
        "mains": {s.name: s.main for s in ENTITIES[lens.entity].several if s.name in lists_of.keys() - unled.keys()},
    }
    return Rules(**{**defaults, **chosen})


def labels_of(entity: str, several: Mapping[str, Ends]) -> dict[str, str]:
    """The fields that say as what records are associated, with their lists; only those of lists that tell it."""
    return {
        s.labels: s.name for s in ENTITIES[entity].several if s.labels and s.name in several and several[s.name].labels
    }
