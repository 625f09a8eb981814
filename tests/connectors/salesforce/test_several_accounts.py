"""The accounts of a contact, in orgs where it may have several, and in others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.kit.contract import EndsChange, ReadRequest
from connectors.salesforce.connector import SalesforceConnector
from mappings.compile import Lens, compile_spec
from mappings.spec import load_shipped
from sandbox.salesforce.server import SandboxServer
from sandbox.salesforce.write import Writer
from sync_engine.ruling import rules_of, several_of
from tests.connectors.salesforce.conftest import Connect

FIELD, RELATION = "AccountContactRelations", "AccountContactRelation"


@pytest.fixture
def org() -> Iterator[SandboxServer]:
    with SandboxServer(contacts=10, several_accounts=True) as server:
        yield server


@pytest.fixture
def writer(org: SandboxServer) -> Writer:
    return Writer(org.sandbox.org, org.sandbox.auth.user_id)


@pytest.fixture
def firms(writer: Writer) -> list[str]:
    return [writer.insert("Account", {"Name": name}) for name in ("A", "B", "C")]


def test_relations_are_made_once_and_the_one_to_the_own_account_is_left_alone(
    org: SandboxServer, writer: Writer, firms: list[str], connect: Connect
) -> None:
    salesforce, (a, b, c) = connect(org), firms
    ada = writer.insert("Contact", {"LastName": "Ada", "AccountId": c})
    for change, held in (
        (EndsChange(ada, add=(a, b)), [c, a, b]),  # its own account first
        (EndsChange(ada, remove=(a, c)), [c, b]),  # which Salesforce lets nobody part it from
    ):
        for _ in range(2):
            assert [r.error for r in salesforce.associate("Contact", FIELD, [change])] == [None]
            assert salesforce.associated("Contact", FIELD, [ada]) == {ada: held}


def test_a_relation_that_somebody_else_made_meanwhile_is_as_good(
    org: SandboxServer, writer: Writer, firms: list[str], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce, (a, b, _) = connect(org), firms
    ada = writer.insert("Contact", {"LastName": "Ada", "AccountId": a})
    records = salesforce._junctions.records

    def slow(*given: Any) -> list[Any]:
        found = list(records(*given))
        writer.insert(RELATION, {"ContactId": ada, "AccountId": b})
        return found

    monkeypatch.setattr(salesforce._junctions, "records", slow)
    assert [r.error for r in salesforce.associate("Contact", FIELD, [EndsChange(ada, add=(b,))])] == [None]


def test_a_private_contact_fails_alone(org: SandboxServer, writer: Writer, firms: list[str], connect: Connect) -> None:
    nobodys = writer.insert("Contact", {"LastName": "Nobody's"})
    ada = writer.insert("Contact", {"LastName": "Ada", "AccountId": firms[0]})
    changes = [EndsChange(nobodys, add=(firms[1],)), EndsChange(ada, add=(firms[1],))]
    refused, done = connect(org).associate("Contact", FIELD, changes)
    assert (refused.ok, done.ok) == (False, True)


@pytest.mark.parametrize("gone", [False, True])
def test_a_listing_tells_of_relations_that_came_or_went(
    org: SandboxServer, writer: Writer, firms: list[str], connect: Connect, *, gone: bool
) -> None:
    salesforce, (a, b, _) = connect(org, clock=org.sandbox.clock.now), firms
    ada = writer.insert("Contact", {"LastName": "Ada", "AccountId": a})
    if gone:
        salesforce.associate("Contact", FIELD, [EndsChange(ada, add=(b,))])

    def listed(cursor: Any) -> tuple[Any, list[Any]]:
        pages = list(salesforce.read(ReadRequest("Contact", ("Id", FIELD), cursor, deleted=cursor is not None)))
        return pages[-1].cursor, [r[FIELD] for p in pages[:-1] for r in p.records() if r["Id"] == ada]

    cursor, _ = listed(None)
    change = EndsChange(ada, remove=(b,)) if gone else EndsChange(ada, add=(b,))
    salesforce.associate("Contact", FIELD, [change])
    cursor, told = listed(cursor)
    assert told == [a if gone else f"{a};{b}"]
    later = datetime.now(UTC) + timedelta(minutes=10)
    assert listed(cursor | {"ends_from": later.isoformat()})[1] == []


def _lens(salesforce: SalesforceConnector) -> Lens:
    spec = load_shipped("salesforce", "Contact")
    assert spec is not None
    return compile_spec(spec, schema=salesforce.describe(["Contact"]).objects["Contact"])


def test_an_org_in_which_contacts_have_one_account_exchanges_that_alone(
    org: SandboxServer, server: SandboxServer, connect: Connect
) -> None:
    for where, expected in ((org, {"account_ids"}), (server, set())):
        salesforce = connect(where)
        lens = _lens(salesforce)
        lists = several_of(salesforce, lens)
        rules = rules_of(lens, lists)
        assert lists.keys() == expected == rules.links == rules.mains.keys()
        assert rules.writes_field("account_id")
