"""A running portal with the vendor's SDK pointed at it, and the same portal without a socket."""

from __future__ import annotations

from collections.abc import Iterator

import hubspot
import pytest

from sandbox.hubspot.server import HubSpotServer
from tests.sandbox.hubspot.helpers import InProcess


@pytest.fixture
def empty() -> InProcess:
    return InProcess(contacts=0)


@pytest.fixture
def small() -> InProcess:
    return InProcess(contacts=200)


@pytest.fixture(scope="module")
def server() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=150, burst=10_000, searches=10_000, lag_s=(0, 0)) as running:
        yield running


@pytest.fixture
def sdk(server: HubSpotServer) -> hubspot.HubSpot:
    return hubspot.HubSpot(access_token=server.token, host=server.url)
