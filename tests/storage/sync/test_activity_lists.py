"""What an activity belongs to: several contacts of which one is always the main one, and several sales, of which one may be."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import streams
from storage.database import Database
from storage.streams import Stream
from storage.sync import gathering, records
from storage.sync.lanes import LaneKey
from storage.sync.values import decode

NAMES = "abc"


class Calls:
    """One call, and three sales and contacts called a, b and c, in the order of their ids."""

    def __init__(self, db: Database, tenant_id: UUID) -> None:
        self.db, self.tenant_id = db, tenant_id
        self.sales, self.people = (dict(zip(NAMES, sorted(new_id() for _ in NAMES), strict=True)) for _ in "12")
        with db.tenant(tenant_id) as conn:
            for name in NAMES:
                records.create(conn, tenant_id, "opportunity", {"name": name}, "ada", record=self.sales[name])
                records.create(conn, tenant_id, "contact", {"last_name": name}, "ada", record=self.people[name])
            self.call = records.create(conn, tenant_id, "activity", {"kind": "call"}, "ada")

    def edit(self, **fields: Any) -> None:
        """``main`` and ``all`` sales, ``who`` and ``whos``, by their names; anything else as it is."""
        named = {"main": ("opportunity_id", self.sales), "who": ("contact_id", self.people)}
        lists = {"all": ("opportunity_ids", self.sales), "whos": ("contact_ids", self.people)}
        given: dict[str, Any] = {n: v for n, v in fields.items() if n not in named | lists}
        given |= {f: ids[fields[n]] if fields[n] else None for n, (f, ids) in named.items() if n in fields}
        given |= {f: [ids[i] for i in fields[n]] for n, (f, ids) in lists.items() if n in fields}
        with self.db.tenant(self.tenant_id) as conn:
            records.edit(conn, self.tenant_id, "activity", self.call, given, "ada")

    def now(self) -> tuple[str, str, str, str]:
        """The main sale and all of them, the main contact and all of them."""
        with self.db.tenant(self.tenant_id) as conn:
            values = gathering.hubs(conn, self.tenant_id, "activity", [self.call])[self.call].values
        sales, people = ({i: n for n, i in of.items()} for of in (self.sales, self.people))
        return (
            sales.get(values.get("opportunity_id", UUID(int=0)), ""),
            "".join(sorted(sales[i] for i in values.get("opportunity_ids") or ())),
            people.get(values.get("contact_id", UUID(int=0)), ""),
            "".join(sorted(people[i] for i in values.get("contact_ids") or ())),
        )


@pytest.fixture
def key(db: Database, tenant_id: UUID) -> LaneKey:
    connection = new_id()
    with db.tenant(tenant_id) as conn:
        streams.put(conn, Stream(connection, "calls", "activity"))
    return LaneKey(tenant_id, connection, "calls")


@pytest.fixture
def calls(db: Database, tenant_id: UUID) -> Calls:
    return Calls(db, tenant_id)


@pytest.mark.parametrize(
    ("edits", "main", "everything"),
    [
        ([{"main": "a"}, {"main": "b"}], "b", "b"),  # it moves
        ([{"main": "a", "all": "abc"}, {"main": "b"}], "b", "bc"),
        ([{"main": "a", "all": "ac"}, {"main": "b"}], "b", "bc"),
        ([{"main": "a", "all": "ac"}, {"main": "a"}], "a", "ac"),
        ([{"main": "a", "all": "ac"}, {"main": None}], "", "c"),  # nobody takes its place
        ([{"main": "a", "all": "ac"}, {"main": "b", "all": "ac"}], "b", "abc"),  # unless the edit says otherwise
        ([{"main": "a", "all": "ac"}, {"all": "c"}], "", "c"),
        ([{"all": "bc"}], "", "bc"),
    ],
)
def test_an_activity_that_moves_leaves_the_former_sale_and_keeps_the_others(
    calls: Calls, edits: list[dict[str, Any]], main: str, everything: str
) -> None:
    for edit in edits:
        calls.edit(**edit)
    assert calls.now() == (main, everything, "", "")


@pytest.mark.parametrize(
    ("edits", "main", "everybody"),
    [
        ([{"who": "a"}, {"who": "b"}], "b", "ab"),  # the former one stays
        ([{"whos": "bc"}], "b", "bc"),
        ([{"who": "a", "whos": "abc"}, {"who": None}], "b", "bc"),
        ([{"who": "a", "whos": "abc"}, {"whos": "c"}], "c", "c"),
    ],
)
def test_an_activity_of_people_is_always_of_one_of_them_first(
    calls: Calls, edits: list[dict[str, Any]], main: str, everybody: str
) -> None:
    for edit in edits:
        calls.edit(**edit)
    assert calls.now() == ("", "", main, everybody)


@pytest.mark.parametrize("edit", [{"whos": "a"}, {"main": "b"}, {"subject": "Ring"}])
def test_what_a_vendor_last_said_of_lists_is_written_out_with_the_rest(
    calls: Calls, key: LaneKey, edit: dict[str, Any]
) -> None:
    """Until the record changes it stands for what the vendor said; then nothing of it may be missing."""
    calls.edit(main="a", all="ac", who="b", whos="bc")
    with calls.db.tenant(calls.tenant_id) as conn:
        conn.execute(
            text("""
            INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin)
            VALUES (:t, :c, :o, '1', 'activity', :id, 'created')"""),
            key.parameters | {"id": calls.call},
        )
    calls.edit(**edit)
    with calls.db.tenant(calls.tenant_id) as conn:
        base = decode("activity", conn.execute(text("SELECT base FROM link")).scalar_one())
    assert base["opportunity_ids"] == sorted(calls.sales[n] for n in "ac")
    assert base["contact_ids"] == sorted(calls.people[n] for n in "bc")
    assert (base["opportunity_id"], base["contact_id"], "subject" in base) == (
        calls.sales["a"],
        calls.people["b"],
        False,
    )
