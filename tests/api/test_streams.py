"""What is kept in step is chosen and watched over the API; asking for a pass is a hint to the workers, not the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from bootstrap import privacy
from bootstrap.syncing import kind_of, syncing
from bootstrap.wiring import Hub
from domain.ids import new_id
from sandbox.hubspot.server import HubSpotServer
from storage import audit, credentials, scheduling, streams
from storage.database import Database
from sync_engine.engine import Report
from sync_engine.ports import Lane
from tests.api.conftest import As, Client

PERIOD = timedelta(minutes=5)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def portal() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=3) as server:
        yield server


@pytest.fixture
def admin(connecting: As) -> Client:
    return connecting("tenant_admin")


@pytest.fixture
def connection_id(admin: Client, portal: HubSpotServer) -> str:
    body = {
        "vendor": "hubspot",
        "name": "portal",
        "base_url": portal.url,
        "credentials": {"access_token": portal.token},
    }
    made = admin.post("/v1/connections", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


@pytest.fixture
def base(admin: Client, connection_id: str) -> str:
    """The address of two streams, of which one is only read."""
    base = f"/v1/connections/{connection_id}/streams"
    body = {"objects": ["contacts", "companies"], "direction": "in", "policies": {}}
    made = admin.post(base, json=body)
    assert made.status_code == 201, made.text
    return base


def stand(db: Database, tenant_id: UUID, connection_id: str, **facts: Any) -> None:
    """Let the contacts stand as if a pass had just ended."""
    now = datetime.now(UTC)
    with db.tenant(tenant_id) as conn:
        conn.execute(
            streams.stream.update().where(streams.stream.c.object == "contacts").values({"verified_at": now} | facts)
        )
        conn.execute(streams.stream.update().where(streams.stream.c.object != "contacts").values(status="paused"))


def due(db: Database, tenant_id: UUID, now: datetime | None = None) -> list[tuple[str, bool, bool]]:
    with db.tenant(tenant_id) as conn:
        found = scheduling.waiting(conn, now or datetime.now(UTC), PERIOD, DAY)
    return [(w.object, w.overdue, w.comparing) for w in found]


def test_what_can_be_kept_in_step_is_offered(admin: Client, base: str, connection_id: str) -> None:
    offers = {o["object"]: o for o in admin.get(f"/v1/connections/{connection_id}/offers").json()}
    assert offers["contacts"] == {"object": "contacts", "entity": "contact", "usual": True, "added": True}
    assert offers["deals"]["added"] is False


def test_streams_come_in_pages_with_rules_and_counts(admin: Client, base: str) -> None:
    first = admin.get("/v1/streams", params={"limit": 1}).json()
    rest = admin.get(base, params={"limit": 1, "cursor": first["next"]}).json()
    found = first["items"] + rest["items"]
    assert [(s["object"], s["direction"], s["status"]) for s in found] == [
        ("companies", "in", "idle"),
        ("contacts", "in", "idle"),
    ]
    assert rest["next"] is None
    assert found[0]["rules"]["policy"] == "hub_wins"
    assert (found[0]["lag_s"], found[0]["to_send"], found[0]["dead_letters"]) == (None, 0, 0)


def test_rules_change_one_by_one(admin: Client, base: str) -> None:
    changed = admin.patch(f"{base}/contacts", json={"policies": {"title": "ask"}, "deletes_in": "ignore"}).json()
    assert changed["rules"] | {"policies": {"title": "ask"}, "deletes_in": "ignore"} == changed["rules"]
    assert changed["direction"] == "in", "what is not given stays"
    two_way = admin.patch(f"{base}/contacts", json={"direction": "both"}).json()
    assert (two_way["direction"], two_way["rules"]["policies"]) == ("both", {"title": "ask"})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"objects": ["contacts"]}, 409, "already_exists"),
        ({"objects": ["unicorns"]}, 404, "no_such_stream"),
        ({"objects": ["deals"], "policies": {"horn": "ask"}}, 422, "no_such_field"),
        ({"objects": ["deals"], "policy": "guess"}, 422, "invalid_request"),
        ({"objects": []}, 422, "invalid_request"),
    ],
)
def test_odd_streams_are_refused(admin: Client, base: str, body: dict[str, Any], status: int, code: str) -> None:
    reply = admin.post(base, json=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert len(admin.get(base).json()["items"]) == 2


def test_asking_for_a_run_makes_the_lane_due_until_a_later_poll_ended(
    admin: Client, base: str, connection_id: str, db: Database, tenant_id: UUID
) -> None:
    stand(db, tenant_id, connection_id, not_before=datetime.now(UTC) + timedelta(hours=1), failures=3)
    assert due(db, tenant_id) == []
    began = datetime.now(UTC)
    asked = admin.post(f"{base}/contacts/run")
    assert (asked.status_code, asked.json()["not_before"], asked.json()["failures"]) == (202, None, 3)
    assert due(db, tenant_id) == [("contacts", True, False)]
    for polled_at, left in ((began, [("contacts", True, False)]), (datetime.now(UTC), [])):
        with db.tenant(tenant_id) as conn:
            scheduling.ended_well(conn, UUID(connection_id), "contacts", polled_at=polled_at)
        assert due(db, tenant_id) == left, "a poll that began before somebody asked does not count"


def test_asking_for_a_comparison_makes_it_due(
    admin: Client, base: str, connection_id: str, db: Database, tenant_id: UUID
) -> None:
    stand(db, tenant_id, connection_id, not_before=datetime.now(UTC) + timedelta(hours=1))
    assert due(db, tenant_id) == []
    asked = admin.post(f"{base}/contacts/compare")
    assert (asked.status_code, asked.json()["comparing"], asked.json()["not_before"]) == (202, True, None)
    assert due(db, tenant_id) == [("contacts", False, True)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"resync": {"started_at": "2031-05-06T00:00:00+00:00", "after": "77", "confirmed": True}}, "77"),
        ({"verified_at": None}, None),
        ({"settings": {"direction": "out"}}, None),
    ],
    ids=["goes on", "read whole anyway", "only written"],
)
def test_asking_for_a_comparison_begins_none_that_is_under_way_or_that_has_nothing_to_compare(
    admin: Client, base: str, connection_id: str, db: Database, tenant_id: UUID, facts: dict[str, Any], expected: Any
) -> None:
    stand(db, tenant_id, connection_id, **facts)
    assert admin.post(f"{base}/contacts/compare").status_code == 202
    with db.tenant(tenant_id) as conn:
        resync = conn.scalar(select(streams.stream.c.resync).where(streams.stream.c.object == "contacts"))
    assert (resync or {}).get("after") == expected
    assert (resync is None) == (expected is None)


def test_paused_streams_do_not_run_until_they_are_resumed(admin: Client, base: str, connection_id: str) -> None:
    assert admin.post(f"{base}/contacts/pause").json()["status"] == "paused"
    refused = admin.post(f"{base}/contacts/run")
    assert (refused.status_code, refused.json()["code"]) == (409, "stream_stopped")
    assert admin.post(f"{base}/contacts/resume").json()["status"] == "idle"
    admin.post(f"/v1/connections/{connection_id}/pause")
    assert admin.post(f"{base}/contacts/resume").json()["code"] == "stream_stopped"


def test_deletes_that_brake_a_stream_need_a_word_of_their_own(
    admin: Client, base: str, connection_id: str, db: Database, tenant_id: UUID
) -> None:
    assert admin.post(f"{base}/contacts/allow-deletes").json()["code"] == "not_braked"
    with db.tenant(tenant_id) as conn:
        streams.set_status(conn, UUID(connection_id), ["contacts"], "braked")
    assert admin.post(f"{base}/contacts/resume").json()["code"] == "braked"
    let = admin.post(f"{base}/contacts/allow-deletes").json()
    assert (let["status"], let["comparing"]) == ("idle", True)


def test_a_removed_stream_is_gone_and_every_change_is_audited(
    admin: Client, base: str, db: Database, tenant_id: UUID
) -> None:
    admin.post(f"{base}/contacts/pause")
    assert admin.delete(f"{base}/contacts").status_code == 204
    assert admin.get(f"{base}/contacts").status_code == admin.delete(f"{base}/contacts").status_code == 404
    with db.tenant(tenant_id) as conn:
        told = [e.action for e in audit.entries(conn)]
    assert told == ["connection.create", "stream.add", "stream.add", "stream.pause", "stream.remove"]


def test_another_tenants_streams_are_not_there(
    connecting: As, base: str, connection_id: str, other_tenant_id: UUID
) -> None:
    stranger = connecting("tenant_admin", other_tenant_id)
    one = f"{base}/contacts"
    verbs = ("pause", "resume", "allow-deletes", "run", "compare")
    calls = [
        stranger.get(base), stranger.post(base, json={"objects": ["deals"]}), stranger.get(one), stranger.delete(one),
        stranger.patch(one, json={"policy": "ask"}), stranger.get(f"/v1/connections/{connection_id}/offers"),
        *(stranger.post(f"{one}/{verb}") for verb in verbs),
    ]  # fmt: skip
    assert [c.status_code for c in calls] == [404] * len(calls)
    assert stranger.get("/v1/streams").json()["items"] == []


def test_support_may_run_a_stream_and_not_change_it(connecting: As, base: str) -> None:
    support = connecting("support")
    assert support.post(f"{base}/contacts/run").status_code == 202
    assert support.post(f"{base}/contacts/pause").status_code == 403
    assert connecting("member").post(f"{base}/contacts/run").status_code == 403


# ---------------------------------------------------------------- single passes


def test_single_passes_are_listed_the_newest_first(
    admin: Client, connection_id: str, base: str, sandbox_hub: Hub, tenant_id: UUID, portal: HubSpotServer
) -> None:
    hub, lane = sandbox_hub.of(tenant_id), Lane(tenant_id, UUID(connection_id), "contacts")
    with syncing(hub) as syncs:
        syncs.run_lane(lane)
        syncs.run_lane(lane, poll=False)
        syncs.run_lane(lane, compare=True)
    listed = admin.get(f"{base}/contacts/runs").json()
    assert [(r["kind"], r["complete"], r["code"]) for r in listed["items"]] == [
        ("comparison", True, None), ("notice", True, None), ("poll", True, None),
    ]  # fmt: skip
    first = listed["items"][-1]
    assert sum(first["counts"].values()) == 3
    assert first["calls"] > 0
    assert listed["items"][1]["calls"] == 0
    assert first["started_at"] <= first["ended_at"]
    assert admin.get(f"{base}/companies/runs").json()["items"] == []

    pages, cursor = [], None
    while True:
        page = admin.get(f"{base}/contacts/runs", params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        pages += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == listed["items"]


def test_a_pass_that_failed_says_by_which_error(
    admin: Client, connection_id: str, base: str, sandbox_hub: Hub, tenant_id: UUID, db: Database
) -> None:
    hub, lane = sandbox_hub.of(tenant_id), Lane(tenant_id, UUID(connection_id), "contacts")
    with db.tenant(tenant_id) as conn:
        credentials.save(conn, hub.vault, tenant_id, UUID(connection_id), {"access_token": "revoked"})
    with syncing(hub) as syncs:
        syncs.run_lane(lane)
    (run,) = admin.get(f"{base}/contacts/runs").json()["items"]
    assert (run["complete"], run["stopped"], run["code"]) == (False, "pause_connection", "reauth_required")


def test_a_pass_that_was_killed_is_listed_as_lost(
    admin: Client, connection_id: str, base: str, sandbox_hub: Hub, tenant_id: UUID, db: Database
) -> None:
    """Its process dies: nothing of what it would have done at its end is done."""
    hub, lane = sandbox_hub.of(tenant_id), Lane(tenant_id, UUID(connection_id), "contacts")

    def listed(**query: str) -> list[tuple[str, str, str | None, bool]]:
        runs = admin.get(f"{base}/contacts/runs", params=query).json()["items"]
        assert all((r["ended_at"] is None) is (r["duration_s"] is None) is (r["status"] == "running") for r in runs)
        return [(r["id"], r["status"], r["stopped"], r["complete"]) for r in runs]

    killed, now = str(new_id()), datetime.now(UTC)
    with syncing(hub) as syncs:
        assert syncs.store.take(lane, killed, now, now + timedelta(minutes=2)) is not None
        assert listed() == [(killed, "running", None, False)]
        assert syncs.store.take(lane, killed, now + timedelta(minutes=1), now + timedelta(minutes=3)) is not None
        with db.tenant(tenant_id) as conn:
            conn.execute(text("UPDATE stream SET lease_until = now() - interval '1 second'"))
        assert listed() == [(killed, "lost", "lost", False)]
        syncs.run_lane(lane)
        after = listed()
        syncs.run_lane(lane)
    assert [run[1:] for run in after] == [("ended", None, True), ("lost", "lost", False)]
    assert listed()[1:] == after
    assert listed(limit="1") == listed()[:1]
    lost = admin.get(f"{base}/contacts/runs").json()["items"][-1]
    assert (lost["id"], lost["kind"], lost["counts"], lost["calls"]) == (killed, "poll", {}, 0)
    assert datetime.fromisoformat(lost["started_at"]) == now


def test_letters_that_are_replayed_are_no_pass(
    admin: Client, connection_id: str, base: str, sandbox_hub: Hub, tenant_id: UUID
) -> None:
    hub, lane = sandbox_hub.of(tenant_id), Lane(tenant_id, UUID(connection_id), "contacts")
    now = datetime.now(UTC)
    with syncing(hub) as syncs:
        assert syncs.store.take(lane, uuid4().hex, now, now) is not None
        assert admin.get(f"{base}/contacts/runs").json()["items"] == []
        syncs.run_lane(lane)
    assert [r["status"] for r in admin.get(f"{base}/contacts/runs").json()["items"]] == ["ended"]


def test_passes_are_kept_as_long_as_the_tenant_keeps_them(
    admin: Client, connection_id: str, base: str, sandbox_hub: Hub, tenant_id: UUID
) -> None:
    hub, lane = sandbox_hub.of(tenant_id), Lane(tenant_id, UUID(connection_id), "contacts")
    with syncing(hub) as syncs:
        syncs.run_lane(lane)
    now = datetime.now(UTC)
    privacy.purge(hub, tenant_id, now + timedelta(days=29))
    assert len(admin.get(f"{base}/contacts/runs").json()["items"]) == 1
    assert privacy.purge(hub, tenant_id, now + timedelta(days=31))["runs"] == 1
    assert admin.get(f"{base}/contacts/runs").json()["items"] == []


@pytest.mark.parametrize(
    ("counts", "compared", "poll", "kind"),
    [
        ({}, False, True, "poll"),
        ({"pushed_update": 1}, False, True, "poll"),
        ({}, False, False, "notice"),
        ({"updated": 1, "pushed_update": 1}, False, False, "notice"),
        ({"pushed_update": 1, "push_dead": 1}, False, False, "push"),
        ({"unchanged": 9}, True, True, "comparison"),
        ({}, True, False, "comparison"),
    ],
)
def test_a_pass_is_called_by_the_most_that_it_did(
    counts: dict[str, int], compared: bool, poll: bool, kind: str
) -> None:
    assert kind_of(Report(Counter(counts), compared=compared), poll=poll) == kind
