"""Edits as a person makes them: under the org's rules, outside its quota and its journal."""

from __future__ import annotations

from tests.sandbox.salesforce.helpers import InProcess

EDIT = "/__sandbox__/edit"


def test_a_person_creates_changes_and_deletes(empty: InProcess) -> None:
    made = empty.call("POST", EDIT, {"object": "Contact", "properties": {"LastName": "Ny", "Email": "ny@example.com"}})
    record = made.json["id"]
    empty.call("POST", EDIT, {"object": "Contact", "id": record, "properties": {"LastName": "Nyberg"}})
    assert empty.soql("SELECT LastName, Email FROM Contact")[0]["LastName"] == "Nyberg"
    empty.call("POST", EDIT, {"object": "Contact", "id": record, "delete": True})
    assert empty.soql("SELECT Id FROM Contact") == []
    assert empty.sandbox.journal.counted == 2  # the two queries
    assert empty.sandbox.journal.created == {}


def test_a_person_meets_the_vendors_rules(empty: InProcess) -> None:
    reply = empty.call("POST", EDIT, {"object": "Contact", "properties": {"FirstName": "No last name"}})
    assert (reply.status, reply.json[0]["errorCode"]) == (400, "REQUIRED_FIELD_MISSING")


def test_records_of_this_sandbox_cannot_be_merged(empty: InProcess) -> None:
    reply = empty.call("POST", EDIT, {"object": "Contact", "id": "1", "merge": "2"})
    assert (reply.status, reply.json[0]["errorCode"]) == (400, "INVALID_INPUT")


def test_what_calls_create_is_in_the_journal(empty: InProcess) -> None:
    record = empty.create("Account", Name="One")
    assert empty.sandbox.journal.created == {"Account": [record]}
    assert empty.call("GET", "/__sandbox__/journal").json["created"] == {"Account": [record]}
    empty.call("DELETE", "/__sandbox__/journal")
    assert empty.sandbox.journal.created == {}
