"""Source fields that no line names: typed by the source's own schema and kept in `custom_fields`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from domain.entities import Kind
from domain.records import FieldSchema
from mappings.context import MappingContext
from mappings.transforms import DEFAULTS, REGISTRY
from mappings.transforms.base import Bound, Flaw, Memo, Settings, clean, is_blank, is_clean_column
from mappings.transforms.dates import from_date, from_timestamp
from mappings.transforms.numbers import from_decimal

_TYPED: Final = frozenset(
    {Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN, Kind.DATE, Kind.TIMESTAMP, Kind.TEXT_LIST, Kind.JSON}
)
_PLAIN_SETTINGS: Final = Settings()
_MARKS: Final[Mapping[str, str]] = MappingProxyType({"comma": ",", "point": "."})
_FORMATS: Final = ("date:", "datetime:", "timestamp:", "decimal:")

BASE64_REASON: Final = "file content, which is read apart from the fields"
COMPOUND_REASON: Final = "repeats the fields it is made of"


def parse_format(field: FieldSchema | None) -> str:
    """The format that a schema found in a column: ``%d/%m/%Y`` of the vendor type ``date:%d/%m/%Y``, ``,`` of ``decimal:comma``."""
    if field is not None:
        for prefix in _FORMATS:
            if field.vendor_type.startswith(prefix):
                found = field.vendor_type.removeprefix(prefix)
                return _MARKS.get(found, found)
    return ""


def jsonable(value: Any) -> Any:
    """``value`` as JSON that PostgreSQL stores: numbers stay numbers where JSON has them exactly."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Decimal):
        return from_decimal(value, _PLAIN_SETTINGS) if value.is_finite() else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return from_timestamp(value, _PLAIN_SETTINGS) if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return from_date(value, _PLAIN_SETTINGS)
    if isinstance(value, Mapping):
        return {clean(str(k)): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(v) for v in value]
    return clean(str(value))


class CustomColumn:
    """One unmapped source field: its name in `custom_fields` and how its values are typed."""

    def __init__(self, name: str, field: FieldSchema | None, context: MappingContext) -> None:
        self.name = name
        self.kind = field.kind if field is not None else None
        self._bound: Bound | None = None
        if self.kind is not None and self.kind in _TYPED:
            settings = Settings(context, format=parse_format(field))
            self._bound = Bound(REGISTRY[DEFAULTS[self.kind]], settings)
        self._memo = Memo(self._typed)

    def read(self, values: Sequence[Any]) -> tuple[list[Any], list[int]]:
        """The JSON values of a column (None: leave out) and the rows whose value did not fit the field's type."""
        if self._bound is None:
            return self._texts(values), []
        self._memo.trim()
        memo, typed = self._memo, self._typed
        found: list[Any] = [memo[v] if v.__class__ is str else (None if v is None else typed(v)) for v in values]
        odd = [i for i, v in enumerate(found) if v.__class__ is Flaw] if Flaw in set(map(type, found)) else []
        for i in odd:
            found[i] = found[i].value
        return found, odd

    def _typed(self, value: Any) -> Any:
        """The JSON value, or a Flaw holding the raw one."""
        if self._bound is None:
            return _json_or_none(value)
        result = self._bound.scalar(value)
        if isinstance(result, Flaw):
            return Flaw(jsonable(value if result.value is None else result.value), result.code, result.message)
        return None if result is None else jsonable(result)

    def _texts(self, values: Sequence[Any]) -> list[Any]:
        if is_clean_column(values):
            return [(None if not v or v.isspace() else v) if v.__class__ is str else _json_or_none(v) for v in values]
        return [_json_or_none(v) for v in values]

    def backward(self, value: Any) -> Any:
        """The vendor's form of a JSON value."""
        if isinstance(value, list) and self.kind is Kind.TEXT_LIST:
            return ";".join(map(str, value))
        return value


def _json_or_none(value: Any) -> Any:
    result = None if is_blank(value) else jsonable(value)
    return None if is_blank(result) else result


EXCLUDED_TYPES: Final[Mapping[str, str]] = MappingProxyType({"base64": BASE64_REASON})
"""Vendor types that are never kept among the fields, and why."""
