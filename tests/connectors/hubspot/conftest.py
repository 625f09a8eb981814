"""A small account and connectors to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from connectors.hubspot.connector import HubSpotConnector
from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from tests.connectors.hubspot.portal_double import TOKEN, PortalDouble

Connect = Callable[..., HubSpotConnector]
_numbers = count()


def connection_to(portal: PortalDouble, secrets: dict[str, Any] | None = None, **changes: Any) -> Connection:
    """Each its own id: limits, quota and circuit are the account's, and tests must not share them."""
    tokens = MemoryTokens(secrets or {"access_token": TOKEN})
    return Connection(f"test-{next(_numbers)}", "hubspot", {}, tokens, base_url=portal.vendor.origin, **changes)


class Unlimited:
    """No waiting in tests that are not about limits."""

    def reserve(self, *_args: Any) -> float:
        return 0.0

    def hold(self, *_args: Any) -> None:
        """Nobody is held."""


@pytest.fixture
def portal() -> Iterator[PortalDouble]:
    double = PortalDouble()
    yield double
    double.vendor.stop()


@pytest.fixture
def connect(portal: PortalDouble) -> Iterator[Connect]:
    made: list[HubSpotConnector] = []

    def make(secrets: dict[str, Any] | None = None, **changes: Any) -> HubSpotConnector:
        changes.setdefault("limiter", Unlimited())
        connection = connection_to(portal, secrets, **changes)
        made.append(HubSpotConnector(connection, clock=lambda: datetime.fromtimestamp(portal.now / 1000, UTC)))
        return made[-1]

    yield make
    for connector in made:
        connector.close()


@pytest.fixture
def hubspot(connect: Connect) -> HubSpotConnector:
    return connect()
