"""Batches: limits, per-item errors, upserts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.hubspot.helpers import InProcess


def contact(number: int, **more: Any) -> dict[str, Any]:
    return {"properties": {"email": f"{number}@example.com"}, **more}


def bad(**more: Any) -> dict[str, Any]:
    return {"properties": {"email": "b@example.com", "nope": "1"}, **more}


@pytest.mark.parametrize("path", ["batch/read", "batch/create", "batch/update", "batch/upsert", "batch/archive"])
def test_a_hundred_inputs_are_the_most(empty: InProcess, path: str) -> None:
    empty.unique_property()
    inputs = [{"id": str(n), "idProperty": "syncline_id", "properties": {"firstname": "A"}} for n in range(101)]
    assert "100" in empty.refused("POST", f"contacts/{path}", {"inputs": inputs})["message"]
    assert empty.call("POST", f"contacts/{path}", {"inputs": inputs[:100]}).status < 300
    empty.refused("POST", f"contacts/{path}", {"inputs": []})


@pytest.mark.parametrize("first", [True, False])
def test_without_trace_ids_one_bad_input_fails_the_batch_and_nothing_is_written(empty: InProcess, first: bool) -> None:
    inputs = [bad(), contact(1)] if first else [contact(1), bad()]
    refusal = empty.refused("POST", "contacts/batch/create", {"inputs": inputs})
    assert refusal["category"] == "VALIDATION_ERROR"
    assert empty.portal.tables["contacts"] == {}
    known = empty.create("contacts", email="1@example.com")
    answer = empty.refused("POST", "contacts/batch/create", {"inputs": [contact(2), contact(1)]}, 409)
    assert answer["message"].endswith(known)
    assert len(empty.portal.tables["contacts"]) == 1


def test_trace_ids_on_some_inputs_only_are_as_good_as_none(empty: InProcess) -> None:
    empty.refused("POST", "contacts/batch/create", {"inputs": [contact(1, objectWriteTraceId="a"), bad()]})
    assert empty.portal.tables["contacts"] == {}


def test_two_inputs_with_one_address_fail_the_batch(empty: InProcess) -> None:
    empty.refused("POST", "contacts/batch/create", {"inputs": [contact(1), contact(1)]})
    assert empty.portal.tables["contacts"] == {}


def test_with_trace_ids_each_input_stands_alone_and_the_answer_is_207(empty: InProcess) -> None:
    known = empty.create("contacts", email="3@example.com")
    inputs = [
        contact(1, objectWriteTraceId="a"), bad(objectWriteTraceId="b"), contact(2, objectWriteTraceId="c"),
        contact(3, objectWriteTraceId="d"),
    ]  # fmt: skip
    reply = empty.call("POST", "contacts/batch/create", {"inputs": inputs})
    assert (reply.status, reply.json["status"], reply.json["numErrors"]) == (207, "COMPLETE", 2)
    assert [r["objectWriteTraceId"] for r in reply.json["results"]] == ["a", "c"]
    refused = {e["context"]["objectWriteTraceId"][0]: e for e in reply.json["errors"]}
    assert refused["b"]["category"] == "VALIDATION_ERROR"
    assert refused["d"]["category"] == "CONFLICT"
    assert refused["d"]["message"].endswith(known)


def test_reading_tells_what_it_did_not_find(empty: InProcess) -> None:
    one, two = empty.create("contacts", email="1@example.com"), empty.create("contacts", email="2@example.com")
    empty.ok("DELETE", f"contacts/{two}")
    body = {"inputs": [{"id": one}, {"id": two}, {"id": "9"}, {"id": one}], "properties": ["email"]}
    reply = empty.call("POST", "contacts/batch/read", body)
    assert (reply.status, [r["id"] for r in reply.json["results"]], reply.json["numErrors"]) == (207, [one], 1)
    assert reply.json["errors"][0]["context"] == {"ids": [two, "9"]}
    assert [
        r["id"] for r in empty.ok("POST", "contacts/batch/read?archived=true", {"inputs": [{"id": two}]})["results"]
    ] == [two]


def test_reading_by_a_unique_property_and_through_a_merge(empty: InProcess) -> None:
    empty.unique_property()
    one = empty.create("contacts", email="1@example.com", syncline_id="S-1")
    two = empty.create("contacts", email="2@example.com")
    empty.ok("POST", "contacts/merge", {"primaryObjectId": one, "objectIdToMerge": two})
    by_key = {"inputs": [{"id": "S-1"}], "idProperty": "syncline_id"}
    assert empty.ok("POST", "contacts/batch/read", by_key)["results"][0]["id"] == one
    assert [r["id"] for r in empty.ok("POST", "contacts/batch/read", {"inputs": [{"id": two}]})["results"]] == [one]


def test_updating_what_is_not_there_is_207_and_the_rest_is_updated(empty: InProcess) -> None:
    one = empty.create("contacts", email="1@example.com")
    inputs = [{"id": one, "properties": {"firstname": "A"}}, {"id": "9", "properties": {"firstname": "B"}}]
    reply = empty.call("POST", "contacts/batch/update", {"inputs": inputs})
    assert (reply.status, [r["id"] for r in reply.json["results"]]) == (207, [one])
    assert reply.json["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert reply.json["errors"][0]["context"]["ids"] == ["9"]
    assert empty.get("contacts", one, "firstname")["firstname"] == "A"


@pytest.mark.parametrize("path", ["batch/update", "batch/upsert"])
def test_an_id_twice_in_a_batch_is_refused(empty: InProcess, path: str) -> None:
    empty.unique_property()
    each = {"id": "S-1", "idProperty": "syncline_id", "properties": {"firstname": "A"}}
    refusal = empty.refused("POST", f"contacts/{path}", {"inputs": [each, each]})
    assert refusal["message"].startswith("Duplicate IDs found in batch input")


def test_an_upsert_creates_then_updates_and_says_which(empty: InProcess) -> None:
    empty.unique_property()
    inputs = [{"id": f"S-{n}", "idProperty": "syncline_id", "properties": {"firstname": f"F{n}"}} for n in range(3)]
    made = empty.ok("POST", "contacts/batch/upsert", {"inputs": inputs})["results"]
    assert [r["new"] for r in made] == [True] * 3
    assert made[0]["properties"]["syncline_id"] == "S-0"
    again = empty.ok("POST", "contacts/batch/upsert", {"inputs": inputs})["results"]
    assert [(r["new"], r["id"]) for r in again] == [(False, r["id"]) for r in made]
    assert empty.sandbox.journal.created == {"contacts": [r["id"] for r in made]}


def test_an_upsert_needs_a_property_that_is_unique(empty: InProcess) -> None:
    each = {"id": "A", "idProperty": "firstname", "properties": {"lastname": "B"}}
    assert "non-unique 0-1 property" in empty.refused("POST", "contacts/batch/upsert", {"inputs": [each]})["message"]
    by_mail = {"id": "a@example.com", "idProperty": "email", "properties": {"firstname": "A"}}
    assert empty.ok("POST", "contacts/batch/upsert", {"inputs": [by_mail]})["results"][0]["new"]


def test_an_upsert_with_trace_ids_refuses_alone(empty: InProcess) -> None:
    empty.unique_property()
    inputs = [
        {"id": "S-1", "idProperty": "syncline_id", "properties": {"firstname": "A"}, "objectWriteTraceId": "one"},
        {"id": "S-2", "idProperty": "syncline_id", "properties": {"nope": "B"}, "objectWriteTraceId": "two"},
    ]
    reply = empty.call("POST", "contacts/batch/upsert", {"inputs": inputs})
    assert (reply.status, len(reply.json["results"])) == (207, 1)
    assert reply.json["errors"][0]["context"]["objectWriteTraceId"] == ["two"]


def test_archiving_passes_over_what_is_not_there(empty: InProcess) -> None:
    one = empty.create("contacts", email="1@example.com")
    assert empty.call("POST", "contacts/batch/archive", {"inputs": [{"id": one}, {"id": "9"}]}).status == 204
    assert empty.portal.live("contacts") == []


def test_a_fault_can_refuse_some_inputs(empty: InProcess) -> None:
    empty.sandbox.faults.add([{"kind": "reject", "calls": "batch_create", "records": 1}])
    inputs = [contact(n, objectWriteTraceId=str(n)) for n in range(3)]
    reply = empty.call("POST", "contacts/batch/create", {"inputs": inputs})
    assert (reply.status, [e["context"]["objectWriteTraceId"] for e in reply.json["errors"]]) == (207, [["0"]])
    assert len(reply.json["results"]) == 2
