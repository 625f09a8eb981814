"""Subscriptions by the API: made, changed, tried, disabled and replayed by those who may, seen by nobody else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import text
from starlette.testclient import TestClient

from bootstrap.wiring import Hub
from storage import audit, secrets
from storage.database import Database
from tests.api.conftest import As

BASE = "/v1/webhooks/subscriptions"
NEW = {"name": "Billing", "url": "https://hooks.example.com/in", "types": ["contact.*"]}


@pytest.fixture
def made(admin: TestClient) -> dict[str, Any]:
    answer = admin.post(BASE, json=NEW)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_secret_is_shown_once_and_stored_sealed(
    admin: TestClient, made: dict[str, Any], hub: Hub, db: Database, tenant_id: UUID
) -> None:
    assert made["secret"].startswith("whsec_")
    shown = admin.get(f"{BASE}/{made['id']}").json()
    assert "secret" not in shown
    assert shown | {"secret": made["secret"]} == made | {"deliveries": {}}
    assert made["secret"] not in admin.get(BASE).text
    with db.tenant(tenant_id) as conn:
        assert [s["secret"] for s in secrets.valid(conn, hub.vault, UUID(made["id"]))] == [made["secret"]]


def test_a_rotation_keeps_both_secrets_for_a_while(
    admin: TestClient, made: dict[str, Any], hub: Hub, db: Database, tenant_id: UUID
) -> None:
    new = admin.post(f"{BASE}/{made['id']}/rotate", json={"overlap_s": 3600}).json()["secret"]
    with db.tenant(tenant_id) as conn:
        valid = [s["secret"] for s in secrets.valid(conn, hub.vault, UUID(made["id"]))]
    assert valid == [new, made["secret"]]


def test_what_is_given_is_changed_and_the_rest_stays(admin: TestClient, made: dict[str, Any]) -> None:
    changed = admin.patch(f"{BASE}/{made['id']}", json={"types": ["*"], "ordered": False}).json()
    expected = {k: v for k, v in made.items() if k not in ("secret", "updated_at")} | {"types": ["*"], "ordered": False}
    assert {k: v for k, v in changed.items() if k != "updated_at"} == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"url": "http://hooks.example.com/"}, "address_refused"),
        ({"url": "https://169.254.169.254/latest"}, "address_refused"),
        ({"url": "https://localhost:1"}, None),  # a name: judged by its addresses when it is sent to
        ({"types": ["contact.made"]}, "unknown_event"),
        ({"types": []}, "invalid_request"),
        ({"bulk": "some"}, "invalid_request"),
        ({"rate_per_s": 0}, "invalid_request"),
        ({"status": "active"}, "invalid_request"),
        ({"tenant_id": "01990000-0000-7000-8000-000000000009"}, "invalid_request"),
    ],
)
def test_what_cannot_be_is_refused(admin: TestClient, change: dict[str, Any], code: str | None) -> None:
    answer = admin.post(BASE, json=NEW | change)
    assert (answer.status_code, answer.json().get("code")) == ((201, None) if code is None else (422, code))


def test_a_test_is_queued_for_the_endpoint_alone(admin: TestClient, made: dict[str, Any]) -> None:
    other = admin.post(BASE, json=NEW | {"types": ["*"]}).json()
    event = admin.post(f"{BASE}/{made['id']}/test").json()["event_id"]
    (delivery,) = admin.get(f"{BASE}/{made['id']}/deliveries").json()["items"]
    assert (delivery["event_id"], delivery["type"], delivery["status"]) == (event, "webhook.test", "pending")
    assert admin.get(f"{BASE}/{other['id']}/deliveries").json()["items"] == []
    detail = admin.get(f"{BASE}/{made['id']}/deliveries/{event}").json()
    assert detail == delivery | {"tries": []}


def test_deliveries_are_paged_the_newest_first(admin: TestClient, made: dict[str, Any]) -> None:
    queued = [admin.post(f"{BASE}/{made['id']}/test").json()["event_id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = admin.get(f"{BASE}/{made['id']}/deliveries", params=query).json()
        seen += [d["event_id"] for d in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == queued[::-1]
    refused = admin.get(f"{BASE}/{made['id']}/deliveries", params={"cursor": "Ing2Ig"})
    assert refused.json()["code"] == "bad_cursor"


def test_what_ended_can_be_replayed_by_event_and_by_window(
    admin: TestClient, made: dict[str, Any], db: Database, tenant_id: UUID
) -> None:
    events = [admin.post(f"{BASE}/{made['id']}/test").json()["event_id"] for _ in range(3)]
    with db.tenant(tenant_id) as conn:
        conn.execute(text("UPDATE webhook_delivery SET status = 'failed', finished_at = now()"))
    replay = f"{BASE}/{made['id']}/replay"
    assert admin.post(replay, json={"event_id": events[0]}).json() == {"deliveries": 1}
    assert admin.post(replay, json={"since": "2000-01-01T00:00:00Z", "status": "failed"}).json() == {"deliveries": 2}
    assert admin.post(replay, json={"since": "2999-01-01T00:00:00Z"}).json() == {"deliveries": 0}
    assert admin.post(replay, json={}).json()["code"] == "replay_of_everything"


def test_disabling_and_enabling_is_noted_with_who_did_it(
    admin: TestClient, made: dict[str, Any], db: Database, tenant_id: UUID
) -> None:
    assert admin.post(f"{BASE}/{made['id']}/disable").json()["status"] == "disabled"
    assert admin.post(f"{BASE}/{made['id']}/enable").json()["status"] == "active"
    assert admin.delete(f"{BASE}/{made['id']}").status_code == 204
    assert admin.get(f"{BASE}/{made['id']}").status_code == 404
    with db.tenant(tenant_id) as conn:
        noted = [e.action for e in audit.entries(conn, audit.Wanted(target_id=made["id"]))]
    assert noted == [f"webhook_subscription.{verb}" for verb in ("create", "disable", "enable", "remove")]


_ROUTES = [
    ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/enable"), ("POST", "/disable"),
    ("POST", "/test"), ("POST", "/replay"), ("GET", "/deliveries"), ("GET", "/deliveries/01990000-0000-7000-8000-000000000009"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), _ROUTES)
def test_another_tenants_subscription_is_not_there(
    as_: As, made: dict[str, Any], other_tenant_id: UUID, method: str, path: str
) -> None:
    body = {"status": "failed"} if path == "/replay" else {} if method in ("PATCH", "POST") else None
    answer = as_("tenant_admin", other_tenant_id).request(method, f"{BASE}/{made['id']}{path}", json=body)
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(("method", "path"), [r for r in _ROUTES if r[0] != "GET"])
def test_who_may_only_read_changes_nothing(as_: As, made: dict[str, Any], method: str, path: str) -> None:
    answer = as_("read_only").request(method, f"{BASE}/{made['id']}{path}", json={})
    assert answer.status_code == 403


def test_the_catalogue_of_events_gives_schemas(as_: As) -> None:
    found = as_("read_only").get("/v1/webhooks/events").json()
    assert {"contact.created", "opportunity.stage_changed", "migration.completed"} <= {e["name"] for e in found}
    for event in found[:20]:
        Draft202012Validator.check_schema(event["json_schema"])
