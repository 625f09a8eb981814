"""A stand-in portal whose time stands still, and connectors to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.hubspot.connector import HubSpotConnector
from sandbox.hubspot.server import HubSpotServer
from sandbox.kit.clock import ANCHOR, Clock
from tests.connectors.hubspot.stand_in import connection_to, unhurried

Connect = Callable[..., HubSpotConnector]


@pytest.fixture
def portal() -> Iterator[HubSpotServer]:
    """Empty but for owners and pipelines."""
    with HubSpotServer(contacts=0, clock=Clock(ANCHOR)) as running:
        yield unhurried(running)


@pytest.fixture
def connect(portal: HubSpotServer) -> Iterator[Connect]:
    made: list[HubSpotConnector] = []

    def make(secrets: dict[str, Any] | None = None, **changes: Any) -> HubSpotConnector:
        made.append(HubSpotConnector(connection_to(portal, secrets, **changes), clock=portal.sandbox.clock.now))
        return made[-1]

    yield make
    for connector in made:
        connector.close()


@pytest.fixture
def hubspot(connect: Connect) -> HubSpotConnector:
    return connect()
