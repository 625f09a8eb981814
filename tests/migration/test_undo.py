"""Undo: what a run made goes, what it changed returns to the last column, what people did since stays."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import ConfigurationError
from tests.migration.conftest import World
from tests.migration.source import ListSource
from tests.migration.test_run import ACCOUNTS, USERS, contact, org

TABLES = (
    "crm_user",
    "crm_account",
    "crm_contact",
    "crm_opportunity",
    "crm_association",
    "crm_activity",
    "link",
    "field_history",
    "pending_reference",
    "migration_journal",
    "blob",
    "custom_field",
)


def snapshot(world: World) -> dict[str, list[object]]:
    return {table: sorted(map(repr, world.rows(f"SELECT t::text FROM {table} t"))) for table in TABLES}  # noqa: S608


FULL = org(
    [
        contact(1, Email="same@x.example", LastName="Twin"),
        contact(2, Email="same@x.example", LastName="Twin"),
        contact(3, AccountId="001GONE"),
        contact(4, ReportsToId="0030003"),
    ]
) | {
    "Opportunity": [
        {
            "Id": "006A",
            "Name": "Deal",
            "AccountId": "001P",
            "StageName": "New",
            "CloseDate": "2024-01-01",
            "Amount": "10.50",
        }
    ],
    "OpportunityContactRole": [
        {"Id": "00KA", "OpportunityId": "006A", "ContactId": "0030002", "Role": "Buyer", "IsPrimary": True}
    ],
    "Task": [{"Id": "00T1", "Subject": "Call", "WhoId": "0030001", "WhatId": "006A", "Status": "Open"}],
}
RULES = {"Contact": (("email", "last_name"),)}


def test_undo_of_a_first_run_leaves_the_tables_as_they_were(world: World) -> None:
    before = snapshot(world)
    result = world.migrate(FULL, **RULES)
    assert world.count("crm_contact") == 3
    undone = world.migrations.undo(result.run_id)
    assert undone.kept_total == 0
    assert undone.deleted["Contact"] == 3
    assert snapshot(world) == before
    assert world.migrations.status(result.run_id)[0].state == "undone"


def test_undo_closes_the_runs_letters_and_keeps_nothing_of_the_records_in_them(world: World) -> None:
    result = world.migrate(org([contact(1), contact(2, Id="")]))
    letters = "SELECT status, resolution, payload, mapped, original FROM dead_letter"
    [(status, _, payload, *_)] = world.rows(letters)
    assert status == "open"
    assert payload["LastName"] == "Nr 2"
    world.migrations.undo(result.run_id)
    assert world.rows(letters) == [("resolved", "discarded: the run was undone", None, None, None)]
    again = world.migrate()
    [(status, _, payload, *_)] = world.rows(letters)
    assert (status, payload["LastName"]) == ("open", "Nr 2"), "the source has it, so the next run sets it aside again"
    assert again.ledgers["Contact"].rejected == 1


def test_undo_of_a_second_run_restores_what_it_changed_exactly(world: World) -> None:
    world.migrate(FULL, **RULES)
    before = snapshot(world)
    changed = {
        **FULL,
        "Contact": [contact(1, Email="same@x.example", LastName="Twin", Title="New"), *FULL["Contact"][1:], contact(9)],
        "Account": [ACCOUNTS[0], ACCOUNTS[1] | {"Name": "Renamed"}],
    }
    result = world.migrate(changed, **RULES)
    assert (
        result.ledgers["Contact"].updated,
        result.ledgers["Contact"].created,
        result.ledgers["Account"].updated,
    ) == (1, 1, 1)
    world.migrations.undo(result.run_id)
    assert snapshot(world) == before


def test_a_matched_record_that_stood_before_is_restored_and_stays(world: World) -> None:
    world.execute(
        "INSERT INTO crm_contact (tenant_id, id, email, last_name, title) "
        "VALUES (:t, gen_random_uuid(), 'p1@x.example', 'Nr 1', 'Old')",
        t=world.tenant_id,
    )
    before = snapshot(world)
    result = world.migrate(org([contact(1, Title="New")]), **RULES)
    world.migrations.undo(result.run_id)
    assert snapshot(world) == before


def test_a_record_edited_since_is_kept_and_told_unless_forced(world: World) -> None:
    result = world.migrate(org([contact(1), contact(2)]))
    world.execute("UPDATE crm_contact SET title = 'Mine' WHERE email = 'p1@x.example'")
    undone = world.migrations.undo(result.run_id)
    assert [(k.vendor_id, k.why) for k in undone.kept if k.entity == "contact"] == [
        ("0030001", "edited since it was created")
    ]
    assert world.rows("SELECT title FROM crm_contact") == [("Mine",)]
    assert {(k.vendor_id, k.why) for k in undone.kept if k.entity == "account"} == {
        ("001C", "a contact that stays refers to it"),
        ("001P", "an account that stays refers to it"),
    }
    assert {k.vendor_id for k in undone.kept if k.entity == "user"} == {"005A", "005B"}
    forced = world.migrations.undo(result.run_id, force=True)
    assert forced.kept_total == 0
    assert world.count("crm_contact") == 0


def test_a_changed_record_edited_since_is_kept(world: World) -> None:
    world.migrate(org([contact(1)]))
    result = world.migrate(org([contact(1, Title="Vendor")]))
    world.execute("UPDATE crm_contact SET title = 'Mine', department = 'X'")
    undone = world.migrations.undo(result.run_id)
    assert [k.why for k in undone.kept] == ["edited since the run changed it"]
    assert world.rows("SELECT title, department FROM crm_contact") == [("Mine", "X")]


def test_a_record_that_a_persons_record_refers_to_is_kept(world: World) -> None:
    result = world.migrate({"User": USERS, "Account": ACCOUNTS})
    world.execute(
        "INSERT INTO crm_contact (tenant_id, id, last_name, account_id) "
        "SELECT :t, gen_random_uuid(), 'Mine', id FROM crm_account WHERE name = 'Child Ltd'",
        t=world.tenant_id,
    )
    undone = world.migrations.undo(result.run_id)
    kept = {k.vendor_id: k.why for k in undone.kept}
    assert kept["001C"] == "a contact that stays refers to it"
    assert world.rows("SELECT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [("Child Ltd",)]


def test_one_stage_can_be_undone(world: World) -> None:
    result = world.migrate(FULL, **RULES)
    undone = world.migrations.undo(result.run_id, objects=["Task", "OpportunityContactRole"])
    assert undone.deleted["Task"] == 1
    assert (world.count("crm_activity"), world.count("crm_contact")) == (0, 3)
    assert world.migrations.status(result.run_id)[0].state == "partly undone"


def test_a_run_that_a_later_one_built_on_is_not_undone_first(world: World) -> None:
    first = world.migrate(org([contact(1)]))
    second = world.migrate(org([contact(1, Title="New")]))
    with pytest.raises(ConfigurationError, match=str(second.run_id)):
        world.migrations.undo(first.run_id)
    world.migrations.undo(second.run_id)
    world.migrations.undo(first.run_id)
    assert world.count("crm_contact") == 0


def test_an_unknown_stage_is_named_with_those_there_are(world: World) -> None:
    result = world.migrate(org([contact(1)]))
    with pytest.raises(ConfigurationError, match=r"called nonsense.*master data"):
        world.migrations.undo(result.run_id, objects=["nonsense"])


LATE = {"Id": "001LATE", "Name": "Late"}


def test_undo_takes_back_a_parent_that_an_earlier_runs_record_waited_for(world: World) -> None:
    waits = org([contact(1, AccountId="001LATE"), contact(2, AccountId="001LATE")])
    world.migrate(waits)
    before = snapshot(world)
    result = world.migrate(waits | {"Account": [*ACCOUNTS, LATE]})
    assert world.count("pending_reference") == 0
    undone = world.migrations.undo(result.run_id)
    assert (undone.kept, undone.deleted["Account"]) == ([], 1)
    assert snapshot(world) == before
    world.migrate(waits | {"Account": [*ACCOUNTS, LATE]})
    assert world.rows("SELECT DISTINCT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [
        ("Late",)
    ]


def test_a_late_parent_that_was_edited_stays_with_its_children(world: World) -> None:
    waits = org([contact(1, AccountId="001LATE")])
    world.migrate(waits)
    result = world.migrate(waits | {"Account": [*ACCOUNTS, LATE]})
    world.execute("UPDATE crm_account SET industry = 'Mine' WHERE name = 'Late'")
    assert [k.vendor_id for k in world.migrations.undo(result.run_id).kept] == ["001LATE"]
    assert world.rows("SELECT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [("Late",)]
    assert world.count("pending_reference") == 0


def test_another_parent_chosen_since_is_left(world: World) -> None:
    waits = org([contact(1, AccountId="001LATE")])
    world.migrate(waits)
    result = world.migrate(waits | {"Account": [*ACCOUNTS, LATE]})
    world.execute("UPDATE crm_contact SET account_id = (SELECT id FROM crm_account WHERE name = 'Child Ltd')")
    assert world.migrations.undo(result.run_id).deleted["Account"] == 1
    assert world.rows("SELECT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [("Child Ltd",)]
    assert world.count("pending_reference") == 0


def test_the_run_whose_reference_was_settled_can_be_undone_first(world: World) -> None:
    waits = org([contact(1, AccountId="001LATE")])
    first = world.migrate(waits)
    second = world.migrate(waits | {"Account": [*ACCOUNTS, LATE]})
    world.migrations.undo(first.run_id)
    assert world.count("crm_contact") == 0
    world.migrations.undo(second.run_id)
    assert (world.count("migration_journal"), world.count("pending_reference")) == (0, 0)


def versions(world: World, *names: str) -> Any:
    """A run over one document with these versions, the latest last."""
    file = {"ContentDocumentId": "069D", "PathOnClient": "o.txt", "ContentSize": 5}
    rows = [{"Id": f"068{n}", "Title": n, "IsLatest": str(n == names[-1]).lower(), **file} for n in names]
    world.source = ListSource({"User": USERS, "ContentVersion": rows})
    world.source.files = {f"068{n}": b"hello" for n in names}
    return world.migrate()


def test_undo_gives_a_document_back_to_the_version_that_had_it(world: World) -> None:
    owner = "SELECT e.vendor_id FROM link l JOIN link e USING (entity_id) WHERE l.vendor_id = '069D' AND e.origin = 'created'"
    links = "SELECT vendor_object, vendor_id, entity_id, origin, run_id FROM link ORDER BY vendor_object, vendor_id"
    versions(world, "A")
    before = world.rows(links)
    result = versions(world, "A", "B")
    assert world.rows(owner) == [("068B",)]
    assert world.migrations.undo(result.run_id).kept == []
    assert world.rows(owner) == [("068A",)]
    assert world.rows(links) == before
