"""One schedule: two workers running the real engine, people editing meanwhile, faults, kills and time, all by choice.

Each call of the store and of a vendor is a point where the scheduler decides what happens next. A killed worker keeps its
lease until it expires, and may wake up later as a zombie and go on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from domain.errors import RateLimitedError, ReauthRequiredError, TransientError
from sync_engine.engine import Engine, Settings
from sync_engine.ports import Lane, LeaseLostError, PullCommit
from tests.simulation.choices import Choices
from tests.simulation.memory_store import MemoryStore
from tests.simulation.ports import SimPort
from tests.simulation.world import World

REQUEST = timedelta(seconds=30)
LEASE = timedelta(seconds=60)
ROUNDS_MAX = 40
SWITCHES = frozenset({"take", "gather_pull", "commit_pull", "push_work", "announce", "commit_push", "state"})
FAULTS = ("none", "before", "after", "limited", "signed_out", "partial", "cut")


class Broken(AssertionError):
    """An invariant does not hold."""


class Watched:
    """The store as the engine sees it: every call is a switch point; what is committed is counted."""

    def __init__(self, sim: Simulation) -> None:
        self._sim, self._store = sim, sim.world.store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if name in SWITCHES:
                self._sim.switch()
            result = method(*args, **kwargs)
            if name == "announce":
                self._sim.switch()
            if name == "commit_pull":
                self._sim.committed(args[0].lane, args[1])
            return result

        return call


@dataclass
class Worker:
    name: str
    run: greenlet | None = None
    lane: Lane | None = None


@dataclass
class Simulation:
    choices: Choices
    steps: int = 25
    stages: bool = False
    merges: bool = False
    faults: int = 0
    planned: int = 0
    quiet: bool = False
    workers: list[Worker] = field(default_factory=lambda: [Worker("w1"), Worker("w2")])
    zombies: list[greenlet] = field(default_factory=list)
    listed: dict[Any, dict[Lane, list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.choices, self.stages, self.merges)
        self.home = getcurrent()
        self.engine = Engine(
            Watched(self),
            self._port,
            lambda: self.world.now,
            Settings(lease_for=LEASE),
            owner=self._owner,
            jitter=lambda: 1.0,
        )
        self.owners = 0

    @property
    def store(self) -> MemoryStore:
        return self.world.store

    def _owner(self) -> str:
        self.owners += 1
        return f"pass{self.owners}"

    def _port(self, lane: Lane) -> SimPort:
        port = SimPort(self.world.vendor_of[lane], lane, self.world.rules[lane], self._call, self.world.finds)
        port.catalogue = self.store.catalogues.get(lane.tenant_id)
        port.on_page = lambda ids: self._note_page(lane, ids)
        return port

    # ------------------------------------------------------------ inside a worker

    def switch(self) -> None:
        """Let the scheduler decide who goes on."""
        if getcurrent() is not self.home:
            self.home.switch()

    def _call(self, name: str, make: Callable[[], Any]) -> Any:
        begun = self.world.now
        self.switch()
        if self.world.now - begun > REQUEST:
            raise TransientError("The request was not sent in time.")
        fault = "none" if self.quiet or not self.choices.one_in(7) else FAULTS[self.choices.below(len(FAULTS))]
        if fault == "none":
            return make()
        self.faults += 1
        self.world.say(f"fault: {name} {fault}")
        if fault == "before":
            raise TransientError("No connection.", context={"ambiguous": False})
        if fault == "limited":
            raise RateLimitedError("Too many calls.", retry_after_s=30.0)
        if fault == "signed_out":
            raise ReauthRequiredError("Signed out.")
        result = make()
        if fault == "cut" and name == "read":
            return None  # the listing ends here, and nothing says so
        if fault == "partial" and name in ("write", "delete"):
            return self._partly(result)
        if name in ("write", "delete"):
            raise TransientError("The answer did not come in time.")
        raise TransientError("The answer broke off.")

    def _partly(self, results: Any) -> Any:
        """The last record's answer is lost, although the record was written."""
        from dataclasses import replace

        lost = replace(results[-1], vendor_id=None, version=None, error=TransientError("No answer for this record."))
        return [*results[:-1], lost]

    # ------------------------------------------------------------ the ledger

    def _note_page(self, lane: Lane, ids: Any) -> None:
        self.listed.setdefault(getcurrent(), {}).setdefault(lane, []).extend(ids)

    def committed(self, lane: Lane, commit: PullCommit) -> None:
        """No cursor moves past a record without a decision about it."""
        self.planned += len(commit.decisions)
        open_ids = self.listed.get(getcurrent(), {}).get(lane, [])
        for decision in commit.decisions:
            while decision.vendor_id in open_ids:
                open_ids.remove(decision.vendor_id)
        if commit.cursor is not None and open_ids:
            raise Broken(f"the cursor moved past {open_ids} without a decision")

    # ------------------------------------------------------------ the schedule

    def run(self) -> None:
        """All steps, then quiet, then every invariant. Raises Broken."""
        from tests.simulation.checks import check_all

        try:
            for _ in range(self.steps):
                self._step()
            self._settle()
            check_all(self)
        finally:
            self._bury()

    def _step(self) -> None:
        what = self.choices.below(17)
        if what == 0:
            return  # the dullest choice: nothing happens
        if what < 8:
            self._advance(self.workers[self.choices.below(2)], self._calls())
        elif what < 12:
            self.world.act()
        elif what == 12:
            self._pass_time(self.choices.pick((1, 15, 45, 120, 600)))
        elif what == 13:
            self._kill(self.workers[self.choices.below(2)])
        elif what == 14:
            self._wake()
        elif what == 15:
            self._notify()
        else:
            self._disturb()

    def _calls(self) -> int:
        return self.choices.pick((1000, 1, 2, 3, 5, 8, 13))

    def _advance(self, worker: Worker, calls: int) -> None:
        """Let a worker make some calls; an idle one begins a pass over some lane."""
        if worker.run is None or worker.run.dead:
            lane = self.choices.pick(self.world.lanes)
            worker.run, worker.lane = greenlet(self._pass), lane
            self.world.say(f"{worker.name}: begins {self._lane_name(lane)}")
            worker.run.switch(worker.name, lane)
        for _ in range(calls):
            if worker.run.dead:
                return
            worker.run.switch()

    def _lane_name(self, lane: Lane) -> str:
        return f"{self.world.vendor_of[lane].name}/{lane.object}"

    def _pass(self, name: str, lane: Lane) -> None:
        try:
            report = self.engine.run(lane)
        except LeaseLostError:
            self.world.say(f"{name}: lost its lease of {self._lane_name(lane)}")
            return
        done = ", ".join(f"{k} {v}" for k, v in sorted(report.counts.items()) if k != "unchanged")
        self.world.say(f"{name}: ends {self._lane_name(lane)} {report.stopped} {done}".rstrip())

    def _pass_time(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    def _kill(self, worker: Worker) -> None:
        if worker.run is not None and not worker.run.dead:
            self.zombies.append(worker.run)
            self.world.say(f"{worker.name}: is killed in {self._lane_name(worker.lane)}" if worker.lane else "")
            worker.run = None

    def _wake(self) -> None:
        if self.zombies:
            zombie = self.zombies[self.choices.below(len(self.zombies))]
            self.world.say("a zombie wakes")
            for _ in range(self._calls()):
                if zombie.dead:
                    break
                zombie.switch()

    def _notify(self) -> None:
        """Notices come late, twice, in any order, and for records that are long gone."""
        lane = self.choices.pick(self.world.lanes)
        ids = sorted(i for of, i in self.world.vendor_of[lane].rows if of == lane.object)
        if ids:
            self.store.add_notices(lane, {self.choices.pick(ids): self.choices.one_in(3)})

    def _disturb(self) -> None:
        lane = self.choices.pick(self.world.lanes)
        if self.choices.one_in(2):
            self.store.pause(lane, "idle", None)
        else:
            self.world.say(f"{self._lane_name(lane)}: cursors expire")
            self.world.vendor_of[lane].expired_before = self.world.vendor_of[lane].now

    # ------------------------------------------------------------ quiet

    def _settle(self) -> None:
        """No more people, no more faults: whoever is left finishes, then passes run until nothing moves."""
        self.quiet = True
        self.world.say("--- quiet")
        for run in [*self.zombies, *(w.run for w in self.workers if w.run is not None)]:
            while not run.dead:
                run.switch()
        for lane in self.world.lanes:
            self.store.pause(lane, "idle", None)
        for _ in range(ROUNDS_MAX):
            before = self.standing()
            self.round()
            if self.standing() == before:
                return
        raise Broken("it does not fall silent")

    def round(self) -> None:
        """Ten minutes later: one pass over each lane."""
        self.world.now += timedelta(minutes=10)
        for lane in self.world.lanes:
            self._pass("quiet", lane)

    def standing(self) -> tuple[Any, ...]:
        """What must not move any more."""
        tables = self.store.tables
        writes = tuple(v.writes for t in self.world.tenants for v in t.vendors)
        due = tuple(k for k, row in tables.work.items() if not row.waiting)
        status = tuple(row.state.status for row in tables.lanes.values())
        return (
            writes,
            dict(tables.hubs),
            {k: link.base for k, link in tables.links.items()},
            due,
            status,
            len(tables.notices),
        )

    def _bury(self) -> None:
        for run in [*self.zombies, *(w.run for w in self.workers if w.run is not None)]:
            if not run.dead:
                run.throw(GreenletExit)


def simulate(choices: Choices, steps: int = 25, *, stages: bool = False, merges: bool = False) -> Simulation:
    """Run one schedule. Raises Broken (or whatever the engine lets through, which is a bug as well)."""
    sim = Simulation(choices, steps, stages, merges)
    sim.run()
    return sim
