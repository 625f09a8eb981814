"""Later runs over a source that changed: what merges, what a reference leads to, and that a listing told twice stays quiet."""

from __future__ import annotations

import time
from typing import Any
from uuid import RFC_4122

import pytest

from migration import load
from storage import updating
from tests.migration.conftest import World
from tests.migration.test_run import ACCOUNTS, USERS, contact, org
from tests.migration.test_undo import snapshot

RULES = {"Contact": (("email", "last_name"),)}


def twin(number: int, **values: Any) -> dict[str, Any]:
    return contact(number, **{"Email": "same@x.example", "LastName": "Twin"} | values)


def test_what_a_survivor_took_from_its_duplicate_outlives_a_change_of_the_survivor(world: World) -> None:
    """The survivor's source never spoke of a phone: it cannot take back what the duplicate gave."""
    gift = {"Title": "Boss", "Phone": "(415) 555-0143", "Shoe__c": None, "Hat__c": "large"}
    world.migrate(org([twin(1, Phone=None, Shoe__c=None), twin(2, **gift)]), **RULES)
    result = world.migrate(org([twin(1, Phone=None, Shoe__c=None, Department="Sales"), twin(2, **gift)]), **RULES)
    assert result.ledgers["Contact"].updated == 1
    assert world.rows("SELECT phone, title, department, custom_fields->>'Hat__c' FROM crm_contact") == [
        ("+14155550143", "Boss", "Sales", "large")
    ]


def test_a_value_of_its_own_that_the_survivor_drops_is_dropped(world: World) -> None:
    world.migrate(org([twin(1, Title="Boss"), twin(2, Department="Sales")]), **RULES)
    world.migrate(org([twin(1, Title=None), twin(2, Department="Sales")]), **RULES)
    assert world.rows("SELECT title, department FROM crm_contact") == [(None, "Sales")]


def test_survivor_and_duplicate_changed_in_one_run_both_arrive_and_can_be_undone(world: World) -> None:
    world.migrate(org([twin(1), twin(2), contact(3)]), **RULES)
    before = snapshot(world)
    changed = [twin(1, Title="Boss"), twin(2, Department="Sales"), contact(3, Title="Other")]
    result = world.migrate(org(changed), **RULES)
    assert world.rows("SELECT title, department FROM crm_contact WHERE last_name = 'Twin'") == [("Boss", "Sales")]
    assert result.ledgers["Contact"].updated == 3
    again = world.migrate(org(changed), **RULES)
    assert again.ledgers["Contact"].unchanged == 3
    world.migrations.undo(again.run_id)
    undone = world.migrations.undo(result.run_id)
    assert undone.kept == []
    assert snapshot(world) == before


def test_a_changed_reference_to_what_is_not_there_yet_is_set_when_it_comes(world: World) -> None:
    world.migrate(org([contact(1)]))
    result = world.migrate(org([contact(1, AccountId="001LATE")]))
    assert result.ledgers["Contact"].pending == 1
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == [("account_id", "001LATE")]
    world.migrate({**org([contact(1, AccountId="001LATE")]), "Account": [*ACCOUNTS, {"Id": "001LATE", "Name": "Late"}]})
    assert world.rows("SELECT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [("Late",)]
    assert world.count("pending_reference") == 0


@pytest.mark.parametrize("now", ["001LATER", None])
def test_a_reference_that_changes_while_it_waits_no_longer_waits_for_the_old_record(
    world: World, now: str | None
) -> None:
    world.migrate(org([contact(1, AccountId="001LATE")]))
    world.migrate(org([contact(1, AccountId=now)]))
    waiting = [] if now is None else [("account_id", now)]
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == waiting
    late = [*ACCOUNTS, {"Id": "001LATE", "Name": "Late"}]
    world.migrate({**org([contact(1, AccountId=now)]), "Account": late})
    assert world.rows("SELECT account_id FROM crm_contact") == [(None,)]
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == waiting


def test_another_change_of_a_record_leaves_what_its_duplicate_waits_for(world: World) -> None:
    waits, plain = twin(1, AccountId="001LATE"), twin(2, AccountId=None)
    world.migrate(org([waits, plain]), **RULES)
    world.migrate(org([waits | {"Title": "Boss"}, plain]), **RULES)
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == [("account_id", "001LATE")]


def test_a_waiting_reference_to_any_object_is_set_when_its_record_comes(world: World) -> None:
    world.migrate(org([contact(1, AccountId="001LATE")]))
    world.execute("UPDATE pending_reference SET vendor_objects = '{*}'")
    world.migrate({**org([contact(1, AccountId="001LATE")]), "Account": [*ACCOUNTS, {"Id": "001LATE", "Name": "Late"}]})
    assert world.rows("SELECT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id") == [("Late",)]
    assert world.count("pending_reference") == 0


def test_ids_of_history_and_of_undo_are_ordered_by_time(world: World) -> None:
    world.migrate(org([contact(1), contact(2)]))
    begun = time.time_ns() // 1_000_000
    world.migrate(org([contact(1, Title="A"), contact(2, Title="B")]))
    world.migrations.undo(world.migrations.status()[0].run.id)
    world.migrations.undo(world.migrations.status()[1].run.id)
    world.migrate(org([contact(1), contact(2)]))
    world.migrate(org([contact(1, Title="A"), contact(2, Title="B")]))
    history = [i for (i,) in world.rows("SELECT id FROM field_history")]
    deleted = [i for (i,) in world.rows("SELECT id FROM change WHERE kind = 'deleted'")]
    assert len(set(history)) == 2
    assert len(deleted) >= 2
    for one in (*history, *deleted):
        assert (one.version, one.variant) == (7, RFC_4122)
        assert begun <= one.int >> 80 <= time.time_ns() // 1_000_000 + 1


LEADS = [{"Id": "00Q1", "FirstName": "L", "LastName": "Lead", "Company": "Co", "Email": "l@x.example"}]


def task(who: str) -> list[dict[str, Any]]:
    return [{"Id": "00T1", "Subject": "Call", "WhoId": who, "Status": "Open"}]


def test_a_task_moved_from_a_contact_to_a_lead_leaves_the_contact(world: World) -> None:
    base = org([contact(1)]) | {"Lead": LEADS}
    world.migrate(base | {"Task": task("0030001")})
    assert world.rows("SELECT contact_id IS NULL, lead_id IS NULL FROM crm_activity") == [(False, True)]
    world.migrate(base | {"Task": task("00Q1")})
    assert world.rows("SELECT contact_id IS NULL, lead_id IS NULL FROM crm_activity") == [(True, False)]


def test_one_of_two_alternatives_found_late_leaves_nothing_waiting(world: World) -> None:
    world.migrate(org([]) | {"Lead": LEADS, "Task": task("0030001")})
    assert world.count("pending_reference") > 0
    world.migrate(org([contact(1)]) | {"Lead": LEADS, "Task": task("0030001")})
    assert world.rows("SELECT contact_id IS NULL, lead_id IS NULL FROM crm_activity") == [(False, True)]
    assert world.rows("SELECT field FROM pending_reference") == []


@pytest.mark.parametrize("between", [0, 10])
def test_a_record_listed_twice_with_two_contents_is_quiet_ever_after(world: World, between: int) -> None:
    """The last listing counts, on every run: the first one must not return as a change."""
    records = [contact(1, Title="old"), *(contact(i) for i in range(2, 2 + between)), contact(1, Title="new")]
    world.migrate(org(records))
    before = snapshot(world)
    result = world.migrate(org(records))
    ledger = result.ledgers["Contact"]
    assert (ledger.updated, ledger.superseded, ledger.adds_up) == (0, 1, True)
    assert world.rows("SELECT title FROM crm_contact WHERE email = 'p1@x.example'") == [("new",)]
    assert snapshot(world) == before


def test_batches_of_one_change_the_same_as_batches_of_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.migrate(org([contact(i) for i in range(6)]))
    monkeypatch.setattr(load, "UPDATE_ROWS", 1)
    result = world.migrate(org([contact(i, Title="T") for i in range(6)]))
    assert result.ledgers["Contact"].updated == 6


def test_a_batch_is_read_once_more_for_each_further_change_of_a_record_and_no_oftener(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates stand next to each other in many sources: a batch must not end at each of them."""
    people = [twin(n, LastName=f"Twin {n // 2}", Email=f"t{n // 2}@x.example") for n in range(20)]
    world.migrate(org(people), **RULES)
    reads: list[int] = []
    gather = updating.gather

    def counted(*arguments: Any, **more: Any) -> Any:
        found = gather(*arguments, **more)
        reads.append(len(found))
        return found

    monkeypatch.setattr(updating, "gather", counted)
    changed = [p | {"Title": "Boss"} if n % 2 else p | {"Department": "Sales"} for n, p in enumerate(people)]
    result = world.migrate(org(changed), **RULES)
    assert [n for n in reads if n] == [20, 10]
    assert result.ledgers["Contact"].updated == 20
    assert world.rows("SELECT DISTINCT title, department FROM crm_contact") == [("Boss", "Sales")]


__all__ = ["USERS"]
