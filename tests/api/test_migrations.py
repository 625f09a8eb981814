"""A customer moves files in over the API alone: upload, audit, plan, approve, dry run, run, certificate, undo."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from bootstrap import jobs as running
from bootstrap.jobs import Stopped
from bootstrap.wiring import Hub
from migration.service import Migrations
from tests.api.conftest import As, Client

BYTES = {"Content-Type": "application/octet-stream"}
CONTACTS = "id,First Name,Last Name,Email\n1,Ada,Lovelace,ada@acme.example\n2,Charles,Babbage,charles@acme.example\n"


def _upload(client: Client, name: str = "Old CRM") -> str:
    made = client.post("/v1/migrations/uploads", json={"name": name})
    assert made.status_code == 201, made.text
    place = f"/v1/migrations/uploads/{made.json()['connection_id']}"
    assert client.put(f"{place}/files/contacts.csv", content=CONTACTS.encode(), headers=BYTES).json()["size"] == len(
        CONTACTS
    )
    return str(made.json()["connection_id"])


def _done(client: Client, hub: Hub, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a job came to."""
    asked = client.post(f"/v1/migrations/{path}", json=body)
    assert asked.status_code == 202, asked.text
    assert running.run(hub, UUID(asked.json()["id"]), "test") == "done"
    return dict(client.get(f"/v1/jobs/{asked.json()['id']}").json())


def _approved_plan(client: Client, hub: Hub, source: str) -> str:
    plan = _done(client, hub, "plans", {"connection_id": source})["result"]
    approval = {"checksum": plan["checksum"]}
    assert client.post(f"/v1/migrations/plans/{plan['plan_id']}/approve", json=approval).json()["is_approved"]
    return str(plan["plan_id"])


@pytest.fixture
def own(hub: Hub, tenant_id: UUID) -> Hub:
    return hub.of(tenant_id)


def test_files_become_records_with_a_certificate_and_can_be_taken_back(admin: Client, own: Hub) -> None:
    source = _upload(admin)
    assert _done(admin, own, "audits", {"connection_id": source})["result"]["audit"]["objects"]
    plan = _approved_plan(admin, own, source)
    dry = _done(admin, own, "dry-runs", {"plan_id": plan})["result"]
    assert dry["objects"]["contacts"]["created"] == 2
    assert admin.get("/v1/records/contact").json()["items"] == []
    run = _done(admin, own, "runs", {"plan_id": plan})
    names = [r["fields"]["last_name"] for r in admin.get("/v1/records/contact").json()["items"]]
    assert sorted(names) == ["Babbage", "Lovelace"]
    told = admin.get(f"/v1/migrations/runs/{run['id']}")
    assert (told.json()["status"], told.json()["objects"]["contacts"]["created"]) == ("done", 2)
    certificate = admin.get(f"/v1/migrations/runs/{run['id']}/certificate")
    assert certificate.json()["objects"]
    page = admin.get(f"/v1/migrations/runs/{run['id']}/certificate", params={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    _done(admin, own, f"runs/{run['id']}/undo", {})
    assert admin.get("/v1/records/contact").json()["items"] == []


def test_a_run_whose_worker_died_is_gone_on_with_and_not_begun_again(
    admin: Client, own: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _approved_plan(admin, own, _upload(admin))
    asked = admin.post("/v1/migrations/runs", json={"plan_id": plan}).json()
    finish = Migrations._finish

    def die(*_: Any, **__: Any) -> Any:
        raise Stopped("stopping")

    monkeypatch.setattr(Migrations, "_finish", die)
    assert running.run(own, UUID(asked["id"]), "first") == "queued"
    monkeypatch.setattr(Migrations, "_finish", finish)
    assert running.run(own, UUID(asked["id"]), "second") == "done"
    runs = admin.get("/v1/migrations/runs").json()
    assert [(r["run_id"], r["status"]) for r in runs] == [(asked["id"], "done")]
    assert len(admin.get("/v1/records/contact").json()["items"]) == 2


def test_an_edit_takes_the_approval_back(admin: Client, own: Hub) -> None:
    plan = _approved_plan(admin, own, _upload(admin))
    text = admin.get(f"/v1/migrations/plans/{plan}").json()["text"]
    edited = admin.put(f"/v1/migrations/plans/{plan}", json={"text": text.replace('"last_name"', '"title"', 1)})
    assert (edited.status_code, edited.json()["is_approved"]) == (200, False)
    asked = admin.post("/v1/migrations/runs", json={"plan_id": plan}).json()
    assert running.run(own, UUID(asked["id"]), "test") == "failed"
    assert admin.get(f"/v1/jobs/{asked['id']}").json()["error"]["code"] in ("plan_not_approved", "plan_changed")


def test_a_plan_that_changed_since_it_was_read_is_not_approved(admin: Client, own: Hub) -> None:
    plan = _done(admin, own, "plans", {"connection_id": _upload(admin)})["result"]
    refused = admin.post(f"/v1/migrations/plans/{plan['plan_id']}/approve", json={"checksum": "0" * 64})
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_changed")


def test_what_is_wrong_with_an_edited_plan_is_told_by_line(admin: Client, own: Hub) -> None:
    plan = _done(admin, own, "plans", {"connection_id": _upload(admin)})["result"]["plan_id"]
    refused = admin.put(f"/v1/migrations/plans/{plan}", json={"text": "this is = no plan ["})
    assert refused.status_code == 422
    assert "line 1" in refused.json()["detail"]


@pytest.mark.parametrize(
    "name", ["..%2Fx.csv", ".csv", "x", "a%00.csv", "x.part", "%2Fetc%2Fpasswd.csv", "a" * 300 + ".csv"]
)
def test_a_file_stays_in_its_folder(admin: Client, name: str) -> None:
    source = _upload(admin)
    place = f"/v1/migrations/uploads/{source}"
    assert admin.put(f"{place}/files/{name}", content=b"x", headers=BYTES).status_code in (400, 404, 415, 422)
    assert admin.get(place).json()["files"] == [{"name": "contacts.csv", "size": len(CONTACTS)}]


def test_a_file_that_is_too_large_or_breaks_off_leaves_nothing(
    admin: Client, app_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _upload(admin)
    settings = app_client.app.state.hub.settings  # type: ignore[attr-defined]
    monkeypatch.setitem(settings.__dict__, "upload_max_mb", 1)
    place = f"/v1/migrations/uploads/{source}"
    reply = admin.put(f"{place}/files/large.csv", content=b"x" * 1_000_001, headers=BYTES)
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    assert [f["name"] for f in admin.get(place).json()["files"]] == ["contacts.csv"]


def test_another_tenants_migrations_are_not_there(as_: As, admin: Client, own: Hub, other_tenant_id: UUID) -> None:
    source = _upload(admin)
    plan = _approved_plan(admin, own, source)
    run = _done(admin, own, "runs", {"plan_id": plan})["id"]
    stranger = as_("tenant_admin", other_tenant_id)
    asked = [
        stranger.get(f"/v1/migrations/uploads/{source}"),
        stranger.put(f"/v1/migrations/uploads/{source}/files/x.csv", content=b"x", headers=BYTES),
        stranger.post("/v1/migrations/audits", json={"connection_id": source}),
        stranger.get(f"/v1/migrations/plans/{plan}"),
        stranger.put(f"/v1/migrations/plans/{plan}", json={"text": "x"}),
        stranger.post(f"/v1/migrations/plans/{plan}/approve", json={"checksum": "0" * 64}),
        stranger.post("/v1/migrations/runs", json={"plan_id": plan}),
        stranger.get(f"/v1/migrations/runs/{run}"),
        stranger.get(f"/v1/migrations/runs/{run}/certificate"),
        stranger.post(f"/v1/migrations/runs/{run}/undo", json={}),
        stranger.post(f"/v1/migrations/runs/{run}/cutover"),
        stranger.get(f"/v1/jobs/{run}"),
    ]
    assert [r.status_code for r in asked] == [404] * len(asked)
    assert stranger.get("/v1/migrations/runs").json() == []
