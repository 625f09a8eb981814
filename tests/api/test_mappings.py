"""Mappings are checked, tried on real records, changed and applied again over the API; every version is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from bootstrap import jobs as running
from bootstrap.syncing import syncing
from bootstrap.wiring import Hub
from sandbox.hubspot.server import HubSpotServer
from storage import audit, mapping_versions
from storage.database import Database
from tests.api.conftest import As, Client

OVERRIDE = '[fields]\ndepartment = { from = "jobtitle", direction = "in" }\n'


@pytest.fixture(scope="module")
def portal() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=6) as server:
        yield server


@pytest.fixture
def admin(connecting: As) -> Client:
    return connecting("tenant_admin")


@pytest.fixture
def base(admin: Client, portal: HubSpotServer) -> str:
    """The address of the mapping of a stream that only reads contacts."""
    body = {
        "vendor": "hubspot",
        "name": "portal",
        "base_url": portal.url,
        "credentials": {"access_token": portal.token},
    }
    connection_id = admin.post("/v1/connections", json=body).json()["id"]
    made = admin.post(f"/v1/connections/{connection_id}/streams", json={"objects": ["contacts"], "direction": "in"})
    assert made.status_code == 201, made.text
    return f"/v1/connections/{connection_id}/streams/contacts/mapping"


Sync = Callable[[], None]


@pytest.fixture
def sync(sandbox_hub: Hub, tenant_id: UUID) -> Sync:
    """One round of everything, as workers would do it."""

    def run() -> None:
        with syncing(sandbox_hub.of(tenant_id)) as syncs:
            for stream in syncs.list():
                report = syncs.run(stream)
                assert report.error is None, report.error

    return run


def contacts(db: Database, tenant_id: UUID) -> dict[UUID, tuple[str | None, str | None, int]]:
    """Title, department and version of every contact."""
    with db.tenant(tenant_id) as conn:
        rows = conn.execute(text("SELECT id, title, department, version FROM crm_contact")).all()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def apply(hub: Hub, tenant_id: UUID, admin: Client, base: str) -> dict[str, Any]:
    job = admin.post(f"{base}/apply")
    assert job.status_code == 202, job.text
    assert running.run(hub.of(tenant_id), UUID(job.json()["id"]), "test") == "done"
    return dict(admin.get(f"/v1/jobs/{job.json()['id']}").json()["result"])


def test_mappings_that_come_with_the_product_are_shown(admin: Client, base: str) -> None:
    listed = admin.get("/v1/mappings").json()
    assert {"vendor": "hubspot", "object": "contacts", "entity": "contact"} in listed
    shipped = admin.get("/v1/mappings/hubspot/contacts").json()
    assert admin.get("/v1/mappings/hubspot/unicorns").json()["code"] == "no_such_mapping"
    assert admin.get(base).json() == {"text": shipped["text"], "version": None, "is_shipped": True}


def test_a_changed_mapping_is_applied_and_changes_nothing_else(
    sandbox_hub: Hub, admin: Client, base: str, sync: Sync, db: Database, tenant_id: UUID
) -> None:
    sync()
    before = contacts(db, tenant_id)
    titled = {i for i, (title, _, _) in before.items() if title}
    assert titled, "the portal has contacts with a job title"
    assert {d for _, d, _ in before.values()} == {None}
    assert admin.put(base, json={"text": OVERRIDE, "override": True}).json()["version"] == 2
    sync()
    assert contacts(db, tenant_id) == before, "what is here changes only when the mapping is applied"
    assert apply(sandbox_hub, tenant_id, admin, base) == {"records": len(before)}
    sync()
    after = contacts(db, tenant_id)
    assert after == {i: (t, t or d, v + (i in titled)) for i, (t, d, v) in before.items()}
    apply(sandbox_hub, tenant_id, admin, base)
    sync()
    assert contacts(db, tenant_id) == after, "applying twice changes nothing"


@pytest.mark.parametrize(
    ("changed", "line", "field"),
    [
        ('\n\n[fields]\ntitle = \nphone = "phone"\n', 4, None),
        ('[fields]\nhorn = "jobtitle"\n', 2, "horn"),
        ('[fields]\n\ntitle = { from = "jobtitle", via = "magic" }\n', 3, "title"),
        ('[spec]\nentity = "account"\n', 2, "entity"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(
    admin: Client, base: str, changed: str, line: int, field: str | None
) -> None:
    verdict = admin.post(f"{base}/validate", json={"text": changed, "override": True}).json()
    assert (verdict["ok"], [(f["line"], f["field"]) for f in verdict["flaws"]]) == (False, [(line, field)])
    refused = admin.put(base, json={"text": changed, "override": True})
    assert (refused.status_code, refused.json()["code"]) == (422, "mapping_spec")
    assert admin.get(f"{base}/versions").json()["items"] == []


def test_another_object_is_not_mapped_here(admin: Client, base: str) -> None:
    companies = admin.get("/v1/mappings/hubspot/companies").json()["text"]
    assert admin.put(base, json={"text": companies}).json()["code"] == "mapping_spec"


def test_fields_that_the_vendor_lacks_are_named(admin: Client, base: str) -> None:
    shipped = admin.get(base).json()["text"]
    known = admin.post(f"{base}/validate", json={"text": shipped}).json()
    changed = '[fields]\ndepartment = { from = "no_such_property", direction = "in" }\n'
    verdict = admin.post(f"{base}/validate", json={"text": changed, "override": True}).json()
    assert (known["ok"], verdict["ok"], verdict["flaws"]) == (True, True, [])
    assert set(verdict["missing"]) - set(known["missing"]) == {"no_such_property"}


def test_a_mapping_is_tried_on_real_records_knowingly(
    connecting: As, admin: Client, base: str, db: Database, tenant_id: UUID
) -> None:
    body = {"text": OVERRIDE, "override": True, "limit": 3}
    found = admin.post(f"{base}/preview", json=body).json()
    assert len(found) == 3
    assert all(r["fields"]["department"] == (r["source"]["jobtitle"] or None) for r in found)
    assert contacts(db, tenant_id) == {}
    assert connecting("member").post(f"{base}/preview", json=body).status_code == 403
    with db.tenant(tenant_id) as conn:
        looked = [(e.action, e.detail) for e in audit.entries(conn) if e.action == "payload.read"]
    assert looked == [("payload.read", {"records": 3})]


def test_every_version_is_kept_and_can_come_back(admin: Client, base: str, db: Database, tenant_id: UUID) -> None:
    shipped = admin.get(base).json()["text"]
    changed = admin.put(base, json={"text": OVERRIDE, "override": True, "reason": "we use it"}).json()
    assert (changed["version"], changed["is_shipped"]) == (2, False)
    back = admin.post(f"{base}/restore", json={"version": 1}).json()
    assert back == {"text": shipped, "version": 3, "is_shipped": True}
    first = admin.get(f"{base}/versions", params={"limit": 2}).json()
    rest = admin.get(f"{base}/versions", params={"cursor": first["next"]}).json()
    told = [(v["version"], v["author"], v["reason"]) for v in first["items"] + rest["items"]]
    assert told == [
        (3, "key:test tenant_admin", "version 1 restored"),
        (2, "key:test tenant_admin", "we use it"),
        (1, "syncline", "before the first change"),
    ]
    assert admin.get(f"{base}/versions/2").json()["text"] == changed["text"]
    assert admin.post(f"{base}/restore", json={"version": 9}).json()["code"] == "no_such_version"
    with db.tenant(tenant_id) as conn:
        done = [(e.action, e.detail) for e in audit.entries(conn) if e.action.startswith("mapping.")]
    assert done == [("mapping.change", {"version": 2}), ("mapping.restore", {"version": 3})]


def test_who_maps_by_the_old_rules_can_commit_no_more(admin: Client, base: str, db: Database, tenant_id: UUID) -> None:
    generation = text("SELECT generation FROM stream")
    with db.tenant(tenant_id) as conn:
        before = conn.execute(generation).scalar_one()
    admin.put(base, json={"text": OVERRIDE, "override": True})
    with db.tenant(tenant_id) as conn:
        assert conn.execute(generation).scalar_one() == before + 1


def test_fingerprints_are_forgotten_batch_by_batch(
    base: str, sync: Sync, db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync()
    monkeypatch.setattr(mapping_versions, "BATCH", 4)
    connection_id, seen, after = UUID(base.split("/")[3]), [], None
    while True:
        with db.tenant(tenant_id) as conn:
            count, after = mapping_versions.forget_fingerprints(conn, connection_id, "contacts", after)
        if not count:
            break
        seen.append(count)
    assert len(seen) > 1
    assert sum(seen) == len(contacts(db, tenant_id))
    with db.tenant(tenant_id) as conn:
        assert conn.execute(text("SELECT count(*) FROM link WHERE fingerprint IS NOT NULL")).scalar_one() == 0


def test_another_tenants_mapping_is_not_there(connecting: As, base: str, other_tenant_id: UUID) -> None:
    stranger = connecting("tenant_admin", other_tenant_id)
    body = {"text": OVERRIDE, "override": True}
    calls = [
        stranger.get(base), stranger.put(base, json=body), stranger.post(f"{base}/validate", json=body),
        stranger.post(f"{base}/preview", json=body), stranger.get(f"{base}/versions"), stranger.post(f"{base}/apply"),
        stranger.get(f"{base}/versions/1"), stranger.post(f"{base}/restore", json={"version": 1}),
    ]  # fmt: skip
    assert [c.status_code for c in calls] == [404] * len(calls)
    assert connecting("member").put(base, json=body).status_code == 403
