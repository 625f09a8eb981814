"""A hub of its own to measure in: an embedded server, one tenant, and streams of stand-in vendors."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psutil
import psycopg

from benchmarks.vendors import MemoryVendor, port_of
from domain.ids import new_id
from storage import connections, streams, tenants
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.schema import upgrade
from storage.streams import Stream
from sync_engine.engine import Engine, Pass, Report, Settings
from sync_engine.ports import Lane
from sync_engine.postgres import PostgresSyncStore
from sync_engine.vendor import ConnectorObject

TENANT = UUID("0192d3a0-0000-7000-8000-000000000001")


@dataclass
class Took:
    """Seconds of one stretch of work: by the clock, of this process's processor time, and of the database server's."""

    wall: float = 0.0
    ours: float = 0.0
    server: float = 0.0

    @property
    def cpu(self) -> float:
        return self.ours + self.server

    def __str__(self) -> str:
        return f"{self.wall:.2f} s (processor: {self.ours:.2f} s Python, {self.server:.2f} s PostgreSQL)"


@dataclass
class BenchHub:
    """A database, an engine and the vendors' sides of its lanes."""

    db: Database
    admin: str
    work: Path
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.store = PostgresSyncStore(self.db)
        self.ports: dict[Lane, ConnectorObject] = {}
        self.engine = Engine(self.store, self.ports.__getitem__, lambda: datetime.now(UTC), self.settings)

    def connect(self, vendor: MemoryVendor) -> Lane:
        """Keep the vendor's object in step from now on."""
        return self.keep(port_of(vendor, TENANT))

    def keep(self, port: ConnectorObject) -> Lane:
        """Keep an object in step from now on, as a connection of its own."""
        connection_id, vendor = new_id(), port.connector.manifest.name
        lane = Lane(TENANT, connection_id, port.object)
        with self.db.tenant(TENANT) as conn:
            connections.create(conn, connection_id, vendor=vendor, name=f"{vendor} {len(self.ports)}")
            writes = tuple(sorted(port.rules.writes))
            streams.put(conn, Stream(connection_id, port.object, port.rules.entity, True, writes, port.id_order))
        self.ports[lane] = port
        return lane

    def begin_resync(self, lane: Lane) -> None:
        """Let the lane's next pass compare everything."""
        lease = self.store.take(lane, "bench", datetime.now(UTC), datetime.now(UTC) + timedelta(minutes=1))
        assert lease is not None
        Pass(self.store, self.ports[lane], lease, lambda: datetime.now(UTC), self.settings, Report()).begin_resync(
            "bench"
        )
        self.store.release(lease)

    @contextmanager
    def timed(self) -> Iterator[Took]:
        """Seconds of the block. The server's are those of its backends, which live through it, and of its helpers."""
        took, own, server, started = Took(), time.process_time(), self._server_s(), time.monotonic()
        yield took
        took.wall, took.ours = time.monotonic() - started, time.process_time() - own
        took.server = self._server_s() - server

    def _server_s(self) -> float:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            pids = connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
        return sum(_cpu_s(pid) for (pid,) in pids)

    def settle(self) -> None:
        """What a server does by itself after a bulk load, done now: statistics, visibility, a checkpoint."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


@contextmanager
def bench_hub(settings: Settings | None = None) -> Iterator[BenchHub]:
    """A hub on a fresh embedded server, destroyed with its data afterwards."""
    work = Path(tempfile.mkdtemp(prefix="syncline-bench-"))
    server = EmbeddedPostgres(work / "home")
    try:
        urls = server.start()
        upgrade(urls.admin)
        with Database(urls.app) as db:
            with db.tenant(TENANT) as conn:
                tenants.ensure(conn, TENANT, "Benchmark")
            yield BenchHub(db, urls.admin, work, settings or Settings())
    finally:
        server.destroy()
        shutil.rmtree(work, ignore_errors=True)


def machine() -> str:
    """What the figures were measured on, in a line."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load} at the start"
