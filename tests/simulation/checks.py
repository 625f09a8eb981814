"""What must hold once nobody edits any more and everything that was due has run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

from domain.entities import SET_UP
from sync_engine.core.merge import same
from sync_engine.core.model import DeletePolicy, Link
from sync_engine.ports import Lane
from tests.simulation.ports import FIELDS, OBJECTS, held
from tests.simulation.run import Broken, Simulation
from tests.simulation.stages import Place
from tests.simulation.tables import HubRow
from tests.simulation.vendors import Row, tokens


def check_all(sim: Simulation) -> None:
    """Every invariant. Raises Broken."""
    silent(sim)
    ledger_adds_up(sim)
    one_record_each(sim)
    converged(sim)
    no_edit_is_lost(sim)
    tenants_never_touch(sim)
    bounded_writes(sim)
    moves_arrive(sim)
    nothing_derived_is_contested(sim)
    replay_changes_nothing(sim)


def silent(sim: Simulation) -> None:
    before = sim.standing()
    sim.round()
    if sim.standing()[0] != before[0]:
        raise Broken("a further round writes")
    left = [k for k, row in sim.store.tables.work.items() if not row.waiting]
    if left:
        raise Broken(f"work is still due: {len(left)}")
    if sim.store.tables.intents:
        raise Broken("an intent was never settled")


def ledger_adds_up(sim: Simulation) -> None:
    counted: Counter[str] = Counter()
    for row in sim.store.tables.lanes.values():
        counted.update({n: c for n, c in row.state.counts.items() if not n.startswith("push_")})
    if sum(counted.values()) != sim.planned:
        raise Broken(f"{sim.planned} inputs, {sum(counted.values())} outcomes")


def one_record_each(sim: Simulation) -> None:
    tables = sim.store.tables
    live = Counter((lane, link.entity_id) for (lane, _), link in tables.links.items() if not link.tombstoned)
    if double := [k for k, n in live.items() if n > 1]:
        raise Broken(f"a hub record has two live links on a lane: {double[0]}")
    for lane, vendor in sim.world.vendor_of.items():
        name = _identity_of(sim.world.rules[lane].entity)
        known = Counter(r.values.get(name) for r in vendor.live(lane.object))
        if double_ids := [i for i, n in known.items() if n > 1 and i not in sim.world.deleted_here]:
            raise Broken(f"{vendor.name} has {double_ids[0]} twice")
    named = Counter(
        (r.tenant_id, r.entity, r.values.get(_identity_of(r.entity)))
        for r in tables.hubs.values()
        if not r.deleted and r.entity not in SET_UP
    )
    if double_hubs := [i for i, n in named.items() if n > 1 and i[2] not in sim.world.deleted_here]:
        raise Broken(f"the hub has {double_hubs[0][2]} twice")


def _identity_of(entity: str) -> str:
    return "email" if entity == "contact" else "name"


def converged(sim: Simulation) -> None:
    tables = sim.store.tables
    for lane, vendor in sim.world.vendor_of.items():
        if sim.world.rules[lane].deletes_in is not DeletePolicy.PROPAGATE:
            _linked_ones_agree(sim, lane)
            continue
        entity = sim.world.rules[lane].entity
        linked = {}
        for (of, vendor_id), link in tables.links.items():
            if of == lane and not link.tombstoned:
                linked[link.entity_id] = vendor_id
        for hub_id, row in tables.hubs.items():
            if row.deleted or (row.tenant_id, row.entity) != (lane.tenant_id, entity):
                continue
            if hub_id not in linked and row.entity == "opportunity" and letter_of(sim, lane, hub_id):
                _rightly_refused(sim, lane, row, None)
                continue
            if hub_id not in linked and _is_somebody_else_there(sim, lane, row, hub_id):
                continue
            if hub_id not in linked:
                raise Broken(f"{vendor.name} never got {entity} {str(hub_id)[-4:]}")
            _same_record(sim, lane, row, linked[hub_id])
        _all_taken_in(sim, lane)


def _is_somebody_else_there(sim: Simulation, lane: Lane, row: HubRow, hub_id: UUID) -> bool:
    """Whether the vendor has this identity as a further one of what the hub has as something else, and a dead letter says so.

    Never so of what the vendor itself merged into that: there it is the same.
    """
    vendor, tables = sim.world.vendor_of[lane], sim.store.tables
    holder = vendor.holder(lane.object, row.values)
    dead = tables.dead.get((lane, "push", str(hub_id)))
    if holder is None or dead is None or not dead.open or holder.id not in dead.failure.message:
        return False
    link = sim.store.live_link(lane, holder.id)
    if link is None or link.entity_id == hub_id or tables.hubs[link.entity_id].deleted:
        return False
    former = [v for (of, v), known in tables.links.items() if of == lane and known.entity_id == hub_id]
    return all(vendor.led_to(lane.object, v) != holder.id for v in former)


def _linked_ones_agree(sim: Simulation, lane: Lane) -> None:
    """Where deletes are not propagated, whatever is linked and stands on both sides is the same."""
    for (of, vendor_id), link in sim.store.tables.links.items():
        if of != lane or link.tombstoned:
            continue
        row, theirs = sim.store.tables.hubs[link.entity_id], sim.world.vendor_of[lane].rows[lane.object, vendor_id]
        if not row.deleted and not theirs.deleted:
            _same_record(sim, lane, row, vendor_id, but="account_id")  # it may refer to what only one side has


def _same_record(sim: Simulation, lane: Lane, row: HubRow, vendor_id: str, but: str = "") -> None:
    vendor, tables = sim.world.vendor_of[lane], sim.store.tables
    theirs = vendor.rows.get((lane.object, vendor_id))
    if theirs is None or theirs.deleted:
        raise Broken(f"{vendor.name} {vendor_id} is gone, the hub's record is not")
    link = tables.links[lane, vendor_id]
    if row.entity == "opportunity":
        _same_stage(sim, lane, row, theirs, link)
    for name in FIELDS[row.entity]:
        if name in AT_A_STAGE:
            continue
        ours: Any = row.values.get(name)
        if isinstance(ours, UUID):
            ours = _vendor_id(sim, lane, ours)
        said = theirs.values.get(name)
        alike = (
            same(sorted(ours or []), sorted(said or [])) if name == "tags" else same(held(name, ours), held(name, said))
        )
        if not alike and name not in link.open and name != but:
            raise Broken(f"{vendor.name} {vendor_id}.{name}: hub {ours!r}, vendor {said!r}")


AT_A_STAGE = ("stage_id", "pipeline_id", "probability")


def letter_of(sim: Simulation, lane: Lane, hub_id: UUID) -> bool:
    """Whether a dead letter tells that the vendor has no stage for a sale."""
    dead = sim.store.tables.dead.get((lane, "push", str(hub_id)))
    return dead is not None and dead.open and (dead.failure.code, dead.failure.field) == ("no_counterpart", "stage_id")


def _fitting(sim: Simulation, lane: Lane, row: HubRow, held: str | None) -> list[Place]:
    known = sim.store.catalogues[lane.tenant_id]
    stage, pipeline = known.ids[row.values["stage_id"]], known.ids.get(row.values.get("pipeline_id"))
    return known.found_at(stage, pipeline, held, sim.world.vendor_of[lane].name)


def _rightly_refused(sim: Simulation, lane: Lane, row: HubRow, held: str | None) -> None:
    fitting = _fitting(sim, lane, row, held)
    if len(fitting) == 1:
        raise Broken(f"a sale is refused although {fitting[0].id} is its stage")


def _same_stage(sim: Simulation, lane: Lane, row: HubRow, theirs: Row, link: Link) -> None:
    """A sale stands at the stage that answers to the hub's; or, where none or several do, a dead letter tells."""
    if {"stage_id", "pipeline_id"} & link.open.keys():
        return
    fitting = _fitting(sim, lane, row, theirs.values.get("pipeline_id"))
    refused = letter_of(sim, lane, link.entity_id)
    if theirs.values.get("stage_id") in [p.id for p in fitting]:
        if refused:
            raise Broken(f"{theirs.id} is at its stage, and a dead letter tells that it has none")
    elif len(fitting) == 1:
        raise Broken(f"{theirs.id} should be at {fitting[0].id} and is at {theirs.values.get('stage_id')}")
    elif not refused and sim.world.rules[lane].pushes:
        raise Broken(f"{theirs.id} has no stage here, and no dead letter tells")


def nothing_derived_is_contested(sim: Simulation) -> None:
    """What a vendor makes of a stage by itself is nobody's edit."""
    if any(entry.conflict.field == "probability" for entry in sim.store.tables.conflicts):
        raise Broken("a probability that a stage brought is contested")


def moves_arrive(sim: Simulation) -> None:
    """Every sale is where somebody put it."""
    for row in sim.store.tables.hubs.values():
        if row.deleted or row.entity != "opportunity" or row.values["name"] in sim.world.deleted_here:
            continue
        moves = sim.world.moves[row.values["name"]]
        kind = sim.store.catalogues[row.tenant_id].ids[row.values["stage_id"]].kind
        if kind not in moves and not {"copied", "merged"} & set(moves):
            raise Broken(f"nobody put {row.values['name']} at {kind}")


def _vendor_id(sim: Simulation, lane: Lane, hub_id: UUID) -> str | None:
    parents = replace(lane, object=OBJECTS["account"])
    for (of, vendor_id), link in sim.store.tables.links.items():
        if of == parents and link.entity_id == hub_id and not link.tombstoned:
            return vendor_id
    return None


def _all_taken_in(sim: Simulation, lane: Lane) -> None:
    """Every live record of a vendor is in the hub, or a dead letter says why not."""
    for row in sim.world.vendor_of[lane].live(lane.object):
        link = sim.store.live_link(lane, row.id)
        dead = sim.store.tables.dead.get((lane, "map", row.id))
        if dead is not None and dead.open:
            continue
        if link is None:
            raise Broken(f"{row.id} is in no hub record, and no dead letter tells why")
        if sim.store.tables.hubs[link.entity_id].deleted:
            raise Broken(f"{row.id} lives on, its hub record is deleted")


def no_edit_is_lost(sim: Simulation) -> None:
    """Each edit stands, or was overwritten by someone who saw it, or is in the conflict log."""
    stands: set[str] = set()
    for row in sim.store.tables.hubs.values():
        if not row.deleted:
            stands |= _tokens(row.values)
    for vendor in sim.world.vendor_of.values():
        for vendor_row in vendor.rows.values():
            stands |= set() if vendor_row.deleted else _tokens(vendor_row.values)
    logged: set[str] = set()
    for entry in sim.store.tables.conflicts:
        logged |= tokens(entry.conflict.losing_value) | tokens(entry.conflict.winning_value)
    raced = {t for vendor in sim.world.vendor_of.values() for t in vendor.raced}
    buried = {t for dead in sim.store.tables.dead.values() for t in tokens(dead.payload)}
    for token in sim.world.edits:
        if not token.endswith("-") and token not in stands | logged | sim.world.replaced | raced | buried:
            raise Broken(f"the edit {token} ({sim.world.edits[token][1]}) is lost")


def _tokens(values: Any) -> set[str]:
    return {t for v in values.values() for t in tokens(v)}


def tenants_never_touch(sim: Simulation) -> None:
    for row in sim.store.tables.hubs.values():
        _own(sim, row.tenant_id, _tokens(row.values))
    for lane, vendor in sim.world.vendor_of.items():
        for vendor_row in vendor.rows.values():
            _own(sim, lane.tenant_id, _tokens(vendor_row.values))


def _own(sim: Simulation, tenant_id: UUID, found: set[str]) -> None:
    if foreign := [t for t in found if t in sim.world.edits and sim.world.edits[t][0] != tenant_id]:
        raise Broken(f"{foreign[0]} reached another tenant")


def bounded_writes(sim: Simulation) -> None:
    """A few writes an edit: no two systems that go on correcting each other."""
    writes = sum(v.writes for t in sim.world.tenants for v in t.vendors)
    most = 8 + 6 * (sim.world.actions + sim.world.identities) + 2 * sim.faults
    if writes > most:
        raise Broken(f"{writes} writes for {sim.world.actions} actions")


def replay_changes_nothing(sim: Simulation) -> None:
    """Everything listed again from the very beginning: no write, no change in the hub."""
    before = sim.standing()
    sim.store.forget_cursors()
    sim.round()
    after = sim.standing()
    if after[0] != before[0] or after[1] != before[1]:
        raise Broken("listing everything again changes something")


def row_text(row: Row) -> str:
    return f"{row.id} {dict(row.values)}"
