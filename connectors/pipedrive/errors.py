"""What Pipedrive's refusals mean.

https://pipedrive.readme.io/docs/core-api-concepts-http-status-codes
https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from connectors.kit.faults import Again, ErrorTable, Fault, Rule
from domain.errors import (
    ConfigurationError,
    PermissionMissingError,
    RateLimitedError,
    ReauthRequiredError,
    RecordRejectedError,
)

ABUSE = "abuse"
ABUSE_WAIT_S = 1_800.0
"""Pipedrive does not say how long it locks out who went on after 429s; half an hour without a call is not hammering."""
DAILY = "daily_budget_used"
DAILY_WAIT_S = 3_600.0

_REJECTED = Rule(RecordRejectedError, "rejects the record", "Correct the record.", "record_rejected")

TABLE = ErrorTable(vendor="Pipedrive").extended(
    by_status={
        400: _REJECTED,
        422: _REJECTED,
        401: Rule(ReauthRequiredError, "no longer accepts the credentials", "Connect it again, with a current token."),
        402: Rule(
            ConfigurationError, "has suspended the company's account", "Renew its subscription.", "request_refused"
        ),
        403: Rule(
            PermissionMissingError, "does not permit this", "Give the connected user access in Pipedrive, then try again."
        ),
        404: Rule(RecordRejectedError, "knows no such record", "It may have been deleted.", "record_rejected"),
        410: Rule(RecordRejectedError, "has deleted the record", "Restore it in Pipedrive.", "record_rejected"),
    },
    by_code={
        ABUSE: Rule(
            RateLimitedError,
            "has locked this connection out for calling too much",
            "Nothing is sent for half an hour; give the connection a smaller share if it happens again.",
            again=Again.NEVER,
        ),
        DAILY: Rule(
            RateLimitedError, "has no tokens left in the company's daily budget", "Resume after midnight, server time."
        ),
    },
)  # fmt: skip


def parse(status: int, headers: Mapping[str, str], body: bytes) -> Fault | None:
    """The refusal in ``body``.

    A 403 that is a web page comes from the firewall that stands before the API: it means abuse, and no missing right.
    """
    if status == 403 and _is_page(headers, body):
        return Fault(ABUSE, retry_after_s=ABUSE_WAIT_S)
    if status == 429:
        return _too_many(headers)
    found = orjson.loads(body)
    code = found.get("code") or found.get("errorCode")
    return Fault(str(code)) if code else None


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    kind = headers.get("Content-Type", headers.get("content-type", "")).lower()
    return "html" in kind or body.lstrip()[:1] == b"<"


def _too_many(headers: Mapping[str, str]) -> Fault:
    """The burst is over within its two seconds; a used-up day is not, and tells by the daily header."""
    if headers.get("x-daily-requests-left") == "0":
        return Fault(DAILY, retry_after_s=DAILY_WAIT_S)
    told = headers.get("retry-after") or headers.get("x-ratelimit-reset")
    return Fault("rate_limited", retry_after_s=_seconds(told))


def _seconds(text: str | None) -> float:
    try:
        return max(float(text or ""), 0.0)
    except ValueError:
        return 2.0


ERRORS = TABLE.extended(parse=parse)
