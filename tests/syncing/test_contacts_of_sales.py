"""The contacts of a sale, several of them, between HubSpot's associations, the hub and Salesforce's contact roles."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.syncing.conftest import Both
from tests.syncing.test_opportunities import PORTAL

PEOPLE = ("ada", "bob", "cid")


@pytest.fixture
def sales(both: Both) -> Both:
    """One opportunity and three contacts, the same on all three sides."""
    both.add("org", "--object", "Account", "--object", "Contact", "--object", "Opportunity")
    named = [part for name in PORTAL for part in ("--stage", name)]
    objects = [part for name in ("companies", "contacts", "deals") for part in ("--object", name)]
    both.add("portal", *objects, *named, "--pipeline", "*=default", "--make-key-field")
    for name in PEOPLE:
        person = {"FirstName": name.title(), "LastName": "Of Sale", "Email": f"{name}@sale.example"}
        both.edit("salesforce", object="Contact", properties=person)
    sale = {"Name": "Shared", "StageName": "Prospecting", "CloseDate": "2031-03-04", "CurrencyIsoCode": "EUR"}
    both.edit("salesforce", object="Opportunity", properties=sale)
    both.sync()
    return both


class Sale:
    """The opportunity as each side has it, its contacts by their first names."""

    def __init__(self, both: Both) -> None:
        self.both = both
        org = both.salesforce.sandbox.org
        (self.id,) = [r["Id"] for r in org.live("Opportunity") if r["Name"] == "Shared"]
        told = both.told("opportunity", self.id)
        self.hub, self.portal = told["entity_id"], both.ids("opportunity", self.id)[1]
        self.people = {name: both.told("contact", f"{name}@sale.example")["entity_id"] for name in PEOPLE}
        self.ids = {name: both.ids("contact", f"{name}@sale.example") for name in PEOPLE}

    def in_salesforce(self) -> list[str]:
        roles = self.both.salesforce.sandbox.org.live("OpportunityContactRole")
        names = {ids[0]: name for name, ids in self.ids.items()}
        return sorted(names[r["ContactId"]] for r in roles if r["OpportunityId"] == self.id)

    def in_hubspot(self) -> list[str]:
        names = {ids[1]: name for name, ids in self.ids.items()}
        return sorted(names[i] for i in self.both.hubspot.portal.associations.targets("deals", self.portal, "contacts"))

    def in_hub(self) -> list[str]:
        names = {UUID(i): name for name, i in self.people.items()}
        with self.both.db.tenant(self.both.tenant_id) as conn:
            rows = conn.exec_driver_sql(
                "SELECT DISTINCT to_id FROM crm_association WHERE from_id = %s AND to_entity = 'contact'",
                (UUID(self.hub),),
            )
            return sorted(names[i] for (i,) in rows)

    def everywhere(self) -> list[str]:
        """The contacts, the same on all sides."""
        sides = [self.in_salesforce(), self.in_hub(), self.in_hubspot()]
        assert sides[0] == sides[1] == sides[2], sides
        return sides[0]

    def add(self, where: str, name: str) -> None:
        if where == "salesforce":
            role = {"OpportunityId": self.id, "ContactId": self.ids[name][0]}
            self.both.edit("salesforce", object="OpportunityContactRole", properties=role)
        elif where == "hubspot":
            self.both.link_in_hubspot("deals", self.portal, "contacts", self.ids[name][1])
        else:
            self._edit_hub({*self.in_hub(), name})

    def remove(self, where: str, name: str) -> None:
        if where == "salesforce":
            for role in self.both.salesforce.sandbox.org.live("OpportunityContactRole"):
                if role["OpportunityId"] == self.id and role["ContactId"] == self.ids[name][0]:
                    self.both.edit("salesforce", object="OpportunityContactRole", id=role["Id"], delete=True)
        elif where == "hubspot":
            self.both.link_in_hubspot("deals", self.portal, "contacts", self.ids[name][1], on=False)
        else:
            self._edit_hub({*self.in_hub()} - {name})

    def _edit_hub(self, names: set[str]) -> None:
        self.both.edit_hub("opportunity", self.hub, contact_ids=sorted(UUID(self.people[n]) for n in names))


def unexpected(both: Both) -> list[str]:
    """Dead letters, but for the sandboxes' own sales in stages that only one vendor has."""
    return [letter["code"] for letter in both.letters() if letter["code"] != "no_counterpart"]


SIDES = ("salesforce", "hubspot", "hub")


@pytest.mark.parametrize("side", SIDES)
def test_a_contact_added_or_removed_on_one_side_is_so_on_the_others(sales: Both, side: str) -> None:
    sale = Sale(sales)
    sale.add(side, "ada")
    sale.add(side, "bob")
    sales.sync()
    assert sale.everywhere() == ["ada", "bob"]
    sales.assert_silent()
    sale.remove(side, "ada")
    sales.sync()
    assert sale.everywhere() == ["bob"]
    sales.assert_silent()
    assert unexpected(sales) == []


@pytest.mark.parametrize("side", ["hubspot", "hub"])
def test_the_roles_and_labels_of_contacts_that_stay_are_kept(sales: Both, side: str) -> None:
    """Somebody else adds and removes contacts: who decides in Salesforce, and by which label HubSpot knows whom, stays."""
    sale = Sale(sales)
    role = {"OpportunityId": sale.id, "Role": "Decision Maker", "IsPrimary": True}
    made = sales.edit(
        "salesforce", object="OpportunityContactRole", properties={**role, "ContactId": sale.ids["ada"][0]}
    )
    sale.add("salesforce", "bob")
    sales.sync()
    known = sales.hubspot.portal.associations
    label = known.add_label("deals", "contacts", "Blocker", None, "blocker")[0]
    known.link("deals", sale.portal, "contacts", sale.ids["ada"][1], [label])
    sale.add(side, "cid")
    sales.sync()
    sale.remove(side, "bob")
    sales.sync()
    assert sale.everywhere() == ["ada", "cid"]
    kept = sales.salesforce.sandbox.org.get("OpportunityContactRole", made["id"]) or {}
    assert (kept["Role"], kept["IsPrimary"], "IsDeleted" in kept) == ("Decision Maker", True, False)
    assert ("USER_DEFINED", label.id) in known.targets("deals", sale.portal, "contacts")[sale.ids["ada"][1]]
    sales.assert_silent()
    assert unexpected(sales) == []


def test_contacts_added_and_removed_at_once_on_all_sides_are_all_so(sales: Both) -> None:
    sale = Sale(sales)
    sale.add("hub", "cid")
    sales.sync()
    sale.add("salesforce", "ada")
    sale.add("hubspot", "bob")
    sale.remove("hub", "cid")
    sales.sync()
    assert sale.everywhere() == ["ada", "bob"]
    sales.assert_silent()
    assert sales.told("opportunity", sale.id)["conflicts"] == []


@pytest.mark.parametrize("side", SIDES)
def test_a_deleted_contact_is_no_contact_of_a_sale_any_more(sales: Both, side: str) -> None:
    sale = Sale(sales)
    for name in ("ada", "bob"):
        sale.add("salesforce", name)
    sales.sync()
    if side == "hub":
        sales.edit_hub("contact", sale.people["ada"])
    else:
        kind, place = ("Contact", 0) if side == "salesforce" else ("contacts", 1)
        sales.edit(side, object=kind, id=sale.ids["ada"][place], delete=True)
    sales.sync()
    assert sale.everywhere() == ["bob"]
    sales.assert_silent()
    assert unexpected(sales) == []


def test_a_new_sale_brings_its_contacts_along_whichever_side_it_comes_from(sales: Both) -> None:
    sale = Sale(sales)
    values = {"dealname": "New", "dealstage": "qualifiedtobuy", "closedate": "2030-05-06", "pipeline": "default"}
    made = sales.edit("hubspot", object="deals", properties={**values, "deal_currency_code": "USD"})
    for name in ("ada", "bob"):
        sales.link_in_hubspot("deals", made["id"], "contacts", sale.ids[name][1])
    contact = {"Name": "Newer", "StageName": "Prospecting", "CloseDate": "2031-03-04", "ContactId": sale.ids["cid"][0]}
    other = sales.edit("salesforce", object="Opportunity", properties={**contact, "CurrencyIsoCode": "EUR"})
    sales.sync()
    here, there = sales.ids("opportunity", made["id"])
    roles = {(r["OpportunityId"], r["ContactId"]) for r in sales.salesforce.sandbox.org.live("OpportunityContactRole")}
    assert {c for o, c in roles if o == here} == {sale.ids[name][0] for name in ("ada", "bob")}
    assert {c for o, c in roles if o == other["id"]} == {sale.ids["cid"][0]}
    there = sales.ids("opportunity", other["id"])[1]
    assert set(sales.hubspot.portal.associations.targets("deals", there, "contacts")) == {sale.ids["cid"][1]}
    sales.assert_silent()
    assert unexpected(sales) == []
