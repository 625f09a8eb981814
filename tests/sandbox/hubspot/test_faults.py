"""Faults, over a real connection: what a client sees, and what the portal did meanwhile. Edits as a person makes them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.hubspot.faults import KINDS, Fault
from sandbox.hubspot.server import HubSpotServer
from tests.sandbox.hubspot.helpers import InProcess

CONTACTS = "/crm/v3/objects/contacts"
EDIT = "/__sandbox__/edit"


@pytest.fixture
def client(server: HubSpotServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}, timeout=10) as made:
        made.delete("/__sandbox__/faults")
        made.delete("/__sandbox__/journal")
        yield made


def inject(client: httpx.Client, **fault: Any) -> None:
    assert client.post("/__sandbox__/faults", json=fault).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "category"),
    [
        ({"kind": "error"}, 500, "INTERNAL_ERROR"),
        ({"kind": "error", "status": 502}, 502, "INTERNAL_ERROR"),
        ({"kind": "limit"}, 429, "RATE_LIMITS"),
        ({"kind": "expire"}, 401, "EXPIRED_AUTHENTICATION"),
        ({"kind": "scopes", "scopes": ["crm.objects.contacts.read"]}, 403, "MISSING_SCOPES"),
    ],
)
def test_an_error_strikes_once(client: httpx.Client, fault: dict[str, Any], status: int, category: str) -> None:
    inject(client, calls="list", **fault)
    struck = client.get(CONTACTS)
    assert (struck.status_code, struck.json()["category"]) == (status, category)
    assert "retry-after" not in struck.headers
    assert client.get(CONTACTS).status_code == 200


def test_a_limit_may_tell_how_long_to_wait_and_names_its_policy(client: httpx.Client) -> None:
    inject(client, kind="limit", policy="DAILY", retry_after="7")
    struck = client.get(CONTACTS)
    assert (struck.headers["retry-after"], struck.json()["policyName"]) == ("7", "DAILY")


def test_a_reset_connection_did_nothing_and_a_lost_answer_was_carried_out(
    client: httpx.Client, server: HubSpotServer
) -> None:
    for kind, made in (("reset", 0), ("lost_answer", 1)):
        inject(client, kind=kind, calls="create")
        with pytest.raises(httpx.TransportError):
            client.post(CONTACTS, json={"properties": {"email": f"{kind}@example.com"}})
        assert len(server.sandbox.journal.created.get("contacts", [])) == made
        found = client.get(f"{CONTACTS}/{kind}@example.com", params={"idProperty": "email"})
        assert found.status_code == (200 if made else 404)
    assert client.get("/__sandbox__/journal").json()["kinds"]["create"] == 2


def test_answers_can_be_cut_short_spoilt_or_late(client: httpx.Client) -> None:
    inject(client, kind="truncated", calls="list")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(CONTACTS)
    inject(client, kind="malformed", calls="list")
    with pytest.raises(json.JSONDecodeError):
        client.get(CONTACTS).json()
    inject(client, kind="slow", calls="list", seconds=0.3)
    began = time.monotonic()
    assert client.get(CONTACTS).status_code == 200
    assert time.monotonic() - began >= 0.3


def test_a_next_link_to_another_host(client: httpx.Client) -> None:
    inject(client, kind="foreign_next", host="https://evil.example")
    assert client.get(CONTACTS, params={"limit": 2}).json()["paging"]["next"]["link"].startswith("https://evil.example")


def test_a_url_too_long_is_414(client: httpx.Client) -> None:
    assert client.get(CONTACTS, params={"properties": "x" * 17_000}).status_code == 414


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_does_something(small: InProcess, kind: str) -> None:
    create = {"inputs": [{"properties": {"email": "a@example.com"}}]}
    path, body = ("contacts/batch/create", create) if kind == "reject" else ("contacts?limit=1", None)
    clean = small.call("GET", "contacts?limit=1")
    small.sandbox.faults.waiting.append(Fault(kind, seconds=1.0, scopes=["oauth"]))
    struck = small.call("POST" if body else "GET", path, body)
    if kind == "reject":
        assert struck.status == 400
        return
    told = (struck.status, struck.effect, struck.delay_s, struck.content())
    assert told != (clean.status, clean.effect, clean.delay_s, clean.content())


def test_an_unknown_fault_is_refused(empty: InProcess) -> None:
    reply = empty.call("POST", "/__sandbox__/faults", {"kind": "earthquake"})
    assert reply.status == 400
    assert "there is no fault of kind 'earthquake'" in reply.json["message"]


@pytest.mark.parametrize("edit", [{"properties": {"firstname": "Ann"}}, {"merge": "two"}, {"delete": True}])
def test_what_is_archived_can_only_be_restored(empty: InProcess, edit: dict[str, Any]) -> None:
    """Its address is free, and stays so."""
    one, two = empty.create("contacts", email="1@example.com"), empty.create("contacts", email="2@example.com")
    empty.ok("POST", EDIT, {"object": "contacts", "id": one, "delete": True})
    given = {name: two if value == "two" else value for name, value in edit.items()}
    assert empty.call("POST", EDIT, {"object": "contacts", "id": one, **given}).status == 404
    assert empty.create("contacts", email="1@example.com") != one
    assert empty.call("GET", f"contacts/{two}").status == 200


def test_a_person_creates_changes_merges_deletes_and_restores_without_a_call(empty: InProcess) -> None:
    one = empty.ok("POST", EDIT, {"object": "contacts", "properties": {"email": "a@example.com"}})["id"]
    two = empty.ok("POST", EDIT, {"object": "0-1", "properties": {"email": "b@example.com"}})["id"]
    empty.ok("POST", EDIT, {"object": "contacts", "id": one, "properties": {"firstname": "Ann"}})
    assert empty.ok("POST", EDIT, {"object": "contacts", "id": one, "merge": two})["id"] == one
    empty.ok("POST", EDIT, {"object": "contacts", "id": one, "delete": True})
    assert empty.call("GET", f"contacts/{one}").status == 404
    empty.ok("POST", EDIT, {"object": "contacts", "id": one, "restore": True})
    shown = empty.get("contacts", two, "firstname", "hs_object_source", "hs_merged_object_ids")
    assert (shown["firstname"], shown["hs_object_source"], shown["hs_merged_object_ids"]) == ("Ann", "CRM_UI", two)
    assert empty.sandbox.journal.counted == 2  # the two reads
    assert empty.sandbox.journal.created == {}


@pytest.mark.parametrize(
    ("edit", "status"),
    [
        ({"object": "shoes"}, 400), ({"object": "contacts", "id": "9", "delete": True}, 404),
        ({"object": "contacts", "properties": {"email": "x"}}, 400),
    ],
)  # fmt: skip
def test_a_person_meets_the_rules(empty: InProcess, edit: dict[str, Any], status: int) -> None:
    assert empty.call("POST", EDIT, edit).status == status


def test_a_restored_contact_needs_its_address_to_be_free(empty: InProcess) -> None:
    one = empty.create("contacts", email="a@example.com")
    empty.ok("DELETE", f"contacts/{one}")
    empty.create("contacts", email="a@example.com")
    assert empty.call("POST", EDIT, {"object": "contacts", "id": one, "restore": True}).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", CONTACTS, 405), ("POST", CONTACTS, 400)]
)
def test_what_nothing_answers_is_refused_in_the_vendors_envelope(
    empty: InProcess, method: str, path: str, status: int
) -> None:
    reply = empty.call(method, path, b"{not json")
    assert (reply.status, reply.json["status"]) == (status, "error")
    assert reply.json["correlationId"]
