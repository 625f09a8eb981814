"""Rate limits, quota, circuit breaker: with a clock of their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.breaker import Breaker, State
from connectors.kit.contract import AuthKind, AuthMethod, Connection, Manifest, RateLimit, RateLimiter
from connectors.kit.gate import PROCESS, Attempt, Call, Gate, Lost
from connectors.kit.limits import ProcessLimiter, QuotaLedger
from connectors.kit.tokens import MemoryTokens
from domain.errors import RateLimitedError, TransientError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# ------------------------------------------------------------ rate limits


@given(
    calls=st.integers(1, 6),
    per_s=st.floats(0.5, 30),
    gaps=st.lists(st.floats(0, 10), min_size=1, max_size=60),
)
def test_no_window_ever_holds_more_calls_than_allowed(calls: int, per_s: float, gaps: list[float]) -> None:
    clock = Clock()
    limiter = ProcessLimiter(clock)
    starts = []
    for gap in gaps:
        clock.now += gap
        starts.append(clock.now + limiter.reserve("a", "default", [RateLimit(calls, per_s)], 1e9))
    for first, later in zip(starts, starts[calls:], strict=False):
        assert later - first >= per_s - 1e-9


@given(calls=st.integers(1, 6), per_s=st.floats(0.5, 30))
def test_waits_no_longer_than_needed(calls: int, per_s: float) -> None:
    limiter = ProcessLimiter(Clock())
    waits = [limiter.reserve("a", "s", [RateLimit(calls, per_s, "s")], 1e9) for _ in range(calls * 3)]
    assert waits == pytest.approx([per_s * (n // calls) for n in range(calls * 3)])


def test_burst_and_minute_limits_hold_together() -> None:
    limiter = ProcessLimiter(Clock())
    limits = [RateLimit(2, 1.0), RateLimit(3, 60.0)]
    assert [limiter.reserve("a", "default", limits, 1e9) for _ in range(5)] == [0, 0, 1, 60, 60]


def test_accounts_and_scopes_do_not_wait_for_each_other() -> None:
    limiter = ProcessLimiter(Clock())
    search, other = RateLimit(1, 10.0, "search"), RateLimit(1, 10.0, "bulk")
    assert limiter.reserve("a", "search", [search], 0) == 0
    assert limiter.reserve("b", "search", [search], 0) == 0
    assert limiter.reserve("a", "bulk", [other], 0) == 0


def test_a_wait_that_is_too_long_books_nothing() -> None:
    clock = Clock()
    limiter = ProcessLimiter(clock)
    limit = [RateLimit(1, 10.0)]
    limiter.reserve("a", "default", limit, 0)
    for _ in range(3):
        with pytest.raises(RateLimitedError) as caught:
            limiter.reserve("a", "default", limit, 5)
        assert caught.value.retry_after_s == 10
    clock.now = 10
    assert limiter.reserve("a", "default", limit, 0) == 0


def test_a_vendor_that_asks_to_wait_is_left_alone_by_all() -> None:
    clock = Clock()
    limiter = ProcessLimiter(clock)
    limiter.hold("a", "default", 30)
    limiter.hold("a", "default", 5)
    assert limiter.reserve("a", "default", [], 60) == 30
    assert limiter.reserve("a", "search", [], 60) == 0
    clock.now = 31
    assert limiter.reserve("a", "default", [], 60) == 0


def test_threads_share_the_limit() -> None:
    limiter = ProcessLimiter(Clock())
    limit = [RateLimit(10, 1.0)]
    with ThreadPoolExecutor(20) as pool:
        waits = sorted(pool.map(lambda _: limiter.reserve("a", "default", limit, 1e9), range(100)))
    assert waits == [n // 10 for n in range(100)]


def test_a_gate_waits_for_its_scope_and_a_limiter_may_be_plugged_in() -> None:
    slept: list[float] = []
    limiter: RateLimiter = ProcessLimiter(Clock())
    manifest = Manifest(
        "acme",
        "Acme",
        (AuthMethod(AuthKind.NONE),),
        rate_limits=(RateLimit(1, 3.0, "search"),),
        hosts=("a.example.com",),
    )
    gates = [
        Gate.of(manifest, Connection("1", "acme", {}, MemoryTokens(), limiter=limiter), sleep=slept.append)
        for _ in "ab"
    ]
    search, other = Call("GET", "https://a.example.com/x", "search"), Call("GET", "https://a.example.com/x")
    for gate in gates:
        gate.run(other, lambda: Attempt(value=1, status=200))
        gate.run(search, lambda: Attempt(value=1, status=200))
    assert slept == [3.0]
    assert gates[0].shared.breaker is PROCESS.breaker


# ------------------------------------------------------------ quota


def test_a_share_of_the_daily_quota() -> None:
    clock = Clock()
    ledger = QuotaLedger(clock, probe_s=600)
    ledger.require("a", 0.5)
    ledger.note("a", 49, 100)
    ledger.require("a", 0.5)
    ledger.note("a", 50, 100)
    with pytest.raises(RateLimitedError, match="50 of 100 calls") as caught:
        ledger.require("a", 0.5)
    assert caught.value.retry_after_s == 600
    ledger.require("b", 0.5)
    clock.now = 600
    ledger.require("a", 0.5)
    with pytest.raises(RateLimitedError):
        ledger.require("a", 0.5)


# ------------------------------------------------------------ circuit breaker


def test_the_circuit_opens_probes_and_closes() -> None:
    clock = Clock()
    breaker = Breaker(failures_max=3, pause_s=10, clock=clock)
    for _ in range(3):
        breaker.enter("a")
        breaker.report("a", ok=False)
    with pytest.raises(TransientError) as caught:
        breaker.enter("a")
    assert (caught.value.code, caught.value.retry_after_s) == ("circuit_open", 10)
    breaker.enter("b")
    clock.now = 10
    breaker.enter("a")
    with pytest.raises(TransientError):
        breaker.enter("a")  # one probe at a time
    breaker.report("a", ok=False)
    clock.now = 19
    with pytest.raises(TransientError):
        breaker.enter("a")
    clock.now = 20
    breaker.enter("a")
    breaker.report("a", ok=True)
    breaker.enter("a")
    breaker.enter("a")


def test_the_state_of_a_circuit_is_told_at_every_moment() -> None:
    clock = Clock()
    breaker = Breaker(failures_max=2, pause_s=10, clock=clock)
    assert breaker.states() == {}
    breaker.report("a", ok=False)
    assert breaker.states() == {"a": State.CLOSED}
    breaker.report("a", ok=False)
    assert breaker.states() == {"a": State.OPEN}
    clock.now = 10
    assert breaker.states() == {"a": State.HALF_OPEN}
    breaker.enter("a")
    assert breaker.states() == {"a": State.HALF_OPEN}
    breaker.report("a", ok=True)
    assert breaker.states() == {"a": State.CLOSED}


def test_failures_count_in_a_row_only() -> None:
    breaker = Breaker(failures_max=2, clock=Clock())
    for ok in (False, True) * 5:
        breaker.enter("a")
        breaker.report("a", ok=ok)


def test_a_probe_that_never_reports_does_not_close_the_door_for_ever() -> None:
    clock = Clock()
    breaker = Breaker(failures_max=1, pause_s=10, clock=clock)
    breaker.report("a", ok=False)
    clock.now = 10
    breaker.enter("a")
    clock.now = 20
    breaker.enter("a")


def test_calls_of_one_account_do_not_wait_for_each_other() -> None:
    """What pybreaker's lock would do: the second call starts while the first still runs."""
    gate = Gate.of(
        Manifest("acme", "Acme", (AuthMethod(AuthKind.NONE),), hosts=("a.example.com",)),
        Connection("overlap", "acme", {}, MemoryTokens()),
    )
    both = threading.Barrier(2, timeout=10)

    def send() -> Attempt[int]:
        both.wait()
        return Attempt(value=1, status=200)

    call = Call("GET", "https://a.example.com/x")
    with ThreadPoolExecutor(2) as pool:
        assert [f.result().value for f in [pool.submit(gate.run, call, send) for _ in range(2)]] == [1, 1]


# ------------------------------------------------------------ retries


def test_attempts_are_numbered_and_waits_grow_with_jitter() -> None:
    slept: list[float] = []
    gate = Gate.of(
        Manifest("acme", "Acme", (AuthMethod(AuthKind.NONE),), hosts=("a.example.com",)),
        Connection("numbered", "acme", {}, MemoryTokens()),
        sleep=slept.append,
    )
    call = Call("POST", "https://a.example.com/x")
    last = gate.run(call, lambda: Attempt[int](lost=Lost.NOT_SENT, why="no connection could be made"))
    assert last.number == gate.retry.attempts == 5
    assert all(0 <= wait <= gate.retry.base_s * 2**n for n, wait in enumerate(slept))
    assert all(a != b for a, b in pairwise(slept))
