"""HubSpot, the hub and Salesforce in step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.syncing.conftest import Both


@pytest.fixture
def in_step(both: Both) -> Both:
    """Accounts and contacts of both vendors, exchanged once."""
    for name in ("Account", "Contact"):
        done = both.syncline("sync", "add", "org", "--object", name)
        assert done.code == 0, done.err
    done = both.syncline("sync", "add", "portal", "--object", "companies", "--object", "contacts", "--make-key-field")
    assert done.code == 0, done.err
    both.sync()
    return both


def told(both: Both, entity: str, vendor_id: str) -> Any:
    """What `explain` says of the one record that a vendor's id means."""
    return both.syncline("explain", entity, vendor_id, "--json").json["records"][0]


def links(record: Any) -> dict[str, str]:
    return {k["connection"]: k["vendor_id"] for k in record["links"] if not k["tombstoned"]}


def value(record: Any, name: str) -> Any:
    return next((f["value"] for f in record["fields"] if f["field"] == name), None)


def a_contact(both: Both) -> tuple[str, str]:
    """A contact that stands in both systems: its Salesforce id and its HubSpot id."""
    for row in both.salesforce.sandbox.org.live("Contact"):
        known = links(told(both, "contact", row["Id"]))
        if set(known) == {"org", "portal"}:
            return known["org"], known["portal"]
    raise AssertionError("no contact stands in both systems")


def in_salesforce(both: Both, salesforce_id: str) -> Any:
    return both.salesforce.sandbox.org.get("Contact", salesforce_id)


def in_hubspot(both: Both, hubspot_id: str) -> Any:
    return both.hubspot.portal.find_live("contacts", hubspot_id)


def test_contacts_of_both_meet_in_the_hub_and_on_each_other(in_step: Both) -> None:
    people = len(in_step.salesforce.sandbox.org.live("Contact"))
    assert people == len(in_step.hubspot.portal.live("contacts"))
    assert in_step.syncline("dead-letters", "list", "--json").json["letters"] == []
    in_step.sync()  # what the vendors made of the new records themselves
    assert in_step.sync()["rounds"] == 1, "nothing is left to exchange"


def test_edits_of_different_fields_on_both_sides_survive_everywhere(in_step: Both) -> None:
    salesforce_id, hubspot_id = a_contact(in_step)
    in_step.edit("salesforce", object="Contact", id=salesforce_id, properties={"Title": "Chief of Staff"})
    in_step.edit("hubspot", object="contacts", id=hubspot_id, properties={"city": "Reykjavík"})
    in_step.sync()
    org, portal = in_salesforce(in_step, salesforce_id), in_hubspot(in_step, hubspot_id)
    assert (org["Title"], org["MailingCity"]) == ("Chief of Staff", "Reykjavík")
    assert (portal.values["jobtitle"], portal.values["city"]) == ("Chief of Staff", "Reykjavík")
    record = told(in_step, "contact", salesforce_id)
    sources = {f["field"]: f["by"] for f in record["fields"] if f["field"] in ("title", "mailing_city")}
    assert sources == {"title": "org", "mailing_city": "portal"}
    assert record["conflicts"] == []


def test_the_same_field_edited_on_both_sides_is_a_conflict_that_keeps_the_loser(in_step: Both) -> None:
    salesforce_id, hubspot_id = a_contact(in_step)
    in_step.edit("salesforce", object="Contact", id=salesforce_id, properties={"Title": "Director"})
    in_step.edit("hubspot", object="contacts", id=hubspot_id, properties={"jobtitle": "Head"})
    in_step.sync()
    org, portal = in_salesforce(in_step, salesforce_id), in_hubspot(in_step, hubspot_id)
    assert org["Title"] == portal.values["jobtitle"]
    (conflict,) = told(in_step, "contact", salesforce_id)["conflicts"]
    assert (conflict["field"], conflict["status"]) == ("title", "settled")
    assert {conflict["hub_value"], conflict["vendor_value"]} == {"Director", "Head"}


def test_a_blanked_field_is_blank_everywhere(in_step: Both) -> None:
    salesforce_id, hubspot_id = a_contact(in_step)
    in_step.edit("hubspot", object="contacts", id=hubspot_id, properties={"jobtitle": "Soon gone"})
    in_step.sync()
    in_step.edit("salesforce", object="Contact", id=salesforce_id, properties={"Title": None})
    in_step.sync()
    assert not in_hubspot(in_step, hubspot_id).values.get("jobtitle")
    assert value(told(in_step, "contact", salesforce_id), "title") is None


@pytest.mark.parametrize("where", ["salesforce", "hubspot"])
def test_a_record_deleted_on_one_side_goes_on_the_other_and_leaves_its_tombstone(in_step: Both, where: str) -> None:
    salesforce_id, hubspot_id = a_contact(in_step)
    kind, vendor_id = ("Contact", salesforce_id) if where == "salesforce" else ("contacts", hubspot_id)
    in_step.edit(where, object=kind, id=vendor_id, delete=True)
    in_step.sync()
    org = in_salesforce(in_step, salesforce_id)
    assert org is None or org["IsDeleted"]
    assert in_hubspot(in_step, hubspot_id) is None
    assert told(in_step, "contact", salesforce_id)["state"] == "deleted"


def test_a_new_record_appears_once_on_the_other_side(in_step: Both) -> None:
    made = in_step.edit(
        "hubspot",
        object="contacts",
        properties={"email": "zoe@example.com", "firstname": "Zoë", "lastname": "Ångström"},
    )
    in_step.sync()
    in_step.sync()
    names = [r["LastName"] for r in in_step.salesforce.sandbox.org.live("Contact")]
    assert names.count("Ångström") == 1
    assert set(links(told(in_step, "contact", made["id"]))) == {"org", "portal"}


def test_why_a_record_is_not_there(in_step: Both) -> None:
    asked = in_step.syncline("explain", "contact", "nobody@example.com")
    assert asked.code == 1
    assert "did not list it" in asked.out
