"""Listing an object: what to ask for, in which order, by which API, and where each page's cursor stands."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from connectors.kit.contract import LABELS, ReadRequest
from connectors.salesforce import soql
from connectors.salesforce.bulk import BulkQueries, BulkRefusedError
from connectors.salesforce.cursors import Position, advance, decode, finish, highest, start
from connectors.salesforce.deletions import Deletions
from connectors.salesforce.errors import vendor_code, with_object
from connectors.salesforce.junctions import SEPARATOR, Junction, Junctions, junctions_of
from connectors.salesforce.objects import IDS_PER_QUERY, PAGE_SIZE, quirk, vendors_own
from connectors.salesforce.org import Org
from connectors.salesforce.schema import COMPOUND_TYPES, readable_fields
from connectors.salesforce.standard_prices import FIELDS, StandardPrices, currency_of
from domain.errors import ConfigurationError, CursorExpiredError, SynclineError, TransientError
from domain.records import MISSING, Cursor, ObjectSchema, Page

VISIBILITY_LAG = timedelta(minutes=5)
"""How late a record may become visible under an earlier SystemModstamp: a transaction stamps it before it commits."""
CURSOR_OVERLAP = timedelta(minutes=1)
BULK_THRESHOLD = 50_000
"""Above it a bulk job costs fewer API calls than pages of 2,000 do, its polling included."""
RESTARTS_MAX = 20

Rows = list[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one listing asks for. ``columns`` go into the pages, ``asked`` into the query."""

    schema: ObjectSchema
    columns: tuple[str, ...]
    asked: tuple[str, ...]
    key: str | None
    where: str = ""
    limit: int | None = None
    inline: str | None = None
    junctions: Mapping[str, Junction] = field(default_factory=dict)

    @property
    def order(self) -> tuple[str, ...]:
        return (self.key, "Id") if self.key else ("Id",)

    @property
    def source(self) -> str:
        """The object at Salesforce that is asked for."""
        return vendors_own(self.schema.name)

    @property
    def archived(self) -> bool:
        return quirk(self.schema.name).archived

    @property
    def priced(self) -> bool:
        """Whether products are listed with their standard price."""
        return not set(FIELDS).isdisjoint(self.columns)

    @property
    def bulk_able(self) -> bool:
        if self.junctions or self.priced:
            return False
        compound = any(self.schema.field(n).vendor_type.lower() in COMPOUND_TYPES for n in self.columns)
        return quirk(self.schema.name).bulk and not compound and self.limit is None


def plan_of(schema: ObjectSchema, request: ReadRequest) -> Plan:
    """Raises ConfigurationError when the request names a field that the object lacks or that cannot be listed."""
    wanted = request.fields or readable_fields(schema)
    junctions = {name: j for name, j in junctions_of(schema.name).items() if name in wanted}
    labels = [f"{name}{LABELS}" for name in junctions]
    by_folded = {name.lower(): name for name in (*schema.field_names, *junctions, *labels)}
    for name in wanted:
        if name.lower() not in by_folded:
            raise _unknown_field(schema, name)
    columns = tuple(dict.fromkeys(("Id", *(by_folded[name.lower()] for name in wanted))))
    key = schema.modified_field
    special = quirk(schema.name)
    inline = special.content if special.inline and special.content in columns else None
    told = {inline, *junctions, *labels, *FIELDS}
    asked = tuple(dict.fromkeys((*(c for c in columns if c not in told), *((key,) if key else ()))))
    return Plan(schema, columns, asked, key, special.where, request.limit, inline, junctions)


def _unknown_field(schema: ObjectSchema, name: str) -> ConfigurationError:
    close = difflib.get_close_matches(name, schema.field_names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return ConfigurationError(
        f"{schema.name} has no field {name[:80]} that can be listed.{hint}",
        remedy="Check the name and the connected user's field-level security.",
        code="unknown_field",
        context={"object": schema.name, "field": name[:80]},
    )


class Reader:
    """Listings of one org. ``lookup`` gives the schema of an object that a listing goes through."""

    def __init__(
        self,
        org: Org,
        lookup: Callable[[str], ObjectSchema],
        *,
        clock: Callable[[], datetime],
        bulk: BulkQueries,
        bulk_threshold: int = BULK_THRESHOLD,
    ) -> None:
        self._org = org
        self._lookup = lookup
        self._clock = clock
        self._bulk = bulk
        self._bulk_threshold = bulk_threshold
        self._deletions = Deletions(org)
        self._junctions = Junctions(org)
        self._prices = StandardPrices(org)

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """See `connectors.kit.contract.Connector.read`."""
        schema = self._lookup(request.object)
        plan = plan_of(schema, request)
        try:
            if request.ids is not None:
                yield from self._by_ids(plan, request.ids, request.cursor)
            elif quirk(schema.name).listed_by is not None:
                yield from self._linked(plan, request.cursor)
            else:
                yield from self._listing(plan, request)
        except SynclineError as error:
            with_object(error, schema.name)
            raise

    # ------------------------------------------------------------ all records, or those changed

    def _listing(self, plan: Plan, request: ReadRequest) -> Iterator[Page]:
        before = decode(request.cursor)
        if before is not None and before.mode == "bulk":
            yield from self._bulk_resumed(plan, before)
            return
        if before is not None and before.mode in ("keyset", "id"):
            yield from self._pages(plan, before)
            return
        now = self._clock()
        position = start(before, now, VISIBILITY_LAG)
        if request.deleted and before is not None and before.deleted_from is not None:
            deleted, covered = self._deletions.since(
                replace(plan.schema, name=plan.source), soql.parse_timestamp(before.deleted_from), now
            )
            position = replace(position, deleted_from=soql.timestamp(covered))
            if deleted:
                # Before the rows, so that a record restored meanwhile is alive again when they arrive.
                yield Page(
                    plan.schema.name,
                    plan.columns,
                    [],
                    replace(before, deleted_from=position.deleted_from).encode(),
                    deleted=deleted,
                )
        if before is not None:
            yield from self._reassociated(plan, before, replace(before, deleted_from=position.deleted_from))
        if (request.expected_count or 0) >= self._bulk_threshold and plan.bulk_able:
            yield from self._bulk_started(plan, position)
        else:
            yield from self._pages(plan, position)

    def _reassociated(self, plan: Plan, before: Position, here: Position) -> Iterator[Page]:
        """Records of which a junction record or a price came or went, whose own stamp does not tell.

        Read again, if the reading stops here.
        """
        since = before.ends_from or before.modstamp
        if since is None:
            return
        moment = soql.parse_timestamp(since) - CURSOR_OVERLAP
        ids = {i for j in plan.junctions.values() for i in self._junctions.changed(j, moment)}
        if plan.priced:
            ids.update(self._prices.changed(moment, currency_of(plan.schema)))
        for page in self._by_ids(plan, sorted(ids), None) if ids else ():
            yield replace(page, cursor=here.encode(), last=False)

    def _pages(self, plan: Plan, position: Position) -> Iterator[Page]:
        take, stamp_of = _taker(plan.columns), _column(plan.key)
        at = _Progress(position, plan.limit)
        for reply, moment in self._replies(plan, at):
            records = reply["records"]
            at.take(records, moment, plan, stamp_of)
            last = bool(reply["done"]) and at.left != 0
            cursor = finish(at.position, VISIBILITY_LAG) if last else at.position
            rows: Rows = [take(r) for r in self._with_content(plan, records)]
            yield Page(plan.schema.name, plan.columns, rows, cursor.encode(), last=last)

    def _with_content(self, plan: Plan, records: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Notes keep their text as content, which no query returns; junction records and prices take queries of their own."""
        if plan.inline is not None:
            for record in records:
                path = self._org.path(f"sobjects/{plan.source}/{record['Id']}/{plan.inline}")
                record[plan.inline] = self._org.request("GET", path).text or None
        for name, junction in plan.junctions.items() if records else ():
            held = self._junctions.labelled(junction, [str(r["Id"]) for r in records])
            for record in records:
                others = held.get(str(record["Id"]), {})
                named = {other: of for other, of in others.items() if of}
                record[name] = SEPARATOR.join(others)
                record[f"{name}{LABELS}"] = json.dumps(named, sort_keys=True) if named else ""
        if plan.priced and records:
            self._prices.fill(records, currency_of(plan.schema))
        return records

    def _replies(self, plan: Plan, at: _Progress) -> Iterator[tuple[dict[str, Any], datetime | None]]:
        """Pages, with Salesforce's time where it told; a query it has closed is asked again from where it stood."""
        for _ in range(RESTARTS_MAX):
            reply, moment = self._org.query(self._query(plan, at), include_deleted=plan.archived)
            yield reply, moment
            while not reply["done"]:
                following = self._following(str(reply["nextRecordsUrl"]))
                if following is None:
                    break
                reply = following
                yield reply, None
            else:
                return
        raise TransientError("Salesforce keeps closing the query before its next page.")

    def _following(self, next_url: str) -> dict[str, Any] | None:
        """The next page, or None when Salesforce has closed the query: locators live two days, ten at a time."""
        try:
            return self._org.more(next_url)
        except CursorExpiredError as error:
            if vendor_code(error) != "INVALID_QUERY_LOCATOR":
                raise
            return None

    def _query(self, plan: Plan, at: _Progress) -> str:
        where = (plan.where, _from(plan, at.position))
        return soql.select(plan.source, plan.asked, where=where, order=plan.order, limit=at.left)

    # ------------------------------------------------------------ by bulk job

    def _bulk_started(self, plan: Plan, position: Position) -> Iterator[Page]:
        query = soql.select(plan.source, plan.asked, where=(plan.where, _from(plan, position)))
        try:
            job = self._bulk.create(query, include_deleted=plan.archived)
        except BulkRefusedError:
            yield from self._pages(plan, position)
            return
        running = replace(position, mode="bulk", job=job)
        yield Page(plan.schema.name, plan.columns, [], running.encode())
        yield from self._bulk_pages(plan, running)

    def _bulk_resumed(self, plan: Plan, position: Position) -> Iterator[Page]:
        if position.job is not None and self._bulk.alive(position.job):
            yield from self._bulk_pages(plan, position)
            return
        anew = replace(position, mode="keyset", job=None, locator=None, skip=0, modstamp=None)
        yield from self._pages(plan, anew)

    def _bulk_pages(self, plan: Plan, position: Position) -> Iterator[Page]:
        job = position.job or ""
        try:
            self._bulk.wait(job)
        except BulkRefusedError:
            yield from self._pages(plan, replace(position, mode="keyset", job=None, modstamp=None))
            return
        fields = [plan.schema.field(name) for name in plan.asked]
        key = plan.asked.index(plan.key) if plan.key else None
        width = len(plan.columns)
        for batch in self._bulk.results(job, fields, position.locator, position.skip, PAGE_SIZE):
            stamps = [row[key] or None for row in batch.rows] if key is not None else []
            position = replace(
                position, locator=batch.locator, skip=batch.skip, modstamp=highest(position.modstamp, stamps)
            )
            cursor = finish(position, VISIBILITY_LAG) if batch.last else position
            rows: Rows = [row[:width] for row in batch.rows]
            yield Page(plan.schema.name, plan.columns, rows, cursor.encode(), last=batch.last)

    # ------------------------------------------------------------ by ids

    def _by_ids(self, plan: Plan, ids: Sequence[str], cursor: Cursor | None) -> Iterator[Page]:
        done = int((cursor or {}).get("ids_done", 0))
        take = _taker(plan.columns)
        if done >= len(ids):
            yield Page(plan.schema.name, plan.columns, [], {"ids_done": len(ids)}, last=True)
        for chunk in soql.chunks(ids[done:], IDS_PER_QUERY):
            done += len(chunk)
            query = soql.select(plan.source, plan.asked, where=(plan.where, soql.among("Id", chunk)))
            found = list(self._org.query_all(query, include_deleted=plan.archived))
            rows: Rows = [take(r) for r in self._with_content(plan, found)]
            yield Page(plan.schema.name, plan.columns, rows, {"ids_done": done}, last=done >= len(ids))

    def _linked(self, plan: Plan, cursor: Cursor | None) -> Iterator[Page]:
        """Objects that Salesforce lists only by the ids of another one (ContentDocumentLink)."""
        field, other, other_field = quirk(plan.schema.name).listed_by or ("", "", "")
        take = _taker(plan.columns)
        before = decode(cursor)
        position = before if before and before.mode == "id" else Position("id", soql.timestamp(self._clock()))
        where = (soql.after_id(other_field, position.record_id),)
        ids = sorted(
            {str(r[other_field]) for r in self._org.query_all(soql.select(other, (other_field,), where=where))}
        )
        for chunk in soql.chunks(ids, IDS_PER_QUERY):
            query = soql.select(plan.source, plan.columns, where=(soql.among(field, chunk),))
            rows: Rows = [take(record) for record in self._org.query_all(query)]
            last = chunk[-1] == ids[-1]
            position = replace(position, record_id=chunk[-1])
            cursor_now = Position("done", position.started_at) if last else position
            yield Page(plan.schema.name, plan.columns, rows, cursor_now.encode(), last=last)
        if not ids:
            yield Page(plan.schema.name, plan.columns, [], Position("done", position.started_at).encode(), last=True)


@dataclass(slots=True)
class _Progress:
    """How far a listing by pages has come; ``left`` of a limit."""

    position: Position
    left: int | None

    def take(
        self,
        records: Sequence[Mapping[str, Any]],
        moment: datetime | None,
        plan: Plan,
        stamp_of: Callable[[Mapping[str, Any]], Any],
    ) -> None:
        """Go past a page. The vendor's clock counts where it is behind ours."""
        if moment is not None and moment < soql.parse_timestamp(self.position.started_at):
            self.position = replace(self.position, started_at=soql.timestamp(moment))
        if self.left is not None:
            self.left -= len(records)
        if records and plan.key is None:
            self.position = replace(self.position, mode="id", record_id=str(records[-1]["Id"]))
        elif records:
            self.position = advance(self.position, [stamp_of(r) for r in records], [str(r["Id"]) for r in records])


def _from(plan: Plan, position: Position) -> str:
    """The clause that leaves out what earlier pages or listings covered."""
    if position.mode == "id" and position.record_id is not None:
        return soql.after_id("Id", position.record_id)
    if plan.key is None:
        return ""
    if position.mode == "keyset" and position.modstamp is not None and position.record_id is not None:
        return soql.after(plan.key, soql.parse_timestamp(position.modstamp), position.record_id)
    if position.since is not None:
        return soql.since(plan.key, soql.parse_timestamp(position.since) - CURSOR_OVERLAP)
    return ""


def _column(name: str | None) -> Callable[[Mapping[str, Any]], Any]:
    return itemgetter(name) if name else lambda _record: None


def _taker(columns: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Turns a record into a row. Salesforce sends every field it was asked for; what it doesn't send is MISSING."""
    fast: Callable[[Mapping[str, Any]], Any] = itemgetter(*columns)
    single = len(columns) == 1

    def take(record: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            row = fast(record)
        except KeyError:
            return tuple(record.get(name, MISSING) for name in columns)
        return (row,) if single else row

    return take


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)
