"""Faults on demand: what goes wrong, on which calls, how often.

A fault is one JSON object, such as ``{"kind": "error", "calls": "query", "status": 503, "times": 2}``. Kinds:

=================  ==========================================================================================
error              answer ``status`` (500) instead of doing anything
limit              403 REQUEST_LIMIT_EXCEEDED, without Retry-After
concurrent         the same, for too many long-running calls at once
expire             every session ends; this call gets 401 INVALID_SESSION_ID
reset              the connection is torn down before anything is done
lost_answer        the call is carried out, then the connection is torn down
truncated          half of the answer, then the connection is torn down
malformed          an answer that is not JSON
slow               the answer comes ``seconds`` later
lock               the next ``records`` (1) record writes meet UNABLE_TO_LOCK_ROW
foreign_next       ``nextRecordsUrl`` points to ``host``
wrong_instance     signing in returns an ``instance_url`` on ``host``
cursor_lost        every open query locator is forgotten first
=================  ==========================================================================================

``calls`` is a pattern for the journal's kinds of call (``query|query_more``; default every call), ``after`` lets that many
pass first, ``times`` (1) is how often it strikes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = frozenset(
    {
        "error", "limit", "concurrent", "expire", "reset", "lost_answer", "truncated", "malformed", "slow", "lock",
        "foreign_next", "wrong_instance", "cursor_lost",
    }
)  # fmt: skip
SIGN_IN = frozenset({"login", "token"})


@dataclass(slots=True)
class Fault:
    kind: str
    calls: str = ".*"
    times: int = 1
    after: int = 0
    status: int = 500
    seconds: float = 0.0
    records: int = 1
    host: str = "https://attacker.example"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault of kind {self.kind!r}; there are {', '.join(sorted(KINDS))}")

    def fits(self, call: str) -> bool:
        if self.kind == "wrong_instance" and call not in SIGN_IN:
            return False
        return re.fullmatch(self.calls, call) is not None


@dataclass(slots=True)
class Faults:
    """Those still to strike."""

    waiting: list[Fault] = field(default_factory=list)

    def add(self, described: Iterable[dict[str, Any]]) -> None:
        """Raises ValueError for a kind or a setting that doesn't exist."""
        for item in described:
            try:
                self.waiting.append(Fault(**item))
            except TypeError as error:
                raise ValueError(f"a fault can't be read: {error}") from error

    def strike(self, call: str) -> list[Fault]:
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
