"""Faults on demand: what goes wrong, on which calls, how often. Each vendor says which kinds it knows, in its ``faults.py``.

``calls`` is a pattern for the journal's kinds of call (``query|query_more``; default every call), ``after`` lets that many
pass first, ``times`` (1) is how often it strikes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from sandbox.kit.wire import Reply

TRANSPORT_KINDS = frozenset({"reset", "lost_answer", "truncated", "malformed", "slow"})
"""What every vendor's faults know: see ``spoil``, and ``reset``, the connection torn down before anything is done."""


@dataclass(slots=True)
class Fault:
    """``status`` is what an ``error`` answers with, ``seconds`` how long a ``slow`` answer takes."""

    KINDS: ClassVar[frozenset[str]] = TRANSPORT_KINDS

    kind: str
    calls: str = ".*"
    times: int = 1
    after: int = 0
    status: int = 500
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise ValueError(f"there is no fault of kind {self.kind!r}; there are {', '.join(sorted(self.KINDS))}")

    def fits(self, call: str) -> bool:
        return re.fullmatch(self.calls, call) is not None


FaultT = TypeVar("FaultT", bound=Fault)


@dataclass(slots=True)
class Faults(Generic[FaultT]):
    """Those still to strike. ``kind_of_fault`` is the vendor's class of them."""

    kind_of_fault: type[FaultT]
    waiting: list[FaultT] = field(default_factory=list)

    def add(self, described: Iterable[dict[str, Any]]) -> None:
        """Raises ValueError for a kind or a setting that doesn't exist."""
        for item in described:
            try:
                self.waiting.append(self.kind_of_fault(**item))
            except TypeError as error:
                raise ValueError(f"a fault can't be read: {error}") from error

    def strike(self, call: str) -> list[FaultT]:
        """The faults that this call meets; each is counted down."""
        struck = []
        for fault in self.waiting:
            if not fault.fits(call):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.times -= 1
            struck.append(fault)
        self.waiting = [fault for fault in self.waiting if fault.times > 0]
        return struck

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.waiting]


def spoil(reply: Reply, fault: Fault) -> None:
    """What a fault of the common kinds does to an answer on its way out: the call has been carried out by then."""
    if fault.kind == "lost_answer":
        reply.effect = "reset"
    elif fault.kind == "truncated":
        reply.effect = "truncated"
    elif fault.kind == "malformed":
        reply.body = b"<html><body>Down for maintenance</body></html>"
    elif fault.kind == "slow":
        reply.delay_s = fault.seconds
