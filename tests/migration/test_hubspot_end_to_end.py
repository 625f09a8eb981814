"""A HubSpot account moves in, through the real connector, over HTTP: audit, plan, run, certificate, and again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from connectors.hubspot.connector import HubSpotConnector
from storage.database import Database
from storage.embedded import ServerUrls
from tests.conftest import new_tenant
from tests.connectors.hubspot.conftest import Unlimited, connection_to
from tests.connectors.hubspot.portal_double import PortalDouble, stamp
from tests.migration.journey import Journey, written

CONTACTS = 120


def fill(portal: PortalDouble) -> None:
    """Two companies, a deal of one of them in a pipeline's stage, and contacts that belong to the other."""
    at = stamp(portal.now)
    dates = {"createdate": at, "hs_lastmodifieddate": at}
    portal.setup = {
        "owners": [{"id": "7", "email": "ada@example.com", "firstName": "Ada", "lastName": "Byron"}],
        "deals": [
            {"id": "default", "label": "Sales", "displayOrder": 0, "stages": [
                {"id": "open", "label": "Open", "displayOrder": 0, "metadata": {"isClosed": "false", "probability": "0.4"}},
                {"id": "won", "label": "Won", "displayOrder": 1, "metadata": {"isClosed": "true", "probability": "1.0"}},
            ]},
        ],
    }  # fmt: skip
    portal.tables["companies"] = {
        n: {**dates, "name": f"Company {n}", "domain": f"c{n}.example.com"} for n in (501, 502)
    }
    portal.tables["deals"] = {
        901: {**dates, "dealname": "Roof", "amount": "1200.50", "pipeline": "default", "dealstage": "won"}
    }
    portal.others = {("deals", "companies"): {(901, 501): [5, 341]}}
    for number in range(1, CONTACTS + 1):
        portal.add(number, email=f"person{number}@example.com", firstname="P")
    portal.pairs = {(n, 502): [1, 279] for n in range(1, CONTACTS + 1)}


@pytest.fixture
def portal() -> Iterator[PortalDouble]:
    double = PortalDouble()
    fill(double)
    yield double
    double.vendor.stop()


@pytest.fixture
def journey(portal: PortalDouble, db: Database, database_urls: ServerUrls) -> Journey:
    def connect() -> HubSpotConnector:
        connection = connection_to(portal, limiter=Unlimited())
        return HubSpotConnector(connection, clock=lambda: datetime.fromtimestamp(portal.now / 1000, UTC))

    return Journey(db, database_urls, new_tenant(db), connect)


def test_an_account_moves_in_whole_and_a_second_run_writes_nothing(journey: Journey) -> None:
    plan = journey.propose()
    result = journey.run(plan)
    assert result.certificate.ok, result.certificate.differences
    created = {name: counts[0] for name, counts in written(result.ledgers).items()}
    assert created["contacts"] == CONTACTS
    assert (created["companies"], created["deals"], created["owners"]) == (2, 1, 1)
    assert (created["deal_pipelines"], created["deal_stages"]) == (1, 2)
    assert created["association:contacts:companies"] > 0
    deals = journey.rows(
        "SELECT o.amount, a.name, s.name, p.name FROM crm_opportunity o JOIN crm_account a ON a.id = o.account_id "
        "JOIN crm_stage s ON s.id = o.stage_id JOIN crm_pipeline p ON p.id = o.pipeline_id"
    )
    assert [(str(row[0]).rstrip("0"), *row[1:]) for row in deals] == [("1200.5", "Company 501", "Won", "Sales")]
    employers = journey.column("SELECT DISTINCT a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id")
    assert employers == ["Company 502"]
    again = journey.run(plan)
    assert written(again.ledgers) == {}
    assert again.certificate.ok, again.certificate.differences
