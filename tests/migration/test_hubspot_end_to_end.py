"""A HubSpot account moves in, through the real connector, over HTTP, up to the certificate, and again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connectors.hubspot.connector import HubSpotConnector
from sandbox.hubspot.records import Record
from sandbox.hubspot.server import HubSpotServer
from storage.database import Database
from storage.embedded import ServerUrls
from tests.connectors.hubspot.stand_in import connection_to, unhurried
from tests.migration.journey import Journey, written

RECORDS = (
    "companies", "contacts", "deals", "tickets", "products", "line_items", "quotes", "notes", "calls", "meetings", "tasks",
    "emails",
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=120) as running:
        yield unhurried(running)


@pytest.fixture
def journey(server: HubSpotServer, db: Database, database_urls: ServerUrls, tenant_id: Any) -> Journey:
    return Journey(db, database_urls, tenant_id, lambda: HubSpotConnector(connection_to(server)))


def test_an_account_moves_in_whole_and_a_second_run_writes_nothing(server: HubSpotServer, journey: Journey) -> None:
    plan = journey.propose()
    result = journey.run(plan)
    assert result.certificate.ok, result.certificate.differences
    for name in RECORDS:
        ledger = result.ledgers[name]
        assert ledger.source + ledger.left_out == len(server.portal.live(name)) > 0, name
        assert ledger.adds_up, name
    check_deals(server, journey)
    check_employers(server, journey)
    check_files(server, journey)
    before = journey.everything()
    again = journey.run(plan)
    assert written(again.ledgers) == {}
    assert again.certificate.ok, again.certificate.differences
    assert journey.everything() == before


def test_what_changes_afterwards_follows(server: HubSpotServer, journey: Journey) -> None:
    plan = journey.propose()
    journey.run(plan)
    edited, gone = server.portal.live("contacts")[:2]
    server.sandbox.edit({"object": "contacts", "id": edited.id, "properties": {"firstname": "Renamed"}})
    server.sandbox.edit({"object": "contacts", "properties": {"lastname": "Newcomer"}})
    server.sandbox.edit({"object": "contacts", "id": gone.id, "delete": True})
    result = journey.run(plan)
    assert result.certificate.ok, result.certificate.differences
    assert written(result.ledgers)["contacts"] == (1, 0, 1)


def check_deals(server: HubSpotServer, journey: Journey) -> None:
    """Every deal stands in its stage and pipeline, at its amount, in its currency, with its company."""
    rows = journey.rows("""SELECT l.vendor_id, s.name, p.name, o.amount, o.currency, a.vendor_id
        FROM crm_opportunity o JOIN link l ON l.entity_id = o.id AND l.vendor_object = 'deals'
        LEFT JOIN crm_stage s ON s.id = o.stage_id LEFT JOIN crm_pipeline p ON p.id = o.pipeline_id
        LEFT JOIN link a ON a.entity_id = o.account_id AND a.vendor_object = 'companies'""")
    pipelines = server.portal.pipelines["deals"]

    def told(deal: Record) -> tuple[Any, ...]:
        pipeline, amount = pipelines[deal.values["pipeline"]], deal.values.get("amount")
        return (
            pipeline.stages[deal.values["dealstage"]].label,
            pipeline.label,
            Decimal(amount) if amount else None,
            deal.values.get("deal_currency_code") or "USD",
        )

    deals = {deal.id: deal for deal in server.portal.live("deals")}
    assert {row[0]: row[1:5] for row in rows} == {i: told(deal) for i, deal in deals.items()}
    associated = {i: set(server.portal.associations.targets("deals", i, "companies")) for i in deals}
    assert all(company in associated[i] if company else not associated[i] for i, *_, company in rows)


def check_employers(server: HubSpotServer, journey: Journey) -> None:
    """A contact belongs to its primary company."""
    rows = journey.rows("""SELECT l.vendor_id, a.vendor_id FROM crm_contact c
        JOIN link l ON l.entity_id = c.id AND l.vendor_object = 'contacts' AND l.origin = 'created'
        JOIN link a ON a.entity_id = c.account_id AND a.vendor_object = 'companies' AND a.origin = 'created'""")
    assert len(rows) > 50
    for contact, company in rows:
        assert server.portal.tables["contacts"][contact].values["associatedcompanyid"] == company


def check_files(server: HubSpotServer, journey: Journey) -> None:
    """Content is the account's, byte for byte."""
    stored = dict(
        journey.rows("""SELECT l.vendor_id, a.sha256 FROM crm_attachment a
        JOIN link l ON l.entity_id = a.id AND l.vendor_object = 'files'""")
    )
    kept = {i: hashlib.sha256(file.content).hexdigest() for i, file in server.portal.files.stored.items()}
    assert stored == kept
    assert stored
