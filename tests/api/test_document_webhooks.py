"""Webhooks in the OpenAPI document: every event that goes out is in it, and the door answers what it says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from jsonschema import Draft202012Validator

from api import intake as intake_module
from api.document_webhooks import DOOR
from bootstrap.error_codes import registry
from bootstrap.wiring import Hub
from domain.ids import new_id
from storage import inbound_endpoints
from tests.api.conftest import Client
from tests.api.intake_calls import SETTINGS, Address, Answer, post, send, with_app
from tests.api.samples import document
from webhooks.inbound import endpoints
from webhooks.inbound.addresses import PREFIX, ref_of
from webhooks.outbound import signing
from webhooks.outbound.catalogue import EVENTS


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document()["components"]})


# ---------------------------------------------------------------- out


def test_every_event_of_the_catalogue_is_in_the_document_with_its_schema() -> None:
    told = document()["webhooks"]
    assert document()["openapi"].startswith("3.1")
    assert list(told) == list(EVENTS)
    for name, event in EVENTS.items():
        body = told[name]["post"]["requestBody"]
        assert body["required"]
        assert body["content"]["application/json"]["schema"] == event.schema()
        assert told[name]["post"]["description"] == event.means


def test_the_headers_of_an_event_are_those_that_are_sent() -> None:
    keys = [signing.new_secret(), signing.new_secret()]
    sent = signing.headers(str(new_id()), "{}", keys, datetime.now(UTC))
    for item in document()["webhooks"].values():
        told = {p["name"]: p for p in item["post"]["parameters"]}
        assert set(told) == set(sent) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
        for name, described in told.items():
            assert described["required"]
            assert described["in"] == "header"
            for value in (sent[name], described["example"]):
                validator(described["schema"]).validate(value)


def test_no_two_operations_have_one_id_and_every_reference_leads_somewhere() -> None:
    whole = document()
    items = [*whole["paths"].values(), *whole["webhooks"].values()]
    ids = [operation["operationId"] for item in items for operation in item.values()]
    assert len(ids) == len(set(ids))
    for ref in refs(whole):
        place: Any = whole
        for step in ref.removeprefix("#/").split("/"):
            place = place[step]


def refs(part: Any) -> Iterator[str]:
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        if name == "$ref" and isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            yield from refs(value)


def test_the_page_for_people_names_the_door_and_every_event(app_client: Client) -> None:
    page = app_client.get("/docs").text
    assert all(path in page for path in DOOR)
    assert all(f"<code>{name}</code>" in page for name in EVENTS)


# ---------------------------------------------------------------- in


@pytest.fixture
def address(hub: Hub, tenant_id: UUID) -> Address:
    return Address.make(hub, tenant_id)


def made(hub: Hub, tenant_id: UUID, scheme: str, **given: str) -> tuple[str, dict[str, str]]:
    """An endpoint of another scheme: its path, and its secrets."""
    with hub.db.tenant(tenant_id) as conn:
        found, shown = endpoints.add(conn, hub.vault, name=f"{scheme} {new_id()}", scheme_name=scheme, given=given)
    return PREFIX + ref_of(tenant_id, found.id), {**shown, **given}


@contextmanager
def refusing(admin_url: str, endpoint: UUID) -> Iterator[None]:
    """Let the database refuse what comes to an endpoint, as it does a row that breaks a rule."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION refuse_delivery() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$"
        )
        admin.execute(
            f"CREATE TRIGGER refuse_delivery BEFORE INSERT ON inbox FOR EACH ROW WHEN (NEW.endpoint_id = '{endpoint}')"
            " EXECUTE FUNCTION refuse_delivery()"
        )
        try:
            yield
        finally:
            admin.execute("DROP FUNCTION refuse_delivery() CASCADE")


def heard(hub: Hub, address: Address, monkeypatch: pytest.MonkeyPatch, admin_url: str) -> Iterator[Answer]:
    """One answer of each kind that the door gives."""

    def one(path: str, body: bytes = b"", headers: dict[str, str] | None = None, **more: Any) -> Answer:
        return with_app(hub, lambda app: send(app, path, more.pop("pieces", [body]), headers, **more))

    body = post("a")
    yield one(address.path, body, address.signed(body))
    yield one(address.path, b"no json", address.signed(b"no json"))
    yield one(address.path, body)
    yield one(PREFIX + ref_of(address.tenant_id, new_id()), body)
    yield one(address.path, method="DELETE")
    yield one(address.path, headers={"content-length": str(1 << 30)})
    yield one(address.path, headers={"content-encoding": "gzip"})
    graph, known = made(hub, address.tenant_id, "graph")
    yield one(f"{graph}?validationToken=hello")
    item = {"id": "1", "subscriptionId": "s", "clientState": known["client_state"], "resource": "contacts/1"}
    yield one(graph, json.dumps({"value": [item]}).encode())
    twilio, known = made(hub, address.tenant_id, "twilio", auth_token="token")
    signed = hmac.new(b"token", (hub.settings.public_url + twilio).encode(), hashlib.sha1).digest()
    yield one(twilio, headers={"x-twilio-signature": base64.b64encode(signed).decode()})
    with hub.db.tenant(address.tenant_id) as conn:
        bare = inbound_endpoints.create(conn, name=f"bare {new_id()}", scheme="generic", settings=SETTINGS)
    yield one(PREFIX + ref_of(address.tenant_id, bare.id), body)
    with refusing(admin_url, address.id):
        yield one(address.path, post("refused"), address.signed(post("refused")))
    monkeypatch.setattr(intake_module, "BODY_WITHIN_S", 0.1)
    yield one(address.path, pieces=[b"x"] * 1_000, pause_s=0.05)


def test_the_door_answers_what_the_document_says_and_all_of_it(
    hub: Hub, address: Address, monkeypatch: pytest.MonkeyPatch, admin_url: str
) -> None:
    for path in DOOR:
        assert document()["paths"][path]["post"]["responses"] == document()["paths"][DOOR[0]]["post"]["responses"]
    told = document()["paths"][DOOR[0]]["post"]["responses"]
    seen: set[tuple[str, str]] = set()
    for answer in heard(hub, address, monkeypatch, admin_url):
        status, kind = str(answer.status), answer.headers["content-type"].partition(";")[0]
        schema = told[status]["content"][kind]["schema"]
        validator(schema).validate(json.loads(answer.body) if kind.endswith("json") else answer.body.decode())
        assert ("retry-after" in answer.headers) == ("Retry-After" in told[status].get("headers", {}))
        if int(status) >= 400:
            assert answer.code in registry()
        seen.add((status, kind))
    assert seen == {(status, kind) for status, answer in told.items() for kind in answer["content"]}


def test_examples_of_refusals_are_what_is_refused() -> None:
    for status, answer in document()["paths"][DOOR[0]]["post"]["responses"].items():
        for content in answer["content"].values():
            validator(content["schema"]).validate(content["example"])
            if int(status) >= 400:
                assert content["example"]["status"] == int(status)
                assert content["example"]["code"] in registry()


def test_paths_of_the_door_are_the_addresses_that_senders_are_told() -> None:
    pattern = document()["paths"][DOOR[0]]["post"]["parameters"][0]["schema"]["pattern"]
    validator({"pattern": pattern}).validate(ref_of(new_id(), new_id()))
    assert not validator({"pattern": pattern}).is_valid("A" * 42 + "=")
