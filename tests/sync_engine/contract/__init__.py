"""What every `SyncStore` keeps to, written against the protocol: subclass `StoreContract` and give it a ``world`` fixture.

The other fixtures stand in `tests.sync_engine.conftest`.
"""

from __future__ import annotations

from tests.sync_engine.contract.lanes import CompareContract, LeaseContract
from tests.sync_engine.contract.pull import (
    ConflictContract,
    DeleteContract,
    LetterContract,
    PullContract,
    StaleContract,
)
from tests.sync_engine.contract.push import NoticeContract, PushContract, WaitContract, WorkContract


class StoreContract(
    LeaseContract,
    PullContract,
    StaleContract,
    WorkContract,
    PushContract,
    WaitContract,
    NoticeContract,
    DeleteContract,
    ConflictContract,
    LetterContract,
    CompareContract,
):
    """All of it."""
