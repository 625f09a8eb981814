"""Ids with versions, and records by key, against the stand-in org."""

from __future__ import annotations

import pytest

from connectors.kit.contract import SupportsFind, SupportsVersions
from connectors.salesforce import lookup
from connectors.salesforce.connector import SalesforceConnector
from domain.records import Outgoing
from sandbox.salesforce.server import SandboxServer
from tests.connectors.salesforce.conftest import Connect


def test_versions_are_every_live_record_in_id_order(
    server: SandboxServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "PAGE_SIZE", 25)
    salesforce = connect(server)
    assert isinstance(salesforce, SupportsVersions)
    pages = list(salesforce.versions("Contact"))
    ids = [i for page in pages for i in page.ids]
    live = {str(row["Id"]): row for row in server.sandbox.org.live("Contact")}
    assert ids == sorted(live)
    assert [page.last for page in pages] == [False, False, True]
    assert all(len(page.ids) == len(page.versions) for page in pages)
    assert all(version for page in pages for version in page.versions)


def test_versions_go_on_after_an_id(server: SandboxServer, connect: Connect) -> None:
    salesforce = connect(server)
    ids = [i for page in salesforce.versions("Contact") for i in page.ids]
    rest = [i for page in salesforce.versions("Contact", after=ids[9]) for i in page.ids]
    assert rest == ids[10:]


def test_find_tells_who_holds_a_key_and_leaves_out_the_rest(salesforce: SalesforceConnector) -> None:
    assert isinstance(salesforce, SupportsFind)
    made = salesforce.upsert("Broker__c", [Outgoing("k", {"Name": "B", "Broker_Id__c": "90001"})], "Broker_Id__c")
    found = salesforce.find("Broker__c", "Broker_Id__c", ["90001", "90002"])
    assert found == {"90001": made[0].vendor_id}


def test_finding_nothing_asks_nothing(salesforce: SalesforceConnector) -> None:
    assert salesforce.find("Broker__c", "Broker_Id__c", []) == {}
