"""Files without a dialect: whose ids a column holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.files.relations import referred, singular, words
from connectors.kit.contract import ReadRequest
from domain.entities import Kind

from .support import connector, write

KNOWN = {("account",): "accounts", ("company",): "accounts", ("contact",): "contacts", ("line", "item"): "line_items"}


@pytest.mark.parametrize(
    ("column", "target"),
    [
        ("account_id", ("accounts",)),
        ("AccountId", ("accounts",)),
        ("Account ID", ("accounts",)),
        ("Company Id", ("accounts",)),
        ("primary_account_id", ("accounts",)),
        ("accounts_id", ("accounts",)),
        ("line_item_uuid", ("line_items",)),
        ("parent_id", ("contacts",)),
        ("parent_contact_id", ("contacts",)),
        ("contact_id", ()),
        ("tax_id", ()),
        ("account", ()),
        ("id", ()),
        ("paid", ()),
        ("", ()),
    ],
)
def test_a_column_of_contacts_refers_by_its_name(column: str, target: tuple[str, ...]) -> None:
    assert referred(column, "contacts", KNOWN) == target


def test_names_are_split_and_put_into_the_singular() -> None:
    assert words("AccountID") == words("account-id") == ("account", "id")
    assert [singular(w) for w in ("companies", "accounts", "address")] == ["company", "account", "address"]


def test_contacts_of_a_folder_refer_to_its_accounts(tmp_path: Path) -> None:
    write(tmp_path, "companies.csv", "id,name\n7,Acme\n8,Bolt\n")
    write(tmp_path, "contacts.csv", "id,last_name,account_id,tax_id\n1,Byron,7,5\n2,Hopper,99,6\n")
    field = connector(tmp_path).describe().objects["contacts"].field("account_id")
    assert (field.kind, field.refers_to, field.inferred) == (Kind.REFERENCE, ("companies",), True)
    assert connector(tmp_path).describe().objects["contacts"].field("tax_id").kind is Kind.INTEGER


def test_nothing_refers_to_files_that_are_not_there_or_have_no_ids(tmp_path: Path) -> None:
    write(tmp_path, "accounts.csv", "name,city\nAcme,Bonn\nBolt,Kiel\n")
    write(tmp_path, "contacts.csv", "id,last_name,account_id,deal_id\n1,Byron,7,1\n2,Hopper,8,1\n")
    fields = connector(tmp_path).describe().objects["contacts"].fields
    assert all(f.kind is not Kind.REFERENCE for f in fields)


def test_numbers_refer_as_the_text_of_the_id(tmp_path: Path) -> None:
    write(tmp_path, "accounts.jsonl", "".join(json.dumps({"id": n, "name": "x"}) + "\n" for n in (7, 8)))
    write(tmp_path, "contacts.jsonl", json.dumps({"id": 1, "last_name": "Byron", "account_id": 7}) + "\n")
    files = connector(tmp_path)
    (account, *_), (contact,) = (
        [dict(zip(p.fields, row, strict=True)) for p in files.read(ReadRequest(o)) for row in p.rows]
        for o in ("accounts", "contacts")
    )
    assert str(contact["account_id"]) == str(account["id"]) == "7"
