"""HubSpot against the suite that every connector inherits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from domain.records import Outgoing
from tests.connectors.conformance import ConnectorConformance, Sample, Writing
from tests.connectors.hubspot.conftest import Unlimited, connection_to
from tests.connectors.hubspot.portal_double import PortalDouble
from tests.connectors.kit.stub_vendor import Answer, Arrived, as_json

CONTENT = b"%PDF-1.7 offer" * 200_000


class TestHubSpot(ConnectorConformance):
    vendor = "hubspot"
    object_name, record_count = "contacts", 250
    remote_account = "4711"

    @pytest.fixture
    def connection(self, portal: PortalDouble) -> Connection:
        for number in range(1, 251):
            portal.add(number)
        portal.intercept = lambda request: files(portal, request)
        return connection_to(portal, limiter=Unlimited())

    @pytest.fixture
    def writing(self) -> Writing:
        records = [Outgoing(f"key-{n}", {"lastname": f"Broker {n}"}) for n in range(3)]
        return Writing("contacts", records, "syncline_id", Outgoing("bad", {"email": "not an address"}))

    @pytest.fixture
    def sample(self) -> Sample:
        return Sample("files", "77", len(CONTENT))

    def spoiled(self, connection: Connection) -> Connection:
        tokens = MemoryTokens({"access_token": "pat-na1-wrong"})
        return replace(connection, id=f"{connection.id}-spoiled", tokens=tokens)


STORED: dict[str, bytes] = {"77": CONTENT}


def files(portal: PortalDouble, request: Arrived) -> Answer | None:
    """The file library: signed addresses on the account's own origin, uploads as multipart."""
    if request.path == "/files/v3/files":
        head, _, rest = request.body.partition(b'name="file"')
        content = rest.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
        STORED["78"] = content
        assert b"PRIVATE" in head
        return as_json({"id": "78"}, 201)
    parts = request.path.split("/")
    if parts[-1] == "signed-url":
        return as_json({"url": f"{portal.vendor.origin}/signed/{parts[-2]}"})
    if parts[1] == "signed":
        assert "Authorization" not in request.headers
        return Answer(200, STORED[parts[2]])
    return None
