"""Endpoints of tests: real HTTP servers in this process, a clock that is set by hand, and the relay and deliverer over them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from connectors.kit.outward import AllowList, Poster
from storage import change_feed, secrets, subscriptions
from storage.database import Connection, Database
from storage.subscriptions import Subscription
from storage.vault import MasterKeys, Vault
from webhooks.outbound import signing
from webhooks.outbound.delivering import SECRET, Deliverer
from webhooks.outbound.relay import Relay

LOOPBACK = AllowList.parse(["127.0.0.0/8"])
PATIENCE_S = 30.0


@dataclass
class Received:
    """One request as the endpoint got it."""

    headers: dict[str, str]
    body: str
    path: str

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Endpoint:
    """An endpoint that answers as told: ``answers`` by turns (status, headers, body), then 204."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    before: Callable[[Received], None] = lambda _: None

    def fails(self, times: int, status: int = 500, **headers: str) -> None:
        self.answers += [(status, {k.replace("_", "-"): v for k, v in headers.items()}, b"no")] * times

    @property
    def events(self) -> list[dict[str, Any]]:
        return [r.event for r in self.received]


@pytest.fixture
def endpoints() -> Iterator[Callable[[], Endpoint]]:
    """``endpoints()``: another endpoint of somebody's, on this machine."""
    servers: list[ThreadingHTTPServer] = []

    def make() -> Endpoint:
        endpoint = Endpoint()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                got = Received({k.lower(): v for k, v in self.headers.items()}, body, self.path)
                endpoint.received.append(got)
                endpoint.before(got)
                status, headers, answer = endpoint.answers.pop(0) if endpoint.answers else (204, {}, b"")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        endpoint.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
        return endpoint

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def endpoint(endpoints: Callable[[], Endpoint]) -> Endpoint:
    return endpoints()


@dataclass
class Clock:
    """Time that passes when it is told to."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def vault() -> Vault:
    return Vault(MasterKeys("k", {"k": bytes(range(32))}))


@dataclass
class Hooks:
    """A tenant whose events are told: relay, deliverer and what a test asks of them."""

    db: Database
    tenant_id: UUID
    vault: Vault
    clock: Clock
    relay: Relay
    deliverer: Deliverer

    def subscribe(self, url: str, *types: str, **more: Any) -> Subscription:
        given = {"name": "theirs", "url": url, "types": types or ("*",), **more}
        with self.db.tenant(self.tenant_id) as conn:
            made = subscriptions.create(conn, created_by="tests", **given)
            secrets.add(conn, self.vault, made.id, {SECRET: signing.new_secret()})
        return made

    def get(self, subscription: Subscription) -> Subscription:
        with self.db.tenant(self.tenant_id) as conn:
            return subscriptions.get(conn, subscription.id)

    def tell(self) -> int:
        """Relay everything that is committed by now, whatever other tests on the same server keep open for a moment."""
        with self.db.tenant(self.tenant_id) as conn:
            end = conn.scalar(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")) or 0
        self.reach(end)
        return self.relay.run(self.tenant_id)

    def reach(self, xid: int) -> None:
        waited = threading.Event()
        for _ in range(int(PATIENCE_S / 0.01)):
            with self.db.tenant(self.tenant_id) as conn:
                if change_feed.horizon(conn) > xid:
                    return
            waited.wait(0.01)
        raise AssertionError("the horizon does not move: somebody keeps a transaction open")

    def send(self, subscription: Subscription) -> int:
        """Send until nothing is due."""
        total = 0
        while tried := self.deliverer.run(self.tenant_id, subscription.id):
            total += tried
        return total

    def rows(self, statement: str, **given: Any) -> list[Any]:
        with self.db.tenant(self.tenant_id) as conn:
            return list(conn.execute(text(statement), given).all())


def hooks_of(db: Database, tenant_id: UUID, vault: Vault, clock: Clock, poster: Poster | None = None) -> Hooks:
    deliverer = Deliverer(db, vault, poster or Poster(LOOPBACK, total_s=3.0), clock, jitter=lambda: 0.0)
    return Hooks(db, tenant_id, vault, clock, Relay(db, clock, page=50), deliverer)


@pytest.fixture
def hooks(db: Database, tenant_id: UUID, vault: Vault, clock: Clock) -> Hooks:
    return hooks_of(db, tenant_id, vault, clock)


@pytest.fixture
def conn(db: Database, tenant_id: UUID) -> Iterator[Connection]:
    """One transaction of the tenant, which commits at the test's end."""
    with db.tenant(tenant_id) as conn:
        yield conn
