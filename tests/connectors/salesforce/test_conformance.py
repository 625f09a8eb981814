"""Salesforce against the suite that every connector inherits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from domain.records import Outgoing
from sandbox.salesforce.server import SandboxServer
from tests.connectors.conformance import ConnectorConformance, Sample, Writing
from tests.connectors.salesforce.stand_in import connection_to


class TestSalesforce(ConnectorConformance):
    vendor = "salesforce"
    object_name, record_count = "Contact", 4200
    outside = frozenset(
        {"BusinessHours", "Individual", "Organization", "Profile", "UserRole", "ContentWorkspace", "CurrencyType"}
    )

    @pytest.fixture
    def connection(self, shared_server: SandboxServer) -> Connection:
        return connection_to(shared_server)

    @pytest.fixture
    def writing(self) -> Writing:
        records = [Outgoing(f"broker-{n}", {"Name": f"Broker {n}", "Broker_Id__c": str(90_000 + n)}) for n in range(3)]
        return Writing(
            "Broker__c", records, "Broker_Id__c", Outgoing("bad", {"Name": "B", "Email__c": "not an address"})
        )

    @pytest.fixture
    def sample(self, shared_server: SandboxServer) -> Sample:
        version: Any = next(iter(shared_server.sandbox.org.live("ContentVersion")))
        return Sample("ContentVersion", str(version["Id"]), int(version["ContentSize"]))

    def spoiled(self, connection: Connection) -> Connection:
        tokens = dict(connection.tokens.load()) | {"password": "not-the-password"}
        return replace(connection, id=f"{connection.id}-spoiled", tokens=MemoryTokens(tokens))
