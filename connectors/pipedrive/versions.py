"""Ids and versions of everything that lives: how deletions are found that Pipedrive tells of nowhere."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from connectors.kit.contract import VersionPage
from connectors.pipedrive.company import Company, next_cursor
from connectors.pipedrive.objects import KINDS, Kind, Part
from connectors.pipedrive.read import is_dead
from domain.errors import ConfigurationError

Entry = tuple[int, str]


class Versions:
    """Listings of one company by id."""

    def __init__(self, company: Company) -> None:
        self._company = company

    def versions(self, object_name: str, after: str | None) -> Iterator[VersionPage]:
        """See `connectors.kit.contract.SupportsVersions`. Pipedrive cannot begin at an id: earlier pages are read and dropped.

        Leads have no numbers for ids, and line items none of their own.
        """
        kind = KINDS.get(object_name)
        if kind is None or object_name in ("leads", "deal_products"):
            raise ConfigurationError(
                f"Pipedrive does not list {object_name[:80]} by id.", remedy="Read them all.", code="unknown_object"
            )
        first = int(after) if after else -1
        page: list[Entry] = []
        for entry in heapq.merge(*(self._part(kind, part) for part in kind.parts)):
            if entry[0] <= first:
                continue
            page.append(entry)
            if len(page) == kind.page_size:
                yield _page(page, last=False)
                page = []
        yield _page(page, last=True)

    def _part(self, kind: Kind, part: Part) -> Iterator[Entry]:
        match part.paging:
            case "cursor":
                records = self._by_cursor(part)
            case "offset":
                records = self._by_offset(part)
            case _:
                records = iter(sorted(self._company.get(part.path).get("data") or [], key=lambda r: int(r["id"])))
        for record in records:
            if not is_dead(kind, record):
                yield int(record["id"]), str(record.get(kind.modified or "") or "")

    def _by_cursor(self, part: Part) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            params = {"limit": part.page, "sort_by": "id", "sort_direction": "asc", "cursor": cursor}
            reply = self._company.get(part.path, params)
            yield from reply.get("data") or []
            cursor = next_cursor(reply)
            if cursor is None:
                return

    def _by_offset(self, part: Part) -> Iterator[dict[str, Any]]:
        """Each page overlaps the one before by a record; where another stands there, the page before is read again."""
        start, last = 0, -1
        while True:
            reply = self._company.get(part.path, {"start": max(start - 1, 0), "limit": part.page, "sort": "id ASC"})
            found = list(reply.get("data") or [])
            if start and (not found or int(found[0]["id"]) > last):
                start = max(start - part.page, 0)
                if start:
                    continue
            fresh = [r for r in found if int(r["id"]) > last]
            yield from fresh
            last = int(fresh[-1]["id"]) if fresh else last
            extra = reply.get("additional_data") or {}
            if not (extra.get("pagination") or extra).get("more_items_in_collection"):
                return
            start = max(start - 1, 0) + len(found)


def _page(entries: list[Entry], *, last: bool) -> VersionPage:
    return VersionPage([str(i) for i, _ in entries], [v for _, v in entries], last=last)
