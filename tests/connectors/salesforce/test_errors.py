from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.kit.faults import Again
from connectors.salesforce.errors import (
    CONCURRENT,
    MEANINGS,
    bulk_fault,
    error_table,
    faults,
    parse_fault,
    record_error,
    with_object,
)
from connectors.salesforce.org import read_quota
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

FIXTURES = Path(__file__).parent / "fixtures"
BODIES: dict[str, Any] = json.loads((FIXTURES / "errors.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("INVALID_SESSION_ID", 401, ReauthRequiredError),
        ("INVALID_LOGIN", 500, ReauthRequiredError),
        ("invalid_grant", 400, ReauthRequiredError),
        ("REQUEST_LIMIT_EXCEEDED", 403, RateLimitedError),
        ("API_DISABLED_FOR_ORG", 403, PermissionMissingError),
        ("INVALID_TYPE", 400, PermissionMissingError),
        ("INVALID_FIELD", 400, ConfigurationError),
        ("NOT_FOUND", 404, ConfigurationError),
        ("INVALID_QUERY_LOCATOR", 400, CursorExpiredError),
        ("INVALID_REPLICATION_DATE", 400, CursorExpiredError),
        ("QUERY_TIMEOUT", 400, TransientError),
        ("UNABLE_TO_LOCK_ROW", 400, TransientError),
        ("STORAGE_LIMIT_EXCEEDED", 400, ConfigurationError),
        ("A_CODE_OF_TOMORROW", 503, TransientError),
        ("A_CODE_OF_TOMORROW", 400, ConfigurationError),
    ],
)
def test_codes_of_whole_calls(code: str, status: int, error: type[SynclineError]) -> None:
    rule = error_table().rule(status, code)
    assert rule is not None
    assert rule.error is error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("UNABLE_TO_LOCK_ROW", TransientError),
        ("REQUEST_LIMIT_EXCEEDED", RateLimitedError),
        ("STORAGE_LIMIT_EXCEEDED", ConfigurationError),
        ("INSUFFICIENT_ACCESS_OR_READONLY", RecordRejectedError),
        ("DUPLICATE_VALUE", RecordRejectedError),
        ("A_CODE_OF_TOMORROW", RecordRejectedError),
    ],
)
def test_codes_of_one_record(code: str, error: type[SynclineError]) -> None:
    found = record_error(faults([{"statusCode": code, "message": "…"}]), object_name="Contact")
    assert type(found) is error
    assert "Contact" in found.message
    if error is RecordRejectedError:
        assert found.code == code.lower()


def test_every_meaning_reads_as_a_sentence() -> None:
    for code, meaning in MEANINGS.items():
        message = str(record_error(faults([{"statusCode": code}])))
        assert message.startswith("Salesforce "), code
        assert message.endswith((".", "!")), code
        assert not meaning.says.endswith("."), code


def test_a_daily_limit_is_not_tried_again_by_itself() -> None:
    """It comes without Retry-After and lasts for hours."""
    rule = error_table().rule(403, "REQUEST_LIMIT_EXCEEDED")
    assert rule is not None
    assert rule.again is Again.NEVER


def test_too_many_long_calls_is_another_limit() -> None:
    fault = parse_fault(403, {}, orjson.dumps(BODIES["concurrent"]))
    assert fault is not None
    assert (fault.code, fault.retry_after_s) == (CONCURRENT, 20.0)
    rule = error_table().rule(403, fault.code)
    assert rule is not None
    assert rule.again is Again.UNPROCESSED


def test_the_field_is_named_and_the_value_is_not() -> None:
    error = record_error(faults(BODIES["collection"]), object_name="Contact")
    assert "Email" in str(error)
    assert "jane" not in f"{error!r} {error} {error.context}"


def test_a_bulk_error_names_its_field_and_no_value() -> None:
    fault = bulk_fault(BODIES["bulk"])
    assert (fault.code, fault.fields) == ("DUPLICATE_VALUE", ("Ext_Id__c",))


@pytest.mark.parametrize(
    ("named", "standing"),
    [
        ("003D000000QVyzq", "003D000000QVyzqIAD"),
        ("003gK000000000d", "003gK000000000dQAA"),
        ("003gK000000000dQAA", "003gK000000000dQAA"),
        ("<unknown>", None),
        ("003gK000000000dQAAzzz", None),
    ],
)
def test_the_record_that_holds_a_unique_value_is_named_by_its_whole_id(named: str, standing: str | None) -> None:
    message = f"duplicate value found: Ext_Id__c duplicates value on record with id: {named}"
    for found in (
        faults([{"errorCode": "DUPLICATE_VALUE", "message": message}]),
        [bulk_fault(f"DUPLICATE_VALUE:{message}:Ext_Id__c --")],
    ):
        assert record_error(found).context.get("existing_id") == standing
    assert "existing_id" not in record_error(faults([{"errorCode": "STRING_TOO_LONG", "message": message}])).context


def test_an_unknown_column_is_named() -> None:
    fault = parse_fault(400, {}, orjson.dumps(BODIES["rest"]))
    assert fault is not None
    assert fault.fields == ("Nmae", "Account")
    error = with_object(ConfigurationError("…", context={"fields": fault.fields}), "Account")
    assert "Nmae" in error.message
    assert with_object(error, "Other").message.count("Object:") == 1


def test_a_refused_login_is_read_from_xml() -> None:
    fault = parse_fault(500, {}, (FIXTURES / "login_fault.xml").read_bytes())
    assert fault is not None
    assert fault.code == "INVALID_LOGIN"


def test_an_oauth_refusal() -> None:
    assert faults(BODIES["oauth"])[0].code == "invalid_grant"


@pytest.mark.parametrize("body", ["oops", None, 3, [], ["text"], {"success": True, "errors": []}])
def test_other_shapes_hold_no_fault(body: Any) -> None:
    assert faults(body) == ()


@pytest.mark.parametrize(
    ("header", "quota"),
    [
        ("api-usage=18/5000", (18, 5000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)", (25, 5000)),
        ("per-app-api-usage=17/250(appName=sample-app)", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_the_quota_is_the_orgs(header: str | None, quota: tuple[int, int] | None) -> None:
    assert read_quota({} if header is None else {"Sforce-Limit-Info": header}) == quota
