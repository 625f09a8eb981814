"""What was stored is processed, whether anybody was told or not; telling never blocks and never piles up."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from bootstrap.wiring import Hub
from domain.ids import new_id
from storage import inbound_endpoints, inbox, tenants
from storage.tables import inbox as inbox_table
from tests.webhooks.schemes.senders import ORGANIZATION, outbound_message
from tests.workers.conftest import Company, Make
from workers.actors import Hint
from workers.fairness import Kind
from workers.inboxes import Inboxes, Teller
from workers.passes import Passes
from workers.service import Service

WITHIN_S = 60
LEADS = {
    "proof": {"kind": "api_key"}, "entity": "lead", "fields": {"email": "$.email", "last_name": "$.name"},
}  # fmt: skip


def received(hub: Hub, tenant_id: UUID, count: int) -> UUID:
    """An endpoint with so many posts that wait."""
    with hub.db.tenant(tenant_id) as conn:
        tenants.ensure(conn, tenant_id)
        endpoint = inbound_endpoints.create(conn, name="forms", scheme="generic", settings=LEADS).id
        for number in range(count):
            conn.execute(
                inbox_table.insert().values(
                    tenant_id=tenant_id,
                    id=new_id(),
                    endpoint_id=endpoint,
                    dedupe_key=str(number),
                    body=json.dumps({"email": f"{number}@example.com", "name": "Lovelace"}).encode(),
                )
            )
    return endpoint


def ledger(hub: Hub, tenant_id: UUID) -> inbox.Ledger:
    with hub.db.tenant(tenant_id) as conn:
        return inbox.ledger(conn)


def until(true: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline, "it never came to it"
        time.sleep(0.02)


def test_a_sweep_finds_what_nobody_told_of_at_every_tenant(hub: Hub) -> None:
    everyone = [new_id(), new_id()]
    for tenant_id in everyone:
        received(hub, tenant_id, 3)
    service = Service(hub)
    service.start()
    try:
        until(lambda: all(ledger(hub, tenant).by_outcome == {"applied": 3} for tenant in everyone))
    finally:
        assert service.stop()
    assert service.health().counts["webhooks"] == 6


def test_a_worker_that_stops_leaves_the_rest_where_it_is(hub: Hub) -> None:
    tenant_id, stopping = new_id(), threading.Event()
    endpoint = received(hub, tenant_id, 2)
    stopping.set()
    Inboxes(hub, stopping).process(tenant_id, endpoint)
    assert ledger(hub, tenant_id).pending == 2


def test_old_deliveries_are_deleted_and_stay_counted(hub: Hub) -> None:
    tenant_id = new_id()
    endpoint = received(hub, tenant_id, 2)
    Inboxes(hub, threading.Event()).process(tenant_id, endpoint)
    later = datetime.now(UTC) + timedelta(days=hub.settings.inbox_kept_days + 1)
    Inboxes(hub, threading.Event(), clock=lambda: later).purge(tenant_id)
    with hub.db.tenant(tenant_id) as conn:
        assert inbox.entries(conn) == []
    assert ledger(hub, tenant_id) == inbox.Ledger(2, 0, {"applied": 2})


def test_telling_does_not_wait_for_the_broker_and_names_each_endpoint_once_however_often() -> None:
    tenant_id, endpoint, sent = new_id(), new_id(), list[tuple[UUID, UUID]]()
    free = threading.Event()

    def send(tenant: UUID, named: UUID) -> None:
        free.wait(WITHIN_S)
        sent.append((tenant, named))

    tell = Teller(send)
    for _ in range(10_000):
        tell({(tenant_id, endpoint)})
    assert sent == []
    free.set()
    until(lambda: sent)
    tell.close()
    assert set(sent) == {(tenant_id, endpoint)}
    assert len(sent) <= 3


def noticed(company: Company, messages: int, notices: int, vendor_ids: tuple[str, ...] = ("00000",)) -> None:
    """So many messages came, each with so many notices, of these records in turn; they are followed."""
    tenant_id, hub = company.lane.tenant_id, company.hub
    with hub.db.tenant(tenant_id) as conn:
        endpoint = inbound_endpoints.create(
            conn, name=f"vendor {new_id()}", scheme="salesforce_outbound", settings={"organization_id": ORGANIZATION},
            connection_id=company.lane.connection_id,
        ).id  # fmt: skip
        for message in range(messages):
            told = [(f"{message}-{n}", "Person", vendor_ids[n % len(vendor_ids)]) for n in range(notices)]
            conn.execute(
                inbox_table.insert().values(
                    tenant_id=tenant_id, id=new_id(), endpoint_id=endpoint, dedupe_key=str(message), body=outbound_message(*told)
                )
            )  # fmt: skip
    Inboxes(hub, threading.Event()).process(tenant_id, endpoint)
    assert ledger(hub, tenant_id).pending == 0


@pytest.mark.parametrize(("messages", "notices"), [(1, 1), (1, 100), (100, 1), (100, 100)])
def test_however_many_notices_tell_of_a_record_it_is_read_once(
    hub: Hub, company: Make, messages: int, notices: int
) -> None:
    """Up to 10,000: one call at the vendor, which asks for one record, and none when nothing new came."""
    a, passes = company(pages=3), Passes(hub, jitter=lambda: 1.0)
    hint = Hint(a.lane.tenant_id, a.lane.connection_id, a.lane.object, poll=False, kind=Kind.NOTICE)
    noticed(a, messages, notices)
    for _ in range(2):
        passes.run_lane(hint)
    passes.close()
    assert (a.remote.asked, a.remote.fetched) == (["fetch"], [["00000"]])
    assert a.contacts() == 1
    assert ledger(hub, a.lane.tenant_id).by_outcome == {"noted": messages}


def test_a_notice_that_comes_after_the_record_was_read_has_it_read_again(hub: Hub, company: Make) -> None:
    a, passes = company(pages=3), Passes(hub, jitter=lambda: 1.0)
    hint = Hint(a.lane.tenant_id, a.lane.connection_id, a.lane.object, poll=False, kind=Kind.NOTICE)
    for _ in range(2):
        noticed(a, 1, 100, ("00000", "00001"))
        passes.run_lane(hint)
    passes.close()
    assert [sorted(ids) for ids in a.remote.fetched] == [["00000", "00001"]] * 2
