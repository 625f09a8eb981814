"""Records between Python and JSON: flat and typed on one side, nested JSON on the other.

A flat record maps canonical names, custom fields as ``custom_fields.<name>``, to typed values. The JSON form is what
``to_jsonb`` makes of a row: custom fields nested, references and dates as text, decimals as numbers with all their digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson

from domain.entities import ENTITIES, Kind
from domain.errors import RecordRejectedError
from storage.storable import storable_text

CUSTOM: Final = "custom_fields."
_LARGEST = 2**63 - 1
_NUL = rb"\u0000"
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def dumps(value: Any) -> str:
    """``value`` (a JSON form, decimals allowed) as JSON text that a jsonb column takes."""
    try:
        found = orjson.dumps(value, default=_encodable, option=_OPTIONS)
    except TypeError:  # a lone surrogate, a number of more than 64 bits, a key that is no text
        found = b""
    if found and _NUL not in found:
        return found.decode()
    return orjson.dumps(_storable(value)).decode()


def loads(text: str | None) -> Any:
    """JSON text as Python, numbers with a point as Decimal. None stays None."""
    return None if text is None else json.loads(text, parse_float=Decimal)


def encode(record: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a flat record. Fields that are None stay, as nulls."""
    result = dict(record)
    if CUSTOM in " ".join(record):  # one search spares one in each name
        custom = [name for name in record if name.startswith(CUSTOM)]
        if custom:
            result["custom_fields"] = {name.removeprefix(CUSTOM): result.pop(name) for name in custom}
    return result


def decode(entity: str, form: Mapping[str, Any], *, blanks: bool = False) -> dict[str, Any]:
    """The flat record of a JSON form, without names that the entity does not have, and (but for ``blanks``) without its nulls."""
    decoders = _decoders(entity)
    result: dict[str, Any] = {}
    for name, value in form.items():
        if value is None:
            if blanks and name in decoders:
                result[name] = None
        elif name in decoders:
            result[name] = decoders[name](value)
    for name, value in (form.get("custom_fields") or {}).items():
        result[CUSTOM + name] = _as_json(value)
    return result


def decode_field(entity: str, name: str, value: Any) -> Any:
    """One value of a JSON form, by the kind of its field."""
    if value is None or name.startswith(CUSTOM):
        return _as_json(value)
    return _decoders(entity).get(name, _as_json)(value)


@cache
def _decoders(entity: str) -> Mapping[str, Callable[[Any], Any]]:
    """How each field of an entity is read from its JSON form."""
    known = {name: _DECODERS.get(field.kind, _as_json) for name, field in ENTITIES[entity].all_fields.items()}
    labels = (s.labels for s in ENTITIES[entity].several if s.labels)
    return known | dict.fromkeys((s.name for s in ENTITIES[entity].several), _ids) | dict.fromkeys(labels, sorted)


def _ids(value: Any) -> list[UUID]:
    return sorted(map(UUID, value))


def from_text(entity: str, name: str, value: Any) -> Any:
    """A value that a person typed, by the kind of its field; what is no text stays. Raises RecordRejectedError."""
    if not isinstance(value, str) or name.startswith(CUSTOM):
        return value
    kind = ENTITIES[entity].field(name).kind
    try:
        return _READERS[kind](value) if kind in _READERS else value
    except (ValueError, ArithmeticError, KeyError) as error:
        raise RecordRejectedError(
            f"The value does not fit {name}, which is of the kind {kind}.",
            remedy="Write it as the field shows it.",
            code="bad_value",
        ) from error


def _timestamp(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC)


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _as_json(value: Any) -> Any:
    """JSON as Python has it: a number with a point is a float there, whatever it was read as."""
    if value.__class__ is str:
        return value
    match value:
        case Decimal():
            return float(value)
        case dict():
            return {key: _as_json(item) for key, item in value.items()}
        case list():
            return [_as_json(item) for item in value]
    return value


_DECODERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DECIMAL: _decimal,
    Kind.DATE: date.fromisoformat,
    Kind.TIMESTAMP: _timestamp,
    Kind.REFERENCE: UUID,
}


_READERS: Mapping[Kind, Callable[[str], Any]] = {
    **_DECODERS,
    Kind.INTEGER: int,
    Kind.BOOLEAN: lambda value: {"true": True, "false": False}[value.lower()],
    Kind.TEXT_LIST: lambda value: [item.strip() for item in value.split(",") if item.strip()],
    Kind.JSON: json.loads,
}


def _moment(value: datetime) -> str:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _encodable(value: Any) -> Any:
    """What orjson does not know by itself, in the form that `_storable` gives it."""
    if value.__class__ is datetime:
        return value.isoformat() if value.tzinfo is UTC else _moment(value)
    found = _storable(value)
    if found is value:
        raise TypeError(type(value).__name__)
    return found


def _storable(value: Any) -> Any:
    match value:
        case str():
            return storable_text(value)
        case None | bool() | float():
            return value
        case int():
            return value if abs(value) <= _LARGEST else orjson.Fragment(str(value))
        case Decimal():
            return orjson.Fragment(str(value)) if value.is_finite() else str(value)
        case datetime():
            return _moment(value)
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case Mapping():
            return {storable_text(str(key)): _storable(item) for key, item in value.items()}
        case Sequence() | set() | frozenset():
            return [_storable(item) for item in value]
    return str(value)
