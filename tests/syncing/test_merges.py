"""Contacts that HubSpot merges while somebody edits, deletes or creates elsewhere: every side ends with the same people."""

from __future__ import annotations

from typing import Any

import pytest

from tests.syncing.conftest import Both


@pytest.fixture
def in_step(both: Both) -> Both:
    """Accounts and contacts of both vendors, exchanged; Ann and Bob stand everywhere."""
    both.add("org", "--object", "Account")
    both.add("org", "--object", "Contact")
    both.add("portal", "--object", "companies", "--object", "contacts", "--make-key-field")
    for first_name in ("Ann", "Bob"):
        enter(both, first_name)
    both.sync()
    both.sync()
    return both


def enter(both: Both, first_name: str, **more: str) -> str:
    """A new contact in HubSpot; returns its id there."""
    named = {"firstname": first_name, "lastname": "Lee", "email": f"{first_name.casefold()}@merges.example"}
    return str(both.edit("hubspot", object="contacts", properties={**named, **more})["id"])


def person(both: Both, first_name: str) -> Any:
    return both.told("contact", f"{first_name.casefold()}@merges.example")


def ids(both: Both, first_name: str) -> tuple[str, str, str]:
    """Somebody's ids: in the hub, in Salesforce, in HubSpot."""
    return (
        person(both, first_name)["entity_id"],
        *both.ids("contact", f"{first_name.casefold()}@merges.example"),
    )


def merge(both: Both, survivor: str, loser: str) -> None:
    both.edit("hubspot", object="contacts", id=survivor, merge=loser)


def sync_at_once(both: Both) -> None:
    """A run before HubSpot's index has caught up with what was just done there."""
    done = both.syncline("sync", "run", "--json")
    assert done.code == 0, done.err + done.out


def people(both: Both) -> dict[str, list[tuple[Any, ...]]]:
    """Who is called Lee, on each side, with what people edit."""
    rows = [r for r in both.salesforce.sandbox.org.live("Contact") if r["LastName"] == "Lee"]
    contacts = [r.values for r in both.hubspot.portal.live("contacts") if r.values.get("lastname") == "Lee"]
    with both.db.tenant(both.tenant_id) as conn:
        hub = conn.exec_driver_sql(
            "SELECT email, title, mailing_city FROM crm_contact WHERE last_name = 'Lee' ORDER BY 1"
        ).all()
    return {
        "hub": [tuple(row) for row in hub],
        "salesforce": sorted((r["Email"], r.get("Title"), r.get("MailingCity")) for r in rows),
        "hubspot": sorted((v["email"], v.get("jobtitle"), v.get("city")) for v in contacts),
    }


def assert_alike(both: Both, *expected: tuple[Any, ...]) -> None:
    """Each side has these people; no dead letter is open, and nothing is sent any more."""
    both.sync()
    both.sync()
    assert people(both) == {side: list(expected) for side in ("hub", "salesforce", "hubspot")}
    assert both.letters() == []
    both.assert_silent()


def logged(both: Both, hub_id: str) -> dict[str, Any]:
    """By rule, what lost in conflicts about a record of the hub."""
    with both.db.tenant(both.tenant_id) as conn:
        rows = conn.exec_driver_sql(
            "SELECT rule, winner, hub_value, vendor_value FROM conflict WHERE entity_id = %s", (hub_id,)
        )
        return {rule: hub if winner == "vendor" else vendor for rule, winner, hub, vendor in rows}


ANN = ("ann@merges.example", None, None)


def test_an_edit_of_the_hub_that_is_sent_before_the_merge_is_listed(in_step: Both) -> None:
    """The look before the write tells of the merge first."""
    hub_id, _, bob = ids(in_step, "Bob")
    merge(in_step, ids(in_step, "Ann")[2], bob)
    in_step.edit_hub("contact", hub_id, title="Chief")
    sync_at_once(in_step)
    assert_alike(in_step, ("ann@merges.example", "Chief", None))


def test_an_edit_of_another_vendor_that_is_read_after_the_merge(in_step: Both) -> None:
    """The half of a merged record does not come back for it: the edit fills a blank of the survivor, or is in the log."""
    hub_id, salesforce_id, bob = ids(in_step, "Bob")
    ann = ids(in_step, "Ann")[2]
    in_step.edit("hubspot", object="contacts", id=ann, properties={"jobtitle": "Boss"})
    in_step.sync()
    merge(in_step, ann, bob)
    in_step.edit("salesforce", object="Contact", id=salesforce_id, properties={"Title": "Chief", "MailingCity": "Rome"})
    in_step.lag()
    done = in_step.syncline("sync", "run", "portal", "--json")
    assert done.code == 0, done.err + done.out
    assert_alike(in_step, ("ann@merges.example", "Boss", "Rome"))
    assert logged(in_step, hub_id)["merged_over_edit"] == {"title": "Chief"}


def test_a_survivor_that_the_hub_did_not_know_yet(in_step: Both) -> None:
    """It is what the merged record was, on every side: nothing is deleted there and made anew."""
    hub_id, salesforce_id, bob = ids(in_step, "Bob")
    cid = enter(in_step, "Cid", city="Oslo")
    merge(in_step, cid, bob)
    in_step.edit_hub("contact", hub_id, title="Chief")
    assert_alike(in_step, ANN, ("cid@merges.example", "Chief", "Oslo"))
    assert ids(in_step, "Cid") == (hub_id, salesforce_id, cid)


def test_a_survivor_that_the_hub_did_not_know_yet_is_met_before_it_is_listed(in_step: Both) -> None:
    hub_id, salesforce_id, bob = ids(in_step, "Bob")
    cid = enter(in_step, "Cid")
    merge(in_step, cid, bob)
    in_step.edit_hub("contact", hub_id, title="Chief")
    sync_at_once(in_step)
    assert_alike(in_step, ANN, ("cid@merges.example", "Chief", None))
    assert ids(in_step, "Cid") == (hub_id, salesforce_id, cid)


def test_a_survivor_that_was_merged_on_before_the_hub_knew_it(in_step: Both) -> None:
    hub_id, _, bob = ids(in_step, "Bob")
    cid = enter(in_step, "Cid")
    merge(in_step, cid, bob)
    merge(in_step, ids(in_step, "Ann")[2], cid)
    in_step.edit_hub("contact", hub_id, title="Chief")
    assert_alike(in_step, ("ann@merges.example", "Chief", None))


def test_a_survivor_that_the_hub_deleted_meanwhile(in_step: Both) -> None:
    """Merging is an edit of the survivor, which beats the delete: it comes back, and what was merged into it follows."""
    hub_id, _, bob = ids(in_step, "Bob")
    ann_in_hub, _, ann = ids(in_step, "Ann")
    merge(in_step, ann, bob)
    in_step.edit_hub("contact", ann_in_hub)
    in_step.edit_hub("contact", hub_id, title="Chief")
    assert_alike(in_step, ("ann@merges.example", "Chief", None))


def test_a_survivor_that_was_edited_while_the_hub_deleted_it(in_step: Both) -> None:
    """The edit brings it back, so the record that was merged into it has to follow."""
    hub_id, _, bob = ids(in_step, "Bob")
    ann_in_hub, _, ann = ids(in_step, "Ann")
    merge(in_step, ann, bob)
    in_step.edit("hubspot", object="contacts", id=ann, properties={"jobtitle": "Boss"})
    in_step.edit_hub("contact", ann_in_hub)
    in_step.edit_hub("contact", hub_id, title="Chief", mailing_city="Rome")
    assert_alike(in_step, ("ann@merges.example", "Boss", "Rome"))
    assert logged(in_step, hub_id)["merged_over_edit"] == {"title": "Chief"}


def test_a_survivor_that_is_archived_before_the_merge_is_read(in_step: Both) -> None:
    hub_id, _, bob = ids(in_step, "Bob")
    ann = ids(in_step, "Ann")[2]
    merge(in_step, ann, bob)
    in_step.edit("hubspot", object="contacts", id=ann, delete=True)
    in_step.edit_hub("contact", hub_id, title="Chief")
    assert_alike(in_step, ("bob@merges.example", "Chief", None))


def test_a_new_contact_with_an_address_of_a_merged_one_is_told_whose_it_is(in_step: Both) -> None:
    """HubSpot keeps the merged record's address as a further one of the survivor: a person has to say who that is."""
    _, _, bob = ids(in_step, "Bob")
    ann_in_hub, _, ann = ids(in_step, "Ann")
    merge(in_step, ann, bob)
    in_step.sync()
    in_step.sync()
    made = {"LastName": "Leeward", "Email": "bob@merges.example"}
    in_step.edit("salesforce", object="Contact", properties=made)
    in_step.sync()
    (letter,) = in_step.letters()
    assert letter["code"] == "already_exists"
    assert f"contacts {ann}" in letter["message"]
    assert ann_in_hub in letter["message"]
    in_step.assert_silent()


def test_a_value_that_is_unique_in_salesforce_goes_over_to_the_survivor(in_step: Both) -> None:
    _, ann, ann_there = ids(in_step, "Ann")
    _, bob, bob_there = ids(in_step, "Bob")
    in_step.edit("salesforce", object="Contact", id=ann, properties={"Legacy_Id__c": "of-ann"})
    in_step.sync()
    merge(in_step, bob_there, ann_there)
    in_step.sync()  # Ann's half has the value still when Bob's is written: that is tried again after it is deleted
    with in_step.db.tenant(in_step.tenant_id) as conn:
        conn.exec_driver_sql("UPDATE push_work SET due_at = 'epoch'")
    assert_alike(in_step, ("bob@merges.example", None, None))
    row = in_step.salesforce.sandbox.org.get("Contact", bob)
    assert row is not None
    assert row["Legacy_Id__c"] == "of-ann"
