"""Writing: nothing twice, and nothing lost that was not to be changed."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.pipedrive.connector import PipedriveConnector
from domain.errors import ConfigurationError, RecordRejectedError, TransientError
from domain.records import Outgoing, WriteResult
from sandbox.pipedrive.server import PipedriveServer


def only(results: list[WriteResult]) -> WriteResult:
    [result] = results
    return result


def row(server: PipedriveServer, name: str, row_id: str | None) -> dict[str, Any]:
    return server.sandbox.store.table(name)[str(row_id)]


@pytest.mark.parametrize("name", ["persons", "organizations", "deals", "products"])
def test_a_create_whose_answer_was_lost_is_found_and_not_repeated(
    pipedrive: PipedriveConnector, server: PipedriveServer, name: str
) -> None:
    """The search index does not know the record yet: it is found among what changed lately."""
    key = pipedrive.ensure_key_property(name)
    label = {"persons": "last_name", "deals": "title"}.get(name, "name")
    record = Outgoing("hub-1", {label: "Twin"})
    server.sandbox.faults.add([{"kind": "lost_answer", "calls": f"create_{name}"}])
    lost = only(pipedrive.upsert(name, [record], key))
    assert isinstance(lost.error, TransientError)
    assert lost.error.context["ambiguous"]
    found = only(pipedrive.upsert(name, [record], key))
    assert found.ok
    assert found.created is False
    assert server.sandbox.journal.created[name] == [found.vendor_id]


def test_an_old_record_is_found_by_the_index_and_a_deleted_one_is_not(
    pipedrive: PipedriveConnector, server: PipedriveServer
) -> None:
    key = pipedrive.ensure_key_property("persons")
    made = pipedrive.upsert("persons", [Outgoing(f"hub-{n}", {"last_name": "X"}) for n in range(2)], key)
    for result in made:
        row(server, "persons", result.vendor_id)["update_time"] = "2025-01-01T00:00:00Z"
    server.sandbox.clock.advance(60)
    assert pipedrive.find("persons", key, ["hub-0", "hub-1", "hub-9"]) == {r.key: r.vendor_id for r in made}
    server.sandbox.edit({"object": "persons", "id": made[0].vendor_id, "delete": True})
    assert pipedrive.find("persons", key, ["hub-0"]) == {}


def test_the_key_field_is_made_once(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    assert pipedrive.ensure_key_property("deals") == pipedrive.ensure_key_property("deals")
    assert [f["field_name"] for f in server.sandbox.store.fields["deals"]].count("Syncline id") == 1
    with pytest.raises(ConfigurationError):
        pipedrive.ensure_key_property("notes")


def test_a_new_main_address_leaves_the_others(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    person = next(p for p in server.sandbox.store.live("persons") if len(p["emails"]) == 2)
    others = [dict(e) for e in person["emails"] if not e["primary"]]
    change = Outgoing("k", {"primary_email": "new@example.com"}, str(person["id"]))
    assert only(pipedrive.upsert("persons", [change])).ok
    assert [e for e in person["emails"] if not e["primary"]] == others
    assert [e["value"] for e in person["emails"] if e["primary"]] == ["new@example.com"]


def test_half_a_name_leaves_the_other_half(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    made = only(pipedrive.upsert("persons", [Outgoing("k", {"first_name": "Ada", "last_name": "Byron"})]))
    assert only(pipedrive.upsert("persons", [Outgoing("k", {"last_name": "King"}, made.vendor_id)])).ok
    assert row(server, "persons", made.vendor_id)["name"] == "Ada King"


def test_a_new_city_leaves_the_street(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    values = {"name": "Firm", "address_street": "High Street 1", "address_city": "Leeds"}
    made = only(pipedrive.upsert("organizations", [Outgoing("k", values)]))
    assert only(pipedrive.upsert("organizations", [Outgoing("k", {"address_city": "York"}, made.vendor_id)])).ok
    address = row(server, "organizations", made.vendor_id)["address"]
    assert (address["route"], address["locality"], address["value"]) == ("High Street 1", "York", "High Street 1, York")


def test_one_custom_field_changes_alone_and_options_go_by_label(
    pipedrive: PipedriveConnector, server: PipedriveServer
) -> None:
    store = server.sandbox.store
    segment, badge = (next(f for f in store.fields["persons"] if f["field_name"] == n) for n in ("Segment", "Badge"))
    change = Outgoing("k", {segment["field_code"]: "B"}, "1")
    assert only(pipedrive.upsert("persons", [change])).ok
    custom = row(server, "persons", "1")["custom_fields"]
    assert custom[segment["field_code"]] == next(o["id"] for o in segment["options"] if o["label"] == "B")
    assert custom[badge["field_code"]] == "B-0"
    refused = only(pipedrive.upsert("persons", [Outgoing("k", {segment["field_code"]: "Z"}, "1")]))
    assert isinstance(refused.error, RecordRejectedError)


def test_a_line_item_is_written_below_its_deal(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    values = {"deal_id": "3", "product_id": "1", "quantity": "2", "item_price": "4.5"}
    made = only(pipedrive.upsert("deal_products", [Outgoing("k", values)]))
    assert made.vendor_id is not None
    deal, _, own = made.vendor_id.partition("/")
    assert (deal, row(server, "deal_products", own)["item_price"]) == ("3", 4.5)
    assert only(pipedrive.upsert("deal_products", [Outgoing("k", {"quantity": 5}, made.vendor_id)])).ok
    assert row(server, "deal_products", own)["quantity"] == 5
    assert all(r.ok for _ in range(2) for r in pipedrive.delete("deal_products", [made.vendor_id]))


@pytest.mark.parametrize(
    ("name", "values", "stored"),
    [
        ("leads", {"title": "L", "person_id": "1", "amount": "5", "currency": "EUR"}, {"value": {"amount": 5, "currency": "EUR"}}),
        ("notes", {"content": "<b>hi</b>", "deal_id": "1"}, {"content": "<b>hi</b>"}),
        ("activities", {"subject": "A", "type": "call", "location_text": "Here"}, {"location": {"value": "Here"}}),
        ("products", {"name": "P", "price": "3", "currency": "SEK"}, {"prices": [{"price": 3, "currency": "SEK"}]}),
    ],
)  # fmt: skip
def test_what_the_hub_calls_differently_arrives_as_pipedrive_stores_it(
    pipedrive: PipedriveConnector, server: PipedriveServer, name: str, values: dict[str, Any], stored: dict[str, Any]
) -> None:
    made = only(pipedrive.upsert(name, [Outgoing("k", values)]))
    assert made.error is None
    assert stored.items() <= row(server, name, made.vendor_id).items()
    assert only(pipedrive.delete(name, [str(made.vendor_id)])).ok


def test_ids_that_are_paths_are_refused(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    result = only(pipedrive.delete("persons", ["../deals/1"]))
    assert isinstance(result.error, RecordRejectedError)
