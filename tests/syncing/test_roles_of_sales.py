"""As what a contact belongs to a sale: HubSpot's labels, the hub's, Salesforce's roles."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from sandbox.hubspot.write import Writer
from storage import browsing
from tests.syncing.conftest import Both
from tests.syncing.test_contacts_of_sales import Sale, sales

__all__ = ["sales"]
DECIDES, SPONSORS, CHEERS = "Decision Maker", "Executive Sponsor", "Champion"


class Roles(Sale):
    """The sale with Ada as a contact, and a portal that has two labels: one is Salesforce's but for capitals, one its own."""

    def __init__(self, both: Both) -> None:
        super().__init__(both)
        known = both.hubspot.portal.associations
        self.labels = {
            n: known.add_label("deals", "contacts", n, None, n.lower().replace(" ", "_"))[0]
            for n in (DECIDES.capitalize(), CHEERS)
        }
        self.add("salesforce", "ada")
        both.sync()

    def role(self) -> str | None:
        (row,) = [
            r for r in self.both.salesforce.sandbox.org.live("OpportunityContactRole") if r["OpportunityId"] == self.id
        ]
        return row.get("Role")

    def give(self, role: str | None) -> None:
        """Salesforce."""
        (row,) = [
            r for r in self.both.salesforce.sandbox.org.live("OpportunityContactRole") if r["OpportunityId"] == self.id
        ]
        self.both.edit("salesforce", object="OpportunityContactRole", id=row["Id"], properties={"Role": role})

    def label(self, name: str, *, on: bool = True) -> None:
        writer, kind = Writer(self.both.hubspot.portal, "CRM_UI"), self.labels[name]
        ends = ("deals", self.portal, "contacts", self.ids["ada"][1])
        if on:
            writer.associate(*ends, [kind])
        else:
            self.both.hubspot.portal.associations.unlink(*ends, [(kind.category, kind.id)])

    def labelled(self) -> list[str]:
        held = self.both.hubspot.portal.associations.targets("deals", self.portal, "contacts")[self.ids["ada"][1]]
        return sorted(n for n, kind in self.labels.items() if (kind.category, kind.id) in held)

    def told(self) -> list[str]:
        with self.both.db.tenant(self.both.tenant_id) as conn:
            found = browsing.get(conn, "opportunity", UUID(self.hub))
        fields: Any = found.fields if found else {}
        return list(fields.get("contact_roles", {}).get(self.people["ada"], ()))


@pytest.fixture
def roles(sales: Both) -> Roles:
    return Roles(sales)


def letters(roles: Roles) -> list[Any]:
    """Those about this sale's roles; the sandbox's own sales have stages and roles of which the portal knows nothing."""
    mine = [letter for letter in roles.both.letters() if str(letter["entity_id"]) == str(roles.hub)]
    return [letter for letter in mine if "role" in letter["message"]]


def test_a_role_given_and_taken_in_salesforce_is_a_label_in_hubspot(roles: Roles) -> None:
    roles.give(DECIDES)
    roles.both.sync()
    assert (roles.role(), roles.told(), roles.labelled()) == (DECIDES, [DECIDES], [DECIDES.capitalize()])
    roles.both.assert_silent()
    roles.give(None)
    roles.both.sync()
    assert (roles.role(), roles.told(), roles.labelled()) == (None, [], [])
    assert roles.everywhere() == ["ada"], "whom the role was taken from stays a contact"
    roles.both.assert_silent()
    assert letters(roles) == []


def test_a_label_given_in_hubspot_is_a_role_and_what_has_no_counterpart_stays(roles: Roles) -> None:
    roles.label(CHEERS)
    roles.label(DECIDES.capitalize())
    roles.both.sync()
    assert (roles.role(), roles.told()) == (DECIDES, [CHEERS, DECIDES.capitalize()])
    (letter,) = letters(roles)
    assert (letter["code"], CHEERS in letter["message"]) == ("no_counterpart", True)
    roles.give(SPONSORS)
    roles.both.sync()
    assert (roles.role(), roles.told(), roles.labelled()) == (SPONSORS, [CHEERS, SPONSORS], [CHEERS])
    roles.both.assert_silent()
    assert roles.everywhere() == ["ada"]


def test_a_portal_without_labels_is_left_alone(sales: Both) -> None:
    sale = Sale(sales)
    sale.add("salesforce", "ada")
    sales.sync()
    (row,) = [r for r in sales.salesforce.sandbox.org.live("OpportunityContactRole") if r["OpportunityId"] == sale.id]
    sales.edit("salesforce", object="OpportunityContactRole", id=row["Id"], properties={"Role": DECIDES})
    sales.sync()
    assert sale.everywhere() == ["ada"]
    held = sales.hubspot.portal.associations.targets("deals", sale.portal, "contacts")[sale.ids["ada"][1]]
    assert {category for category, _ in held} == {"HUBSPOT_DEFINED"}
    sales.assert_silent()
    assert [
        letter
        for letter in sales.letters()
        if str(letter["entity_id"]) == str(sale.hub) and "role" in letter["message"]
    ] == []
