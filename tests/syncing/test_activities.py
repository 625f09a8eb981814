"""Tasks, calls, meetings and notes: objects of their own at one vendor, tasks, events and notes at the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.syncing.conftest import Both


@pytest.fixture
def busy(both: Both) -> Both:
    """One person whom both know, and no activity yet."""
    for name in ("Task", "Event", "Note", "Contact"):
        for row in both.salesforce.sandbox.org.live(name):
            both.edit("salesforce", object=name, id=row["Id"], delete=True)
    kinds = ("tasks", "calls", "meetings", "notes")
    for kind in (*kinds, "contacts"):
        for record in list(both.hubspot.portal.live(kind)):
            both.edit("hubspot", object=kind, id=record.id, delete=True)
    both.edit("salesforce", object="Contact", properties={"LastName": "Zappa", "Email": "zappa@example.org"})
    both.add("org", *_objects("Contact", "Task", "Event", "Note"))
    both.add("portal", *_objects("contacts", *kinds), "--make-key-field")
    both.sync()
    return both


def _objects(*names: str) -> list[str]:
    return [part for name in names for part in ("--object", name)]


def here(both: Both, name: str, record: str) -> Any:
    return both.salesforce.sandbox.org.get(name, record)


def there(both: Both, kind: str, record: str) -> dict[str, str]:
    found = both.hubspot.portal.find_live(kind, record)
    return {} if found is None else found.values


def test_activities_without_a_choice_are_usual(both: Both) -> None:
    assert {"Task", "Event", "Note"} <= {s["object"] for s in both.add("org")}
    assert {"tasks", "calls", "meetings", "notes"} <= {s["object"] for s in both.add("portal")}


def test_each_kind_of_activity_is_the_same_on_all_sides(busy: Both) -> None:
    person, contact = busy.ids("contact", "zappa@example.org")
    told = {"WhoId": person, "Description": "one < two\nthree"}
    task = busy.edit("salesforce", object="Task", properties={"Subject": "Do", "ActivityDate": "2031-02-03", **told})[
        "id"
    ]
    spoke = {"TaskSubtype": "Call", "CallDurationInSeconds": 60, "CallType": "Outbound", "CallDisposition": "Busy"}
    call = busy.edit("salesforce", object="Task", properties={"Subject": "Ring", **spoke, **told})["id"]
    times = {"hs_timestamp": "2031-05-06T09:00:00Z", "hs_meeting_start_time": "2031-05-06T09:00:00Z"}
    met = {**times, "hs_meeting_end_time": "2031-05-06T10:00:00Z", "hs_meeting_title": "Meet"}
    meeting = busy.edit("hubspot", object="meetings", properties=met)["id"]
    noted = {"hs_timestamp": "2031-01-01T00:00:00Z", "hs_note_body": "<p>Good <b>news</b></p>"}
    note = busy.edit("hubspot", object="notes", properties=noted)["id"]
    for kind, record in (("meetings", meeting), ("notes", note)):
        busy.link_in_hubspot(kind, record, "contacts", contact)
    busy.sync()
    assert busy.letters() == []

    entered = {
        "task": (task, "Task"),
        "call": (call, "Task"),
        "meeting": (meeting, "meetings"),
        "note": (note, "notes"),
    }
    pairs = {name: busy.ids("activity", *at) for name, at in entered.items()}
    found = there(busy, "tasks", pairs["task"][1])
    assert (found["hs_task_subject"], found["hs_task_status"], found["hs_task_priority"]) == (
        "Do",
        "NOT_STARTED",
        "MEDIUM",
    )
    assert (found["hs_timestamp"][:10], found["hs_task_body"]) == ("2031-02-03", "one &lt; two<br>three")
    found = there(busy, "calls", pairs["call"][1])
    assert (found["hs_call_title"], found["hs_call_duration"], found["hs_call_direction"]) == (
        "Ring",
        "60000",
        "OUTBOUND",
    )
    assert found["hs_timestamp"], "a call without a day is placed at the moment at which it was entered"
    for kind in ("task", "call"):
        held = busy.hubspot.portal.associations.targets(f"{kind}s", pairs[kind][1], "contacts")
        assert list(held) == [contact]
    row = here(busy, "Event", pairs["meeting"][0])
    assert (row["Subject"], row["DurationInMinutes"], row["WhoId"]) == ("Meet", 60, person)
    row = here(busy, "Note", pairs["note"][0])
    assert (row["Body"], row["ParentId"]) == ("Good news", person)
    busy.assert_silent()

    done = {"hs_task_status": "COMPLETED", "hs_timestamp": "2031-04-05T12:00:00Z"}
    busy.edit("hubspot", object="tasks", id=pairs["task"][1], properties=done)
    said = {"Description": "Said no", "CallDisposition": "Connected"}
    busy.edit("salesforce", object="Task", id=pairs["call"][0], properties=said)
    longer = {"EndDateTime": "2031-05-06T10:30:00.000+0000"}
    busy.edit("salesforce", object="Event", id=pairs["meeting"][0], properties=longer)
    busy.edit_hub("activity", busy.told("activity", note, "notes")["entity_id"], body="Bad\nnews", body_format="text")
    busy.sync()
    row = here(busy, "Task", pairs["task"][0])
    assert (row["Status"], row["IsClosed"], row["ActivityDate"]) == ("Completed", True, "2031-04-05")
    found = there(busy, "calls", pairs["call"][1])
    assert (found["hs_call_body"], found["hs_call_disposition"]) == ("Said no", "f240bbac-87c9-4f6e-bf70-924b57d47db7")
    assert there(busy, "meetings", meeting)["hs_meeting_end_time"].startswith("2031-05-06T10:30")
    assert here(busy, "Note", pairs["note"][0])["Body"] == "Bad\nnews"
    assert there(busy, "notes", note)["hs_note_body"] == "Bad<br>news"
    busy.assert_silent()
    assert [busy.told("activity", *at)["conflicts"] for at in entered.values()] == [[]] * 4

    busy.edit("hubspot", object="tasks", id=pairs["task"][1], delete=True)
    busy.edit("salesforce", object="Event", id=pairs["meeting"][0], delete=True)
    busy.sync()
    assert here(busy, "Task", pairs["task"][0])["IsDeleted"]
    assert there(busy, "meetings", meeting) == {}
    assert busy.letters() == []
