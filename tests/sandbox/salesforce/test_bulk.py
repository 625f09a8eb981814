"""Bulk API 2.0: states, result sets, uploads, per-record outcomes."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from simple_salesforce import Salesforce

from sandbox.kit.wire import Reply
from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture
def org(empty: InProcess) -> InProcess:
    return empty


def rows(reply: Reply, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reply.content().decode(), newline=""), delimiter=delimiter))


def query_job(org: InProcess, query: str, **options: Any) -> Reply:
    return org.call("POST", "jobs/query", {"operation": "query", "query": query} | options)


def done(org: InProcess, job: Reply, kind: str = "query") -> dict[str, Any]:
    org.clock.advance(1)
    return dict(org.call("GET", f"jobs/{kind}/{job.json['id']}").json)


def test_a_query_job_goes_from_state_to_state(small: InProcess) -> None:
    job = query_job(small, "SELECT Id FROM Contact")
    assert (job.json["state"], job.json["object"], job.json["apiVersion"]) == ("UploadComplete", "Contact", 59.0)
    path = f"jobs/query/{job.json['id']}"
    assert small.call("GET", f"{path}/results").status == 204
    small.clock.advance(0.15)
    assert small.call("GET", path).json["state"] == "InProgress"
    small.clock.advance(0.2)
    info = small.call("GET", path).json
    assert (info["state"], info["numberRecordsProcessed"], info["jobType"]) == ("JobComplete", 300, "V2Query")


def test_results_come_in_sets_that_locators_lead_through(small: InProcess) -> None:
    job = query_job(small, "SELECT Id, Name, Account.Name, DoNotCall, Loyalty_Points__c FROM Contact ORDER BY Id")
    done(small, job)
    base = f"jobs/query/{job.json['id']}/results?maxRecords=120"
    seen, locator, counts = [], "", []
    while locator != "null":
        reply = small.call("GET", base + (f"&locator={locator}" if locator else ""))
        seen += rows(reply)
        counts.append(int(reply.headers["Sforce-NumberOfRecords"]))
        assert reply.content().startswith(b'"Id","Name","Account.Name","DoNotCall","Loyalty_Points__c"\n')
        locator = reply.headers["Sforce-Locator"]
    assert counts == [120, 120, 60]
    assert len({r["Id"] for r in seen}) == 300
    assert {r["DoNotCall"] for r in seen} == {"false"}
    assert "" in {r["Loyalty_Points__c"] for r in seen}  # null and blank look the same


def test_a_set_of_results_can_be_read_twice(small: InProcess) -> None:
    job = query_job(small, "SELECT Id FROM Contact ORDER BY Id")
    done(small, job)
    first = small.call("GET", f"jobs/query/{job.json['id']}/results?maxRecords=100")
    path = f"jobs/query/{job.json['id']}/results?maxRecords=100&locator={first.headers['Sforce-Locator']}"
    assert small.call("GET", path).content() == small.call("GET", path).content() != first.content()


def test_query_all_brings_the_deleted(small: InProcess) -> None:
    job = query_job(
        small, "SELECT Id, IsDeleted FROM Contact", operation="queryAll", columnDelimiter="PIPE", lineEnding="CRLF"
    )
    assert done(small, job)["numberRecordsProcessed"] == 303
    reply = small.call("GET", f"jobs/query/{job.json['id']}/results")
    assert b"\r\n" in reply.content()
    assert sum(r["IsDeleted"] == "true" for r in rows(reply, "|")) == 3


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Id, MailingAddress FROM Contact", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id, VersionData FROM ContentVersion", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT COUNT(Id) FROM Contact", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Name FROM Account GROUP BY Name", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id FROM Contact OFFSET 5", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id FROM OpportunityStage", "INVALIDENTITY"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT", "MALFORMED_QUERY"),
    ],
)
def test_what_a_bulk_query_cannot_have(org: InProcess, query: str, code: str) -> None:
    reply = query_job(org, query)
    assert (reply.status, reply.json[0]["errorCode"]) == (400, code)


# ---------------------------------------------------------------- ingest


def ingest(org: InProcess, operation: str, data: str, kind: str = "Contact", **options: Any) -> Reply:
    job = org.call("POST", "jobs/ingest", {"operation": operation, "object": kind, "contentType": "CSV"} | options)
    assert (job.status, job.json["state"]) == (200, "Open"), job.json
    path = f"jobs/ingest/{job.json['id']}"
    assert org.call("PUT", f"{path}/batches", data.encode(), {"Content-Type": "text/csv"}).status == 201
    assert org.call("PATCH", path, {"state": "UploadComplete"}).json["state"] == "UploadComplete"
    return job


def test_insert_tells_the_fate_of_every_row(org: InProcess) -> None:
    job = ingest(
        org, "insert", 'LastName,Email,Description\nA,a@x.example,"two\nlines, ""quoted"""\nB,broken,\n,c@x.example,\n'
    )
    info = done(org, job, "ingest")
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 3, 2)
    base = f"jobs/ingest/{job.json['id']}"
    good = rows(org.call("GET", f"{base}/successfulResults"))
    assert good[0]["sf__Created"] == "true"
    assert org.call("GET", f"sobjects/Contact/{good[0]['sf__Id']}").json["Description"] == 'two\nlines, "quoted"'
    errors = [r["sf__Error"] for r in rows(org.call("GET", f"{base}/failedResults"))]
    assert errors[0] == "INVALID_EMAIL_ADDRESS:Email: invalid email address: broken:Email --"
    assert errors[1].startswith("REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName")
    assert rows(org.call("GET", f"{base}/unprocessedrecords")) == []


def test_upsert_by_external_id_with_parents_by_theirs_and_explicit_nulls(org: InProcess) -> None:
    org.create("Account", Name="A", ERP_Number__c="E1")
    known = org.create("Contact", LastName="Old", Legacy_Id__c="1", Phone="123", Department="Sales")
    data = "Legacy_Id__c;LastName;Phone;Department;Account.ERP_Number__c\n1;New;#N/A;;E1\n2;Two;5;;\n"
    job = ingest(org, "upsert", data, externalIdFieldName="Legacy_Id__c", columnDelimiter="SEMICOLON")
    assert done(org, job, "ingest")["numberRecordsFailed"] == 0
    good = rows(org.call("GET", f"jobs/ingest/{job.json['id']}/successfulResults"), ";")
    assert [(r["sf__Created"], r["Legacy_Id__c"]) for r in good] == [("false", "1"), ("true", "2")]
    found = org.call("GET", f"sobjects/Contact/{known}").json
    assert (found["LastName"], found["Phone"], found["Department"]) == ("New", None, "Sales")
    assert found["AccountId"] == org.first("Account")


def test_update_and_delete(org: InProcess) -> None:
    ids = [org.create("Contact", LastName=n) for n in "AB"]
    done(org, ingest(org, "update", f"Id,Phone\n{ids[0]},1\n003gK00000ZZZZZ,2\n"), "ingest")
    assert org.call("GET", f"sobjects/Contact/{ids[0]}").json["Phone"] == "1"
    job = ingest(org, "delete", f"Id\n{ids[1]}\n{ids[1]}\n")
    assert done(org, job, "ingest")["numberRecordsFailed"] == 1
    assert rows(org.call("GET", f"jobs/ingest/{job.json['id']}/failedResults"))[0]["sf__Error"].startswith(
        "ENTITY_IS_DELETED:"
    )


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        ("LastName\r\nA\r\n", {}, "LineEnding is invalid on user data. Current LineEnding setting is LF"),
        ("LastName\nA\n", {"lineEnding": "CRLF"}, "Current LineEnding setting is CRLF"),
        ("LastName,Phone\nA\n", {}, "row 1 has 1 columns, the header has 2"),
    ],
)
def test_a_file_that_cannot_be_read_fails_the_job(
    org: InProcess, data: str, options: dict[str, str], error: str
) -> None:
    info = done(org, ingest(org, "insert", data, **options), "ingest")
    assert info["state"] == "Failed"
    assert error in info["errorMessage"]
    assert org.org.live("Contact") == []


def test_a_job_takes_one_upload_while_it_is_open(org: InProcess) -> None:
    job = org.call("POST", "jobs/ingest", {"operation": "insert", "object": "Contact"}).json
    path = f"jobs/ingest/{job['id']}"
    assert org.call("PUT", f"{path}/batches", b"LastName\nA\n", {"Content-Type": "application/json"}).status == 415
    assert org.call("PUT", f"{path}/batches", b"LastName\nA\n", {"Content-Type": "text/csv"}).status == 201
    again = org.call("PUT", f"{path}/batches", b"LastName\nB\n", {"Content-Type": "text/csv"})
    assert "only do 'PUT' once" in again.json[0]["message"]
    assert org.call("PATCH", path, {"state": "Aborted"}).json["state"] == "Aborted"
    assert org.call("PATCH", path, {"state": "UploadComplete"}).json[0]["errorCode"] == "INVALIDJOBSTATE"
    assert org.call("DELETE", path).status == 204
    assert org.call("GET", path).status == 404
    assert org.org.live("Contact") == []


def test_jobs_are_kept_seven_days_and_not_deleted_while_at_work(org: InProcess) -> None:
    job = query_job(org, "SELECT Id FROM Contact")
    path = f"jobs/query/{job.json['id']}"
    assert org.call("DELETE", path).json[0]["errorCode"] == "INVALIDJOBSTATE"
    org.clock.advance(7 * 86_400 + 1)
    org.token = org.sandbox.auth.open_session()
    assert org.call("GET", path).status == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"operation": "merge", "object": "Contact"}, "INVALIDJOB"),
        ({"operation": "upsert", "object": "Contact", "externalIdFieldName": "Phone"}, "INVALIDJOB"),
        ({"operation": "insert", "object": "OpportunityStage"}, "INVALIDENTITY"),
        ({"operation": "insert", "object": "Nope"}, "INVALID_TYPE"),
        ({"operation": "insert", "object": "Contact", "columnDelimiter": "DOT"}, "INVALIDJOB"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(org: InProcess, body: dict[str, str], code: str) -> None:
    assert org.call("POST", "jobs/ingest", body).json[0]["errorCode"] == code


def test_an_upload_over_150_mb_is_refused(org: InProcess) -> None:
    job = org.call("POST", "jobs/ingest", {"operation": "insert", "object": "Contact"}).json
    huge = bytes(150_000_001)
    reply = org.call("PUT", f"jobs/ingest/{job['id']}/batches", huge, {"Content-Type": "text/csv"})
    assert reply.status == 413


# ---------------------------------------------------------------- with the library


def test_the_library_queries_and_loads_in_bulk(sf: Salesforce) -> None:
    pages = list(sf.bulk2.Contact.query("SELECT Id, LastName FROM Contact", max_records=1000, wait=0.2))
    assert sum(len(list(csv.DictReader(io.StringIO(page)))) for page in pages) == 2500
    made = [{"Name": f"Bulk {n}", "ERP_Number__c": f"B{n}"} for n in (0, 1, 2, 1)]
    outcome = sf.bulk2.Account.insert(records=made, wait=0.2)
    assert (outcome[0]["numberRecordsProcessed"], outcome[0]["numberRecordsFailed"]) == (4, 1)
    failed = sf.bulk2.Account.get_failed_records(outcome[0]["job_id"])
    assert "DUPLICATE_VALUE" in failed
