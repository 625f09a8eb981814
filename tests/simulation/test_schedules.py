"""Thousands of schedules of the real engine between a hub and two vendors, and every schedule that ever failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.choices import Choices, shrink
from tests.simulation.regressions import attempt, kept, kind_of, load, shrunk
from tests.simulation.run import Broken, Simulation

CHUNKS, SCHEDULES, WITH_STAGES, WITH_MERGES = 10, 200, 60, 60


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_invariant_holds_after_any_schedule(chunk: int) -> None:
    for seed in range(chunk * SCHEDULES, (chunk + 1) * SCHEDULES):
        choices = Choices(seed)
        error, _ = attempt(choices)
        if error is not None:
            pytest.fail(f"seed {seed}: {shrunk(choices.made, error)}")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_invariant_holds_where_sales_move_between_stages(chunk: int) -> None:
    for seed in range(chunk * WITH_STAGES, (chunk + 1) * WITH_STAGES):
        choices = Choices(seed)
        error, _ = attempt(choices, stages=True)
        if error is not None:
            pytest.fail(f"seed {seed}: {shrunk(choices.made, error, stages=True)}")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_invariant_holds_where_a_vendor_keeps_what_it_merged(chunk: int) -> None:
    for seed in range(chunk * WITH_MERGES, (chunk + 1) * WITH_MERGES):
        choices = Choices(seed)
        error, _ = attempt(choices, merges=True)
        if error is not None:
            pytest.fail(f"seed {seed}: {shrunk(choices.made, error, merges=True)}")


def test_sales_meet_what_stages_are_about() -> None:
    """Stages without counterpart, with several, and sales that are at the same stage everywhere do occur."""
    told = ""
    for seed in range(300):
        sim = Simulation(Choices(seed), stages=True)
        sim.run()
        told += " ".join(d.failure.message for d in sim.store.tables.dead.values())
        moved = [m for m in sim.world.moves.values() if len(m) > 1]
        told += " moved" if moved else ""
        if all(
            word in told for word in ("no counterpart at this vendor", "no counterpart in its", "counterparts", "moved")
        ):
            return
    pytest.fail("300 schedules, and not all of it occurred")


@pytest.mark.parametrize("path", kept(), ids=lambda p: p.stem)
def test_a_schedule_that_once_failed_still_holds(path: Path) -> None:
    error, sim = attempt(Choices(recorded=load(path)), **kind_of(path))
    assert error is None, [str(error), *(sim.world.trace if sim else [])]


def test_the_same_choices_make_the_same_run() -> None:
    first = Choices(7)
    _, one = attempt(first)
    _, two = attempt(Choices(recorded=first.made))
    assert one is not None
    assert two is not None
    assert one.world.trace == two.world.trace
    assert one.world.store.tables == two.world.store.tables


def test_a_failing_schedule_shrinks_to_what_makes_it_fail() -> None:
    made = list(range(200))
    assert shrink(made, lambda trial: 150 in trial and 3 in trial) == [3, 150]


def test_schedules_meet_what_they_are_about() -> None:
    """Faults, kills, conflicts, merges and restores do happen: else the invariants would hold for nothing."""
    wanted = ["is killed", "zombie wakes", "lost its lease", "merges", "restores", "cursors expire", "conflict"]
    wanted += [
        f"'{n}'" for n in ("created", "matched", "merged", "revived", "kept", "superseded", "deleted", "push_uncertain")
    ]
    faults, seen = 0, ""
    for seed in range(1_000):
        if all(word in seen for word in wanted):
            break
        sim = Simulation(Choices(seed))
        sim.run()
        faults += sim.faults
        seen += "\n".join(sim.world.trace) + "".join(sim.store.state(lane).counts.__str__() for lane in sim.world.lanes)
        seen += "conflict" if sim.store.tables.conflicts else ""
    assert faults > 10
    assert not [word for word in wanted if word not in seen]


def test_an_invariant_can_break() -> None:
    """A store that forgets one edit is noticed."""
    sim = Simulation(Choices(3))
    sim.run()
    lost = next(token for token in sim.world.edits if not token.endswith("-") and token not in sim.world.replaced)
    from tests.simulation.checks import no_edit_is_lost

    for hub_id, row in sim.store.tables.hubs.items():
        sim.store.tables.hubs[hub_id] = type(row)(row.tenant_id, row.entity, row.version, {})
    for vendor in sim.world.vendor_of.values():
        vendor.rows.clear()
    sim.store.tables.conflicts.clear()
    with pytest.raises(Broken, match=f"{lost}|is lost"):
        no_edit_is_lost(sim)
