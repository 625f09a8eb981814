"""What every planted bug has to survive: traps, failed schedules, planner cases, others. Exits with 1 at the first failure."""

from __future__ import annotations

import resource
import sys

from tests.simulation import traps
from tests.simulation.choices import Choices
from tests.simulation.regressions import attempt, kept, kind_of, load
from tests.sync_engine.core.test_laws import check

CASES, SCHEDULES, WITH_STAGES, WITH_MERGES = 1_200, 700, 250, 300
PATIENCE_CPU_S = 600
"""Of processor time, so that a busy machine makes no bug look as if it never ended; nothing takes a quarter of it."""


def main() -> int:
    """Returns 1, having said by what, where something fails."""
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_CPU_S, PATIENCE_CPU_S + 1))
    for trap in traps.ALL:
        try:
            trap()
        except Exception as error:
            return _killed(trap.__name__, error)
    for path in kept():
        failed, _ = attempt(Choices(recorded=load(path)), **kind_of(path))
        if failed is not None:
            return _killed(path.stem, failed)
    for seed in range(WITH_STAGES):
        failed, _ = attempt(Choices(seed), stages=True)
        if failed is not None:
            return _killed(f"schedule {seed} with stages", failed)
    for seed in range(WITH_MERGES):
        failed, _ = attempt(Choices(seed), merges=True)
        if failed is not None:
            return _killed(f"schedule {seed} with merges", failed)
    for seed in range(CASES):
        try:
            check(Choices(seed))
        except Exception as error:
            return _killed(f"planner case {seed}", error)
    for seed in range(SCHEDULES):
        failed, _ = attempt(Choices(seed))
        if failed is not None:
            return _killed(f"schedule {seed}", failed)
    return 0


def _killed(by: str, error: Exception) -> int:
    sys.stdout.write(f"{by}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
