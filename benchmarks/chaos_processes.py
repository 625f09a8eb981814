"""The product's own processes in a chaos run: started, killed with SIGKILL, started again."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from types import TracebackType

from benchmarks.chaos_broker import OwnBroker
from benchmarks.chaos_world import World
from workers.broker import make_broker

WORKERS = 2
_STOP_S = 30.0


class Processes:
    """With a broker: two workers and a scheduler. Without: two processes that each do both. Stops all of them at the end."""

    def __init__(self, world: World, broker: str | None, own: OwnBroker | None = None) -> None:
        self._world, self._own, self._broker = world, own, broker if own is None else own.url
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._next = 0
        self.kills = self.restarts = 0

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def names(self) -> list[str]:
        workers = [f"worker-{n}" for n in range(WORKERS)]
        return workers if self._broker is None else [*workers, "scheduler"]

    def start(self) -> None:
        """Start whatever does not run, the broker first."""
        if self._own is not None and not self._own.runs:
            self._own.start()
            self.restarts += 1
        for name in self.names:
            process = self._running.get(name)
            if process is None or process.poll() is not None:
                self._running[name] = self._spawn(name)

    revive = start

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        role = "up" if self._broker is None else name.partition("-")[0]
        argv = self._world.argv(role, "--json", "--health-every", "10")
        with (self._world.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env=self._world.environment(self._broker),
            )  # fmt: skip

    def kill_a_worker(self) -> str:
        """SIGKILL to the workers in turn; nothing of the process gets a chance to tidy up."""
        name = f"worker-{self._next % WORKERS}"
        self._next += 1
        process = self._running[name]
        process.kill()
        process.wait()
        self.kills += 1
        return f"{name} killed"

    def restart_database(self) -> str:
        """Stop PostgreSQL under everybody's hands, and start it again."""
        self._world.hub.server.stop()
        self._world.hub.server.start()
        self.restarts += 1
        return "PostgreSQL restarted"

    def disturb_the_broker(self, rng: random.Random) -> str:
        """Throw away every message that waits; one of the run's own may be killed or stopped instead, until `revive`."""
        if self._broker is None:
            return ""
        if self._own is None:
            self._empty(self._broker)
            return "broker emptied"
        what = rng.choice(("killed", "stopped", "emptied"))
        if what == "emptied":
            self._empty(self._broker)
        else:
            (self._own.kill if what == "killed" else self._own.stop)()
        return f"{self._own.name} {what}"

    def _empty(self, url: str) -> None:
        broker = make_broker(url)
        for queue in ("notices", "polls", "backfills", "inbox", "events", "jobs"):
            broker.declare_queue(f"syncline.{queue}")
            broker.flush(f"syncline.{queue}")
        broker.close()

    def pause(self, seconds: float) -> None:
        """Let things run for a while."""
        time.sleep(seconds)
