"""The real server process: killed under load, or without its database, it has acknowledged nothing that is not stored."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx2 as httpx
import pytest

from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from storage import inbox
from storage.embedded import EmbeddedPostgres, ServerUrls
from storage.inbox import Became
from storage.vault import MasterKeys
from tests.api.intake_calls import Address, post
from tests.conftest import PATIENT_S
from webhooks.inbound.processing import Processing

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serving(home: Path, url: str | None, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`syncline api` on a free port, and its address. ``more``: further variables of its environment."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("SYNCLINE_", "DATABASE_", "BROKER_"))}
    environment = {**kept, "SYNCLINE_HOME": str(home), "SYNCLINE_API_PORT": "0", "PYTHONPATH": str(ROOT)}
    environment |= {"SYNCLINE_WEBHOOK_ANSWER_WITHIN_S": PATIENT_S, **more}
    if url is not None:
        environment["DATABASE_URL"] = url
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "api"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = ""
            while not line.startswith("Listening on "):
                line = process.stdout.readline()
                assert line, "the server ended before it listened"
            yield process, line.removeprefix("Listening on ").strip()
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def hub(database_urls: ServerUrls, tmp_path: Path) -> Iterator[Hub]:
    home = tmp_path / "home"
    home.mkdir()
    MasterKeys.load(home)
    hub = Hub(Settings(home=home, DATABASE_URL=database_urls.app), pool_size=3)  # type: ignore[arg-type, call-arg]
    yield hub
    hub.close()


async def sender(address: Address, url: str, name: str, acknowledged: list[str], most: int = 10_000) -> None:
    """Post one after the other until the server is gone; note what was acknowledged."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        for number in range(most):
            body = post(f"{name}-{number}", filler="x" * 500)
            try:
                answer = await client.post(address.path, content=body, headers=address.signed(body))
            except httpx.HTTPError:
                return
            if answer.status_code == 202:
                acknowledged.append(f"{name}-{number}")


async def _so_many(acknowledged: list[str], count: int, senders: list[asyncio.Task[None]]) -> None:
    while len(acknowledged) < count:
        assert not all(sender.done() for sender in senders), "the server is gone"
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("after", [20, 90, 200])
def test_everything_that_was_acknowledged_before_a_kill_is_stored_once(hub: Hub, tenant_id: UUID, after: int) -> None:
    address = Address.make(hub, tenant_id)
    acknowledged: list[str] = []

    async def load(process: subprocess.Popen[str], url: str) -> None:
        senders = [asyncio.create_task(sender(address, url, f"s{n}", acknowledged)) for n in range(16)]
        await _so_many(acknowledged, after, senders)
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*senders)

    with serving(hub.settings.home, hub.urls.app) as (process, url):
        asyncio.run(load(process, url))
    stored = address.keys()
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


def test_told_to_stop_it_answers_what_is_under_way(hub: Hub, tenant_id: UUID) -> None:
    address = Address.make(hub, tenant_id)
    acknowledged: list[str] = []

    async def load(process: subprocess.Popen[str], url: str) -> None:
        senders = [asyncio.create_task(sender(address, url, f"s{n}", acknowledged)) for n in range(8)]
        await _so_many(acknowledged, 30, senders)
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*senders)

    with serving(hub.settings.home, hub.urls.app) as (process, url):
        asyncio.run(load(process, url))
        process.wait(60)
    assert sorted(address.keys()) == sorted(acknowledged)


def test_without_its_broker_it_accepts_and_what_it_stored_is_processed_later(hub: Hub, tenant_id: UUID) -> None:
    address = Address.make(hub, tenant_id)
    acknowledged: list[str] = []
    with serving(hub.settings.home, hub.urls.app, BROKER_URL="amqp://guest:guest@127.0.0.1:1") as (process, url):
        asyncio.run(sender(address, url, "s", acknowledged, most=20))
        assert process.poll() is None
    assert address.keys() == acknowledged == [f"s-{n}" for n in range(20)]
    now = datetime.now(UTC)
    with hub.db.tenant(tenant_id) as conn:
        assert inbox.tell_due(conn, now) == [address.id]
    assert Processing(hub.db).process(tenant_id, address.id) == {Became.KEPT: 20}


def test_without_its_database_it_asks_to_come_again_and_recovers_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    server = EmbeddedPostgres(home)
    hub = Hub(Settings(home=home), pool_size=2)
    try:
        address = Address.make(hub, hub.tenant_id)
        with serving(home, hub.urls.app) as (_, url):
            asyncio.run(_interrupted(server, address, url))
        assert address.keys() == ["before", "after"]
    finally:
        hub.close()
        with suppress(Exception):
            server.stop()


async def _interrupted(server: EmbeddedPostgres, address: Address, url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def posted(key: str) -> httpx.Response:
            body = post(key)
            return await client.post(address.path, content=body, headers=address.signed(body))

        assert (await posted("before")).status_code == 202
        await asyncio.to_thread(server.stop)
        away = await posted("away")
        assert (away.status_code, int(away.headers["retry-after"]) > 0) == (503, True)
        await asyncio.to_thread(server.start)
        for _ in range(50):
            answer = await posted("after")
            if answer.status_code == 202:
                return
            assert answer.status_code == 503
            await asyncio.sleep(0.2)
    raise AssertionError("it did not recover")
