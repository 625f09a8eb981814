"""Listing an object: which listings it is made of, in which order, and where each page's cursor stands."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.kit.contract import ReadRequest
from connectors.pipedrive.company import Company, next_cursor
from connectors.pipedrive.cursors import Position, begin, decode, finish, highest, instant, written
from connectors.pipedrive.objects import DEALS_PER_CALL, IDS_PER_CALL, KINDS, V2_PAGE, Kind, Part
from connectors.pipedrive.records import Record, taker
from domain.errors import ConfigurationError, RecordRejectedError
from domain.records import Cursor, ObjectSchema, Page

VISIBILITY_LAG = timedelta(minutes=2)
CURSOR_OVERLAP = timedelta(minutes=1)
"""Pipedrive documents neither; update times have whole seconds, and lists may come from a replica."""

Rows = list[Record]


@dataclass(frozen=True, slots=True)
class Listing:
    """What one reading asks for."""

    kind: Kind
    schema: ObjectSchema
    columns: tuple[str, ...]
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one call, the position after it, and whether its part of the listing is over."""

    records: Rows
    position: Position
    over: bool


def listing_of(kind: Kind, schema: ObjectSchema, request: ReadRequest) -> Listing:
    """Raises ConfigurationError when the request names a field that the object lacks."""
    wanted = request.fields or schema.field_names
    for name in wanted:
        if name not in schema.field_names:
            raise _unknown_field(schema, name)
    return Listing(kind, schema, tuple(dict.fromkeys((kind.id_field, *wanted))), request.limit)


def _unknown_field(schema: ObjectSchema, name: str) -> ConfigurationError:
    close = difflib.get_close_matches(name, schema.field_names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return ConfigurationError(
        f"{schema.name} has no field {name[:80]}.{hint}",
        remedy="Check the key, and whether the field was deleted in Pipedrive.",
        code="unknown_field",
        context={"object": schema.name, "field": name[:80]},
    )


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


class Reader:
    """Listings of one company. ``lookup`` gives the schema of an object."""

    def __init__(
        self, company: Company, lookup: Callable[[str], ObjectSchema], clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._company = company
        self._lookup = lookup
        self._clock = clock

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """See `connectors.kit.contract.Connector.read`."""
        schema = self._lookup(request.object)
        listing = listing_of(KINDS[request.object], schema, request)
        if request.ids is not None:
            yield from self._by_ids(listing, request.ids, request.cursor)
        else:
            yield from self._all(listing, request)

    # ------------------------------------------------------------ all records, or those changed

    def _all(self, listing: Listing, request: ReadRequest) -> Iterator[Page]:
        before = decode(request.cursor)
        position = before if before is not None and before.mode == "on" else begin(before, self._clock())
        if request.deleted and before is not None and before.mode == "done" and listing.kind.lists_deleted:
            gone = self._deleted(listing.kind, before)
            if gone:  # before the rows, so that a record restored meanwhile is alive again when they arrive
                yield Page(listing.kind.name, listing.columns, [], before.encode(), deleted=gone)
        left = listing.limit
        for batch, last in self._batches(listing.kind, position):
            records = batch.records if left is None else batch.records[:left]
            left = None if left is None else left - len(records)
            cursor = finish(batch.position, VISIBILITY_LAG) if last and left != 0 else batch.position
            yield self._page(listing, records, cursor, last=last and left != 0)
            if left == 0:
                return

    def _page(self, listing: Listing, records: Rows, position: Position, *, last: bool) -> Page:
        """Records that are only marked as deleted are deletions, in whichever listing they come."""
        kind = listing.kind
        dead = [str(r["id"]) for r in records if is_dead(kind, r)]
        alive = [r for r in records if not is_dead(kind, r)] if dead else records
        take = taker(kind, listing.schema, listing.columns)
        return Page(kind.name, listing.columns, [take(r) for r in alive], position.encode(), last=last, deleted=dead)

    def _batches(self, kind: Kind, position: Position) -> Iterator[tuple[Batch, bool]]:
        """Every batch of every part, and whether it is the last of all."""
        while True:
            part = kind.parts[position.part]
            for batch in self._part(part, kind, position):
                last = batch.over and position.part == len(kind.parts) - 1
                at = batch.position
                if batch.over and not last:
                    at = replace(at, part=position.part + 1, token=None, start=0, anchor=None, deals=None)
                    batch = replace(batch, position=at)
                yield batch, last
                if last:
                    return
                position = at

    def _part(self, part: Part, kind: Kind, position: Position) -> Iterator[Batch]:
        match part.paging:
            case "cursor":
                return self._by_cursor(part, position)
            case "offset":
                return self._by_offset(part, position)
            case "by_deal":
                return self._by_deal(part, position)
            case _:
                return self._whole(part, kind, position)

    def _by_cursor(self, part: Part, position: Position) -> Iterator[Batch]:
        """v2: Pipedrive's own token; where it is refused, from the last update time seen."""
        while True:
            reply = self._cursor_page(part, position)
            records: Rows = list(reply.get("data") or [])
            token = next_cursor(reply)
            position = _past(replace(position, token=token), records)
            yield Batch(records, position, over=token is None)
            if token is None:
                return

    def _cursor_page(self, part: Part, position: Position) -> dict[str, Any]:
        params = {"limit": part.page, **_order(part), "updated_since": _since(part, position)}
        try:
            return self._company.get(part.path, {**params, "cursor": position.token})
        except RecordRejectedError:
            if position.token is None:
                raise
        if part.since == "server" and position.stamp:
            params["updated_since"] = position.stamp
        return self._company.get(part.path, params)

    def _by_offset(self, part: Part, position: Position) -> Iterator[Batch]:
        """v1: by offset, which moves when somebody deletes an earlier record.

        So each page begins with the last record of the one before. Where another stands there, the page before is read again.
        """
        while True:
            start = max(position.start - 1, 0)
            reply = self._company.get(part.path, self._offset_params(part, position, start))
            found: Rows = list(reply.get("data") or [])
            if position.anchor and (not found or str(found[0]["id"]) != position.anchor):
                position = replace(position, start=max(position.start - part.page, 0), anchor=None)
                continue
            records = found[1:] if position.anchor else found
            over = not _more(reply) or _reached(part, records, position)
            anchor = str(found[-1]["id"]) if found else None
            position = _past(replace(position, start=start + len(found), anchor=anchor), records)
            yield Batch(records, position, over=over)
            if over:
                return

    def _offset_params(self, part: Part, position: Position, start: int) -> dict[str, Any]:
        newest = "DESC" if part.since == "stop" and position.since else "ASC"
        sort = f"update_time {newest}" if part.path != "/api/v1/notes" or position.since else "id ASC"
        return {"start": start, "limit": part.page, "sort": sort, "updated_since": _since(part, position)}

    def _by_deal(self, part: Part, position: Position) -> Iterator[Batch]:
        """Line items can only be asked for by deal, a hundred at a time; a changed line item changes its deal."""
        deals = KINDS["deals"]
        start = replace(position, part=int((position.deals or "0:").split(":")[0]), token=_deal_token(position))
        for batch, last in self._batches(deals, start):
            records = self._lines(part, [str(r["id"]) for r in batch.records])
            at = batch.position
            where = replace(at, part=0, token=None, deals=f"{at.part}:{at.token or ''}")
            yield Batch(records, where, over=last)

    def _lines(self, part: Part, deal_ids: Sequence[str]) -> Rows:
        found: Rows = []
        for first in range(0, len(deal_ids), DEALS_PER_CALL):
            asked = ",".join(deal_ids[first : first + DEALS_PER_CALL])
            for page in self._company.pages(part.path, {"deal_ids": asked, "limit": part.page, "sort_by": "id"}):
                found += page
        return found

    def _whole(self, part: Part, kind: Kind, position: Position) -> Iterator[Batch]:
        records: Rows = list(self._company.get(part.path).get("data") or [])
        stamps = [r.get(kind.modified) for r in records] if kind.modified else []
        yield Batch(records, replace(position, stamp=highest(position.stamp, stamps, position.started_at)), over=True)

    # ------------------------------------------------------------ deletions and single records

    def _deleted(self, kind: Kind, before: Position) -> list[str]:
        """Deals that were deleted since; Pipedrive lists them for thirty days."""
        since = written(instant(before.since) - CURSOR_OVERLAP) if before.since else None
        params = {"status": "deleted", "updated_since": since, "limit": V2_PAGE, **_order(kind.parts[0])}
        return [str(r["id"]) for page in self._company.pages(kind.path, params) for r in page]

    def _by_ids(self, listing: Listing, ids: Sequence[str], cursor: Cursor | None) -> Iterator[Page]:
        done, name = int((cursor or {}).get("ids_done", 0)), listing.kind.name
        take = taker(listing.kind, listing.schema, listing.columns)
        if done >= len(ids):
            yield Page(name, listing.columns, [], {"ids_done": len(ids)}, last=True)
        for first in range(done, len(ids), IDS_PER_CALL):
            chunk = ids[first : first + IDS_PER_CALL]
            rows: list[Sequence[Any]] = [take(r) for r in self._records(listing.kind, chunk)]
            done = first + len(chunk)
            yield Page(name, listing.columns, rows, {"ids_done": done}, last=done >= len(ids))

    def _records(self, kind: Kind, ids: Sequence[str]) -> Rows:
        if kind.by_ids:
            wanted = {"ids": ",".join(ids), "limit": IDS_PER_CALL}
            return [r for part in kind.parts for page in self._company.pages(part.path, wanted) for r in page]
        if kind.id_field == "key":
            lines = self._lines(kind.parts[0], sorted({i.partition("/")[0] for i in ids}))
            return [r for r in lines if f"{r['deal_id']}/{r['id']}" in ids]
        return [record for i in ids if (record := self._company.found(f"{kind.path}/{i}")) is not None]


def is_dead(kind: Kind, record: Record) -> bool:
    """Whether a record is only marked as deleted. Users who left are none: they own what they left behind."""
    if kind.name == "users" or kind.deleted_field is None:
        return False
    return record.get(kind.deleted_field) is (kind.deleted_field != "active_flag")


def _order(part: Part) -> dict[str, str]:
    key = "update_time" if part.since == "server" else "id"
    return {"sort_by": key, "sort_direction": "asc"}


def _since(part: Part, position: Position) -> str | None:
    if part.since != "server" or position.since is None:
        return None
    return written(instant(position.since) - CURSOR_OVERLAP)


def _past(position: Position, records: Rows) -> Position:
    stamps = [r.get("update_time") for r in records]
    return replace(position, stamp=highest(position.stamp, stamps, position.started_at))


def _reached(part: Part, records: Rows, position: Position) -> bool:
    """Whether a listing that begins with the newest has come to what earlier ones covered."""
    if part.since != "stop" or position.since is None or not records:
        return False
    stamp = records[-1].get("update_time")
    return bool(stamp) and instant(str(stamp)) < instant(position.since) - CURSOR_OVERLAP


def _more(reply: dict[str, Any]) -> bool:
    extra = reply.get("additional_data") or {}
    return bool((extra.get("pagination") or extra).get("more_items_in_collection"))


def _deal_token(position: Position) -> str | None:
    return (position.deals or "").partition(":")[2] or None
