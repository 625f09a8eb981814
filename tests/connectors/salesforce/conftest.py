"""A stand-in org and connectors to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.salesforce.connector import SalesforceConnector
from sandbox.salesforce.server import SandboxServer
from tests.connectors.salesforce.stand_in import FAST, connection_to

Connect = Callable[..., SalesforceConnector]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[SandboxServer]:
    """An org that tests only read."""
    with SandboxServer(contacts=4200) as server:
        yield server


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """An org of the test's own, to change."""
    with SandboxServer(contacts=60) as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes connectors and closes them."""
    made: list[SalesforceConnector] = []

    def make(server: SandboxServer, secrets: dict[str, Any] | None = None, **options: Any) -> SalesforceConnector:
        names = ("settings", "budget", "on_call", "limiter")
        changes = {name: options.pop(name) for name in names if name in options}
        made.append(SalesforceConnector(connection_to(server, secrets, **changes), polling=FAST, **options))
        return made[-1]

    yield make
    for connector in made:
        connector.close()


@pytest.fixture
def salesforce(server: SandboxServer, connect: Connect) -> SalesforceConnector:
    return connect(server)
