"""Leads: HubSpot's contacts in a lead stage, the hub's leads and Salesforce's; and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from storage.sync import records
from sync_engine.ports import Lease, Pushed
from sync_engine.postgres import PostgresSyncStore
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
        both.add("org", "--object", "Contact", "--object", "Lead")
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
    assert not market.leads()[0].get("IsConverted"), "no field can be written that converts it"
    market.both.edit("hubspot", object="contacts", id=record, properties={"city": "London"})
    market.both.edit_hub("lead", told["entity_id"], title="Nobody")
    market.both.sync()
    assert market.contacts()[0]["MailingCity"] == "London"
    assert {"City", "Title"} & market.leads()[0].keys() == set()
    assert "jobtitle" not in market.hubspot()[0].values
    market.quiet()
    assert market.counts() == (1, 1, 1)


def test_a_lead_of_the_hub_is_made_on_both_sides(market: Market) -> None:
    with market.both.db.tenant(market.both.tenant_id) as conn:
        records.create(conn, market.both.tenant_id, "lead", ADA, "a person")
    market.both.sync()
    assert (market.counts(), market.stage()) == ((1, 1, 0), "lead")
    assert market.leads()[0]["Email"] == market.hubspot()[0].values["email"] == ADA["email"]
    assert market.hubspot()[0].values["syncline_id"] == market.hub()["entity_id"]
    market.quiet()


def test_what_salesforce_asks_for_and_a_contact_lacks_is_its_address_there_and_stays_blank_elsewhere(
    market: Market,
) -> None:
    market.enter("hubspot", email="ada@leads.example", first_name="Ada")
    market.both.sync()
    (lead,) = market.leads()
    assert (lead["LastName"], lead["Company"], lead["FirstName"]) == ("ada@leads.example", "ada@leads.example", "Ada")
    market.quiet()
    assert {"lastname", "company"} & market.hubspot()[0].values.keys() == set()
    market.both.edit("salesforce", object="Lead", id=lead["Id"], properties={"LastName": "Lovelace"})
    market.both.sync()
    assert market.hubspot()[0].values["lastname"] == "Lovelace"
    assert "company" not in market.hubspot()[0].values
    market.quiet()


def test_a_contact_without_anything_that_salesforce_asks_for_is_a_dead_letter(market: Market) -> None:
    market.enter("hubspot", first_name="Ada")
    market.both.sync()
    (letter,) = market.both.letters()
    assert (letter["object"], letter["entity"]) == ("Lead", "lead")
    assert market.counts() == (1, 0, 0)


@pytest.mark.parametrize("stage", ["subscriber", "marketingqualifiedlead", "salesqualifiedlead"])
def test_every_stage_before_a_deal_is_a_lead_stage_and_stays_what_it_is(market: Market, stage: str) -> None:
    record = market.enter("hubspot", **ADA)
    market.move(record, stage)
    market.both.sync()
    assert (market.counts(), market.stage()) == ((1, 1, 0), stage)
    market.both.edit("salesforce", object="Lead", id=market.leads()[0]["Id"], properties={"Title": "Countess"})
    market.both.sync()
    assert (market.hubspot()[0].values["jobtitle"], market.stage()) == ("Countess", stage)


def test_who_was_a_contact_once_stays_one_when_the_stage_goes_back(market: Market) -> None:
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    for stage in ("customer", "lead", "salesqualifiedlead", "customer", "subscriber"):
        market.move(record, stage)
        market.both.sync()
        assert (market.counts(), market.stage()) == ((1, 1, 1), stage)
        assert value(market.hub(), "is_converted") is True
    market.both.edit("hubspot", object="contacts", id=record, properties={"city": "London"})
    market.both.sync()
    assert market.contacts()[0]["MailingCity"] == "London"
    assert "City" not in market.leads()[0]
    market.quiet()


def test_a_contact_that_moved_on_and_back_before_anybody_looked_is_a_lead_still(market: Market) -> None:
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    market.move(record, "customer")
    market.move(record, "lead")
    market.both.edit("hubspot", object="contacts", id=record, properties={"city": "London"})
    market.both.sync()
    assert (market.counts(), market.leads()[0]["City"]) == ((1, 1, 0), "London")
    assert value(market.hub(), "is_converted") is False


def test_a_stage_that_is_taken_away_for_a_moment_changes_nothing(market: Market) -> None:
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    market.both.edit("hubspot", object="contacts", id=record, properties={"lifecyclestage": ""})
    market.both.sync()
    market.move(record, "lead")
    market.both.edit("hubspot", object="contacts", id=record, properties={"city": "London"})
    market.both.sync()
    assert (market.counts(), market.leads()[0]["City"]) == ((1, 1, 0), "London")


@pytest.mark.parametrize("where", ["salesforce", "hubspot", "hub"])
def test_a_deleted_lead_goes_everywhere(market: Market, where: str) -> None:
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    if where == "hub":
        market.both.edit_hub("lead", market.hub()["entity_id"])
    else:
        kind, vendor_id = ("Lead", market.leads()[0]["Id"]) if where == "salesforce" else ("contacts", record)
        market.both.edit(where, object=kind, id=vendor_id, delete=True)
    market.both.sync()
    assert market.counts() == (0, 0, 0)
    market.quiet()


def test_a_lead_that_became_a_contact_takes_nothing_of_it_along(market: Market) -> None:
    """Salesforce's own duty to tidy up: old leads are deleted, and their contacts are not."""
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    market.move(record, "customer")
    market.both.sync()
    market.both.edit("salesforce", object="Lead", id=market.leads()[0]["Id"], delete=True)
    market.both.sync()
    assert market.counts() == (1, 0, 1)
    market.both.edit("hubspot", object="contacts", id=record, properties={"city": "London"})
    market.both.sync()
    assert (market.counts(), market.contacts()[0]["MailingCity"]) == ((1, 0, 1), "London")
    market.quiet()


def test_a_deleted_contact_leaves_its_lead(market: Market) -> None:
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    market.move(record, "customer")
    market.both.sync()
    told = market.hub()
    market.both.edit("hubspot", object="contacts", id=record, delete=True)
    market.both.sync()
    assert market.counts() == (0, 1, 0)
    assert market.both.told("lead", market.leads()[0]["Id"])["entity_id"] == told["entity_id"]
    market.quiet()
    assert market.counts() == (0, 1, 0)


def test_a_lead_that_moves_on_before_the_hub_deletes_it_is_left_alone(market: Market) -> None:
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    told = market.hub()
    market.move(record, "customer")
    market.both.edit_hub("lead", told["entity_id"])
    market.both.sync()
    assert market.counts() == (1, 0, 1)
    market.quiet()


def test_a_lead_merged_into_a_contact_became_that_one(market: Market) -> None:
    winner = market.enter("hubspot", first_name="Ada", last_name="Byron", company="Engines")
    market.move(winner, "customer")
    loser = market.enter("hubspot", **ADA)
    market.both.sync()
    assert market.counts() == (2, 1, 1)
    told = market.both.told("lead", loser, "contact_leads")
    market.both.edit("hubspot", object="contacts", id=winner, merge=loser)
    market.both.sync()
    assert market.counts() == (1, 1, 1)
    lead = market.both.told("lead", market.leads()[0]["Id"])
    assert (lead["entity_id"], value(lead, "is_converted")) == (told["entity_id"], True)
    market.quiet()


def test_a_lead_merged_into_a_contact_that_nobody_knew_became_that_one(market: Market) -> None:
    """It waits until the contacts were read, although somebody edits the lead."""
    loser = market.enter("hubspot", **ADA)
    market.both.sync()
    told = market.hub()
    winner = market.enter("hubspot", first_name="Ada", last_name="Byron", company="Engines")
    market.move(winner, "customer")
    market.both.edit("hubspot", object="contacts", id=winner, merge=loser)
    market.both.edit_hub("lead", told["entity_id"], title="Countess")
    assert market.both.syncline("sync", "pause", "portal", "--object", "contacts").code == 0
    market.both.sync()
    assert market.counts() == (1, 1, 0), "nobody has read the contact yet"
    assert market.both.syncline("sync", "resume", "portal").code == 0
    market.both.sync()
    market.both.sync()
    assert market.counts() == (1, 1, 1)
    lead = market.both.told("lead", market.leads()[0]["Id"])
    assert (lead["entity_id"], value(lead, "is_converted")) == (told["entity_id"], True)
    market.quiet()


def test_a_lead_merged_into_a_lead_that_nobody_knew_is_that_one(market: Market) -> None:
    loser = market.enter("hubspot", **ADA)
    market.both.sync()
    told, (before,) = market.hub(), market.leads()
    winner = market.enter("hubspot", first_name="Ada", last_name="Byron", company="Engines")
    market.both.edit("hubspot", object="contacts", id=winner, merge=loser)
    market.both.edit("salesforce", object="Lead", id=before["Id"], properties={"Title": "Countess"})
    market.both.sync()
    market.both.sync()
    (lead,) = market.leads()
    assert (lead["Id"], lead["LastName"], lead["Title"]) == (before["Id"], "Byron", "Countess")
    assert (market.hub()["entity_id"], market.hubspot()[0].values["jobtitle"]) == (told["entity_id"], "Countess")
    market.quiet()


# ---------------------------------------------------------------- who is known as a contact


def test_contacts_of_salesforce_are_no_leads_in_hubspot(market: Market) -> None:
    """HubSpot itself makes a contact a lead that comes without a stage."""
    market.both.edit("salesforce", object="Contact", properties={"LastName": "Byron", "Email": "byron@leads.example"})
    market.both.sync()
    assert (market.counts(), market.stage()) == ((1, 0, 1), "opportunity")
    market.quiet()


def test_who_is_a_contact_in_the_hub_is_one_in_hubspot_whatever_the_stage(market: Market) -> None:
    market.both.edit("salesforce", object="Contact", properties={"LastName": "Lovelace", "Email": ADA["email"]})
    market.enter("hubspot", **ADA)
    market.both.sync()
    assert (market.counts(), market.stage()) == ((1, 0, 1), "lead")
    assert set(links(market.hub("contact"))) == {("org", "Contact"), ("portal", "contacts")}
    market.quiet()


def test_a_contact_entered_beside_its_lead_takes_hubspots_contact_over(market: Market) -> None:
    """HubSpot has one contact for an address; two records of Salesforce have the same."""
    record = market.enter("hubspot", **ADA)
    market.both.sync()
    market.both.edit("salesforce", object="Contact", properties={"LastName": "Lovelace", "Email": ADA["email"]})
    market.both.sync()
    assert market.counts() == (1, 1, 1)
    person = market.hub("contact")
    assert links(person)["portal", "contacts"] == record
    assert value(market.hub(), "converted_contact_id") == person["entity_id"]
    market.quiet()


def test_a_lead_converted_into_a_contact_that_hubspot_has_leaves_both_there(market: Market) -> None:
    contact = market.both.edit(
        "salesforce", object="Contact", properties={"LastName": "Byron", "Email": "b@leads.example"}
    )
    lead = market.enter("salesforce", **ADA)
    market.both.sync()
    assert market.counts() == (2, 1, 1)
    market.convert(lead, contact["id"])
    market.both.sync()
    assert market.counts() == (2, 1, 1)
    told = market.both.told("lead", lead)
    assert value(told, "converted_contact_id") == market.both.told("contact", contact["id"])["entity_id"]
    market.quiet()
    assert market.counts() == (2, 1, 1)


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("stage", ["", "customer"])
@pytest.mark.parametrize(("entity", "name"), [("Lead", "contact_leads"), ("Contact", "contacts")])
def test_a_crash_between_a_write_and_its_commit_makes_nobody_twice(
    market: Market, monkeypatch: pytest.MonkeyPatch, entity: str, name: str, stage: str
) -> None:
    """Also where a person moves HubSpot's new contact on before anybody looks again; and nobody has an address to be known by."""
    left, commit = [name], PostgresSyncStore.commit_push

    def dying(store: PostgresSyncStore, lease: Lease, entity: str, ends: Sequence[Pushed]) -> None:
        if lease.lane.object in left and any(end.created for end in ends):
            left.clear()
            raise RuntimeError("killed")
        commit(store, lease, entity, ends)

    monkeypatch.setattr(PostgresSyncStore, "commit_push", dying)
    told = {"LastName": "Lovelace", **({"Company": "Engines"} if entity == "Lead" else {})}
    market.both.edit("salesforce", object=entity, properties=told)
    market.both.lag()
    assert market.both.syncline("sync", "run").code != 0
    assert (left, len(market.hubspot())) == ([], 1)
    if stage:
        market.move(market.hubspot()[0].id, stage)
    market.both.sync()
    assert market.counts() == (1, int(entity == "Lead"), int(entity == "Contact" or bool(stage)))
    market.quiet()


def test_owners_of_leads_travel(both: Both) -> None:
    first = next(iter(both.hubspot.portal.owners.values()))
    first.email = "user1@sandbox.example"
    both.add("org", "--object", "User")
    both.add("portal", "--object", "owners")
    market = Market(both)
    record = market.enter("hubspot", **ADA)
    both.edit("hubspot", object="contacts", id=record, properties={"hubspot_owner_id": first.id})
    both.sync()
    (user,) = [u for u in market.org.live("User") if u["Email"] == "user1@sandbox.example"]
    assert market.leads()[0]["OwnerId"] == user["Id"]


def test_other_stages_and_none_to_move_to_are_a_setting(both: Both) -> None:
    market = Market(both, "--lead-stage", "lead", "--converted-stage", "")
    record = market.enter("hubspot", last_name="Byron", company="Verse")
    market.move(record, "salesqualifiedlead")
    lead = market.enter("salesforce", **ADA)
    both.sync()
    assert market.counts() == (2, 1, 1), "who is past the only lead stage is a contact"
    market.convert(lead)
    both.sync()
    assert market.counts() == (2, 1, 2)
    assert (
        both.hubspot.portal.find_live("contacts", both.ids("contact", ADA["email"])[1]).values["lifecyclestage"]
        == "lead"
    )  # type: ignore[union-attr]
    market.quiet()


def test_what_is_asked_of_streams_of_leads_is_checked(both: Both) -> None:
    assert "contact_leads" not in {s["object"] for s in both.add("portal")}
    for words, told in (
        (("contacts", "--lead-stage", "lead"), "contact_leads"),
        (("contact_leads", "--lead-stage", "nowhere"), "no stage nowhere"),
        (("contact_leads", "--converted-stage", "lead"), "is a lead stage"),
    ):
        done = both.syncline("sync", "add", "portal", "--object", *words)
        assert (done.code != 0, told in done.err) == (True, True), done.err
    refused = both.syncline("migrate", "plan", "portal", "--object", "contact_leads")
    assert (refused.code != 0, "takes whole" in refused.err) == (True, True), refused.err


def test_without_its_stream_of_leads_a_portal_has_contacts_alone(market: Market) -> None:
    market.enter("hubspot", **ADA)
    market.both.sync()
    assert market.both.syncline("sync", "remove", "portal", "--object", "contact_leads").code == 0
    market.both.sync()
    assert market.counts() == (1, 1, 1)
    assert set(links(market.hub("contact"))) == {("org", "Contact"), ("portal", "contacts")}
