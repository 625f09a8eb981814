"""Searching: operators, order, the wall, and the index that lags behind."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.hubspot.records import Record
from tests.sandbox.hubspot.helpers import InProcess


@pytest.fixture
def found(empty: InProcess) -> InProcess:
    for name, amount, close in (
        ("Alpha one", "9", "2025-01-01"),
        ("Beta two", "10", "2025-06-01"),
        ("Gamma", "", "2025-06-02"),
    ):
        empty.create("deals", dealname=name, dealstage="qualifiedtobuy", amount=amount, closedate=close)
    empty.call("POST", "/__sandbox__/lag", {"settle": True})
    return empty


def filtered(found: InProcess, **given: Any) -> list[str]:
    hits = found.search("deals", filterGroups=[{"filters": [given]}], properties=["dealname"])
    return [found.portal.tables["deals"][hit].values["dealname"].split()[0] for hit in hits]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"propertyName": "amount", "operator": "GT", "value": "9"}, ["Beta"]),
        ({"propertyName": "amount", "operator": "GTE", "value": "9"}, ["Alpha", "Beta"]),
        ({"propertyName": "amount", "operator": "LT", "value": "10"}, ["Alpha"]),
        ({"propertyName": "amount", "operator": "LTE", "value": "10"}, ["Alpha", "Beta"]),
        ({"propertyName": "amount", "operator": "EQ", "value": "9.0"}, ["Alpha"]),
        ({"propertyName": "amount", "operator": "NEQ", "value": "9"}, ["Beta", "Gamma"]),
        ({"propertyName": "amount", "operator": "HAS_PROPERTY"}, ["Alpha", "Beta"]),
        ({"propertyName": "amount", "operator": "NOT_HAS_PROPERTY"}, ["Gamma"]),
        ({"propertyName": "amount", "operator": "BETWEEN", "value": "9", "highValue": "9.5"}, ["Alpha"]),
        ({"propertyName": "dealname", "operator": "IN", "values": ["gamma", "beta two"]}, ["Beta", "Gamma"]),
        ({"propertyName": "dealname", "operator": "NOT_IN", "values": ["gamma"]}, ["Alpha", "Beta"]),
        ({"propertyName": "dealname", "operator": "CONTAINS_TOKEN", "value": "two"}, ["Beta"]),
        ({"propertyName": "dealname", "operator": "CONTAINS_TOKEN", "value": "tw*"}, ["Beta"]),
        ({"propertyName": "dealname", "operator": "CONTAINS_TOKEN", "value": "tw"}, []),
        ({"propertyName": "dealname", "operator": "NOT_CONTAINS_TOKEN", "value": "two"}, ["Alpha", "Gamma"]),
        ({"propertyName": "closedate", "operator": "GTE", "value": "2025-06-01"}, ["Beta", "Gamma"]),
        ({"propertyName": "closedate", "operator": "GT", "value": "1748736000000"}, ["Gamma"]),
    ],
)
def test_operators(found: InProcess, given: dict[str, Any], expected: list[str]) -> None:
    assert filtered(found, **given) == expected


def test_groups_are_alternatives_and_filters_conditions(found: InProcess) -> None:
    nine = {"propertyName": "amount", "operator": "EQ", "value": "9"}
    gamma = {"propertyName": "dealname", "operator": "EQ", "value": "Gamma"}
    assert len(found.search("deals", filterGroups=[{"filters": [nine]}, {"filters": [gamma]}])) == 2
    assert found.search("deals", filterGroups=[{"filters": [nine, gamma]}]) == []


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 0},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "HAS_PROPERTY"}]}] * 6},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "HAS_PROPERTY"}] * 7}]},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "HAS_PROPERTY"}] * 5}] * 4},
        {"filterGroups": [{"filters": [{"propertyName": "nope", "operator": "HAS_PROPERTY"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "LIKE", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "EQ"}]}]},
        {"sorts": ["amount", "dealname"]},
        {"query": "x" * 3001},
    ],
)
def test_what_a_search_may_not_ask(found: InProcess, body: dict[str, Any]) -> None:
    assert found.refused("POST", "deals/search", body)["category"] == "VALIDATION_ERROR"


def test_the_wall_at_ten_thousand_results(empty: InProcess) -> None:
    table = empty.portal.tables["contacts"]
    for number in range(10_050):
        values = {"email": f"{number}@example.com", "hs_object_id": str(number), "createdate": "2025-01-01T00:00:00Z"}
        table[str(number)] = Record(str(number), values, 0, 0, indexed=values)
    last = empty.ok("POST", "contacts/search", {"limit": 200, "after": "9800"})
    assert last["total"] == 10_050  # it tells how many there are, and lets nobody reach them
    assert last["paging"]["next"]["after"] == "10000"
    assert empty.call("POST", "contacts/search", {"limit": 200, "after": "10000"}).status == 400
    assert empty.call("POST", "contacts/search", {"limit": 1, "after": "10000"}).status == 400


def test_order_is_by_one_property_and_ties_by_id(found: InProcess) -> None:
    down = found.search("deals", sorts=[{"propertyName": "amount", "direction": "DESCENDING"}])
    up = found.search("deals", sorts=["amount"])
    assert [found.portal.tables["deals"][i].values.get("amount") for i in down] == ["10", "9", None]
    assert [found.portal.tables["deals"][i].values.get("amount") for i in up] == [None, "9", "10"]
    assert found.search("deals", sorts=["-dealname"]) == found.search("deals")[::-1]


def test_the_index_lags_behind_every_kind_of_write(empty: InProcess) -> None:
    contact = empty.create("contacts", email="a@example.com", firstname="Old")

    def by(name: str) -> list[str]:
        return empty.search(
            "contacts", filterGroups=[{"filters": [{"propertyName": "firstname", "operator": "EQ", "value": name}]}]
        )

    assert by("Old") == []
    empty.clock.advance(1.9)
    assert by("Old") == []  # two seconds at the least
    empty.clock.advance(8.2)
    assert by("Old") == [contact]  # ten at the most
    empty.ok("PATCH", f"contacts/{contact}", {"properties": {"firstname": "New"}})
    assert (by("Old"), by("New")) == ([contact], [])
    hit = empty.ok("POST", "contacts/search", {"properties": ["firstname"]})["results"][0]
    assert hit["properties"]["firstname"] == "Old"
    empty.clock.advance(10)
    assert (by("Old"), by("New")) == ([], [contact])
    empty.ok("DELETE", f"contacts/{contact}")
    assert by("New") == [contact]
    empty.clock.advance(10)
    assert by("New") == []


def test_a_write_that_is_seen_late_does_not_undo_a_newer_one(empty: InProcess) -> None:
    contacts = [empty.create("contacts", firstname="First") for _ in range(40)]  # with lags between two and ten seconds
    for contact in contacts:
        empty.ok("PATCH", f"contacts/{contact}", {"properties": {"firstname": "Second"}})
    empty.clock.advance(5)
    empty.search("contacts", limit=100)
    empty.clock.advance(10)
    hits = empty.ok("POST", "contacts/search", {"properties": ["firstname"], "limit": 100})["results"]
    assert [hit["properties"]["firstname"] for hit in hits] == ["Second"] * len(contacts)


def test_the_lag_differs_from_record_to_record_and_is_the_same_for_a_seed() -> None:
    def visible(seed: int) -> list[int]:
        portal = InProcess(contacts=0, seed=seed)
        for number in range(20):
            portal.create("contacts", email=f"{number}@example.com")
        counts = []
        for _ in range(12):
            counts.append(len(portal.search("contacts", limit=100)))
            portal.clock.advance(1)
        return counts

    assert visible(1) == visible(1) != visible(2)
    assert len(set(visible(1))) > 4


def test_the_lag_can_be_told(empty: InProcess) -> None:
    empty.call("POST", "/__sandbox__/lag", {"least_s": 0, "most_s": 0})
    contact = empty.create("contacts", email="a@example.com")
    assert empty.search("contacts") == [contact]


def test_the_lag_is_as_long_as_told_to_the_millisecond() -> None:
    portal = InProcess(contacts=0, lag_s=(3.0, 3.0))
    contact = portal.create("contacts", email="a@example.com")
    portal.clock.advance(2.999)
    assert portal.search("contacts") == []
    portal.clock.advance(0.001)
    assert portal.search("contacts") == [contact]


def test_each_write_is_seen_in_its_turn() -> None:
    portal = InProcess(contacts=0, lag_s=(3.0, 3.0))
    contact = portal.create("contacts", firstname="0")
    for number in (1, 2):
        portal.clock.advance(2)
        portal.ok("PATCH", f"contacts/{contact}", {"properties": {"firstname": str(number)}})
    seen = []
    for _ in range(6):
        hits = portal.ok("POST", "contacts/search", {"properties": ["firstname"]})["results"]
        seen.append([hit["properties"]["firstname"] for hit in hits])
        portal.clock.advance(1)
    assert seen == [["0"], ["1"], ["1"], ["2"], ["2"], ["2"]]


def test_free_text_and_associations(found: InProcess) -> None:
    assert len(found.search("deals", query="alp")) == 1
    contact = found.create("contacts", email="a@example.com")
    deal = found.search("deals", query="beta")[0]
    found.ok("PUT", f"/crm/v4/objects/deals/{deal}/associations/default/contacts/{contact}")
    given = {"propertyName": "associations.contact", "operator": "EQ", "value": contact}
    assert filtered(found, **given) == ["Beta"]


def test_search_has_a_limit_of_its_own_and_tells_no_limits() -> None:
    portal = InProcess(contacts=0, searches=5, burst=2)
    replies = [portal.call("POST", "contacts/search", {}) for _ in range(6)]
    assert [r.status for r in replies] == [200] * 5 + [429]
    assert replies[-1].json["policyName"] == "SECONDLY"
    assert not any("RateLimit" in name for reply in replies for name in reply.headers)
    portal.clock.advance(1)
    assert portal.call("POST", "contacts/search", {}).status == 200
    assert portal.call("GET", "contacts").status == 200  # searches did not use up the burst
