"""Faults, over a real connection: what a client sees, and what the org did meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from sandbox.salesforce.faults import KINDS, Fault
from sandbox.salesforce.server import SandboxServer
from tests.sandbox.salesforce.helpers import InProcess

DATA = "/services/data/v59.0"


@pytest.fixture(scope="module")
def shared() -> Iterator[SandboxServer]:
    with SandboxServer(contacts=300) as running:
        yield running


@pytest.fixture
def client(shared: SandboxServer) -> Iterator[httpx.Client]:
    token = shared.sandbox.auth.open_session()
    with httpx.Client(base_url=shared.url, headers={"Authorization": f"Bearer {token}"}, timeout=10) as made:
        made.delete("/__sandbox__/faults")
        made.delete("/__sandbox__/journal")
        yield made


def inject(client: httpx.Client, **fault: Any) -> None:
    assert client.post("/__sandbox__/faults", json=fault).status_code == 200


def query(client: httpx.Client, soql: str = "SELECT Id FROM Contact LIMIT 1") -> httpx.Response:
    return client.get(f"{DATA}/query", params={"q": soql})


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "error"}, 500, "UNKNOWN_EXCEPTION"),
        ({"kind": "error", "status": 503}, 503, "SERVER_UNAVAILABLE"),
        ({"kind": "limit"}, 403, "REQUEST_LIMIT_EXCEEDED"),
        ({"kind": "concurrent"}, 403, "REQUEST_LIMIT_EXCEEDED"),
        ({"kind": "expire"}, 401, "INVALID_SESSION_ID"),
    ],
)
def test_an_error_strikes_once_and_carries_no_retry_after(
    client: httpx.Client, fault: dict[str, Any], status: int, code: str
) -> None:
    inject(client, **fault)
    struck = query(client)
    assert (struck.status_code, struck.json()[0]["errorCode"]) == (status, code)
    assert "retry-after" not in struck.headers
    after = query(client)
    assert after.status_code == (401 if code == "INVALID_SESSION_ID" else 200)


def test_a_fault_strikes_where_and_as_often_as_told(client: httpx.Client) -> None:
    inject(client, kind="error", calls="query|query_more", after=1, times=2)
    assert client.get(f"{DATA}/limits").status_code == 200
    assert [query(client).status_code for _ in range(4)] == [200, 500, 500, 200]


def test_a_reset_connection_did_nothing(client: httpx.Client, shared: SandboxServer) -> None:
    inject(client, kind="reset", calls="create")
    with pytest.raises(httpx.TransportError):
        client.post(f"{DATA}/sobjects/Account", json={"Name": "never"})
    assert query(client, "SELECT Id FROM Account WHERE Name = 'never'").json()["totalSize"] == 0
    assert shared.sandbox.journal.kinds["create"] == 1


def test_a_lost_answer_was_carried_out(client: httpx.Client) -> None:
    inject(client, kind="lost_answer", calls="create")
    with pytest.raises(httpx.TransportError):
        client.post(f"{DATA}/sobjects/Account", json={"Name": "twice?"})
    assert query(client, "SELECT Id FROM Account WHERE Name = 'twice?'").json()["totalSize"] == 1


def test_a_truncated_answer_ends_in_the_middle(client: httpx.Client) -> None:
    inject(client, kind="truncated", calls="query")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|closed|peer"):
        query(client, "SELECT Id, Name FROM Contact")
    assert query(client).status_code == 200


def test_a_malformed_answer_is_not_json(client: httpx.Client) -> None:
    inject(client, kind="malformed")
    with pytest.raises(json.JSONDecodeError):
        query(client).json()


def test_a_slow_answer_takes_its_time_and_others_do_not_wait(client: httpx.Client) -> None:
    inject(client, kind="slow", calls="limits", seconds=0.6)
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: client.get(f"{DATA}/limits").status_code)
        while client.get("/__sandbox__/faults").json():  # until it has struck
            pass
        assert query(client).status_code == 200
        assert not waiting.done()
        assert waiting.result() == 200
    assert time.monotonic() - began >= 0.6


def test_a_next_link_to_another_host(client: httpx.Client) -> None:
    inject(client, kind="foreign_next", host="https://evil.example")
    page = client.get(
        f"{DATA}/query", params={"q": "SELECT Id FROM Contact"}, headers={"Sforce-Query-Options": "batchSize=200"}
    )
    assert page.json()["nextRecordsUrl"].startswith("https://evil.example/services/data/")


def test_an_instance_url_on_another_host(client: httpx.Client, shared: SandboxServer) -> None:
    known = shared.credentials
    form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
    inject(client, kind="wrong_instance", host="https://evil.example")
    assert query(client).status_code == 200  # strikes on signing in only
    assert client.post("/services/oauth2/token", data=form).json()["instance_url"] == "https://evil.example"
    assert client.post("/services/oauth2/token", data=form).json()["instance_url"] == shared.url


def test_lost_cursors(client: httpx.Client) -> None:
    page = client.get(
        f"{DATA}/query", params={"q": "SELECT Id FROM Contact"}, headers={"Sforce-Query-Options": "batchSize=200"}
    )
    inject(client, kind="cursor_lost", calls="query_more")
    assert client.get(page.json()["nextRecordsUrl"]).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_an_unknown_fault_is_refused_and_the_known_ones_are_listed(client: httpx.Client) -> None:
    reply = client.post("/__sandbox__/faults", json={"kind": "earthquake"})
    assert reply.status_code == 400
    assert "there is no fault of kind 'earthquake'" in reply.json()[0]["message"]
    assert client.post("/__sandbox__/faults", json={"kind": "slow", "speed": 1}).status_code == 400
    assert client.get("/__sandbox__/faults").json() == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_controls_themselves_are_never_struck(empty: InProcess, kind: str) -> None:
    empty.sandbox.faults.waiting.append(Fault(kind, calls=".*"))
    assert empty.call("GET", "/__sandbox__/faults").json[0]["kind"] == kind


def test_the_journal_counts_calls_by_kind(client: httpx.Client) -> None:
    query(client)
    query(client)
    client.get(f"{DATA}/sobjects/Account/describe")
    client.get(f"{DATA}/nowhere")
    found = client.get("/__sandbox__/journal").json()
    kinds = {kind: n for kind, n in found["kinds"].items() if kind != "control"}
    assert kinds == {"query": 2, "describe": 1, "unknown": 1}
    assert found["counted"] == 3
    assert "Bearer" not in json.dumps(found)


def test_the_clock_can_be_moved_and_ends_sessions(empty: InProcess) -> None:
    assert empty.call("POST", "/__sandbox__/clock", {"advance_s": 7201}).json["now"] == "2025-06-30T14:00:01.000+0000"
    assert empty.call("GET", "limits").status == 401
    assert (
        empty.call("POST", "/__sandbox__/clock", {"at": "2026-01-01T00:00:00Z"}).json["now"]
        == "2026-01-01T00:00:00.000+0000"
    )


def test_fields_come_and_go_and_hide(empty: InProcess) -> None:
    def fields() -> set[str]:
        return {f["name"] for f in empty.call("GET", "sobjects/Contact/describe").json["fields"]}

    empty.create("Contact", LastName="A", Level__c="Primary")
    empty.call(
        "POST",
        "/__sandbox__/schema",
        {"object": "Contact", "add": 'Shoe__c double(4,1) "Shoe Size"', "remove": "Level__c"},
    )
    assert "Shoe__c" in fields()
    assert "Level__c" not in fields()
    assert empty.refusal("SELECT Level__c FROM Contact")["errorCode"] == "INVALID_FIELD"
    empty.create("Contact", LastName="B", Shoe__c=9.5)
    empty.call("POST", "/__sandbox__/schema", {"hide": ["Contact.Shoe__c", "Lead"]})
    assert "Shoe__c" not in fields()
    assert empty.refusal("SELECT Id FROM Lead")["errorCode"] == "INVALID_TYPE"
    assert empty.call("GET", "sobjects/Lead/describe").status == 404
    assert "Lead" not in {o["name"] for o in empty.call("GET", "sobjects").json["sobjects"]}
    empty.call("POST", "/__sandbox__/schema", {"show": ["Lead"]})
    assert empty.soql("SELECT Id FROM Lead") == []
