"""A sample hangs together: what belongs to a chosen record is in it, and no reference leads out of it."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import ConfigurationError
from migration.sample import sample
from tests.migration.conftest import plan_of
from tests.migration.source import ListSource

ACCOUNTS = 200


def _id(prefix: str, number: int) -> str:
    return f"{prefix}{number:012}AAA"


def org() -> dict[str, list[dict[str, Any]]]:
    accounts = [
        {"Id": _id("001", n), "Name": f"A {n}", "ParentId": _id("001", n - 1) if n % 10 else None, "OwnerId": "005A"}
        for n in range(ACCOUNTS)
    ]
    contacts = [
        {"Id": _id("003", n), "LastName": f"C {n}", "AccountId": _id("001", n // 3)[:15] if n % 50 else None,
         "ReportsToId": _id("003", n - n % 3) if n % 3 else None, "OwnerId": "005A"}
        for n in range(600)
    ]  # fmt: skip
    deals = [{"Id": _id("006", n), "Name": f"D {n}", "AccountId": _id("001", n * 2)} for n in range(100)]
    roles = [{"Id": _id("00K", n), "OpportunityId": _id("006", n), "ContactId": _id("003", n * 6)} for n in range(100)]
    users = [{"Id": "005A", "Name": "Ann"}, {"Id": "005B", "Name": "Bob"}]
    return {
        "User": users,
        "Account": accounts,
        "Contact": contacts,
        "Opportunity": deals,
        "OpportunityContactRole": roles,
    }


def _chosen(percent: float) -> tuple[dict[str, set[str]], dict[str, list[dict[str, Any]]]]:
    objects = org()
    source = ListSource(objects, page_size=50)
    return sample(source, plan_of(source), percent), objects


@pytest.mark.parametrize("percent", [5, 10, 40])
def test_no_reference_leads_out(percent: float) -> None:
    chosen, objects = _chosen(percent)
    short = {name: {i[:15] for i in ids} for name, ids in chosen.items()}
    edges = [("Account", "ParentId", "Account"), ("Contact", "AccountId", "Account"), ("Contact", "ReportsToId", "Contact"),
             ("Opportunity", "AccountId", "Account"), ("OpportunityContactRole", "ContactId", "Contact"),
             ("OpportunityContactRole", "OpportunityId", "Opportunity")]  # fmt: skip
    for name, field, target in edges:
        for record in objects[name]:
            if record["Id"] in chosen[name] and record[field]:
                assert record[field][:15] in short[target], (name, field)


def test_what_belongs_to_a_chosen_account_is_chosen() -> None:
    """Accounts that came in only because something refers to them bring nothing along: the sample stays a sample."""
    chosen, objects = _chosen(10)
    owned = [d for d in objects["Opportunity"] if d["Id"] in chosen["Opportunity"]]
    assert owned
    assert all(d["AccountId"] in chosen["Account"] for d in owned)
    contacts = [c for c in objects["Contact"] if c["AccountId"] and c["Id"] in chosen["Contact"]]
    assert contacts


def test_users_are_whole_and_the_rest_is_a_part() -> None:
    chosen, _ = _chosen(5)
    assert chosen["User"] == {"005A", "005B"}
    assert 0 < len(chosen["Account"]) < ACCOUNTS / 2
    assert 0 < len(chosen["Opportunity"]) < 50


def test_all_of_it() -> None:
    chosen, objects = _chosen(100)
    assert {name: len(ids) for name, ids in chosen.items()} == {name: len(records) for name, records in objects.items()}


def test_the_same_share_is_the_same_sample() -> None:
    assert _chosen(10)[0] == _chosen(10)[0]


def test_an_association_comes_with_both_ends_only() -> None:
    chosen, objects = _chosen(10)
    for role in objects["OpportunityContactRole"]:
        both = role["OpportunityId"] in chosen["Opportunity"] and role["ContactId"] in chosen["Contact"]
        if role["Id"] in chosen["OpportunityContactRole"]:
            assert both


@pytest.mark.parametrize("percent", [0, -1, 101, float("nan")])
def test_a_senseless_share(percent: float) -> None:
    with pytest.raises(ConfigurationError, match="makes no sense"):
        _chosen(percent)
