"""Two cheap questions: which records are there in which version, and who holds a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from connectors.kit.contract import VersionPage
from connectors.salesforce import soql
from connectors.salesforce.objects import PAGE_SIZE, quirk, vendors_own
from connectors.salesforce.org import Org
from domain.entities import Kind
from domain.errors import ConfigurationError
from domain.records import ObjectSchema

KEYS_PER_QUERY = 200


def versions(org: Org, schema: ObjectSchema, after: str | None) -> Iterator[VersionPage]:
    """Id and version of every live record after ``after``, ids in ascending order (Salesforce compares them byte by byte).

    A keyset of pages instead of one long query, whose locator Salesforce may close.
    """
    key = schema.modified_field or schema.created_field
    fields = tuple(dict.fromkeys(("Id", key or "Id")))
    special = quirk(schema.name)
    while True:
        where = (special.where, soql.after_id("Id", after))
        query = soql.select(vendors_own(schema.name), fields, where=where, order=("Id",), limit=PAGE_SIZE)
        records = list(org.query_all(query, include_deleted=special.archived))
        ids = [str(record["Id"]) for record in records]
        yield VersionPage(ids, [str(record[key]) if key else "" for record in records], len(records) < PAGE_SIZE)
        if len(records) < PAGE_SIZE:
            return
        after = ids[-1]


def find(org: Org, schema: ObjectSchema, key_field: str, keys: Sequence[str]) -> Mapping[str, str]:
    """Key, as asked for -> id of the record whose ``key_field`` holds it. Raises ConfigurationError for no such field."""
    if key_field not in schema.field_names:
        raise ConfigurationError(
            f"{schema.name} has no field {key_field[:80]} to look keys up by.",
            remedy="Name an external-id field that the connected user may read.",
            code="unknown_field",
        )
    numeric = schema.field(key_field).kind in (Kind.INTEGER, Kind.DECIMAL)
    same = _number if numeric else str.casefold
    asked = {same(key): key for key in keys} | {key: key for key in keys}
    among = soql.among_numbers if numeric else soql.among
    found: dict[str, str] = {}
    for chunk in soql.chunks([key for key in dict.fromkeys(keys) if not numeric or _number(key)], KEYS_PER_QUERY):
        query = soql.select(vendors_own(schema.name), ("Id", key_field), where=(among(key_field, chunk),))
        for record in org.query_all(query):
            held = str(record[key_field])
            key = asked.get(held) or asked.get(same(held))
            if key is not None:
                found[key] = str(record["Id"])
    return found


def _number(text: str) -> str:
    """How equal numbers are written alike; '' for what is none."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return ""
    return f"{value.normalize():f}" if value.is_finite() else ""
