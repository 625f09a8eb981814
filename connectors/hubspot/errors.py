"""HubSpot's error categories in the hub's terms: what happens next.

The vendor's own message is never passed on: it quotes values. Category, property names and the id of an existing record
are enough to say what to do.

https://developers.hubspot.com/docs/reference/api/other-resources/error-handling
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from connectors.kit.faults import Again, ErrorTable, Fault, Rule, safe_code
from domain.errors import (
    ConfigurationError,
    PermissionMissingError,
    RateLimitedError,
    ReauthRequiredError,
    RecordRejectedError,
    SynclineError,
    TransientError,
)

EXPIRED: Final = "EXPIRED_AUTHENTICATION"
"""The only 401 that a refresh mends."""
ALREADY_EXISTS: Final = "already_exists"
GONE: Final = frozenset({"OBJECT_NOT_FOUND", "NOT_FOUND"})
INTERVAL_HEADER: Final = "X-HubSpot-RateLimit-Interval-Milliseconds"

_SLOW = "asks to slow down"
_ASK = "Ask the HubSpot administrator to grant the scope to this app, or leave the object out of the plan."
_VALUE = "Correct the value and replay the record."

_CALL_RULES: Mapping[str, Rule] = {
    EXPIRED: Rule(ReauthRequiredError, "says that the access token has expired", "Reconnect HubSpot."),
    "INVALID_AUTHENTICATION": Rule(ReauthRequiredError, "does not accept the access token", "Reconnect HubSpot."),
    "MISSING_SCOPES": Rule(PermissionMissingError, "misses a scope of this app", _ASK),
    "BANNED": Rule(ConfigurationError, "has blocked this app", "Ask HubSpot's support why."),
    "DAILY": Rule(
        RateLimitedError,
        "says that the account's calls of the day are used up",
        "The count starts again at midnight in the account's time zone.",
    ),
    "TEN_SECONDLY_ROLLING": Rule(RateLimitedError, _SLOW, again=Again.UNPROCESSED),
    "SECONDLY": Rule(RateLimitedError, _SLOW, again=Again.UNPROCESSED),
}
_RECORD_SAYS: Mapping[str, tuple[str, str, str]] = {
    "CONFLICT": ("already has this record", "Map the two to one another or merge them.", ALREADY_EXISTS),
    "CONTACT_EXISTS": ("already has a contact with this e-mail address", "Merge the two.", ALREADY_EXISTS),
    "OBJECT_ALREADY_EXISTS": ("already has this record", "Merge the two.", ALREADY_EXISTS),
    "OBJECT_NOT_FOUND": ("does not know the record", "It may have been deleted or merged in HubSpot.", "not_found"),
    "VALIDATION_ERROR": ("finds a value invalid", _VALUE, "invalid_record"),
    "INVALID_EMAIL": ("finds an e-mail address invalid", _VALUE, "invalid_record"),
    "PROPERTY_DOESNT_EXIST": (
        "does not know a property",
        "Create it in HubSpot or leave it out of the mapping.",
        "unknown_field",
    ),
}
_NAMES = re.compile(r'\\?"(?:name|propertyName)\\?"\s*:\s*\\?"([a-z][a-z0-9_]{0,99})\\?"')
_EXISTING = re.compile(r"[Ee]xisting (?:object )?ID:?\s*(\d{1,20})")


def error_table() -> ErrorTable:
    """The kit's table with HubSpot's categories, for errors of whole calls."""
    by_status = {
        423: Rule(TransientError, "has locked the record for a moment", again=Again.UNPROCESSED),
        477: Rule(TransientError, "is moving the account to another data centre", again=Again.UNPROCESSED_IF_TOLD),
    }
    by_status |= {status: Rule(TransientError, "is unavailable", again=Again.IDEMPOTENT) for status in range(521, 527)}
    table = ErrorTable(vendor="HubSpot").extended(by_status=by_status, by_code=_CALL_RULES, parse=parse_fault)
    return table.renewing_on(EXPIRED)


def parse_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault | None:
    """The kit's body parser. Of a 429 the code is the policy that was hit."""
    payload = orjson.loads(body)
    if not isinstance(payload, Mapping):
        return None
    if status == 429:
        policy = str(payload.get("policyName") or "")
        return Fault(policy or "RATE_LIMIT", (), None if policy == "DAILY" else _pause_s(headers))
    return Fault(_category(payload), _fields(payload))


def existing_id(payload: Any) -> str | None:
    """The id of the record that stands in the way, of a conflict's error."""
    context = payload.get("context") if isinstance(payload, Mapping) else None
    ids = context.get("existingObjectId") or context.get("existing_id") if isinstance(context, Mapping) else None
    if isinstance(ids, list) and ids:
        return str(ids[0])
    found = _EXISTING.search(str(payload.get("message") or "")) if isinstance(payload, Mapping) else None
    return found[1] if found else None


def record_error(payload: Mapping[str, Any], object_name: str) -> SynclineError:
    """The error of one record, of an entry of a batch reply's ``errors`` or of the reply to a single write."""
    category = safe_code(_category(payload))
    fields = _fields(payload)
    says, remedy, code = _RECORD_SAYS.get(category, ("refused the record", _VALUE, "record_rejected"))
    named = f" Properties: {', '.join(fields)}." if fields else ""
    context: dict[str, Any] = {"vendor_code": category, "fields": list(fields), "object": object_name}
    standing = existing_id(payload) if code == ALREADY_EXISTS else None
    if standing is not None:
        context["existing_id"] = standing
    message = f"HubSpot {says} ({category}). Object: {object_name}.{named}"
    if str(payload.get("status") or "").startswith("5") or category in ("INTERNAL_ERROR", "RATE_LIMITS"):
        return TransientError(message, context=context)
    return RecordRejectedError(message, remedy=remedy, code=code, context=context)


def _category(payload: Mapping[str, Any]) -> str:
    if re.search(r"Property \S+ does not exist|PROPERTY_DOESNT_EXIST", str(payload.get("message") or "")):
        return "PROPERTY_DOESNT_EXIST"
    return str(payload.get("category") or payload.get("errorType") or payload.get("error") or "")


def _fields(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the properties that an error is about: from its details, or from the JSON inside its message."""
    names = [str(e["in"]) for e in payload.get("errors") or () if isinstance(e, Mapping) and e.get("in")]
    context = payload.get("context")
    if isinstance(context, Mapping):
        names += [str(n) for key in ("propertyName", "properties") for n in context.get(key) or ()]
    names += _NAMES.findall(str(payload.get("message") or ""))
    return tuple(dict.fromkeys(n for n in names if re.fullmatch(r"[a-z][a-z0-9_]{0,99}", n)))


def _pause_s(headers: Mapping[str, str]) -> float | None:
    """Until when to wait, in seconds: Retry-After where it is sent, else the window of the limit."""
    told = headers.get("Retry-After") or ""
    if told.isdigit():
        return float(told)
    window = headers.get(INTERVAL_HEADER) or ""
    return int(window) / 1000 if window.isdigit() else 1.0
