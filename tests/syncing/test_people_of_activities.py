"""An activity that belongs to several contacts, between HubSpot's associations, the hub and Salesforce's relations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from storage import browsing
from storage.sync import records
from tests.cli.conftest import Syncline
from tests.syncing.conftest import Both, connected

PEOPLE = ("ada", "bob", "cyd")
SIDES = ("salesforce", "hubspot", "hub")
KINDS = {
    "Task": ("TaskRelation", "TaskId", "tasks", {"Subject": "Do"}),
    "Event": (
        "EventRelation",
        "EventId",
        "meetings",
        {"Subject": "Do", "StartDateTime": "2031-05-06T09:00:00.000+0000"},
    ),
}
Told = tuple[str, list[str]]
"""The main contact and all of them."""


class Activity:
    """One activity of Ada's, and three people, the same on all three sides, each called as in `PEOPLE`."""

    def __init__(self, both: Both, kind: str = "Task") -> None:
        self.both, self.kind = both, kind
        self.org, self.portal = both.salesforce.sandbox.org, both.hubspot.portal
        self.relation, self.link, self.there, given = KINDS[kind]
        for name in ("Task", "Event"):
            for row in self.org.live(name):
                both.edit("salesforce", object=name, id=row["Id"], delete=True)
        for name in ("tasks", "meetings"):
            for record in list(self.portal.live(name)):
                both.edit("hubspot", object=name, id=record.id, delete=True)
        both.add("org", "--object", "Contact", "--object", kind)
        both.add("portal", "--object", "contacts", "--object", self.there, "--make-key-field")
        for name in PEOPLE:
            both.edit("salesforce", object="Contact", properties={"LastName": name, "Email": f"{name}@people.example"})
        both.sync()
        self.people = {n: both.told("contact", f"{n}@people.example")["entity_id"] for n in PEOPLE}
        pairs = {n: both.ids("contact", f"{n}@people.example") for n in PEOPLE}
        self.contacts = {n: pair[0] for n, pair in pairs.items()}
        self.hubspots = {n: pair[1] for n, pair in pairs.items()}
        self.vendor = both.edit("salesforce", object=kind, properties={**given, "WhoId": self.contacts["ada"]})["id"]
        both.sync()
        self.known()

    def known(self) -> None:
        """Find the activity on the other sides."""
        self.hub = self.both.told("activity", self.vendor, self.kind)["entity_id"]
        self.hubspot = self.both.ids("activity", self.vendor, self.kind)[1]

    # ------------------------------------------------------------ what each side says

    def in_salesforce(self) -> Told:
        names = {i: n for n, i in self.contacts.items()}
        row = self.org.get(self.kind, self.vendor) or {}
        return names.get(row.get("WhoId", ""), ""), sorted(names[r["RelationId"]] for r in self.relations())

    def relations(self) -> list[dict[str, Any]]:
        return [
            r for r in self.org.live(self.relation)
            if r[self.link] == self.vendor and not r.get("IsWhat") and (r.get("IsParent") or self.kind == "Task")
        ]  # fmt: skip

    def in_hubspot(self) -> list[str]:
        names = {i: n for n, i in self.hubspots.items()}
        return sorted(names[i] for i in self.portal.associations.targets(self.there, self.hubspot, "contacts"))

    def in_hub(self) -> Told:
        names = {i: n for n, i in self.people.items()}
        with self.both.db.tenant(self.both.tenant_id) as conn:
            found = browsing.get(conn, "activity", UUID(self.hub))
        fields: Any = found.fields if found else {}
        return names.get(str(fields.get("contact_id")), ""), sorted(
            names[str(i)] for i in fields.get("contact_ids", ())
        )

    def everywhere(self) -> Told:
        """The people, the same on all sides; HubSpot has no main one."""
        org, hub = self.in_salesforce(), self.in_hub()
        assert org == hub
        assert self.in_hubspot() == hub[1]
        return hub

    # ------------------------------------------------------------ what people do

    def add(self, where: str, name: str) -> None:
        if where == "salesforce":
            given = {self.link: self.vendor, "RelationId": self.contacts[name]}
            parent = {"IsParent": True} if self.kind == "Event" else {}
            self.both.edit("salesforce", object=self.relation, properties=given | parent)
        elif where == "hubspot":
            self.both.link_in_hubspot(self.there, self.hubspot, "contacts", self.hubspots[name])
        else:
            self.both.edit_hub("activity", self.hub, contact_ids=self.ids({*self.in_hub()[1], name}))

    def remove(self, where: str, name: str) -> None:
        if where == "salesforce":
            (row,) = [r for r in self.relations() if r["RelationId"] == self.contacts[name]]
            self.both.edit("salesforce", object=self.relation, id=row["Id"], delete=True)
        elif where == "hubspot":
            self.both.link_in_hubspot(self.there, self.hubspot, "contacts", self.hubspots[name], on=False)
        else:
            self.both.edit_hub("activity", self.hub, contact_ids=self.ids({*self.in_hub()[1]} - {name}))

    def ids(self, names: set[str]) -> list[UUID]:
        return sorted(UUID(self.people[n]) for n in names)

    def touch(self) -> None:
        """A person saves the activity in Salesforce, as one does who removes a name there."""
        self.both.edit("salesforce", object=self.kind, id=self.vendor, properties={"Description": "Saved"})


@pytest.fixture
def both(syncline: Syncline, db: Any, tenant_id: Any, tmp_path: Any, monkeypatch: Any) -> Iterator[Both]:
    """An org in which activities may belong to several contacts."""
    with connected(syncline, db, tenant_id, tmp_path, monkeypatch, shared_activities=True) as made:
        yield made


def quiet(activity: Activity) -> None:
    """Nobody is sent anything any more, and nothing was set aside."""
    activity.both.assert_silent()
    assert activity.both.letters() == []
    assert activity.both.told("activity", activity.vendor, activity.kind)["conflicts"] == []


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("side", SIDES)
def test_people_who_are_added_or_removed_on_one_side_are_so_on_the_others(both: Both, side: str, kind: str) -> None:
    activity = Activity(both, kind)
    assert activity.everywhere() == ("ada", ["ada"])
    activity.add(side, "bob")
    activity.add(side, "cyd")
    both.sync()
    assert activity.everywhere() == ("ada", ["ada", "bob", "cyd"])
    both.assert_silent()
    activity.remove(side, "bob")
    if side == "salesforce":
        activity.touch()
    both.sync()
    assert activity.everywhere() == ("ada", ["ada", "cyd"])
    quiet(activity)


@pytest.mark.parametrize("side", SIDES)
def test_without_its_main_contact_an_activity_is_of_another(both: Both, side: str) -> None:
    activity = Activity(both)
    activity.add("hub", "bob")
    both.sync()
    activity.remove(side, "ada")
    if side == "salesforce":
        activity.touch()
    both.sync()
    assert activity.everywhere() == ("bob", ["bob"])
    quiet(activity)
    activity.remove(side, "bob")
    if side == "salesforce":
        activity.touch()
    both.sync()
    assert activity.everywhere() == ("", [])
    quiet(activity)


@pytest.mark.parametrize("side", ["salesforce", "hub"])
def test_another_main_contact_leaves_the_former_among_them(both: Both, side: str) -> None:
    activity = Activity(both)
    if side == "salesforce":
        both.edit("salesforce", object="Task", id=activity.vendor, properties={"WhoId": activity.contacts["bob"]})
    else:
        both.edit_hub("activity", activity.hub, contact_id=UUID(activity.people["bob"]))
    both.sync()
    assert activity.everywhere() == ("bob", ["ada", "bob"])
    quiet(activity)


def test_what_all_sides_do_at_once_all_comes_true(both: Both) -> None:
    activity = Activity(both)
    activity.add("hub", "cyd")
    both.sync()
    activity.add("salesforce", "bob")
    activity.remove("hubspot", "cyd")
    both.edit_hub("activity", activity.hub, contact_id=UUID(activity.people["bob"]))
    both.sync()
    assert activity.everywhere() == ("bob", ["ada", "bob"])
    quiet(activity)


@pytest.mark.parametrize("side", ["hubspot", "hub"])
def test_a_new_activity_brings_its_people_along(both: Both, side: str) -> None:
    activity = Activity(both)
    if side == "hubspot":
        given = {"hs_task_subject": "New", "hs_timestamp": "2031-01-01T00:00:00Z"}
        made = both.edit("hubspot", object="tasks", properties=given)["id"]
        for name in ("bob", "cyd"):
            both.link_in_hubspot("tasks", made, "contacts", activity.hubspots[name])
        sought = (made, "tasks")
    else:
        given = {
            "kind": "task",
            "subject": "New",
            "due_date": date(2031, 2, 3),
            "contact_ids": activity.ids({"bob", "cyd"}),
        }
        with both.db.tenant(both.tenant_id) as conn:
            made = records.create(conn, both.tenant_id, "activity", given, "a person")
        sought = (str(getattr(made, "id", made)), "")
    both.sync()
    activity.vendor = both.ids("activity", *sought)[0]
    activity.known()
    main, people = activity.everywhere()
    assert main in people == ["bob", "cyd"]
    quiet(activity)


def test_a_relation_that_went_by_itself_is_found_by_a_full_comparison(both: Both) -> None:
    """Salesforce stamps nothing and keeps nothing of it: a listing tells only if it brings the task for another reason."""
    both.add("org", "--object", "User")  # a task whose owner is not known is read by every comparison
    activity = Activity(both)
    activity.add("hub", "bob")
    both.sync()
    both.lag()
    both.edit("salesforce", object="Task", properties={"Subject": "Another", "WhoId": activity.contacts["cyd"]})
    both.sync()  # listings begin shortly before the newest task from now on, and this one is ten minutes older
    activity.remove("salesforce", "bob")
    both.sync()
    assert activity.in_hub() == ("ada", ["ada", "bob"]), "no listing tells"
    done = both.syncline("sync", "compare", "org", "--object", "Task")
    assert done.code == 0, done.err
    assert activity.in_hub() == ("ada", ["ada"]), "before anything is listed again"
    both.sync()
    assert activity.everywhere() == ("ada", ["ada"])
    quiet(activity)


def test_an_invitee_stays_invited_whoever_else_an_event_is_about(both: Both) -> None:
    activity = Activity(both, "Event")
    invited = {"EventId": activity.vendor, "RelationId": activity.contacts["bob"], "IsInvitee": True}
    row = both.edit("salesforce", object="EventRelation", properties=invited)["id"]
    both.sync()
    assert activity.everywhere() == ("ada", ["ada"]), "an invitee is nobody whom the event is about"
    for name, expected in (("add", ["ada", "bob"]), ("remove", ["ada"])):
        getattr(activity, name)("hub", "bob")
        both.sync()
        assert activity.everywhere() == ("ada", expected)
        kept = activity.org.get("EventRelation", row) or {}
        assert (kept.get("IsDeleted"), kept["IsInvitee"]) == (None, True)
    quiet(activity)


def test_a_task_of_a_lead_has_no_contacts(both: Both) -> None:
    activity = Activity(both)
    lead = both.edit(
        "salesforce", object="Lead", properties={"LastName": "Lee", "Company": "Lee", "Status": "Open - Not Contacted"}
    )["id"]
    both.edit("salesforce", object="Task", id=activity.vendor, properties={"WhoId": lead})
    both.sync()
    assert [r["RelationId"] for r in activity.relations()] == [lead]
    assert activity.in_hub() == ("", [])
    assert activity.in_hubspot() == []
    quiet(activity)


def test_where_activities_are_not_shared_the_main_contact_alone_travels(
    syncline: Syncline, db: Any, tenant_id: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """Nothing of the others is lost by it, and nothing fails."""
    with connected(syncline, db, tenant_id, tmp_path, monkeypatch) as both:
        activity = Activity(both)
        activity.add("hubspot", "bob")
        both.sync()
        assert activity.in_hub() == ("ada", ["ada", "bob"])
        both.edit("salesforce", object="Task", id=activity.vendor, properties={"WhoId": activity.contacts["cyd"]})
        both.sync()
        assert activity.in_hub() == ("cyd", ["ada", "bob", "cyd"])
        assert activity.in_hubspot() == ["ada", "bob", "cyd"]
        activity.remove("hubspot", "cyd")
        both.sync()
        main, people = activity.in_hub()
        assert (main in people, people, activity.in_hubspot()) == (True, ["ada", "bob"], ["ada", "bob"])
        assert (activity.org.get("Task", activity.vendor) or {})["WhoId"] == activity.contacts[main]
        quiet(activity)


class Sales:
    """A call of HubSpot's at two deals, and three sales which all sides know."""

    def __init__(self, both: Both) -> None:
        self.both, self.org, self.portal = both, both.salesforce.sandbox.org, both.hubspot.portal
        stage = next(iter(self.org.tables["OpportunityStage"].values()))["MasterLabel"]
        both.add("org", "--object", "Opportunity", "--object", "Task")
        both.add(
            "portal", "--object", "deals", "--object", "calls", "--make-key-field", "--stage", f"{stage}=qualifiedtobuy"
        )
        given = {"StageName": stage, "CloseDate": "2031-01-01"}
        self.sales = {
            n: both.edit("salesforce", object="Opportunity", properties={"Name": n, **given})["id"] for n in "abc"
        }
        both.sync()
        self.deals = {n: both.ids("opportunity", i, "Opportunity")[1] for n, i in self.sales.items()}
        self.hubs = {n: both.told("opportunity", i, "Opportunity")["entity_id"] for n, i in self.sales.items()}
        call = {"hs_call_title": "Ring", "hs_timestamp": "2031-01-01T00:00:00Z"}
        self.call = both.edit("hubspot", object="calls", properties=call)["id"]
        for name in "bc":
            both.link_in_hubspot("calls", self.call, "deals", self.deals[name])
        both.sync()
        self.hub = both.told("activity", self.call, "calls")["entity_id"]
        self.task = both.ids("activity", self.call, "calls")[0]

    def everywhere(self) -> tuple[str, list[str], list[str]]:
        """The main sale, which Salesforce knows alone, and all of the hub's and of HubSpot's."""
        names, deals = {i: n for n, i in self.hubs.items()}, {i: n for n, i in self.deals.items()}
        with self.both.db.tenant(self.both.tenant_id) as conn:
            found = browsing.get(conn, "activity", UUID(self.hub))
        fields: Any = found.fields if found else {}
        main = names.get(str(fields.get("opportunity_id")), "")
        what = (self.org.get("Task", self.task) or {}).get("WhatId")
        assert self.sales.get(main) == what
        held = self.portal.associations.targets("calls", self.call, "deals")
        return main, sorted(names[str(i)] for i in fields.get("opportunity_ids", ())), sorted(deals[i] for i in held)


def test_further_deals_of_an_activity_stay_whoever_moves_it(both: Both) -> None:
    """Salesforce knows one: another one there is another one in HubSpot, and takes away none but the former."""
    sales = Sales(both)
    assert sales.everywhere() == ("b", ["b", "c"], ["b", "c"])
    both.edit("salesforce", object="Task", id=sales.task, properties={"WhatId": sales.sales["a"]})
    both.sync()
    assert sales.everywhere() == ("a", ["a", "c"], ["a", "c"])
    both.edit_hub("activity", sales.hub, opportunity_id=UUID(sales.hubs["b"]))
    both.sync()
    assert sales.everywhere() == ("b", ["b", "c"], ["b", "c"])
    both.edit("salesforce", object="Task", id=sales.task, properties={"WhatId": None})
    both.sync()
    assert sales.everywhere() == ("", ["c"], ["c"])
    both.assert_silent()
    assert [a for a in both.letters() if a["object"] in ("calls", "Task")] == []


def test_an_activity_that_hubspot_parts_from_its_main_deal_is_of_the_next(both: Both) -> None:
    sales = Sales(both)
    both.link_in_hubspot("calls", sales.call, "deals", sales.deals["b"], on=False)
    both.edit("hubspot", object="calls", id=sales.call, properties={"hs_call_title": "Rang"})
    both.sync()
    assert sales.everywhere() == ("c", ["c"], ["c"]), "what HubSpot names next takes its place"
    both.assert_silent()
    assert [a for a in both.letters() if a["object"] in ("calls", "Task")] == []
