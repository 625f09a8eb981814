"""SOQL text, built from checked names and quoted values.

https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select.htm
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeVar

from domain.errors import ConfigurationError

T = TypeVar("T")

SOQL_CHARS_MAX: Final = 100_000
URI_BYTES_MAX: Final = 12_000
"""Longer queries travel in a composite body. The vendor's limit is 16,384 bytes for URI and headers together, and
sessions tokens and proxies take their part: https://help.salesforce.com/s/articleView?id=000386264"""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}(\.[A-Za-z][A-Za-z0-9_]{0,79}){0,5}")
_ESCAPES = str.maketrans(
    {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
)


def name(identifier: str) -> str:
    """``identifier`` if it can be an object or field name (or a relationship path). Raises ConfigurationError."""
    if not _NAME.fullmatch(identifier):
        raise ConfigurationError(
            "A name is not a Salesforce object or field name.", remedy="Use API names such as Account or Region__c."
        )
    return identifier


def text(value: str) -> str:
    """A quoted SOQL string."""
    return f"'{value.translate(_ESCAPES)}'"


def timestamp(value: datetime) -> str:
    """A SOQL datetime literal in UTC with milliseconds, the vendor's resolution. Unquoted by rule."""
    utc = value.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def parse_timestamp(value: str) -> datetime:
    """A datetime as REST (``…000+0000``) or Bulk (``…000Z``) prints it. Raises ValueError."""
    return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC)


def select(
    object_name: str,
    fields: Sequence[str],
    *,
    where: Iterable[str] = (),
    order: Sequence[str] = (),
    limit: int | None = None,
) -> str:
    """A SELECT over one object; ``where`` clauses are joined by AND. Raises ConfigurationError when it grows too long."""
    parts = [f"SELECT {','.join(map(name, fields))} FROM {name(object_name)}"]
    clauses = [clause for clause in where if clause]
    if clauses:
        parts.append("WHERE " + " AND ".join(clauses))
    if order:
        parts.append("ORDER BY " + ", ".join(f"{name(field)} ASC" for field in order))
    if limit is not None:
        parts.append(f"LIMIT {limit:d}")
    return _checked(" ".join(parts), object_name)


def count(object_name: str, where: str = "") -> str:
    """The exact number of live records."""
    return f"SELECT COUNT() FROM {name(object_name)}" + (f" WHERE {where}" if where else "")


def after(field: str, moment: datetime, record_id: str) -> str:
    """Strictly after the record ``record_id`` in the order (``field``, Id): ties on ``field`` lose nothing."""
    column, stamp, last = name(field), timestamp(moment), text(record_id)
    return f"({column} > {stamp} OR ({column} = {stamp} AND Id > {last}))"


def after_id(field: str, record_id: str | None) -> str:
    """Ids after ``record_id``; nothing to say when it is None."""
    return f"{name(field)} > {text(record_id)}" if record_id else ""


def since(field: str, moment: datetime) -> str:
    """At ``moment`` or later."""
    return f"{name(field)} >= {timestamp(moment)}"


def among(field: str, values: Sequence[str]) -> str:
    """``field`` is one of ``values``, which must not be empty."""
    return f"{name(field)} IN ({','.join(map(text, values))})"


def among_numbers(field: str, values: Sequence[str]) -> str:
    """``field``, a number, is one of ``values``, which must not be empty. Unquoted by rule."""
    return f"{name(field)} IN ({','.join(f'{Decimal(value):f}' for value in values)})"


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``values`` in runs of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _checked(query: str, object_name: str) -> str:
    if len(query) <= SOQL_CHARS_MAX:
        return query
    raise ConfigurationError(
        f"The query over {object_name} is longer than Salesforce accepts ({SOQL_CHARS_MAX:,} characters).",
        remedy="Choose fewer fields of this object.",
    )
