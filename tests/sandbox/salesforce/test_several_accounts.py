"""Contacts to Multiple Accounts: what the platform does by itself, and what it lets nobody do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.salesforce.helpers import InProcess

RELATION = "AccountContactRelation"


@pytest.fixture
def org() -> InProcess:
    return InProcess(contacts=0, several_accounts=True)


@pytest.fixture
def firms(org: InProcess) -> list[str]:
    return [org.create("Account", Name=name) for name in ("A", "B")]


def relations(org: InProcess, contact: str) -> dict[str, bool]:
    query = f"SELECT AccountId, IsDirect FROM {RELATION} WHERE ContactId = '{contact}'"
    return {row["AccountId"]: row["IsDirect"] for row in org.soql(query)}


def refused(org: InProcess, method: str, path: str, body: Any = None) -> str:
    reply = org.call(method, f"sobjects/{path}", body)
    assert reply.status == 400, reply.json
    return str(reply.json[0]["errorCode"])


def test_the_own_account_has_a_direct_relation_and_the_former_one_an_indirect_one(
    org: InProcess, firms: list[str]
) -> None:
    (a, b), ada = firms, org.create("Contact", LastName="Ada", AccountId=firms[0])
    assert relations(org, ada) == {a: True}
    org.call("PATCH", f"sobjects/Contact/{ada}", {"AccountId": b})
    assert relations(org, ada) == {a: False, b: True}
    org.call("PATCH", f"sobjects/Contact/{ada}", {"AccountId": a})
    assert relations(org, ada) == {a: True, b: False}


def test_a_pair_is_related_once_and_the_direct_relation_stays(org: InProcess, firms: list[str]) -> None:
    (a, b), ada = firms, org.create("Contact", LastName="Ada", AccountId=firms[0])
    for account in (a, b):
        if account == b:
            org.create(RELATION, ContactId=ada, AccountId=b)
        assert refused(org, "POST", RELATION, {"ContactId": ada, "AccountId": account}) == "DUPLICATE_VALUE"
    found = {r["AccountId"]: r["Id"] for r in org.soql(f"SELECT Id, AccountId FROM {RELATION}")}
    assert refused(org, "DELETE", f"{RELATION}/{found[a]}") == "FIELD_INTEGRITY_EXCEPTION"
    assert refused(org, "PATCH", f"{RELATION}/{found[b]}", {"AccountId": a}) == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert refused(org, "PATCH", f"{RELATION}/{found[b]}", {"IsDirect": True}) == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert org.call("DELETE", f"sobjects/{RELATION}/{found[b]}").status == 204
    assert relations(org, ada) == {a: True}


def test_a_private_contact_has_no_relations(org: InProcess, firms: list[str]) -> None:
    (a, b), ada = firms, org.create("Contact", LastName="Ada")
    assert refused(org, "POST", RELATION, {"ContactId": ada, "AccountId": a}) == "FIELD_INTEGRITY_EXCEPTION"
    org.call("PATCH", f"sobjects/Contact/{ada}", {"AccountId": a})
    other = org.create(RELATION, ContactId=ada, AccountId=b)
    assert refused(org, "PATCH", f"Contact/{ada}", {"AccountId": None}) == "FIELD_INTEGRITY_EXCEPTION"
    org.call("DELETE", f"sobjects/{RELATION}/{other}")
    assert org.call("PATCH", f"sobjects/Contact/{ada}", {"AccountId": None}).status == 204
    assert relations(org, ada) == {}


def test_relations_go_with_their_contact_or_account(org: InProcess, firms: list[str]) -> None:
    (a, b), ada = firms, org.create("Contact", LastName="Ada", AccountId=firms[0])
    org.create(RELATION, ContactId=ada, AccountId=b)
    org.call("DELETE", f"sobjects/Account/{b}")
    assert relations(org, ada) == {a: True}
    org.call("DELETE", f"sobjects/Contact/{ada}")
    assert relations(org, ada) == {}


def test_an_org_that_has_not_switched_it_on_has_no_such_object() -> None:
    org = InProcess(contacts=0)
    assert org.call("GET", f"sobjects/{RELATION}/describe").status == 404
    assert RELATION not in {o["name"] for o in org.call("GET", "sobjects").json["sobjects"]}
    account = org.create("Account", Name="A")
    assert org.create("Contact", LastName="Ada", AccountId=account)


def test_a_new_org_with_it_has_people_of_several_accounts() -> None:
    org = InProcess(contacts=60, several_accounts=True).org
    own = {(r["Id"], r["AccountId"]) for r in org.live("Contact") if "AccountId" in r}
    pairs = {(r["ContactId"], r["AccountId"]): bool(r.get("IsDirect")) for r in org.live(RELATION)}
    assert all(direct == (pair in own) for pair, direct in pairs.items())
    assert not all(pairs.values())
