"""Batches: errors find their record, nothing is doubled."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.values import plain
from domain.errors import ConfigurationError, RecordRejectedError, SynclineError, TransientError
from domain.records import Outgoing
from tests.connectors.hubspot.portal_double import PortalDouble, refusal
from tests.connectors.kit.stub_vendor import Answer, Arrived, as_json

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name: str) -> Any:
    return orjson.loads((FIXTURES / name).read_bytes())


def writes(portal: PortalDouble) -> list[Arrived]:
    return [a for a in portal.vendor.arrived if "/batch/" in a.path and "/read" not in a.path]


def error_of(result: Any) -> SynclineError:
    assert isinstance(result.error, SynclineError)
    return result.error


def test_results_in_another_order_find_their_record_by_trace_id(
    portal: PortalDouble, hubspot: HubSpotConnector
) -> None:
    results = hubspot.upsert("contacts", [Outgoing(f"k{n}", {"lastname": f"N{n}"}) for n in range(5)])
    assert [portal.contacts[int(r.vendor_id or 0)]["lastname"] for r in results] == [f"N{n}" for n in range(5)]
    assert all(r.created and r.version for r in results)


def test_the_documented_multi_status_names_the_record(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    portal.intercept = lambda r: as_json(fixture("multi_status.json"), 207) if "batch/create" in r.path else None
    bad, good = hubspot.upsert("contacts", [Outgoing("a", {"email": "x"}), Outgoing("b", {"lastname": "One"})])
    assert (good.vendor_id, good.version) == ("145", "2024-08-15T17:09:13.648Z")
    assert isinstance(bad.error, RecordRejectedError)
    assert error_of(bad).context["fields"] == ["email"]


def test_a_batch_refused_whole_without_traces_is_halved(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    def refuse(request: Arrived) -> Answer | None:
        if "batch/create" in request.path and b"guilty" in request.body:
            return refusal(400, "VALIDATION_ERROR")
        return None

    portal.intercept = refuse
    values = ["guilty" if n == 5 else f"N{n}" for n in range(8)]
    results = hubspot.upsert("contacts", [Outgoing(str(n), {"lastname": v}) for n, v in enumerate(values)])
    assert [r.ok for r in results] == [n != 5 for n in range(8)]
    assert len(portal.contacts) == 7


def test_a_record_that_exists_is_told_with_its_id(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    portal.intercept = lambda r: as_json(fixture("conflict.json"), 409) if "batch/create" in r.path else None
    [result] = hubspot.upsert("contacts", [Outgoing("a", {"email": "known@example.com"})])
    error = error_of(result)
    assert (error.code, error.context["existing_id"]) == ("already_exists", "1234")
    assert "known@example.com" not in str(error)


def test_a_lost_answer_to_a_create_is_never_sent_again(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    portal.intercept = lambda r: Answer(drop=True) if "batch/create" in r.path else None
    [result] = hubspot.upsert("contacts", [Outgoing("a", {"lastname": "A"})])
    assert isinstance(result.error, TransientError)
    assert result.error.context["ambiguous"] is True
    assert len(writes(portal)) == 1


def test_a_lost_answer_to_an_upsert_by_key_is_sent_again(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    drops = iter([Answer(drop=True)])
    portal.intercept = lambda r: next(drops, None) if "batch/upsert" in r.path else None
    [result] = hubspot.upsert("contacts", [Outgoing("a", {"lastname": "A"})], "syncline_id")
    assert result.ok
    assert portal.contacts[1]["syncline_id"] == "a"


def test_batches_hold_a_hundred(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    results = hubspot.upsert("contacts", [Outgoing(str(n), {"lastname": "N"}) for n in range(250)], "syncline_id")
    assert all(r.ok for r in results)
    assert [len(orjson.loads(a.body)["inputs"]) for a in writes(portal)] == [100, 100, 50]


def test_somebody_elses_change_is_not_overwritten(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    portal.add(1)
    portal.add(2)
    seen = portal.contacts[2]["lastmodifieddate"]
    records = [
        Outgoing("a", {"lastname": "new"}, "1", "2001-01-01T00:00:00.000Z"),
        Outgoing("b", {"lastname": "new"}, "2", seen),
    ]
    first, second = hubspot.upsert("contacts", records)
    assert error_of(first).code == "conflict"
    assert second.ok
    assert (portal.contacts[1]["lastname"], portal.contacts[2]["lastname"]) == ("Name 1", "new")


def test_references_become_associations_the_first_one_primary(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    values = {"lastname": "A", "associations.companies": "40;20"}
    [result] = hubspot.upsert("contacts", [Outgoing("a", values)], "syncline_id")
    assert result.ok
    assert portal.pairs == {(1, 40): [1], (1, 20): [279]}


def test_deleting_what_is_gone_is_a_success(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    portal.intercept = lambda r: refusal(404, "OBJECT_NOT_FOUND") if "batch/archive" in r.path else None
    assert all(r.ok for r in hubspot.delete("contacts", ["8", "9"]))


@pytest.mark.parametrize("name", ["owners", "deal_stages", "files"])
def test_what_cannot_be_written_is_refused(hubspot: HubSpotConnector, name: str) -> None:
    with pytest.raises(ConfigurationError):
        hubspot.upsert(name, [Outgoing("a", {})])


@pytest.mark.parametrize(("value", "text"), [
    (None, ""), (True, "true"), (Decimal("1E+3"), "1000"), (date(2024, 5, 1), "2024-05-01"),
    (datetime(2024, 5, 1, 9, 0, 0, 123_000, tzinfo=UTC), "2024-05-01T09:00:00.123Z"),
    (["b", "a"], "b;a"), ({"b", "a"}, "a;b"), (7, "7"),
])  # fmt: skip
def test_values_are_text(value: Any, text: str) -> None:
    assert plain(value) == text


def test_the_key_property_is_made_once(portal: PortalDouble, hubspot: HubSpotConnector) -> None:
    made: list[Any] = []

    def properties(request: Arrived) -> Answer | None:
        if request.path.endswith("/deals/syncline_id"):
            return as_json({"hasUniqueValue": True}) if made else refusal(404, "OBJECT_NOT_FOUND")
        if request.path.endswith("/deals/groups"):
            return as_json({"results": [{"name": "dealinformation"}]})
        if request.path.endswith("/properties/deals") and request.method == "POST":
            made.append(orjson.loads(request.body))
            return as_json(made[0], 201)
        return None

    portal.intercept = properties
    assert [hubspot.ensure_key_property("deals"), hubspot.ensure_key_property("deals")] == [True, False]
    assert (made[0]["hasUniqueValue"], made[0]["groupName"]) == (True, "dealinformation")
