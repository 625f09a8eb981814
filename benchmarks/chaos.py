"""Everything at once, with everything dying: two vendors, people on three sides, workers killed, database and broker restarted.

    python -m benchmarks.chaos --cycles 5                 (make chaos CYCLES=5)

Each cycle, people edit and create on all three sides; meanwhile vendors answer with errors or lose their answers, a worker is
killed with SIGKILL, and sometimes PostgreSQL is restarted or the broker emptied. Afterwards everything may settle, and the three
sides are compared. The last line is JSON:

``received`` edits that people made, of which ``applied`` stand on all three sides, ``superseded`` were overtaken by a later or
stronger edit of the same field, ``dead`` are held by a dead letter, ``in_flight`` are none of these (0, or something was lost);
``duplicate_creates``: records that calls created at a vendor and that stand for something that was there already; ``equal``: the
three sides agree on every contact.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.chaos_judge import judge
from benchmarks.chaos_people import People
from benchmarks.chaos_processes import Processes
from benchmarks.chaos_world import World


@dataclass(frozen=True, slots=True)
class Options:
    """``broker``: a URL, or None for two processes that each schedule and work by themselves."""

    cycles: int = 5
    seed: int = 1
    edits: int = 12
    contacts: int = 12
    broker: str | None = None
    settle_s: float = 240.0


def run(options: Options, home: Path) -> dict[str, object]:
    """One run in ``home``; returns the figures of the last line."""
    rng = random.Random(options.seed)
    with World(home, options.contacts) as world, Processes(world, options.broker) as processes:
        people = People(world, rng)
        processes.start()
        say(f"settled after {world.settle(processes, options.settle_s):.0f} s: both vendors and the hub are in step")
        for cycle in range(1, options.cycles + 1):
            _cycle(cycle, options, world, people, processes, rng)
        seconds = world.settle(processes, options.settle_s)
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
        hits.append(processes.disturb_the_broker())
    people.work(options.edits - half)
    processes.pause(rng.uniform(0.2, 2.0))
    processes.revive()
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
    parser.add_argument("--broker", default=None, help="amqp:// or redis:// URL; default: none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncline-chaos-") as home:
        told = run(Options(given.cycles, given.seed, given.edits, given.contacts, given.broker), Path(home))
    sys.stdout.write(json.dumps(told) + "\n")
    well = told["equal"] and not told["duplicate_creates"] and not told["in_flight"]
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
