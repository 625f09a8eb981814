"""Requests that carry requests: references, rollback, batches and trees."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.salesforce.helpers import InProcess

V = "/services/data/v59.0"


@pytest.fixture
def org(empty: InProcess) -> InProcess:
    return empty


def part(name: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    return {"method": method, "url": f"{V}/{path}", "referenceId": name} | ({"body": body} if body is not None else {})


def composite(org: InProcess, *parts: dict[str, Any], all_or_none: bool = False) -> list[dict[str, Any]]:
    reply = org.call("POST", "composite", {"allOrNone": all_or_none, "compositeRequest": list(parts)})
    assert reply.status == 200, reply.json
    return list(reply.json["compositeResponse"])


ACCOUNT = part("acc", "POST", "sobjects/Account", {"Name": "A"})
CONTACT = part("con", "POST", "sobjects/Contact", {"LastName": "L", "AccountId": "@{acc.id}"})
BROKEN = part("bad", "POST", "sobjects/Contact", {"FirstName": "no last name"})


def test_a_later_request_uses_what_an_earlier_one_made(org: InProcess) -> None:
    read = part("read", "GET", "sobjects/Contact/@{con.id}?fields=AccountId")
    made = composite(org, ACCOUNT, CONTACT, read)
    assert [m["httpStatusCode"] for m in made] == [201, 201, 200]
    assert [m["referenceId"] for m in made] == ["acc", "con", "read"]
    assert made[2]["body"]["AccountId"] == made[0]["body"]["id"]


def test_references_reach_into_query_results(org: InProcess) -> None:
    org.create("Account", Name="Zed")
    query = part("q", "GET", "query?q=SELECT+Id+FROM+Account")
    task = part(
        "t",
        "POST",
        "sobjects/Task",
        {"Subject": "S", "Status": "Completed", "Priority": "High", "WhatId": "@{q.records[0].Id}"},
    )
    assert composite(org, query, task)[1]["httpStatusCode"] == 201


def test_what_depends_on_a_failure_is_halted_and_the_rest_goes_on(org: InProcess) -> None:
    after = part("dep", "PATCH", "sobjects/Contact/@{bad.id}", {"Phone": "1"})
    made = composite(org, BROKEN, after, ACCOUNT)
    assert made[0]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert made[1]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert "No value for bad.id found in bad" in made[1]["body"][0]["message"]
    assert made[2]["httpStatusCode"] == 201


def test_all_or_none_takes_everything_back(org: InProcess) -> None:
    made = composite(
        org, ACCOUNT, CONTACT, BROKEN, part("never", "POST", "sobjects/Account", {"Name": "B"}), all_or_none=True
    )
    assert [m["body"][0]["errorCode"] for m in made] == [
        "PROCESSING_HALTED", "PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED",
    ]  # fmt: skip
    assert org.org.live("Account") == org.org.live("Contact") == []


@pytest.mark.parametrize(
    "parts",
    [
        [part(f"r{i}", "GET", "limits") for i in range(26)],
        [part(f"r{i}", "GET", "query?q=SELECT+COUNT()+FROM+Account") for i in range(6)],
        [part("same", "GET", "limits"), part("same", "GET", "limits")],
    ],
    ids=["26 requests", "6 queries", "a name twice"],
)
def test_limits(org: InProcess, parts: list[dict[str, Any]]) -> None:
    assert org.call("POST", "composite", {"compositeRequest": parts}).status == 400


def test_composite_costs_one_call_and_batch_one_for_each(org: InProcess) -> None:
    before = org.sandbox.limits.used
    composite(org, ACCOUNT, CONTACT)
    assert org.sandbox.limits.used == before + 1
    reply = org.call("POST", "composite/batch", {"batchRequests": [{"method": "GET", "url": "v59.0/limits"}] * 3})
    assert org.sandbox.limits.used == before + 4
    assert org.sandbox.journal.counted == before + 4
    assert [r["statusCode"] for r in reply.json["results"]] == [200, 200, 200]


def test_a_batch_goes_on_after_an_error_unless_told(org: InProcess) -> None:
    requests = [{"method": "GET", "url": f"v59.0/sobjects/{kind}/describe"} for kind in ("Account", "Nope", "Contact")]
    going = org.call("POST", "composite/batch", {"batchRequests": requests}).json
    assert going["hasErrors"] is True
    assert [r["statusCode"] for r in going["results"]] == [200, 404, 200]
    halting = org.call("POST", "composite/batch", {"batchRequests": requests, "haltOnError": True}).json
    assert [r["statusCode"] for r in halting["results"]] == [200, 404, 412]


# ---------------------------------------------------------------- trees


def node(kind: str, reference: str, **values: Any) -> dict[str, Any]:
    return {"attributes": {"type": kind, "referenceId": reference}, **values}


def test_a_tree_makes_parents_and_children(org: InProcess) -> None:
    people = [node("Contact", "c1", LastName="A"), node("Contact", "c2", LastName="B")]
    reply = org.call(
        "POST", "composite/tree/Account", {"records": [node("Account", "a1", Name="A", Contacts={"records": people})]}
    )
    assert reply.status == 201
    assert reply.json["hasErrors"] is False
    assert [r["referenceId"] for r in reply.json["results"]] == ["a1", "c1", "c2"]
    assert {c["AccountId"] for c in org.org.live("Contact")} == {reply.json["results"][0]["id"]}


def test_a_tree_with_one_bad_leaf_makes_nothing_and_names_it(org: InProcess) -> None:
    people = [node("Contact", "c1", FirstName="A")]
    reply = org.call(
        "POST", "composite/tree/Account", {"records": [node("Account", "a1", Name="A", Contacts={"records": people})]}
    )
    assert reply.status == 400
    assert reply.json["results"] == [
        {
            "referenceId": "c1",
            "errors": [
                {
                    "statusCode": "REQUIRED_FIELD_MISSING",
                    "message": "Required fields are missing: [LastName]",
                    "fields": ["LastName"],
                }
            ],
        }
    ]
    assert org.org.live("Account") == []


def test_records_of_a_tree_refer_to_each_other(org: InProcess) -> None:
    records = [node("Account", "a1", Name="A"), node("Account", "a2", Name="B", ParentId="@a1")]
    ids = {
        r["referenceId"]: r["id"]
        for r in org.call("POST", "composite/tree/Account", {"records": records}).json["results"]
    }
    assert org.call("GET", f"sobjects/Account/{ids['a2']}").json["ParentId"] == ids["a1"]


def test_a_tree_holds_200_records(org: InProcess) -> None:
    records = [node("Account", f"a{i}", Name="A") for i in range(201)]
    assert org.call("POST", "composite/tree/Account", {"records": records}).status == 400
    assert org.call("POST", "composite/tree/Account", {"records": records[:200]}).status == 201
