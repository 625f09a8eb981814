"""Pipedrive against the suite that every connector inherits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from connectors.pipedrive.connector import PipedriveConnector
from domain.records import Outgoing
from sandbox.pipedrive.server import PipedriveServer
from tests.connectors.conformance import ConnectorConformance, Sample, Writing
from tests.connectors.pipedrive.stand_in import connection_to


class TestPipedrive(ConnectorConformance):
    vendor = "pipedrive"
    object_name, record_count = "persons", 1200
    remote_account = "7654321"

    @pytest.fixture
    def connection(self, shared_server: PipedriveServer) -> Connection:
        return connection_to(shared_server)

    @pytest.fixture
    def writing(self, connection: Connection) -> Writing:
        connector = PipedriveConnector(replace(connection, id=f"{connection.id}-key"))
        key = connector.ensure_key_property("organizations")
        connector.close()
        records = [Outgoing(f"hub-{n}", {"name": f"Firm {n}"}) for n in range(3)]
        return Writing("organizations", records, key, Outgoing("bad", {"name": "Firm", "annual_revenue": True}))

    @pytest.fixture
    def sample(self, shared_server: PipedriveServer) -> Sample:
        row = shared_server.sandbox.store.live("files")[0]
        return Sample("files", str(row["id"]), int(row["file_size"]))

    def spoiled(self, connection: Connection) -> Connection:
        return replace(connection, id=f"{connection.id}-spoiled", tokens=MemoryTokens({"api_token": "not-the-token"}))
