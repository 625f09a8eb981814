"""The contacts of an opportunity, by contact roles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.kit.contract import EndsChange, ReadRequest
from connectors.salesforce.connector import SalesforceConnector
from sandbox.salesforce.server import SandboxServer
from sandbox.salesforce.write import Writer
from tests.connectors.salesforce.conftest import Connect

FIELD = "OpportunityContactRoles"


def people(server: SandboxServer, count: int) -> list[str]:
    return [str(row["Id"]) for row in server.sandbox.org.live("Contact")[:count]]


def sale(server: SandboxServer, **values: Any) -> str:
    return Writer(server.sandbox.org, server.sandbox.auth.user_id).insert(
        "Opportunity", {"Name": "Sale", "StageName": "Prospecting", "CloseDate": "2031-01-01", **values}
    )


def roles(server: SandboxServer, opportunity: str) -> list[dict[str, Any]]:
    return [dict(r) for r in server.sandbox.org.live("OpportunityContactRole") if r["OpportunityId"] == opportunity]


def test_roles_are_made_once_and_all_of_a_pair_deleted(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    opportunity, (a, b, c) = sale(server), people(server, 3)
    for _ in range(2):
        done = salesforce.associate("Opportunity", FIELD, [EndsChange(opportunity, add=(a, b))])
        assert [r.error for r in done] == [None]
        assert sorted(r["ContactId"] for r in roles(server, opportunity)) == sorted([a, b])
    Writer(server.sandbox.org, server.sandbox.auth.user_id).insert(
        "OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": a, "Role": "Other"}
    )
    for _ in range(2):
        done = salesforce.associate("Opportunity", FIELD, [EndsChange(opportunity, add=(c,), remove=(a,))])
        assert [r.error for r in done] == [None]
        assert salesforce.associated("Opportunity", FIELD, [opportunity]) == {opportunity: sorted([b, c])}


def test_a_contact_that_is_not_there_fails_its_own_opportunity_alone(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    one, other, (a,) = sale(server), sale(server), people(server, 1)
    changes = [EndsChange(one, add=("003000000000001AAA",)), EndsChange(other, add=(a,))]
    refused, done = salesforce.associate("Opportunity", FIELD, changes)
    assert (refused.ok, done.ok) == (False, True)


@pytest.mark.parametrize("gone", [False, True])
def test_a_listing_tells_of_roles_that_came_or_went_once(
    server: SandboxServer, connect: Connect, *, gone: bool
) -> None:
    salesforce = connect(server, clock=server.sandbox.clock.now)
    opportunity, (a,) = sale(server, ContactId=people(server, 1)[0]), people(server, 1)
    if not gone:
        salesforce.associate("Opportunity", FIELD, [EndsChange(opportunity, remove=(a,))])

    def listed(cursor: Any) -> tuple[Any, list[Any]]:
        """The cursor of a listing, and what it tells of the opportunity for its roles' sake."""
        pages = list(salesforce.read(ReadRequest("Opportunity", ("Id", FIELD), cursor, deleted=cursor is not None)))
        return pages[-1].cursor, [tuple(r.values()) for p in pages[:-1] for r in p.records() if r["Id"] == opportunity]

    cursor, rows = listed(None)
    assert rows == []
    change = EndsChange(opportunity, remove=(a,)) if gone else EndsChange(opportunity, add=(a,))
    salesforce.associate("Opportunity", FIELD, [change])
    cursor, rows = listed(cursor)
    assert rows == [(opportunity, "" if gone else a)]
    later = datetime.now(UTC) + timedelta(minutes=10)
    assert listed(cursor | {"ends_from": later.isoformat()})[1] == []


def test_a_contact_given_with_an_opportunity_is_its_primary_one_until_its_role_goes(server: SandboxServer) -> None:
    (a, b), writer = people(server, 2), Writer(server.sandbox.org, server.sandbox.auth.user_id)
    opportunity = sale(server, ContactId=a)
    (role,) = roles(server, opportunity)
    assert (role["ContactId"], role["IsPrimary"]) == (a, True)
    other = writer.insert("OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": b, "IsPrimary": True})
    assert server.sandbox.org.get("Opportunity", opportunity)["ContactId"] == b  # type: ignore[index]
    assert [r["ContactId"] for r in roles(server, opportunity) if r["IsPrimary"]] == [b]
    writer.delete("OpportunityContactRole", other)
    assert "ContactId" not in server.sandbox.org.get("Opportunity", opportunity)  # type: ignore[operator]


def test_a_role_is_given_to_the_record_of_a_pair_that_is_there(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    opportunity, (a, b) = sale(server), people(server, 2)
    for change, expected in (
        (EndsChange(opportunity, add=(a, b), label=((a, "Other"),)), {a: ["Other"], b: []}),
        (EndsChange(opportunity, label=((b, "Evaluator"),)), {a: ["Other"], b: ["Evaluator"]}),
        (
            EndsChange(opportunity, label=((a, "Influencer"),), unlabel=((a, "Other"),)),
            {a: ["Influencer"], b: ["Evaluator"]},
        ),
        (EndsChange(opportunity, unlabel=((a, "Influencer"), (b, "Other"))), {a: [], b: ["Evaluator"]}),
    ):
        for _ in range(2):
            assert [r.error for r in salesforce.associate("Opportunity", FIELD, [change])] == [None]
            assert salesforce.labelled("Opportunity", FIELD, [opportunity]) == {opportunity: expected}
            assert len(roles(server, opportunity)) == 2
    assert "Influencer" in salesforce.labels("Opportunity", FIELD)
