"""Paging, and how locators die."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture
def org() -> InProcess:
    return InProcess(contacts=500)


def first(org: InProcess, size: int = 200, resource: str = "query") -> dict[str, Any]:
    path = f"{resource}?q=SELECT+Id+FROM+Contact+ORDER+BY+Id"
    return dict(org.call("GET", path, headers={"Sforce-Query-Options": f"batchSize={size}"}).json)


def follow(org: InProcess, page: dict[str, Any]) -> Any:
    return org.call("GET", page["nextRecordsUrl"]).json


def test_pages_follow_each_other_without_gap_or_overlap(org: InProcess) -> None:
    page = first(org)
    assert page["nextRecordsUrl"].startswith("/services/data/v59.0/query/0r8")
    assert page["nextRecordsUrl"].endswith("-200")
    seen = [r["Id"] for r in page["records"]]
    while not page["done"]:
        page = follow(org, page)
        assert page["totalSize"] == 500
        seen += [r["Id"] for r in page["records"]]
    assert len(seen) == len(set(seen)) == 500
    assert "nextRecordsUrl" not in page


@pytest.mark.parametrize(("asked", "given"), [("1", 200), ("199", 200), ("300", 300), ("5000", 500), ("x", 500)])
def test_the_page_is_between_200_and_2000_whatever_is_asked(org: InProcess, asked: str, given: int) -> None:
    reply = org.call("GET", "query?q=SELECT+Id+FROM+Contact", headers={"Sforce-Query-Options": f"batchSize={asked}"})
    assert len(reply.json["records"]) == given


def test_a_page_can_be_read_again_after_a_lost_answer(org: InProcess) -> None:
    page = first(org, 300)
    assert follow(org, page) == follow(org, page)


def test_a_locator_lives_two_days(org: InProcess) -> None:
    page = first(org)
    org.clock.advance(2 * 86_400 - 1)
    org.token = org.sandbox.auth.open_session()
    assert len(follow(org, page)["records"]) == 200
    org.clock.advance(1)
    assert follow(org, page) == [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]


def test_the_eleventh_open_cursor_closes_the_oldest(org: InProcess) -> None:
    pages = [first(org) for _ in range(11)]
    assert follow(org, pages[0])[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert len(follow(org, pages[1])["records"]) == 200


def test_a_finished_cursor_goes_before_an_open_one(org: InProcess) -> None:
    pages = [first(org, 300) for _ in range(10)]
    assert follow(org, pages[5])["done"] is True
    first(org)
    assert len(follow(org, pages[0])["records"]) == 200


@pytest.mark.parametrize("locator", ["nonsense", "0r8000000000001AAA-200", "0r8000000000001AAA"])
def test_a_made_up_locator_is_refused(org: InProcess, locator: str) -> None:
    assert org.call("GET", f"query/{locator}").json[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_query_all_shows_the_recycle_bin_and_pages_under_its_own_address(org: InProcess) -> None:
    page = first(org, resource="queryAll")
    assert page["totalSize"] == 505
    assert "/queryAll/0r8" in page["nextRecordsUrl"]
    deleted = org.soql("SELECT Id, IsDeleted FROM Contact WHERE IsDeleted = true", "queryAll")
    assert len(deleted) == 5
    assert all(r["IsDeleted"] is True for r in deleted)
