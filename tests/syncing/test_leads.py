"""Leads: HubSpot's contacts in a lead stage, the hub's leads and Salesforce's; and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.syncing.conftest import Both
from tests.syncing.test_two_way import value

ADA = {"first_name": "Ada", "last_name": "Lovelace", "company": "Engines", "email": "ada@leads.example"}
IN_SALESFORCE = {"first_name": "FirstName", "last_name": "LastName", "company": "Company", "email": "Email"}
IN_HUBSPOT = {"first_name": "firstname", "last_name": "lastname", "company": "company", "email": "email"}


class Market:
    """Leads and contacts of two vendors that had none before."""

    def __init__(self, both: Both, *words: str) -> None:
        self.both, self.org, self.portal = both, both.salesforce.sandbox.org, both.hubspot.portal
        for name in ("Lead", "Contact"):
            for row in self.org.live(name):
                both.edit("salesforce", object=name, id=row["Id"], delete=True)
        for record in list(self.portal.live("contacts")):
            both.edit("hubspot", object="contacts", id=record.id, delete=True)
        both.add("org", "--object", "Account", "--object", "Contact", "--object", "Lead")
        both.add("portal", "--object", "contacts", "--make-key-field")
        both.add("portal", "--object", "contact_leads", "--make-key-field", *words)
        both.sync()

    # ------------------------------------------------------------ what people do

    def enter(self, where: str, **fields: str) -> str:
        """A person enters a lead, by the hub's names; returns its id there."""
        if where == "salesforce":
            properties = {IN_SALESFORCE[n]: v for n, v in fields.items()}
            return str(self.both.edit("salesforce", object="Lead", properties=properties)["id"])
        properties = {IN_HUBSPOT[n]: v for n, v in fields.items()}
        return str(self.both.edit("hubspot", object="contacts", properties=properties)["id"])

    def move(self, record: str, stage: str) -> None:
        """Move a contact of HubSpot to a stage, also back."""
        for value_ in ("", stage):
            self.both.edit("hubspot", object="contacts", id=record, properties={"lifecyclestage": value_})

    def convert(self, lead: str, contact: str | None = None) -> str:
        into = {"contact": contact} if contact else {}
        return str(self.both.edit("salesforce", object="Lead", id=lead, convert=into)["id"])

    # ------------------------------------------------------------ what there is

    def hubspot(self) -> list[Any]:
        return self.portal.live("contacts")

    def leads(self) -> list[Any]:
        return self.org.live("Lead")

    def contacts(self) -> list[Any]:
        return self.org.live("Contact")

    def counts(self) -> tuple[int, int, int]:
        """HubSpot's contacts, Salesforce's leads and contacts."""
        return len(self.hubspot()), len(self.leads()), len(self.contacts())

    def stage(self) -> str:
        (record,) = self.hubspot()
        return str(record.values.get("lifecyclestage", ""))

    def hub(self, entity: str = "lead") -> Any:
        """What the hub says of HubSpot's only contact, as an entity."""
        (record,) = self.hubspot()
        return self.both.told(entity, record.id, {"lead": "contact_leads", "contact": "contacts"}[entity])

    def quiet(self) -> None:
        """Everything has settled, and nobody refused anything."""
        self.both.assert_silent()
        assert self.both.letters() == []


@pytest.fixture
def market(both: Both) -> Market:
    return Market(both)


def links(record: Any) -> dict[tuple[str, str], str]:
    return {(k["connection"], k["object"]): k["vendor_id"] for k in record["links"] if not k["tombstoned"]}


WITH_AND_WITHOUT = pytest.mark.parametrize(
    "fields", [ADA, {n: v for n, v in ADA.items() if n != "email"}], ids=["address", "none"]
)


@WITH_AND_WITHOUT
@pytest.mark.parametrize("where", ["salesforce", "hubspot"])
def test_a_lead_of_one_side_is_one_on_the_other_and_edits_travel_both_ways(
    market: Market, where: str, fields: dict[str, str]
) -> None:
    market.enter(where, **fields)
    market.both.sync()
    assert (market.counts(), market.stage()) == ((1, 1, 0), "lead")
    (lead,), (record,) = market.leads(), market.hubspot()
    for name, text in fields.items():
        assert (lead[IN_SALESFORCE[name]], record.values[IN_HUBSPOT[name]]) == (text, text)
    market.both.edit("salesforce", object="Lead", id=lead["Id"], properties={"Title": "Countess"})
    market.both.edit("hubspot", object="contacts", id=record.id, properties={"city": "London"})
    market.both.sync()
    assert (market.leads()[0]["City"], market.hubspot()[0].values["jobtitle"]) == ("London", "Countess")
    told = market.hub()
    market.both.edit_hub("lead", told["entity_id"], company="Analytical Engines")
    market.both.sync()
    assert (market.leads()[0]["Company"], market.hubspot()[0].values["company"]) == ("Analytical Engines",) * 2
    assert set(links(told)) == {("org", "Lead"), ("portal", "contact_leads")}
    market.quiet()
    assert market.counts() == (1, 1, 0)


@WITH_AND_WITHOUT
def test_a_lead_converted_in_salesforce_is_the_same_contact_of_hubspots(market: Market, fields: dict[str, str]) -> None:
    lead = market.enter("salesforce", **fields)
    market.both.sync()
    (record,) = market.hubspot()
    contact = market.convert(lead)
    market.both.sync()
    assert (market.counts(), market.stage()) == ((1, 1, 1), "opportunity")
    told, person = market.hub(), market.hub("contact")
    assert value(told, "is_converted") is True
    assert value(told, "converted_contact_id") == person["entity_id"]
    assert links(person) == {("org", "Contact"): contact, ("portal", "contacts"): record.id}
    market.both.edit("salesforce", object="Contact", id=contact, properties={"Title": "Countess"})
    market.both.edit("hubspot", object="contacts", id=record.id, properties={"city": "London"})
    market.both.sync()
    assert (market.contacts()[0]["MailingCity"], market.hubspot()[0].values["jobtitle"]) == ("London", "Countess")
    assert "City" not in market.leads()[0]
    market.quiet()
    assert market.counts() == (1, 1, 1)


@WITH_AND_WITHOUT
def test_a_lead_that_moves_on_in_hubspot_is_a_contact_everywhere(market: Market, fields: dict[str, str]) -> None:
    record = market.enter("hubspot", **fields)
    market.both.sync()
    market.move(record, "customer")
    market.both.sync()
    assert (market.counts(), market.stage()) == ((1, 1, 1), "customer")
    told, person = market.hub(), market.hub("contact")
    assert (value(told, "is_converted"), value(told, "converted_contact_id")) == (True, person["entity_id"])
    assert market.leads()[0]["IsConverted"] is False, "no field can be written that converts it"
    market.both.edit("hubspot", object="contacts", id=record, properties={"city": "London"})
    market.both.edit_hub("lead", told["entity_id"], title="Nobody")
    market.both.sync()
    assert market.contacts()[0]["MailingCity"] == "London"
    assert {"City", "Title"} & market.leads()[0].keys() == set()
    assert "jobtitle" not in market.hubspot()[0].values
    market.quiet()
    assert market.counts() == (1, 1, 1)
