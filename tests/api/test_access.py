"""Nobody gets in without a key, nobody does more than their role, and nobody reaches another tenant."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.access import PERMISSIONS, ROLES
from storage import api_keys, audit
from storage.database import Database
from tests.api.conftest import As, Client


def test_an_error_is_a_problem_document_with_the_request_id(app_client: Client) -> None:
    reply = app_client.get("/v1/keys", headers={"X-Request-Id": "abc-12345678"})
    assert (reply.status_code, reply.headers["content-type"]) == (401, "application/problem+json")
    body = reply.json()
    assert (body["code"], body["request_id"], reply.headers["x-request-id"]) == (
        "unauthenticated",
        *["abc-12345678"] * 2,
    )


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer sk_", "Bearer sk_AAAA", "Basic {}", "Bearer {}x", "Bearer x{}", "bearer{}"]
)
def test_what_is_no_key_is_refused(app_client: Client, db: Database, tenant_id: UUID, sent: str) -> None:
    with db.tenant(tenant_id) as conn:
        _, secret = api_keys.create(conn, name="k", role="tenant_admin", created_by="tests")
    assert app_client.get("/v1/keys", headers={"Authorization": sent.format(secret)}).status_code == 401


@pytest.mark.parametrize("place", [0, 20, 40])
def test_a_key_with_one_byte_changed_is_refused(app_client: Client, db: Database, tenant_id: UUID, place: int) -> None:
    with db.tenant(tenant_id) as conn:
        _, secret = api_keys.create(conn, name="k", role="tenant_admin", created_by="tests")
    raw = bytearray(base64.urlsafe_b64decode(secret.removeprefix("sk_") + "=="))
    raw[place] ^= 1
    forged = "sk_" + base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    assert app_client.get("/v1/keys", headers={"Authorization": f"Bearer {forged}"}).status_code == 401


def test_expired_and_revoked_keys_are_refused(app_client: Client, admin: Client, db: Database, tenant_id: UUID) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    with db.tenant(tenant_id) as conn:
        _, expired = api_keys.create(conn, name="k", role="read_only", created_by="tests", expires_at=past)
    made = admin.post("/v1/keys", json={"name": "door", "role": "read_only"}).json()
    door = {"Authorization": f"Bearer {made['secret']}"}
    assert app_client.get("/v1/connectors", headers={"Authorization": f"Bearer {expired}"}).status_code == 401
    assert app_client.get("/v1/connectors", headers=door).status_code == 200
    assert admin.delete(f"/v1/keys/{made['id']}").json()["revoked_at"]
    assert app_client.get("/v1/connectors", headers=door).status_code == 401


def test_a_listed_key_shows_no_secret(admin: Client) -> None:
    secret = admin.post("/v1/keys", json={"name": "door", "role": "member"}).json()["secret"]
    assert secret not in admin.get("/v1/keys").text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "x", "role": "emperor"}, 422, "unknown_permission"),
        ({"name": "x", "role": "member", "scopes": ["records:eat"]}, 422, "unknown_permission"),
        ({"name": "x", "role": "system_admin"}, 403, "forbidden"),
        ({"name": "x", "role": "member", "tenant_id": "…"}, 422, "invalid_request"),
        ({"name": 5, "role": "member"}, 422, "invalid_request"),
        ({"name": "x", "role": "member", "expires_at": "2027-01-01T00:00:00"}, 422, "invalid_request"),
    ],
)
def test_odd_keys_are_refused(admin: Client, body: dict[str, Any], status: int, code: str) -> None:
    reply = admin.post("/v1/keys", json=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert [k["name"] for k in admin.get("/v1/keys").json()] == ["test tenant_admin"]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_may_do_what_it_says_and_no_more(as_: As, role: str) -> None:
    client = as_(role)
    allowed = ROLES[role]
    assert client.get("/v1/connectors").status_code == 200
    assert client.get("/v1/keys").status_code == (200 if "keys:read" in allowed else 403)
    assert client.post("/v1/keys", json={"name": "n", "role": "read_only"}).status_code == (
        201 if "keys:write" in allowed else 403
    )


def test_scopes_narrow_a_role_and_never_widen_it(as_: As) -> None:
    assert as_("tenant_admin", scopes=["connectors:read"]).get("/v1/keys").status_code == 403
    assert as_("read_only", scopes=["keys:read"]).get("/v1/keys").status_code == 403


def test_keys_of_another_tenant_are_not_there(as_: As, admin: Client, other_tenant_id: UUID) -> None:
    theirs = as_("tenant_admin", other_tenant_id).post("/v1/keys", json={"name": "theirs", "role": "member"}).json()
    assert admin.delete(f"/v1/keys/{theirs['id']}").status_code == 404
    assert "theirs" not in admin.get("/v1/keys").text


def test_every_role_consists_of_known_permissions() -> None:
    assert {p for role in ROLES.values() for p in role} == set(PERMISSIONS)


def test_changes_are_in_the_audit_log(admin: Client, db: Database, tenant_id: UUID) -> None:
    made = admin.post("/v1/keys", json={"name": "door", "role": "member"}).json()
    admin.delete(f"/v1/keys/{made['id']}")
    with db.tenant(tenant_id) as conn:
        told = [(e.action, e.target_id, e.actor) for e in audit.entries(conn)]
        assert audit.verify(conn).ok
    assert told == [(f"key.{verb}", made["id"], "test tenant_admin") for verb in ("create", "revoke")]
