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
from sandbox.hubspot.server import HubSpotServer
from tests.connectors.hubspot.stand_in import answering, seed

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name: str) -> Any:
    return orjson.loads((FIXTURES / name).read_bytes())


def writes(portal: HubSpotServer) -> list[str]:
    """The kinds of the writing calls so far."""
    kinds = [str(entry["kind"]) for entry in portal.sandbox.journal.entries]
    return [kind for kind in kinds if kind in {"batch_create", "batch_update", "batch_upsert", "batch_archive"}]


def values(portal: HubSpotServer, record_id: str | None) -> dict[str, str]:
    return portal.portal.tables["contacts"][str(record_id)].values


def error_of(result: Any) -> SynclineError:
    assert isinstance(result.error, SynclineError)
    return result.error


def test_every_result_finds_its_record(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    results = hubspot.upsert("contacts", [Outgoing(f"k{n}", {"lastname": f"N{n}"}) for n in range(5)])
    assert [values(portal, r.vendor_id)["lastname"] for r in results] == [f"N{n}" for n in range(5)]
    assert all(r.created and r.version for r in results)


def test_the_documented_multi_status_names_the_record(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    answering(portal, "batch/create", fixture("multi_status.json"), 207)
    bad, good = hubspot.upsert("contacts", [Outgoing("a", {"email": "x"}), Outgoing("b", {"lastname": "One"})])
    assert (good.vendor_id, good.version) == ("145", "2024-08-15T17:09:13.648Z")
    assert isinstance(bad.error, RecordRejectedError)
    assert error_of(bad).context["fields"] == ["email"]


def test_a_batch_refused_whole_without_traces_is_halved(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    refused = {"status": "error", "category": "VALIDATION_ERROR", "message": "refused"}
    answering(portal, "batch/create", refused, 400, times=4)
    results = hubspot.upsert("contacts", [Outgoing(str(n), {"lastname": f"N{n}"}) for n in range(8)])
    assert [r.ok for r in results] == [False] + [True] * 7, "eight, four, two, and the first one alone"
    assert sorted(r.values["lastname"] for r in portal.portal.live("contacts")) == [f"N{n}" for n in range(1, 8)]


def test_a_record_that_exists_is_told_with_its_id(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    answering(portal, "batch/create", fixture("conflict.json"), 409)
    [result] = hubspot.upsert("contacts", [Outgoing("a", {"email": "known@example.com"})])
    error = error_of(result)
    assert (error.code, error.context["existing_id"]) == ("already_exists", "1234")
    assert "known@example.com" not in str(error)


def test_a_lost_answer_to_a_create_is_never_sent_again(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    portal.sandbox.faults.add([{"kind": "lost_answer", "calls": "batch_create"}])
    [result] = hubspot.upsert("contacts", [Outgoing("a", {"lastname": "A"})])
    assert isinstance(result.error, TransientError)
    assert result.error.context["ambiguous"] is True
    assert len(portal.portal.live("contacts")) == len(writes(portal)) == 1


def test_a_lost_answer_to_an_upsert_by_key_is_sent_again(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    hubspot.ensure_key_property("contacts")
    portal.sandbox.faults.add([{"kind": "lost_answer", "calls": "batch_upsert"}])
    [result] = hubspot.upsert("contacts", [Outgoing("a", {"lastname": "A"})], "syncline_id")
    assert result.ok
    assert [r.values["syncline_id"] for r in portal.portal.live("contacts")] == ["a"]
    assert len(writes(portal)) == 2


def test_batches_hold_a_hundred(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    hubspot.ensure_key_property("contacts")
    results = hubspot.upsert("contacts", [Outgoing(str(n), {"lastname": "N"}) for n in range(250)], "syncline_id")
    assert all(r.ok for r in results)
    assert writes(portal) == ["batch_upsert"] * 3


def test_somebody_elses_change_is_not_overwritten(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    seed(portal, "1")
    seed(portal, "2")
    seen = values(portal, "2")["lastmodifieddate"]
    records = [
        Outgoing("a", {"lastname": "new"}, "1", "2001-01-01T00:00:00.000Z"),
        Outgoing("b", {"lastname": "new"}, "2", seen),
    ]
    first, second = hubspot.upsert("contacts", records)
    assert error_of(first).code == "conflict"
    assert second.ok
    assert (values(portal, "1")["lastname"], values(portal, "2")["lastname"]) == ("Name 1", "new")


def test_deleting_what_is_gone_is_a_success(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    """Also when it goes between the look at it and the call."""
    seed(portal, "8")
    gone = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "resource not found"}
    answering(portal, "batch/archive", gone, 404)
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


def test_the_key_property_is_made_once(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    assert [hubspot.ensure_key_property("deals"), hubspot.ensure_key_property("deals")] == [True, False]
    made = portal.portal.objects["deals"].properties["syncline_id"]
    assert made.unique
    assert made.group in portal.portal.objects["deals"].groups
    with pytest.raises(ConfigurationError):
        hubspot.ensure_key_property("deals", "dealname")
