"""A whole run against the real database: what it creates, merges, resolves, refuses, and that it adds up."""

from __future__ import annotations

import random
from typing import Any

import pytest

from storage import browsing
from storage.database import Database
from storage.embedded import ServerUrls
from tests.migration.conftest import World
from tests.migration.source import ListSource

USERS = [
    {
        "Id": "005A",
        "Name": "Ada Jones",
        "Email": "ada@corp.example",
        "IsActive": True,
        "CreatedDate": "2019-01-01T00:00:00.000+0000",
    },
    {
        "Id": "005B",
        "Name": "Bo Li",
        "Email": "bo@corp.example",
        "IsActive": False,
        "CreatedDate": "2019-01-02T00:00:00.000+0000",
    },
]
ACCOUNTS = [
    {
        "Id": "001C",
        "Name": "Child Ltd",
        "ParentId": "001P",
        "OwnerId": "005A",
        "CreatedDate": "2020-01-01T00:00:00.000+0000",
    },
    {
        "Id": "001P",
        "Name": "Parent Plc",
        "ParentId": None,
        "OwnerId": "005B",
        "CreatedDate": "2020-02-01T00:00:00.000+0000",
    },
]


def contact(number: int, **values: Any) -> dict[str, Any]:
    record = {
        "Id": f"003{number:04}",
        "FirstName": "Zoë",
        "LastName": f"Nr {number}",
        "Email": f"p{number}@x.example",
        "Phone": "(415) 555-0143",
        "AccountId": "001C",
        "ReportsToId": None,
        "OwnerId": "005A",
        "Shoe__c": number,
        "CreatedDate": f"2021-01-01T00:00:{number % 60:02}.000+0000",
        "SystemModstamp": "2022-01-01T00:00:00.000+0000",
    }
    return record | values


def org(contacts: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {"User": USERS, "Account": ACCOUNTS, "Contact": contacts}


def test_everything_arrives_with_references_dates_and_custom_fields(world: World) -> None:
    result = world.migrate(org([contact(i) for i in range(20)]), certificate=True)
    ledger = result.ledgers["Contact"]
    assert (ledger.source, ledger.created, ledger.adds_up) == (20, 20, True)
    assert result.certificate.ok
    assert world.migrations.report(result.run_id) == result.certificate
    [row] = world.rows(
        """SELECT c.first_name, c.phone, c.source_created_at, c.custom_fields, a.name, u.email, c.version
        FROM crm_contact c JOIN crm_account a ON a.id = c.account_id JOIN crm_user u ON u.id = c.owner_id
        WHERE c.email = 'p7@x.example'"""
    )
    assert row[:2] == ("Zoë", "+14155550143")
    assert row[2].isoformat() == "2021-01-01T00:00:07+00:00"
    assert row[3]["Shoe__c"] in (7, "7")
    assert row[4:] == ("Child Ltd", "ada@corp.example", 1)


def test_a_parent_that_is_listed_after_its_child_is_found(world: World) -> None:
    world.migrate(org([]))
    assert world.rows("SELECT p.name FROM crm_account c JOIN crm_account p ON p.id = c.parent_id") == [("Parent Plc",)]
    assert world.count("pending_reference") == 0


def test_a_field_that_a_single_page_holds_is_loaded(world: World) -> None:
    late = contact(17, Fax="(415) 555-0199", ReportsToId="0030001")
    world.migrate(org([contact(i) for i in range(17)] + [late] + [contact(i) for i in range(18, 30)]))
    assert world.rows("SELECT c.fax, m.email FROM crm_contact c JOIN crm_contact m ON m.id = c.reports_to_id") == [
        ("+14155550199", "p1@x.example")
    ]


def test_a_reference_to_a_record_that_is_gone_from_the_hub_waits_for_its_return(world: World) -> None:
    world.migrate(org([]))
    [[account]] = world.rows("SELECT id FROM crm_account WHERE name = 'Child Ltd'")
    world.execute("DELETE FROM crm_account WHERE name = 'Child Ltd'")
    ledger = world.migrate(org([contact(1)])).ledgers["Contact"]
    assert (ledger.created, ledger.rejected, ledger.pending) == (1, 0, 1)
    assert world.rows("SELECT account_id FROM crm_contact") == [(None,)]
    world.execute(
        "INSERT INTO crm_account (tenant_id, id, name) VALUES (:t, :id, 'Child Ltd')", t=world.tenant_id, id=account
    )
    world.migrate(org([contact(1), contact(2)]))
    assert world.rows("SELECT DISTINCT account_id FROM crm_contact") == [(account,)]
    assert world.count("pending_reference") == 0


def test_references_in_a_ring_are_set(world: World) -> None:
    world.migrate(org([contact(1, ReportsToId="0030002"), contact(2, ReportsToId="0030001")]))
    assert world.rows(
        "SELECT count(*) FROM crm_contact a JOIN crm_contact b ON a.reports_to_id = b.id AND b.reports_to_id = a.id"
    ) == [(2,)]


def test_many_late_references_are_joined_with_statistics_at_hand(world: World) -> None:
    """Without them every waiting reference was compared with every other: thousands took seconds."""
    count = 1_200
    ring = [contact(n, ReportsToId=f"003{(n + 1) % count:04}") for n in range(count)]
    world.migrate(org(ring))
    assert world.rows("SELECT count(*) FROM crm_contact WHERE reports_to_id IS NOT NULL")[0][0] == count
    assert world.count("pending_reference") == 0
    assert world.rows("SELECT reltuples FROM pg_class WHERE relname = 'pending_reference'")[0][0] >= count


def test_an_orphan_reference_waits_and_is_told(world: World) -> None:
    result = world.migrate(org([contact(1, AccountId="001GONE")]))
    assert result.ledgers["Contact"].pending == 1
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == [("account_id", "001GONE")]


def test_a_late_parent_settles_what_an_earlier_run_left(world: World) -> None:
    objects = org([contact(1, AccountId="001LATE")])
    world.migrate(objects)
    world.migrate(objects | {"Account": [*ACCOUNTS, {"Id": "001LATE", "Name": "Late Inc"}]})
    assert world.rows("SELECT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [("Late Inc",)]


def test_duplicates_merge_into_the_oldest_which_takes_what_it_lacks(world: World) -> None:
    twins = [
        contact(1, Email="same@x.example", LastName="Twin", Phone=None, CreatedDate="2020-05-01T00:00:00.000+0000"),
        contact(2, Email="SAME@x.example", LastName=" twin ", CreatedDate="2021-05-01T00:00:00.000+0000", Title="Boss"),
        contact(3, Email="same@x.example", LastName="Other"),
    ]
    result = world.migrate(org(twins), Contact=(("email", "last_name"),))
    ledger = result.ledgers["Contact"]
    assert (ledger.created, ledger.merged, ledger.adds_up) == (2, 1, True)
    assert world.rows("SELECT phone, title FROM crm_contact WHERE last_name = 'Twin'") == [("+14155550143", "Boss")]
    links = world.rows(
        "SELECT l.vendor_id, l.origin FROM link l JOIN crm_contact c ON c.id = l.entity_id "
        "WHERE c.last_name = 'Twin' ORDER BY 1"
    )
    assert links == [("0030001", "created"), ("0030002", "merged")]


def test_a_reference_to_a_merged_record_reaches_its_survivor(world: World) -> None:
    accounts = [
        {"Id": "001X", "Name": "Acme", "Website": "acme.example", "CreatedDate": "2020-01-01T00:00:00Z"},
        {"Id": "001Y", "Name": "ACME", "Website": "acme.example", "CreatedDate": "2021-01-01T00:00:00Z"},
    ]
    world.migrate(
        {"User": USERS, "Account": accounts, "Contact": [contact(1, AccountId="001Y")]}, Account=(("name", "website"),)
    )
    assert world.rows("SELECT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [("Acme",)]


def test_a_record_listed_twice_counts_once(world: World) -> None:
    result = world.migrate(org([contact(1, Title="old"), contact(2), contact(1, Title="new")]))
    ledger = result.ledgers["Contact"]
    assert (ledger.listed, ledger.superseded, ledger.source, ledger.created) == (3, 1, 2, 2)
    assert world.rows("SELECT title FROM crm_contact WHERE email = 'p1@x.example'") == [("new",)]


@pytest.mark.parametrize("bad", [{"Id": ""}, {"LastName": "x\x00y", "Id": None}])
def test_a_bad_row_is_a_dead_letter_and_the_others_go_on(world: World, bad: dict[str, Any]) -> None:
    result = world.migrate(org([contact(i) for i in range(10)] + [contact(11, **bad)]))
    ledger = result.ledgers["Contact"]
    assert (ledger.created, ledger.rejected, ledger.adds_up) == (10, 1, True)
    assert world.rows("SELECT stage, object, status FROM dead_letter")[0][1:] == ("Contact", "open")


def test_what_only_the_canonical_table_refuses_is_found_alone(world: World) -> None:
    """An indexed text too long for the index fails in the load, not in staging: its neighbours are not taken along."""
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
    result = world.migrate(org([contact(i) for i in range(50)] + [contact(60, LastName=noise)]))
    ledger = result.ledgers["Contact"]
    assert (ledger.created, ledger.rejected, ledger.adds_up) == (50, 1, True)
    [letter] = world.rows("SELECT code, message, vendor_id FROM dead_letter")
    assert (letter[0], letter[2]) == ("not_storable", "0030060")
    assert noise[:20] not in letter[1]


def test_a_second_run_writes_nothing(world: World) -> None:
    objects = org([contact(i) for i in range(30)])
    world.migrate(objects, Contact=(("email", "last_name"),))
    before = (
        world.rows("SELECT * FROM crm_contact ORDER BY id"),
        world.rows("SELECT * FROM link ORDER BY vendor_object, vendor_id"),
    )
    result = world.migrate(objects, Contact=(("email", "last_name"),))
    assert before == (
        world.rows("SELECT * FROM crm_contact ORDER BY id"),
        world.rows("SELECT * FROM link ORDER BY vendor_object, vendor_id"),
    )
    assert [(x.unchanged, x.created, x.updated) for x in result.ledgers.values()] == [(2, 0, 0), (2, 0, 0), (30, 0, 0)]


def test_a_changed_source_updates_and_a_hub_edit_survives(world: World) -> None:
    world.migrate(org([contact(1), contact(2)]))
    world.execute("UPDATE crm_contact SET title = 'Edited here' WHERE email = 'p1@x.example'")
    result = world.migrate(org([contact(1, Department="Sales", Shoe__c=None), contact(2, Title="Edited there")]))
    assert (result.ledgers["Contact"].updated, result.ledgers["Contact"].adds_up) == (2, True)
    assert world.rows("SELECT title, department, custom_fields FROM crm_contact WHERE email = 'p1@x.example'") == [
        ("Edited here", "Sales", {})
    ]
    assert world.rows("SELECT title FROM crm_contact WHERE email = 'p2@x.example'") == [("Edited there",)]
    history = world.rows("SELECT field, old, new FROM field_history ORDER BY field")
    assert ("department", None, "Sales") in history


def test_both_sides_changed_the_same_field_the_hub_stands_and_the_conflict_counts(world: World) -> None:
    world.migrate(org([contact(1, Title="start")]))
    world.execute("UPDATE crm_contact SET title = 'hub' WHERE email = 'p1@x.example'")
    result = world.migrate(org([contact(1, Title="vendor")]))
    assert result.ledgers["Contact"].conflicts == 1
    assert world.rows("SELECT title FROM crm_contact") == [("hub",)]


def test_a_hub_record_that_stood_before_is_matched_and_only_its_blanks_are_filled(world: World) -> None:
    world.execute(
        "INSERT INTO crm_contact (tenant_id, id, email, last_name, title) "
        "VALUES (:t, gen_random_uuid(), 'p1@x.example', 'Nr 1', 'Old')",
        t=world.tenant_id,
    )
    result = world.migrate(org([contact(1, Title="New")]), Contact=(("email", "last_name"),))
    assert (result.ledgers["Contact"].merged, result.ledgers["Contact"].created) == (1, 0)
    assert world.rows("SELECT title, phone FROM crm_contact") == [("Old", "+14155550143")]


def test_an_ambiguous_match_creates_apart_and_warns(world: World) -> None:
    for _ in range(2):
        world.execute(
            "INSERT INTO crm_contact (tenant_id, id, email, last_name) VALUES (:t, gen_random_uuid(), 'p1@x.example', 'Nr 1')",
            t=world.tenant_id,
        )
    result = world.migrate(org([contact(1)]), Contact=(("email", "last_name"),))
    assert (result.ledgers["Contact"].created, world.count("crm_contact")) == (1, 3)


def test_roles_become_associations_and_one_without_an_end_is_refused(world: World) -> None:
    objects = org([contact(1), contact(2)]) | {
        "Opportunity": [
            {
                "Id": "006A",
                "Name": "Deal",
                "AccountId": "001C",
                "StageName": "New",
                "CloseDate": "2024-01-01",
                "Amount": "10.50",
            }
        ],
        "OpportunityContactRole": [
            {"Id": "00KA", "OpportunityId": "006A", "ContactId": "0030001", "Role": "Buyer", "IsPrimary": True},
            {"Id": "00KB", "OpportunityId": "006A", "ContactId": "003GONE", "Role": "Ghost", "IsPrimary": False},
        ],
    }
    result = world.migrate(objects)
    ledger = result.ledgers["OpportunityContactRole"]
    assert (ledger.created, ledger.rejected, ledger.adds_up) == (1, 1, True)
    assert world.rows(
        "SELECT from_entity, to_entity, label, is_primary FROM crm_association WHERE label = 'Buyer'"
    ) == [("opportunity", "contact", "Buyer", True)]


def test_accounts_of_a_contact_that_one_source_alone_knows_are_none_that_the_other_removed(
    db: Database, database_urls: ServerUrls, world: World
) -> None:
    """What the first one last said is kept when a second one associates the same contact with more."""
    rules: dict[str, Any] = {"Contact": (("email", "last_name"),), "Account": (("name",),)}
    world.migrate(org([contact(1)]), **rules)
    other = World(db, database_urls, world.tenant_id)
    relations = [
        {"Id": "07kA", "ContactId": "0030001", "AccountId": "001C", "IsDirect": True, "Roles": None},
        {"Id": "07kB", "ContactId": "0030001", "AccountId": "001P", "IsDirect": False, "Roles": "Influencer"},
    ]
    result = other.migrate(org([contact(1)]) | {"AccountContactRelation": relations}, **rules)
    assert result.ledgers["AccountContactRelation"].created == 2
    with world.db.tenant(world.tenant_id) as conn:
        (ada,) = browsing.list_records(conn, "contact")
    accounts = dict(world.rows("SELECT name, id FROM crm_account"))
    assert ada.fields["account_id"] == accounts["Child Ltd"]
    assert sorted(ada.fields["account_ids"]) == sorted(accounts.values())
    bases = world.rows(
        "SELECT base->'account_ids' FROM link WHERE vendor_object = 'Contact' AND connection_id = :c",
        c=world.connection_id,
    )
    assert bases == [([str(accounts["Child Ltd"])],)]


def test_file_content_is_stored_by_its_digest(world: World) -> None:
    objects = {
        "User": USERS,
        "ContentVersion": [
            {"Id": "068A", "Title": "a", "PathOnClient": "a.txt", "ContentSize": 5, "ContentDocumentId": "069A"},
            {"Id": "068B", "Title": "b", "PathOnClient": "b.txt", "ContentSize": 5, "ContentDocumentId": "069B"},
        ],
    }
    world.source = ListSource(objects)
    world.source.files = {"068A": b"hello", "068B": b"hello"}
    result = world.migrate()
    assert (result.ledgers["ContentVersion"].files, result.ledgers["ContentVersion"].bytes) == (2, 10)
    assert world.rows("SELECT count(DISTINCT sha256), min(size_bytes) FROM crm_attachment") == [(1, 5)]
    assert world.count("blob") == 1
