"""A running org, the vendor's client library pointed at it, and the same org without a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from simple_salesforce import Salesforce

from sandbox.salesforce.server import SandboxServer
from tests.sandbox.salesforce.helpers import InProcess, LocalSession


@pytest.fixture
def empty() -> InProcess:
    """An org with users and set-up only."""
    return InProcess(contacts=0)


@pytest.fixture
def small() -> InProcess:
    return InProcess(contacts=300)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(contacts=2500) as running:
        yield running


@pytest.fixture
def connect(server: SandboxServer) -> Callable[[], Salesforce]:
    def sign_in() -> Salesforce:
        known = server.credentials
        return Salesforce(
            username=known.username,
            password=known.password,
            security_token=known.security_token,
            session=LocalSession(server.url),
        )

    return sign_in


@pytest.fixture
def sf(connect: Callable[[], Salesforce]) -> Salesforce:
    return connect()
