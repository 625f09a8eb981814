"""A migrated source stays in step until the cut-over; and a conflict that a person decides."""

from __future__ import annotations

import pytest

from tests.syncing.conftest import Both
from tests.syncing.test_two_way import a_contact, in_hubspot, in_salesforce, told, value


@pytest.fixture
def migrated(both: Both) -> Both:
    assert both.syncline("migrate", "plan", "org", "--approve").code == 0
    done = both.syncline("migrate", "run", "org", "--no-certificate")
    assert done.code == 0, done.err
    return both


def test_changes_after_the_migration_arrive_until_the_cut_over(migrated: Both) -> None:
    first = migrated.syncline("migrate", "follow", "--once", "--json")
    assert first.code == 0, first.err
    assert "ContentVersion" in first.json["not_followed"]
    contact = migrated.salesforce.sandbox.org.live("Contact")[0]["Id"]
    migrated.edit("salesforce", object="Contact", id=contact, properties={"Title": "Changed after the run"})
    made = migrated.edit("salesforce", object="Contact", properties={"LastName": "Late", "Email": "late@example.org"})
    gone = migrated.salesforce.sandbox.org.live("Contact")[1]["Id"]
    migrated.edit("salesforce", object="Contact", id=gone, delete=True)
    migrated.lag()
    again = migrated.syncline("migrate", "follow", "--once", "--json")
    assert again.code == 0, again.err
    assert value(told(migrated, "contact", contact), "title") == "Changed after the run"
    assert value(told(migrated, "contact", made["id"]), "last_name") == "Late"
    assert told(migrated, "contact", gone)["state"] == "deleted"
    migrated.lag()
    cut = migrated.syncline("migrate", "cutover", "--json")
    assert cut.code == 0, [o for o in cut.json["objects"] if o["differences"]]
    assert cut.json["ok"]
    counted = {o["object"]: (o["listed"], o["linked"]) for o in cut.json["objects"] if o["compared"]}
    assert counted["Contact"][0] == counted["Contact"][1] == len(migrated.salesforce.sandbox.org.live("Contact"))
    assert {s["status"] for s in migrated.syncline("sync", "status", "--json").json} == {"cut over"}


def test_a_difference_at_the_cut_over_is_told_and_it_can_be_taken_back(migrated: Both) -> None:
    assert migrated.syncline("migrate", "follow", "--once").code == 0
    assert migrated.syncline("migrate", "cutover").code == 0
    back = migrated.syncline("migrate", "cutover", "--take-back", "--json")
    assert back.json["followed"] > 5
    assert {s["status"] for s in migrated.syncline("sync", "status", "--json").json} == {"idle"}


def test_a_person_decides_a_conflict_and_it_stays_decided(both: Both) -> None:
    assert both.syncline("sync", "add", "org", "--object", "Contact").code == 0
    added = both.syncline(
        "sync", "add", "portal", "--object", "contacts", "--make-key-field", "--field", "title=ask"
    )  # fmt: skip
    assert added.code == 0, added.err
    both.sync()
    salesforce_id, hubspot_id = a_contact(both)
    both.edit("salesforce", object="Contact", id=salesforce_id, properties={"Title": "Director"})
    both.edit("hubspot", object="contacts", id=hubspot_id, properties={"jobtitle": "Head"})
    both.sync()
    (conflict,) = both.syncline("conflicts", "list", "--json").json
    assert conflict["field"] == "title"
    assert in_hubspot(both, hubspot_id).values["jobtitle"] == "Head", "nobody has decided yet"
    decided = both.syncline("conflicts", "resolve", conflict["id"], "--take", "vendor")
    assert decided.code == 0, decided.err
    both.sync()
    assert in_salesforce(both, salesforce_id)["Title"] == "Head"
    assert in_hubspot(both, hubspot_id).values["jobtitle"] == "Head"
    (story,) = [f for f in told(both, "contact", salesforce_id)["fields"] if f["field"] == "title"]
    assert (story["value"], story["by"], story["rule"]) == ("Head", "command line", "resolved")
    both.sync()
    assert both.syncline("conflicts", "list", "--json").json == []
