"""Metrics tell how things stand, name by name, and nothing of what records hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from bootstrap.metrics import FAMILIES, PROCESS_FAMILIES, READ_AGAIN_S, Exporter, HubCollector, count_call, exposition
from bootstrap.settings import Settings, variable_name
from bootstrap.wiring import Hub
from connectors.kit.breaker import Breaker
from connectors.kit.contract import AuthKind, AuthMethod, Manifest
from connectors.kit.contract import Connection as ConnectionOfKit
from connectors.kit.gate import Attempt, Call, Gate
from connectors.kit.retry import RetryPolicy
from connectors.kit.tokens import MemoryTokens
from domain.access import Actor
from domain.ids import new_id
from storage import connections, dead_letters, events, inbound_endpoints, jobs, streams, subscriptions
from storage.dead_letters import NewLetter
from storage.embedded import ServerUrls
from storage.events import Event
from storage.streams import Stream

NOW = datetime.now(UTC)


@pytest.fixture
def hub(fresh_database: ServerUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_name(name), raising=False)
    given: dict[str, Any] = {"home": tmp_path, "DATABASE_URL": fresh_database.app}
    hub = Hub(Settings(**given))
    yield hub
    hub.close()


@pytest.fixture
def connection(hub: Hub) -> UUID:
    """A connection with a verified and an unverified lane, work on one of them, a dead letter and a job."""
    connection_id = new_id()
    with hub.db.tenant(hub.tenant_id) as conn:
        connections.create(conn, connection_id, vendor="hubspot", name="Portal of Lovelace-7Q", status="ok")
        connections.update(conn, connection_id, verified_at=NOW)
        for name in ("contacts", "deals"):
            streams.put(conn, Stream(connection_id, name, "contact", settings={}))
        conn.execute(
            text(
                "UPDATE stream SET verified_at = :at, counts = '{\"updated\": 7}', failures = 2 WHERE object = 'contacts'"
            ),
            {"at": NOW - timedelta(seconds=100)},
        )
        conn.execute(
            text("""
            INSERT INTO push_work (tenant_id, connection_id, object, entity, entity_id, created_at)
            SELECT :t, :c, 'contacts', 'contact', gen_random_uuid(), :at FROM generate_series(1, 3)"""),
            {"t": hub.tenant_id, "c": connection_id, "at": NOW - timedelta(seconds=50)},
        )
        letter = NewLetter(
            "map",
            "not_an_email",
            "email is not one.",
            connection_id,
            None,
            "contacts",
            "1",
            payload={"e": "Zanzibar-7Q"},
        )
        dead_letters.record(conn, hub.tenant_id, [letter])
        jobs.add(conn, "migration.run", {"secret": "Zanzibar-7Q"}, Actor("person", "p", "Lovelace-7Q"))
    return connection_id


def _read(collector: HubCollector) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    shown = exposition(collector).decode()
    assert "Zanzibar-7Q" not in shown
    assert "Lovelace-7Q" not in shown
    families = text_string_to_metric_families(shown)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def _value(read: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    found = [v for (n, given), v in read.items() if n == name and labels.items() <= dict(given).items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def _age(seconds: int) -> object:
    """The age by now of what was that old when the fixtures were made."""
    return pytest.approx(seconds + (datetime.now(UTC) - NOW).total_seconds(), abs=30)


def test_lanes_queues_letters_and_jobs_are_told(hub: Hub, connection: UUID) -> None:
    read = _read(HubCollector(hub, lambda: {"passes": 5}))
    lane = {"connection": str(connection), "object": "contacts", "vendor": "hubspot"}
    assert _value(read, "syncline_lane_freshness_seconds", **lane) == _age(100)
    assert _value(read, "syncline_lane_freshness_seconds", **lane | {"object": "deals"}) == float("inf")
    assert _value(read, "syncline_connection_freshness_seconds", connection=str(connection)) == float("inf")
    assert _value(read, "syncline_connection_up", connection=str(connection)) == 1
    assert _value(read, "syncline_connection_healthy", connection=str(connection)) == 1
    assert _value(read, "syncline_lane_queue", kind="push", **lane) == 3
    assert _value(read, "syncline_lane_queue", kind="notice", **lane) == 0
    assert _value(read, "syncline_lane_oldest_seconds", kind="push", **lane) == _age(50)
    assert _value(read, "syncline_lane_records_total", outcome="updated", **lane) == 7
    assert _value(read, "syncline_lane_failures", **lane) == 2
    assert _value(read, "syncline_dead_letters_open", code="not_an_email", fault="data") == 1
    assert _value(read, "syncline_jobs", kind="migration.run", status="queued") == 1
    assert _value(read, "syncline_worker_events_total", event="passes") == 5
    assert _value(read, "syncline_scrape_ok") == 1


def test_what_waits_at_an_endpoint_is_told_with_the_age_of_the_oldest(hub: Hub) -> None:
    with hub.db.tenant(hub.tenant_id) as conn:
        inbound = inbound_endpoints.create(conn, name="Forms of Ada", scheme="standard").id
        listener = subscriptions.create(
            conn, created_by="tests", name="Ada", url="https://example.com/tea", types=["webhook.test"]
        ).id
        parameters = {"t": hub.tenant_id, "e": inbound, "s": listener, "at": NOW - timedelta(seconds=70)}
        conn.execute(
            text("""
            INSERT INTO inbox (tenant_id, id, endpoint_id, dedupe_key, body, received_at, status)
            SELECT :t, gen_random_uuid(), :e, n, 'tea', :at, CASE WHEN n < 3 THEN 'pending' ELSE 'done' END
            FROM generate_series(1, 5) n"""),
            parameters,
        )
        events.emit(conn, *(Event("webhook.test", {"message": "tea"}) for _ in range(4)))
        conn.execute(
            text("""
            INSERT INTO webhook_delivery (tenant_id, subscription_id, event_id, type, created_at)
            SELECT :t, :s, id, type, :at FROM event"""),
            parameters,
        )
    read = _read(HubCollector(hub))
    assert _value(read, "syncline_inbox_pending", endpoint=str(inbound)) == 2
    assert _value(read, "syncline_inbox_oldest_seconds", endpoint=str(inbound)) == _age(70)
    assert _value(read, "syncline_deliveries_pending", subscription=str(listener)) == 4
    assert _value(read, "syncline_deliveries_oldest_seconds", subscription=str(listener)) == _age(70)


def test_scrapes_in_a_row_read_the_database_once(hub: Hub, connection: UUID) -> None:
    moment = [0.0]
    collector = HubCollector(hub, clock=lambda: moment[0])
    before = _read(collector)
    with hub.db.tenant(hub.tenant_id) as conn:
        conn.execute(text("DELETE FROM push_work"))
    assert _value(_read(collector), "syncline_lane_queue", kind="push", object="contacts") == 3
    assert _value(before, "syncline_lane_queue", kind="push", object="contacts") == 3
    moment[0] = READ_AGAIN_S
    assert _value(_read(collector), "syncline_lane_queue", kind="push", object="contacts") == 0


def test_a_database_that_is_away_is_told_and_not_hidden(
    hub: Hub, connection: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(hub.db), "tenant", _away)
    read = _read(HubCollector(hub))
    assert _value(read, "syncline_scrape_ok") == 0
    assert not [name for name, _ in read if name.startswith("syncline_lane")]


def _away(*_: object) -> Any:
    from domain.errors import TransientError

    raise TransientError("The database does not answer.", code="database_unavailable")


def test_calls_to_vendors_are_counted_by_class(hub: Hub) -> None:
    for status in (200, 204, 429, 0):
        count_call("testvendor", status, 0.01)
    read = _read(HubCollector(hub))
    counted = {
        s: _value(read, "syncline_vendor_calls_total", vendor="testvendor", status=s)
        for s in ("2xx", "4xx", "unanswered")
    }
    assert counted == {"2xx": 2, "4xx": 1, "unanswered": 1}


def test_the_circuit_breakers_of_a_connection_are_told(
    hub: Hub, connection: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is open, one that is not, at hosts of their own; a sign-in that no connection stands for yet is left out."""
    breaker = Breaker(failures_max=1)
    monkeypatch.setattr("connectors.kit.gate.PROCESS.breaker", breaker)
    manifest = Manifest(
        "hubspot", "HubSpot", (AuthMethod(AuthKind.NONE),), hosts=("api.example.com", "files.example.com")
    )
    for name, host, status in (
        (str(connection), "api.example.com", 503),
        (str(connection), "files.example.com", 200),
        ("new", "api.example.com", 503),
    ):
        gate = Gate.of(manifest, ConnectionOfKit(name, "hubspot", {}, MemoryTokens()), retry=RetryPolicy(attempts=1))
        gate.run(Call("GET", f"https://{host}/x"), lambda status=status: Attempt(value=1, status=status))  # type: ignore[misc]
    read = _read(HubCollector(hub))
    told = {"tenant": str(hub.tenant_id), "connection": str(connection), "vendor": "hubspot"}
    assert _value(read, "syncline_connection_breaker", host="api.example.com", **told) == 1
    assert _value(read, "syncline_connection_breaker", host="files.example.com", **told) == 0
    assert len([name for name, _ in read if name == "syncline_connection_breaker"]) == 2


def test_a_worker_shows_its_metrics_on_a_port(hub: Hub) -> None:
    import urllib.request

    exporter = Exporter(HubCollector(hub), "127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=10) as reply:
            assert b"syncline_scrape_ok 1.0" in reply.read()
    finally:
        exporter.close()


def test_names_follow_the_conventions() -> None:
    for name, family in (FAMILIES | PROCESS_FAMILIES).items():
        assert name.startswith("syncline_")
        assert not name.endswith("_total")
        assert family.help.endswith(".")
        assert not {"name", "email", "phone"} & set(family.labels)
