"""The store in memory keeps the contract, so that what the simulation finds is true of the real one."""

from __future__ import annotations

import pytest

from tests.sync_engine.contract import StoreContract
from tests.sync_engine.worlds import MemoryWorld


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestMemoryStore(StoreContract):
    """Every test of the contract."""
