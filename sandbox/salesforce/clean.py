"""One value on its way into one field: its type, its length, its allowed values. Refuses in the vendor's words.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm (StatusCode)
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.salesforce.clock import parse_date, parse_stamp, stamp
from sandbox.salesforce.errors import ApiError, json_error
from sandbox.salesforce.ids import to18
from sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field

_EMAIL = re.compile(
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9-]+\.)+[A-Za-z]{2,}$"
)


def clean(item: Field, value: Any) -> Any:
    """The value as a row holds it, or None when it is blank. Raises ApiError."""
    if value is None or value == "":
        return _blank(item)
    if item.type in NUMBER_TYPES:
        return _number(item, value)
    if item.type == "boolean":
        return _boolean(item, value)
    if item.type in {"date", "datetime"}:
        return _moment(item, value)
    if item.type == "reference":
        return _reference(item, value)
    if item.type == "base64":
        return _binary(item, value)
    return _text(item, value) if item.type in TEXT_TYPES else value


def _blank(item: Field) -> Any:
    """A blank checkbox is refused; anything else is simply empty."""
    if item.type == "boolean":
        raise ApiError(
            "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{item.label}: value not of required type: ", fields=[item.name]
        )
    return None


def _text(item: Field, value: Any) -> str | None:
    if isinstance(value, dict | list):
        raise json_error(f"Cannot deserialize instance of string from START_OBJECT value for field {item.name}")
    text = str(value).strip() if not isinstance(value, bool) else str(value).lower()
    if len(text) > item.length > 0:
        shown = text if len(text) <= 255 else text[:255]
        raise ApiError(
            "STRING_TOO_LONG",
            f"{item.label}: data value too large: {shown} (max length={item.length})",
            fields=[item.name],
        )
    if item.type == "email" and text and not _EMAIL.match(text):
        raise ApiError("INVALID_EMAIL_ADDRESS", f"{item.label}: invalid email address: {text}", fields=[item.name])
    if item.restricted and text:
        _check_options(item, text)
    return text or None


def _check_options(item: Field, text: str) -> None:
    chosen = text.split(";") if item.type == "multipicklist" else [text]
    for value in chosen:
        if value not in item.options:
            raise ApiError(
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{item.label}: bad value for restricted picklist field: {value}",
                fields=[item.name],
            )


def _number(item: Field, value: Any) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise json_error(f"Cannot deserialize instance of {item.type} from VALUE_STRING value {value}") from error
    if isinstance(value, bool) or not math.isfinite(number):
        raise json_error(f"Cannot deserialize instance of {item.type} from value {value}")
    whole = 10 ** (9 if item.type == "int" else max(1, item.precision - item.scale))
    if abs(number) >= whole * (10 if item.type == "int" else 1):
        message = f"{item.label}: value outside of valid range on numeric field: {value}"
        raise ApiError("NUMBER_OUTSIDE_VALID_RANGE", message, fields=[item.name])
    return int(number) if item.type == "int" else _rounded(number, item.scale)


def _rounded(number: float, scale: int) -> float:
    """Half away from zero, as the vendor stores it; in decimals, where rounding twice is rounding once."""
    return float(Decimal(repr(number)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP))


def _boolean(item: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "1", "false", "0"}:
        return str(value).lower() in {"true", "1"}
    raise json_error(f"Cannot deserialize instance of boolean from VALUE_STRING value {value} for field {item.name}")


def _moment(item: Field, value: Any) -> str:
    try:
        if item.type == "date":
            return parse_date(str(value)).isoformat()
        return stamp(parse_stamp(str(value)))
    except ValueError as error:
        raise json_error(f"Cannot deserialize instance of {item.type} from VALUE_STRING value {value}") from error


def _reference(item: Field, value: Any) -> str:
    full = to18(str(value))
    if full is None:
        raise ApiError("MALFORMED_ID", f"{item.label}: id value of incorrect type: {value}", fields=[item.name])
    return full


def _binary(item: Field, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise json_error(f"Cannot deserialize instance of base64 from VALUE_STRING for field {item.name}") from error
