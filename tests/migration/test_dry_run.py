"""The dry run: it says what the run then does, number by number, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from domain.errors import TransientError
from storage.tables import metadata
from tests.migration.conftest import World, plan_of
from tests.migration.source import ListSource
from tests.migration.test_run import ACCOUNTS, USERS, contact

RULES = {"Contact": (("email", "last_name"),), "Account": (("name", "website"),)}
BOOKKEEPING = {"migration_run", "migration_chunk"}
Objects = dict[str, list[dict[str, Any]]]


def role(number: int, **values: Any) -> dict[str, Any]:
    return {
        "Id": f"00K{number:04}",
        "OpportunityId": "006A",
        "ContactId": f"003{number:04}",
        "Role": "Buyer",
        "IsPrimary": False,
    } | values


DEAL = {
    "Id": "006A",
    "Name": "Deal",
    "AccountId": "001C",
    "StageName": "New",
    "CloseDate": "2024-01-01",
    "Amount": "10.50",
}


def messy() -> Objects:
    """Duplicates, bad rows, orphans, a record listed twice, a role told twice and two that lack an end."""
    contacts = [contact(i, Email=f"p{i % 12}@x.example", LastName=f"L{i % 12}") for i in range(20)]
    contacts += [
        contact(30, Id=""),
        contact(31, AccountId="001GONE", ReportsToId="003NOBODY"),
        contact(3, Title="listed again", Email="p3@x.example", LastName="L3"),
    ]
    roles = [role(1), role(2), role(13, Id="00KTWIN"), role(50, ContactId="003GONE"), role(5, OpportunityId="006GONE")]
    return {
        "User": USERS,
        "Account": [*ACCOUNTS, {"Id": "001D", "Name": "Child Ltd", "Website": None}],
        "Contact": contacts,
        "Opportunity": [DEAL],
        "OpportunityContactRole": [*roles, role(1, Id="00KSAME")],
        "Task": [
            {"Id": "00T1", "Subject": "Call", "WhoId": "0030001", "WhatId": "006A"},
            {"Id": "00T2", "Subject": "?", "WhoId": "003GONE"},
        ],
    }


def changed(objects: Objects) -> Objects:
    """The same source some time later: values edited, records added, a reference moved to a record that is new as well."""
    contacts = [dict(r) for r in objects["Contact"]]
    contacts[4] |= {"Title": "Edited", "Shoe__c": None}
    contacts[5] |= {"AccountId": "001NEW"}
    contacts[7] |= {"Department": "Survivor says"}
    contacts[19] |= {"Title": "Duplicate says", "Department": "Duplicate says"}
    contacts += [contact(60), contact(61, Email="p1@x.example", LastName="L1")]
    return objects | {
        "Account": [*objects["Account"], {"Id": "001NEW", "Name": "New Inc", "OwnerId": "005A"}],
        "Contact": contacts,
        "OpportunityContactRole": [
            *objects["OpportunityContactRole"][1:],
            role(1, Role="Judge"),
            role(60, Role="Judge"),
        ],
    }


COLUMNS = ("source", "superseded", "left_out", "created", "merged", "updated", "unchanged", "rejected", "conflicts")


def totals(ledgers: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {name: {c: getattr(ledger, c) for c in COLUMNS} for name, ledger in ledgers.items()}


def dry(world: World, objects: Objects, **options: Any) -> Any:
    world.source = ListSource(objects)
    return world.migrations.dry_run(world.connection_id, plan_of(world.source, **RULES), **options)


def everything(world: World) -> dict[str, list[str]]:
    """Every row of every table that holds the tenant's data, runs and chunks apart."""
    return {
        table.name: sorted(row[0] for row in world.rows(f'SELECT CAST(t AS text) FROM "{table.name}" t'))  # noqa: S608
        for table in metadata.tables.values()
        if table.name not in BOOKKEEPING and "tenant_id" in table.columns
    }


def staged(world: World) -> dict[str, int]:
    return {n: world.count(n) for n in metadata.tables if n.startswith("stage_") and world.count(n)}


def test_a_dry_run_of_a_first_run_says_what_the_run_does(world: World) -> None:
    preview = dry(world, messy())
    result = world.migrate(messy(), **RULES)
    assert totals({n: p.ledger for n, p in preview.objects.items()}) == totals(result.ledgers)
    assert all(p.ledger.adds_up for p in preview.objects.values())


def test_a_dry_run_of_a_later_run_says_what_the_run_does(world: World) -> None:
    world.migrate(messy(), **RULES)
    world.execute("UPDATE crm_contact SET title = 'Hub edit' WHERE email = 'p4@x.example'")
    later = changed(messy())
    preview = dry(world, later)
    result = world.migrate(later, **RULES)
    assert totals({n: p.ledger for n, p in preview.objects.items()}) == totals(result.ledgers)
    assert result.ledgers["Contact"].updated == 4
    assert result.ledgers["Contact"].conflicts >= 1


def test_a_dry_run_of_an_unchanged_source_says_nothing_to_do(world: World) -> None:
    world.migrate(messy(), **RULES)
    preview = dry(world, messy())
    result = world.migrate(messy(), **RULES)
    assert totals({n: p.ledger for n, p in preview.objects.items()}) == totals(result.ledgers)
    assert sum(p.ledger.created + p.ledger.updated + p.ledger.merged for p in preview.objects.values()) == 0


@pytest.mark.parametrize("later", [False, True], ids=["empty hub", "later run"])
def test_a_dry_run_writes_nothing(world: World, later: bool) -> None:
    if later:
        world.migrate(messy(), **RULES)
    before = everything(world)
    dry(world, changed(messy()))
    assert everything(world) == before
    assert staged(world) == {}


def test_a_dry_run_that_fails_leaves_nothing_staged_and_is_no_unfinished_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(world)
    original = ListSource.read

    def read(self: ListSource, request: Any) -> Any:
        for number, page in enumerate(original(self, request)):
            if request.object == "Contact" and number == 1:
                raise TransientError("The vendor does not answer.")
            yield page

    with monkeypatch.context() as patched:
        patched.setattr(ListSource, "read", read)
        with pytest.raises(TransientError):
            dry(world, messy())
    assert everything(world) == before
    assert staged(world) == {}
    assert [(s.run.kind, s.state) for s in world.migrations.status()] == [("dry_run", "failed")]
    assert world.migrate(messy(), **RULES).ledgers["Contact"].adds_up


def test_what_a_killed_dry_run_staged_goes_with_the_next_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(world.migrations, "_forget_staged", lambda *_: None)
        patched.setattr(ListSource, "count", lambda *_: {})
        patched.setattr("migration.dry_run.preview", _killed)
        with pytest.raises(KeyboardInterrupt):
            dry(world, messy())
    assert staged(world)
    dry(world, messy())
    assert staged(world) == {}


def _killed(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_differences_name_the_fields_with_before_and_after(world: World) -> None:
    world.migrate(messy(), **RULES)
    world.execute("UPDATE crm_contact SET title = 'Hub edit' WHERE email = 'p4@x.example'")
    preview = dry(world, changed(messy()))
    diffs = {d.vendor_id: d for d in preview.objects["Contact"].diffs}
    assert diffs["0030007"].fields["department"] == (None, "Survivor says")
    assert diffs["0030019"].fields["title"] == (None, "Duplicate says")
    assert "department" in diffs["0030019"].conflicts, "the survivor's change comes first"
    assert diffs["0030004"].fields["custom_fields.Shoe__c"][1] is None
    assert "title" in diffs["0030004"].conflicts
    assert "title" not in diffs["0030004"].fields
    moved = diffs["0030005"].fields["account_id"]
    assert moved[0] != moved[1]
    assert None not in moved


def test_merges_and_unresolved_references_are_told(world: World) -> None:
    preview = dry(world, messy())
    contacts = preview.objects["Contact"]
    assert ("0030013", "0030001", "email+last_name") in contacts.merges
    assert contacts.unresolved == {"account_id": 1, "reports_to_id": 1}
    assert preview.objects["OpportunityContactRole"].unresolved == {"from_id": 1, "to_id": 1}
    assert {c["vendor_id"] for c in contacts.creates} <= {r["Id"] for r in messy()["Contact"]}
    assert preview.to_json()["objects"]["Contact"]["created"] == contacts.ledger.created


def test_a_limit_takes_the_first_records_of_every_object(world: World) -> None:
    preview = dry(world, messy(), limit=9)
    ledgers = {n: p.ledger for n, p in preview.objects.items()}
    assert ledgers["Contact"].listed == 9
    assert ledgers["Contact"].adds_up
    assert ledgers["Account"].listed == 3


def test_a_percentage_takes_records_that_belong_together(world: World) -> None:
    firms = [{"Id": f"001{i:04}", "Name": f"Firm {i}", "OwnerId": "005A"} for i in range(40)]
    people = [contact(i, AccountId=f"001{i % 40:04}") for i in range(200)]
    preview = dry(world, {"User": USERS, "Account": firms, "Contact": people}, percent=25)
    chosen = preview.objects["Account"].ledger.source
    ledger = preview.objects["Contact"].ledger
    assert 1 <= chosen <= 25
    assert ledger.source == 5 * chosen
    assert ledger.left_out == 200 - ledger.source
    assert ledger.adds_up
    assert ledger.created == ledger.source
    assert preview.objects["Contact"].unresolved == {}


def test_of_two_tenants_only_ones_hub_is_compared(world: World, make_world: Callable[[], World]) -> None:
    make_world().migrate(messy(), **RULES)
    preview = dry(world, messy())
    assert preview.objects["Contact"].ledger.created == 13
    with world.db.tenant(world.tenant_id) as connection:
        assert connection.execute(text("SELECT count(*) FROM link")).scalar_one() == 0
