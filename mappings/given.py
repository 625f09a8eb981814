"""Values that a person or program gives for canonical fields, as JSON: checked, normalised and typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from domain.entities import ENTITIES, Field, Kind
from domain.errors import RecordRejectedError
from mappings.transforms.base import Flaw, Settings, UnreadableValueError
from mappings.transforms.email import to_email
from mappings.transforms.phone import to_phone
from mappings.transforms.text import to_url

CUSTOM = "custom_fields."
_MOST = 2**63


def typed(entity: str, fields: Mapping[str, Any], default_country: str = "") -> dict[str, Any]:
    """``fields`` (flat; custom ones as ``custom_fields.<name>``) as they are stored: e-mail addresses in lower case, phone numbers
    in E.164, moments in UTC. None blanks a field. ``default_country``: of phone numbers without a country code.

    Raises RecordRejectedError naming the field, never the value. Names that the entity does not have are left to whoever stores.
    """
    known = ENTITIES[entity].all_fields
    settings = Settings(options={"country": default_country} if default_country else {})
    result: dict[str, Any] = {}
    lists = {s.name for s in ENTITIES[entity].several}
    labels = {s.labels for s in ENTITIES[entity].several}
    for name, value in fields.items():
        field = known.get(name)
        if name in lists:
            result[name] = _ids(name, value)
            continue
        if name in labels:
            result[name] = _labels(name, value)
            continue
        result[name] = value if field is None or value is None else _typed(field, value, settings)
    return result


def _ids(name: str, value: Any) -> list[UUID]:
    """The ids of associated records, each once; None is none."""
    try:
        if not isinstance(value, list | None):
            raise TypeError
        return sorted({i if isinstance(i, UUID) else UUID(_text(i, Settings())) for i in value or ()})
    except (ValueError, TypeError):
        raise RecordRejectedError(
            f"The value does not fit {name}, which is a list of ids.",
            remedy="Write it as a list of the records' ids.",
            code="bad_value",
        ) from None


def _labels(name: str, value: Any) -> list[str]:
    """Labels by associated record as one text a pair; None is none."""
    try:
        return sorted(
            {
                f"{UUID(i)} {_label(label)}"
                for i, of in (value or {}).items()
                for label in ([of] if isinstance(of, str) else of)
            }
        )
    except (ValueError, TypeError, AttributeError):
        raise RecordRejectedError(
            f"The value does not fit {name}, which is an object of labels by id.",
            remedy="Write it as an object: the associated record's id, and a list of labels.",
            code="bad_value",
        ) from None


def _label(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _typed(field: Field, value: Any, settings: Settings) -> Any:
    try:
        return _READERS[field.kind](value, settings)
    except UnreadableValueError as error:
        raise RecordRejectedError(
            f"{field.name} {error.message}.", remedy="Correct it, or leave it out.", code=error.code
        ) from None
    except (ValueError, TypeError, ArithmeticError):
        raise RecordRejectedError(
            f"The value does not fit {field.name}, which is of the kind {field.kind}.",
            remedy="Write it as the reference of the API shows it.",
            code="bad_value",
        ) from None


def _text(value: Any, _settings: Settings) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _email(value: Any, settings: Settings) -> Any:
    return to_email(_text(value, settings), settings)


def _phone(value: Any, settings: Settings) -> Any:
    found = to_phone(_text(value, settings), settings)
    return found.value if isinstance(found, Flaw) else found


def _url(value: Any, settings: Settings) -> Any:
    return to_url(_text(value, settings), settings)


def _integer(value: Any, _settings: Settings) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -_MOST <= value < _MOST:
        raise TypeError
    return value


def _decimal(value: Any, _settings: Settings) -> Decimal:
    """A number, or a number written as a string, which loses nothing on the way."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError from None
    if not number.is_finite() or abs(number.adjusted()) > 100:
        raise ValueError
    return number


def _boolean(value: Any, _settings: Settings) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _date(value: Any, settings: Settings) -> date:
    text = _text(value, settings)
    if len(text) != len("2026-01-31"):
        raise ValueError
    return date.fromisoformat(text)


def _moment(value: Any, settings: Settings) -> datetime:
    moment = datetime.fromisoformat(_text(value, settings))
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _texts(value: Any, _settings: Settings) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return sorted(set(value))


def _reference(value: Any, settings: Settings) -> UUID:
    return UUID(_text(value, settings))


_READERS: Mapping[Kind, Callable[[Any, Settings], Any]] = {
    Kind.TEXT: _text,
    Kind.EMAIL: _email,
    Kind.PHONE: _phone,
    Kind.URL: _url,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.TIMESTAMP: _moment,
    Kind.JSON: lambda value, _: value,
    Kind.TEXT_LIST: _texts,
    Kind.REFERENCE: _reference,
}
