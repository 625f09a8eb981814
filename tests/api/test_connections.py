"""Accounts are connected, paused, connected anew and disconnected over the API; secrets go in and never come out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api.routes.connections import NewConnection
from bootstrap import jobs as running
from bootstrap.wiring import Hub
from domain.ids import new_id
from sandbox.hubspot.server import HubSpotServer
from storage import audit, connections, disconnecting, streams
from storage.database import Database
from storage.streams import Stream
from storage.sync import records
from tests.api.conftest import As, Client


@pytest.fixture(scope="module")
def portal() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=3) as server:
        yield server


@pytest.fixture
def admin(connecting: As) -> Client:
    return connecting("tenant_admin")


def wanted(portal: HubSpotServer, **changes: Any) -> dict[str, Any]:
    token = {"access_token": portal.token}
    return {"vendor": "hubspot", "name": "portal", "base_url": portal.url, "credentials": token} | changes


@pytest.fixture
def connected(admin: Client, portal: HubSpotServer) -> dict[str, Any]:
    made = admin.post("/v1/connections", json=wanted(portal))
    assert made.status_code == 201, made.text
    return made.json()  # type: ignore[no-any-return]


def stream(db: Database, tenant_id: UUID, connection_id: str, status: str = "idle", name: str = "contacts") -> None:
    with db.tenant(tenant_id) as conn:
        streams.put(conn, Stream(UUID(connection_id), name, "contact", settings={"direction": "in"}))
        streams.set_status(conn, UUID(connection_id), [name], status)


def statuses(db: Database, tenant_id: UUID) -> dict[str, str]:
    with db.tenant(tenant_id) as conn:
        return {s.object: s.status for s in streams.list_all(conn)}


def hub_records(db: Database, tenant_id: UUID, connection_id: str, other: str | None = None) -> tuple[UUID, UUID]:
    """Two contacts that the connection brought; the second one is linked to ``other``, too."""
    with db.tenant(tenant_id) as conn:
        made = [records.create(conn, tenant_id, "contact", {"last_name": n}, "tests") for n in ("Own", "Shared")]
        bound = [(connection_id, "1", made[0]), (connection_id, "2", made[1])]
        for c, vendor_id, record in [*bound, *([(other, "9", made[1])] if other else [])]:
            conn.execute(
                text("""INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin)
                     VALUES (:t, :c, 'contacts', :v, 'contact', :e, 'created')"""),
                {"t": tenant_id, "c": c, "v": vendor_id, "e": record},
            )
    return made[0], made[1]


# ---------------------------------------------------------------- connecting


def test_a_connection_is_stored_once_it_signed_in_and_shows_no_secret(
    admin: Client, connected: dict[str, Any], portal: HubSpotServer, db: Database, tenant_id: UUID
) -> None:
    assert (connected["status"], connected["vendor"], connected["name"]) == ("ok", "hubspot", "portal")
    replies = [admin.get("/v1/connections").text, admin.get(f"/v1/connections/{connected['id']}").text, str(connected)]
    replies.append(admin.post(f"/v1/connections/{connected['id']}/test").text)
    with db.tenant(tenant_id) as conn:
        replies += [str(e.detail) for e in audit.entries(conn)]
        assert [e.action for e in audit.entries(conn)] == ["connection.create", "connection.test"]
    assert [r for r in replies if portal.token in r] == []
    assert '"ok":true' in replies[3]


def test_what_cannot_sign_in_is_not_stored(admin: Client, portal: HubSpotServer) -> None:
    reply = admin.post("/v1/connections", json=wanted(portal, credentials={"access_token": "pat-wrong-canary"}))
    assert (reply.status_code, reply.json()["code"]) == (422, "reauth_required")
    assert "canary" not in reply.text
    assert admin.get("/v1/connections").json()["items"] == []


def test_a_secret_is_taken_as_it_stands_and_a_name_without_blanks_around_it() -> None:
    sent = '{"vendor": "acme", "name": " Acme ", "credentials": {"password": " tea at four "}}'
    body = NewConnection.model_validate_json(sent)
    assert (body.name, body.credentials["password"].get_secret_value()) == ("Acme", " tea at four ")
    assert "tea" not in repr(body)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"vendor": "files", "settings": {"path": "/etc"}}, "uploads_only"),
        ({"vendor": "nobody"}, "unknown_connector"),
        ({"credentials": {}}, "missing_setting"),
        ({"settings": {"colour": "red"}}, "configuration"),
        ({"auth": "oauth2_code"}, "needs_browser"),
        ({"colour": "red"}, "invalid_request"),
    ],
)
def test_odd_wishes_are_refused(admin: Client, portal: HubSpotServer, changes: dict[str, Any], code: str) -> None:
    reply = admin.post("/v1/connections", json=wanted(portal, **changes))
    assert (reply.status_code, reply.json()["code"]) == (422, code)


def test_nobody_names_an_address_unless_the_operator_allows_it(as_: As, portal: HubSpotServer) -> None:
    strict = as_("tenant_admin")
    reply = strict.post("/v1/connections", json=wanted(portal))
    assert (reply.status_code, reply.json()["code"]) == (422, "address_refused")
    begun = strict.post("/v1/connections/oauth/start", json=wanted(portal))
    assert begun.json()["code"] == "address_refused"


def test_a_name_is_taken_once(admin: Client, connected: dict[str, Any], portal: HubSpotServer) -> None:
    assert admin.post("/v1/connections", json=wanted(portal)).json()["code"] == "name_taken"
    second = admin.post("/v1/connections", json=wanted(portal, name="second")).json()
    clash = admin.patch(f"/v1/connections/{second['id']}", json={"name": "portal"})
    assert (clash.status_code, clash.json()["code"]) == (409, "name_taken")
    assert admin.patch(f"/v1/connections/{second['id']}", json={"name": "other"}).json()["name"] == "other"
    first = admin.get("/v1/connections", params={"limit": 1}).json()
    rest = admin.get("/v1/connections", params={"limit": 1, "cursor": first["next"]}).json()
    assert [c["name"] for c in first["items"] + rest["items"]] == ["portal", "other"]
    assert rest["next"] is None


def test_connecting_anew_keeps_the_id_and_lets_waiting_streams_go_on(
    admin: Client, connected: dict[str, Any], portal: HubSpotServer, db: Database, tenant_id: UUID
) -> None:
    stream(db, tenant_id, connected["id"], "reauth")
    stream(db, tenant_id, connected["id"], "paused", "companies")
    body = {"credentials": {"access_token": portal.token}}
    again = admin.post(f"/v1/connections/{connected['id']}/reconnect", json=body)
    assert (again.status_code, again.json()["id"]) == (200, connected["id"])
    assert statuses(db, tenant_id) == {"contacts": "idle", "companies": "paused"}


def test_another_account_never_takes_a_connections_place(
    admin: Client, connected: dict[str, Any], portal: HubSpotServer, db: Database, tenant_id: UUID
) -> None:
    with db.tenant(tenant_id) as conn:
        connections.update(conn, UUID(connected["id"]), remote_account="somebody-else")
    body = {"credentials": {"access_token": portal.token}}
    reply = admin.post(f"/v1/connections/{connected['id']}/reconnect", json=body)
    assert (reply.status_code, reply.json()["code"]) == (409, "other_account")


# ---------------------------------------------------------------- pausing


def test_a_pause_stops_what_moves_and_ends_as_it_began(
    admin: Client, connected: dict[str, Any], db: Database, tenant_id: UUID
) -> None:
    stream(db, tenant_id, connected["id"])
    stream(db, tenant_id, connected["id"], "paused", "companies")
    stream(db, tenant_id, connected["id"], "braked", "deals")
    paused = admin.post(f"/v1/connections/{connected['id']}/pause").json()
    assert (paused["status"], paused["streams"]) == ("paused", {"paused": 2, "braked": 1})
    assert admin.post(f"/v1/connections/{connected['id']}/test").json()["ok"]
    assert admin.get(f"/v1/connections/{connected['id']}").json()["status"] == "paused", "a test ends no pause"
    assert admin.post(f"/v1/connections/{connected['id']}/resume").json()["status"] == "ok"
    assert statuses(db, tenant_id) == {"contacts": "idle", "companies": "paused", "deals": "braked"}


# ---------------------------------------------------------------- disconnecting


def test_disconnecting_forgets_the_credentials_and_connecting_again_goes_on(
    sandbox_hub: Hub, admin: Client, connected: dict[str, Any], portal: HubSpotServer, db: Database, tenant_id: UUID
) -> None:
    stream(db, tenant_id, connected["id"])
    own, _ = hub_records(db, tenant_id, connected["id"])
    gone = admin.delete(f"/v1/connections/{connected['id']}").json()
    assert (gone["connection"]["status"], gone["job"]) == ("disconnected", None)
    with db.tenant(tenant_id) as conn:
        assert conn.execute(text("SELECT count(*) FROM credential")).scalar_one() == 0
    assert statuses(db, tenant_id) == {"contacts": "stopped"}
    assert admin.post(f"/v1/connections/{connected['id']}/test").json()["code"] == "disconnected"
    assert admin.post(f"/v1/connections/{connected['id']}/resume").status_code == 409
    body = {"credentials": {"access_token": portal.token}}
    assert admin.post(f"/v1/connections/{connected['id']}/reconnect", json=body).json()["status"] == "ok"
    assert statuses(db, tenant_id) == {"contacts": "idle"}
    assert admin.get(f"/v1/records/contact/{own}").status_code == 200


@pytest.mark.parametrize(("purge", "left"), [("links", (200, 200)), ("records", (410, 200))])
def test_a_purge_removes_links_and_only_what_no_other_connection_has(
    sandbox_hub: Hub, admin: Client, connected: dict[str, Any], db: Database, tenant_id: UUID, purge: str,
    left: tuple[int, int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(disconnecting, "BATCH", 1)
    stream(db, tenant_id, connected["id"])
    with db.tenant(tenant_id) as conn:
        other = str(connections.create(conn, new_id(), vendor="salesforce", name="org").id)
    made = hub_records(db, tenant_id, connected["id"], other)
    job = admin.delete(f"/v1/connections/{connected['id']}", params={"purge": purge}).json()["job"]
    assert running.run(sandbox_hub.of(tenant_id), UUID(job["id"]), "test") == "done"
    assert tuple(admin.get(f"/v1/records/contact/{i}").status_code for i in made) == left
    assert admin.get(f"/v1/connections/{connected['id']}").status_code == 404
    with db.tenant(tenant_id) as conn:
        assert conn.execute(text("SELECT connection_id::text FROM link")).scalars().all() == [other]
        assert audit.entries(conn) is not None
    assert statuses(db, tenant_id) == {}
    if purge == "records":
        assert admin.post(f"/v1/records/contact/{made[0]}/restore").status_code == 200


def test_a_purge_leaves_alone_what_was_connected_again(
    sandbox_hub: Hub, admin: Client, connected: dict[str, Any], portal: HubSpotServer, db: Database, tenant_id: UUID
) -> None:
    made = hub_records(db, tenant_id, connected["id"])
    job = admin.delete(f"/v1/connections/{connected['id']}", params={"purge": "records"}).json()["job"]
    body = {"credentials": {"access_token": portal.token}}
    admin.post(f"/v1/connections/{connected['id']}/reconnect", json=body)
    assert running.run(sandbox_hub.of(tenant_id), UUID(job["id"]), "test") == "failed"
    assert admin.get(f"/v1/jobs/{job['id']}").json()["error"]["code"] == "connected_again"
    assert [admin.get(f"/v1/records/contact/{i}").status_code for i in made] == [200, 200]


# ---------------------------------------------------------------- who may


def test_another_tenants_connection_is_not_there(
    connecting: As, connected: dict[str, Any], other_tenant_id: UUID
) -> None:
    stranger = connecting("tenant_admin", other_tenant_id)
    path = f"/v1/connections/{connected['id']}"
    calls = [
        stranger.get(path), stranger.patch(path, json={"name": "x"}), stranger.delete(path),
        *(stranger.post(f"{path}/{verb}") for verb in ("test", "pause", "resume")),
        stranger.post(f"{path}/reconnect", json={"credentials": {"access_token": "x"}}),
        stranger.post("/v1/connections/oauth/start", json={"connection_id": connected["id"]}),
    ]  # fmt: skip
    assert [c.status_code for c in calls] == [404] * len(calls)
    assert stranger.get("/v1/connections").json()["items"] == []


def test_who_only_reads_changes_nothing(connecting: As, connected: dict[str, Any]) -> None:
    reader = connecting("read_only")
    path = f"/v1/connections/{connected['id']}"
    assert reader.get(path).status_code == 200
    assert reader.delete(path).status_code == reader.post(f"{path}/pause").status_code == 403
