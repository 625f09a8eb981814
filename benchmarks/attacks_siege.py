"""A running API for attacks on it (`benchmarks.attacks`): the server, who attacks it, and what held."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import httpx
import psutil

from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from domain.access import SYSTEM_TENANT
from domain.ids import new_id
from storage import api_keys, tenants
from tests.api.issuer import AUDIENCE, ISSUER, rsa
from tests.api.samples import Operation, example

CALLS_AT_ONCE = 20
FAILURES_PER_MINUTE = 2


@dataclass
class Siege:
    """The server under attack, with keys of an attacker (tenant administrator) and of others.

    ``strict``: another one over the same data, whose limits are low enough to be reached.
    """

    port: int
    http: httpx.Client
    strict: httpx.Client
    tenant: UUID
    other: UUID
    key: str
    root: str
    hub: Hub

    def call(self, operation: Operation, ids: dict[str, str], token: str, body: Any = None, **headers: str) -> int:
        body = example(operation.body) if body is None and operation.body is not None else body
        auth = {"Authorization": f"Bearer {token}"} if token else {}
        return self.http.request(
            operation.method,
            operation.address(ids),
            json=body,
            headers={**auth, **headers},
            params=operation.query,
        ).status_code

    def key_for(self, operation: Operation) -> str:
        return self.key if operation.role == "tenant_admin" else self.root

    def raw(self, data: bytes | Iterator[bytes], wait_s: float = 5.0) -> bytes:
        """Send bytes as they are; all that comes back until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as line:
            with suppress(ConnectionError, TimeoutError):
                for piece in [data] if isinstance(data, bytes) else data:
                    line.sendall(piece)
            answer = b""
            with suppress(ConnectionError, TimeoutError):
                while piece := line.recv(65_536):
                    answer += piece
                    if len(answer) > 1 << 20:
                        break
                    line.settimeout(1.0)
            return answer


@dataclass
class Score:
    """What was tried, and what did not hold."""

    attacks: int = 0
    failed: list[str] = field(default_factory=list)

    def expect(self, name: str, got: object, *expected: object) -> None:
        self.attacks += 1
        if got not in expected:
            self.failed.append(f"{name}: {got!r} instead of {' or '.join(map(repr, expected))}")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def rest(line: socket.socket) -> bytes:
    """All that comes until the server closes, or until the time of the connection is over."""
    answer = b""
    with suppress(ConnectionError, TimeoutError):
        while piece := line.recv(65_536):
            answer += piece
    return answer


def trickled(line: socket.socket, piece: bytes) -> bytes:
    """Send a little every second until the server closes; what it said."""
    with suppress(ConnectionError), line:
        while True:
            line.sendall(piece)
            line.settimeout(1.0)
            with suppress(TimeoutError):
                return line.recv(65_536) + rest(line)
    return b""


def status(answer: bytes) -> int:
    """The status of a raw answer; 0 where the server hung up without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@contextmanager
def besieged(home: Path) -> Iterator[tuple[Siege, psutil.Process]]:
    """A server with two tenants, an attacker in one of them, and a trusted issuer of tokens."""
    jwks = home / "jwks.json"
    jwks.write_text(json.dumps({"keys": [rsa("k1").as_dict(private=False)]}))
    hub = Hub(Settings(home=home))
    mine, other = new_id(), new_id()
    for tenant_id in (mine, other):
        with hub.db.tenant(tenant_id) as conn:
            tenants.ensure(conn, tenant_id, "Tenant")
    with hub.db.tenant(mine) as conn:
        key = api_keys.create(conn, name="attacker", role="tenant_admin", created_by="attacks")[1]
    with hub.db.tenant(SYSTEM_TENANT) as conn:
        root = api_keys.create(conn, name="root", role="system_admin", created_by="attacks")[1]
    port, strict_port = _free_port(), _free_port()
    variables = {
        "SYNCLINE_HOME": str(home),
        "SYNCLINE_OIDC_ISSUERS": f"{ISSUER}={jwks}",
        "SYNCLINE_OIDC_AUDIENCE": AUDIENCE,
        "SYNCLINE_CALLS_AT_ONCE": "1000000",
        "SYNCLINE_FAILURES_PER_MINUTE": "1000000",
    }
    low = {
        "SYNCLINE_CALLS_AT_ONCE": str(CALLS_AT_ONCE),
        "SYNCLINE_CALLS_PER_MINUTE": "1",
        "SYNCLINE_FAILURES_PER_MINUTE": str(FAILURES_PER_MINUTE),
    }
    server, strict_server = _server(port, variables), _server(strict_port, variables | low)
    try:
        with _client(port) as http, _client(strict_port) as strict:
            _await(http, server)
            _await(strict, strict_server)
            yield Siege(port, http, strict, mine, other, key, root, hub), psutil.Process(server.pid)
    finally:
        for process in (server, strict_server):
            process.terminate()
            process.wait(30)
        hub.close()
        hub.server.destroy()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _server(port: int, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.attacks_server", str(port)]
    return subprocess.Popen(command, env={**os.environ, **variables})


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)


def _await(http: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(httpx.TransportError):
            if http.get("/health/ready").status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("the server did not start")


@contextmanager
def watched(process: psutil.Process) -> Iterator[list[float]]:
    """The process' memory in MB, ten times a second."""
    seen = [process.memory_info().rss / 1e6]
    over = Event()

    def look() -> None:
        while not over.wait(0.1):
            with suppress(psutil.Error):
                seen.append(process.memory_info().rss / 1e6)

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    yield seen
    over.set()
    watcher.join()
