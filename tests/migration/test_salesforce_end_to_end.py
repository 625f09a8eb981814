"""A Salesforce org moves in, through the real connector, over HTTP: everything arrives, at the least possible cost."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from connectors.salesforce.connector import SalesforceConnector
from migration.plan_model import FieldUse, Plan
from sandbox.salesforce.server import SandboxServer
from sandbox.salesforce.write import Writer
from storage import runs
from storage.database import Database
from storage.embedded import ServerUrls
from tests.connectors.salesforce.stand_in import FAST, connection_to
from tests.migration.journey import Journey, totals, written
from tests.migration.test_resume import Killed, killed_at

PAGE = 2_000
CONTACTS = 90
MATERIAL = Path(os.environ.get("SYNCLINE_VENDOR_MATERIAL", "/nonexistent"))
TREE = MATERIAL / "data/salesforce_dreamhouse/data"

Travel = Callable[[SandboxServer], Journey]


@pytest.fixture
def travel(db: Database, database_urls: ServerUrls, make_tenant: Callable[[], Any]) -> Travel:
    def start(server: SandboxServer) -> Journey:
        def connect() -> SalesforceConnector:
            return SalesforceConnector(connection_to(server), polling=FAST)

        return Journey(db, database_urls, make_tenant(), connect)

    return start


@pytest.fixture
def make_tenant(db: Database) -> Callable[[], Any]:
    from tests.conftest import new_tenant

    return lambda: new_tenant(db)


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(contacts=CONTACTS) as running:
        yield running


def alive(server: SandboxServer, name: str) -> dict[str, dict[str, Any]]:
    return {i: row for i, row in server.sandbox.org.tables[name].items() if not row.get("IsDeleted")}


def least_calls(server: SandboxServer, plan: Plan) -> int:
    """Calls below which nobody can read this org.

    Signing in and asking who one is: 2. Describing n objects, 25 to a composite call, and the org's own settings: 1 + n/25.
    A page for each 2,000 records of an object, at least one; a download for each file's and note's content, which no query
    returns. Counting afterwards for the certificate, five queries to a composite call.
    """
    objects = [p.object for p in plan.objects]
    pages = sum(max(1, ceil(len(alive(server, name)) / PAGE)) for name in objects)
    content = sum(len(alive(server, name)) for name in ("ContentVersion", "Attachment"))
    return 2 + 1 + ceil(len(objects) / 25) + pages + content + ceil(len(objects) / 5)


def test_looking_at_an_org_fetches_no_content(server: SandboxServer, travel: Travel) -> None:
    assert alive(server, "ContentNote")
    plan = travel(server).propose()
    assert "download" not in server.sandbox.journal.kinds
    notes = next(p for p in plan.objects if p.object == "ContentNote")
    content = next(f for f in notes.fields if f.name == "Content")
    assert content.use is FieldUse.IGNORED
    assert content.fill is None


def test_an_org_moves_in_whole_and_a_second_run_writes_nothing(server: SandboxServer, travel: Travel) -> None:
    journey = travel(server)
    plan = journey.propose()
    preview = journey.dry_run(plan)
    server.sandbox.journal.clear()
    result = journey.run(plan)
    calls = server.sandbox.journal.counted
    assert result.certificate.ok, result.certificate.differences
    assert totals(result.ledgers) == totals({name: p.ledger for name, p in preview.items()})
    for name, ledger in result.ledgers.items():
        assert ledger.source + ledger.left_out == len(alive(server, name)), name
        assert ledger.adds_up, name
    assert calls <= least_calls(server, plan) * 1.02, server.sandbox.journal.kinds
    _check_people(server, journey)
    _check_sales(server, journey)
    _check_files(server, journey)

    before = journey.everything()
    again = journey.run(journey.propose())
    assert written(again.ledgers) == {}
    assert again.certificate.ok
    assert journey.everything() == before


def _check_people(server: SandboxServer, journey: Journey) -> None:
    """Owners, authors and the vendor's own dates stand as the org has them."""
    rows = journey.rows("""SELECT l.vendor_id, o.vendor_id, a.vendor_id, c.source_created_at, c.source_updated_at
        FROM crm_contact c JOIN link l ON l.entity_id = c.id AND l.vendor_object = 'Contact' AND l.origin = 'created'
        LEFT JOIN link o ON o.entity_id = c.owner_id AND o.vendor_object = 'User'
        LEFT JOIN link a ON a.entity_id = c.created_by_id AND a.vendor_object = 'User'""")
    people = alive(server, "Contact")
    assert len(rows) == journey.count("crm_contact") > CONTACTS // 2
    for vendor_id, owner, author, created, updated in rows:
        person = people[vendor_id]
        assert (owner, author) == (person["OwnerId"], person["CreatedById"])
        assert f"{created:%Y-%m-%dT%H:%M:%S}" == person["CreatedDate"][:19]
        assert f"{updated:%Y-%m-%dT%H:%M:%S}" == person["LastModifiedDate"][:19]


def _check_sales(server: SandboxServer, journey: Journey) -> None:
    """Every deal stands in the stage that the org names, and the stage in a pipeline."""
    found = journey.rows("""SELECT l.vendor_id, s.name, p.id IS NOT NULL FROM crm_opportunity o
        JOIN link l ON l.entity_id = o.id AND l.vendor_object = 'Opportunity' LEFT JOIN crm_stage s ON s.id = o.stage_id
        LEFT JOIN crm_pipeline p ON p.id = coalesce(o.pipeline_id, s.pipeline_id)""")
    deals = alive(server, "Opportunity")
    assert {i: stage for i, stage, _ in found} == {i: row["StageName"] for i, row in deals.items()}
    assert all(has_pipeline for *_, has_pipeline in found)


def _check_files(server: SandboxServer, journey: Journey) -> None:
    """Content is the org's, byte for byte; what shares a document is associated with the file itself."""
    stored = dict(
        journey.rows("""SELECT l.vendor_id, a.sha256 FROM crm_attachment a JOIN link l ON l.entity_id = a.id
        AND l.vendor_object IN ('ContentVersion', 'Attachment')""")
    )
    blobs = server.sandbox.org.blobs
    wanted = {*alive(server, "ContentVersion"), *alive(server, "Attachment")}
    assert stored == {i: hashlib.sha256(blobs[i]).hexdigest() for i in wanted}
    latest = {r["ContentDocumentId"]: i for i, r in alive(server, "ContentVersion").items() if r.get("IsLatest")}
    found = set(
        journey.rows("""SELECT f.vendor_id, t.vendor_id FROM crm_association a
        JOIN link x ON x.entity_id = a.id AND x.vendor_object = 'ContentDocumentLink'
        JOIN link f ON f.entity_id = a.from_id JOIN link t ON t.entity_id = a.to_id AND t.vendor_object = 'ContentVersion'""")
    )
    known = set(journey.column("SELECT vendor_id FROM link"))
    notes = alive(server, "ContentNote")  # documents, too, but they become notes
    shared = [r for r in alive(server, "ContentDocumentLink").values() if r["ContentDocumentId"] not in notes]
    assert found
    assert found == {
        (r["LinkedEntityId"], latest[r["ContentDocumentId"]])
        for r in shared
        if r["ContentDocumentId"] in latest and r["LinkedEntityId"] in known
    }


def test_one_contact_edited_in_the_org_is_one_update(server: SandboxServer, travel: Travel) -> None:
    journey = travel(server)
    plan = journey.propose()
    journey.run(plan)
    before = journey.everything()
    linked = journey.column("SELECT vendor_id FROM link WHERE vendor_object = 'Contact' AND origin = 'created'")
    Writer(server.sandbox.org, server.sandbox.auth.user_id).update("Contact", linked[0], {"Department": "Edited"})
    result = journey.run(plan)
    assert written(result.ledgers) == {"Contact": (0, 0, 1)}
    assert result.certificate.ok, result.certificate.differences
    assert journey.rows(
        "SELECT c.department FROM crm_contact c JOIN link l ON l.entity_id = c.id WHERE l.vendor_id = :id", id=linked[0]
    ) == [("Edited",)]
    journey.migrations.undo(result.run_id)
    assert journey.everything() == before


@pytest.mark.parametrize(
    ("object_name", "phase"), [("Contact", "extract"), ("Opportunity", "load"), ("ContentVersion", "attach")]
)
def test_killed_and_resumed_through_the_real_connector(
    server: SandboxServer, travel: Travel, object_name: str, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journey = travel(server)
    plan = journey.propose()
    with monkeypatch.context() as patched:
        killed_at(object_name, phase, 0, patched)
        with pytest.raises(Killed):
            journey.run(plan)
    server.sandbox.journal.clear()
    result = journey.migrations.resume()
    assert result.certificate is not None
    assert result.certificate.ok, result.certificate.differences
    assert all(x.adds_up for x in result.ledgers.values())
    assert server.sandbox.journal.counted < least_calls(server, plan)
    with journey.db.tenant(journey.tenant_id) as connection:
        [run] = runs.latest(connection, journey.tenant_id)
    assert run.status == "done"


def test_a_first_run_taken_back_leaves_nothing(server: SandboxServer, travel: Travel) -> None:
    journey = travel(server)
    before = journey.everything()
    undone = journey.migrations.undo(journey.run().run_id)
    assert undone.kept == []
    assert journey.everything() == before


@pytest.mark.skipif(not TREE.is_dir(), reason="SYNCLINE_VENDOR_MATERIAL names no folder with the dreamhouse sample")
def test_the_vendors_own_sample_org_moves_in(travel: Travel) -> None:
    with SandboxServer(tree=TREE) as server:
        journey = travel(server)
        result = journey.run()
        assert result.certificate.ok, result.certificate.differences
        for name in ("Contact", "Broker__c", "Property__c"):
            assert result.ledgers[name].source == len(alive(server, name)) > 0
        assert written(journey.run().ledgers) == {}
