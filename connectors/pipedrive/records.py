"""Records as Pipedrive sends them, as rows of fields, and back.

What a company sees as one field is one here: an address has its parts, a person a main e-mail address, a deal its outcome,
an option its label. `row_of` and `body_of` are each other's inverse on what can be written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.pipedrive.objects import ADDRESS_PARTS, Kind
from domain.entities import Kind as ValueKind
from domain.errors import RecordRejectedError
from domain.records import MISSING, FieldSchema, ObjectSchema

Record = Mapping[str, Any]
Values = dict[str, Any]

_ZONELESS = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?")
_ADDRESSES: Mapping[str, str] = {"persons": "postal_address", "organizations": "address"}
_NAMES = ("first_name", "last_name")
_LISTS: Mapping[str, str] = {"primary_email": "emails", "primary_phone": "phones", "mobile_phone": "phones"}


# ---------------------------------------------------------------- reading


def flat(kind: Kind, schema: ObjectSchema, record: Record) -> Values:
    """The record with one key a field: custom fields among the others, options by label, times with their zone."""
    values: Values = dict(record)
    values.update(values.pop("custom_fields", None) or {})
    _DERIVED.get(kind.name, _nothing)(values)
    if prefix := _ADDRESSES.get(kind.name):
        _address_parts(values, prefix)
    for field in schema.fields:
        if values.get(field.name) is not None:
            values[field.name] = _shown(field, values[field.name])
    return values


def taker(kind: Kind, schema: ObjectSchema, columns: Sequence[str]) -> Callable[[Record], tuple[Any, ...]]:
    """Turns a record into a row of ``columns``. A custom field that isn't sent is empty; another one is MISSING."""
    custom = {f.name for f in schema.fields if f.custom}
    blanks = tuple(None if name in custom else MISSING for name in columns)

    def take(record: Record) -> tuple[Any, ...]:
        values = flat(kind, schema, record)
        return tuple(values.get(name, blank) for name, blank in zip(columns, blanks, strict=True))

    return take


def _nothing(_values: Values) -> None:
    """Most objects need nothing."""


def _person(values: Values) -> None:
    emails, phones = values.get("emails") or [], values.get("phones") or []
    main = _main(phones)
    values["primary_email"] = _value(_main(emails))
    values["primary_phone"] = _value(main)
    values["mobile_phone"] = _value(next((p for p in phones if p.get("label") == "mobile" and p is not main), None))


def _deal(values: Values) -> None:
    if status := values.get("status"):
        values["is_won"], values["is_closed"] = status == "won", status in ("won", "lost")


def _lead(values: Values) -> None:
    value = values.pop("value", None) or {}
    values["amount"], values["currency"] = value.get("amount"), value.get("currency")


def _activity(values: Values) -> None:
    day, time = values.get("due_date"), values.get("due_time")
    values["starts_at"] = f"{day}T{time[:8] if len(time) > 5 else time + ':00'}Z" if day and time else None
    values["duration_s"] = _seconds(values.get("duration"))
    values["location_text"] = (values.get("location") or {}).get("value")


def _product(values: Values) -> None:
    first: Record = next(iter(values.get("prices") or []), {})
    values["price"], values["currency"] = first.get("price"), first.get("currency")


def _line(values: Values) -> None:
    values["key"] = f"{values['deal_id']}/{values['id']}"


_DERIVED: Mapping[str, Callable[[Values], None]] = {
    "persons": _person, "deals": _deal, "leads": _lead, "activities": _activity, "products": _product,
    "deal_products": _line,
}  # fmt: skip


def _main(entries: Sequence[Any]) -> Any:
    return next((e for e in entries if e.get("primary")), entries[0] if entries else None)


def _value(entry: Record | None) -> Any:
    return (entry or {}).get("value") or None


def _seconds(duration: Any) -> int | None:
    """Of ``HH:MM`` or ``HH:MM:SS``."""
    found = re.fullmatch(r"(\d+):(\d\d)(?::(\d\d))?", str(duration or ""))
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0) if found else None


def _address_parts(values: Values, prefix: str) -> None:
    """Parts that the map service found; where it found none, the text that was typed stands as the street."""
    address = values.get(prefix) or {}
    parts = {
        part: " ".join(str(address[k]) for k in keys if address.get(k)) or None for part, keys in ADDRESS_PARTS.items()
    }
    if not any(parts.values()):
        parts["street"] = address.get("value") or None
    values.update({f"{prefix}_{part}": text for part, text in parts.items()})


def _shown(field: FieldSchema, value: Any) -> Any:
    if field.options:
        labels = {str(o.attributes["id"]): o.value for o in field.options}
        if isinstance(value, list):
            return [labels.get(str(v), str(v)) for v in value]
        return labels.get(str(value), value)
    if isinstance(value, list) and field.kind is ValueKind.TEXT_LIST:
        return [str(v) for v in value]
    if field.kind is ValueKind.TIMESTAMP and isinstance(value, str) and (found := _ZONELESS.fullmatch(value)):
        return f"{found[1]}T{found[2]}{found[3] or ''}Z"  # v1 writes UTC without saying so
    return value


# ---------------------------------------------------------------- writing


def needs_current(kind: Kind, values: Record) -> bool:
    """Whether the change is to a part of a value that Pipedrive replaces as a whole, so that the rest must be known."""
    lists = {name for name, whole in _LISTS.items() if name in values and whole not in values}
    prefix = _ADDRESSES.get(kind.name)
    if kind.name == "persons" and sum(name in values for name in _NAMES) == 1:
        return True
    return bool(lists) or any(prefix is not None and f"{prefix}_{part}" in values for part in ADDRESS_PARTS)


def body_of(kind: Kind, schema: ObjectSchema, values: Record, current: Record | None = None) -> Values:
    """The body of a write. Raises RecordRejectedError for an option that the field does not have."""
    names = set(schema.field_names)
    unknown = sorted(set(values) - names)
    if unknown:
        raise RecordRejectedError(
            f"{kind.name} has no field {unknown[0][:80]}.", remedy="Correct the mapping, or add the field in Pipedrive."
        )
    plain = {name: _stored(schema.field(name), value) for name, value in values.items()}
    if kind.name == "persons":
        _fold_lists(plain, current or {})
        _fold_name(plain, current or {})
    if prefix := _ADDRESSES.get(kind.name):
        _fold_address(plain, prefix, current or {})
    _FOLD.get(kind.name, _nothing)(plain)
    custom = {name: plain.pop(name) for name in list(plain) if schema_custom(schema, name)}
    calculated = {f.name for f in schema.fields if f.calculated}
    body = {name: value for name, value in plain.items() if name not in calculated}
    if custom:
        body.update({"custom_fields": custom} if kind.nested else custom)
    return body


def schema_custom(schema: ObjectSchema, name: str) -> bool:
    """Whether ``name`` is a custom field of the object."""
    return any(f.name == name and f.custom for f in schema.fields)


def _stored(field: FieldSchema, value: Any) -> Any:
    """The value as Pipedrive wants it: options by id, ids and numbers as numbers."""
    if value is None:
        return None
    if field.multiple:
        entries = value.split(";") if isinstance(value, str) else list(value)
        return [_option(field, entry) for entry in entries]
    if field.options:
        return _option(field, value)
    if field.kind is ValueKind.REFERENCE and str(value).isdigit():
        return int(value)
    if field.kind is ValueKind.DECIMAL and not isinstance(value, (int, float)):
        return _number(value)
    return value


def _number(value: Any) -> int | float:
    """v2 takes numbers and no texts that look like some."""
    number = float(str(value))
    return int(number) if number.is_integer() else number


def _option(field: FieldSchema, value: Any) -> Any:
    for option in field.options:
        if str(value) in (option.value, str(option.attributes["id"])):
            return option.attributes["id"]
    if not field.options:
        return int(value) if str(value).isdigit() else value
    raise RecordRejectedError(
        f"The field {field.label} has no such option.",
        remedy="Add the option in Pipedrive, or map the value to one that is there.",
        context={"field": field.name},
    )


def _fold_lists(values: Values, current: Record) -> None:
    for name, whole in _LISTS.items():
        if name not in values:
            continue
        entries = [dict(e) for e in values.get(whole, current.get(whole)) or []]
        values[whole] = _with_entry(entries, values.pop(name), mobile=name == "mobile_phone")


def _fold_name(values: Values, current: Record) -> None:
    """Pipedrive takes a whole name and works the parts out itself."""
    if any(name in values for name in _NAMES):
        parts = [values.pop(name, current.get(name)) for name in _NAMES]
        values["name"] = " ".join(str(part) for part in parts if part)


def _with_entry(entries: list[Values], value: Any, *, mobile: bool) -> list[Values]:
    """The list with its main (or its mobile) entry changed; the others stay as they are."""
    main = _main(entries)
    place: Values | None = next((e for e in entries if e.get("label") == "mobile" and e is not main), None)
    place = place if mobile else main
    if value is None:
        return [e for e in entries if e is not place]
    if place is not None:
        place["value"] = value
        return entries
    return [*entries, {"value": value, "label": "mobile" if mobile else "work", "primary": not entries}]


def _fold_address(values: Values, prefix: str, current: Record) -> None:
    changed = {part: values.pop(f"{prefix}_{part}") for part in ADDRESS_PARTS if f"{prefix}_{part}" in values}
    if not changed:
        return
    known: Values = {prefix: current.get(prefix)}
    _address_parts(known, prefix)
    parts = {part: known[f"{prefix}_{part}"] for part in ADDRESS_PARTS} | changed
    written = {ADDRESS_PARTS[part][0]: text for part, text in parts.items()}
    text = ", ".join(str(t) for t in parts.values() if t)
    values[prefix] = {"value": text, **written} if text else None


def _fold_lead(values: Values) -> None:
    if "amount" in values or "currency" in values:
        amount, currency = values.pop("amount", None), values.pop("currency", None)
        values["value"] = {"amount": amount, "currency": currency} if amount is not None and currency else None


def _fold_product(values: Values) -> None:
    price, currency = values.pop("price", None), values.pop("currency", None)
    if price is not None and currency and "prices" not in values:
        values["prices"] = [{"price": price, "currency": currency}]


def _fold_activity(values: Values) -> None:
    starts, seconds = values.pop("starts_at", None), values.pop("duration_s", None)
    if starts:
        values["due_date"], values["due_time"] = str(starts)[:10], str(starts)[11:16]
    if seconds is not None:
        values["duration"] = f"{int(seconds) // 3600:02d}:{int(seconds) // 60 % 60:02d}"
    if "location_text" in values:
        text = values.pop("location_text")
        values["location"] = {"value": text} if text else None


_FOLD: Mapping[str, Callable[[Values], None]] = {
    "leads": _fold_lead, "products": _fold_product, "activities": _fold_activity,
}  # fmt: skip
