"""A circuit breaker: after several failures in a row nobody calls for a while, then one call tries.

pybreaker, the usual library, holds its lock while the call runs, so that calls of one account would queue behind each
other; here the lock covers only the decision.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from domain.errors import TransientError


class State(StrEnum):
    """``half_open``: the pause is over, and the next call, or one under way, tells whether the vendor is back."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    opened_at: float | None = None
    probing_since: float | None = None


@dataclass(slots=True)
class Breaker:
    """Circuits by key (an account at a host). Opens after ``failures_max`` failures in a row, for ``pause_s`` seconds.

    Then one probe is let through: its success closes the circuit, its failure opens it again. A probe that never reports
    (its thread died) is forgotten after another ``pause_s``.
    """

    failures_max: int = 8
    pause_s: float = 30.0
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _circuits: dict[str, _Circuit] = field(default_factory=dict)

    def enter(self, key: str) -> None:
        """Ask before a call. Raises TransientError (code ``circuit_open``) while the circuit is open."""
        with self._lock:
            circuit = self._circuits.get(key)
            if circuit is None or circuit.opened_at is None:
                return
            now = self.clock()
            wait = self._closed_for(circuit, now)
            if wait <= 0:
                circuit.probing_since = now
                return
        raise TransientError(
            f"The vendor failed {self.failures_max} times in a row; calls pause for {wait:.0f} more seconds.",
            code="circuit_open",
            retry_after_s=wait,
        )

    def report(self, key: str, *, ok: bool) -> None:
        """Tell how a call ended. Not reached, or answered 5xx, is a failure; any other answer is none."""
        with self._lock:
            if ok:
                self._circuits[key] = _Circuit()
                return
            circuit = self._circuits.setdefault(key, _Circuit())
            circuit.failures += 1
            if circuit.probing_since is not None or circuit.failures >= self.failures_max:
                circuit.opened_at, circuit.probing_since = self.clock(), None

    def states(self) -> dict[str, State]:
        """How the circuit of every key stands that was ever reported of."""
        with self._lock:
            now = self.clock()
            return {key: self._state(circuit, now) for key, circuit in self._circuits.items()}

    def _state(self, circuit: _Circuit, now: float) -> State:
        if circuit.opened_at is None:
            return State.CLOSED
        waits = circuit.probing_since is None and self._closed_for(circuit, now) > 0
        return State.OPEN if waits else State.HALF_OPEN

    def _closed_for(self, circuit: _Circuit, now: float) -> float:
        since = circuit.opened_at or 0.0
        if circuit.probing_since is not None:
            since = max(since, circuit.probing_since)
        return since + self.pause_s - now
