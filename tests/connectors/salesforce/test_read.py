"""Listings against the stand-in org: order, resume, incremental, bulk, deletions, cost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.contract import ReadRequest
from connectors.salesforce import soql
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.objects import vendors_own
from connectors.salesforce.read import _taker
from domain.errors import ConfigurationError, CursorExpiredError, PermissionMissingError, TransientError
from domain.records import MISSING, Page
from sandbox.salesforce.faults import Fault
from sandbox.salesforce.schema import parse_field
from sandbox.salesforce.server import SandboxServer
from sandbox.salesforce.write import Writer
from tests.connectors.salesforce.conftest import Connect

FIXTURES = Path(__file__).parent / "fixtures"
CONTACT = ReadRequest("Contact")


def ids(pages: list[Page]) -> list[str]:
    return [row[page.fields.index("Id")] for page in pages for row in page.rows]


def column(pages: list[Page], name: str) -> list[Any]:
    return [row[page.fields.index(name)] for page in pages for row in page.rows]


def live(server: SandboxServer, name: str) -> list[str]:
    rows = server.sandbox.org.live(vendors_own(name))
    if vendors_own(name) == "Task":
        rows = [row for row in rows if (row.get("TaskSubtype") in ("Email", "ListEmail")) == (name == "EmailTask")]
    return [str(row["Id"]) for row in rows]


def writer(server: SandboxServer) -> Writer:
    return Writer(server.sandbox.org, server.sandbox.auth.user_id)


def update(server: SandboxServer, name: str, record_id: str, **values: Any) -> None:
    writer(server).update(name, record_id, values)


@pytest.fixture
def reader(shared_server: SandboxServer, connect: Connect) -> SalesforceConnector:
    return connect(shared_server)


# ---------------------------------------------------------------- rows


def test_a_page_of_the_documentation_becomes_rows() -> None:
    payload = json.loads((FIXTURES / "query_page.json").read_text("utf-8"))
    take = _taker(("Id", "Email", "LastName"))
    assert [take(record) for record in payload["records"]] == [
        ("0031U00000N9XyzQAF", None, "Okafor"),
        ("0031U00000N9XzzQAF", MISSING, "Núñez"),
    ]
    assert _taker(("Id",))(payload["records"][0]) == ("0031U00000N9XyzQAF",)


def test_records_come_in_the_order_of_their_cursors(reader: SalesforceConnector) -> None:
    pages = list(reader.read(CONTACT))
    keys = list(zip(column(pages, "SystemModstamp"), ids(pages), strict=True))
    assert keys == sorted(keys)


def test_every_object_is_listed_in_full(reader: SalesforceConnector, shared_server: SandboxServer) -> None:
    for name in reader.describe().objects:
        pages = list(reader.read(ReadRequest(name, fields=("Id",))))
        wanted = set(live(shared_server, name))
        if name == "Group":
            wanted = {str(g["Id"]) for g in shared_server.sandbox.org.live("Group") if g["Type"] == "Queue"}
        assert sorted(ids(pages)) == sorted(wanted), name
        assert pages[-1].last, name


def test_notes_bring_their_text(reader: SalesforceConnector) -> None:
    pages = list(reader.read(ReadRequest("ContentNote", limit=3)))
    texts = column(pages, "Content")
    assert len(texts) == 3
    assert all(isinstance(t, str) and len(t) > 5 for t in texts)


def test_a_query_too_long_for_an_address_travels_in_a_body(server: SandboxServer, connect: Connect) -> None:
    for n in range(400):
        [item] = parse_field(f"A_rather_long_name_of_a_field_{n:04}__c string(10)")
        server.sandbox.org.add_field("Contact", item)
    connector = connect(server)
    connector.describe(["Contact"])
    server.sandbox.journal.clear()
    pages = list(connector.read(CONTACT))
    assert sorted(ids(pages)) == sorted(live(server, "Contact"))
    assert len(pages[0].fields) > 400
    assert server.sandbox.journal.kinds == {"composite": 1}


def test_address_compounds_can_be_asked_for(reader: SalesforceConnector) -> None:
    page = next(
        iter(reader.read(ReadRequest("Account", fields=("Id", "BillingAddress"), expected_count=10**6, limit=3)))
    )
    assert {"city", "street"} <= set(page.rows[0][1])


def test_records_by_id_in_any_number(reader: SalesforceConnector, shared_server: SandboxServer) -> None:
    wanted = live(shared_server, "Contact")[:950]
    pages = list(reader.read(ReadRequest("Contact", fields=("Id",), ids=tuple(wanted))))
    assert sorted(ids(pages)) == sorted(wanted)
    resumed = list(reader.read(ReadRequest("Contact", fields=("Id",), ids=tuple(wanted), cursor=pages[0].cursor)))
    assert sorted(ids(pages[1:])) == sorted(ids(resumed))
    [empty] = reader.read(ReadRequest("Contact", ids=()))
    assert (len(empty), empty.last) == (0, True)


def test_a_limit_leaves_the_listing_open(reader: SalesforceConnector) -> None:
    """An incomplete listing never implies a delete."""
    pages = list(reader.read(ReadRequest("Contact", fields=("Id",), limit=2500)))
    assert [len(p) for p in pages] == [2000, 500]
    assert not any(p.last for p in pages)
    rest = list(reader.read(ReadRequest("Contact", fields=("Id",), cursor=pages[-1].cursor)))
    assert len(ids(rest)) == 1700
    assert not set(ids(rest)) & set(ids(pages))


def test_a_limit_above_the_count_is_a_complete_listing(reader: SalesforceConnector) -> None:
    *_, last = reader.read(ReadRequest("Contact", fields=("Id",), limit=10_000))
    assert last.last


# ---------------------------------------------------------------- resume


def test_resume_in_the_middle_of_thousands_of_ties(connect: Connect) -> None:
    """One bulk load stamps them all alike; only the id tells them apart."""
    with SandboxServer(contacts=2100) as server:
        for row in server.sandbox.org.live("Contact"):
            row["SystemModstamp"] = "2025-05-05T05:05:05.000+0000"
        first, *rest = connect(server).read(CONTACT)
        resumed = list(connect(server).read(replace(CONTACT, cursor=first.cursor)))
        assert len(first) == 2000
        assert ids(resumed) == ids(rest)


def test_a_closed_query_goes_on_where_it_stood(reader: SalesforceConnector, shared_server: SandboxServer) -> None:
    shared_server.sandbox.faults.waiting.append(Fault("cursor_lost", calls="query_more"))
    pages = list(reader.read(CONTACT))
    assert sorted(ids(pages)) == sorted(live(shared_server, "Contact"))
    assert pages[-1].last


def test_a_query_that_is_closed_again_and_again_is_given_up(
    reader: SalesforceConnector, shared_server: SandboxServer
) -> None:
    shared_server.sandbox.faults.waiting.append(Fault("cursor_lost", calls="query_more", times=1000))
    try:
        pages = list(reader.read(CONTACT))  # each new query still brings its first page
        assert sorted(ids(pages)) == sorted(live(shared_server, "Contact"))
    finally:
        shared_server.sandbox.faults.waiting.clear()


def test_an_object_without_stamps_goes_by_id(server: SandboxServer, connect: Connect) -> None:
    server.sandbox.org.remove_field("Product2", "SystemModstamp")
    connector = connect(server)
    [page] = connector.read(ReadRequest("Product2", limit=3))
    assert page.cursor["mode"] == "id"
    rest = list(connector.read(ReadRequest("Product2", cursor=page.cursor)))
    assert sorted(ids([page, *rest])) == sorted(live(server, "Product2"))
    again = list(connector.read(ReadRequest("Product2", cursor=rest[-1].cursor)))
    assert sorted(ids(again)) == sorted(live(server, "Product2"))


@pytest.mark.parametrize("kind", ["lost_answer", "truncated", "reset", "error"])
def test_a_lost_page_is_asked_for_again(reader: SalesforceConnector, shared_server: SandboxServer, kind: str) -> None:
    shared_server.sandbox.faults.waiting.append(Fault(kind, calls="query_more", status=503))
    assert len(ids(list(reader.read(CONTACT)))) == 4200


def test_a_page_that_is_no_json_is_transient(reader: SalesforceConnector, shared_server: SandboxServer) -> None:
    shared_server.sandbox.faults.waiting.append(Fault("malformed", calls="query_more"))
    with pytest.raises(TransientError):
        list(reader.read(CONTACT))


@pytest.mark.parametrize("object_name", ["Task", "Event"])
@pytest.mark.parametrize("expected", [None, 60_000])
def test_archived_activities_are_not_left_behind(
    server: SandboxServer, connect: Connect, object_name: str, expected: int | None
) -> None:
    """Queries hide them, and deleted ones; only queryAll lists both."""
    gone = live(server, object_name)[0]
    writer(server).delete(object_name, gone)
    connector = connect(server)
    found = ids(list(connector.read(ReadRequest(object_name, expected_count=expected))))
    assert sorted(found) == sorted(live(server, object_name))
    assert gone not in found
    assert connector.count([object_name]) == {object_name: len(found)}
    paths = " ".join(e["path"] for e in server.sandbox.journal.entries)
    job = next(iter(server.sandbox.bulk.jobs.values()), None)
    assert "queryAll" in paths or (job is not None and job.operation == "queryAll")


# ---------------------------------------------------------------- incremental


def test_an_incremental_read_lists_what_changed(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    *_, last = connector.read(CONTACT)
    changed = live(server, "Contact")[7]
    update(server, "Contact", changed, Title="Chief of Tests")
    pages = list(connector.read(replace(CONTACT, cursor=last.cursor)))
    assert changed in ids(pages)
    assert len(ids(pages)) < 10


def test_what_moves_only_system_modstamp_is_not_missed(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    *_, last = connector.read(CONTACT)
    row = server.sandbox.org.live("Contact")[3]
    row["SystemModstamp"] = soql.timestamp(datetime.now(UTC)).replace("Z", "+0000")
    assert str(row["Id"]) in ids(list(connector.read(replace(CONTACT, cursor=last.cursor))))


def test_a_late_commit_under_an_earlier_stamp_is_not_missed(server: SandboxServer, connect: Connect) -> None:
    """A transaction stamps a record, the listing runs, the transaction commits."""
    connector, contacts = connect(server), live(server, "Contact")
    update(server, "Contact", contacts[0], Title="Committed in time")
    *_, last = connector.read(CONTACT)
    late = server.sandbox.org.live("Contact")[1]
    late["SystemModstamp"] = soql.timestamp(datetime.now(UTC) - timedelta(minutes=4)).replace("Z", "+0000")
    assert str(late["Id"]) in ids(list(connector.read(replace(CONTACT, cursor=last.cursor))))


def test_incremental_overlap_repeats_records_of_the_last_stamp(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    pages = list(connector.read(CONTACT))
    newest = max(column(pages, "SystemModstamp"))
    again = list(connector.read(replace(CONTACT, cursor=pages[-1].cursor)))
    assert newest in column(again, "SystemModstamp")
    assert len(again) == 1


def test_history_goes_by_its_creation(server: SandboxServer, connect: Connect) -> None:
    schema = connect(server).describe(["OpportunityFieldHistory"]).objects.get("OpportunityFieldHistory")
    if schema is None:
        pytest.skip("the stand-in has no field history")
    assert schema.modified_field == "CreatedDate"


# ---------------------------------------------------------------- deletions

DELETING = replace(CONTACT, deleted=True)


def after_a_while(server: SandboxServer, cursor: dict[str, Any], **since: float) -> dict[str, Any]:
    """The cursor as if the listing had been that long ago."""
    moment = server.sandbox.clock.now() - timedelta(**since)
    return cursor | {"deleted_from": soql.timestamp(moment)}


def test_deletions_come_before_the_changes(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server, clock=server.sandbox.clock.now)
    *_, last = connector.read(DELETING)
    gone = live(server, "Contact")[2]
    writer(server).delete("Contact", gone)
    server.sandbox.clock.advance(120)  # the log is told by whole minutes
    pages = list(connector.read(replace(DELETING, cursor=after_a_while(server, last.cursor, hours=1))))
    assert pages[0].deleted == [gone]
    assert not pages[0].rows
    assert not any(p.deleted for p in pages[1:])
    assert gone not in ids(pages)


def test_deletions_go_on_from_latest_date_covered(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    *_, last = connector.read(DELETING)
    cursor = after_a_while(server, last.cursor, hours=1)
    *_, next_last = connector.read(replace(DELETING, cursor=cursor))
    covered = soql.parse_timestamp(next_last.cursor["deleted_from"])
    now = server.sandbox.clock.now()
    assert covered <= now
    assert now - covered < timedelta(minutes=3)


def test_deletions_beyond_fifteen_days_need_a_full_listing(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    *_, last = connector.read(DELETING)
    with pytest.raises(CursorExpiredError, match="Contact"):
        list(connector.read(replace(DELETING, cursor=after_a_while(server, last.cursor, days=16))))


def test_a_purged_delete_log_needs_a_full_listing(server: SandboxServer, connect: Connect) -> None:
    """earliestDateAvailable is later than the cursor."""
    connector = connect(server)
    *_, last = connector.read(DELETING)
    server.sandbox.org.purged_before = soql.timestamp(datetime.now(UTC) - timedelta(minutes=30)).replace("Z", "+0000")
    with pytest.raises(CursorExpiredError, match="no longer knows"):
        list(connector.read(replace(DELETING, cursor=after_a_while(server, last.cursor, hours=2))))


def test_without_asking_no_deletions_are_looked_up(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    *_, last = connector.read(CONTACT)
    list(connector.read(replace(CONTACT, cursor=after_a_while(server, last.cursor, hours=1))))
    assert not any("deleted" in e["path"] for e in server.sandbox.journal.entries)


# ---------------------------------------------------------------- bulk


def test_large_objects_are_read_by_bulk_and_alike(reader: SalesforceConnector, shared_server: SandboxServer) -> None:
    paged = list(reader.read(CONTACT))
    shared_server.sandbox.journal.clear()
    bulk = list(reader.read(replace(CONTACT, expected_count=60_000)))
    assert "query" not in shared_server.sandbox.journal.kinds
    assert bulk[-1].last
    assert paged[0].fields == bulk[0].fields
    by_id = {row[0]: row for page in bulk for row in page.rows}
    assert by_id == {row[0]: row for page in paged for row in page.rows}
    assert bulk[-1].cursor["modstamp"] == paged[-1].cursor["modstamp"]


@pytest.mark.parametrize("object_name", ["Opportunity", "Property__c", "Task", "Lead", "ContentVersion"])
def test_bulk_values_are_rest_values(reader: SalesforceConnector, object_name: str) -> None:
    request = ReadRequest(object_name)
    rest = {row[0]: row for page in reader.read(request) for row in page.rows}
    bulk = {row[0]: row for page in reader.read(replace(request, expected_count=60_000)) for row in page.rows}
    assert bulk == rest


def test_bulk_resumes_by_job_and_locator(shared_server: SandboxServer, connect: Connect) -> None:
    connector = connect(shared_server)
    connector._reader._bulk._results_max = 1500
    request = replace(CONTACT, fields=("Id",), expected_count=60_000)
    pages = list(connector.read(request))
    assert [len(p) for p in pages] == [0, 1500, 1500, 1200]
    for number, page in enumerate(pages[:-1]):
        other = connect(shared_server)
        other._reader._bulk._results_max = 1500
        rest = list(other.read(replace(request, cursor=json.loads(json.dumps(page.cursor)))))
        assert ids(rest) == ids(pages[number + 1 :])


def test_a_bulk_job_that_is_gone_is_read_anew(reader: SalesforceConnector, shared_server: SandboxServer) -> None:
    request = replace(CONTACT, fields=("Id",), expected_count=60_000)
    first, second, *_ = reader.read(request)
    shared_server.sandbox.bulk.jobs.clear()
    again = list(reader.read(replace(request, cursor=second.cursor)))
    assert len(first) == 0
    assert sorted(ids(again)) == sorted(live(shared_server, "Contact"))
    assert again[-1].last


def test_an_object_that_bulk_does_not_serve_is_paged(reader: SalesforceConnector, shared_server: SandboxServer) -> None:
    shared_server.sandbox.journal.clear()
    pages = list(reader.read(ReadRequest("OpportunityStage", expected_count=60_000)))
    assert sorted(ids(pages)) == sorted(live(shared_server, "OpportunityStage"))
    assert "bulk_create" not in shared_server.sandbox.journal.kinds


def test_bulk_goes_on_incrementally(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    *_, last = connector.read(replace(CONTACT, expected_count=60_000))
    changed = live(server, "Contact")[5]
    update(server, "Contact", changed, Title="Changed since")
    for expected in (None, 60_000):
        found = ids(list(connector.read(replace(CONTACT, cursor=last.cursor, expected_count=expected))))
        assert changed in found
        assert len(found) < 10


# ---------------------------------------------------------------- errors


def test_a_hidden_object_is_absent_and_named_when_read(server: SandboxServer, connect: Connect) -> None:
    server.sandbox.org.permissions.hidden = {"Lead", "Contact.Title"}
    connector = connect(server)
    catalog = connector.describe()
    assert "Lead" not in catalog.objects
    assert "Title" not in catalog.objects["Contact"].field_names
    assert "Lead" not in connector.describe(["Lead", "Contact"]).objects
    assert connector.count(["Lead", "Contact"]) == {"Contact": len(live(server, "Contact"))}
    with pytest.raises(PermissionMissingError, match="Lead"):
        list(connector.read(ReadRequest("Lead")))


def test_a_field_that_disappears_after_describe_is_named(server: SandboxServer, connect: Connect) -> None:
    connector = connect(server)
    connector.describe(["Contact"])
    server.sandbox.org.remove_field("Contact", "Title")
    with pytest.raises(ConfigurationError, match=r"Contact.*Title|Title.*Contact"):
        list(connector.read(CONTACT))


def test_a_misspelt_field_gets_a_suggestion(reader: SalesforceConnector) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean LastName"):
        list(reader.read(ReadRequest("Contact", fields=("LastNam",))))


# ---------------------------------------------------------------- cost


@pytest.mark.parametrize(("object_name", "count"), [("Contact", 4200), ("Account", None), ("OpportunityHistory", None)])
def test_api_cost_of_a_listing_is_the_least_possible(
    shared_server: SandboxServer, connect: Connect, object_name: str, count: int | None
) -> None:
    connector = connect(shared_server)
    connector.describe()
    shared_server.sandbox.journal.clear()
    listed = len(ids(list(connector.read(ReadRequest(object_name, fields=("Id",))))))
    least = -(-listed // 2000)
    assert count in (None, listed)
    assert shared_server.sandbox.journal.counted <= least * 1.02


def test_api_cost_of_a_whole_migration(shared_server: SandboxServer, connect: Connect) -> None:
    """Sign in, describe, count, list everything: one page for each 2,000, five counts or 25 descriptions a call."""
    connector = connect(shared_server)
    shared_server.sandbox.journal.clear()
    catalog = connector.describe()
    counts = connector.count(list(catalog.objects))
    fixed = 1 + -(-(len(catalog.objects) + 1) // 25) + -(-(len(catalog.objects) - 1) // 5)
    assert shared_server.sandbox.journal.counted == fixed
    pages = notes = 0
    for name in catalog.objects:
        if name == "ContentDocumentLink":
            continue  # listed by documents: see its own test
        list(connector.read(ReadRequest(name)))
        pages += max(1, -(-counts[name] // 2000))
        notes += counts[name] if name == "ContentNote" else 0
    assert shared_server.sandbox.journal.counted - fixed <= (pages + notes) * 1.02


def test_links_of_files_cost_a_call_for_four_hundred_documents(
    reader: SalesforceConnector, shared_server: SandboxServer
) -> None:
    """Salesforce lists them only by document."""
    reader.describe(["ContentDocumentLink"])
    shared_server.sandbox.journal.clear()
    pages = list(reader.read(ReadRequest("ContentDocumentLink")))
    assert sorted(ids(pages)) == sorted(live(shared_server, "ContentDocumentLink"))
    documents = len(live(shared_server, "ContentDocument"))
    assert shared_server.sandbox.journal.counted <= 2 + -(-documents // 400)
    for before, page in pairwise(pages):
        rest = list(reader.read(ReadRequest("ContentDocumentLink", cursor=before.cursor)))
        assert set(ids([page])) <= set(ids(rest))


def test_check_costs_two_calls_beside_the_login(shared_server: SandboxServer, connect: Connect) -> None:
    connector = connect(shared_server)
    shared_server.sandbox.journal.clear()
    connector.check()
    assert shared_server.sandbox.journal.kinds == {"login": 1, "composite": 1, "userinfo": 1}
