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


def contact_of_both(both: Both) -> tuple[str, str, dict[str, Any]]:
    """A contact that stands in both systems: its Salesforce id, its HubSpot id, and what the hub tells of it."""
    for record in both.salesforce.sandbox.org.live("Contact"):
        told = both.syncline("explain", "contact", record.id, "--json").json["records"][0]
        links = {k["connection"]: k["vendor_id"] for k in told["links"] if not k["tombstoned"]}
        if set(links) == {"org", "portal"}:
            return links["org"], links["portal"], told
    raise AssertionError("no contact stands in both systems")


def test_contacts_of_both_meet_in_the_hub_and_on_each_other(in_step: Both) -> None:
    people = len(in_step.salesforce.sandbox.org.live("Contact"))
    assert people == len(in_step.hubspot.portal.live("contacts"))
    assert in_step.syncline("dead-letters", "list", "--json").json["letters"] == []
    assert in_step.sync()["rounds"] == 1, "nothing is left to exchange"


def test_an_edit_on_one_arrives_in_the_other_two_and_different_fields_both_survive(in_step: Both) -> None:
    salesforce_id, hubspot_id, _ = contact_of_both(in_step)
    in_step.edit("salesforce", object="Contact", id=salesforce_id, values={"Title": "Chief of Staff"})
    in_step.edit("hubspot", object="contacts", id=hubspot_id, properties={"city": "Reykjavík"})
    in_step.sync()
    org = in_step.salesforce.sandbox.org.get("Contact", salesforce_id)
    print(org)
