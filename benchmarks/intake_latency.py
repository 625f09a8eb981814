"""The intake of webhooks at half of its highest load, while one thing after another breaks.

    python -m benchmarks.intake_latency [--seconds 14] [--clients 32] [--rate N] [--fault NAME ...]

API, worker and scheduler are processes of their own, over a RabbitMQ of this run's own. The highest rate is found of the plain
endpoint (`benchmarks.intake.plain`) and of the intake, for that once more before each stretch, as a machine that others use is not
equally fast for long; then they are loaded with half of it. Every request has its moment, and its latency counts from there,
whatever kept the sender from sending it. In each stretch one fault of `benchmarks.intake.faults` happens after three seconds.

The last line is JSON. By fault: p50, p99, p99.9 and the maximum of all answers in milliseconds; how many were 202, 503 and other;
requests that nobody answered (``refused`` connections, ``broken`` ones, ``unanswered`` to the end); ``false_202``, which were
acknowledged and are not in the inbox afterwards; ``unheard``, which are in it and were not acknowledged (the sender sends them
again, and they are known); ``back_s``, how long after the end of the fault the last answer was that was not 202; ``died``, exit
codes of processes that ended although nobody had ended them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import psycopg
from sqlalchemy import text

from benchmarks.chaos_broker import OwnRabbit
from benchmarks.intake.client import Heard, read_answers, share
from benchmarks.intake.contenders import HEADER, answers, free_port, key_of, load, requests, serving
from benchmarks.intake.faults import AROUND, FAULTS, Proxy, SmallDisk
from benchmarks.intake.plain import SECRET, TENANT, Base
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from storage import inbound_endpoints, secrets
from storage.database import make_engine
from storage.embedded import EmbeddedPostgres
from webhooks.inbound.addresses import PREFIX, ref_of

LEAD_S: Final = 3.0
HIGHEST_S: Final = 5.0
BEFORE_S: Final = 2.5
STARTED_S: Final = 4.0
"""How long processes that were just started are left alone."""
SETTLED_WITHIN_S: Final = 40.0
ENDED_WITHIN_S: Final = 60.0
ROLES: Final = ("api", "worker", "scheduler")
SETTINGS: Final[dict[str, Any]] = {
    "proof": {"kind": "hmac", "header": HEADER, "prefix": "sha256="},
    "idempotency_path": "$.id",
}


class Role:
    """A process of the product."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self._ended = False
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", name], env=environment, stdin=subprocess.DEVNULL, stdout=file,
                stderr=file,
            )  # fmt: skip

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def died(self) -> int | None:
        """What it ended with, if nobody asked it to end."""
        return None if self._ended else self._process.poll()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._ended = True
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._ended = True
        self._process.terminate()
        try:
            self._process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class World:
    """Everything that can break. ``target``: the path that is posted to at the moment."""

    work: Path
    server: EmbeddedPostgres
    hub: Hub
    proxy: Proxy
    port: int
    roles: dict[str, Role] = field(default_factory=dict)
    target: str = ""
    disk: SmallDisk | None = None

    @property
    def broker_url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.proxy.port}"

    def start(self, name: str) -> None:
        """Start a process unless it runs, and wait until the API answers."""
        if name in self.roles and self.roles[name].runs:
            return
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("SYNCLINE_", "DATABASE_", "BROKER_"))}
        given = {
            "PYTHONFAULTHANDLER": "1",
            "SYNCLINE_HOME": str(self.hub.settings.home),
            "DATABASE_URL": self.hub.urls.app,
            "BROKER_URL": self.broker_url,
            "SYNCLINE_API_PORT": str(self.port),
            "SYNCLINE_TENANT": str(TENANT),
        }
        self.roles[name] = Role(name, kept | given, self.work / f"{name}.log")
        deadline = time.monotonic() + ENDED_WITHIN_S
        while name == "api" and not answers(self.port):
            if time.monotonic() > deadline or not self.roles[name].runs:
                raise RuntimeError((self.work / "api.log").read_text()[-4_000:])
            time.sleep(0.02)

    def stop(self) -> None:
        for role in self.roles.values():
            if role.runs:
                role.stop()

    def endpoint(self, name: str) -> UUID:
        """A new endpoint, which is posted to from now on."""
        with self.hub.db.tenant(TENANT) as conn:
            made = inbound_endpoints.create(
                conn, name=f"{name} {time.monotonic_ns()}", scheme="generic", settings=SETTINGS
            )
            secrets.add(conn, self.hub.vault, made.id, {"secret": SECRET.decode()})
        self.target = PREFIX + ref_of(TENANT, made.id)
        return made.id

    def settle(self) -> None:
        """Wait until the worker has done what came before, so that every stretch begins alike."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        time.sleep(STARTED_S)
        pending = text("SELECT EXISTS (SELECT FROM inbox WHERE tenant_id = :t AND status = 'pending')")
        while time.monotonic() < deadline:
            with self.hub.db.tenant(TENANT) as conn:
                if not conn.scalar(pending, {"t": TENANT}):
                    return
            time.sleep(0.2)

    def stored(self, endpoint: UUID) -> set[str]:
        with self.hub.db.tenant(TENANT) as conn:
            given = {"t": TENANT, "e": endpoint}
            found = conn.scalars(text("SELECT dedupe_key FROM inbox WHERE tenant_id = :t AND endpoint_id = :e"), given)
            return set(found)


@contextmanager
def world(work: Path) -> Iterator[World]:
    """Database, broker, API, worker and scheduler, all of this run's own."""
    home = work / "home"
    with ExitStack() as stack:
        broker = stack.enter_context(OwnRabbit(work))
        proxy = Proxy(urlsplit(broker.url).port or 0)
        stack.callback(proxy.close)
        server = EmbeddedPostgres(home)
        hub = Hub(Settings(home=home, tenant=TENANT), pool_size=4)
        stack.callback(server.stop)
        stack.callback(hub.close)
        made = World(work, server, hub, proxy, free_port())
        stack.callback(made.stop)
        _ = hub.db
        for name in ROLES:
            made.start(name)
        yield made


def stretch(world: World, name: str, rate: float, seconds: float, clients: int) -> dict[str, Any]:
    """One fault in the middle of a load, and what was answered meanwhile. ``rate`` 0: half of what goes just before."""
    with AROUND[name](world) if name in AROUND else nullcontext():
        for role in ROLES:
            world.start(role)
        rate = rate or highest(world, clients, BEFORE_S) / 2
        world.settle()
        endpoint = world.endpoint(name)
        file, out = world.work / "requests", world.work / "answers"
        first = requests(file, int(rate * seconds * 1.1), world.target)
        command = [sys.executable, "-m", "benchmarks.intake.client", "127.0.0.1", str(world.port), str(file)]
        command += [str(clients), str(seconds), str(rate), str(out)]
        failed: list[BaseException] = []
        span = [0.0, 0.0]

        def happen() -> None:
            time.sleep(LEAD_S)
            span[0] = time.perf_counter()
            try:
                FAULTS[name](world)
            except BaseException as error:
                failed.append(error)
            span[1] = time.perf_counter()

        fault = threading.Thread(target=happen)
        fault.start()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        fault.join()
        if failed:
            raise failed[0]
        heard = read_answers(out)
        acknowledged = {key_of(first, h.number) for h in heard if h.status == "202"}
        died = {role: made.died for role, made in world.roles.items() if made.died is not None}
        figures = judged(heard, acknowledged, world.stored(endpoint), span[0], span[1])
        return figures | {"rate": round(rate), "died": died, "load_average": round(os.getloadavg()[0], 1)}


def judged(heard: list[Heard], acknowledged: set[str], stored: set[str], began: float, ended: float) -> dict[str, Any]:
    """The figures of a stretch; ``began``, ``ended``: when the fault happened."""
    took = sorted(h.at - h.due for h in heard if h.answered)
    statuses = Counter(h.status for h in heard)
    other = {status: count for status, count in statuses.items() if status not in ("202", "503")}
    return {
        "p50_ms": share(took, 0.5),
        "p99_ms": share(took, 0.99),
        "p999_ms": share(took, 0.999),
        "max_ms": share(took, 1),
        "answers": len(took),
        "202": statuses["202"],
        "503": statuses["503"],
        "other": other,
        "false_202": len(acknowledged - stored),
        "unheard": len(stored - acknowledged),
        "fault_s": round(ended - began, 2),
        "back_s": round(max([h.at - ended for h in heard if h.status != "202"], default=0.0), 2) if ended else 0.0,
    }


def plain(world: World, seconds: float, clients: int) -> dict[str, Any]:
    """The plain endpoint's highest rate, and its latencies at half of it."""
    with psycopg.connect(world.hub.urls.admin, autocommit=True) as admin:
        admin.execute("CREATE DATABASE bench")
    theirs = world.hub.urls.for_database("bench")
    engine = make_engine(theirs.admin)
    Base.metadata.create_all(engine)
    engine.dispose()
    with psycopg.connect(theirs.admin, autocommit=True) as admin:
        admin.execute("GRANT ALL ON bench_event TO PUBLIC")
    port = free_port()
    with serving(["-m", "benchmarks.intake.plain"], port, {"BENCH_URL": theirs.app, "BENCH_PORT": str(port)}) as server:
        most = load(world.work, server, theirs.admin, port, "/hooks/bench", clients, HIGHEST_S, most=20_000)
        half = load(world.work, server, theirs.admin, port, "/hooks/bench", clients, seconds, most.rps / 2)
    return {"rps": most.rps, "half_p50_ms": half.p50_ms, "half_p99_ms": half.p99_ms, "half_p999_ms": half.p999_ms}


def highest(world: World, clients: int, seconds: float) -> float:
    """Deliveries a second of the intake, as fast as it goes, worker and scheduler beside it."""
    world.endpoint("highest")
    server = psutil.Process(world.roles["api"].pid)
    theirs = world.work, server, world.hub.urls.admin, world.port, world.target, clients
    load(*theirs, 1.0)
    return load(*theirs, seconds).rps


def run(work: Path, seconds: float, clients: int, rate: float, names: list[str]) -> dict[str, Any]:
    """All of it; ``work``: an empty folder."""
    with world(work) as made:
        told: dict[str, Any] = {"load_average": [round(os.getloadavg()[0], 1)]}
        if not rate:
            told["plain"] = plain(made, seconds, clients)
            told["rps"] = highest(made, clients, HIGHEST_S)
            print(json.dumps(told), flush=True)
        told["faults"] = {}
        for name in names:
            found = told["faults"][name] = stretch(made, name, rate, seconds, clients)
            print(f"{name:20} {json.dumps(found)}", flush=True)
        told["load_average"].append(round(os.getloadavg()[0], 1))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=14, help="of each stretch")
    parser.add_argument("--clients", type=int, default=32, help="connections")
    parser.add_argument("--rate", type=float, default=0, help="deliveries a second, instead of half of the highest")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="one of them, instead of all")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o711)
        names = given.fault or list(FAULTS)
        print(json.dumps(run(Path(folder), given.seconds, given.clients, given.rate, names)))


if __name__ == "__main__":
    main()
