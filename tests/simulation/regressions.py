"""Schedules that once failed, shrunk to a few dozen choices and replayed for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.choices import Choices, shrink
from tests.simulation.run import Broken, Simulation

FOLDER = Path(__file__).parent / "regressions"


@dataclass(frozen=True)
class Failure:
    """``choices``: the smallest record found that fails the same way; ``trace``: what happens in it."""

    message: str
    choices: list[int]
    trace: list[str]

    def __str__(self) -> str:
        return "\n".join([self.message, *self.trace, f"choices: {self.choices}"])


def attempt(
    choices: Choices, *, stages: bool = False, merges: bool = False
) -> tuple[Exception | None, Simulation | None]:
    """Run a schedule; the error that it ends with, if any. Whatever the engine raises is a failure as well."""
    sim: Simulation | None = None
    try:
        sim = Simulation(choices, stages=stages, merges=merges)
        sim.run()
    except Exception as error:  # a bug of the engine may be of any kind
        return error, sim
    return None, sim


def shrunk(made: Sequence[int], error: Exception, for_s: float = 10.0, **kind_of: bool) -> Failure:
    """Make a failing schedule as small as it gets while it fails in the same kind of way. ``kind_of``: as of `attempt`."""
    kind = _kind(error)

    def fails(trial: Sequence[int]) -> bool:
        found, _ = attempt(Choices(recorded=trial), **kind_of)
        return found is not None and _kind(found) == kind

    smallest = shrink(made, fails, for_s)
    found, sim = attempt(Choices(recorded=smallest), **kind_of)
    return Failure(f"{type(error).__name__}: {found or error}", smallest, [] if sim is None else sim.world.trace)


def _kind(error: Exception) -> tuple[str, str]:
    words = str(error).split() if isinstance(error, Broken) else []
    return type(error).__name__, " ".join(w for w in words if w.isalpha())


def kept() -> list[Path]:
    return sorted(FOLDER.glob("*.json"))


def kind_of(path: Path) -> dict[str, bool]:
    """The kind of schedule, as arguments of `attempt`: whether sales move between stages, whether a vendor keeps what it merged."""
    told = json.loads(path.read_text())
    return {name: bool(told.get(name)) for name in ("stages", "merges")}


def load(path: Path) -> list[int]:
    return [int(n) for n in json.loads(path.read_text())["choices"]]
