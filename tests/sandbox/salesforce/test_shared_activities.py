"""Shared activities: what the platform does by itself, and what it lets nobody do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture
def org() -> InProcess:
    return InProcess(contacts=0, shared_activities=True)


@pytest.fixture
def people(org: InProcess) -> list[str]:
    return [org.create("Contact", LastName=name) for name in "ABC"]


def task(org: InProcess, **values: Any) -> str:
    return org.create("Task", Subject="Do", Status="Not Started", Priority="Normal", **values)


def related(org: InProcess, activity: str) -> list[str]:
    query = f"SELECT RelationId FROM TaskRelation WHERE TaskId = '{activity}' AND IsWhat = false"
    return sorted(str(row["RelationId"]) for row in org.soql(query))


def told(org: InProcess, activity: str) -> tuple[Any, Any, Any]:
    (row,) = org.soql(f"SELECT WhoId, WhoCount, WhatId FROM Task WHERE Id = '{activity}'")
    return row["WhoId"], row["WhoCount"], row["WhatId"]


def test_who_it_is_of_first_is_one_of_the_people_and_the_former_stays(org: InProcess, people: list[str]) -> None:
    a, b, c = people
    made = task(org, WhoId=a)
    assert related(org, made) == [a]
    org.create("TaskRelation", TaskId=made, RelationId=c)
    org.call("PATCH", f"sobjects/Task/{made}", {"WhoId": b})
    assert (told(org, made)[:2], related(org, made)) == ((b, 3), people)
    org.call("PATCH", f"sobjects/Task/{made}", {"WhoId": None})
    assert (told(org, made)[:2], related(org, made)) == ((a, 2), [a, c])


def test_another_takes_the_place_of_one_whose_relation_goes_and_no_bin_keeps_it(
    org: InProcess, people: list[str]
) -> None:
    a, b, _ = people
    made = task(org, WhoId=a)
    org.create("TaskRelation", TaskId=made, RelationId=b)
    stamp = org.soql(f"SELECT SystemModstamp FROM Task WHERE Id = '{made}'")
    for who, left in ((a, (b, 1)), (b, (None, 0))):
        (row,) = org.soql(f"SELECT Id FROM TaskRelation WHERE TaskId = '{made}' AND RelationId = '{who}'")
        org.call("DELETE", f"sobjects/TaskRelation/{row['Id']}")
        assert told(org, made)[:2] == left
    assert org.soql(f"SELECT SystemModstamp FROM Task WHERE Id = '{made}'") == stamp
    assert org.soql(f"SELECT Id FROM TaskRelation WHERE TaskId = '{made}'", "queryAll") == []


def test_a_lead_is_alone(org: InProcess, people: list[str]) -> None:
    lead = org.create("Lead", LastName="L", Company="L", Status="Open - Not Contacted")
    made = task(org, WhoId=people[0])
    org.create("TaskRelation", TaskId=made, RelationId=people[1])
    assert org.call("POST", "sobjects/TaskRelation", {"TaskId": made, "RelationId": lead}).status == 400
    org.call("PATCH", f"sobjects/Task/{made}", {"WhoId": lead})
    assert related(org, made) == [lead]
    org.call("PATCH", f"sobjects/Task/{made}", {"WhoId": people[2]})
    assert related(org, made) == [people[2]]


def test_no_more_than_fifty(org: InProcess, people: list[str]) -> None:
    made = task(org, WhoId=people[0])
    for number in range(49):
        org.create("TaskRelation", TaskId=made, RelationId=org.create("Contact", LastName=str(number)))
    assert org.call("POST", "sobjects/TaskRelation", {"TaskId": made, "RelationId": people[1]}).status == 400
    assert told(org, made)[1] == 50


def test_it_is_about_one_record_besides(org: InProcess) -> None:
    one, other = (org.create("Account", Name=name) for name in "XY")
    made = task(org, WhatId=one)
    assert org.call("POST", "sobjects/TaskRelation", {"TaskId": made, "RelationId": other}).status == 400
    org.call("PATCH", f"sobjects/Task/{made}", {"WhatId": other})
    rows = org.soql(f"SELECT RelationId FROM TaskRelation WHERE TaskId = '{made}' AND IsWhat = true")
    assert [row["RelationId"] for row in rows] == [other]


def test_who_says_nothing_of_an_event_means_an_invitee(org: InProcess, people: list[str]) -> None:
    made = org.create("Event", Subject="Meet", StartDateTime="2031-01-01T10:00:00Z", DurationInMinutes=30)
    org.create("EventRelation", EventId=made, RelationId=people[0])
    org.create("EventRelation", EventId=made, RelationId=people[1], IsParent=True)
    rows = org.soql(f"SELECT RelationId, IsParent, IsInvitee FROM EventRelation WHERE EventId = '{made}'")
    assert {r["RelationId"]: (r["IsParent"], r["IsInvitee"]) for r in rows} == {
        people[0]: (False, True),
        people[1]: (True, False),
    }
    assert [r["WhoId"] for r in org.soql(f"SELECT WhoId FROM Event WHERE Id = '{made}'")] == [people[1]]


def test_an_org_that_does_not_share_has_invitees_alone() -> None:
    org = InProcess(contacts=0)
    assert org.call("GET", "sobjects/TaskRelation/describe").status == 404
    fields = {f["name"] for f in org.call("GET", "sobjects/EventRelation/describe").json["fields"]}
    assert "RelationId" in fields
    assert not fields & {"IsParent", "IsWhat", "IsInvitee"}
