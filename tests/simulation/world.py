"""The simulated world: tenants with a hub and two vendors each, people who edit everywhere, and what they know.

Every edit writes a token that is written nowhere else. So it can be told of each edit, in the end, whether it stands, was
replaced by someone who saw it, or is in the conflict log. Nothing else may become of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sync_engine.core.model import DeletePolicy, Policy, Rules
from sync_engine.ports import Lane
from tests.simulation.choices import Choices
from tests.simulation.memory_store import MemoryStore
from tests.simulation.ports import OBJECTS, rules_for
from tests.simulation.stages import ODDS, install, places
from tests.simulation.vendors import Row, Vendor, tokens

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICIES = (Policy.HUB_WINS, Policy.VENDOR_WINS, Policy.NEWEST, Policy.PREFER_NONBLANK, Policy.ASK)


@dataclass
class Tenant:
    id: UUID
    vendors: tuple[Vendor, ...]


@dataclass
class World:
    """``replaced``: tokens whose writer's value someone overwrote or deleted knowingly. ``edits``: token to who wrote it.

    ``deleted_here``: identities deleted or restored somewhere, which may have been entered anew elsewhere meanwhile. ``stages``:
    whether there are sales, which move between stages that each vendor has of its own. ``merges``: whether the first vendor keeps
    what records were called that it merged, which its people do all the time. ``moves``: where people put each sale.
    """

    choices: Choices
    stages: bool = False
    merges: bool = False
    now: datetime = START
    tenants: list[Tenant] = field(default_factory=list)
    edits: dict[str, tuple[UUID, str]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    deleted_here: set[str] = field(default_factory=set)
    actions: int = 0
    identities: int = 0
    ids: int = 100
    trace: list[str] = field(default_factory=list)
    moves: dict[str, list[str]] = field(default_factory=dict)

    @property
    def entities(self) -> tuple[str, ...]:
        return ("account", "contact", "opportunity") if self.stages else ("account", "contact")

    def _entity(self) -> str:
        """Of what somebody does something to a record."""
        if self.stages and not self.choices.one_in(3):
            return "opportunity"
        return "account" if self.choices.one_in(3) else "contact"

    def __post_init__(self) -> None:
        self.store = MemoryStore(lambda: self.now)
        self.rules: dict[Lane, Rules] = {}
        self.vendor_of: dict[Lane, Vendor] = {}
        self.finds = self.choices.one_in(2)
        for number in range(2 if self.choices.one_in(8) else 1):
            self._tenant(number)

    # ------------------------------------------------------------ setting up

    def _tenant(self, number: int) -> None:
        tenant_id = UUID(int=1 + number)
        vendors = []
        policy = self.choices.pick(POLICIES)
        edit_beats = not self.choices.one_in(4)
        deletes = self.choices.pick((DeletePolicy.PROPAGATE,) * 6 + (DeletePolicy.ARCHIVE, DeletePolicy.IGNORE))
        for place, name in enumerate("ab"):
            skew = timedelta(minutes=self.choices.pick((0, 5, -5)))
            keeps = self.merges and place == 0
            vendor = Vendor(name, strict=place == 0, clock=lambda: self.now, skew=skew, keeps=keeps)
            vendors.append(vendor)
            connection = UUID(int=10 + 10 * number + place)
            for entity in self.entities:
                lane = Lane(tenant_id, connection, OBJECTS[entity])
                required = frozenset({"account_id"} if entity == "contact" and not vendor.strict else ())
                self.rules[lane] = rules_for(
                    entity,
                    required=required,
                    policy=policy,
                    edit_beats_delete=edit_beats,
                    deletes_in=deletes,
                    deletes_out=deletes,
                )
                self.vendor_of[lane] = vendor
                self.store.register(lane, entity, True, self.rules[lane].writes)
        self.tenants.append(Tenant(tenant_id, tuple(vendors)))
        if self.stages:
            self._stages(self.tenants[-1], number)
        self._first_records(self.tenants[-1])

    def _stages(self, tenant: Tenant, number: int) -> None:
        """Each vendor's own stages and pipelines, as its admin set them up."""
        everything = self.choices.pick((None, "b-retail", "b-projects"))
        connections = {v.name: UUID(int=10 + 10 * number + place) for place, v in enumerate(tenant.vendors)}
        made = places(everything)
        self.store.catalogues[tenant.id] = install(self.store.tables, tenant.id, number, connections, made)
        for vendor in tenant.vendors:
            for place in self.store.catalogues[tenant.id].of(vendor.name, pipelines=False):
                vendor.odds[place.id], vendor.parents[place.id] = ODDS[place.kind] + (vendor.name == "b"), place.parent

    def _first_records(self, tenant: Tenant) -> None:
        for entity in self.entities:
            for _ in range(1 + self.choices.below(2)):
                identity = self._identity()
                for vendor in tenant.vendors:
                    if self.choices.one_in(2):
                        self._vendor_create(tenant, vendor, entity, identity, lags=False)

    @property
    def lanes(self) -> list[Lane]:
        return sorted(self.rules)

    def _identity(self) -> str:
        self.identities += 1
        return f"who{self.identities}"

    def token(self, tenant: Tenant, where: str) -> str:
        token = f"t{len(self.edits)}x"
        self.edits[token] = (tenant.id, where)
        return token

    def say(self, text: str) -> None:
        self.trace.append(f"{(self.now - START).total_seconds():7.0f}s  {text}")

    # ------------------------------------------------------------ people

    def act(self) -> None:
        """Someone does something somewhere."""
        tenant = self.choices.pick(self.tenants)
        self.actions += 1
        place = self.choices.below(3)
        if place == 2:
            self._hub_act(tenant)
        else:
            self._vendor_act(tenant, tenant.vendors[place])

    def _vendor_act(self, tenant: Tenant, vendor: Vendor) -> None:
        entity = self._entity()
        rows = sorted(vendor.live(OBJECTS[entity]), key=lambda r: r.id)
        if vendor.keeps and len(rows) > 1 and self.choices.one_in(3):
            survivor, loser = rows[-1 - self.choices.below(2)], rows[self.choices.below(len(rows) - 1)]
            if survivor is not loser:
                self._vendor_merge(vendor, entity, survivor, loser)
            return
        what = self.choices.below(13)
        if what == 8 or not rows:
            self._vendor_create(tenant, vendor, entity, self._identity())
        elif what == 9:
            self._vendor_delete(vendor, entity, self.choices.pick(rows))
        elif what == 10:
            self._vendor_undelete(vendor, entity)
        elif what == 12:
            self._vendor_copy(tenant, vendor, entity, self.choices.pick(rows))
        elif what == 11 and len(rows) > 1:
            self._vendor_merge(vendor, entity, rows[0], rows[1])
        else:
            self._vendor_edit(tenant, vendor, entity, self.choices.pick(rows))

    def _vendor_create(self, tenant: Tenant, vendor: Vendor, entity: str, identity: str, *, lags: bool = True) -> None:
        values: dict[str, Any] = {"city": self.token(tenant, vendor.name)}
        values["email" if entity == "contact" else "name"] = identity
        if entity == "contact":
            parents = sorted(r.id for r in vendor.live("companies"))
            values |= {"name": "Ann", "account_id": parents[0] if parents and self.choices.one_in(2) else None}
        if entity == "opportunity":
            values |= self._stage_of(tenant, vendor.name, identity)
        values = {n: v for n, v in values.items() if v is not None}
        vendor_id = vendor.create(OBJECTS[entity], values, lags=lags)
        vendor.note_tokens(values)
        self.say(f"{vendor.name}: creates {entity} {vendor_id} {values}")

    def _stage_of(self, tenant: Tenant, where: str, identity: str) -> dict[str, Any]:
        """Where somebody puts a sale: a stage, and a pipeline that has it. The hub offers those of both vendors."""
        known = self.store.catalogues[tenant.id]
        vendor = self.choices.pick(("a", "b")) if where == "hub" else where
        stage = self.choices.pick(known.of(vendor, pipelines=False))
        pipeline = stage.parent or self.choices.pick((None, *(p.id for p in known.of(vendor, pipelines=True))))
        self.moves.setdefault(identity, []).append(stage.kind)
        chosen = {"stage_id": stage.id, "pipeline_id": pipeline}
        return {n: known.hub_id(i) for n, i in chosen.items() if i} if where == "hub" else chosen

    def _new_values(self, tenant: Tenant, where: str, entity: str, old: dict[str, Any]) -> dict[str, Any]:
        if entity == "opportunity" and self.choices.one_in(2):
            return {"city": self.token(tenant, where), **self._stage_of(tenant, where, str(old.get("name")))}
        token = self.token(tenant, where)
        name = self.choices.pick(("city", "phone", "name", "tags", "blank") if entity == "contact" else ("city",))
        if name == "tags":
            tags = list(old.get("tags") or [])
            if tags and self.choices.one_in(2):
                del self.edits[token]
                self.edits.setdefault(f"{token}-", (tenant.id, "none"))
                return {"tags": tags[1:]}
            return {"tags": [*tags, token]}
        if name == "blank":
            del self.edits[token]
            self.edits.setdefault(f"{token}-", (tenant.id, "none"))
            return {"phone": None}
        return {name: f"{token} and a long rest" if name == "name" else token}

    def _vendor_edit(self, tenant: Tenant, vendor: Vendor, entity: str, row: Row) -> None:
        values = self._new_values(tenant, vendor.name, entity, dict(row.values))
        self._know({n: row.values.get(n) for n in values}, values)
        vendor.change(OBJECTS[entity], row.id, values)
        vendor.note_tokens(values)
        self.say(f"{vendor.name}: edits {row.id} {values}")

    def _vendor_copy(self, tenant: Tenant, vendor: Vendor, entity: str, row: Row) -> None:
        """Someone copies a record and gives the copy another identity; where keys are not unique, the copy has its key."""
        values = {**row.values, "city": self.token(tenant, vendor.name)}
        values["email" if entity == "contact" else "name"] = identity = self._identity()
        self.moves[identity] = ["copied", "copied"]
        vendor_id = vendor.create(OBJECTS[entity], values, None if vendor.strict else row.key)
        vendor.note_tokens(values["city"])
        self.say(f"{vendor.name}: copies {row.id} to {vendor_id}")

    def _vendor_delete(self, vendor: Vendor, entity: str, row: Row) -> None:
        self._know(row.values, {})
        vendor.bury(OBJECTS[entity], row.id)
        self.say(f"{vendor.name}: deletes {row.id}")

    def _vendor_undelete(self, vendor: Vendor, entity: str) -> None:
        gone = sorted(
            r.id for (of, _), r in vendor.rows.items() if of == OBJECTS[entity] and r.deleted and not r.merged_into
        )
        if vendor.keeps:
            gone = [i for i in gone if vendor.holder(OBJECTS[entity], vendor.rows[OBJECTS[entity], i].values) is None]
        if gone:
            vendor_id = self.choices.pick(gone)
            row = vendor.change(OBJECTS[entity], vendor_id, {}, deleted=False)
            vendor.note_tokens(dict(row.values))
            self.replaced -= {t for v in row.values.values() for t in tokens(v)}
            self.deleted_here.add(str(row.values.get("email" if entity == "contact" else "name")))
            self.say(f"{vendor.name}: restores {vendor_id}")

    def _vendor_merge(self, vendor: Vendor, entity: str, survivor: Row, loser: Row) -> None:
        self._know(loser.values, {})
        self.moves.setdefault(str(survivor.values.get("name")), []).append("merged")
        filled = {n: v for n, v in loser.values.items() if n not in survivor.values}
        vendor.merge(OBJECTS[entity], survivor, loser, filled)
        self.replaced -= {t for v in filled.values() for t in tokens(v)}
        vendor.note_tokens(filled)
        self.say(f"{vendor.name}: merges {loser.id} into {survivor.id}")

    def _hub_act(self, tenant: Tenant) -> None:
        what = self.choices.below(8)
        entity = self._entity()
        ids = [
            i
            for i, r in self.store.tables.hubs.items()
            if (r.tenant_id, r.entity, r.deleted) == (tenant.id, entity, False)
        ]
        if what == 6 or not ids:
            self._hub_create(tenant, entity)
        elif what == 7:
            self._hub_delete(self.choices.pick(sorted(ids)))
        else:
            self._hub_edit(tenant, entity, self.choices.pick(sorted(ids)))

    def _hub_create(self, tenant: Tenant, entity: str) -> None:
        self.ids += 1
        values: dict[str, Any] = {"city": self.token(tenant, "hub")}
        values["email" if entity == "contact" else "name"] = self._identity()
        if entity == "contact":
            parents = [i for i, r in self._live_hubs() if (r.tenant_id, r.entity) == (tenant.id, "account")]
            values |= {"account_id": sorted(parents)[0]} if parents and self.choices.one_in(2) else {}
        if entity == "opportunity":
            values |= self._stage_of(tenant, "hub", values["name"])
        self.store.create(tenant.id, entity, UUID(int=self.ids), values)
        self.say(f"hub: creates {entity} {self.ids} {values}")

    def _live_hubs(self) -> Iterator[tuple[UUID, Any]]:
        return ((i, r) for i, r in self.store.tables.hubs.items() if not r.deleted)

    def _hub_edit(self, tenant: Tenant, entity: str, hub_id: UUID) -> None:
        old = self.store.tables.hubs[hub_id].values
        values = self._new_values(tenant, "hub", entity, dict(old))
        self._know({n: old.get(n) for n in values}, values)
        self.store.edit(hub_id, values)
        self.say(f"hub: edits {str(hub_id)[-4:]} {values}")

    def _hub_delete(self, hub_id: UUID) -> None:
        row = self.store.tables.hubs[hub_id]
        self.deleted_here.add(str(row.values.get("email" if row.entity == "contact" else "name")))
        self._know(self.store.tables.hubs[hub_id].values, {})
        self.store.delete(hub_id)
        self.say(f"hub: deletes {str(hub_id)[-4:]}")

    def _know(self, old: Any, new: Any) -> None:
        """Whoever overwrites a value saw it: its token may go."""
        kept = {t for v in new.values() for t in tokens(v)}
        self.replaced |= {t for v in old.values() for t in tokens(v)} - kept
