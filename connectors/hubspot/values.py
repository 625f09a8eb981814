"""Values as HubSpot's properties take them: text, whatever they are.

https://developers.hubspot.com/docs/guides/api/crm/properties#add-values-to-date-and-datetime-properties
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any


def plain(value: Any) -> str:
    """One value; '' empties the property, null would leave it as it is."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        utc = value.astimezone(UTC)
        return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        entries = sorted(map(str, value)) if isinstance(value, set | frozenset) else map(str, value)
        return ";".join(entries)
    return str(value)
