"""A contact that belongs to several companies, between HubSpot's associations, the hub and Salesforce's account relations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from sandbox.hubspot.write import Writer as HubSpotWriter
from storage import browsing
from storage.sync import records
from tests.cli.conftest import Syncline
from tests.syncing.conftest import Both, connected

FIRMS = ("acme", "bolt", "cog")
RELATION = "AccountContactRelation"
SIDES = ("salesforce", "hubspot", "hub")
Told = tuple[str, list[str]]
"""The main company and all of them."""


class Person:
    """One contact and three companies, the same on all three sides, each called as in `FIRMS`."""

    def __init__(self, both: Both) -> None:
        self.both = both
        self.org, self.portal = both.salesforce.sandbox.org, both.hubspot.portal
        both.add("org", "--object", "Account", "--object", "Contact")
        both.add("portal", "--object", "companies", "--object", "contacts", "--make-key-field")
        for name in FIRMS:
            both.edit("salesforce", object="Account", properties={"Name": name, "Website": f"https://{name}.example"})
        ada = {"FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@several.example"}
        both.edit("salesforce", object="Contact", properties={**ada, "AccountId": self.account("acme")})
        both.sync()
        told = both.told("contact", "ada@several.example")
        self.hub = told["entity_id"]
        self.vendor, self.hubspot = both.ids("contact", "ada@several.example")
        self.firms = {name: both.told("account", name)["entity_id"] for name in FIRMS}
        self.companies = {name: both.ids("account", name)[1] for name in FIRMS}

    def account(self, name: str) -> str:
        (found,) = [str(r["Id"]) for r in self.org.live("Account") if r["Name"] == name]
        return found

    # ------------------------------------------------------------ what each side says

    def in_salesforce(self) -> Told:
        names = {str(r["Id"]): str(r["Name"]) for r in self.org.live("Account") if r["Name"] in FIRMS}
        row = self.org.get("Contact", self.vendor) or {}
        relations = [r for r in self.org.live(RELATION) if r["ContactId"] == self.vendor]
        return names.get(row.get("AccountId", ""), ""), sorted(names[r["AccountId"]] for r in relations)

    def in_hubspot(self) -> Told:
        names = {i: name for name, i in self.companies.items()}
        held = self.portal.associations.targets("contacts", self.hubspot, "companies")
        main = next((names[i] for i, specs in held.items() if ("HUBSPOT_DEFINED", 1) in specs), "")
        return main, sorted(names[i] for i in held)

    def in_hub(self) -> Told:
        names = {i: name for name, i in self.firms.items()}
        with self.both.db.tenant(self.both.tenant_id) as conn:
            found = browsing.get(conn, "contact", UUID(self.hub))
        fields: Any = found.fields if found else {}
        return names.get(str(fields.get("account_id")), ""), sorted(
            names[str(i)] for i in fields.get("account_ids", ())
        )

    def everywhere(self) -> Told:
        """The companies, the same on all sides."""
        sides = [self.in_salesforce(), self.in_hub(), self.in_hubspot()]
        assert sides[0] == sides[1] == sides[2], sides
        return sides[0]

    # ------------------------------------------------------------ what people do

    def add(self, where: str, name: str) -> None:
        if where == "salesforce":
            relation = {"ContactId": self.vendor, "AccountId": self.account(name)}
            self.both.edit("salesforce", object=RELATION, properties=relation)
        elif where == "hubspot":
            self.both.link_in_hubspot("contacts", self.hubspot, "companies", self.companies[name])
        else:
            self._edit_hub(account_ids={*self.in_hub()[1], name})

    def remove(self, where: str, name: str) -> None:
        if where == "salesforce":
            (relation,) = [
                r for r in self.org.live(RELATION)
                if (r["ContactId"], r["AccountId"]) == (self.vendor, self.account(name))
            ]  # fmt: skip
            self.both.edit("salesforce", object=RELATION, id=relation["Id"], delete=True)
        elif where == "hubspot":
            self.both.link_in_hubspot("contacts", self.hubspot, "companies", self.companies[name], on=False)
        else:
            self._edit_hub(account_ids={*self.in_hub()[1]} - {name})

    def lead(self, where: str, name: str) -> None:
        """Make a company the main one."""
        if where == "salesforce":
            self.both.edit("salesforce", object="Contact", id=self.vendor, properties={"AccountId": self.account(name)})
        elif where == "hubspot":
            writer, known = HubSpotWriter(self.portal, "CRM_UI"), self.portal.associations
            primary = known.primary("contacts", "companies")
            assert primary is not None
            writer.associate("contacts", self.hubspot, "companies", self.companies[name], [primary])
        else:
            self._edit_hub(account_id=name)

    def _edit_hub(self, **fields: Any) -> None:
        given = {
            name: UUID(self.firms[value]) if isinstance(value, str) else sorted(UUID(self.firms[n]) for n in value)
            for name, value in fields.items()
        }
        self.both.edit_hub("contact", self.hub, **given)


@pytest.fixture
def both(syncline: Syncline, db: Any, tenant_id: Any, tmp_path: Any, monkeypatch: Any) -> Iterator[Both]:
    """An org in which contacts may have several accounts."""
    with connected(syncline, db, tenant_id, tmp_path, monkeypatch, several_accounts=True) as made:
        yield made


@pytest.fixture
def ada(both: Both) -> Person:
    return Person(both)


def quiet(person: Person) -> None:
    """Nobody is sent anything any more, and nothing was set aside."""
    person.both.assert_silent()
    assert person.both.letters() == []
    assert person.both.told("contact", person.vendor)["conflicts"] == []


@pytest.mark.parametrize("side", SIDES)
def test_a_company_added_or_removed_on_one_side_is_so_on_the_others(ada: Person, side: str) -> None:
    ada.add(side, "bolt")
    ada.add(side, "cog")
    ada.both.sync()
    assert ada.everywhere() == ("acme", ["acme", "bolt", "cog"])
    ada.both.assert_silent()
    ada.remove(side, "bolt")
    ada.both.sync()
    assert ada.everywhere() == ("acme", ["acme", "cog"])
    quiet(ada)


@pytest.mark.parametrize("side", SIDES)
def test_another_main_company_on_one_side_is_so_on_the_others_and_loses_none(ada: Person, side: str) -> None:
    ada.add("hub", "bolt")
    ada.both.sync()
    ada.lead(side, "bolt")
    ada.both.sync()
    assert ada.everywhere() == ("bolt", ["acme", "bolt"])
    quiet(ada)
    ada.lead(side, "cog")
    ada.both.sync()
    assert ada.everywhere() == ("cog", ["acme", "bolt", "cog"])
    quiet(ada)


def test_what_all_sides_do_at_once_all_comes_true(ada: Person) -> None:
    ada.add("hub", "cog")
    ada.both.sync()
    ada.add("salesforce", "bolt")
    ada.remove("hubspot", "cog")
    ada.lead("hub", "bolt")
    ada.both.sync()
    assert ada.everywhere() == ("bolt", ["acme", "bolt"])
    quiet(ada)


@pytest.mark.parametrize("side", ["hubspot", "hub"])
def test_parting_from_the_main_company_makes_another_one_the_main_one(ada: Person, side: str) -> None:
    ada.add("salesforce", "bolt")
    ada.both.sync()
    ada.remove(side, "acme")
    ada.both.sync()
    assert ada.in_salesforce() == ada.in_hub() == ("bolt", ["bolt"])
    assert ada.in_hubspot()[1] == ["bolt"]
    quiet(ada)
    ada.remove(side, "bolt")
    ada.both.sync()
    assert ada.everywhere() == ("", [])
    quiet(ada)


def test_all_companies_at_once_leave_a_contact_of_nobody(ada: Person) -> None:
    ada.add("salesforce", "bolt")
    ada.both.sync()
    for name in ("acme", "bolt"):
        ada.remove("hubspot", name)
    ada.both.sync()
    assert ada.everywhere() == ("", [])
    quiet(ada)


@pytest.mark.parametrize("side", ["hubspot", "hub"])
def test_a_new_contact_brings_its_companies_along(ada: Person, side: str) -> None:
    both = ada.both
    if side == "hubspot":
        person = {"email": "new@several.example", "lastname": "New"}
        made = both.edit("hubspot", object="contacts", properties=person)["id"]
        for name in ("bolt", "cog"):
            both.link_in_hubspot("contacts", made, "companies", ada.companies[name])
    else:
        ids = [UUID(ada.firms[name]) for name in ("bolt", "cog")]
        given = {"email": "new@several.example", "last_name": "New", "account_id": ids[0], "account_ids": ids}
        with both.db.tenant(both.tenant_id) as conn:
            records.create(conn, both.tenant_id, "contact", given, "a person")
    both.sync()
    new = ada
    new.vendor, new.hubspot = both.ids("contact", "new@several.example")
    new.hub = both.told("contact", "new@several.example")["entity_id"]
    assert new.everywhere() == ("bolt", ["bolt", "cog"])
    quiet(new)


def test_roles_and_labels_of_companies_that_stay_are_kept(ada: Person) -> None:
    """Whoever changes the list, or the main one, leaves alone how the contact belongs to the others."""
    ada.add("hub", "bolt")
    ada.both.sync()
    (relation,) = [r for r in ada.org.live(RELATION) if r["AccountId"] == ada.account("bolt")]
    ada.both.edit(
        "salesforce", object=RELATION, id=relation["Id"], properties={"Roles": "Influencer", "IsActive": False}
    )
    label = ada.portal.associations.add_label("contacts", "companies", "Advisor", "Advised", "advisor")[0]
    HubSpotWriter(ada.portal, "CRM_UI").associate("contacts", ada.hubspot, "companies", ada.companies["bolt"], [label])
    ada.both.sync()
    ada.add("hub", "cog")
    ada.both.sync()
    ada.lead("hub", "bolt")
    ada.both.sync()
    ada.lead("hub", "cog")
    ada.both.sync()
    assert ada.everywhere() == ("cog", ["acme", "bolt", "cog"])
    (kept,) = [r for r in ada.org.live(RELATION) if r["AccountId"] == ada.account("bolt")]
    assert (kept["Id"], kept["Roles"]) == (relation["Id"], "Influencer")
    held = ada.portal.associations.targets("contacts", ada.hubspot, "companies")[ada.companies["bolt"]]
    assert ("USER_DEFINED", label.id) in held
    quiet(ada)


@pytest.fixture
def single(syncline: Syncline, db: Any, tenant_id: Any, tmp_path: Any, monkeypatch: Any) -> Iterator[Person]:
    """Ada in an org in which a contact has one account."""
    with connected(syncline, db, tenant_id, tmp_path, monkeypatch) as made:
        yield Person(made)


def test_where_a_vendor_knows_one_company_that_one_alone_travels(single: Person) -> None:
    """Nothing of the others is lost by it, and nothing fails."""
    single.add("hubspot", "bolt")
    single.both.sync()
    assert single.in_hub() == single.in_hubspot() == ("acme", ["acme", "bolt"])
    single.lead("salesforce", "cog")
    single.both.sync()
    assert single.in_hub() == single.in_hubspot() == ("cog", ["acme", "bolt", "cog"])
    assert single.account("cog") == (single.org.get("Contact", single.vendor) or {})["AccountId"]
    single.lead("hubspot", "bolt")
    single.remove("hubspot", "acme")
    single.both.sync()
    assert single.in_hub() == single.in_hubspot() == ("bolt", ["bolt", "cog"])
    assert single.account("bolt") == (single.org.get("Contact", single.vendor) or {})["AccountId"]
    quiet(single)


def test_what_the_hub_does_not_know_of_is_not_parted_from(single: Person) -> None:
    """A company of HubSpot's that is not in the hub, and a vendor that says that the contact has none."""
    both = single.both
    assert both.syncline("sync", "pause", "portal", "--object", "companies").code == 0
    unknown = both.edit("hubspot", object="companies", properties={"name": "Unknown"})["id"]
    single.companies["unknown"] = unknown
    both.link_in_hubspot("contacts", single.hubspot, "companies", unknown)
    both.sync()
    both.edit("salesforce", object="Contact", id=single.vendor, properties={"AccountId": None})
    both.sync()
    assert single.in_hub() == ("", [])
    assert single.in_hubspot()[1] == ["unknown"]


@pytest.mark.parametrize("side", ["hubspot", "hub"])
def test_a_deleted_company_leaves_the_others(ada: Person, side: str) -> None:
    ada.add("salesforce", "bolt")
    ada.add("salesforce", "cog")
    ada.both.sync()
    if side == "hub":
        ada.both.edit_hub("account", ada.firms["acme"])
    else:
        ada.both.edit("hubspot", object="companies", id=ada.companies["acme"], delete=True)
    ada.both.sync()
    assert ada.in_salesforce() == ada.in_hub()
    assert ada.in_hub()[1] == ada.in_hubspot()[1] == ["bolt", "cog"]
    assert ada.in_hub()[0] in ("bolt", "cog")
    quiet(ada)


@pytest.mark.parametrize("order", [("org", "portal"), ("portal", "org")])
def test_what_two_migrations_bring_in_is_kept_when_they_are_kept_in_step(both: Both, order: tuple[str, str]) -> None:
    """A company that one vendor alone knows of was not removed at the other: it never was there."""
    firms = {name: {"Name": name, "Website": f"https://{name}.example"} for name in FIRMS}
    accounts = {n: both.edit("salesforce", object="Account", properties=firm)["id"] for n, firm in firms.items()}
    ada = {"FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@several.example", "AccountId": accounts["acme"]}
    contact = both.edit("salesforce", object="Contact", properties=ada)["id"]
    relation = {"ContactId": contact, "AccountId": accounts["bolt"], "Roles": "Influencer"}
    both.edit("salesforce", object=RELATION, properties=relation)
    known = {
        n: both.edit("hubspot", object="companies", properties={"name": n, "domain": f"{n}.example"})["id"]
        for n in FIRMS
    }
    ada = {"firstname": "Ada", "lastname": "Lovelace", "email": "ada@several.example"}
    person = both.edit("hubspot", object="contacts", properties=ada)["id"]
    for name in ("acme", "cog"):
        both.link_in_hubspot("contacts", person, "companies", known[name])
    for connection in order:
        assert both.syncline("migrate", "plan", connection, "--approve").code == 0
        done = both.syncline("migrate", "run", connection, "--no-certificate")
        assert done.code == 0, done.err
    told = Person.__new__(Person)
    told.both, told.org, told.portal = both, both.salesforce.sandbox.org, both.hubspot.portal
    told.hub, told.vendor, told.hubspot = both.told("contact", "ada@several.example")["entity_id"], contact, person
    told.firms = {name: both.told("account", i, "Account")["entity_id"] for name, i in accounts.items()}
    told.companies = known
    assert told.in_hub() == ("acme", ["acme", "bolt", "cog"]), "migrated"
    both.add("org", "--object", "Account", "--object", "Contact")
    both.add("portal", "--object", "companies", "--object", "contacts", "--make-key-field")
    both.sync()
    assert told.everywhere() == ("acme", ["acme", "bolt", "cog"])
    both.assert_silent()
    (kept,) = [r for r in told.org.live(RELATION) if r["AccountId"] == accounts["bolt"]]
    assert kept["Roles"] == "Influencer"
