"""One thing that breaks, for a while, while deliveries come in. What it takes away it gives back."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import psycopg

from benchmarks.intake.contenders import postmaster
from workers.broker import make_broker

if TYPE_CHECKING:
    from benchmarks.intake_latency import World

AWAY_S: Final = 3.0
SILENT_S: Final = 6.5
"""Longer than a process knows an endpoint without asking again (five seconds)."""
LOCKED_S: Final = 5.0
HALVES: Final = 300
QUEUES: Final = ("notices", "polls", "backfills", "inbox", "events", "jobs")
_PIECE: Final = 65_536


class Proxy:
    """Stands before a broker. ``cut``: whoever calls is refused; ``hang``: calls are accepted, and nothing is read from them."""

    def __init__(self, target: int) -> None:
        self._target, self._hanging = target, threading.Event()
        self._lines: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._lines.add(near)
            if self._hanging.is_set():
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._lines.add(far)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while True:
                while self._hanging.is_set():
                    time.sleep(0.05)
                data = one.recv(_PIECE)
                if not data:
                    break
                while self._hanging.is_set():
                    time.sleep(0.05)
                other.sendall(data)
        for line in (one, other):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def cut(self) -> None:
        """Nobody listens any more, and every connection ends."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end()

    def hang(self) -> None:
        """Connections stay, and new ones are made; nobody reads them."""
        self._hanging.set()

    def mend(self) -> None:
        """Everything passes again, on new connections."""
        if self._hanging.is_set():
            self._end()
            self._hanging.clear()
        else:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._serve()

    def close(self) -> None:
        self._listener.close()
        self._end()

    def _end(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, set()
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class SmallDisk:
    """A file system of so many megabytes of which the database server owns a folder. Needs root. Raises RuntimeError."""

    def __init__(self, megabytes: int, owner: Path) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="syncline-small-"))
        options = f"size={megabytes}m,mode=0755"
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._place)], capture_output=True, check=False
        )
        if made.returncode != 0:
            self._place.rmdir()
            raise RuntimeError("only root can mount a small file system")
        stat = owner.stat()
        self.folder = self._place / "data"
        self.folder.mkdir(mode=0o700)
        os.chown(self.folder, stat.st_uid, stat.st_gid)

    def fill(self) -> None:
        """Take all room that is left."""
        piece = b"x" * _PIECE
        with suppress(OSError), (self._place / "filler").open("ab", buffering=0) as file:
            while file.write(piece) == len(piece):
                pass

    def free(self) -> None:
        """Give the room back."""
        (self._place / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self._place)], check=True)
        self._place.rmdir()


def nothing(_world: World) -> None:
    """For comparison."""


def worker_killed(world: World) -> None:
    """SIGKILL while it processes what comes in."""
    world.roles["worker"].kill()
    time.sleep(AWAY_S)


def scheduler_killed(world: World) -> None:
    """SIGKILL to the only one."""
    world.roles["scheduler"].kill()
    time.sleep(AWAY_S)


def broker_down(world: World) -> None:
    """Its connections end, and new ones are refused."""
    world.proxy.cut()
    try:
        time.sleep(AWAY_S)
    finally:
        world.proxy.mend()


def broker_hanging(world: World) -> None:
    """It accepts connections and neither reads nor answers."""
    world.proxy.hang()
    try:
        time.sleep(SILENT_S)
    finally:
        world.proxy.mend()


def broker_flushed(world: World) -> None:
    """Every message that waits is thrown away, ten times in a row."""
    broker = make_broker(world.broker_url)
    try:
        for _ in range(10):
            for queue in QUEUES:
                broker.declare_queue(f"syncline.{queue}")
                broker.flush(f"syncline.{queue}")
            time.sleep(AWAY_S / 10)
    finally:
        broker.close()


def database_restarting(world: World) -> None:
    """Stopped in order, and started again after a while."""
    world.server.stop()
    try:
        time.sleep(AWAY_S)
    finally:
        world.server.start()


def database_killed(world: World) -> None:
    """SIGKILL to all of its processes, then started: it has to recover."""
    with postmaster(world.hub.urls.admin) as found:
        first, others = found, found.children(recursive=True)
    first.kill()
    for process in others:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    world.server.start()


def database_hanging(world: World) -> None:
    """SIGSTOP to all of its processes: connections stay and are accepted, nothing answers."""
    with postmaster(world.hub.urls.admin) as found:
        first = found
    first.suspend()  # it starts no others from then on
    others = first.children(recursive=True)
    try:
        for process in others:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        time.sleep(SILENT_S)
    finally:
        for process in (*others, first):
            with suppress(psutil.NoSuchProcess):
                process.resume()


def inbox_locked(world: World) -> None:
    """Somebody holds the table for himself."""
    with psycopg.connect(world.hub.urls.admin) as conn:
        conn.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        time.sleep(LOCKED_S)


def table_disk_full(world: World) -> None:
    """There is no room left where the inbox lies."""
    assert world.disk is not None
    world.disk.fill()
    try:
        time.sleep(AWAY_S)
    finally:
        world.disk.free()


def log_disk_full(world: World) -> None:
    """There is no room left for the log of transactions: PostgreSQL breaks down, and is started once there is room again."""
    assert world.disk is not None
    world.disk.fill()
    try:
        _use_up_segments(world)
        time.sleep(AWAY_S)
    finally:
        world.disk.free()
        world.server.start()


def _use_up_segments(world: World) -> None:
    """Go through those that were made beforehand: the next one needs room, now and not after so many deliveries."""
    deadline = time.monotonic() + SILENT_S
    try:
        with psycopg.connect(world.hub.urls.admin, autocommit=True) as admin:
            while time.monotonic() < deadline:
                admin.execute("SELECT pg_switch_wal()")
    except psycopg.OperationalError:
        return
    raise RuntimeError("the log of transactions found room")


def half_bodies(world: World) -> None:
    """Hundreds of senders who promise a body and send half of it, again and again."""
    head = f"POST {world.target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1024\r\n\r\n".encode()
    until = time.monotonic() + SILENT_S
    while time.monotonic() < until:
        lines = []
        try:
            for _ in range(HALVES):
                line = socket.create_connection(("127.0.0.1", world.port), timeout=5)
                lines.append(line)
                line.sendall(head + b"x" * 512)
            time.sleep(SILENT_S / 2)
        finally:
            for line in lines:
                line.close()


def api_stopped(world: World) -> None:
    """SIGTERM to the process that answers; another one takes its place once it has ended."""
    world.roles["api"].stop()
    world.start("api")


@contextmanager
def small_table(world: World) -> Iterator[None]:
    """The inbox on a disk of its own, empty at first."""
    with psycopg.connect(world.hub.urls.admin, autocommit=True) as admin:
        disk = world.disk = SmallDisk(256, _data(admin))
        try:
            admin.execute("TRUNCATE inbox")
            admin.execute(f"CREATE TABLESPACE small LOCATION '{disk.folder}'")
            admin.execute("ALTER TABLE inbox SET TABLESPACE small")
            yield
            admin.execute("ALTER TABLE inbox SET TABLESPACE pg_default")
            admin.execute("DROP TABLESPACE small")
        finally:
            disk.close()


@contextmanager
def small_log(world: World) -> Iterator[None]:
    """The log of transactions on a disk of its own; everything else stays where it is."""
    with psycopg.connect(world.hub.urls.admin, autocommit=True) as admin:
        # No segments are kept for later: the next one needs room.
        admin.execute("ALTER SYSTEM SET wal_recycle = off")
        admin.execute("ALTER SYSTEM SET min_wal_size = '32MB'")
        admin.execute("SELECT pg_reload_conf()")
        admin.execute("SELECT pg_switch_wal()")
        admin.execute("CHECKPOINT")
        data = _data(admin)
    disk = world.disk = SmallDisk(1_024, data)
    log, aside = data / "pg_wal", data / "pg_wal.aside"
    world.server.stop()
    try:
        subprocess.run(["cp", "-a", f"{log}/.", str(disk.folder)], check=True)
        log.rename(aside)
        log.symlink_to(disk.folder)
        world.server.start()
        yield
    finally:
        world.server.stop()
        if log.is_symlink():
            log.unlink()
            subprocess.run(["cp", "-a", str(disk.folder), str(log)], check=True)
            subprocess.run(["rm", "-r", str(aside)], check=True)
        disk.close()
        world.server.start()
        with psycopg.connect(world.hub.urls.admin, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM RESET ALL")
            admin.execute("SELECT pg_reload_conf()")


def _data(admin: psycopg.Connection) -> Path:
    row = admin.execute("SHOW data_directory").fetchone()
    assert row is not None
    return Path(row[0])


FAULTS: Final[Mapping[str, Callable[[World], None]]] = {
    fault.__name__: fault
    for fault in (
        nothing,
        worker_killed,
        scheduler_killed,
        broker_down,
        broker_hanging,
        broker_flushed,
        database_restarting,
        database_killed,
        database_hanging,
        inbox_locked,
        half_bodies,
        api_stopped,
        table_disk_full,
        log_disk_full,
    )
}
AROUND: Final = {"table_disk_full": small_table, "log_disk_full": small_log}
"""What has to be arranged before the load begins, and put back after it."""
