"""HubSpot against the suite that every connector inherits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors.hubspot.connector import HubSpotConnector
from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from domain.records import Outgoing
from sandbox.hubspot.server import HubSpotServer
from tests.connectors.conformance import ConnectorConformance, Sample, Writing
from tests.connectors.hubspot.stand_in import connection_to, unhurried


@pytest.fixture(scope="module")
def shared() -> Iterator[HubSpotServer]:
    """A portal whose contacts no test changes."""
    with HubSpotServer(contacts=250) as server:
        yield unhurried(server)


class TestHubSpot(ConnectorConformance):
    vendor = "hubspot"
    object_name, record_count = "contacts", 250
    remote_account = "62515"

    @pytest.fixture
    def connection(self, shared: HubSpotServer) -> Connection:
        return connection_to(shared)

    @pytest.fixture
    def writing(self, connection: Connection) -> Writing:
        connector = HubSpotConnector(replace(connection, id=f"{connection.id}-key"))
        connector.ensure_key_property("companies")
        connector.close()
        records = [Outgoing(f"key-{n}", {"name": f"Broker {n}"}) for n in range(3)]
        bad = Outgoing("bad", {"name": "Broker", "numberofemployees": "many"})
        return Writing("companies", records, "syncline_id", bad)

    @pytest.fixture
    def sample(self, shared: HubSpotServer) -> Sample:
        stored = next(iter(shared.portal.files.stored.values()))
        return Sample("files", stored.id, len(stored.content))

    def spoiled(self, connection: Connection) -> Connection:
        tokens = MemoryTokens({"access_token": "pat-na1-wrong"})
        return replace(connection, id=f"{connection.id}-spoiled", tokens=tokens)
