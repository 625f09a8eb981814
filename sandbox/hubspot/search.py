"""Searching the index, which knows of a write only some seconds later.

https://developers.hubspot.com/docs/guides/api/crm/search
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.hubspot.errors import invalid
from sandbox.hubspot.portal import Portal
from sandbox.hubspot.records import Record, Values
from sandbox.hubspot.schema import ObjectType, Property
from sandbox.hubspot.times import parse_ms

MOST_GROUPS, MOST_FILTERS_IN_GROUP, MOST_FILTERS, MOST_LIMIT, WALL = 5, 6, 18, 200, 10_000
LONGEST_QUERY = 3_000
OPERATORS = frozenset(
    {
        "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY",
        "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
    }
)  # fmt: skip
_NEGATIVE = {"NEQ": "EQ", "NOT_IN": "IN", "NOT_HAS_PROPERTY": "HAS_PROPERTY", "NOT_CONTAINS_TOKEN": "CONTAINS_TOKEN"}
_QUERIED = {
    "contacts": ("firstname", "lastname", "email", "phone", "company", "hs_additional_emails"),
    "companies": ("name", "domain", "website", "phone"),
    "deals": ("dealname",),
    "tickets": ("subject", "content"),
    "products": ("name", "description", "price", "hs_sku"),
}
Match = Callable[[Values], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """One page: records with the values that the index has of them."""

    total: int
    records: list[tuple[Record, Values]]
    after: str | None


def search(portal: Portal, item: ObjectType, body: Mapping[str, Any]) -> Found:
    """Raises 400 for anything beyond the limits, the wall at 10,000 among them."""
    limit, after = _page(body)
    match = _match(portal, item, body)
    now = portal.now()
    hits = []
    for record in portal.tables[item.name].values():
        values = record.searchable(now)
        if values is not None and match(values):
            hits.append((record, values))
    _sort(portal, item, hits, body.get("sorts") or [])
    page = hits[after : after + limit]
    more = after + limit < len(hits)
    return Found(len(hits), page, str(after + limit) if more else None)


def _page(body: Mapping[str, Any]) -> tuple[int, int]:
    limit, after = body.get("limit", 10), body.get("after") or 0
    try:
        limit, after = int(limit), int(after)
    except (TypeError, ValueError) as error:
        raise invalid(f"Invalid input JSON: {error}") from error
    if not 0 < limit <= MOST_LIMIT:
        raise invalid(f"limit must be between 1 and {MOST_LIMIT}; got {limit}")
    if after + limit > WALL:
        raise invalid(f"The offset {after} plus limit {limit} exceed the most results of a search, {WALL}")
    return limit, after


# ---------------------------------------------------------------- filters


def _match(portal: Portal, item: ObjectType, body: Mapping[str, Any]) -> Match:
    groups = body.get("filterGroups") or []
    if "filters" in body:
        groups = [*groups, {"filters": body["filters"]}]
    _check_groups(groups)
    alternatives = [_all([_filter(portal, item, f) for f in group.get("filters") or []]) for group in groups]
    queried = _query(item, str(body.get("query") or ""))
    return lambda values: queried(values) and (not alternatives or any(each(values) for each in alternatives))


def _check_groups(groups: list[Mapping[str, Any]]) -> None:
    sizes = [len(group.get("filters") or []) for group in groups]
    if len(groups) > MOST_GROUPS:
        raise invalid(f"Invalid number of filter groups: {len(groups)}. The most is {MOST_GROUPS}.")
    if any(size > MOST_FILTERS_IN_GROUP for size in sizes) or sum(sizes) > MOST_FILTERS:
        raise invalid(
            f"Invalid number of filters: at most {MOST_FILTERS_IN_GROUP} in a group and {MOST_FILTERS} in all."
        )
    if any(size == 0 for size in sizes):
        raise invalid("A filter group needs at least one filter.")


def _all(matches: list[Match]) -> Match:
    return lambda values: all(each(values) for each in matches)


def _filter(portal: Portal, item: ObjectType, given: Mapping[str, Any]) -> Match:
    name, operator = str(given.get("propertyName", "")), str(given.get("operator", ""))
    if operator not in OPERATORS:
        raise invalid(f"Invalid input JSON: {operator!r} is no operator; there are {', '.join(sorted(OPERATORS))}")
    if name.startswith("associations."):
        return _associated(portal, item, name.partition(".")[2], operator, given)
    found = portal.property(item, name)
    if found is None:
        raise invalid(f"There was a problem with the request: property {name} does not exist", propertyName=[name])
    test = _test(found, _NEGATIVE.get(operator, operator), given)
    if operator in _NEGATIVE:
        # A record without the property meets no comparison, and so every negated one.
        return lambda values: not (name in values and test(values[name]))
    return lambda values: name in values and test(values[name])


def _associated(portal: Portal, item: ObjectType, other: str, operator: str, given: Mapping[str, Any]) -> Match:
    target = portal.object(other).name
    wanted = [str(v) for v in given.get("values") or [given.get("value")]]

    def match(values: Values) -> bool:
        held = portal.associations.targets(item.name, values["hs_object_id"], target)
        return bool(held) if operator == "HAS_PROPERTY" else any(each in held for each in wanted)

    return match


def _test(found: Property, operator: str, given: Mapping[str, Any]) -> Callable[[str], bool]:
    key = _comparable(found)
    if operator == "HAS_PROPERTY":
        return lambda _text: True
    if operator == "IN":
        wanted = {key(str(v)) for v in _needed(given, "values")}
        return lambda text: any(key(part) in wanted for part in _parts(found, text))
    first = _needed(given, "value")
    if operator == "CONTAINS_TOKEN":
        pattern = _token(str(first))
        return lambda text: pattern.search(text.lower()) is not None
    if operator == "BETWEEN":
        low, high = key(str(first)), key(str(_needed(given, "highValue")))
        return lambda text: low <= key(text) <= high
    return _compare(operator, key, key(str(first)), found)


def _compare(operator: str, key: Callable[[str], Any], wanted: Any, found: Property) -> Callable[[str], bool]:
    if operator == "EQ":
        return lambda text: any(key(part) == wanted for part in _parts(found, text))
    if operator == "LT":
        return lambda text: bool(key(text) < wanted)
    if operator == "LTE":
        return lambda text: bool(key(text) <= wanted)
    if operator == "GT":
        return lambda text: bool(key(text) > wanted)
    return lambda text: bool(key(text) >= wanted)


def _needed(given: Mapping[str, Any], name: str) -> Any:
    value = given.get(name)
    if value is None:
        raise invalid(f"The operator {given.get('operator')} needs {name}")
    return value


def _parts(found: Property, text: str) -> list[str]:
    return text.split(";") if found.multiple else [text]


def _comparable(found: Property) -> Callable[[str], Any]:
    """Numbers as numbers, moments as milliseconds, texts in lower case."""

    def moment(text: str) -> int:
        try:
            return parse_ms(text)
        except (ValueError, OverflowError) as error:
            raise invalid(f"Invalid date: {text}", propertyName=[found.name]) from error

    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError as error:
            raise invalid(f"Invalid number: {text}", propertyName=[found.name]) from error

    if found.type in {"date", "datetime"}:
        return moment
    return number if found.type == "number" else str.lower


def _token(wanted: str) -> re.Pattern[str]:
    """One whole word, with ``*`` as a wildcard."""
    body = re.escape(wanted.lower()).replace(r"\*", r"[^\s]*")
    return re.compile(rf"(?<![^\W_]){body}(?![^\W_])")


def _query(item: ObjectType, query: str) -> Match:
    """Free text: every word begins a word of one of the object's searched properties."""
    if len(query) > LONGEST_QUERY:
        raise invalid(f"A query may have {LONGEST_QUERY} characters")
    words = query.lower().split()
    names = _QUERIED.get(item.name, tuple(item.properties))

    def match(values: Values) -> bool:
        text = " ".join(values.get(name, "") for name in names).lower()
        return all(re.search(rf"(?<!\w){re.escape(word)}", text) for word in words)

    return match


# ---------------------------------------------------------------- order


def _sort(portal: Portal, item: ObjectType, hits: list[tuple[Record, Values]], sorts: Iterable[Any]) -> None:
    """One property; without any, by creation. Records without the property come first in rising order."""
    listed = list(sorts)
    if len(listed) > 1:
        raise invalid("Only one sort is supported.")
    name, down = _wanted_order(listed[0]) if listed else (item.created_name, False)
    found = portal.property(item, name)
    if found is None:
        raise invalid(f"There was a problem with the request: property {name} does not exist", propertyName=[name])
    key = _comparable(found)
    hits.sort(key=lambda hit: int(hit[0].id))
    hits.sort(key=lambda hit: (name in hit[1], key(hit[1][name])) if name in hit[1] else (False,), reverse=down)


def _wanted_order(sort: Any) -> tuple[str, bool]:
    """``{"propertyName", "direction"}``, or a name, with ``-`` in front for falling order."""
    if isinstance(sort, Mapping):
        return str(sort.get("propertyName", "")), str(sort.get("direction", "ASCENDING")).upper() == "DESCENDING"
    return str(sort).lstrip("-"), str(sort).startswith("-")
