"""Lines that workers log name the tenant and the lane, endpoint, subscription, job or record that they are about."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bootstrap import jobs as running
from bootstrap.logs import JsonFormatter, _Context
from bootstrap.wiring import Hub
from domain.access import Actor
from domain.errors import TransientError
from domain.ids import new_id
from storage import jobs, tenants
from tests.workers.conftest import Company, Make
from tests.workers.test_inboxes import received
from webhooks.inbound.processing import Processing
from webhooks.outbound.delivering import Deliverer
from workers.actors import Hint
from workers.inboxes import Inboxes
from workers.outbound import Outbound
from workers.passes import Passes

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    """What the product logged since, as it stands in the file."""
    handler = logging.FileHandler(tmp_path / "log")
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_Context())
    log = logging.getLogger("syncline")
    log.addHandler(handler)
    yield lambda: [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    log.removeHandler(handler)
    handler.close()


def all_about(told: list[dict[str, Any]], **ids: object) -> bool:
    wanted = {name: str(value) for name, value in ids.items()}
    return bool(told) and all(wanted.items() <= line.items() for line in told)


@pytest.mark.parametrize("error", [ZeroDivisionError(), TransientError("Away.")], ids=["a bug", "a failure"])
def test_a_pass(company: Make, hub: Hub, lines: Lines, error: Exception) -> None:
    a: Company = company()
    a.remote.error = error
    passes = Passes(hub)
    passes.run_lane(Hint(a.lane.tenant_id, a.lane.connection_id, a.lane.object))
    passes.close()
    assert all_about(lines(), tenant=a.lane.tenant_id, connection=a.lane.connection_id, object=a.lane.object)


def test_an_inbox_and_the_delivery_that_cannot_be_processed(
    hub: Hub, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = new_id()
    endpoint = received(hub, tenant_id, 1)
    monkeypatch.setattr(Processing, "_read", lambda *_: 1 / 0)
    Inboxes(hub, threading.Event()).process(tenant_id, endpoint)
    told = lines()
    assert all_about(told, tenant=tenant_id, endpoint=endpoint)
    assert all(UUID(line["delivery"]) for line in told)


def test_a_delivery_to_a_subscription(hub: Hub, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id, subscription_id = new_id(), new_id()
    monkeypatch.setattr(Deliverer, "run", lambda *_: 1 / 0)
    outbound = Outbound(hub)
    outbound._begin(hub.deliverer(), (tenant_id, subscription_id))
    outbound.close()
    assert all_about(lines(), tenant=tenant_id, subscription=subscription_id)


def test_a_job(hub: Hub, lines: Lines) -> None:
    with hub.db.tenant(hub.tenant_id) as conn:
        tenants.ensure(conn, hub.tenant_id)
        job = jobs.add(conn, "test", {}, Actor("system", "tests"))
    assert running.run(hub, job.id, "tests", kinds={"test": lambda _: 1 / 0}) == "failed"  # type: ignore[dict-item, return-value]
    assert all_about(lines(), tenant=hub.tenant_id, job=job.id)
