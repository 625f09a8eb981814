"""Faults on demand: what goes wrong, on which calls, how often.

A fault is one JSON object, such as ``{"kind": "error", "calls": "search", "status": 502, "times": 2}``. Kinds:

=================  ==========================================================================================
error              answer ``status`` (500) instead of doing anything
limit              429 of ``policy`` (TEN_SECONDLY_ROLLING, SECONDLY, DAILY), with ``retry_after`` if given
expire             every OAuth access token ends; this call gets 401 EXPIRED_AUTHENTICATION, whatever its token
scopes             403 MISSING_SCOPES naming ``scopes``
reset              the connection is torn down before anything is done
lost_answer        the call is carried out, then the connection is torn down
truncated          half of the answer, then the connection is torn down
malformed          an answer that is not JSON
slow               the answer comes ``seconds`` later
reject             the first ``records`` (1) inputs of a batch are refused
foreign_next       ``paging.next.link`` points to ``host``
=================  ==========================================================================================

``calls``, ``after`` and ``times`` as in the kit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sandbox.kit import faults as kit

KINDS = kit.TRANSPORT_KINDS | {"error", "limit", "expire", "scopes", "reject", "foreign_next"}


@dataclass(slots=True)
class Fault(kit.Fault):
    KINDS: ClassVar[frozenset[str]] = KINDS

    policy: str = "TEN_SECONDLY_ROLLING"
    retry_after: str = ""
    records: int = 1
    scopes: list[str] = field(default_factory=list)
    host: str = "https://attacker.example"
