"""Salesforce's error codes in the hub's terms: what happens next.

The vendor's own message is never passed on: it quotes values ("invalid email address: …"). The code, the object and
the fields it names are enough to say what to do.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.kit.faults import Again, ErrorTable, Fault, Rule
from domain.errors import (
    ConfigurationError,
    CursorExpiredError,
    PermissionMissingError,
    RateLimitedError,
    ReauthRequiredError,
    RecordRejectedError,
    SynclineError,
    TransientError,
)

CONCURRENT = "CONCURRENT_REQUEST_LIMIT"
"""Our name for the REQUEST_LIMIT_EXCEEDED that is about calls in flight, which ends in seconds, not in hours."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means. ``request``: for a whole call; ``record``: inside a batch, where the others may have gone through.

    ``says`` ends the sentence "Salesforce …".
    """

    request: type[SynclineError]
    says: str
    remedy: str = ""
    record: type[SynclineError] = RecordRejectedError
    again: Again = Again.NEVER


_LOGIN = "Reconnect Salesforce with a valid user name, password and security token."
_ASK = "Ask the Salesforce administrator to grant it, or leave it out of the plan."


def _busy(says: str, again: Again = Again.IDEMPOTENT) -> Meaning:
    return Meaning(TransientError, says, "It will be tried again.", TransientError, again)


def _login(says: str, remedy: str = _LOGIN) -> Meaning:
    return Meaning(ReauthRequiredError, says, remedy, ReauthRequiredError)


def _denied(says: str) -> Meaning:
    return Meaning(PermissionMissingError, says, _ASK)


def _bad(says: str, remedy: str = "Correct the value and replay the record.") -> Meaning:
    return Meaning(RecordRejectedError, says, remedy)


def _setup(says: str, remedy: str) -> Meaning:
    return Meaning(ConfigurationError, says, remedy, ConfigurationError)


def _expired(says: str) -> Meaning:
    return Meaning(CursorExpiredError, says, "A full listing reconciles deletes.")


_AUTOMATION = "Ask the Salesforce administrator to look at the object's triggers and flows."

MEANINGS: Mapping[str, Meaning] = {
    # try again
    "UNABLE_TO_LOCK_ROW": _busy("could not lock the record or its parent, another process holds it", Again.UNPROCESSED),
    "QUERY_TIMEOUT": _busy("took too long over the query"),
    "SERVER_UNAVAILABLE": _busy("is not available"),
    "UNKNOWN_EXCEPTION": _busy("had an internal error"),
    "INTERNAL_SERVER_ERROR": _busy("had an internal error"),
    CONCURRENT: Meaning(
        RateLimitedError, "has too many long-running requests of this org", "", RateLimitedError, Again.UNPROCESSED
    ),
    "REQUEST_LIMIT_EXCEEDED": Meaning(
        RateLimitedError,
        "says that the org's API requests of the last 24 hours are used up",
        "Requests become free as the 24 hours roll on; buy more or go on later.",
        RateLimitedError,
    ),
    # sign in again
    "INVALID_SESSION_ID": _login("no longer accepts the session"),
    "INVALID_AUTH_HEADER": _login("does not accept the session"),
    "INVALID_LOGIN": _login("refused the user name, password or security token, or has locked the user out"),
    "LOGIN_MUST_USE_SECURITY_TOKEN": _login("requires the user's security token"),
    "INVALID_OPERATION_WITH_EXPIRED_PASSWORD": _login("says that the user's password has expired"),
    "PASSWORD_LOCKOUT": _login("has locked the user out", "Ask the Salesforce administrator to unlock the user."),
    "ORG_LOCKED": _login("has locked the org", "Ask the Salesforce administrator to unlock it."),
    "invalid_grant": _login("does not accept the credentials or authorization", "Reconnect Salesforce."),
    "invalid_client_id": _login("does not know the connected app", "Check the consumer key."),
    "invalid_client": _login("refused the connected app's key or secret", "Check consumer key and secret."),
    # permissions
    "API_DISABLED_FOR_ORG": _denied("has not enabled the API for this org or user"),
    "API_CURRENTLY_DISABLED": _denied("has disabled the API for this org"),
    "INVALID_TYPE": _denied("does not know the object, or the connected user may not see it"),
    "INVALID_TYPE_FOR_OPERATION": _denied("does not allow this operation on the object"),
    "INSUFFICIENT_ACCESS": _denied("does not let the connected user do this"),
    "INSUFFICIENT_ACCESS_OR_READONLY": _denied("does not let the connected user change the record"),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _denied("does not let the connected user see a related record"),
    "INVALID_FIELD_FOR_INSERT_UPDATE": _bad(
        "does not let the connected user write a field", "Leave it out of the mapping or ask for the permission."
    ),
    # the query or the set-up is wrong
    "INVALID_FIELD": _setup(
        "does not know a field, or the connected user may not see it",
        "The org's schema or permissions may have changed: run the audit again.",
    ),
    "MALFORMED_QUERY": _setup("does not accept the query", "Check object and field names."),
    "OPERATION_TOO_LARGE": _setup(
        "does not let the connected user query that much at once", "Give the user the 'View All Data' permission."
    ),
    "STORAGE_LIMIT_EXCEEDED": _setup("has no storage left in this org", "Make room in Salesforce, then resume."),
    "UNSUPPORTED_API_VERSION": _setup("does not support this API version", "Choose an older API version."),
    # cursors
    "INVALID_QUERY_LOCATOR": _expired("has closed the query"),
    "INVALID_REPLICATION_DATE": _expired("no longer knows deletions that old"),
    "EXCEEDED_ID_LIMIT": _expired("finds too many deletions for one call"),
    # one record
    "NOT_FOUND": _bad("does not know the record", "It may have been deleted in Salesforce."),
    "MALFORMED_ID": _bad("does not accept an id"),
    "JSON_PARSER_ERROR": _bad("finds that a value does not fit its field's type"),
    "REQUIRED_FIELD_MISSING": _bad("requires a field that is blank", "Fill it and replay the record."),
    "STRING_TOO_LONG": _bad("finds a text longer than its field", "Shorten it and replay the record."),
    "INVALID_EMAIL_ADDRESS": _bad("finds an e-mail address invalid"),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": _bad(
        "does not have a value in its restricted picklist", "Add it to the picklist or map it to a value of the list."
    ),
    "DUPLICATE_VALUE": _bad("has another record with the same unique value", "Merge the two or change one value."),
    "DUPLICATE_EXTERNAL_ID": _bad("has several records with this external id", "Merge them in Salesforce."),
    "DUPLICATES_DETECTED": _bad(
        "applied a duplicate rule of the org and refused the record", "Merge the duplicates or relax the rule."
    ),
    "INVALID_CROSS_REFERENCE_KEY": _bad("does not know the record or one it refers to", "Correct the reference."),
    "MALFORMED_FIELD_VALUE": _bad("finds that a value does not fit its field's type"),
    "NUMBER_OUTSIDE_VALID_RANGE": _bad("finds a number outside its field's range"),
    "INACTIVE_OWNER_OR_USER": _bad("has made the owner inactive", "Choose an active owner and replay the record."),
    "ENTITY_IS_DELETED": _bad("has deleted the record", "Restore it from the recycle bin or drop the change."),
    "DELETE_FAILED": _bad("refused to delete the record", "Other records depend on it."),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": _bad(
        "applied a validation rule of the org and refused the record", "Look at the validation rules of the object."
    ),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _bad("ran an automation of the org that refused the record", _AUTOMATION),
    "CANNOT_EXECUTE_FLOW_TRIGGER": _bad("ran a flow of the org that failed on the record", _AUTOMATION),
    "FIELD_INTEGRITY_EXCEPTION": _bad("finds that a value contradicts another field or record"),
    "FIELD_FILTER_VALIDATION_EXCEPTION": _bad("finds that a reference does not meet its field's lookup filter"),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": _bad(
        "rolled the record back because another one of the same unit failed", "Correct the other one and replay."
    ),
    "PROCESSING_HALTED": _bad("did not try: an earlier step of the same unit failed", "Correct that step and replay."),
}
"""Every code the connector knows. Others reject the record, or stop the call by its HTTP status."""

GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"})
"""Codes by which a delete learns that there is nothing left to delete."""

BULK_UNSUPPORTED = frozenset({"INVALIDENTITY", "FEATURENOTENABLED", "API_ERROR", "INVALIDJOB"})
"""Codes by which Bulk API 2.0 says that it does not serve an object or query."""

CONCURRENT_WAIT_S = 20.0

_SOAP_CODE = re.compile(rb"exceptionCode>(?:\w+:)?([A-Z_]{1,80})<")
_STANDING = re.compile(r"record with id: ([A-Za-z0-9]{18}|[A-Za-z0-9]{15})(?![A-Za-z0-9])")
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_IN_FLIGHT = re.compile(r"concurren", re.IGNORECASE)
_NAMES = (
    re.compile(r"No such column '([A-Za-z0-9_.]{1,80})'"),
    re.compile(r"(?:on entity|sObject type) '([A-Za-z0-9_]{1,80})'"),
    re.compile(r"on sobject of type ([A-Za-z0-9_]{1,80})"),
)


def error_table() -> ErrorTable:
    """The kit's table with Salesforce's codes, for errors of whole calls."""
    rules = {
        code: Rule(meaning.request, meaning.says, meaning.remedy, None, meaning.again)
        for code, meaning in MEANINGS.items()
    }
    gone = Rule(ConfigurationError, "does not know this resource", "Check API version and object name.", "not_found")
    return ErrorTable(vendor="Salesforce").extended(by_code=rules | {"NOT_FOUND": gone}, parse=parse_fault)


def parse_fault(_status: int, _headers: Mapping[str, str], body: bytes) -> Fault | None:
    """The kit's body parser: the first fault of an error reply, which is XML when it refuses a SOAP login."""
    soap = _SOAP_CODE.search(body[:4096])
    if soap:
        return Fault(soap[1].decode())
    found = faults(orjson.loads(body))
    return found[0] if found else None


def faults(payload: Any) -> tuple[Fault, ...]:
    """Faults of any of Salesforce's error bodies: REST list, OAuth object, record result, list of results' errors."""
    if isinstance(payload, Mapping):
        nested = payload.get("errors")
        return faults(nested) if isinstance(nested, list) else faults([payload])
    if not isinstance(payload, list):
        return ()
    return tuple(_fault(entry) for entry in payload if isinstance(entry, Mapping))


def _fault(entry: Mapping[str, Any]) -> Fault:
    code = str(entry.get("errorCode") or entry.get("statusCode") or entry.get("error") or "")
    message = str(entry.get("message") or "")
    fields = entry.get("fields")
    named = [str(f) for f in fields] if isinstance(fields, list) else []
    for pattern in _NAMES:
        named += pattern.findall(message)
    if code == "REQUEST_LIMIT_EXCEEDED" and _IN_FLIGHT.search(message):
        return Fault(CONCURRENT, tuple(named), CONCURRENT_WAIT_S)
    return Fault(code, tuple(dict.fromkeys(named)), existing_id=_existing_id(code, message))


def _existing_id(code: str, message: str) -> str | None:
    """The record that holds a unique value already; Salesforce names it by 15 characters, or as ``<unknown>``."""
    found = _STANDING.search(message) if code == "DUPLICATE_VALUE" else None
    return None if found is None else whole_id(found[1])


def whole_id(record_id: str) -> str:
    """An id of 15 characters with the three that tell its capitals; one of 18 as it is.

    https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm (ID field type)
    """
    if len(record_id) != 15:  # Salesforce's own
        return record_id
    parts = (record_id[at : at + 5] for at in (0, 5, 10))
    return record_id + "".join(_CAPITALS[sum(c.isupper() << place for place, c in enumerate(part))] for part in parts)


def bulk_fault(cell: str) -> Fault:
    """The fault in an ``sf__Error`` cell: ``CODE:message:field field --``."""
    code, _, rest = cell.partition(":")
    fields = rest.rpartition(":")[2].removesuffix("--").split()
    named = tuple(f for f in fields if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,79}", f))
    return Fault(code, named, existing_id=_existing_id(code, rest))


def record_error(found: Iterable[Fault], *, object_name: str = "") -> SynclineError:
    """The error of one record of a batch: transient ones stay transient, whatever else rejects that record."""
    fault = next(iter(found), Fault(""))
    meaning = MEANINGS.get(fault.code) or Meaning(RecordRejectedError, "refused the record")
    code = f" ({fault.code})" if fault.code else ""
    error = meaning.record(
        f"Salesforce {meaning.says}{code}.{_about(object_name, fault.fields)}", remedy=meaning.remedy
    )
    if isinstance(error, RecordRejectedError) and fault.code:
        error.code = fault.code.lower()
    error.context.update({"vendor_code": fault.code, "fields": list(fault.fields), "object": object_name})
    if fault.existing_id is not None:
        error.context["existing_id"] = fault.existing_id
    return error


def with_object(error: SynclineError, object_name: str) -> SynclineError:
    """The same error, its message naming the object and the fields concerned."""
    if "object" not in error.context:
        error.message += _about(object_name, error.context.get("fields") or ())
        error.context["object"] = object_name
    return error


def vendor_code(error: SynclineError) -> str:
    """Salesforce's code of an error, '' where it had none."""
    return str(error.context.get("vendor_code") or "")


def _about(object_name: str, fields: Sequence[str]) -> str:
    where = f" Object: {object_name}." if object_name else ""
    which = f" Fields: {', '.join(fields)}." if fields else ""
    return where + which
