"""Support staff work the queue over the API as by the command line; what a letter holds is looked at knowingly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.routes import jobs as job_routes
from api.routes.jobs import JobOut
from bootstrap import jobs as running
from bootstrap.wiring import Hub
from domain.ids import new_id
from storage import audit, connections, dead_letters, jobs
from storage.database import Database
from storage.dead_letters import NewLetter
from tests.api.conftest import As, Client

SECRET = "tea-at-four"
CAUSES = [("required_missing", "email"), ("required_missing", "email"), ("not_a_date", "born")]


@pytest.fixture
def letters(db: Database, tenant_id: UUID) -> list[str]:
    """Three letters of two causes; no stream keeps their object in step."""
    with db.tenant(tenant_id) as conn:
        connection = connections.create(conn, new_id(), vendor="hubspot", name=f"HubSpot {tenant_id}").id
        made = [
            NewLetter("map", code, f"{field}: not understood.", connection, None, "contacts", str(n), "contact",
                      field=field, payload={"id": n, field: SECRET})
            for n, (code, field) in enumerate(CAUSES)
        ]  # fmt: skip
        dead_letters.record(conn, tenant_id, made)
        return [str(a.id) for a in dead_letters.list_letters(conn)]


def test_letters_come_in_pages_without_what_they_hold(admin: Client, letters: list[str]) -> None:
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        reply = admin.get("/v1/dead-letters", params={"limit": 2} | cursor)
        assert SECRET not in reply.text
        seen += [a["id"] for a in reply.json()["items"]]
        if reply.json()["next"] is None:
            break
        cursor = {"cursor": reply.json()["next"]}
    assert seen == letters


def test_groups_say_what_mends_them(admin: Client, letters: list[str]) -> None:
    groups = admin.get("/v1/dead-letters/groups").json()
    assert [(g["code"], g["count"]) for g in groups] == [("required_missing", 2), ("not_a_date", 1)]
    assert all(g["means"] and g["fix"] for g in groups)
    chosen = admin.get("/v1/dead-letters", params={"fingerprint": groups[0]["fingerprint"]}).json()
    assert [a["id"] for a in chosen["items"]] == letters[:2]


def test_a_look_at_a_payload_needs_a_permission_and_leaves_a_trace(
    as_: As, admin: Client, db: Database, tenant_id: UUID, letters: list[str]
) -> None:
    assert as_("member").get(f"/v1/dead-letters/{letters[0]}/payload").status_code == 403
    assert admin.get(f"/v1/dead-letters/{letters[0]}/payload").json()["payload"]["email"] == SECRET
    with db.tenant(tenant_id) as conn:
        assert [(e.action, e.target_id) for e in audit.entries(conn)] == [("payload.read", letters[0])]


def test_a_mended_record_keeps_what_the_source_sent(admin: Client, letters: list[str]) -> None:
    body = {"set": {"email": "ada@acme.example"}, "remove": ["id"]}
    assert admin.patch(f"/v1/dead-letters/{letters[0]}/payload", json=body).json()["edited_at"]
    held = admin.get(f"/v1/dead-letters/{letters[0]}/payload").json()
    assert (held["payload"], held["original"]) == ({"email": "ada@acme.example"}, {"id": 0, "email": SECRET})


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_nothing_chosen_is_refused(admin: Client, letters: list[str], verb: str) -> None:
    reply = admin.post(f"/v1/dead-letters/{verb}", json={"reason": "why"} if verb == "discard" else {})
    assert (reply.status_code, reply.json()["code"]) == (422, "nothing_chosen")
    assert len(admin.get("/v1/dead-letters").json()["items"]) == 3


def test_a_replay_is_a_job_whose_result_says_how_letters_ended(
    hub: Hub, admin: Client, tenant_id: UUID, letters: list[str]
) -> None:
    job = admin.post("/v1/dead-letters/replay", json={"code": "required_missing"}).json()
    assert (job["status"], job["params"]) == ("queued", {"code": "required_missing"})
    assert running.run(hub.of(tenant_id), UUID(job["id"]), "test") == "done"
    done = admin.get(f"/v1/jobs/{job['id']}").json()
    assert (done["result"]["counts"], done["created_by"]) == ({"still open": 2}, "key:test tenant_admin")
    assert [j["id"] for j in admin.get("/v1/jobs", params={"status": "done"}).json()["items"]] == [job["id"]]


def test_discarded_letters_are_closed_with_the_reason(admin: Client, letters: list[str]) -> None:
    assert admin.post("/v1/dead-letters/discard", json={"ids": letters[:2], "reason": "tests"}).json() == {"count": 2}
    closed = admin.get("/v1/dead-letters", params={"status": "resolved"}).json()["items"]
    assert [(a["id"], a["resolution"]) for a in closed] == [(i, "discarded: tests") for i in letters[:2]]
    assert admin.post("/v1/dead-letters/purge", params={"before": "2100-01-01T00:00:00Z"}).json() == {"count": 2}
    assert [a["id"] for a in admin.get("/v1/dead-letters", params={"status": "all"}).json()["items"]] == letters[2:]


def test_a_preview_of_what_cannot_be_replayed_says_why(admin: Client, letters: list[str]) -> None:
    found = admin.post("/v1/dead-letters/preview", json={"ids": letters[:1]}).json()
    assert [(p["letter"], p["changes"]) for p in found] == [(letters[0], {})]
    assert found[0]["problem"]


def test_another_tenants_letters_are_not_there(as_: As, other_tenant_id: UUID, letters: list[str]) -> None:
    stranger = as_("tenant_admin", other_tenant_id)
    assert stranger.get("/v1/dead-letters").json()["items"] == []
    for path in (letters[0], f"{letters[0]}/payload"):
        assert stranger.get(f"/v1/dead-letters/{path}").status_code == 404
    assert stranger.patch(f"/v1/dead-letters/{letters[0]}/payload", json={"set": {"x": 1}}).status_code == 404
    assert stranger.post("/v1/dead-letters/discard", json={"all": True, "reason": "x"}).json() == {"count": 0}


def test_a_finished_job_is_told_of_once_and_the_stream_ends(hub: Hub, admin: Client, tenant_id: UUID) -> None:
    job = admin.post("/v1/dead-letters/replay", json={"all": True}).json()
    running.run(hub.of(tenant_id), UUID(job["id"]), "test")
    told = admin.get(f"/v1/jobs/{job['id']}/events")
    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.text.count("event: job") == 1
    assert '"status": "done"' in told.text


def test_a_running_job_is_told_of_as_it_gets_on(
    hub: Hub, admin: Client, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_routes, "LOOK_EVERY_S", 0.01)
    job = admin.post("/v1/dead-letters/replay", json={"all": True}).json()
    of, now, lease = hub.of(tenant_id), datetime.now(UTC), timedelta(minutes=1)
    with of.db.tenant(tenant_id) as conn:
        held = jobs.claim(conn, UUID(job["id"]), "test", now, lease)
    assert held is not None
    steps = iter([{"replayed": 1}, {"replayed": 2}])

    def told(found: jobs.Job) -> JobOut:
        """What was seen is shown, and then the job gets on: the next look finds it further."""
        shown, progress = show(found), next(steps, None)
        with of.db.tenant(tenant_id) as conn:
            if progress is not None:
                jobs.renew(conn, held, now, lease, progress)
            elif found.status == "running":
                jobs.finish(conn, held, "done", now, progress={"replayed": 2}, result={})
        return shown

    show = job_routes.shown
    monkeypatch.setattr(job_routes, "shown", told)
    sent = admin.get(f"/v1/jobs/{job['id']}/events").text
    events = [json.loads(line.removeprefix("data: ")) for line in sent.splitlines() if line.startswith("data: ")]
    assert [(e["status"], e["progress"]) for e in events] == [
        ("running", {}), ("running", {"replayed": 1}), ("running", {"replayed": 2}), ("done", {"replayed": 2}),
    ]  # fmt: skip


def test_cancelling_a_job_that_nobody_began_ends_it(admin: Client, letters: list[str]) -> None:
    job = admin.post("/v1/dead-letters/replay", json={"all": True}).json()
    assert admin.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelled"


@pytest.mark.parametrize("cursor", ["x", "bm90LWFuLWlk", "W10", "MQ", "é"])
def test_an_odd_cursor_is_refused(admin: Client, cursor: str) -> None:
    for path in ("/v1/dead-letters", "/v1/jobs", "/v1/conflicts"):
        reply = admin.get(path, params={"cursor": cursor})
        assert (reply.status_code, reply.json()["code"]) == (422, "bad_cursor")
