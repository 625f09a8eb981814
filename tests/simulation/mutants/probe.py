"""What every planted bug has to survive: traps, planner cases, schedules. Exits with 1 at the first that fails."""

from __future__ import annotations

import sys

from tests.simulation import traps
from tests.simulation.choices import Choices
from tests.simulation.regressions import attempt
from tests.sync_engine.core.test_laws import check

CASES, SCHEDULES = 1_200, 700


def main() -> int:
    """Returns 1, having said by what, where something fails."""
    for trap in traps.ALL:
        try:
            trap()
        except Exception as error:
            return _killed(trap.__name__, error)
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
