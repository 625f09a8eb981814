"""Associations: types, labels, primary companies, batches."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.hubspot.helpers import InProcess

V4 = "/crm/v4/objects"


@pytest.fixture
def ids(empty: InProcess) -> tuple[str, str, str]:
    """A contact and two companies."""
    return (
        empty.create("contacts", email="a@example.com"),
        empty.create("companies", name="A"),
        empty.create("companies", name="B"),
    )


def types(portal: InProcess, path: str) -> dict[int, list[int]]:
    """Type ids by the other end's id."""
    rows = portal.ok("GET", f"{V4}/{path}")["results"]
    return {row["toObjectId"]: [t["typeId"] for t in row["associationTypes"]] for row in rows}


def spec(type_id: int, category: str = "HUBSPOT_DEFINED") -> dict[str, Any]:
    return {"associationCategory": category, "associationTypeId": type_id}


def test_the_first_company_is_the_primary_one_and_there_is_one_at_a_time(
    empty: InProcess, ids: tuple[str, str, str]
) -> None:
    contact, one, two = ids
    for company in (one, two):
        empty.ok("PUT", f"{V4}/contacts/{contact}/associations/default/companies/{company}")
    assert types(empty, f"contacts/{contact}/associations/companies") == {int(one): [1, 279], int(two): [279]}
    assert empty.get("contacts", contact, "associatedcompanyid")["associatedcompanyid"] == one
    empty.ok("PUT", f"{V4}/contacts/{contact}/associations/companies/{two}", [spec(1)])
    assert types(empty, f"contacts/{contact}/associations/companies") == {int(one): [279], int(two): [1, 279]}
    assert types(empty, f"companies/{two}/associations/contacts") == {int(contact): [2, 280]}
    assert empty.get("contacts", contact, "associatedcompanyid")["associatedcompanyid"] == two
    assert empty.get("companies", one, "num_associated_contacts")["num_associated_contacts"] == "1"


def test_writing_a_contacts_company_makes_it_primary(empty: InProcess, ids: tuple[str, str, str]) -> None:
    contact, one, two = ids
    for company in (one, two):
        empty.ok("PATCH", f"contacts/{contact}", {"properties": {"associatedcompanyid": company}})
    assert types(empty, f"contacts/{contact}/associations/companies") == {int(one): [279], int(two): [1, 279]}


def test_version_3_shows_one_entry_for_each_type(empty: InProcess, ids: tuple[str, str, str]) -> None:
    contact, one, _ = ids
    empty.ok("PUT", f"{V4}/contacts/{contact}/associations/default/companies/{one}")
    shown = empty.ok("GET", f"contacts/{contact}?associations=companies,deals")["associations"]
    entries = [("contact_to_company", one), ("contact_to_company_unlabeled", one)]
    assert {name: [(r["type"], r["id"]) for r in each["results"]] for name, each in shown.items()} == {
        "companies": entries
    }


def test_a_record_can_be_born_associated(empty: InProcess, ids: tuple[str, str, str]) -> None:
    contact, one, _ = ids
    body = {
        "properties": {"hs_timestamp": "2025-06-01", "hs_note_body": "<p>Hi</p>"},
        "associations": [{"to": {"id": contact}, "types": [spec(202)]}, {"to": {"id": one}, "types": [spec(190)]}],
    }
    note = empty.ok("POST", "notes", body)["id"]
    assert types(empty, f"notes/{note}/associations/contacts") == {int(contact): [202]}
    assert types(empty, f"companies/{one}/associations/notes") == {int(note): [189]}
    for wrong in ({"to": {"id": "9"}, "types": [spec(202)]}, {"to": {"id": contact}, "types": [spec(1)]}):
        empty.refused("POST", "notes", body | {"associations": [wrong]})
    assert len(empty.portal.live("notes")) == 1


def test_labels_of_the_portals_own_read_differently_from_the_other_side(
    empty: InProcess, ids: tuple[str, str, str]
) -> None:
    contact, one, _ = ids
    made = empty.ok(
        "POST",
        "/crm/v4/associations/contacts/companies/labels",
        {"name": "boss", "label": "Boss", "inverseLabel": "Led by"},
    )
    there, back = made["results"]
    assert there["category"] == "USER_DEFINED"
    empty.ok("PUT", f"{V4}/contacts/{contact}/associations/companies/{one}", [spec(there["typeId"], "USER_DEFINED")])
    rows = empty.ok("GET", f"{V4}/companies/{one}/associations/contacts")["results"]
    assert {t["label"] for t in rows[0]["associationTypes"]} == {"Led by", "Primary", None}
    both = {"from": {"id": contact}, "to": {"id": one}, "types": [spec(there["typeId"], "USER_DEFINED")]}
    gone = empty.call("POST", "/crm/v4/associations/contacts/companies/batch/labels/archive", {"inputs": [both]})
    assert gone.status == 204
    assert types(empty, f"contacts/{contact}/associations/companies") == {int(one): [1, 279]}
    listed = empty.ok("GET", "/crm/v4/associations/companies/contacts/labels")["results"]
    assert {t["typeId"] for t in listed} == {280, 2, back["typeId"]}
    label = f"/crm/v4/associations/contacts/companies/labels/{there['typeId']}"
    assert [empty.call("DELETE", label).status for _ in range(2)] == [204, 400]


def test_a_type_of_other_objects_is_refused(empty: InProcess, ids: tuple[str, str, str]) -> None:
    contact, one, _ = ids
    refusal = empty.refused("PUT", f"{V4}/contacts/{contact}/associations/companies/{one}", [spec(4)])
    assert "from 0-1 to 0-2" in refusal["message"]
    empty.refused("PUT", f"{V4}/contacts/{contact}/associations/companies/99", [spec(1)], 404)


def test_associations_come_in_pages(empty: InProcess, ids: tuple[str, str, str]) -> None:
    contact, one, two = ids
    for company in (two, one):
        empty.ok("PUT", f"{V4}/contacts/{contact}/associations/default/companies/{company}")
    path = f"{V4}/contacts/{contact}/associations/companies"
    first = empty.ok("GET", f"{path}?limit=1")
    assert [r["toObjectId"] for r in first["results"]] == [int(one)]
    second = empty.ok("GET", f"{path}?limit=1&after={first['paging']['next']['after']}")
    assert [r["toObjectId"] for r in second["results"]] == [int(two)]
    assert "paging" not in second
    empty.refused("GET", f"{path}?limit=501")


def test_batches_tell_of_records_without_associations(empty: InProcess, ids: tuple[str, str, str]) -> None:
    contact, one, two = ids
    batch = "/crm/v4/associations/contacts/companies/batch"
    inputs = [{"from": {"id": contact}, "to": {"id": each}, "types": [spec(279)]} for each in (one, "99")]
    made = empty.call("POST", f"{batch}/create", {"inputs": inputs})
    assert (made.status, made.json["numErrors"], len(made.json["results"])) == (207, 1, 1)
    lonely = empty.create("contacts", email="b@example.com")
    read = empty.call("POST", f"{batch}/read", {"inputs": [{"id": contact}, {"id": lonely}]})
    assert (read.status, read.json["results"][0]["to"][0]["toObjectId"]) == (207, int(one))
    assert read.json["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert read.json["errors"][0]["context"]["fromObjectId"] == [lonely]
    default = {"inputs": [{"from": {"id": contact}, "to": {"id": two}}]}
    assert len(empty.ok("POST", f"{batch}/associate/default", default)["results"]) == 2
    archive = {"inputs": [{"from": {"id": contact}, "to": [{"id": one}, {"id": two}, {"id": "99"}]}]}
    assert empty.call("POST", f"{batch}/archive", archive).status == 204
    assert types(empty, f"contacts/{contact}/associations/companies") == {}
    assert types(empty, f"companies/{one}/associations/contacts") == {}


def test_archiving_ends_associations_and_merging_moves_them(empty: InProcess, ids: tuple[str, str, str]) -> None:
    contact, one, two = ids
    other = empty.create("contacts", email="b@example.com")
    empty.ok("PUT", f"{V4}/contacts/{contact}/associations/default/companies/{one}")
    empty.ok("PUT", f"{V4}/contacts/{other}/associations/default/companies/{two}")
    empty.ok("POST", "contacts/merge", {"primaryObjectId": contact, "objectIdToMerge": other})
    assert types(empty, f"contacts/{contact}/associations/companies") == {int(one): [1, 279], int(two): [279]}
    assert types(empty, f"companies/{two}/associations/contacts") == {int(contact): [280]}
    empty.ok("DELETE", f"companies/{one}")
    assert types(empty, f"contacts/{contact}/associations/companies") == {int(two): [279]}


def test_a_change_of_associations_does_not_move_a_record_forward(empty: InProcess, ids: tuple[str, str, str]) -> None:
    """So a poll by the moment of change doesn't see it."""
    contact, one, _ = ids
    before = empty.ok("GET", f"contacts/{contact}")["updatedAt"]
    empty.clock.advance(60)
    empty.ok("PUT", f"{V4}/contacts/{contact}/associations/default/companies/{one}")
    assert empty.ok("GET", f"contacts/{contact}")["updatedAt"] == before


def test_custom_objects_are_associated_by_types_of_the_portals_own(small: InProcess) -> None:
    machines = small.portal.objects["machines"]
    assert machines.type_id.startswith("2-")
    machine = small.create("machines", serial_number="X-1")
    company = small.portal.live("companies")[0].id
    listed = small.ok("GET", f"/crm/v4/associations/{machines.type_id}/companies/labels")["results"]
    assert [t["category"] for t in listed] == ["USER_DEFINED"]
    link = [spec(listed[0]["typeId"], "USER_DEFINED")]
    small.ok("PUT", f"{V4}/p_machines/{machine}/associations/companies/{company}", link)
    assert list(types(small, f"machines/{machine}/associations/companies")) == [int(company)]
    refusal = small.refused("POST", machines.type_id, {"properties": {"serial_number": "X-1"}})
    assert refusal["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE"
    required = small.refused("POST", "machines", {"properties": {"model": "M"}})["context"]
    assert required == {"properties": ["serial_number"]}
