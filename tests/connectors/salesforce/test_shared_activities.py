"""The contacts of tasks and events, in orgs that share activities, and in others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.kit.contract import EndsChange, ReadRequest
from sandbox.salesforce.server import SandboxServer
from sandbox.salesforce.write import Writer
from tests.connectors.salesforce.conftest import Connect

FIELD = "TaskRelations"


@pytest.fixture
def org() -> Iterator[SandboxServer]:
    with SandboxServer(contacts=10, shared_activities=True) as server:
        yield server


@pytest.fixture
def writer(org: SandboxServer) -> Writer:
    return Writer(org.sandbox.org, org.sandbox.auth.user_id)


@pytest.fixture
def people(writer: Writer) -> list[str]:
    return [writer.insert("Contact", {"LastName": name}) for name in "ABC"]


def test_contacts_are_added_once_and_removed_while_all_others_stay(
    org: SandboxServer, writer: Writer, people: list[str], connect: Connect
) -> None:
    salesforce, (a, b, c) = connect(org), people
    firm = writer.insert("Account", {"Name": "Firm"})
    task = writer.insert("Task", {"Subject": "Do", "WhoId": a, "WhatId": firm})
    for change, held in ((EndsChange(task, add=(b, c)), people), (EndsChange(task, remove=(b,)), [a, c])):
        for _ in range(2):
            assert [r.error for r in salesforce.associate("Task", FIELD, [change])] == [None]
            assert salesforce.associated("Task", FIELD, [task]) == {task: held}
    assert (org.sandbox.org.get("Task", task) or {})["WhatId"] == firm
    (row,) = [r for p in salesforce.read(ReadRequest("Task", ("Id", "WhoId", FIELD), ids=(task,))) for r in p.records()]
    assert (row["WhoId"], row[FIELD]) == (a, f"{a};{c}")


def test_one_too_many_fails_its_own_task_alone(
    org: SandboxServer, writer: Writer, people: list[str], connect: Connect
) -> None:
    full, other = (writer.insert("Task", {"Subject": "Do", "WhoId": people[0]}) for _ in "12")
    for number in range(49):
        writer.insert(
            "TaskRelation", {"TaskId": full, "RelationId": writer.insert("Contact", {"LastName": str(number)})}
        )
    changes = [EndsChange(full, add=(people[1],)), EndsChange(other, add=(people[1],))]
    refused, done = connect(org).associate("Task", FIELD, changes)
    assert (refused.ok, done.ok) == (False, True)


def test_an_invitee_is_marked_and_unmarked(
    org: SandboxServer, writer: Writer, people: list[str], connect: Connect
) -> None:
    salesforce, (a, b, _) = connect(org), people
    event = writer.insert("Event", {"Subject": "Meet", "StartDateTime": "2031-01-01T10:00:00Z", "WhoId": a})
    row = writer.insert("EventRelation", {"EventId": event, "RelationId": b, "IsInvitee": True})

    def marks() -> list[Any]:
        known = org.sandbox.org.get("EventRelation", row) or {}
        return [known.get(name, False) for name in ("IsParent", "IsInvitee", "IsDeleted")]

    for change, held, expected in (
        (EndsChange(event), [a], [False, True, False]),
        (EndsChange(event, add=(b,)), [a, b], [True, True, False]),
        (EndsChange(event, remove=(b,)), [a], [False, True, False]),
    ):
        assert [r.error for r in salesforce.associate("Event", "EventRelations", [change])] == [None]
        assert salesforce.associated("Event", "EventRelations", [event]) == {event: held}
        assert marks() == expected


def test_a_lead_is_no_contact(org: SandboxServer, writer: Writer, connect: Connect) -> None:
    lead = writer.insert("Lead", {"LastName": "L", "Company": "L", "Status": "Open - Not Contacted"})
    task = writer.insert("Task", {"Subject": "Do", "WhoId": lead})
    assert connect(org).associated("Task", FIELD, [task]) == {}


def test_relations_are_described_where_they_say_whom_an_activity_is_of(
    org: SandboxServer, server: SandboxServer, connect: Connect
) -> None:
    """Elsewhere EventRelation holds invitees alone, which are migrated nowhere."""
    for where, expected in ((org, {"TaskRelation", "EventRelation"}), (server, set())):
        assert {"TaskRelation", "EventRelation"} & connect(where).describe().objects.keys() == expected
