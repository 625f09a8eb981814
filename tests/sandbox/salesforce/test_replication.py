"""getDeleted and getUpdated: fifteen days, whole minutes, and where to go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture
def org(empty: InProcess) -> InProcess:
    return empty


def ask(org: InProcess, start: str, end: str, what: str = "deleted") -> Any:
    return org.call("GET", f"sobjects/Contact/{what}/?start={quote(start)}&end={quote(end)}").json


def test_what_was_deleted_in_the_span_is_listed(org: InProcess) -> None:
    ids = [org.create("Contact", LastName=n) for n in "ABC"]
    org.clock.advance(600)
    for one in ids[:2]:
        org.call("DELETE", f"sobjects/Contact/{one}")
    org.clock.advance(600)
    found = ask(org, "2025-06-30T12:00:00+00:00", "2025-06-30T12:20:00+00:00")
    assert [r["id"] for r in found["deletedRecords"]] == ids[:2]
    assert found["deletedRecords"][0]["deletedDate"] == "2025-06-30T12:10:00.000+0000"
    assert found["earliestDateAvailable"] == "2025-06-15T12:20:00.000+0000"
    assert found["latestDateCovered"] == "2025-06-30T12:20:00.000+0000"
    assert ask(org, "2025-06-30T12:11:00Z", "2025-06-30T12:20:00Z")["deletedRecords"] == []
    assert ask(org, "2025-06-30T12:00:00Z", "2025-06-30T12:05:00Z", "updated")["ids"] == [ids[2]]


def test_seconds_are_ignored(org: InProcess) -> None:
    record_id = org.create("Contact", LastName="A")
    org.call("DELETE", f"sobjects/Contact/{record_id}")
    org.clock.advance(300)
    assert len(ask(org, "2025-06-30T12:00:59Z", "2025-06-30T12:04:59Z")["deletedRecords"]) == 1


def test_what_is_covered_stays_behind_when_writes_are_still_on_their_way() -> None:
    org = InProcess(contacts=0, replication_lag=timedelta(minutes=10))
    found = ask(org, "2025-06-30T11:00:00Z", "2025-06-30T12:00:00Z")
    assert found["latestDateCovered"] == "2025-06-30T11:50:00.000+0000"


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("2025-06-30T11:00:00Z", "2025-06-30T11:01:00Z", "INVALID_REPLICATION_DATE"),
        ("2025-06-30T11:00:00Z", "2025-06-30T10:00:00Z", "INVALID_REPLICATION_DATE"),
        ("2025-06-15T11:59:00Z", "2025-06-30T12:00:00Z", "INVALID_REPLICATION_DATE"),
        ("yesterday", "2025-06-30T12:00:00Z", "INVALID_ARGUMENT"),
    ],
)
def test_spans_that_are_refused(org: InProcess, start: str, end: str, code: str) -> None:
    assert ask(org, start, end)[0]["errorCode"] == code


def test_a_purged_log_asks_for_a_resync(org: InProcess) -> None:
    org.call("POST", "/__sandbox__/schema", {"purged_before": "2025-06-30T11:00:00Z"})
    assert ask(org, "2025-06-30T10:00:00Z", "2025-06-30T12:00:00Z")[0]["errorCode"] == "INVALID_REPLICATION_DATE"
    found = ask(org, "2025-06-30T11:00:00Z", "2025-06-30T12:00:00Z")
    assert found["earliestDateAvailable"] == "2025-06-30T11:00:00.000+0000"


def test_both_ends_must_be_given(org: InProcess) -> None:
    assert (
        org.call("GET", "sobjects/Contact/deleted?start=2025-06-30T11:00:00Z").json[0]["errorCode"]
        == "MISSING_ARGUMENT"
    )
