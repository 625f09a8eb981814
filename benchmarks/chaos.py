"""Everything at once, with everything dying: two vendors, people on three sides, workers killed, database and broker restarted.

    python -m benchmarks.chaos --cycles 5                 (make chaos CYCLES=5)

Each cycle, people edit, create and delete on all three sides, and merge in HubSpot; meanwhile vendors answer with errors or lose
their answers, a worker is killed with SIGKILL, and sometimes PostgreSQL is restarted or the broker emptied or killed. Afterwards
everything may settle, and the three sides are compared. The last line is JSON:

``received`` edits that people made, of which ``applied`` stand on all three sides, ``superseded`` were overtaken by a later or
stronger edit of the same field or went with their record, ``dead`` are held by a dead letter, ``in_flight`` are none of these
(0, or something was lost); ``duplicate_creates``: records that calls created at a vendor and that stand for something that was
there already; ``equal``: the three sides agree on every contact.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.chaos_broker import OWN
from benchmarks.chaos_judge import judge
from benchmarks.chaos_people import People
from benchmarks.chaos_processes import Processes
from benchmarks.chaos_world import TOLD_LATE_S, World


@dataclass(frozen=True, slots=True)
class Options:
    """``broker``: a URL; "redis" or "rabbitmq" for one of the run's own, which is killed; None for two processes that need none."""

    cycles: int = 5
    seed: int = 1
    edits: int = 12
    contacts: int = 12
    broker: str | None = None
    settle_s: float = 480.0  # a create that never arrived is sent again after the vendor's lag: five minutes


def run(options: Options, home: Path) -> dict[str, object]:
    """One run in ``home``; returns the figures of the last line."""
    rng = random.Random(options.seed)
    with ExitStack() as stack:
        own = stack.enter_context(OWN[options.broker](home)) if options.broker in OWN else None
        world = stack.enter_context(World(home, options.contacts))
        processes = stack.enter_context(Processes(world, options.broker, own))
        people = People(world, rng)
        processes.start()
        say(f"settled after {world.settle(processes, options.settle_s):.0f} s: both vendors and the hub are in step")
        for cycle in range(1, options.cycles + 1):
            _cycle(cycle, options, world, people, processes, rng)
        seconds = world.settle(processes, options.settle_s, TOLD_LATE_S)
        verdict = judge(world, people.edits)
    return {
        "cycles": options.cycles, "seed": options.seed, "kills": processes.kills, "restarts": processes.restarts,
        "settled_s": round(seconds, 1), **asdict(verdict),
    }  # fmt: skip


def _cycle(
    cycle: int, options: Options, world: World, people: People, processes: Processes, rng: random.Random
) -> None:
    half = options.edits // 2
    hits = [world.trouble(rng)]
    people.work(half)
    processes.pause(rng.uniform(0.0, 2.0))  # into the middle of what the edits caused
    hits.append(processes.kill_a_worker())
    if rng.random() < 0.4:
        hits.append(processes.restart_database())
    if rng.random() < 0.5:
        hits.append(processes.disturb_the_broker(rng))
    people.work(options.edits - half)
    processes.pause(rng.uniform(0.2, 2.0))
    processes.revive()
    hits += [f"the brake of {name} released" for name in world.let_through()]
    say(f"cycle {cycle}: {len(people.edits)} edits so far; {', '.join(h for h in hits if h)}")


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main() -> None:
    """Parse, run, print; exits with 1 where the outcome is not what it should be."""
    known = Options()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cycles", type=int, default=known.cycles)
    parser.add_argument("--seed", type=int, default=known.seed)
    parser.add_argument("--edits", type=int, default=known.edits, help="edits a cycle")
    parser.add_argument("--contacts", type=int, default=known.contacts)
    parser.add_argument(
        "--broker",
        default="memory",
        help="rabbitmq or redis: one of the run's own; an amqp:// or redis:// URL; default: none",
    )
    given = parser.parse_args()
    broker = None if given.broker == "memory" else given.broker
    with tempfile.TemporaryDirectory(prefix="syncline-chaos-") as home:
        told = run(Options(given.cycles, given.seed, given.edits, given.contacts, broker), Path(home))
    sys.stdout.write(json.dumps(told) + "\n")
    well = told["equal"] and not told["duplicate_creates"] and not told["in_flight"]
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
