"""Opportunities with their stages, between two vendors that have other stages, and pipelines, each."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.syncing.conftest import Both
from tests.syncing.test_two_way import value

PORTAL = (
    "Prospecting=appointmentscheduled",
    "Qualification=qualifiedtobuy",
    "Value Proposition=presentationscheduled",
    "Proposal/Price Quote=contractsent",
)


@pytest.fixture
def sales(both: Both) -> Both:
    """Opportunities of both vendors, exchanged once; of HubSpot's stages, some are called as Salesforce has them."""
    both.add("org", "--object", "Account", "--object", "Opportunity")
    named = [part for name in PORTAL for part in ("--stage", name)]
    both.add(
        "portal", "--object", "companies", "--object", "deals", *named, "--pipeline", "*=default", "--make-key-field"
    )
    both.sync()
    return both


def opportunity(both: Both, salesforce_id: str) -> Any:
    return both.salesforce.sandbox.org.get("Opportunity", salesforce_id)


def deal(both: Both, hubspot_id: str) -> dict[str, str]:
    found = both.hubspot.portal.find_live("deals", hubspot_id)
    return {} if found is None else found.values


def new_in_salesforce(both: Both, **more: Any) -> str:
    values = {"Name": "Big one", "StageName": "Prospecting", "CloseDate": "2031-03-04", "Amount": 1200.5, **more}
    made = both.edit("salesforce", object="Opportunity", properties={"CurrencyIsoCode": "EUR", **values})
    return str(made["id"])


def test_stages_and_pipelines_come_along_and_are_only_read(both: Both) -> None:
    made = both.add("portal", "--object", "deals")
    assert {s["object"]: s["pushes"] for s in made} == {"deal_pipelines": False, "deal_stages": False, "deals": True}
    made = both.add("org", "--object", "User", "--object", "Opportunity")
    assert {s["object"]: s["pushes"] for s in made} == {
        "User": False, "RecordType": False, "OpportunityStage": False, "Opportunity": True,
    }  # fmt: skip


def test_a_sale_is_the_same_on_all_three_sides_whoever_changes_it(sales: Both) -> None:
    salesforce_id = new_in_salesforce(sales)
    sales.sync()
    _, hubspot_id = sales.ids("opportunity", salesforce_id)
    there = deal(sales, hubspot_id)
    assert (there["dealname"], there["pipeline"], there["dealstage"]) == ("Big one", "default", "appointmentscheduled")
    assert (there["amount"], there["deal_currency_code"], there["closedate"][:10]) == ("1200.5", "EUR", "2031-03-04")
    sales.assert_silent()
    known = sales.told("opportunity", salesforce_id)
    assert value(known, "probability") == "10", "Salesforce's own, not the one that HubSpot has for its stage"

    sales.edit("hubspot", object="deals", id=hubspot_id, properties={"dealstage": "closedwon", "amount": "1500"})
    sales.sync()
    here = opportunity(sales, salesforce_id)
    assert (here["StageName"], here["Amount"], here["IsWon"], here["Probability"]) == (
        "Closed Won",
        1500.0,
        True,
        100.0,
    )

    sales.edit("salesforce", object="Opportunity", id=salesforce_id, properties={"StageName": "Proposal/Price Quote"})
    sales.sync()
    there = deal(sales, hubspot_id)
    assert (there["dealstage"], there["pipeline"], there["hs_is_closed"]) == ("contractsent", "default", "false")
    assert opportunity(sales, salesforce_id)["Probability"] == 75.0, "not the one that HubSpot has for its stage"

    sales.edit_hub("opportunity", known["entity_id"], close_date=date(2032, 1, 31), next_step="Call them")
    sales.sync()
    assert (opportunity(sales, salesforce_id)["CloseDate"], deal(sales, hubspot_id)["closedate"][:10]) == (
        "2032-01-31",
    ) * 2
    assert (opportunity(sales, salesforce_id)["NextStep"], deal(sales, hubspot_id)["hs_next_step"]) == (
        "Call them",
    ) * 2

    sales.assert_silent()
    assert sales.told("opportunity", salesforce_id)["conflicts"] == []
    sales.edit("salesforce", object="Opportunity", id=salesforce_id, delete=True)
    sales.sync()
    assert deal(sales, hubspot_id) == {}
    assert sales.told("opportunity", salesforce_id)["state"] == "deleted"


def test_a_sale_of_hubspot_goes_to_salesforce_and_both_follow_the_hubs_delete(sales: Both) -> None:
    values = {"dealname": "From the portal", "dealstage": "qualifiedtobuy", "closedate": "2030-05-06", "amount": "70"}
    made = sales.edit("hubspot", object="deals", properties={**values, "deal_currency_code": "USD"})
    sales.sync()
    salesforce_id, hubspot_id = sales.ids("opportunity", made["id"])
    here = opportunity(sales, salesforce_id)
    assert (here["Name"], here["StageName"], here["CloseDate"]) == ("From the portal", "Qualification", "2030-05-06")
    assert (here["Amount"], here["CurrencyIsoCode"]) == (70.0, "USD")
    sales.assert_silent()
    sales.edit_hub("opportunity", sales.told("opportunity", salesforce_id)["entity_id"])
    sales.sync()
    assert (opportunity(sales, salesforce_id)["IsDeleted"], deal(sales, hubspot_id)) == (True, {})


def test_a_stage_without_a_counterpart_is_a_dead_letter_until_it_has_a_name(sales: Both) -> None:
    salesforce_id = new_in_salesforce(sales)
    sales.sync()
    _, hubspot_id = sales.ids("opportunity", salesforce_id)
    lost = {"StageName": "Perception Analysis", "NextStep": "Think"}
    sales.edit("salesforce", object="Opportunity", id=salesforce_id, properties=lost)
    sales.sync()
    there = deal(sales, hubspot_id)
    assert (there["dealstage"], there["hs_next_step"]) == ("appointmentscheduled", "Think"), "the rest goes through"
    (letter,) = [a for a in sales.letters() if a["object"] == "deals"]
    assert (letter["code"], letter["field"]) == ("no_counterpart", "stage_id")
    assert "Perception Analysis" in letter["message"]

    again = [part for name in (*PORTAL, "Perception Analysis=decisionmakerboughtin") for part in ("--stage", name)]
    sales.add("portal", "--object", "deals", *again, "--pipeline", "*=default", "--key-field", "syncline_id")
    assert sales.syncline("dead-letters", "replay", letter["id"]).code == 0
    sales.sync()
    assert deal(sales, hubspot_id)["dealstage"] == "decisionmakerboughtin"
    assert [a for a in sales.letters() if a["object"] == "deals"] == []
    sales.assert_silent()
    assert opportunity(sales, salesforce_id)["StageName"] == "Perception Analysis"


def test_a_name_is_only_given_to_a_stage_that_there_is(both: Both) -> None:
    asked = both.syncline("sync", "add", "portal", "--object", "deals", "--stage", "Won=closed_one")
    assert asked.code != 0
    assert "has no stage closed_one" in asked.err
    asked = both.syncline("sync", "add", "portal", "--object", "deals", "--pipeline", "default")
    assert "takes a name and the vendor's id" in asked.err


def test_deals_that_are_merged_are_one_sale_on_every_side(sales: Both) -> None:
    """HubSpot makes a third deal of two: it goes on as what the first of them was, with what was edited elsewhere meanwhile."""
    first, second = new_in_salesforce(sales), new_in_salesforce(sales, Name="Other one", Amount=99)
    sales.sync()
    (_, kept), (_, lost) = sales.ids("opportunity", first), sales.ids("opportunity", second)
    others = len(sales.salesforce.sandbox.org.live("Opportunity")) - 2
    sales.edit("hubspot", object="deals", id=kept, merge=lost)
    sales.edit("salesforce", object="Opportunity", id=first, properties={"Description": "A giant"})
    sales.edit("salesforce", object="Opportunity", id=second, properties={"Amount": 100})
    sales.sync()
    sales.sync()
    standing = [r["Id"] for r in sales.salesforce.sandbox.org.live("Opportunity")]
    assert len(standing) == others + 1
    assert {first, second} & set(standing), "one of the two goes on"
    (left,) = {first, second} & set(standing)
    here, hub = opportunity(sales, left), sales.told("opportunity", left)
    there = deal(sales, sales.ids("opportunity", left)[1])
    assert sales.ids("opportunity", left)[1] not in (kept, lost)
    assert (here["Name"], there["dealname"], value(hub, "name")) == ("Big one",) * 3
    assert float(there["amount"]) == here["Amount"]
    assert {letter["code"] for letter in sales.letters()} <= {"no_counterpart"}, "of sales that were there before"
    sales.assert_silent()
