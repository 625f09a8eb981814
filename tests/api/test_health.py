"""Readiness when what is needed is away: said, without saying what."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from bootstrap.settings import Settings
from bootstrap.wiring import Hub


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("away", ["database", "broker"])
def test_a_process_that_cannot_work_is_not_ready(hub: Hub, tmp_path: Path, away: str) -> None:
    if away == "database":
        url = f"postgresql://hub:s3cret@127.0.0.1:{free_port()}/none"
        broken = Hub(Settings(home=tmp_path, DATABASE_URL=SecretStr(url)))  # type: ignore[call-arg]
    else:
        broker = SecretStr(f"amqp://hub:s3cret@127.0.0.1:{free_port()}")
        broken = Hub(hub.settings.model_copy(update={"broker_url": broker}))
        broken.__dict__.update(db=hub.db, urls=hub.urls)
    with TestClient(create_app(broken)) as client:
        reply = client.get("/health/ready")
        assert (reply.status_code, reply.json()) == (503, {"status": "not_ready"})
        assert client.get("/health/live").status_code == 200
