"""Endpoints and the inbox over the API: secrets shown once, payloads for those who may look, every look and change noted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from bootstrap.wiring import Hub
from storage import audit
from storage.database import Database
from tests.api.conftest import As, Client
from tests.api.intake_calls import SETTINGS, Address, post, send, with_app
from webhooks.inbound.processing import Processing

LEADS = SETTINGS | {"entity": "lead", "fields": {"email": "$.email", "last_name": "$.name"}}


def made(admin: Client, **more: Any) -> Any:
    answer = admin.post(
        "/v1/webhooks/endpoints", json={"name": "forms", "scheme": "generic", "settings": LEADS, **more}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def actions(db: Database, tenant_id: UUID) -> list[str]:
    with db.tenant(tenant_id) as conn:
        return [entry.action for entry in audit.entries(conn)]


def test_a_secret_is_shown_when_it_is_made_and_never_again(admin: Client) -> None:
    endpoint = made(admin)
    secret = endpoint["secrets"]["secret"]
    shown = admin.get(f"/v1/webhooks/endpoints/{endpoint['id']}")
    assert shown.json()["url"].startswith("http://127.0.0.1:8080/hooks/")
    assert [g["generation"] for g in shown.json()["secret_generations"]] == [1]
    assert secret not in shown.text + admin.get("/v1/webhooks/endpoints").text


def test_an_endpoint_lives_from_making_to_removing(admin: Client, db: Database, tenant_id: UUID) -> None:
    endpoint = made(admin)
    at = f"/v1/webhooks/endpoints/{endpoint['id']}"
    assert admin.patch(at, json={"name": "leads", "status": "paused"}).json()["status"] == "paused"
    rotated = admin.post(f"{at}/rotate", json={"overlap_s": 60}).json()
    assert rotated["secrets"]["secret"] != endpoint["secrets"]["secret"]
    assert [g["generation"] for g in admin.get(at).json()["secret_generations"]] == [2, 1]
    assert admin.delete(at).json()["status"] == "removed"
    assert admin.get("/v1/webhooks/endpoints").json() == []
    verbs = ("create", "change", "rotate", "remove")
    assert actions(db, tenant_id) == [f"webhook_endpoint.{verb}" for verb in verbs]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"scheme": "pigeon"}, 404, "no_such_scheme"),
        ({"settings": {"proof": {"kind": "smile"}}}, 422, "scheme_settings"),
        ({"settings": LEADS | {"entity": "dragon"}}, 404, "no_such_entity"),
        ({"settings": LEADS | {"fields": {"wings": "$.w"}}}, 422, "no_such_field"),
        ({"settings": LEADS | {"fields": {"owner_id": "$.o"}}}, 422, "not_postable"),
        ({"secrets": {"smile": "x"}}, 422, "unknown_secret"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_stored(
    admin: Client, change: dict[str, Any], status: int, code: str
) -> None:
    body = {"name": "forms", "scheme": "generic", "settings": LEADS} | change
    answer = admin.post("/v1/webhooks/endpoints", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert admin.get("/v1/webhooks/endpoints").json() == []


JSON = {"Content-Type": "application/json"}


def test_a_sample_shows_what_it_would_become_and_is_not_stored(admin: Client) -> None:
    endpoint = made(admin)
    at = f"/v1/webhooks/endpoints/{endpoint['id']}"
    body = post("1", email=" Ada@Example.com", name="Lovelace")
    [shown] = admin.post(f"{at}/preview", content=body, headers=JSON).json()
    assert (shown["outcome"], shown["entity"]) == ("created", "lead")
    assert shown["changes"]["email"] == [None, "ada@example.com"]
    assert admin.get(at).json()["received"] == 0


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8"]
)
def test_a_sample_of_a_form_is_shown_too(admin: Client, kind: str) -> None:
    endpoint = made(admin, settings=LEADS | {"format": "form"})
    at = f"/v1/webhooks/endpoints/{endpoint['id']}/preview"
    reply = admin.post(at, content=b"id=1&email=ada%40example.com&name=Lovelace", headers={"Content-Type": kind})
    assert reply.status_code == 200, reply.text
    assert reply.json()[0]["changes"]["email"] == [None, "ada@example.com"]


def test_a_sample_that_no_address_would_take_is_refused(admin: Client, hub: Hub) -> None:
    at = f"/v1/webhooks/endpoints/{made(admin)['id']}/preview"
    large = b"x" * (hub.settings.webhook_body_max_bytes + 1)
    for kind, status in (("application/json", 413), ("text/xml", 413), ("image/png", 415)):
        reply = admin.post(at, content=large, headers={"Content-Type": kind})
        assert reply.status_code == status, kind
    assert admin.post(at, content=b'{"id": ', headers=JSON).status_code == 422


def test_the_inbox_tells_what_became_of_a_delivery_and_shows_its_payload_to_those_who_may(
    admin: Client, as_: As, hub: Hub, db: Database, tenant_id: UUID
) -> None:
    address = Address.make(hub, tenant_id, entity="lead", fields=LEADS["fields"])
    bodies = [post(str(n), email=f"{n}@example.com", name="Lovelace") for n in range(3)]
    for body in bodies:
        assert with_app(hub, lambda app, body=body: send(app, address.path, [body], address.signed(body))).status == 202
    Processing(db).process(tenant_id, address.id)

    page = admin.get("/v1/webhooks/inbox", params={"limit": 2}).json()
    rest = admin.get("/v1/webhooks/inbox", params={"limit": 2, "cursor": page["next"]}).json()
    rows = page["items"] + rest["items"]
    assert [row["dedupe_key"] for row in rows] == ["id:2", "id:1", "id:0"]
    assert ({row["outcome"] for row in rows}, rest["next"]) == ({"applied"}, None)
    ledger = admin.get(f"/v1/webhooks/endpoints/{address.id}").json()
    assert (ledger["received"], ledger["pending"], ledger["outcomes"]) == (3, 0, {"applied": 3})

    at = f"/v1/webhooks/inbox/{rows[0]['id']}"
    assert "2@example.com" not in admin.get(at).text
    assert as_("member").get(f"{at}/payload").status_code == 403
    assert admin.get(f"{at}/payload").json()["body"].encode() == bodies[2]
    assert actions(db, tenant_id)[-1] == "webhook_payload.read"
    assert admin.post(f"{at}/replay").json() == {"replayed": 1}
    assert admin.get(at).json()["status"] == "pending"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "endpoints/{id}"), ("DELETE", "endpoints/{id}"), ("POST", "endpoints/{id}/rotate"),
        ("PATCH", "endpoints/{id}"), ("POST", "endpoints/{id}/preview"),
    ],
)  # fmt: skip
def test_another_tenants_endpoint_is_not_there(
    admin: Client, as_: As, other_tenant_id: UUID, method: str, path: str
) -> None:
    endpoint = made(as_("tenant_admin", other_tenant_id))
    answer = admin.request(method, f"/v1/webhooks/{path.format(id=endpoint['id'])}", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_endpoint")


def test_those_who_may_only_read_change_nothing(as_: As) -> None:
    reader = as_("read_only")
    assert reader.get("/v1/webhooks/endpoints").status_code == 200
    assert reader.post("/v1/webhooks/endpoints", json={"name": "x", "scheme": "generic"}).status_code == 403
