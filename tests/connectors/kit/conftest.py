from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from connectors.kit.breaker import Breaker
from connectors.kit.contract import CallRecord
from connectors.kit.gate import Gate, Shared
from connectors.kit.hosts import HostPolicy
from connectors.kit.limits import ProcessLimiter
from connectors.kit.retry import RetryPolicy
from tests.connectors.kit.stub_vendor import StubVendor


@pytest.fixture
def vendor() -> Iterator[StubVendor]:
    stub = StubVendor()
    yield stub
    stub.stop()


class Waits(list[float]):
    """Instead of sleeping: remembers how long, and moves the clock that limits are counted by."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def calls() -> list[CallRecord]:
    return []


@pytest.fixture
def gate(vendor: StubVendor, waits: Waits, calls: list[CallRecord]) -> Gate:
    """Policies of a connection to ``vendor``, which stands in for \\*.example.com."""
    return Gate(
        hosts=HostPolicy(("*.example.com",), vendor.origin),
        account="example:1",
        retry=RetryPolicy(attempts=4),
        shared=Shared(ProcessLimiter(waits.clock), Breaker(clock=waits.clock)),
        on_call=calls.append,
        sleep=waits.sleep,
        rng=random.Random(7),
    )
