"""Runs of a load on one of the contenders, and what each cost in processor time."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg

from benchmarks.intake.plain import SECRET
from storage.embedded import programs

HEADER = "x-signature"
_BODY = b'{"id":"%032x","name":"Ada","filler":"%s"}'
_FILLER = b"x" * (1_024 - len(_BODY % (0, b"")))
_SINGLE = """
INSERT INTO bench_plain (id, dedupe_key, body) VALUES (gen_random_uuid(), gen_random_uuid()::text, decode('{body}', 'base64'));
"""


@dataclass(frozen=True)
class Run:
    """Deliveries a second, their latencies, and microseconds of processor time a delivery."""

    rps: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    max_ms: float = 0.0
    server_us: float = 0.0
    postgres_us: float = 0.0
    client_us: float = 0.0
    client_share: float = 0.0

    @property
    def cpu_us(self) -> float:
        """All that one delivery costs the machine, its client included."""
        return self.server_us + self.postgres_us + self.client_us


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def requests(path: Path, count: int, target: str) -> int:
    """A file of signed requests of a kilobyte each; returns the first one's id (see `key_of`)."""
    first, keyed = uuid4().int, hmac.new(SECRET, digestmod=hashlib.sha256)
    head = (
        f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: 1024\r\n{HEADER}: sha256=%s\r\n\r\n"
    ).encode()
    with path.open("wb") as file:
        for number in range(count):
            body = _BODY % ((first + number) % 2**128, _FILLER)
            signed = keyed.copy()
            signed.update(body)
            request = head % signed.hexdigest().encode() + body
            file.write(len(request).to_bytes(4, "big") + request)
    return first


def key_of(first: int, number: int) -> str:
    """What the inbox knows a request by, the one at ``number`` in a file that began with ``first``."""
    return f"id:{(first + number) % 2**128:032x}"


@contextmanager
def serving(command: list[str], port: int, environment: dict[str, str]) -> Iterator[psutil.Process]:
    """A server in a process of its own, from its first accepted connection on."""
    process = subprocess.Popen([sys.executable, *command], env=os.environ | environment)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} does not listen")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def answers(port: int) -> bool:
    """Does a server answer there? A socket may listen before anybody serves on it."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(b"GET /hooks/nobody HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return sock.recv(12).startswith(b"HTTP/1.1")
    except OSError:
        return False


def load(
    work: Path,
    server: psutil.Process,
    admin: str,
    port: int,
    target: str,
    clients: int,
    seconds: float,
    rate: float = 0,
    most: int = 0,
) -> Run:
    """Post for so many seconds, as fast as it goes or at a rate; every answer has to be 202."""
    path = work / "requests"
    requests(path, most or int((rate or 12_000) * seconds * 1.2), target)
    command = [sys.executable, "-m", "benchmarks.intake.client", "127.0.0.1", str(port), str(path)]
    command += [str(clients), str(seconds), *([str(rate)] if rate else [])]
    with postmaster(admin) as postgres:
        before = spent_s(server), spent_s(postgres)
        told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        after = spent_s(server), spent_s(postgres)
    assert set(told["statuses"]) == {"202"}, told
    count = told["statuses"]["202"]
    return Run(
        told["rps"],
        told["p50_ms"],
        told["p99_ms"],
        told["p999_ms"],
        told["max_ms"],
        *(round((late - early) / count * 1e6, 1) for early, late in zip(before, after, strict=True)),
        round(told["processor_s"] / count * 1e6, 1),
        told["processor_share"],
    )


def pgbench(work: Path, admin: str, clients: int, seconds: float) -> Run:
    """Single-row commits of a kilobyte by PostgreSQL's own benchmark."""
    bundled = programs.bundled()
    binary = bundled.root / "bin" / "pgbench"
    (work / "script.sql").write_text(_SINGLE.format(body="A" * 1_368))
    command = [str(binary), "-n", "-f", str(work / "script.sql"), "-c", str(clients), "-j", "2", "-M", "prepared"]
    command += ["-T", str(int(seconds)), admin]
    environment = os.environ | {"LD_LIBRARY_PATH": str(bundled.libraries)}
    with postmaster(admin) as postgres:
        before, children = spent_s(postgres), _children_s()
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
        after, grown = spent_s(postgres), _children_s()
    tps = float(told.split("tps = ")[1].split(" ")[0])
    count = int(told.split("transactions actually processed: ")[1].split()[0].partition("/")[0])
    return Run(
        round(tps, 1),
        postgres_us=round((after - before) / count * 1e6, 1),
        client_us=round((grown - children) / count * 1e6, 1),
    )


@contextmanager
def postmaster(admin: str) -> Iterator[psutil.Process]:
    """The server's first process: the parent of all others."""
    with psycopg.connect(admin) as connection:
        backend = psutil.Process(connection.info.backend_pid).parent()
        assert backend is not None
        yield backend


def spent_s(process: psutil.Process) -> float:
    """Processor time of a process and all that it started, those that ended included."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
