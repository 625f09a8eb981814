"""A stand-in company and connectors to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.pipedrive.connector import PipedriveConnector
from sandbox.pipedrive.server import PipedriveServer
from tests.connectors.pipedrive.stand_in import connection_to

Connect = Callable[..., PipedriveConnector]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[PipedriveServer]:
    """A company that tests only read."""
    with PipedriveServer(contacts=1200) as server:
        yield server


@pytest.fixture
def server() -> Iterator[PipedriveServer]:
    """A company of the test's own, to change."""
    with PipedriveServer(contacts=30) as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes connectors and closes them."""
    made: list[PipedriveConnector] = []

    def make(server: PipedriveServer, secrets: dict[str, Any] | None = None, **changes: Any) -> PipedriveConnector:
        made.append(PipedriveConnector(connection_to(server, secrets, **changes)))
        return made[-1]

    yield make
    for connector in made:
        connector.close()


@pytest.fixture
def pipedrive(server: PipedriveServer, connect: Connect) -> PipedriveConnector:
    return connect(server)
