"""HubSpot, the hub and Salesforce in step."""

from __future__ import annotations

from tests.syncing.conftest import Both


def test_contacts_and_companies_of_both_meet_in_the_hub_and_on_each_other(both: Both) -> None:
    for name in ("Account", "Contact"):
        done = both.syncline("sync", "add", "org", "--object", name)
        assert done.code == 0, done.err
    done = both.syncline("sync", "add", "portal", "--object", "companies", "--object", "contacts", "--make-key-field")
    assert done.code == 0, done.err
    told = both.sync()
    assert told["rounds"] >= 2
    print(both.syncline("sync", "status").out)
    print(both.syncline("dead-letters", "list").out)
    again = both.sync()
    assert again["rounds"] == 1
