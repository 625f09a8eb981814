"""A Pipedrive company moves in, through the real connector, over HTTP, up to the certificate."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bootstrap.connecting import BrowserSignIn, sign_in
from connectors.kit.registry import load
from connectors.pipedrive.connector import PipedriveConnector
from sandbox.pipedrive.server import PipedriveServer
from storage.database import Database
from storage.embedded import ServerUrls
from tests.connectors.pipedrive.stand_in import connection_to, token
from tests.migration.journey import Journey, written

KINDS = (
    "users",
    "organizations",
    "persons",
    "leads",
    "products",
    "deals",
    "deal_products",
    "activities",
    "notes",
    "files",
)


@pytest.fixture
def server() -> Iterator[PipedriveServer]:
    with PipedriveServer(contacts=40) as running:
        yield running


@pytest.fixture
def journey(server: PipedriveServer, db: Database, database_urls: ServerUrls, tenant_id: Any) -> Journey:
    def connect() -> PipedriveConnector:
        return PipedriveConnector(connection_to(server))

    return Journey(db, database_urls, tenant_id, connect)


def alive(server: PipedriveServer, name: str) -> list[dict[str, Any]]:
    return list(server.sandbox.store.table(name).values()) if name == "users" else server.sandbox.store.live(name)


def test_a_company_moves_in_whole_and_a_second_run_writes_nothing(server: PipedriveServer, journey: Journey) -> None:
    result = journey.run()
    assert result.certificate.ok, result.certificate.differences
    for name in KINDS:
        ledger = result.ledgers[name]
        assert ledger.source + ledger.left_out == len(alive(server, name)) > 0, name
        assert ledger.adds_up, name
    check_deals(server, journey)
    check_people(server, journey)
    check_files(server, journey)
    before = journey.everything()
    again = journey.run(journey.propose())
    assert written(again.ledgers) == {}
    assert again.certificate.ok, again.certificate.differences
    assert journey.everything() == before


def check_deals(server: PipedriveServer, journey: Journey) -> None:
    """Every deal, the archived ones too, stands in its stage and pipeline, at its value, in its currency."""
    found = journey.rows("""SELECT l.vendor_id, s.name, p.name, o.amount, o.currency, o.is_won, o.is_closed
        FROM crm_opportunity o JOIN link l ON l.entity_id = o.id AND l.vendor_object = 'deals'
        LEFT JOIN crm_stage s ON s.id = o.stage_id LEFT JOIN crm_pipeline p ON p.id = o.pipeline_id""")
    store = server.sandbox.store
    expected = {
        (
            str(d["id"]),
            store.table("stages")[str(d["stage_id"])]["name"],
            store.table("pipelines")[str(d["pipeline_id"])]["name"],
            d["value"],
            d["currency"],
            d["status"] == "won",
            d["status"] != "open",
        )
        for d in alive(server, "deals")
    }
    assert {(i, s, p, float(a), *rest) for i, s, p, a, *rest in found} == expected


def check_people(server: PipedriveServer, journey: Journey) -> None:
    """The main address is the contact's, all of them are kept, and a chosen option is kept by its label."""
    rows = journey.rows("""SELECT l.vendor_id, c.email, c.custom_fields FROM crm_contact c
        JOIN link l ON l.entity_id = c.id AND l.vendor_object = 'persons' AND l.origin = 'created'""")
    people = {str(p["id"]): p for p in alive(server, "persons")}
    labels = {o["id"]: o["label"] for f in server.sandbox.store.fields["persons"] for o in f["options"] or ()}
    segment = next(f["field_code"] for f in server.sandbox.store.fields["persons"] if f["field_name"] == "Segment")
    assert len(rows) > 20
    for vendor_id, email, custom in rows:
        person = people[vendor_id]
        main = next((e["value"] for e in person["emails"] if e["primary"]), None)
        assert (email or "").casefold() == (main or "").casefold()
        assert [e["value"] for e in custom.get("emails", [])] == [e["value"] for e in person["emails"]]
        assert custom.get(segment) == labels.get(person["custom_fields"][segment])


def check_files(server: PipedriveServer, journey: Journey) -> None:
    """Content is the company's, byte for byte."""
    stored = dict(
        journey.rows("""SELECT l.vendor_id, a.sha256 FROM crm_attachment a
        JOIN link l ON l.entity_id = a.id AND l.vendor_object = 'files'""")
    )
    assert stored == {i: hashlib.sha256(content).hexdigest() for i, content in server.sandbox.store.blobs.items()}
    assert stored


def test_connecting_tells_the_company_and_an_app_keeps_its_tokens(server: PipedriveServer) -> None:
    """By a personal token, and by a browser's consent whose answer names the company's own address."""
    account, kept = sign_in("pipedrive", {}, {"auth": "api_key", **token(server)}, server.url)
    assert account.remote_account == "7654321"
    assert kept["api_token"] == server.credentials.api_token

    app = {"client_id": server.credentials.client_id, "client_secret": server.credentials.client_secret}
    way = BrowserSignIn(load("pipedrive").manifest, {}, app, server.url)
    page = way.start("http://127.0.0.1:1/callback")
    consent = httpx.get(page.url)
    tokens = way.finish(page, dict(httpx.URL(consent.headers["Location"]).params), time.time())
    same, _ = sign_in("pipedrive", {}, tokens, server.url)
    assert same == account
    assert tokens["api_domain"] == "https://sandbox.pipedrive.com"
