"""The planted bugs do not rot, and two of them are noticed here; `make mutants` probes all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation import traps
from tests.simulation.mutants.__main__ import ROOT, probed
from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.model import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_planted_bug_has_its_place(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.old != mutant.new


def test_names_of_planted_bugs_are_their_own() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 30


@pytest.mark.parametrize("name", ["newest_at_the_edge", "ambiguous_picks_first"])
def test_a_planted_bug_is_noticed(name: str) -> None:
    mutant, killed, _ = probed(next(m for m in MUTANTS if m.name == name))
    assert killed, mutant.trap


@pytest.mark.parametrize("trap", traps.ALL, ids=lambda t: t.__name__)
def test_a_trap_does_not_snap(trap: Callable[[], None]) -> None:
    trap()
