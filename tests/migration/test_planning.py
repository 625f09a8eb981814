"""What becomes of duplicates, for any small set of contacts whose keys collide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migration.plan_model import Survivor
from tests.migration.conftest import World, plan_of, replace
from tests.migration.source import ListSource
from tests.migration.test_run import USERS, contact

RULES = (("email", "last_name"), ("phone",))
PHONES = (None, "(415) 555-0143", "(415) 555-0144")
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def people(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to eight contacts over two addresses, two names and two numbers, each created on a day of its own."""
    size = draw(st.integers(2, 8))
    days = draw(st.permutations(range(1, size + 1)))
    return [
        contact(
            number,
            Email=draw(st.sampled_from(["a@x.example", "A@x.example", "b@x.example"])),
            LastName=draw(st.sampled_from(["Twin", " twin", "Other"])),
            Phone=draw(st.sampled_from(PHONES)),
            Title=draw(st.sampled_from([None, f"title {number}"])),
            Department=draw(st.sampled_from([None, f"department {number}"])),
            CreatedDate=f"2021-01-{days[number]:02}T00:00:00.000+0000",
            SystemModstamp=f"2022-01-{days[number]:02}T00:00:00.000+0000",
            LastModifiedDate=f"2022-01-{days[number]:02}T00:00:00.000+0000",
        )
        for number in range(size)
    ]


def migrate(world: World, records: Sequence[dict[str, Any]], survivor: Survivor, **choices: Any) -> Any:
    world.source = ListSource({"User": USERS, "Contact": list(records)})
    plan = plan_of(world.source, Contact=RULES)
    objects = tuple(replace(p, survivor=survivor, **choices) if p.object == "Contact" else p for p in plan.objects)
    return world.migrations.run(world.connection_id, replace(plan, objects=objects).approve(), certificate=True)


def groups(world: World) -> dict[str, list[str]]:
    """Vendor ids by the survivor that they lead to."""
    rows = world.rows("""SELECT c.vendor_id, l.vendor_id FROM link l
        JOIN link c ON c.entity_id = l.entity_id AND c.origin = 'created'
        WHERE l.vendor_object = 'Contact'""")
    found: dict[str, list[str]] = {}
    for survivor, member in rows:
        found.setdefault(survivor, []).append(member)
    return {survivor: sorted(members) for survivor, members in found.items()}


def filled(record: dict[str, Any]) -> int:
    return sum(record.get(name) is not None for name in ("Phone", "Title", "Department"))


def key(record: dict[str, Any]) -> tuple[str, str]:
    return record["Email"].lower(), record["LastName"].strip().lower()


@given(records=people(), survivor=st.sampled_from(Survivor))
@FEW
def test_every_record_leads_to_one_survivor_and_none_is_lost(
    make_world: Callable[[], World], records: list[dict[str, Any]], survivor: Survivor
) -> None:
    world = make_world()
    result = migrate(world, records, survivor)
    ledger, found = result.ledgers["Contact"], groups(world)
    assert ledger.created + ledger.merged + ledger.superseded == ledger.listed == len(records)
    assert result.certificate.ok, result.certificate.differences
    assert sorted(m for members in found.values() for m in members) == sorted(r["Id"] for r in records)
    assert len(found) == ledger.created == world.count("crm_contact")
    by_id = {r["Id"]: r for r in records}
    home = {m: s for s, members in found.items() for m in members}
    for one in records:
        for other in records:
            if key(one) == key(other):
                assert home[one["Id"]] == home[other["Id"]], "records of one key lead to one survivor"
    kept_phones = Counter(by_id[s]["Phone"] for s in found if by_id[s]["Phone"])
    assert max(kept_phones.values(), default=1) == 1, "chains over both rules lead to one survivor"


@given(records=people())
@FEW
def test_the_oldest_survives_whatever_the_order_of_listing(
    make_world: Callable[[], World], records: list[dict[str, Any]]
) -> None:
    forth, back = make_world(), make_world()
    migrate(forth, records, Survivor.OLDEST)
    migrate(back, records[::-1], Survivor.OLDEST)
    assert groups(forth) == groups(back)
    by_id = {r["Id"]: r for r in records}
    same = [set(g) for g in groups(forth).values()]
    for survivor, members in groups(forth).items():
        twins = [by_id[m] for m in members if key(by_id[m]) == key(by_id[survivor])]
        assert by_id[survivor]["CreatedDate"] == min(t["CreatedDate"] for t in twins)
    assert sum(map(len, same)) == len(records)


@pytest.mark.parametrize(
    ("survivor", "best"),
    [
        (Survivor.OLDEST, lambda r: r["CreatedDate"]),
        (Survivor.NEWEST, lambda r: [-ord(c) for c in r["LastModifiedDate"]]),
        (Survivor.MOST_COMPLETE, lambda r: (-filled(r), r["CreatedDate"])),
    ],
)
@given(data=st.data())
@settings(FEW, max_examples=5)
def test_who_survives_and_what_it_takes(
    make_world: Callable[[], World], survivor: Survivor, best: Callable[[dict[str, Any]], Any], data: st.DataObject
) -> None:
    """All of one key: the best survives, and each of its blanks takes the first value by rank."""
    records = [r | {"Email": "a@x.example", "LastName": "Twin"} for r in data.draw(people())]
    world = make_world()
    migrate(world, records, survivor)
    ranked = sorted(records, key=best)
    assert list(groups(world)) == [ranked[0]["Id"]]
    [row] = world.rows("SELECT title, department FROM crm_contact")
    for value, name in zip(row, ("Title", "Department"), strict=True):
        assert value == next((r[name] for r in ranked if r[name] is not None), None)


def test_a_list_is_taken_whole_from_the_best_that_has_one(world: World) -> None:
    """Lists of different lengths take part in filling blanks."""
    from storage.tables import stage_tables

    lists = [c.name for c in stage_tables["contact"].columns if "[]" in str(c.type) or "ARRAY" in str(c.type).upper()]
    assert lists
    records = [
        contact(n, Email="a@x.example", LastName="Twin", Hobbies__c=value)
        for n, value in enumerate([None, "chess;go", "tennis"])
    ]
    migrate(world, records, Survivor.OLDEST)
    assert world.rows("SELECT custom_fields->>'Hobbies__c' FROM crm_contact") == [("chess;go",)]


@pytest.mark.parametrize("alike", [("Email", "LastName"), ("Phone",)], ids=lambda names: "+".join(names))
def test_each_rule_alone_recognises_duplicates(world: World, alike: tuple[str, ...]) -> None:
    first = contact(0, Email="a@x.example", LastName="Twin", Phone=PHONES[1])
    other = contact(1, Email="b@x.example", LastName="Other", Phone=PHONES[2]) | {name: first[name] for name in alike}
    stranger = contact(2, Email="c@x.example", LastName="Stranger", Phone=None)
    migrate(world, [first, other, stranger], Survivor.OLDEST)
    assert sorted(groups(world).values()) == [[first["Id"], other["Id"]], [stranger["Id"]]]


def test_without_blank_fill_the_survivor_stays_as_it_is(world: World) -> None:
    records = [contact(n, Email="a@x.example", LastName="Twin", Title=t) for n, t in enumerate([None, "Boss"])]
    migrate(world, records, Survivor.OLDEST, blank_fill=False)
    assert world.rows("SELECT title FROM crm_contact") == [(None,)]
