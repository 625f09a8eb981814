"""A customer moves files in over the API alone: upload, audit, plan, approve, dry run, run, certificate, undo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from bootstrap import job_kinds
from bootstrap import jobs as running
from bootstrap.jobs import Stopped
from bootstrap.wiring import Hub
from migration import service
from migration.certificate import Certificate, certify
from migration.service import Migrations
from storage import audit
from storage.certify import Finding, Findings
from storage.database import Database
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


SCOPES = ["jobs:read", "migrations:read"]
NO_VALUES = {
    "connection.purge": "counts",
    "dead_letters.replay": "counts, by outcome and by problem",
    "mapping.apply": "counts",
    "migration.audit": "numbers, and what is frequent in fields that are not personal",
    "migration.plan": "the plan's id and checksum",
    "migration.undo": "ids and counts",
    "migration.follow": "counts by object",
    "migration.cutover": "counts by object",
    "privacy.erase": "a report of counts",
}
"""Kinds of jobs whose results hold no value of a record, and what they hold."""


def _looks(db: Database, tenant_id: UUID) -> list[tuple[str, str]]:
    with db.tenant(tenant_id) as conn:
        return [(e.target_kind, e.target_id) for e in audit.entries(conn) if e.action == "payload.read"]


def _different(certificate: Certificate) -> Certificate:
    item = Finding("changed_value", "contacts", "1", UUID(int=1), "last_name", "Lovelace", "Byron")
    count = Finding("vendor_count", "contacts", field="records", expected="7001", found="7002")
    return replace(certificate, differences=Findings(2, (item, count)), edited=Findings(1, (item,)))


@pytest.fixture
def shown(admin: Client, own: Hub, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The addresses of everything that a migration shows with values of records, by what it is."""
    monkeypatch.setattr(service, "certify", lambda *a, **k: _different(certify(*a, **k)))
    source = _upload(admin)
    plan = _approved_plan(admin, own, source)
    create = _done(admin, own, "dry-runs", {"plan_id": plan})["id"]
    run = _done(admin, own, "runs", {"plan_id": plan})["id"]
    place = f"/v1/migrations/uploads/{source}/files/contacts.csv"
    admin.put(place, content=CONTACTS.replace("Lovelace", "Lovelace-King").encode(), headers=BYTES)
    change = _done(admin, own, "dry-runs", {"plan_id": plan})["id"]
    jobs = {"creates": create, "changes": change, "run": run}
    return {name: f"/v1/jobs/{job}" for name, job in jobs.items()} | {
        "events": f"/v1/jobs/{change}/events",
        "certificate": f"/v1/migrations/runs/{run}/certificate",
        "page": f"/v1/migrations/runs/{run}/certificate?format=html",
    }


@pytest.mark.parametrize("name", ["creates", "changes", "run", "events", "certificate", "page"])
def test_values_of_records_need_a_permission_and_a_look_at_them_leaves_a_trace(
    as_: As, shown: dict[str, str], db: Database, tenant_id: UUID, name: str
) -> None:
    before = _looks(db, tenant_id)
    blind = as_("tenant_admin", scopes=SCOPES).get(shown[name])
    assert blind.status_code == 200
    assert "last_name" in blind.text
    assert "Lovelace" not in blind.text
    assert _looks(db, tenant_id) == before
    seen = as_("tenant_admin", scopes=[*SCOPES, "payloads:read"]).get(shown[name])
    assert "Lovelace" in seen.text
    kind = "job" if "/jobs/" in shown[name] else "run"
    looked_at = shown[name].split(f"/{kind}s/")[1].split("/")[0]
    assert _looks(db, tenant_id)[len(before) :] == [(kind, looked_at)]


def test_fields_ids_and_counts_stay_where_values_are_left_out(as_: As, shown: dict[str, str]) -> None:
    blind = as_("tenant_admin", scopes=SCOPES)
    change = blind.get(shown["changes"]).json()["result"]["objects"]["contacts"]
    assert change["updated"] == 1
    assert [(d["vendor_id"], d["fields"]) for d in change["diffs"]] == [("1", {"last_name": None})]
    created = blind.get(shown["creates"]).json()["result"]["objects"]["contacts"]["creates"]
    assert [(c["vendor_id"], c["email"]) for c in created] == [("1", None), ("2", None)]
    differing = blind.get(shown["certificate"]).json()["differences"]
    assert differing["total"] == 2
    assert [(f["field"], f["expected"], f["found"]) for f in differing["items"]] == [
        ("last_name", None, None),
        ("records", "7001", "7002"),
    ]


def test_no_value_is_in_a_list_of_jobs_or_in_the_answer_to_a_cancellation(
    admin: Client, shown: dict[str, str], db: Database, tenant_id: UUID
) -> None:
    before = _looks(db, tenant_id)
    listed, cancelled = admin.get("/v1/jobs"), admin.post(f"{shown['changes']}/cancel")
    assert (listed.status_code, cancelled.json()["status"]) == (200, "done")
    for told in (listed.text, cancelled.text):
        assert "last_name" in told
        assert "Lovelace" not in told
    assert _looks(db, tenant_id) == before


def test_it_is_known_of_every_kind_of_job_whether_its_result_holds_values() -> None:
    assert {*job_kinds.WITHOUT_VALUES, *NO_VALUES} == set(job_kinds.KINDS)
    assert not {*job_kinds.WITHOUT_VALUES} & {*NO_VALUES}
