"""Records changed since a moment, by search: see `cursors` for how its limits are lived with.

https://developers.hubspot.com/docs/guides/api/crm/search
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.hubspot.cursors import Position, parse_stamp
from connectors.hubspot.objects import ID_FIELD, SEARCH_PAGE_SIZE
from connectors.hubspot.portal import SEARCH_SCOPE, Portal
from connectors.hubspot.records import Record, path
from connectors.hubspot.setup import next_token


@dataclass(frozen=True, slots=True)
class Found:
    """A page of changes and the position after it."""

    records: list[Record]
    position: Position
    last: bool


class Changes:
    """Searches of one account."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def since(self, name: str, modified: str, properties: Sequence[str], position: Position) -> Iterator[Found]:
        """Pages from ``position`` to its own start, so that records changing meanwhile don't keep it going for ever."""
        seen: set[tuple[str, str]] = set()
        while True:
            results, more = self._search(name, modified, properties, position)
            fresh = [r for r in results if _identity(r, modified) not in seen]
            seen = {_identity(r, modified) for r in results} | (seen if position.tie is not None else set())
            last = not more and position.tie is None
            position = _after(position, results, modified, more)
            yield Found(fresh, position, last)
            if last:
                return

    def count(self, name: str) -> int:
        """The number of live records, as the search knows it."""
        body = {"filterGroups": [], "limit": 1, "properties": [ID_FIELD]}
        return int(self._portal.ask(f"{path(name)}/search", body, scope=SEARCH_SCOPE)["total"])

    def _search(
        self, name: str, modified: str, properties: Sequence[str], position: Position
    ) -> tuple[list[Record], bool]:
        body = {
            "filterGroups": [{"filters": _filters(modified, position)}],
            "sorts": [{"propertyName": ID_FIELD if position.tie is not None else modified, "direction": "ASCENDING"}],
            "properties": list(properties),
            "limit": SEARCH_PAGE_SIZE,
        }
        reply = self._portal.ask(f"{path(name)}/search", body, scope=SEARCH_SCOPE)
        return reply["results"], next_token(reply) is not None


def _filters(modified: str, position: Position) -> list[dict[str, Any]]:
    since = str(position.since or 0)
    if position.tie is None:
        return [_filter(modified, "GTE", since), _filter(modified, "LTE", str(position.started))]
    return [_filter(modified, "EQ", since), _filter(ID_FIELD, "GT", str(position.tie))]


def _filter(name: str, operator: str, value: str) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, "value": value}


def _after(position: Position, results: Sequence[Record], modified: str, more: bool) -> Position:
    """Where to go on. Every page starts at a stamp, never at an offset: offsets shift when a listed record changes."""
    if position.tie is not None:
        if more:
            return replace(position, tie=max(int(r["id"]) for r in results))
        return replace(position, since=(position.since or 0) + 1, tie=None)
    if not results:
        return position
    latest = _stamp(results[-1], modified)
    if more and latest == _stamp(results[0], modified):
        return replace(position, since=latest, tie=0)
    return replace(position, since=latest)


def _stamp(record: Record, modified: str) -> int:
    return parse_stamp(str(record["properties"].get(modified) or record["updatedAt"]))


def _identity(record: Record, modified: str) -> tuple[str, str]:
    return str(record["id"]), str(record["properties"].get(modified))
