"""A contact's accounts: a list of which one is the main one, and always a member."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import explaining
from storage.database import Connection, Database
from storage.sync import changing, gathering, records

NAMES = "abc"


class People:
    """One contact, and three accounts called a, b and c, in the order of their ids."""

    def __init__(self, db: Database, tenant_id: UUID) -> None:
        self.db, self.tenant_id = db, tenant_id
        with db.tenant(tenant_id) as conn:
            self.ids = dict(zip(NAMES, sorted(new_id() for _ in NAMES), strict=True))
            for name, made in self.ids.items():
                records.create(conn, tenant_id, "account", {"name": name}, "ada", record=made)
            self.contact = records.create(conn, tenant_id, "contact", {"last_name": "Ada"}, "ada")

    def edit(self, **fields: Any) -> frozenset[str]:
        """``main`` and ``all``, by the accounts' names."""
        given: dict[str, Any] = {}
        if "main" in fields:
            given["account_id"] = self.ids[fields["main"]] if fields["main"] else None
        if "all" in fields:
            given["account_ids"] = [self.ids[n] for n in fields["all"]]
        with self.db.tenant(self.tenant_id) as conn:
            return records.edit(conn, self.tenant_id, "contact", self.contact, given, "ada")

    def now(self, record: UUID | None = None) -> tuple[str, str]:
        """The main account and all of them."""
        with self.db.tenant(self.tenant_id) as conn:
            return self.said(conn, record or self.contact)

    def said(self, conn: Connection, record: UUID) -> tuple[str, str]:
        stored = gathering.hubs(conn, self.tenant_id, "contact", [record])[record]
        values = stored.values
        names = {i: n for n, i in self.ids.items()}
        return names.get(values.get("account_id", UUID(int=0)), ""), "".join(
            sorted(names[i] for i in values.get("account_ids") or ())
        )


@pytest.fixture
def people(db: Database, tenant_id: UUID) -> People:
    return People(db, tenant_id)


@pytest.mark.parametrize(
    ("edits", "main", "everyone"),
    [
        ([{"main": "b"}], "b", "b"),
        ([{"main": "b"}, {"main": "c"}], "c", "bc"),  # the former one stays
        ([{"main": "b"}, {"main": "c", "all": "c"}], "c", "c"),  # unless the edit says otherwise
        ([{"main": "b", "all": "ac"}], "b", "abc"),  # the main one is always a member
        ([{"all": "bc"}], "b", "bc"),  # where nobody names one, the first is the main one
        ([{"main": "c"}, {"all": "abc"}], "c", "abc"),
        ([{"main": "c", "all": "ab"}, {"all": "ab"}], "a", "ab"),  # parted from the main one
        ([{"main": "c", "all": "b"}, {"main": None}], "b", "b"),  # blanking it parts from it
        ([{"main": "c"}, {"main": None}], "", ""),
        ([{"main": "c", "all": "b"}, {"all": ""}], "", ""),
    ],
)
def test_the_main_account_is_one_of_the_accounts(
    people: People, edits: list[dict[str, Any]], main: str, everyone: str
) -> None:
    for edit in edits:
        people.edit(**edit)
    assert people.now() == (main, everyone)


def test_a_new_contact_has_the_accounts_that_it_is_given(people: People) -> None:
    for fields, expected in (
        ({"account_ids": "cb"}, ("b", "bc")),
        ({"account_id": "c"}, ("c", "c")),
        ({"account_id": "c", "account_ids": "a"}, ("c", "ac")),
    ):
        given = {n: people.ids[v] if n == "account_id" else [people.ids[i] for i in v] for n, v in fields.items()}
        with people.db.tenant(people.tenant_id) as conn:
            made = records.create(conn, people.tenant_id, "contact", given, "ada")
        assert people.now(made) == expected


def test_a_deleted_account_leaves_the_others_and_comes_back_as_one_of_them(people: People) -> None:
    people.edit(main="a", all="ab")
    with people.db.tenant(people.tenant_id) as conn:
        records.delete(conn, people.tenant_id, "account", people.ids["a"], "ada")
    assert people.now() == ("b", "b")
    with people.db.tenant(people.tenant_id) as conn:
        records.restore(conn, people.tenant_id, "account", people.ids["a"], "ada")
    assert people.now() == ("b", "ab")


def test_another_main_account_is_told_once_and_the_list_follows(people: People) -> None:
    people.edit(main="a")
    assert people.edit(main="b") == {"account_id", "account_ids"}
    assert people.edit(main="b") == frozenset()
    with people.db.tenant(people.tenant_id) as conn:
        told = conn.execute(text("SELECT fields, version FROM change WHERE entity = 'contact' ORDER BY seq")).all()
        assert [tuple(row) for row in told] == [(None, 1), (["account_id"], 2), (["account_id"], 3)]
    assert people.edit(all="bc") == {"account_ids"}
    assert people.edit(all="c") == {"account_id", "account_ids"}
    with people.db.tenant(people.tenant_id) as conn:
        rules = {f.field: f.rule for f in explaining.explain(conn, "contact", people.contact).fields}
    assert (rules["account_id"], rules["account_ids"]) == ("edited", "edited")


def test_a_change_of_a_record_that_is_gone_is_passed_over(people: People) -> None:
    with people.db.tenant(people.tenant_id) as conn:
        records.delete(conn, people.tenant_id, "contact", people.contact, "ada")
        cause = changing.Cause(people.tenant_id, "hub")
        for fields in ({"account_id": people.ids["a"]}, {"account_id": None}, {"account_ids": [people.ids["b"]]}):
            assert changing.update(conn, cause, "contact", [changing.Edit(people.contact, fields)]) == []
