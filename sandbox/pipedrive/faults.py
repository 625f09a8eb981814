"""Faults that this vendor knows besides the common ones.

==============  =================================================================
error           answer ``status`` (500) instead of doing anything
rate_limited    429, as for too large a burst
abuse           403 with the firewall's web page
expire          every access token ends; this call gets a 401
cursor_lost     page tokens given so far are no longer taken
foreign_domain  signing in names an ``api_domain`` that is none of Pipedrive's
==============  =================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.kit import faults


@dataclass(slots=True)
class Fault(faults.Fault):
    KINDS: ClassVar[frozenset[str]] = faults.TRANSPORT_KINDS | {
        "error", "rate_limited", "abuse", "expire", "cursor_lost", "foreign_domain",
    }  # fmt: skip
