"""Owners: the users of two vendors are the same people where their addresses are, and nobody is made a user."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.syncing.conftest import Both
from tests.syncing.test_two_way import value


@pytest.fixture
def owned(both: Both) -> Both:
    """Accounts with their owners, of whom two are users of both vendors."""
    for number, owner in enumerate(list(both.hubspot.portal.owners.values())[:2]):
        owner.email = f"USER{number + 1}@sandbox.example"
    both.add("org", "--object", "User", "--object", "Account")
    both.add("portal", "--object", "owners", "--object", "companies", "--make-key-field")
    return both


def user(number: int, both: Both) -> str:
    """The Salesforce user who is the HubSpot owner of the same number; from 3 on nobody is."""
    return str(
        next(u["Id"] for u in both.salesforce.sandbox.org.live("User") if u["Email"] == f"user{number}@sandbox.example")
    )


def owner(number: int, both: Both) -> str:
    return list(both.hubspot.portal.owners)[number - 1]


def test_an_owner_travels_where_both_know_the_user_and_stays_where_not(owned: Both) -> None:
    users, owners = len(owned.salesforce.sandbox.org.live("User")), len(owned.hubspot.portal.owners)
    made = owned.edit("salesforce", object="Account", properties={"Name": "Owned", "OwnerId": user(1, owned)})
    owned.sync()
    here, there = owned.ids("account", made["id"])

    def in_salesforce() -> Any:
        return owned.salesforce.sandbox.org.get("Account", here)["OwnerId"]

    def in_hubspot() -> Any:
        return owned.hubspot.portal.find_live("companies", there).values.get("hubspot_owner_id")  # type: ignore[union-attr]

    assert (in_salesforce(), in_hubspot()) == (user(1, owned), owner(1, owned))
    owned.edit("hubspot", object="companies", id=there, properties={"hubspot_owner_id": owner(2, owned)})
    owned.sync()
    assert (in_salesforce(), in_hubspot()) == (user(2, owned), owner(2, owned))
    known = owned.told("account", here)
    owned.edit_hub("account", known["entity_id"], owner_id=UUID(owned.told("user", user(1, owned))["entity_id"]))
    owned.sync()
    assert (in_salesforce(), in_hubspot()) == (user(1, owned), owner(1, owned))

    owned.edit("salesforce", object="Account", id=here, properties={"OwnerId": user(4, owned)})
    owned.sync()
    assert (in_salesforce(), in_hubspot()) == (user(4, owned), owner(1, owned)), "HubSpot has no such user"
    (kept,) = owned.told("account", here)["pending"]
    assert kept.startswith("companies of portal: the user ")
    assert "keeps the one that it has there" in kept
    owned.assert_silent()
    assert value(owned.told("account", here), "owner_id") == owned.told("user", user(4, owned))["entity_id"]
    assert owned.told("account", here)["conflicts"] == owned.letters() == []
    assert (len(owned.salesforce.sandbox.org.live("User")), len(owned.hubspot.portal.owners)) == (users, owners)


def test_an_owner_whom_only_one_side_knows_is_not_replaced_by_who_made_the_copy(owned: Both) -> None:
    mine = owner(4, owned)
    made = owned.edit("hubspot", object="companies", properties={"name": "Mine", "hubspot_owner_id": mine})
    owned.sync()
    here, there = owned.ids("account", made["id"])
    owned.assert_silent()
    assert owned.salesforce.sandbox.org.get("Account", here)["OwnerId"], "Salesforce gives it to the integration's user"
    assert owned.hubspot.portal.find_live("companies", there).values["hubspot_owner_id"] == mine  # type: ignore[union-attr]
    assert value(owned.told("account", here), "owner_id") == owned.told("user", mine)["entity_id"]
    owned.edit("salesforce", object="Account", id=here, properties={"OwnerId": user(2, owned)})
    owned.sync()
    assert owned.hubspot.portal.find_live("companies", there).values["hubspot_owner_id"] == owner(2, owned)  # type: ignore[union-attr]
