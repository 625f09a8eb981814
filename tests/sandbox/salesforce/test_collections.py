"""Up to 200 records a call, each with its own answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture
def org(empty: InProcess) -> InProcess:
    return empty


def contact(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, **values}


GOOD, BAD = contact(LastName="A", Legacy_Id__c="1"), contact(LastName="B", Email="broken")


def test_one_bad_record_does_not_fail_the_others(org: InProcess) -> None:
    reply = org.call("POST", "composite/sobjects", {"records": [GOOD, BAD, contact(LastName="C")]})
    assert reply.status == 200
    assert [r["success"] for r in reply.json] == [True, False, True]
    assert reply.json[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "INVALID_EMAIL_ADDRESS",
                "message": "Email: invalid email address: broken",
                "fields": ["Email"],
            }
        ],
    }
    assert len(org.org.live("Contact")) == 2


def test_all_or_none_takes_the_good_ones_back(org: InProcess) -> None:
    reply = org.call("POST", "composite/sobjects", {"allOrNone": True, "records": [GOOD, BAD]})
    assert [r["errors"][0]["statusCode"] for r in reply.json] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "INVALID_EMAIL_ADDRESS",
    ]
    assert org.org.live("Contact") == []
    again = org.call("POST", "composite/sobjects", {"records": [GOOD]})
    assert again.json[0]["success"] is True  # its external id is free again


def test_201_records_are_too_many(org: InProcess) -> None:
    reply = org.call("POST", "composite/sobjects", {"records": [contact(LastName="A")] * 201})
    assert (reply.status, reply.json[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert org.call("POST", "composite/sobjects", {"records": [contact(LastName="A")] * 200}).status == 200


def test_upsert_by_external_id_says_what_was_created(org: InProcess) -> None:
    path = "composite/sobjects/Contact/Legacy_Id__c"
    org.call("PATCH", path, {"records": [GOOD]})
    reply = org.call(
        "PATCH", path, {"records": [contact(LastName="A2", Legacy_Id__c="1"), contact(LastName="B", Legacy_Id__c="2")]}
    )
    assert [(r["success"], r["created"]) for r in reply.json] == [(True, False), (True, True)]
    assert org.call("GET", "sobjects/Contact/Legacy_Id__c/1").json["LastName"] == "A2"


def test_the_same_external_id_twice_in_a_call_is_refused_the_second_time(org: InProcess) -> None:
    reply = org.call(
        "PATCH", "composite/sobjects/Contact/Legacy_Id__c", {"records": [GOOD, GOOD, contact(LastName="x")]}
    )
    assert [r["success"] for r in reply.json] == [True, False, False]
    assert [r["errors"][0]["statusCode"] for r in reply.json[1:]] == ["DUPLICATE_VALUE", "MISSING_ARGUMENT"]


def test_update_and_delete_by_id(org: InProcess) -> None:
    ids = [org.create("Contact", LastName=n) for n in "AB"]
    changes = [contact(id=ids[0], Phone="1"), contact(Id=ids[1], LastName=None), contact(Phone="2")]
    reply = org.call("PATCH", "composite/sobjects", {"records": changes})
    assert [r["success"] for r in reply.json] == [True, False, False]
    assert [r["errors"][0]["statusCode"] for r in reply.json[1:]] == ["REQUIRED_FIELD_MISSING", "MISSING_ARGUMENT"]
    gone = org.call("DELETE", f"composite/sobjects?ids={ids[0]},{ids[0]},nonsense&allOrNone=false")
    assert [r["success"] for r in gone.json] == [True, False, False]
    assert gone.json[1]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"


def test_deleting_all_or_none(org: InProcess) -> None:
    record_id = org.create("Contact", LastName="A")
    org.call("DELETE", f"composite/sobjects?ids={record_id},003gK00000ZZZZZ&allOrNone=true")
    assert org.call("GET", f"sobjects/Contact/{record_id}").status == 200


def test_retrieve_keeps_the_order_and_says_null_for_what_is_not_there(org: InProcess) -> None:
    ids = [org.create("Contact", LastName=n) for n in "AB"]
    asked = {"ids": [ids[1], "003gK00000ZZZZZ", ids[0]], "fields": ["LastName"]}
    reply = org.call("POST", "composite/sobjects/Contact", asked)
    assert [r and r["LastName"] for r in reply.json] == ["B", None, "A"]
    assert (
        org.call("GET", f"composite/sobjects/Contact?ids={ids[0]}&fields=Id,Nope").json[0]["errorCode"]
        == "INVALID_FIELD"
    )


def test_a_locked_row_is_that_records_own_error(org: InProcess) -> None:
    ids = [org.create("Contact", LastName=n) for n in "AB"]
    org.sandbox.faults.add([{"kind": "lock", "calls": "collection_update", "records": 1}])
    records = [contact(id=i, Phone="1") for i in ids]
    reply = org.call("PATCH", "composite/sobjects", {"records": records})
    assert reply.json[0]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert reply.json[1]["success"] is True
    assert all(r["success"] for r in org.call("PATCH", "composite/sobjects", {"records": records}).json)


def test_a_record_without_a_type_is_refused_alone(org: InProcess) -> None:
    reply = org.call("POST", "composite/sobjects", {"records": [{"LastName": "A"}, GOOD]})
    assert [r["success"] for r in reply.json] == [False, True]
