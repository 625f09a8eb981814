"""Listing an object: all of it, what changed, or single records; and where each page's cursor stands."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from connectors.hubspot.associations import Associations
from connectors.hubspot.changes import Changes
from connectors.hubspot.cursors import Position, decode, finish, milliseconds, stamp
from connectors.hubspot.deletions import Deletions
from connectors.hubspot.objects import ASSOCIATED, BATCH_SIZE, ID_FIELD, PAGE_SIZE, SEPARATOR, association_pair
from connectors.hubspot.portal import Portal
from connectors.hubspot.records import MERGED, Record, Records, losers
from connectors.hubspot.schema import setup_schema
from connectors.hubspot.setup import listing
from connectors.kit.contract import LABELS, ReadRequest, VersionPage
from domain.errors import ConfigurationError
from domain.records import MISSING, Cursor, ObjectSchema, Page

VISIBILITY_LAG = timedelta(minutes=5)
"""How late the search finds a change under its own stamp. HubSpot promises no bound, "a few moments" is its word."""
CURSOR_OVERLAP = timedelta(minutes=2)
IDS_PER_PAIRS_PAGE = 1_000

Clock = Callable[[], datetime]
Rows = list[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one listing asks for: ``columns`` go into the pages, ``properties`` are asked for, ``targets`` looked up."""

    schema: ObjectSchema
    columns: tuple[str, ...]
    properties: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.schema.name


def plan_of(schema: ObjectSchema, request: ReadRequest) -> Plan:
    """Raises ConfigurationError when the request names a field that the object lacks."""
    wanted = request.fields or schema.field_names
    for name in wanted:
        if name.removesuffix(LABELS) not in schema.field_names:
            raise _unknown_field(schema, name)
    columns = tuple(dict.fromkeys((schema.id_field, *wanted)))
    targets = tuple(
        dict.fromkeys(c.removeprefix(ASSOCIATED).removesuffix(LABELS) for c in columns if c.startswith(ASSOCIATED))
    )
    helpful = [schema.modified_field, MERGED if MERGED in schema.field_names else None]
    asked = (*(c for c in columns if not c.startswith(ASSOCIATED)), *(h for h in helpful if h))
    return Plan(schema, columns, tuple(dict.fromkeys(asked)), targets)


def _unknown_field(schema: ObjectSchema, name: str) -> ConfigurationError:
    close = difflib.get_close_matches(name, schema.field_names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return ConfigurationError(
        f"HubSpot's {schema.name} have no property {name[:80]} that can be listed.{hint}",
        remedy="Check its internal name, and the app's scopes.",
        code="unknown_field",
        context={"object": schema.name, "field": name[:80]},
    )


class Reader:
    """Listings of one account. ``lookup`` gives the schema of an object."""

    def __init__(self, portal: Portal, lookup: Callable[[str], ObjectSchema], *, clock: Clock) -> None:
        self._portal, self._lookup, self._clock = portal, lookup, clock
        self._records = Records(portal)
        self._associations = Associations(portal)
        self._changes = Changes(portal)
        self._deletions = Deletions(self._records)

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """See `connectors.kit.contract.Connector.read`."""
        plan = plan_of(self._lookup(request.object), request)
        pages = self._pages(plan, request)
        return pages if request.limit is None else _limited(pages, request.limit)

    def _pages(self, plan: Plan, request: ReadRequest) -> Iterator[Page]:
        pair = association_pair(plan.name)
        if request.ids is not None:
            return self._by_ids(plan, request.ids, request.cursor)
        position = decode(request.cursor) or Position("list", stamp(self._clock()))
        if setup_schema(plan.name) is not None:
            return self._setup(plan, _anew(position, self._clock))
        if pair is not None:
            return self._pairs(plan, pair, _anew(position, self._clock))
        if position.mode == "list":
            return self._listing(plan, position)
        return self._changed(plan, position, request.deleted)

    # ------------------------------------------------------------ records

    def _listing(self, plan: Plan, position: Position) -> Iterator[Page]:
        """All records in the order of their ids. What changes meanwhile is listed again by the next read."""
        for records, after in self._records.listing(plan.name, plan.properties, position.after):
            position = replace(position, after=after)
            done = finish(position.started, VISIBILITY_LAG)
            yield self._page(plan, records, position if after else done, last=after is None)

    def _changed(self, plan: Plan, position: Position, deleted: bool) -> Iterator[Page]:
        gone: set[str] = set()
        if position.mode == "done":
            since = max(0, (position.since or 0) - milliseconds(CURSOR_OVERLAP))
            position = Position("changed", stamp(self._clock()), since=since)
            if deleted:
                for page in self._deleted(plan, position):
                    gone.update(page.deleted)
                    yield page
        modified = plan.schema.modified_field or "hs_lastmodifieddate"
        for found in self._changes.since(plan.name, modified, plan.properties, position):
            done = finish(position.started, VISIBILITY_LAG, position.since)
            records = self._standing(plan.name, found.records, gone)
            yield self._page(plan, records, done if found.last else found.position, last=found.last)

    def _standing(self, name: str, records: Sequence[Record], gone: Set[str]) -> list[Record]:
        """Without those that the search only has not yet seen go: a read of the record itself knows at once."""
        doubted = [str(r["id"]) for r in records if str(r["id"]) in gone]
        found = self._records.current(name, doubted, (ID_FIELD,)) if doubted else {}
        stale = {i for i in doubted if i not in found or str(found[i]["id"]) != i}
        return [r for r in records if str(r["id"]) not in stale]

    def _deleted(self, plan: Plan, position: Position) -> Iterator[Page]:
        """Before the rows, so that a record restored meanwhile is alive again when they arrive."""
        gone, merged = self._deletions.since(plan.name, position.since or 0, position.started)
        if gone or merged:
            # the old cursor: if the read stops here, deletions are told again
            before = Position("done", position.started, since=(position.since or 0) + milliseconds(CURSOR_OVERLAP))
            yield Page(plan.name, plan.columns, [], before.encode(), deleted=gone, merged=merged)

    def _by_ids(self, plan: Plan, ids: Sequence[str], cursor: Cursor | None) -> Iterator[Page]:
        done = int((cursor or {}).get("ids_done", 0))
        if done >= len(ids):
            yield Page(plan.name, plan.columns, [], {"ids_done": len(ids)}, last=True)
        while done < len(ids):
            chunk = ids[done : done + BATCH_SIZE]
            done += len(chunk)
            page = self._page(plan, self._some(plan, chunk), None, last=done >= len(ids))
            page.cursor = {"ids_done": done}
            page.deleted = self._absent(plan, chunk, page)
            yield page

    def _absent(self, plan: Plan, asked: Sequence[str], page: Page) -> list[str]:
        """Ids of records that HubSpot does not bring, because they were archived or are gone for good."""
        if setup_schema(plan.name) is not None or association_pair(plan.name) is not None:
            return []
        at = page.fields.index(plan.schema.id_field)
        here = {row[at] for row in page.rows} | {loser for loser, _ in page.merged}
        return [i for i in dict.fromkeys(asked) if i not in here]

    def _some(self, plan: Plan, ids: Sequence[str]) -> list[Record]:
        if setup_schema(plan.name) is not None:
            wanted = set(ids)
            pages = listing(self._portal, plan.name, None)
            return [r for page, _ in pages for r in page if str(r[plan.schema.id_field]) in wanted]
        pair = association_pair(plan.name)
        if pair is not None:
            sources = list(dict.fromkeys(i.partition(":")[0] for i in ids))
            return [row for row in self._associations.rows(*pair, sources) if row["id"] in set(ids)]
        return self._records.by_ids(plan.name, ids, plan.properties)

    # ------------------------------------------------------------ what is no record

    def _setup(self, plan: Plan, position: Position) -> Iterator[Page]:
        for records, after in listing(self._portal, plan.name, position.after):
            rows: Rows = [_plain_row(plan.columns, record) for record in records]
            position = replace(position, after=after)
            cursor = position if after else finish(position.started, VISIBILITY_LAG)
            yield Page(plan.name, plan.columns, rows, cursor.encode(), last=after is None)

    def _pairs(self, plan: Plan, pair: tuple[str, str], position: Position) -> Iterator[Page]:
        """The pairs of a thousand records of the first object at a time."""
        pages = self._records.listing(pair[0], (ID_FIELD,), position.after)
        while chunk := list(islice(pages, IDS_PER_PAIRS_PAGE // PAGE_SIZE)):
            ids = [str(record["id"]) for records, _ in chunk for record in records]
            after = chunk[-1][1]
            rows: Rows = [_plain_row(plan.columns, row) for row in self._associations.rows(*pair, ids)]
            position = replace(position, after=after)
            cursor = position if after else finish(position.started, VISIBILITY_LAG)
            yield Page(plan.name, plan.columns, rows, cursor.encode(), last=after is None)

    # ------------------------------------------------------------ pages

    def _page(self, plan: Plan, records: Sequence[Record], position: Position | None, *, last: bool) -> Page:
        ids = [str(record["id"]) for record in records]
        associated: dict[str, Mapping[str, str]] = {}
        for target in plan.targets:
            name = f"{ASSOCIATED}{target}"
            found = self._associations.labelled(plan.name, target, ids) if ids else {}
            associated[name] = {i: SEPARATOR.join(others) for i, others in found.items()}
            if f"{name}{LABELS}" in plan.columns:
                named = {i: {other: of for other, of in others.items() if of} for i, others in found.items()}
                associated[f"{name}{LABELS}"] = {i: json.dumps(of, sort_keys=True) for i, of in named.items() if of}
        rows = [_row(plan, record, associated) for record in records]
        cursor = position.encode() if position else {}
        return Page(plan.name, plan.columns, list(rows), cursor, last=last, merged=merges(records))

    def versions(self, object_name: str, after: str | None) -> Iterator[VersionPage]:
        """See `connectors.kit.contract.SupportsVersions`.

        HubSpot's page tokens are ids, but whether a page begins with its token's own is not documented: it is left out.
        """
        modified = self._lookup(object_name).modified_field
        properties = (modified,) if modified else (ID_FIELD,)
        beyond = int(after or -1)
        for records, following in self._records.listing(object_name, properties, after):
            fresh = [r for r in records if int(r["id"]) > beyond]
            stamps = [str(r["properties"].get(modified) or r.get("updatedAt") or "") for r in fresh]
            yield VersionPage([str(r["id"]) for r in fresh], stamps, last=following is None)


def merges(records: Sequence[Record]) -> list[tuple[str, str]]:
    """(loser, survivor) of records that others were merged into."""
    return [(loser, str(record["id"])) for record in records for loser in losers(record)]


def _row(plan: Plan, record: Record, associated: Mapping[str, Mapping[str, str]]) -> tuple[Any, ...]:
    """HubSpot writes blank values as '' or null, and leaves out properties that it doesn't know."""
    record_id, values = str(record["id"]), record["properties"]

    def cell(name: str) -> Any:
        if name == ID_FIELD:
            return record_id
        if name in associated:
            return associated[name].get(record_id)
        value = values.get(name, MISSING)
        return None if value == "" else value

    return tuple(cell(name) for name in plan.columns)


def _plain_row(columns: Sequence[str], record: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in columns)


def _anew(position: Position, clock: Clock) -> Position:
    """What is read whole starts from the beginning after it ended."""
    return position if position.mode == "list" else Position("list", stamp(clock()))


def _limited(pages: Iterator[Page], limit: int) -> Iterator[Page]:
    """The first ``limit`` rows. A page cut short is never the last one of a listing."""
    left = limit
    for page in pages:
        if len(page) > left:
            yield replace(page, rows=page.rows[:left], last=False)
            return
        left -= len(page)
        yield page
        if left <= 0:
            return


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)
