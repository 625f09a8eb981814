"""What a long operation says while it works."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one object is in one phase. ``total`` is None while nobody knows; ``rate`` in records a second."""

    object: str
    phase: str
    done: int = 0
    total: int | None = None
    rate: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    finished: bool = False

    @property
    def seconds_left(self) -> float | None:
        if not self.rate or self.total is None:
            return None
        return max(0.0, (self.total - self.done) / self.rate)


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """For callers that don't watch."""


class Meter:
    """Counts one object's records in one phase and reports them with their rate."""

    def __init__(self, on_progress: OnProgress, object_name: str, phase: str, total: int | None, done: int = 0) -> None:
        self._on_progress, self._object, self._phase, self._total = on_progress, object_name, phase, total
        self._done, self._before = done, done
        self._started = time.monotonic()
        self._counts: dict[str, int] = {}
        self._report()

    def add(self, rows: int, **counts: int) -> None:
        self._done += rows
        for name, n in counts.items():
            self._counts[name] = self._counts.get(name, 0) + n
        self._report()

    def finish(self) -> None:
        self._report(finished=True)

    def _report(self, *, finished: bool = False) -> None:
        elapsed = time.monotonic() - self._started
        rate = (self._done - self._before) / elapsed if elapsed > 0.2 else None
        self._on_progress(
            Progress(self._object, self._phase, self._done, self._total, rate, dict(self._counts), finished)
        )
