"""Workers tell events: found by the sweep, sent by threads of their own, so that no endpoint keeps another one waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from domain.access import Actor
from storage.sync import records
from storage.tenants import ensure
from webhooks.outbound.service import Subscriptions
from workers.outbound import Outbound
from workers.service import Service

PATIENCE_S = 60.0


def wait_until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        threading.Event().wait(0.01)


class Endpoint:
    """An endpoint that answers once ``open`` is set."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.received: list[str] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                endpoint.open.wait(10)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow": "127.0.0.1", "webhook_threads": 4})


@pytest.fixture
def endpoints() -> Iterator[Callable[[], Endpoint]]:
    made: list[Endpoint] = []

    def make() -> Endpoint:
        made.append(Endpoint())
        return made[-1]

    yield make
    for endpoint in made:
        endpoint.open.set()
        endpoint.server.shutdown()
        endpoint.server.server_close()


def listen(hub: Hub, url: str) -> UUID:
    with hub.db.tenant(hub.tenant_id) as conn:
        ensure(conn, hub.tenant_id)
        service = Subscriptions(conn, hub.vault, hub.webhook_allow, Actor("system", "tests"))
        return service.create({"name": "n", "url": url, "types": ["*"]})[0].id


def happen(hub: Hub, number: int) -> None:
    for n in range(number):
        with hub.db.tenant(hub.tenant_id) as conn:
            records.create(conn, hub.tenant_id, "contact", {"last_name": f"P{n}"}, "tests")


def delivered(hub: Hub, subscription: UUID) -> int:
    with hub.db.tenant(hub.tenant_id) as conn:
        query = text("SELECT count(*) FROM webhook_delivery WHERE subscription_id = :s AND status = 'delivered'")
        return int(conn.scalar(query, {"s": subscription}) or 0)


def test_a_slow_endpoint_keeps_no_other_one_waiting(hub: Hub, endpoints: Callable[[], Endpoint]) -> None:
    slow, quick = endpoints(), endpoints()
    quick.open.set()
    waits, goes = listen(hub, slow.url), listen(hub, quick.url)
    happen(hub, 50)
    outbound = Outbound(hub)

    def all_gone() -> bool:
        outbound.run(hub.tenant_id)
        return delivered(hub, goes) == 50

    wait_until(all_gone, "the quick endpoint")
    assert delivered(hub, waits) == 0
    assert 1 <= len(slow.received) <= 2
    slow.open.set()
    wait_until(lambda: outbound.run(hub.tenant_id) or delivered(hub, waits) == 50, "the slow endpoint")
    outbound.close()
    assert len(slow.received) == len(quick.received) == 50


def test_a_process_tells_what_happens_by_itself_and_stops_in_order(hub: Hub, endpoints: Callable[[], Endpoint]) -> None:
    endpoint = endpoints()
    endpoint.open.set()
    subscription = listen(hub, endpoint.url)
    service = Service(hub)
    service.start()
    try:
        happen(hub, 5)
        wait_until(lambda: delivered(hub, subscription) == 5, "deliveries")
        assert service.health().counts["deliveries tried"] == 5
    finally:
        assert service.stop()
    happen(hub, 1)
    service.outbound.run(hub.tenant_id)
    assert len(endpoint.received) == 5
