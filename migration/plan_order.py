"""In which order objects are loaded: by phase, and within a phase parents before children."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from mappings.model import fields_of
from mappings.spec import MappingSpec
from migration.plan_model import Phase, PlannedObject

_PHASES: Mapping[str, Phase] = {
    "pipeline": Phase.METADATA,
    "stage": Phase.METADATA,
    "user": Phase.USERS,
    "account": Phase.MASTER_DATA,
    "contact": Phase.MASTER_DATA,
    "lead": Phase.MASTER_DATA,
    "campaign": Phase.MASTER_DATA,
    "product": Phase.MASTER_DATA,
    "price": Phase.MASTER_DATA,
    "association": Phase.ASSOCIATIONS,
    "attachment": Phase.ATTACHMENTS,
}

Edge = tuple[str, str]
"""(child, parent) by object name."""


def references(spec: MappingSpec) -> dict[str, bool]:
    """Vendor objects that the mapping's reference fields may name, and whether such a reference is required."""
    fields = fields_of(spec.entity)
    found: dict[str, bool] = {}
    for name, line in spec.fields.items():
        for target in line.objects:
            found[target] = found.get(target, False) or fields[name].required
    return found


def phase_of(entity: str) -> Phase:
    """The phase that an entity is loaded in."""
    return _PHASES.get(entity, Phase.TRANSACTIONS)


def in_load_order(objects: Iterable[PlannedObject]) -> tuple[tuple[PlannedObject, ...], tuple[tuple[str, ...], ...]]:
    """The objects in load order with their phases, and the rings of objects that refer to each other.

    An association that has a file at one end is loaded with the files. A ring is broken where a reference is not required;
    that reference is set once both ends are there. Equal inputs give the same order, however they were sorted.
    """
    named = {o.object: o for o in objects}
    graph = {name: _parents(o, named) for name, o in named.items()}
    phases = {name: _phase(name, named, graph) for name in named}
    order, cycles = _sorted(graph)
    ranked = sorted(order, key=lambda name: (phases[name], order.index(name)))
    return tuple(replace(named[name], phase=phases[name]) for name in ranked), cycles


def _parents(planned: PlannedObject, named: Mapping[str, PlannedObject]) -> dict[str, bool]:
    found = references(planned.spec)
    if (
        planned.entity == "association" and "*" in found
    ):  # an end may be a record of any object: load it after all of them
        return {name: True for name, other in named.items() if other.entity != "association"}
    return {parent: required for parent, required in found.items() if parent in named}


def _phase(name: str, named: Mapping[str, PlannedObject], graph: Mapping[str, Mapping[str, bool]]) -> Phase:
    own = phase_of(named[name].entity)
    if own is not Phase.ASSOCIATIONS:
        return own
    return max([own, *(phase_of(named[parent].entity) for parent in graph[name])])


def _sorted(graph: Mapping[str, Mapping[str, bool]]) -> tuple[list[str], tuple[tuple[str, ...], ...]]:
    edges = {name: dict(parents) for name, parents in graph.items()}
    cycles: list[tuple[str, ...]] = [(name,) for name in sorted(edges) if edges[name].pop(name, None) is not None]
    while True:
        sorter = TopologicalSorter({name: sorted(parents) for name, parents in sorted(edges.items())})
        try:
            sorter.prepare()
        except CycleError as error:
            ring: Sequence[str] = error.args[1]
            child, parent = _weakest(ring, edges)
            del edges[child][parent]
            cycles.append(_from_smallest(ring))
            continue
        return _drained(sorter), tuple(dict.fromkeys(cycles))


def _weakest(ring: Sequence[str], edges: Mapping[str, Mapping[str, bool]]) -> Edge:
    """The reference of a ring to set later: one that is not required, if there is one."""
    pairs = [(child, parent) for parent, child in pairwise(ring)]
    return min(pairs, key=lambda edge: (edges[edge[0]][edge[1]], edge))


def _from_smallest(ring: Sequence[str]) -> tuple[str, ...]:
    """The ring without its repeated end, begun at its first name in the alphabet."""
    nodes = list(ring[:-1])
    start = nodes.index(min(nodes))
    return tuple(nodes[start:] + nodes[:start])


def _drained(sorter: TopologicalSorter[str]) -> list[str]:
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order
