"""A person is found, handed over and erased by whoever may; no name of theirs is left in jobs, requests or the audit log."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from bootstrap import jobs as running
from bootstrap import privacy, searching, uploads
from bootstrap.wiring import Hub
from domain.ids import new_id
from storage import audit, blobs, connections
from storage.database import Database
from storage.sync import records
from storage.tables import association, entity_tables, erasure
from tests.api.conftest import As, Client
from tests.support.rows import sample

EMAIL = "ada.byron@engine.example"
WHO = {"email": EMAIL.upper()}


@pytest.fixture
def ada(db: Database, tenant_id: UUID) -> UUID:
    with db.tenant(tenant_id) as conn:
        fields = {"first_name": "Adaline", "last_name": "Lovelace", "email": EMAIL}
        record = records.create(conn, tenant_id, "contact", fields, "tests")
        call = {"kind": "call", "subject": "Analytical talk", "contact_id": record}
        records.create(conn, tenant_id, "activity", call, "tests")
        content = blobs.write(conn, tenant_id, [b"scan"]).sha256
        file = records.create(conn, tenant_id, "attachment", {"name": "scan.pdf", "sha256": content}, "tests")
        ends = {"from_entity": "contact", "from_id": record, "to_entity": "attachment", "to_id": file}
        conn.execute(association.insert().values(sample(association, tenant_id, **ends)))
    return record


def _run(hub: Hub, tenant_id: UUID, job_id: str) -> Any:
    return running.run(hub.of(tenant_id), UUID(job_id), "tests")


def test_a_person_is_handed_over_whole(admin: Client, ada: UUID) -> None:
    found = admin.post("/v1/privacy/find", json=WHO).json()
    assert found == {"records": {"contact": [str(ada)]}, "content": {"activity": 1}, "files": 1, "links": 0}
    exported = admin.post("/v1/privacy/exports", json={"record_id": str(ada)})
    document = json.loads(exported.content)
    assert (exported.status_code, document["format"]) == (200, "syncline.person.1")
    assert [r["first_name"] for r in document["records"]] == ["Adaline"]
    assert [r["subject"] for r in document["content"]] == ["Analytical talk"]
    assert document["files"][0]["content_base64"] == ["c2Nhbg=="]
    assert {c["kind"] for c in document["changes"]} == {"created"}


def test_what_names_a_person_elsewhere_is_handed_over_too(admin: Client, ada: UUID) -> None:
    """A row of a table that is not about people: here a call that somebody named by their address."""
    admin.post("/v1/keys", json={"name": "once", "role": "read_only"}, headers={"Idempotency-Key": EMAIL})
    document = json.loads(admin.post("/v1/privacy/exports", json=WHO).content)
    (mention,) = document["mentions"]
    assert (mention["table"], mention["row"]["key"], mention["values"]) == ("idempotency_key", EMAIL, {"key": EMAIL})


def test_an_erasure_is_a_job_that_proves_itself_and_tells_nobody_who_it_was(
    admin: Client, hub: Hub, db: Database, tenant_id: UUID, ada: UUID
) -> None:
    job = admin.post("/v1/privacy/erasures", json=WHO)
    assert (job.status_code, EMAIL in job.text.lower()) == (202, False)
    with db.tenant(tenant_id) as conn:
        assert not [r for r in conn.execute(select(erasure)) if EMAIL.encode() in bytes(r.ciphertext).lower()]
    assert _run(hub, tenant_id, job.json()["id"]) == "done"
    result = admin.get(f"/v1/jobs/{job.json()['id']}").json()["result"]
    assert (result["records"], result["left"], result["late"]) == ({"contact": 1}, {}, {})
    shown = admin.get(f"/v1/privacy/erasures/{result['erasure']}").json()
    assert (shown["status"], shown["report"]["suppressed"]) == ("done", 1)
    with db.tenant(tenant_id) as conn:
        entry = next(e for e in audit.entries(conn, audit.Wanted(action="person.erase"), limit=10))
        everything = json.dumps(
            [[str(v) for v in e.detail.values()] for e in audit.entries(conn, audit.Wanted(), limit=100)]
        )
        row = conn.execute(select(erasure)).one()
        assert audit.verify(conn).ok
    assert (entry.detail["sha256"], entry.detail["left"]) == (shown["sha256"], 0)
    assert EMAIL not in everything.lower()
    assert (row.ciphertext, row.wrapped_key) == (None, None)
    assert admin.post("/v1/privacy/find", json=WHO).json()["records"] == {}


def test_an_erasure_that_begins_again_changes_nothing_more(hub: Hub, admin: Client, tenant_id: UUID, ada: UUID) -> None:
    job = admin.post("/v1/privacy/erasures", json=WHO).json()
    first = privacy.erase_job(_work(hub, tenant_id, job))
    again = privacy.erase_job(_work(hub, tenant_id, job))
    assert first == again


def _work(hub: Hub, tenant_id: UUID, job: dict[str, Any]) -> running.Work:
    actor = running.Actor("key", "k")
    return running.Work(hub.of(tenant_id), UUID(job["id"]), job["params"], actor, 1, lambda _: None)


def test_who_was_erased_is_refused_until_the_suppression_is_lifted(
    admin: Client, hub: Hub, tenant_id: UUID, ada: UUID
) -> None:
    _run(hub, tenant_id, admin.post("/v1/privacy/erasures", json=WHO).json()["id"])
    again = {"fields": {"last_name": "Byron", "email": EMAIL}}
    refused = admin.post("/v1/records/contact", json=again)
    assert (refused.status_code, refused.json()["code"]) == (422, "person_erased")
    assert admin.post("/v1/privacy/suppressions/lift", json=WHO).json() == {"count": 1}
    assert admin.post("/v1/records/contact", json=again).status_code == 201


def test_answers_that_told_of_the_person_are_forgotten_and_the_calls_not_made_again(
    admin: Client, hub: Hub, db: Database, tenant_id: UUID, ada: UUID
) -> None:
    of_ada = {"json": {"fields": {"last_name": "Byron", "email": EMAIL}}, "headers": {"Idempotency-Key": "a-1"}}
    edit = {"json": {"fields": {"first_name": "Augusta"}}, "headers": {"Idempotency-Key": "a-2"}}
    other = {"json": {"fields": {"last_name": "Babbage"}}, "headers": {"Idempotency-Key": "b-1"}}
    made = admin.post("/v1/records/contact", **of_ada).json()["id"]
    assert admin.patch(f"/v1/records/contact/{ada}", **edit).status_code == 200
    kept = admin.post("/v1/records/contact", **other)
    _run(hub, tenant_id, admin.post("/v1/privacy/erasures", json=WHO).json()["id"])
    with db.tenant(tenant_id) as conn:
        sealed = conn.execute(text("SELECT key, ciphertext IS NULL FROM idempotency_key WHERE key <> '' ORDER BY key"))
        assert dict(tuple(row) for row in sealed if row[0] in ("a-1", "a-2", "b-1")) == {
            "a-1": True,
            "a-2": True,
            "b-1": False,
        }
    for again in (admin.post("/v1/records/contact", **of_ada), admin.patch(f"/v1/records/contact/{ada}", **edit)):
        assert (again.status_code, again.json()["code"]) == (410, "answer_erased")
    assert admin.post("/v1/records/contact", **other).json() == kept.json()
    assert admin.get(f"/v1/records/contact/{made}").status_code == 410


def _workbook(text_in_it: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/sharedStrings.xml", f"<sst><si><t>{text_in_it}</t></si></sst>")
    return held.getvalue()


FILES = {
    "plain.csv": f"Email\n{EMAIL.upper()}\n".encode(),
    "wide.csv": f"Email\n{EMAIL}\n".encode("utf-16"),
    "large.csv": b"x" * ((1 << 20) - 7) + EMAIL.encode(),
    "book.xlsx": _workbook(EMAIL),
    f"of {EMAIL}.csv".replace("@", " at "): b"Email\n",
    "other.csv": b"Email\nbo@engine.example\n",
    "other.xlsx": _workbook("bo@engine.example"),
}


@pytest.mark.parametrize("days", [None, 30])
def test_uploaded_files_that_name_the_person_stand_in_the_proof_with_the_day_they_go(
    admin: Client, hub: Hub, tenant_id: UUID, ada: UUID, days: int | None
) -> None:
    mine = hub.of(tenant_id)
    connection = uploads.create(mine, "Old CRM")
    for name, content in FILES.items():
        with uploads.receiving(mine, connection.id, name) as file:
            file.write(content)
    if days is not None:
        admin.put("/v1/privacy/retention/uploads", json={"days": days})
    job = admin.post("/v1/privacy/erasures", json=WHO).json()
    _run(hub, tenant_id, job["id"])
    found = admin.get(f"/v1/jobs/{job['id']}").json()["result"]["uploads"]
    assert [u["file"] for u in found] == ["book.xlsx", "large.csv", "plain.csv", "wide.csv"]
    assert {u["connection_id"] for u in found} == {str(connection.id)}
    assert all((u["expires"] is None) is (days is None) for u in found)
    now = running.utc_now()
    for later, left in ((timedelta(days=29), 7), (timedelta(days=31), 0 if days else 7)):
        privacy.purge(hub, tenant_id, now + later)
        assert len(uploads.files(mine, connection.id)) == left


@pytest.mark.parametrize("readable", [True, False])
def test_uploaded_files_that_cannot_be_searched_are_told_and_the_proof_is_not_complete(
    admin: Client, hub: Hub, db: Database, tenant_id: UUID, ada: UUID, readable: bool
) -> None:
    mine = hub.of(tenant_id)
    connection = uploads.create(mine, "Old CRM")
    sent = {"other.csv": b"Email\nbo@engine.example\n"}
    if not readable:
        sent |= {
            f"of-{EMAIL}.xlsx".replace("@", "+"): _workbook(EMAIL)[:-30],
            "wide.csv": "Email\n".encode("utf-16") + b"x",
        }
    for name, content in sent.items():
        with uploads.receiving(mine, connection.id, name) as file:
            file.write(content)
    job = admin.post("/v1/privacy/erasures", json=WHO).json()
    _run(hub, tenant_id, job["id"])
    result = admin.get(f"/v1/jobs/{job['id']}").json()["result"]
    told = [(u["file"], u["why"], u["parts"]) for u in result["uploads_unsearched"]]
    assert told == ([] if readable else [
        ("of-ada.byron+engine.example.xlsx", searching.DAMAGED, 0), ("wide.csv", searching.BROKEN_TEXT, 0)
    ])  # fmt: skip
    assert (result["complete"], result["uploads"]) == (readable, [])
    with db.tenant(tenant_id) as conn:
        entry = next(e for e in audit.entries(conn, audit.Wanted(action="person.erase"), limit=10))
    assert (entry.detail["complete"], entry.detail["uploads_unsearched"]) == (readable, len(told))


def test_of_a_person_without_an_address_the_proof_does_not_say_that_everything_was_searched(
    admin: Client, hub: Hub, db: Database, tenant_id: UUID
) -> None:
    with db.tenant(tenant_id) as conn:
        record = records.create(conn, tenant_id, "contact", {"last_name": "Lovelace"}, "tests")
    job = admin.post("/v1/privacy/erasures", json={"record_id": str(record)}).json()
    _run(hub, tenant_id, job["id"])
    result = admin.get(f"/v1/jobs/{job['id']}").json()["result"]
    assert (result["records"], result["sought"], result["complete"]) == ({"contact": 1}, 0, False)


def test_what_is_cached_of_files_goes_with_an_erasure(
    admin: Client, hub: Hub, db: Database, tenant_id: UUID, ada: UUID
) -> None:
    connection = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, connection, vendor="files", name="Export")
    cache = hub.settings.home / "cache" / str(connection)
    cache.mkdir(parents=True)
    (cache / "survey-1.json").write_text(EMAIL)
    _run(hub, tenant_id, admin.post("/v1/privacy/erasures", json=WHO).json()["id"])
    assert not cache.exists()


def test_nobody_reads_or_erases_without_the_permission(as_: As, ada: UUID) -> None:
    for role in ("member", "support", "read_only"):
        assert as_(role).post("/v1/privacy/find", json=WHO).status_code == 403
        assert as_(role).post("/v1/privacy/erasures", json=WHO).status_code == 403


def test_exactly_one_name_says_who_is_meant(admin: Client, ada: UUID) -> None:
    assert admin.post("/v1/privacy/find", json={}).status_code == 422
    assert admin.post("/v1/privacy/find", json=WHO | {"phone": "+4420"}).status_code == 422
    assert admin.post("/v1/privacy/find", json={"record_id": str(new_id())}).json()["code"] == "no_such_person"


def test_a_tenant_chooses_how_long_things_are_kept(
    admin: Client, hub: Hub, db: Database, tenant_id: UUID, ada: UUID
) -> None:
    with db.tenant(tenant_id) as conn:
        records.edit(conn, tenant_id, "contact", ada, {"first_name": "Ada"}, "tests")
        conn.execute(text("UPDATE field_history SET at = now() - interval '40 days'"))
    shown = {r["kind"]: (r["days"], r["own"]) for r in admin.get("/v1/privacy/retention").json()}
    assert (shown["history"], shown["dead_letters"]) == ((None, False), (90, False))
    now = running.utc_now()
    assert "history" not in privacy.purge(hub, tenant_id, now)
    for days, gone in ((41, 0), (39, 1)):
        assert admin.put("/v1/privacy/retention/history", json={"days": days}).json()["own"]
        assert privacy.purge(hub, tenant_id, now)["history"] == gone
    assert admin.put("/v1/privacy/retention/gossip", json={"days": 1}).json()["code"] == "no_such_kind"


def test_a_tombstone_is_kept_while_a_vendor_still_has_the_record(
    admin: Client, hub: Hub, db: Database, tenant_id: UUID, ada: UUID
) -> None:
    with db.tenant(tenant_id) as conn:
        records.delete(conn, tenant_id, "contact", ada, "tests")
        conn.execute(text("UPDATE tombstone SET deleted_at = now() - interval '40 days'"))
        link = {"entity": "contact", "entity_id": ada, "vendor_id": "H1", "origin": "created"}
        table = entity_tables["contact"].metadata.tables["link"]
        conn.execute(table.insert().values(sample(table, tenant_id, **link)))
    admin.put("/v1/privacy/retention/tombstones", json={"days": 30})
    assert privacy.purge(hub, tenant_id, running.utc_now())["tombstones"] == 0
    with db.tenant(tenant_id) as conn:
        conn.execute(text("UPDATE link SET tombstoned_at = now()"))
    assert privacy.purge(hub, tenant_id, running.utc_now())["tombstones"] == 1


def test_a_consent_stands_until_it_is_withdrawn_and_stays_listed(admin: Client, db: Database, tenant_id: UUID) -> None:
    connection = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, connection, vendor="files", name="Ada's mailbox")
    given = {"connection_id": str(connection), "who": EMAIL, "scopes": ["mail.read"], "text_version": "2026-05"}
    made = admin.post("/v1/privacy/consents", json=given)
    assert (made.status_code, made.json()["withdrawn_at"]) == (201, None)
    ended = admin.post(f"/v1/privacy/consents/{made.json()['id']}/withdraw").json()
    assert ended["withdrawn_at"] is not None
    assert admin.post(f"/v1/privacy/consents/{made.json()['id']}/withdraw").json() == ended
    assert admin.get("/v1/privacy/consents", params={"connection_id": str(connection)}).json() == [ended]
