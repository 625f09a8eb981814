"""From a vendor's answer to an error that says what happens next: a table that each connector may extend.

A vendor's own error text often repeats the values it was sent, so it never enters a message; its error *code* does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from domain.errors import (
    ConfigurationError,
    PermissionMissingError,
    RateLimitedError,
    ReauthRequiredError,
    RecordRejectedError,
    SynclineError,
    TransientError,
)


class Again(StrEnum):
    """Whether the same request may be sent again by itself."""

    NEVER = "never"
    IDEMPOTENT = "idempotent"  # only where sending it twice does no harm
    UNPROCESSED = "unprocessed"  # always: the vendor certainly did not process it
    UNPROCESSED_IF_TOLD = "unprocessed_if_told"  # always with a Retry-After header, otherwise as IDEMPOTENT


@dataclass(frozen=True, slots=True)
class Rule:
    """What one status or vendor code means. ``says`` ends the sentence "<Vendor> ..."."""

    error: type[SynclineError]
    says: str
    remedy: str = ""
    code: str | None = None
    again: Again = Again.NEVER


@dataclass(frozen=True, slots=True)
class Fault:
    """What a connector reads from an error body: the vendor's error code, field names, and when to come back.

    ``existing_id``: the record that stands in the way, where the vendor names it.
    """

    code: str
    fields: tuple[str, ...] = ()
    retry_after_s: float | None = None
    existing_id: str | None = None


FaultParser = Callable[[int, Mapping[str, str], bytes], Fault | None]

_DOWN = Rule(TransientError, "is unavailable", again=Again.IDEMPOTENT)
_REFUSED = Rule(
    ConfigurationError, "refused the request", "Check the connection's settings against the vendor.", "request_refused"
)
_RECONNECT = Rule(ReauthRequiredError, "no longer accepts the credentials", "Reconnect this connection.")

DEFAULT_RULES: Mapping[int, Rule] = MappingProxyType({
    401: _RECONNECT,
    403: Rule(
        PermissionMissingError, "does not permit this", "Give the connected user access at the vendor, then try again."
    ),
    404: Rule(ConfigurationError, "knows no such address or object", "Check the object's name.", "not_found"),
    408: _DOWN,
    409: Rule(RecordRejectedError, "reports a conflict", "Read the record again before writing it.", "conflict"),
    412: Rule(RecordRejectedError, "has a newer version", "Read the record again before writing it.", "conflict"),
    413: Rule(RecordRejectedError, "finds the request too large", "Send less at once.", "too_large"),
    422: Rule(RecordRejectedError, "rejects the record", "Correct the record.", "invalid_record"),
    425: Rule(TransientError, "asks to come back", again=Again.UNPROCESSED),
    429: Rule(RateLimitedError, "asks to slow down", again=Again.UNPROCESSED),
    503: Rule(TransientError, "is unavailable", again=Again.UNPROCESSED_IF_TOLD),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """Rules by HTTP status and, before them, by the vendor's own error code.

    ``renews``: the vendor codes by which a 401 asks for renewed credentials; None: every 401 does.
    """

    vendor: str = "The vendor"
    by_status: Mapping[int, Rule] = field(default_factory=lambda: DEFAULT_RULES)
    by_code: Mapping[str, Rule] = field(default_factory=dict)
    parse: FaultParser | None = None
    renews: frozenset[str] | None = None

    def renewing_on(self, *codes: str) -> ErrorTable:
        """The same table for a vendor whose 401 means worn-out credentials with one of ``codes`` only."""
        return replace(self, renews=frozenset(codes))

    def asks_to_renew(self, status: int, fault: Fault | None) -> bool:
        """Whether other credentials may mend an answer."""
        if status != 401:
            return False
        return self.renews is None or (fault is not None and fault.code in self.renews)

    def extended(
        self,
        by_status: Mapping[int, Rule] | None = None,
        by_code: Mapping[str, Rule] | None = None,
        parse: FaultParser | None = None,
    ) -> ErrorTable:
        """The same table with more rules; the given ones win."""
        return replace(
            self,
            by_status={**self.by_status, **(by_status or {})},
            by_code={**self.by_code, **(by_code or {})},
            parse=parse or self.parse,
        )

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault | None:
        """What the vendor's error body says, or None. A body of another shape than the vendor documents is no bug of ours."""
        if self.parse is None:
            return None
        try:
            return self.parse(status, headers, body)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return None

    def rule(self, status: int, code: str | None) -> Rule | None:
        """The rule for an answer; None when it is a success."""
        if code is not None and code in self.by_code:
            return self.by_code[code]
        if status in self.by_status:
            return self.by_status[status]
        if status >= 500:
            return _DOWN
        return _REFUSED if status >= 300 else None


def safe_code(code: str) -> str:
    """A vendor's error code, unless it is no code but prose (which might hold values)."""
    return code if re.fullmatch(r"[A-Za-z0-9_.:/-]{1,80}", code) else "unnamed error"


def safe_path(url_or_path: str) -> str:
    """The path for telemetry and messages: no origin, no query, no segment that holds an address, at most 200 characters."""
    path = re.sub(r"^[a-z]+://[^/]*", "", url_or_path, flags=re.IGNORECASE).split("?")[0].split("#")[0] or "/"
    kept = ("*" if "@" in part or "%40" in part else part for part in path.split("/"))
    return "/".join(kept)[:200]
