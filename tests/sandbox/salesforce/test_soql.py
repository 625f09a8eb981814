"""SOQL as the vendor understands it: what it finds, in which order, and what it refuses."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.salesforce.dates import date_range
from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture(scope="module")
def org() -> InProcess:
    """Five contacts at two accounts, one of them without anything that can be left out."""
    made = InProcess(contacts=0)
    acme = made.create("Account", Name="Acme", ERP_Number__c="E1", AnnualRevenue=1000, Industry="Energy")
    child = made.create("Account", Name="acme child", ParentId=acme, NumberOfEmployees=5)
    people = [("Ann", "Lee", acme, "ann@x.example"), ("bob", "Ray", acme, "BOB@x.example"), ("Cy", "Day", child, None)]
    for first, last, account, email in people:
        made.create(
            "Contact", FirstName=first, LastName=last, AccountId=account, Email=email, Interests__c="Golf;Opera"
        )
    made.create("Contact", LastName="O'Neil", MailingCity="Berlin", Birthdate="1980-02-29", DoNotCall=True)
    made.create("Task", Subject="Call", Status="Completed", Priority="High", WhoId=made.first("Contact"), WhatId=acme)
    return made


def names(org: InProcess, where: str) -> list[str]:
    return [r["LastName"] for r in org.soql(f"SELECT LastName FROM Contact WHERE {where} ORDER BY LastName")]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("LastName = 'lee'", ["Lee"]),  # text compares without regard to case
        ("LastName != 'Lee'", ["Day", "O'Neil", "Ray"]),
        ("LastName <> 'Lee'", ["Day", "O'Neil", "Ray"]),
        ("Email = null", ["Day", "O'Neil"]),
        ("Email != NULL", ["Lee", "Ray"]),
        ("Email != 'ann@x.example'", ["Day", "O'Neil", "Ray"]),  # blank is not equal, so it is found
        ("Email > 'b'", ["Ray"]),
        ("Email LIKE '%@X.EXAMPLE'", ["Lee", "Ray"]),
        ("LastName LIKE '_a_'", ["Day", "Ray"]),
        (r"LastName = 'O\'Neil'", ["O'Neil"]),
        ("LastName IN ('Lee', 'day')", ["Day", "Lee"]),
        ("LastName NOT IN ('Lee', 'day')", ["O'Neil", "Ray"]),
        ("Email IN (null, 'ann@x.example')", ["Day", "Lee", "O'Neil"]),
        ("Account.Name = 'ACME'", ["Lee", "Ray"]),
        ("Account.Parent.Name = 'Acme'", ["Day"]),
        ("Account.Name = null", ["O'Neil"]),
        ("DoNotCall = true", ["O'Neil"]),
        ("DoNotCall = FALSE AND Email = null", ["Day"]),
        ("NOT LastName = 'Lee'", ["Day", "O'Neil", "Ray"]),
        ("(LastName = 'Lee' OR LastName = 'Ray') AND (NOT FirstName = 'bob')", ["Lee"]),
        ("Interests__c INCLUDES ('Opera')", ["Day", "Lee", "Ray"]),
        ("Interests__c INCLUDES ('Chess', 'Golf;Opera')", ["Day", "Lee", "Ray"]),
        ("Interests__c EXCLUDES ('Golf')", ["O'Neil"]),
        ("Birthdate < 1990-01-01", ["O'Neil"]),
        ("Birthdate = 1980-02-29", ["O'Neil"]),
        ("CreatedDate = TODAY", ["Day", "Lee", "O'Neil", "Ray"]),
        ("CreatedDate < TODAY", []),
        ("CreatedDate >= 2025-06-30T14:00:00+02:00", ["Day", "Lee", "O'Neil", "Ray"]),
        ("CreatedDate > 2025-06-30T12:00:00Z", []),
        ("AccountId IN (SELECT Id FROM Account WHERE Name LIKE 'acme c%')", ["Day"]),
        ("AccountId NOT IN (SELECT Id FROM Account WHERE Name LIKE 'acme c%')", ["Lee", "O'Neil", "Ray"]),
        ("Id IN (SELECT WhoId FROM Task)", ["Lee"]),
    ],
)
def test_conditions(org: InProcess, where: str, expected: list[str]) -> None:
    assert names(org, where) == expected


def test_an_id_of_15_characters_finds_the_record(org: InProcess) -> None:
    record_id = org.first("Account")
    assert org.soql(f"SELECT Id FROM Account WHERE Id = '{record_id[:15]}'")[0]["Id"] == record_id


def test_parents_are_nested_records_and_null_when_there_is_none(org: InProcess) -> None:
    found = org.soql(
        "SELECT LastName, Account.Name, Account.Parent.Name, Owner.Name FROM Contact WHERE LastName IN ('Day', 'O\\'Neil')"
    )
    day, oneil = found
    assert day["Account"]["Parent"]["Name"] == "Acme"
    assert day["Account"]["attributes"]["type"] == "Account"
    assert day["Account"]["attributes"]["url"].startswith("/services/data/v59.0/sobjects/Account/001")
    assert oneil["Account"] is None
    assert oneil["Owner"]["attributes"]["type"] == "User"


def test_polymorphic_parents_are_names_unless_typeof_tells_them_apart(org: InProcess) -> None:
    task = org.soql("SELECT Who.Name, Who.Type, What.Name FROM Task")[0]
    assert task["Who"]["attributes"]["type"] == "Name"
    assert (task["Who"]["Name"], task["Who"]["Type"], task["What"]["Name"]) == ("Ann Lee", "Contact", "Acme")
    typed = org.soql(
        "SELECT TYPEOF What WHEN Account THEN Industry, Name WHEN Opportunity THEN Amount ELSE Name END FROM Task"
    )[0]
    assert typed["What"]["Industry"] == "Energy"
    assert typed["What"]["attributes"]["type"] == "Account"


def test_children_are_a_result_within_the_record_and_null_when_there_are_none(org: InProcess) -> None:
    found = org.soql("SELECT Name, (SELECT LastName FROM Contacts ORDER BY LastName DESC) FROM Account ORDER BY Name")
    assert [c["LastName"] for c in found[0]["Contacts"]["records"]] == ["Ray", "Lee"]
    assert found[0]["Contacts"]["totalSize"] == 2
    assert org.soql("SELECT Id, (SELECT Id FROM Cases) FROM Account")[0]["Cases"] is None


def test_compound_fields_come_as_objects(org: InProcess) -> None:
    found = org.soql("SELECT MailingAddress FROM Contact WHERE MailingCity = 'Berlin'")[0]["MailingAddress"]
    assert found["city"] == "Berlin"
    assert set(found) == {
        "street",
        "city",
        "state",
        "postalCode",
        "country",
        "latitude",
        "longitude",
        "geocodeAccuracy",
    }


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("Email", [None, None, "ann@x.example", "BOB@x.example"]),  # nulls first, and case ignored
        ("Email DESC", [None, None, "BOB@x.example", "ann@x.example"]),
        ("Email NULLS LAST", ["ann@x.example", "BOB@x.example", None, None]),
        ("Email DESC NULLS LAST", ["BOB@x.example", "ann@x.example", None, None]),
        ("Account.Name NULLS LAST, LastName DESC", ["BOB@x.example", "ann@x.example", None, None]),
    ],
)
def test_order(org: InProcess, order: str, expected: list[str | None]) -> None:
    assert [r["Email"] for r in org.soql(f"SELECT Email FROM Contact ORDER BY {order}")] == expected


def test_limit_and_offset(org: InProcess) -> None:
    assert [r["LastName"] for r in org.soql("SELECT LastName FROM Contact ORDER BY LastName LIMIT 2 OFFSET 1")] == [
        "Lee",
        "O'Neil",
    ]


def test_count_and_groups(org: InProcess) -> None:
    reply = org.call("GET", "query?q=SELECT+COUNT()+FROM+Contact")
    assert reply.json == {"totalSize": 4, "done": True, "records": []}
    rows = org.soql(
        "SELECT AccountId, COUNT(Id) n, MIN(LastName), MAX(LastName) FROM Contact GROUP BY AccountId ORDER BY COUNT(Id) DESC"
    )
    assert rows[0] == {
        "attributes": {"type": "AggregateResult"}, "AccountId": org.first("Account"), "n": 2, "expr0": "Lee", "expr1": "Ray",
    }  # fmt: skip
    totals = org.soql("SELECT COUNT(Email), COUNT_DISTINCT(AccountId), SUM(Loyalty_Points__c) FROM Contact")
    assert [totals[0][f"expr{i}"] for i in range(3)] == [2, 2, None]


def test_fields_function_needs_a_limit_of_200(org: InProcess) -> None:
    assert "must have a LIMIT of at most 200" in org.refusal("SELECT FIELDS(ALL) FROM Contact")["message"]
    assert "must have a LIMIT of at most 200" in org.refusal("SELECT FIELDS(CUSTOM) FROM Contact LIMIT 201")["message"]
    found = org.soql("SELECT FIELDS(ALL) FROM Contact LIMIT 200")
    assert {"Id", "LastName", "Legacy_Id__c", "SystemModstamp"} <= set(found[0])
    assert "Legacy_Id__c" not in org.soql("SELECT FIELDS(STANDARD) FROM Contact")[0]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("SELECT Nope FROM Account", "INVALID_FIELD", "No such column 'Nope' on entity 'Account'"),
        ("SELECT Nope.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Nope' in field path"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported"),
        ("SELECT Id FROM Account, Contact", "MALFORMED_QUERY", "unexpected token: ','"),
        ("SELECT Id", "MALFORMED_QUERY", "unexpected token: <EOF>"),
        ("SELECT FROM Account", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Account WHERE Name = Acme", "MALFORMED_QUERY", "unexpected token: 'Acme'"),
        (
            "SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "field 'Description' can not be filtered"),
        ("SELECT Id FROM Account WHERE CreatedDate > '2025-01-01'", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE AnnualRevenue = '5'", "INVALID_FIELD", "should not be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE ParentId = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        (
            "SELECT Name, COUNT(Id) FROM Account GROUP BY Industry",
            "MALFORMED_QUERY",
            "must be grouped or aggregated: Name",
        ),
        (
            "SELECT Id FROM ContentDocumentLink",
            "MALFORMED_QUERY",
            "requires a filter by a single Id on ContentDocumentId",
        ),
        ("SELECT Id, (SELECT Id FROM Nopes) FROM Account", "INVALID_TYPE", "Didn't understand relationship 'Nopes'"),
    ],
)
def test_refusals(org: InProcess, query: str, code: str, message: str) -> None:
    error = org.refusal(query)
    assert error["errorCode"] == code
    assert message in error["message"]


def test_the_place_of_an_error_is_shown_on_its_own_line(org: InProcess) -> None:
    message = org.refusal("SELECT Id,\n  Nope\nFROM Account")["message"]
    assert "ERROR at Row:2:Column:3" in message
    assert "\n  Nope\n  ^\n" in message


@pytest.mark.parametrize(
    ("literal", "start", "end"),
    [
        ("YESTERDAY", "2025-06-29", "2025-06-30"),
        ("LAST_N_DAYS:30", "2025-05-31", "2025-07-01"),
        ("NEXT_N_DAYS:2", "2025-07-01", "2025-07-03"),
        ("THIS_WEEK", "2025-06-29", "2025-07-06"),
        ("LAST_MONTH", "2025-05-01", "2025-06-01"),
        ("NEXT_MONTH", "2025-07-01", "2025-08-01"),
        ("THIS_QUARTER", "2025-04-01", "2025-07-01"),
        ("LAST_YEAR", "2024-01-01", "2025-01-01"),
        ("LAST_N_MONTHS:2", "2025-04-01", "2025-06-01"),
        ("NEXT_N_YEARS:1", "2026-01-01", "2027-01-01"),
        ("LAST_90_DAYS", "2025-04-01", "2025-07-01"),
    ],
)
def test_date_literals(literal: str, start: str, end: str) -> None:
    assert date_range(literal, date(2025, 6, 30)) == (date.fromisoformat(start), date.fromisoformat(end))


@given(after=st.integers(0, 300), page=st.integers(1, 120))
@settings(max_examples=25, deadline=None)
def test_reading_on_from_any_place_by_modstamp_and_id_misses_nothing(after: int, page: int) -> None:
    everything = keyset_page(None, 2000)
    start = everything[after % len(everything)]
    seen = list(everything[: after % len(everything) + 1])
    while rows := keyset_page(start, page):
        seen += rows
        start = rows[-1]
    assert seen == everything


_shared: list[InProcess] = []


def keyset_page(after: dict[str, Any] | None, limit: int) -> list[dict[str, Any]]:
    if not _shared:
        _shared.append(InProcess(contacts=250))
    where = ""
    if after:
        stamp = after["SystemModstamp"].replace("+0000", "Z")
        where = f"WHERE (SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{after['Id']}'))"
    return _shared[0].soql(f"SELECT Id, SystemModstamp FROM Contact {where} ORDER BY SystemModstamp, Id LIMIT {limit}")
