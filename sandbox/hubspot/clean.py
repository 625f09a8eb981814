"""One value on its way into one property. Refuses in the vendor's words.

https://developers.hubspot.com/docs/guides/api/crm/properties#property-type-and-fieldtype-values
"""

from __future__ import annotations

import math
import re
from typing import Any

from sandbox.hubspot.errors import invalid
from sandbox.hubspot.schema import Property
from sandbox.hubspot.times import DAY_MS, day, iso, parse_ms

_EMAIL = re.compile(r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@([A-Za-z0-9\u00c0-\uffff-]+\.)+[A-Za-z\u00c0-\uffff]{2,}$")
LONGEST = 65_536


class BadValueError(Exception):
    """``code`` and a sentence; the caller gathers them for all properties of a record."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def as_text(value: Any) -> str:
    """What a JSON value means as a property's text. Raises ApiError for objects and lists."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise invalid("Invalid input JSON: Cannot deserialize value of type `java.lang.String` from an object or array")


def clean(found: Property, text: str, options: list[str] | None, before: str) -> str:
    """The value as a record keeps it; empty for none. Raises BadValueError."""
    if text == "":
        return ""
    if found.type == "number":
        return _number(text)
    if found.type == "date":
        return _date(text)
    if found.type == "datetime":
        return _datetime(text)
    if found.type in {"enumeration", "bool"}:
        return _chosen(found, text, options, before)
    if len(text) > LONGEST:
        raise BadValueError(
            "PROPERTY_VALUE_TOO_LONG", f"The value of {found.name} is longer than {LONGEST} characters."
        )
    return _email(text) if found.name == "email" else text


def _number(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise BadValueError("INVALID_NUMBER", f"{text} was not a valid number.")
    return text.strip()


def _moment(text: str) -> int:
    try:
        return parse_ms(text.strip())
    except (ValueError, OverflowError) as error:
        raise BadValueError("INVALID_LONG", f"{text} was not a valid long.") from error


def _date(text: str) -> str:
    ms = _moment(text)
    if ms % DAY_MS:
        seconds = ms % DAY_MS // 1000
        told = f"{seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}.{ms % 1000}"
        raise BadValueError("INVALID_DATE", f"{text} is at {told} UTC, not midnight!")
    return day(ms)


def _datetime(text: str) -> str:
    return iso(_moment(text))


def _chosen(found: Property, text: str, options: list[str] | None, before: str) -> str:
    """Several are separated by ``;``; a leading one adds to what is there."""
    if not found.multiple:
        _check(text, options)
        return text
    added = [part for part in text.split(";") if part]
    for value in added:
        _check(value, options)
    kept = before.split(";") if text.startswith(";") and before else []
    return ";".join(dict.fromkeys(kept + added))


def _check(value: str, options: list[str] | None) -> None:
    if options is not None and value not in options:
        raise BadValueError("INVALID_OPTION", f"{value} was not one of the allowed options: [{', '.join(options)}]")


def _email(text: str) -> str:
    address = text.strip().lower()
    if not _EMAIL.match(address) or ".." in address:
        raise BadValueError("INVALID_EMAIL", f"Email address {text} is invalid")
    return address
