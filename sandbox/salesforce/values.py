"""How a field's value is read from a row, and shown in JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.salesforce.schema import Field, ObjectType

Row = dict[str, Any]


def getter(item: Field, owner: ObjectType) -> Callable[[Row], Any]:
    """Reads ``item`` from a row: rows hold no nulls, no false, and compound fields by their parts only."""
    if item.type == "boolean":
        name = item.name
        return lambda row: row.get(name, False)
    if item.type in {"address", "location"}:
        return _compound(item, owner)
    if item.type == "base64":
        kind, name = owner.name, item.name
        return lambda row: f"/services/data/v{{version}}/sobjects/{kind}/{row['Id']}/{name}"
    name = item.name
    return lambda row: row.get(name)


def _compound(item: Field, owner: ObjectType) -> Callable[[Row], Any]:
    parts = [(_key(part.name, item.name), part.name) for part in owner.parts(item.name)]

    def read(row: Row) -> dict[str, Any] | None:
        values = {key: row.get(name) for key, name in parts}
        return values if any(value is not None for value in values.values()) else None

    return read


def _key(part: str, compound: str) -> str:
    """``MailingPostalCode`` of ``MailingAddress`` is shown as ``postalCode``; ``Location__Latitude__s`` as ``latitude``."""
    if compound.endswith("__c"):
        return part.removesuffix("__s").rsplit("__", 1)[-1].lower()
    plain = part.removeprefix(compound.removesuffix("Address"))
    return plain[:1].lower() + plain[1:]


def csv_text(value: Any) -> str:
    """A value as bulk results write it."""
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)
