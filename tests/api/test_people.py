"""Members, tenants, rotated keys, the audit log, usage and freshness, as people use them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import connection_alerts, connections, members, scheduling, streams
from storage.database import Database
from storage.streams import Stream
from tests.api.conftest import As, Client


def invite(client: Client, role: str = "member") -> Any:
    return client.post("/v1/members", json={"email": f"{uuid4().hex}@example.com", "role": role})


def active(db: Database, tenant_id: UUID, role: str) -> UUID:
    with db.tenant(tenant_id) as conn:
        made = members.invite(conn, email=f"{uuid4().hex}@x.example", name="", role=role, invited_by="tests")
        joined = members.sign_in(conn, "https://i.example", uuid4().hex, made.email)
        assert joined is not None
        return joined.id


def test_a_member_is_invited_changed_and_removed(admin: Client) -> None:
    made = invite(admin).json()
    assert (made["status"], made["role"], made["joined_at"]) == ("invited", "member", None)
    assert admin.patch(f"/v1/members/{made['id']}", json={"role": "support"}).json()["role"] == "support"
    assert admin.delete(f"/v1/members/{made['id']}").json()["status"] == "removed"
    assert [m["status"] for m in admin.get("/v1/members").json()["items"]] == ["removed"]
    told = admin.get("/v1/audit", params={"order": "oldest", "target_kind": "member"}).json()["items"]
    assert [e["action"] for e in told] == ["member.invite", "member.change", "member.remove"]


def test_an_address_is_invited_once_however_it_is_written(admin: Client) -> None:
    assert admin.post("/v1/members", json={"email": "Ada@Example.com", "role": "member"}).status_code == 201
    again = admin.post("/v1/members", json={"email": "ada@example.COM", "role": "member"})
    assert (again.status_code, again.json()["code"]) == (409, "member_exists")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"email": "nobody", "role": "member"}, 422, "invalid_request"),
        ({"email": "a@example.com", "role": "emperor"}, 422, "unknown_permission"),
        ({"email": "a@example.com", "role": "system_admin"}, 403, "forbidden"),
    ],
)
def test_odd_invitations_are_refused(admin: Client, body: dict[str, str], status: int, code: str) -> None:
    reply = admin.post("/v1/members", json=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_nobody_gives_or_takes_a_role_above_their_own(admin: Client, as_: As, db: Database, tenant_id: UUID) -> None:
    weak = as_("tenant_admin", scopes=["members:read", "members:write"])
    boss = active(db, tenant_id, "tenant_admin")
    active(db, tenant_id, "tenant_admin")
    replies = [
        invite(weak, "tenant_admin"),
        weak.patch(f"/v1/members/{boss}", json={"role": "member"}),
        weak.delete(f"/v1/members/{boss}"),
    ]
    assert [r.status_code for r in replies] == [403] * 3
    assert admin.delete(f"/v1/members/{boss}").status_code == 200


@pytest.mark.parametrize("how", ["remove", "demote"])
def test_the_last_administrator_stays(admin: Client, db: Database, tenant_id: UUID, how: str) -> None:
    last = active(db, tenant_id, "tenant_admin")
    active(db, tenant_id, "member")
    invite(admin, "tenant_admin")

    def act() -> Any:
        path = f"/v1/members/{last}"
        return admin.delete(path) if how == "remove" else admin.patch(path, json={"role": "member"})

    assert (act().status_code, act().json()["code"]) == (409, "last_admin")
    active(db, tenant_id, "tenant_admin")
    assert act().status_code == 200


def test_a_key_is_rotated_with_an_overlap(admin: Client, app_client: Client) -> None:
    made = admin.post("/v1/keys", json={"name": "door", "role": "member", "scopes": ["connectors:read"]}).json()
    rotated = admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 600}).json()
    ends = datetime.fromisoformat(rotated["old"]["expires_at"])
    assert timedelta(seconds=500) < ends - datetime.now(UTC) <= timedelta(seconds=600)
    assert (rotated["new"]["role"], rotated["new"]["scopes"]) == ("member", ["connectors:read"])
    for secret in (made["secret"], rotated["new"]["secret"]):
        assert app_client.get("/v1/connectors", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    admin.post(f"/v1/keys/{rotated['new']['id']}/rotate", json={"overlap_s": 0})
    gone = app_client.get("/v1/connectors", headers={"Authorization": f"Bearer {rotated['new']['secret']}"})
    assert gone.status_code == 401
    again = admin.post(f"/v1/keys/{rotated['new']['id']}/rotate", json={"overlap_s": 0})
    assert (again.status_code, again.json()["code"]) == (409, "key_ended")


def test_rotating_gives_nobody_a_stronger_key(admin: Client, as_: As) -> None:
    strong = admin.post("/v1/keys", json={"name": "strong", "role": "tenant_admin"}).json()
    weak = as_("tenant_admin", scopes=["keys:read", "keys:write"])
    assert weak.post(f"/v1/keys/{strong['id']}/rotate", json={}).status_code == 403


# ---------------------------------------------------------------- tenants


def test_a_tenant_is_created_renamed_closed_and_opened_again(as_: As, app_client: Client, db: Database) -> None:
    root = as_("system_admin")
    del root.headers["Syncline-Tenant"]
    made = root.post("/v1/tenants", json={"name": "Acme"}).json()
    inside = {"Syncline-Tenant": made["id"]}
    key = root.post("/v1/keys", json={"name": "first", "role": "tenant_admin"}, headers=inside).json()["secret"]
    theirs = {"Authorization": f"Bearer {key}"}
    assert app_client.get("/v1/me", headers=theirs).json()["tenant"] == {"id": made["id"], "name": "Acme"}
    assert root.patch(f"/v1/tenants/{made['id']}", json={"name": "Acme 2"}).json()["name"] == "Acme 2"
    assert UUID(made["id"]) in scheduling.tenants(db)
    assert root.post(f"/v1/tenants/{made['id']}/close").json()["closed_at"]
    assert app_client.get("/v1/me", headers=theirs).status_code == 401
    assert UUID(made["id"]) not in scheduling.tenants(db), "nothing of it is kept in step"
    assert root.get(f"/v1/tenants/{made['id']}").json()["closed_at"]
    assert root.post(f"/v1/tenants/{made['id']}/reopen").json()["closed_at"] is None
    assert app_client.get("/v1/me", headers=theirs).status_code == 200
    told = root.get("/v1/audit", params={"order": "oldest"}, headers=inside).json()["items"]
    changes = [e["action"] for e in told if e["action"] != "system.visit"]
    assert changes == ["tenant.create", "key.create", "tenant.rename", "tenant.close", "tenant.reopen"]
    assert sum(e["action"] == "system.visit" for e in told) == 2
    assert root.get("/v1/audit/verify", headers=inside).json()["ok"] is True


def test_tenants_are_listed_page_by_page(as_: As) -> None:
    root = as_("system_admin")
    made = [root.post("/v1/tenants", json={"name": f"T{n}"}).json()["id"] for n in range(3)]
    seen: list[str] = []
    cursor = None
    while True:  # two small pages, then large ones: other tests left tenants by the hundred
        limit = 2 if len(seen) < 4 else 200
        page = root.get("/v1/tenants", params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= limit
        seen += [t["id"] for t in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == sorted(set(seen))
    assert set(made) <= set(seen)


def test_the_systems_own_tenant_cannot_be_closed(as_: As) -> None:
    root = as_("system_admin")
    assert root.post("/v1/tenants/00000000-0000-7000-8000-000000000000/close").status_code == 409


# ---------------------------------------------------------------- the audit log


def test_the_log_is_paged_filtered_and_exported(admin: Client, tenant_id: UUID) -> None:
    ids = [admin.post("/v1/keys", json={"name": n, "role": "member"}).json()["id"] for n in "abc"]
    admin.delete(f"/v1/keys/{ids[0]}")
    first = admin.get("/v1/audit", params={"limit": 3}).json()
    assert [e["seq"] for e in first["items"]] == [4, 3, 2]
    rest = admin.get("/v1/audit", params={"limit": 3, "cursor": first["next"]}).json()
    assert ([e["seq"] for e in rest["items"]], rest["next"]) == ([1], None)
    for params, expected in (
        ({"action": "key.revoke"}, [4]),
        ({"target_id": ids[0]}, [4, 1]),
        ({"actor": "nobody"}, []),
        ({"since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, []),
        ({"until": first["items"][0]["at"], "order": "oldest"}, [1, 2, 3]),
    ):
        assert [e["seq"] for e in admin.get("/v1/audit", params=params).json()["items"]] == expected
    exported = admin.get("/v1/audit/export")
    assert exported.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [e["action"] for e in lines] == ["key.create"] * 3 + ["key.revoke", "audit.export"]
    assert [e["previous"] for e in lines[1:]] == [e["hash"] for e in lines[:-1]]
    assert lines[0]["previous"] == hashlib.sha256().digest_size * 2 * "0"


@pytest.mark.parametrize("cursor", ["x", "bnVsbA", "e30", "IngiIA", "LTE", "MS41", "dHJ1ZQ"])
def test_a_cursor_that_is_not_ours_is_refused(admin: Client, cursor: str) -> None:
    for path in ("/v1/audit", "/v1/members"):
        reply = admin.get(path, params={"cursor": cursor})
        assert reply.status_code in (200, 422) if cursor == "bnVsbA" else reply.status_code == 422


# ---------------------------------------------------------------- usage and freshness


def test_usage_tells_calls_and_what_is_stored(admin: Client, db: Database, tenant_id: UUID) -> None:
    for _ in range(4):
        admin.get("/v1/keys")
    with db.tenant(tenant_id) as conn:
        conn.execute(
            text("INSERT INTO crm_contact (tenant_id, id, created_at, updated_at) VALUES (:t, :i, now(), now())"),
            {"t": tenant_id, "i": new_id()},
        )
    used = admin.get("/v1/usage").json()
    assert [c["calls"] for c in used["calls"]] == [5]
    assert used["calls"][0]["day"] == datetime.now(UTC).date().isoformat()
    assert (used["records"], used["links"]["count"]) == ({"contact": {"count": 1, "exact": True}}, 0)
    assert admin.get("/v1/usage", params={"since": "2026-02-01", "until": "2026-01-01"}).status_code == 422
    assert admin.get("/v1/usage", params={"until": date.min.isoformat()}).status_code in (200, 422)


DAY_S = 86_400


@pytest.mark.parametrize(
    ("status", "age_s", "made_s", "direction", "state"),
    [
        ("idle", 10, 0, "both", "fresh"),
        ("idle", DAY_S, 0, "both", "fresh"),
        ("idle", 2 * DAY_S + 60, 0, "both", "stale"),
        ("idle", None, 10, "both", "never"),
        ("idle", None, 2 * DAY_S + 60, "both", "stale"),
        ("idle", None, 2 * DAY_S + 60, "out", "written"),
        ("braked", 10, 0, "both", "braked"),
    ],
)
def test_health_is_the_age_of_the_last_verified_comparison(
    admin: Client,
    db: Database,
    tenant_id: UUID,
    status: str,
    age_s: int | None,
    made_s: int,
    direction: str,
    state: str,
) -> None:
    made, now = new_id(), datetime.now(UTC)
    with db.tenant(tenant_id) as conn:
        connections.create(conn, made, vendor="hubspot", name="Portal", status="ok")
        streams.put(conn, Stream(made, "contacts", "contact", settings={"direction": direction}))
        ages = {"s": age_s, "m": made_s}
        conn.execute(
            text("""UPDATE stream SET verified_at = now() - make_interval(secs => CAST(:s AS int)),
                 created_at = now() - make_interval(secs => :m)"""),
            ages,
        )
        streams.set_status(conn, made, ["contacts"], status)
        connection_alerts.look(conn, now, timedelta(days=2))
    (told,) = admin.get("/v1/health/connections").json()
    (listed,) = admin.get("/v1/connections").json()["items"]
    assert (told["id"], told["state"]) == (str(made), state)
    assert told["target_s"] == 2 * DAY_S
    assert told["age_s"] is None if age_s is None else told["age_s"] >= age_s
    # There is one notion of old: what the list says, what the page says and what is told by events agree.
    assert told["healthy"] == listed["healthy"] == (state not in ("stale", "braked"))
    assert [r["code"] for r in listed["reasons"]] == ([] if listed["healthy"] else [state])
    assert told["reasons"] == listed["reasons"]
    assert told["health_since"] == listed["health_since"]


def test_a_stream_that_hovers_around_its_target_stays_stale_until_it_is_well_below(
    admin: Client, db: Database, tenant_id: UUID
) -> None:
    made = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, made, vendor="hubspot", name="Portal", status="ok")
        streams.put(conn, Stream(made, "contacts", "contact"))
    found = []
    for hours in (49, 40, 30):
        with db.tenant(tenant_id) as conn:
            conn.execute(text("UPDATE stream SET verified_at = now() - make_interval(hours => :h)"), {"h": hours})
            connection_alerts.look(conn, datetime.now(UTC), timedelta(days=2))
        (told,) = admin.get("/v1/health/connections").json()
        found.append((told["state"], told["healthy"]))
    assert found == [("stale", False), ("stale", False), ("fresh", True)]


def test_health_tells_why_a_connection_is_told_as_unhealthy(admin: Client, db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        made = connections.create(conn, new_id(), vendor="hubspot", name="Portal", status="ok").id
        connections.update(conn, made, status="reauth")
    (told,) = admin.get("/v1/health/connections").json()
    assert (told["healthy"], [r["code"] for r in told["reasons"]]) == (False, ["reauth_required"])
    assert told["health_since"] is not None


def test_load_balancers_are_told_whether_to_send_calls(app_client: Client) -> None:
    assert app_client.get("/health/live").json() == {"status": "live"}
    assert app_client.get("/health/ready").json() == {"status": "ready"}
