"""One trace follows a change from the request that made it through the pass that sends it to the vendor's answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from sqlalchemy import text

from api.app import create_app
from bootstrap import jobs, tracing
from bootstrap.syncing import Syncs
from bootstrap.syncing_rules import StreamSettings
from bootstrap.wiring import Hub
from connectors.kit.contract import CallRecord
from domain.access import Actor
from domain.errors import ConfigurationError
from domain.ids import new_id
from sandbox.hubspot.server import HubSpotServer
from storage import api_keys, change_feed, connections, credentials, secrets, subscriptions
from storage import jobs as stored_jobs
from storage.tracing import span, traceparent
from tests.api.intake_calls import Address, post, send, with_app
from webhooks.outbound import signing
from webhooks.outbound.delivering import SECRET as SECRET_NAME
from webhooks.outbound.relay import Relay
from workers.actors import Hint
from workers.inboxes import Inboxes
from workers.passes import Passes

SECRET = "Countess of Lovelace"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Spans that ended; everything of them is looked at for values of records at the end."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    assert SECRET not in "".join(one.to_json() for one in exporter.get_finished_spans())
    provider.shutdown()


@dataclass
class Portal:
    """A HubSpot account with two contacts, kept in step both ways, and the API over the hub."""

    hub: Hub
    connection_id: UUID
    api: TestClient
    run: Callable[[], None]

    def contacts(self) -> list[str]:
        return [r["id"] for r in self.api.get("/v1/records/contact").json()["items"]]


@pytest.fixture
def portal(hub: Hub) -> Iterator[Portal]:
    tenant, connection_id = hub.tenant_id, new_id()
    with HubSpotServer(contacts=2) as server:
        with hub.db.tenant(tenant) as conn:
            connections.create(conn, connection_id, vendor="hubspot", name="portal", base_url=server.url, status="ok")
            credentials.save(conn, hub.vault, tenant, connection_id, {"access_token": server.token})
            _, key = api_keys.create(conn, name="tests", role="tenant_admin", created_by="tests")
        syncs = Syncs(hub)
        syncs.add(connection_id, ["contacts"], StreamSettings())
        syncs.close()
        passes = Passes(hub)
        with TestClient(create_app(hub), headers={"Authorization": f"Bearer {key}"}) as api:
            yield Portal(
                hub, connection_id, api, lambda: passes.run_lane(Hint(tenant, connection_id, "contacts", poll=True))
            )
        passes.close()


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [s for s in exporter.get_finished_spans() if s.name == name]


def ancestors(exporter: InMemorySpanExporter, one: ReadableSpan) -> list[str]:
    """Names of the spans around one, the nearest first."""
    known = {s.context.span_id: s for s in exporter.get_finished_spans() if s.context}
    names = []
    while one.parent is not None and one.parent.span_id in known:
        one = known[one.parent.span_id]
        names.append(one.name)
    return names


def test_an_edit_through_the_api_is_traced_to_the_call_that_sends_it(
    portal: Portal, spans: InMemorySpanExporter
) -> None:
    portal.run()
    first = portal.contacts()[0]
    spans.clear()
    assert portal.api.patch(f"/v1/records/contact/{first}", json={"fields": {"title": SECRET}}).status_code == 200
    (request,) = spans.get_finished_spans()
    assert (request.name, request.parent) == ("PATCH /v1/records/{entity}/{record_id}", None)
    assert request.attributes is not None
    assert request.attributes["syncline.tenant"] == str(portal.hub.tenant_id)
    portal.run()
    (lane,), (push,) = named(spans, "lane"), named(spans, "push")
    assert lane.attributes is not None
    assert lane.attributes["syncline.connection"] == str(portal.connection_id)
    sent = [s for s in spans.get_finished_spans() if s.name == "hubspot POST" and "push" in ancestors(spans, s)]
    assert sent
    assert ancestors(spans, sent[-1]) == ["push", "lane", "PATCH /v1/records/{entity}/{record_id}"]
    assert {s.context.trace_id for s in (request, lane, push, *sent) if s.context} == {request.context.trace_id}


def test_a_pass_that_several_requests_led_to_is_linked_to_each(portal: Portal, spans: InMemorySpanExporter) -> None:
    portal.run()
    ids = portal.contacts()
    spans.clear()
    for record in ids:
        assert portal.api.patch(f"/v1/records/contact/{record}", json={"fields": {"title": SECRET}}).status_code == 200
    requests = {s.context.span_id for s in spans.get_finished_spans() if s.context}
    assert len(requests) == 2
    portal.run()
    (lane,) = named(spans, "lane")
    assert lane.parent is None
    assert {link.context.span_id for link in lane.links} == requests


def test_a_later_edit_of_the_same_record_takes_the_earlier_ones_place(
    portal: Portal, spans: InMemorySpanExporter
) -> None:
    portal.run()
    first = portal.contacts()[0]
    spans.clear()
    for title in ("Ada", SECRET):
        portal.api.patch(f"/v1/records/contact/{first}", json={"fields": {"title": title}})
    later = spans.get_finished_spans()[-1].context
    portal.run()
    (lane,) = named(spans, "lane")
    assert lane.parent is not None
    assert lane.parent.span_id == later.span_id


def test_a_pass_that_nobody_caused_is_a_trace_of_its_own_with_what_it_read(
    portal: Portal, spans: InMemorySpanExporter
) -> None:
    portal.run()
    (lane,) = named(spans, "lane")
    assert (lane.parent, list(lane.links)) == (None, [])
    assert [ancestors(spans, s) for s in named(spans, "pull")] == [["lane"]]
    assert all(s.context.trace_id == lane.context.trace_id for s in spans.get_finished_spans())


def test_what_somebody_searched_for_stands_in_no_span(portal: Portal, spans: InMemorySpanExporter) -> None:
    portal.api.get("/v1/records/contact", params={"q": SECRET})
    (request,) = spans.get_finished_spans()
    assert request.name == "GET /v1/records/{entity}"
    assert "Lovelace" not in request.to_json()


def test_without_a_provider_nothing_is_noted(portal: Portal) -> None:
    portal.run()
    first = portal.contacts()[0]
    portal.api.patch(f"/v1/records/contact/{first}", json={"fields": {"title": SECRET}})
    with portal.hub.db.tenant(portal.hub.tenant_id) as conn:
        assert conn.execute(text("SELECT traceparent FROM push_work")).all() == [("",)]


def test_a_callers_own_trace_is_gone_on_with_and_nonsense_is_not(spans: InMemorySpanExporter) -> None:
    with span("caller"):
        own = traceparent()
    assert own is not None
    for cause in (own, "nonsense"):
        with span("inner", causes=[cause]):
            pass
    caller, inner, lost = spans.get_finished_spans()
    assert inner.context.trace_id == caller.context.trace_id
    assert lost.parent is None


def test_a_post_is_traced_from_its_receipt_to_the_last_vendor_and_whom_it_is_told_to(
    portal: Portal, spans: InMemorySpanExporter
) -> None:
    """Receipt, inbox, pass, batch, call; and the webhook that tells of it goes out from the same trace."""
    portal.run()
    hub, tenant = portal.hub, portal.hub.tenant_id
    address = Address.make(hub, tenant, entity="contact", fields={"last_name": "$.name", "email": "$.email"})
    pass_the_horizon(hub)
    with hub.db.tenant(tenant) as conn:
        told = subscriptions.create(
            conn, created_by="tests", name="theirs", url="https://127.0.0.1:9/nobody", types=["contact.created"]
        )
        secrets.add(conn, hub.vault, told.id, {SECRET_NAME: signing.new_secret()})
    spans.clear()
    body = post("1", name=SECRET, email="ada@example.com")
    assert with_app(hub, lambda app: send(app, address.path, [body], address.signed(body))).status == 202
    Inboxes(hub, threading.Event()).process(tenant, address.id)
    portal.run()
    relay(hub)
    assert hub.deliverer().run(tenant, told.id) == 1

    (receipt,) = named(spans, "POST /hooks/{endpoint}")
    assert receipt.attributes is not None
    assert (receipt.parent, receipt.attributes["http.response.status_code"]) == (None, 202)
    assert receipt.attributes["syncline.endpoint"] == str(address.id)
    (webhook,) = named(spans, "webhook")
    assert ancestors(spans, webhook) == ["inbox", "POST /hooks/{endpoint}"]
    assert (webhook.attributes or {})["error.type"] == "address_refused"
    assert not webhook.status.is_ok
    sent = [s for s in spans.get_finished_spans() if s.name == "hubspot POST" and "push" in ancestors(spans, s)]
    assert sent
    assert ancestors(spans, sent[-1]) == ["push", "lane", "inbox", "POST /hooks/{endpoint}"]
    assert {s.context.trace_id for s in (receipt, webhook, *sent)} == {receipt.context.trace_id}


def pass_the_horizon(hub: Hub) -> None:
    """Wait until a new subscription hears nothing of what is committed already: it begins with the oldest open transaction."""
    with hub.db.tenant(hub.tenant_id) as conn:
        mine = int(conn.execute(text("SELECT pg_current_xact_id()::text")).scalar_one())
    waited = threading.Event()
    for _ in range(3_000):
        with hub.db.tenant(hub.tenant_id) as conn:
            if change_feed.horizon(conn) > mine:
                return
        waited.wait(0.01)
    raise AssertionError("the horizon does not move: somebody keeps a transaction open")


def relay(hub: Hub) -> None:
    """Queue what is to be told, once every other transaction on the server has ended."""
    waited = threading.Event()
    for _ in range(3_000):
        if Relay(hub.db, lambda: datetime.now(UTC)).run(hub.tenant_id):
            return
        waited.wait(0.01)
    raise AssertionError("the horizon does not move: somebody keeps a transaction open")


def test_what_strangers_send_as_their_trace_is_not_gone_on_with(portal: Portal, spans: InMemorySpanExporter) -> None:
    address = Address.make(portal.hub, portal.hub.tenant_id)
    body = post("1")
    headers = address.signed(body) | {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert with_app(portal.hub, lambda app: send(app, address.path, [body], headers)).status == 202
    (receipt,) = named(spans, "POST /hooks/{endpoint}")
    assert receipt.parent is None
    assert f"{receipt.context.trace_id:032x}" != "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_goes_on_in_the_trace_of_who_asked_for_it(
    portal: Portal, spans: InMemorySpanExporter, fails: bool
) -> None:
    hub = portal.hub

    def kind(_: jobs.Work) -> dict[str, object]:
        with span("inner"):
            if fails:
                raise ConfigurationError(SECRET, code="bad_setting")
        return {}

    with span("caller"), hub.db.tenant(hub.tenant_id) as conn:
        made = stored_jobs.add(conn, "sample", {}, Actor("key", "1", "tests"))
    ended = jobs.run(hub, made.id, "tests", kinds={"sample": kind})
    assert ended == ("failed" if fails else "done")
    (inner,), (job,) = named(spans, "inner"), named(spans, "job")
    assert ancestors(spans, inner) == ["job", "caller"]
    assert (job.attributes or {})["syncline.outcome"] == ended
    assert (job.status.status_code is StatusCode.ERROR) is fails


def test_an_error_is_told_by_its_code_alone(spans: InMemorySpanExporter) -> None:
    def fails() -> None:
        with span("work"):
            raise ValueError(SECRET)

    with pytest.raises(ValueError, match=SECRET):
        fails()
    (work,) = spans.get_finished_spans()
    assert not work.status.is_ok
    assert dict(work.attributes or {}) == {"error.type": "ValueError"}
    assert not work.events


def test_calls_to_vendors_that_failed_are_marked(spans: InMemorySpanExporter) -> None:
    with span("push"):
        for status in (200, 429, 0):
            tracing.note_call("acme", CallRecord("POST", f"/people/{SECRET}", status, 0.2))
    *calls, push = spans.get_finished_spans()
    assert [c.status.is_ok for c in calls] == [True, False, False]
    assert all((c.end_time or 0) - (c.start_time or 0) == 200_000_000 for c in calls)
    assert {c.parent.span_id for c in calls if c.parent} == {push.context.span_id}


def test_no_provider_is_made_unless_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    made: list[object] = []
    monkeypatch.setattr(trace, "set_tracer_provider", made.append)
    tracing.start("worker")()
    assert made == []
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:9")
    tracing.start("worker")()
    (provider,) = made
    assert isinstance(provider, TracerProvider)
    assert provider.resource.attributes["service.name"] == "syncline-worker"
