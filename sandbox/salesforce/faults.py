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

``calls``, ``after`` and ``times`` as in the kit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.kit import faults as kit

KINDS = kit.TRANSPORT_KINDS | {
    "error", "limit", "concurrent", "expire", "lock", "foreign_next", "wrong_instance", "cursor_lost",
}  # fmt: skip
SIGN_IN = frozenset({"login", "token"})


@dataclass(slots=True)
class Fault(kit.Fault):
    KINDS: ClassVar[frozenset[str]] = KINDS

    records: int = 1
    host: str = "https://attacker.example"

    def fits(self, call: str) -> bool:
        if self.kind == "wrong_instance" and call not in SIGN_IN:
            return False
        return kit.Fault.fits(self, call)
