"""Later runs over a source that changed: what merges, what a reference leads to, and that a listing told twice stays quiet."""

from __future__ import annotations

import time
from typing import Any
from uuid import RFC_4122

import pytest

from domain.ids import new_id
from migration import load
from storage import connections, streams, updating
from storage.streams import Stream
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


LATE = {"Id": "001LATE", "Name": "Late"}
LATER = {"Id": "001LATER", "Name": "Later"}
OF_TWINS = "SELECT a.name FROM crm_contact c LEFT JOIN crm_account a ON a.id = c.account_id"


@pytest.mark.parametrize("waiting", [1, 2])
def test_a_reference_of_one_of_two_merged_records_is_set_to_what_that_one_says_last(world: World, waiting: int) -> None:
    def both(account: str | None) -> dict[str, list[dict[str, Any]]]:
        return org([twin(n, AccountId=account if n == waiting else None) for n in (1, 2)])

    world.migrate(both("001LATE"), **RULES)
    world.migrate(both("001LATER"), **RULES)
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == [("account_id", "001LATER")]
    world.migrate({**both("001LATER"), "Account": [*ACCOUNTS, LATE]}, **RULES)
    assert world.rows(OF_TWINS) == [(None,)]
    world.migrate({**both("001LATER"), "Account": [*ACCOUNTS, LATE, LATER]}, **RULES)
    assert world.rows(OF_TWINS) == [("Later",)]
    assert world.count("pending_reference") == 0


@pytest.mark.parametrize("waiting", [1, 2])
@pytest.mark.parametrize("changing", [1, 2])
def test_a_change_of_either_of_two_merged_records_leaves_what_the_other_waits_for(
    world: World, waiting: int, changing: int
) -> None:
    def people(title: str | None) -> dict[str, list[dict[str, Any]]]:
        said = {waiting: {"AccountId": "001LATE"}}
        return org(
            [
                twin(n, **({"AccountId": None} | said.get(n, {}) | ({"Title": title} if n == changing else {})))
                for n in (1, 2)
            ]
        )

    world.migrate(people(None), **RULES)
    world.migrate(people("Boss"), **RULES)
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == [("account_id", "001LATE")]


def test_two_merged_records_that_wait_for_the_same_one_both_stop_when_it_comes(world: World) -> None:
    twins = org([twin(1, AccountId=None), twin(2, AccountId=None)])
    world.migrate(twins, **RULES)
    waits = org([twin(1, AccountId="001LATE"), twin(2, AccountId="001LATE")])
    world.migrate(waits, **RULES)
    before = snapshot(world)
    result = world.migrate({**waits, "Account": [*ACCOUNTS, LATE]}, **RULES)
    assert (world.rows(OF_TWINS), world.count("pending_reference")) == ([("Late",)], 0)
    assert world.migrations.undo(result.run_id).kept == []
    assert snapshot(world) == before


@pytest.mark.parametrize("twins", [False, True])
def test_a_reference_that_changes_twice_while_it_waits_waits_once(world: World, *, twins: bool) -> None:
    for account in (None, "001LATE", "001LATER", "001LAST"):
        world.migrate(org([twin(1, AccountId=account), *([twin(2, AccountId=None)] if twins else [])]), **RULES)
    assert world.rows("SELECT field, vendor_id FROM pending_reference") == [("account_id", "001LAST")]


@pytest.mark.parametrize("title", [None, "Boss"])
@pytest.mark.parametrize("steps", [("001LATE",), ("001LATER", "001LATE"), (None, "001LATE")])
def test_undo_of_the_run_that_brought_a_late_parent_takes_it_back(
    world: World, steps: tuple[str | None, ...], title: str | None
) -> None:
    """Whether or not the record that waited was changed by that run, too."""
    for account in steps:
        world.migrate(org([contact(1, AccountId=account)]))
    before = snapshot(world)
    more = {} if title is None else {"Title": title}
    late = {**org([contact(1, AccountId="001LATE", **more)]), "Account": [*ACCOUNTS, LATE]}
    result = world.migrate(late)
    assert (world.rows(OF_TWINS), world.count("pending_reference")) == ([("Late",)], 0)
    undone = world.migrations.undo(result.run_id)
    assert (undone.kept, undone.deleted["Account"]) == ([], 1)
    assert snapshot(world) == before


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


def test_many_changes_are_shared_out_and_end_as_in_one_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record refers to its neighbour: sessions that change them side by side must not wait for each other."""
    people = [contact(n, ReportsToId=contact((n + 1) % 12)["Id"]) for n in range(12)]
    world.migrate(org(people))
    before = snapshot(world)
    monkeypatch.setattr(load, "UPDATE_ROWS", 3)
    changed = [p | {"ReportsToId": contact((n + 5) % 12)["Id"], "Title": f"T{n}"} for n, p in enumerate(people)]
    result = world.migrate(org(changed))
    ledger = result.ledgers["Contact"]
    assert (ledger.updated, ledger.adds_up) == (12, True)
    phases = "SELECT DISTINCT phase FROM migration_chunk WHERE phase LIKE 'update%' ORDER BY 1"
    assert [phase for (phase,) in world.rows(phases)] == list(load.UPDATE_PHASES)
    assert world.rows("SELECT count(*), count(DISTINCT title) FROM crm_contact WHERE version = 2") == [(12, 12)]
    assert world.rows("SELECT DISTINCT field FROM field_history ORDER BY 1") == [("reports_to_id",), ("title",)]
    assert world.rows("SELECT count(*) FROM crm_contact c JOIN crm_contact b ON b.id = c.reports_to_id") == [(12,)]
    again = world.migrate(org(changed))
    assert again.ledgers["Contact"].unchanged == 12
    world.migrations.undo(again.run_id)
    world.migrations.undo(result.run_id)
    assert snapshot(world) == before


def test_a_change_leaves_other_links_of_the_record_what_they_had_agreed_on(world: World) -> None:
    """The trigger does that for single records; a batch does it itself, and counts the version once."""
    world.migrate(org([contact(1, Title="Boss")]))
    other = new_id()
    with world.db.tenant(world.tenant_id) as conn:
        connections.create(conn, other, vendor="hubspot", name="Portal")
    world.execute(
        "INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin) "
        "SELECT tenant_id, :other, 'contacts', '77', 'contact', id, 'adopted' FROM crm_contact",
        other=other,
    )
    world.migrate(org([contact(1, Title="Other")]))
    assert world.rows("SELECT title, version FROM crm_contact") == [("Other", 2)]
    links = (
        "SELECT vendor_id, base->>'title', base_version, base ? 'version' FROM link WHERE entity = 'contact' ORDER BY 2"
    )
    assert world.rows(links) == [("77", "Boss", 1, False), (contact(1)["Id"], "Other", 2, False)]


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


def test_what_a_run_creates_and_changes_goes_on_to_systems_that_are_kept_in_step(world: World) -> None:
    """Somebody migrates a second system into a hub that keeps a first one in step: that one must hear of it."""
    portal = new_id()
    with world.db.tenant(world.tenant_id) as conn:
        connections.create(conn, portal, vendor="hubspot", name="Portal")
        streams.put(conn, Stream(portal, "contacts", "contact", writes=("last_name", "title"), settings={}))
        streams.put(conn, Stream(portal, "companies", "account", writes=("name",), settings={}))
    due = "SELECT object, count(*) FROM push_work GROUP BY object ORDER BY object"
    world.migrate(org([contact(1), contact(2)]))
    assert world.rows(due) == [("companies", len(ACCOUNTS)), ("contacts", 2)]
    world.rows("DELETE FROM push_work RETURNING object")
    world.migrate(org([contact(1, Title="Boss"), contact(2)]))
    assert world.rows(due) == [("contacts", 1)]
    assert world.rows("SELECT kind, fields FROM change WHERE entity = 'contact' AND kind <> 'bulk'") == [
        ("updated", ["title"])
    ]


def test_what_nobody_writes_out_is_not_queued(world: World) -> None:
    portal = new_id()
    with world.db.tenant(world.tenant_id) as conn:
        connections.create(conn, portal, vendor="hubspot", name="Portal")
        streams.put(conn, Stream(portal, "contacts", "contact", pushes=False, settings={}))
    world.migrate(org([contact(1)]))
    world.migrate(org([contact(1, Title="Boss")]))
    assert world.rows("SELECT * FROM push_work") == []
