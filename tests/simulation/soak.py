"""Random planner cases and schedules for a set time: `make soak SECONDS=60`.

Says how many schedules a second; the last line is JSON: {"planner_cases", "schedules", "faults", "failures"}. A failing schedule is
shrunk, its trace printed, and its choices written to ``regressions/``, where it is replayed from then on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter

from tests.simulation.choices import Choices
from tests.simulation.regressions import FOLDER, attempt, shrunk
from tests.sync_engine.core.test_laws import check

CASES_AT_ONCE, SCHEDULES_AT_ONCE = 20, 10


def main(arguments: list[str]) -> int:
    """Returns 1 where anything failed."""
    parser = argparse.ArgumentParser(description="Simulate for a set time.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="repeat a soak; by default another one each time")
    chosen = parser.parse_args(arguments)
    seeds = random.Random(chosen.seed)
    done: Counter[str] = Counter(planner_cases=0, schedules=0, faults=0, failures=0)
    began = time.monotonic()
    while time.monotonic() - began < chosen.seconds:
        for _ in range(CASES_AT_ONCE):
            _case(seeds.getrandbits(48), done)
        for _ in range(SCHEDULES_AT_ONCE):
            _schedule(seeds.getrandbits(48), done)
        for _ in range(SCHEDULES_AT_ONCE // 2):
            _schedule(seeds.getrandbits(48), done, stages=True)
            _schedule(seeds.getrandbits(48), done, merges=True)
    took = time.monotonic() - began
    sys.stdout.write(
        f"{done['schedules'] / took:.1f} schedules and {done['planner_cases'] / took:.1f} planner cases a second\n"
    )
    sys.stdout.write(json.dumps(dict(done)) + "\n")
    return 1 if done["failures"] else 0


def _case(seed: int, done: Counter[str]) -> None:
    done["planner_cases"] += 1
    try:
        check(Choices(seed))
    except Exception as error:  # whatever planning raises is a failure
        done["failures"] += 1
        sys.stdout.write(f"planner case, seed {seed}: {error}\n")


def _schedule(seed: int, done: Counter[str], **kind_of: bool) -> None:
    choices = Choices(seed)
    error, sim = attempt(choices, **kind_of)
    done["schedules"] += 1
    done["faults"] += 0 if sim is None else sim.faults
    if error is not None:
        done["failures"] += 1
        failure = shrunk(choices.made, error, **kind_of)
        sys.stdout.write(f"schedule, seed {seed}: {failure}\n")
        FOLDER.mkdir(exist_ok=True)
        form = {"message": failure.message, **kind_of, "choices": failure.choices, "trace": failure.trace}
        (FOLDER / f"seed_{seed}.json").write_text(json.dumps(form, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
