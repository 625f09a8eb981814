"""Stages and pipelines of the simulated vendors: each has its own, some of which answer to each other and some to none.

The first vendor has stages that belong to no pipeline, as Salesforce has; the second one's belong to pipelines, as HubSpot's do.
What a stage *is* (``kind``) is written down here, so that the checks need not ask the code that they check.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sync_engine.core.model import Link
from sync_engine.core.stand_ins import SetUp, SetUpRecord
from sync_engine.ports import Lane
from tests.simulation.tables import HubRow, Tables

STAGES, PIPELINES = "stages", "pipelines"
ODDS: Mapping[str, int] = {"new": 10, "talks": 50, "won": 100, "lost": 0, "paused": 5, "proved": 70}


@dataclass(frozen=True)
class Place:
    """A stage or pipeline of a vendor. ``given``: what a person calls it beside its name."""

    vendor: str
    id: str
    name: str
    kind: str
    parent: str | None = None
    given: frozenset[str] = frozenset()


def places(everything: str | None) -> tuple[Place, ...]:
    """What admins set up. ``everything``: the pipeline of the second vendor that takes deals of any other pipeline, if one does."""
    other = frozenset({"*"})
    return (
        Place("a", "a-retail", "Retail", "retail"),
        Place("a", "a-trade", "Trade", "trade"),
        Place("a", "a-new", "New", "new"),
        Place("a", "a-talks", "Talks", "talks"),
        Place("a", "a-won", "Won", "won"),
        Place("a", "a-paused", "Paused", "paused"),
        Place("b", "b-retail", " retail", "retail", given=other if everything == "b-retail" else frozenset()),
        Place("b", "b-projects", "Projects", "projects", given=other if everything == "b-projects" else frozenset()),
        Place("b", "b-r-new", "new", "new", "b-retail"),
        Place("b", "b-r-talks", "Talks", "talks", "b-retail"),
        Place("b", "b-r-won", "WON", "won", "b-retail"),
        Place("b", "b-r-lost", "Lost", "lost", "b-retail"),
        Place("b", "b-p-new", "New", "new", "b-projects"),
        Place("b", "b-p-agreed", "Agreed", "won", "b-projects", frozenset({"won"})),
        Place("b", "b-p-proved", "Proved", "proved", "b-projects"),
    )


PIPELINE_KINDS = frozenset({"retail", "trade", "projects"})


@dataclass(frozen=True)
class Catalogue:
    """All places of one tenant, with the ids of their hub records and the connections of their vendors."""

    ids: Mapping[UUID, Place]
    connections: Mapping[str, UUID]

    def of(self, vendor: str, *, pipelines: bool) -> list[Place]:
        return [p for p in self.ids.values() if p.vendor == vendor and (p.kind in PIPELINE_KINDS) is pipelines]

    def hub_id(self, vendor_id: str) -> UUID:
        return next(i for i, p in self.ids.items() if p.id == vendor_id)

    def named(self, vendor_id: str) -> Place:
        return self.ids[self.hub_id(vendor_id)]

    def set_up(self, connection_id: UUID) -> SetUp:
        """As the store tells of one connection."""
        records = {
            i: SetUpRecord(
                i,
                "pipeline" if p.kind in PIPELINE_KINDS else "stage",
                p.name,
                None if p.parent is None else self.hub_id(p.parent),
                frozenset({_object(p)} if self.connections[p.vendor] == connection_id else ()),
                p.given,
            )
            for i, p in self.ids.items()
        }
        return SetUp(records)

    def found_at(self, stage: Place, pipeline: Place | None, held: str | None, vendor: str) -> list[Place]:
        """The stages of a vendor at which a deal of that stage and pipeline may stand; the vendor has it in ``held``.

        One: there it has to be. Several or none: it moves nowhere.
        """
        alike = [p for p in self.of(vendor, pipelines=False) if p.kind == stage.kind]
        inside = next((p.id for p in self.of(vendor, pipelines=True) if pipeline and p.kind == pipeline.kind), None)
        if inside is not None and any(p.parent for p in self.of(vendor, pipelines=False)):
            return _preferred(stage, [p for p in alike if p.parent == inside])
        for within in (held, *(p.id for p in self.of(vendor, pipelines=True) if "*" in p.given)):
            if found := [p for p in alike if within is not None and p.parent == within]:
                return _preferred(stage, found)
        return _preferred(stage, alike)


def _preferred(stage: Place, among: list[Place]) -> list[Place]:
    """The stage itself; else those that a person called so; else all."""
    called = [p for p in among if stage.name.strip().lower() in p.given]
    return [stage] if stage in among else called or among


def _object(place: Place) -> str:
    return PIPELINES if place.kind in PIPELINE_KINDS else STAGES


def install(
    tables: Tables, tenant_id: UUID, number: int, connections: Mapping[str, UUID], made: Iterable[Place]
) -> Catalogue:
    """Put places into the hub, linked, as streams of set-up objects leave them."""
    catalogue = Catalogue({UUID(int=(7 << 64) + (number << 16) + n): p for n, p in enumerate(made)}, connections)
    for hub_id, place in catalogue.ids.items():
        entity = "pipeline" if place.kind in PIPELINE_KINDS else "stage"
        tables.hubs[hub_id] = HubRow(tenant_id, entity, 1, {"name": place.name})
        lane = Lane(tenant_id, connections[place.vendor], _object(place))
        tables.links[lane, place.id] = Link(place.id, hub_id, {"name": place.name})
    return catalogue
