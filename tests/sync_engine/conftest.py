"""Lanes that tests of a store work on; each test module says which ``world`` they are in."""

from __future__ import annotations

import pytest

from tests.sync_engine.contract.world import ACCOUNT, CONTACT, Worker, World


@pytest.fixture
def contacts(world: World) -> Worker:
    """A lane of contacts."""
    return Worker(world, world.lane("contacts", "contact"), CONTACT)


@pytest.fixture
def others(world: World) -> Worker:
    """Contacts of another connection."""
    return Worker(world, world.lane("people", "contact"), CONTACT)


@pytest.fixture
def accounts(world: World, contacts: Worker) -> Worker:
    """Accounts of the first connection."""
    return Worker(world, world.lane("companies", "account", connection=contacts.lane.connection_id), ACCOUNT)
