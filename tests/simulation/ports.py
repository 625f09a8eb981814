"""A stand-in vendor's object as the engine's `VendorPort`, with every call a point where the simulation may interfere."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.entities import ENTITIES
from domain.errors import CursorExpiredError, RecordRejectedError
from domain.records import Cursor, WriteResult
from sync_engine.core.merge import is_blank
from sync_engine.core.model import Hub, HubRef, Incoming, ListKind, Rules
from sync_engine.core.stand_ins import PIPELINE, STAGE
from sync_engine.ports import Held, Lane, Listing, Projection, Raw, Versions, Write
from tests.simulation.stages import PIPELINES, STAGES, Catalogue
from tests.simulation.vendors import LAG, OVERLAP, Row, TakenError, Vendor

FIELDS: Mapping[str, tuple[str, ...]] = {
    "account": ("name", "city"),
    "contact": ("email", "name", "phone", "city", "tags", "account_id"),
    "opportunity": ("name", "city", "stage_id", "pipeline_id", "probability"),
}
OBJECTS = {"account": "companies", "contact": "people", "opportunity": "deals"}
REFERS: Mapping[str, str] = {"account_id": "companies", "stage_id": STAGES, "pipeline_id": PIPELINES}
HELD = 14

Call = Callable[[str, Callable[[], Any]], Any]
Refs = Mapping[UUID, Sequence[tuple[str, str]]]


def rules_for(entity: str, **chosen: Any) -> Rules:
    names = frozenset(FIELDS[entity])
    keys = (("email",),) if entity == "contact" else (("name",),)
    lists = {"tags": ListKind.SET} if entity == "contact" else {}
    if entity == "opportunity":
        chosen |= {"follows": {"probability": "stage_id"}, "refers": {n: (o,) for n, o in REFERS.items()}}
    writes = names - {"probability"}
    return Rules(entity, names | {"source_updated_at"}, writes, match_keys=keys, lists=lists, **chosen)


def held(name: str, value: Any) -> Any:
    """A value as the mapping can write it: names lose what is too long."""
    return value[:HELD] if name == "name" and isinstance(value, str) else value


class SimPort:
    """``call``: runs a vendor call by its name, or something else in its place: a fault, a switch, both."""

    def __init__(self, vendor: Vendor, lane: Lane, rules: Rules, call: Call, can_find: bool) -> None:
        self.vendor, self.lane, self.rules, self._call = vendor, lane, rules, call
        self.object = lane.object
        self.batch_size, self.page_size, self.ids_size = 3, 2, 4
        self.repeatable_creates = self.can_compare = vendor.strict
        self.conditional_writes = vendor.strict and not vendor.keeps
        self.can_find = can_find
        self.catalogue: Catalogue | None = None
        self.membership = None
        self.read_at: dict[str, int] = {}
        """When this pass itself last read each record; a pass has a port of its own."""
        self.id_order = "ascii"
        self.settle_s = (LAG + OVERLAP).total_seconds()
        self.on_page: Callable[[Sequence[str]], None] = lambda _ids: None

    # ------------------------------------------------------------ reading

    def pages(self, cursor: Cursor | None) -> Iterator[Listing]:
        since = None if cursor is None else datetime.fromisoformat(cursor["since"])
        expired = self.vendor.expired_before
        if since is not None and expired is not None and since < expired:
            self._call("read", lambda: None)
            raise CursorExpiredError("The cursor is too old.")
        pages = self.vendor.pages(self.object, since, self.page_size)
        while True:
            page = self._call("read", lambda: next(pages, None))
            if page is None:
                return
            rows, goes_on, last = page
            shown = [r for r in rows if since is not None or not r.deleted]
            self.on_page([r.id for r in shown])
            yield Listing([self.raw(r) for r in shown], {"since": goes_on.isoformat()}, last)

    def fetch(self, vendor_ids: Sequence[str]) -> Sequence[Raw]:
        rows = self._call("fetch", lambda: [(i, self.vendor.by_id(self.object, i)) for i in dict.fromkeys(vendor_ids)])
        self.read_at |= dict.fromkeys(vendor_ids, self.vendor.serial)
        return [Raw(Incoming(i, deleted=True)) if row is None else self.raw(row) for i, row in rows]

    def untold(self, *, every: bool) -> bool:
        return False

    def associated(self, vendor_ids: Sequence[str], *, every: bool) -> Sequence[Raw]:
        raise NotImplementedError("these vendors have no lists of associated records")

    def raw(self, row: Row) -> Raw:
        if row.merged_into is not None and self.vendor.strict:
            return Raw(Incoming(row.id, merged_into=row.merged_into))
        if row.deleted:
            return Raw(Incoming(row.id, deleted=True))
        said = {n: row.values.get(n) for n in FIELDS[self.rules.entity]}
        refs = {n: ((o,), said.pop(n)) for n, o in REFERS.items() if said.get(n)}
        said["source_updated_at"] = row.modified_at
        print_ = repr((row.modified_at, sorted(row.values.items()))).encode()
        key = UUID(row.key) if row.key and (self.vendor.strict or self.can_find) else None
        version = self.vendor.version(row)
        return Raw(Incoming(row.id, said, version, row.modified_at, print_, key=key, raw=dict(row.values)), refs)

    def versions(self, after: str | None) -> Iterator[Versions]:
        def page() -> list[Row]:
            return self.vendor.listed(self.object, after, self.page_size)

        while True:
            rows = self._call("read", page)
            if rows is None:
                return
            last = len(rows) < self.page_size
            yield Versions([(r.id, self.vendor.version(r)) for r in rows], last)
            if last:
                return
            after = rows[-1].id

    def cursor_at(self, moment: datetime) -> Cursor:
        return {"since": (moment + self.vendor.skew - LAG - OVERLAP).isoformat()}

    def new_id(self, incoming: Incoming) -> UUID:
        return uuid.uuid5(self.lane.connection_id, f"{self.object}/{incoming.vendor_id}")

    # ------------------------------------------------------------ writing

    def project(self, hubs: Sequence[Hub], refs: Refs, held: Held | None = None) -> Sequence[Projection]:
        return [self._project(hub, refs) for hub in hubs]

    def _project(self, hub: Hub, refs: Refs) -> Projection:
        seen: dict[str, Any] = {}
        waits: list[HubRef] = []
        for name in FIELDS[self.rules.entity]:
            value = hub.values.get(name)
            if not self.rules.writes_field(name):
                continue
            if isinstance(value, UUID) and not _vendor_id(refs, value, REFERS[name]):
                waits.append(HubRef(name, ENTITIES[self.rules.entity].field(name).refers_to or "", value))
            else:
                seen[name] = held(name, value)
        return Projection(seen, tuple(waits))

    def write(self, writes: Sequence[Write], refs: Refs) -> Sequence[WriteResult]:
        return self._call("write", lambda: [self._write(w, refs) for w in writes])

    def _write(self, write: Write, refs: Refs) -> WriteResult:
        self._no_guess(write)
        values = {n: _vendor_id(refs, v, REFERS[n]) if isinstance(v, UUID) else v for n, v in write.fields.items()}
        if write.vendor_id is None:
            key = str(write.entity_id) if self.vendor.strict or self.can_find else None
            given = {n: v for n, v in values.items() if not is_blank(v)}
            try:
                row, created = self.vendor.upsert(self.object, given, key, blind=not self.can_find)
            except TakenError as taken:
                return WriteResult(str(write.entity_id), error=_stands_there(taken))
            return WriteResult(str(write.entity_id), row.id, created, self.vendor.version(row))
        return self._update(write, values)

    def _no_guess(self, write: Write) -> None:
        """A sale is put only where no other stage of the vendor's answers to its own as well."""
        stage = self.catalogue.ids.get(write.fields.get(STAGE)) if self.catalogue is not None else None
        if stage is None or self.catalogue is None or write.fields[STAGE] == write.base.get(STAGE):
            return
        sought, pipeline, held = (
            self.catalogue.ids.get(of.get(name))
            for of, name in ((write.record, STAGE), (write.record, PIPELINE), (write.base, PIPELINE))
        )
        assert sought is not None
        fitting = self.catalogue.found_at(sought, pipeline, held.id if held else None, self.vendor.name)
        if fitting != [stage]:
            raise AssertionError(f"{stage.id} is a guess: {[p.id for p in fitting]}")

    def _update(self, write: Write, values: Mapping[str, Any]) -> WriteResult:
        assert write.vendor_id is not None
        key = str(write.entity_id)
        try:
            row = self.vendor.put(
                self.object, write.vendor_id, values, write.expected_version, self.read_at.get(write.vendor_id)
            )
        except KeyError:
            return WriteResult(key, write.vendor_id, error=RecordRejectedError("It is gone.", code="record_not_found"))
        except TakenError as taken:
            return WriteResult(key, write.vendor_id, error=_stands_there(taken))
        if row is None:
            return WriteResult(key, write.vendor_id, error=RecordRejectedError("A newer version.", code="conflict"))
        return WriteResult(key, row.id, False, self.vendor.version(row))

    def delete(self, vendor_ids: Sequence[str]) -> Sequence[WriteResult]:
        return self._call("delete", lambda: [self._delete(i) for i in vendor_ids])

    def _delete(self, vendor_id: str) -> WriteResult:
        self.vendor.remove(self.object, vendor_id, self.read_at.get(vendor_id))
        return WriteResult(vendor_id, vendor_id)

    def find(self, keys: Sequence[UUID]) -> Mapping[UUID, str]:
        def look() -> dict[UUID, str]:
            live = self.vendor.live(self.object)
            shown = live if self.vendor.strict else [s for r in live if (s := self.vendor.indexed(r)) is not None]
            by_key = {r.key: r.id for r in shown}
            return {k: by_key[str(k)] for k in keys if str(k) in by_key}

        found: dict[UUID, str] = self._call("find", look)
        return found


def _stands_there(taken: TakenError) -> RecordRejectedError:
    return RecordRejectedError(
        "It stands there already.", code="already_exists", context={"existing_id": str(taken.args[0])}
    )


def _vendor_id(refs: Refs, hub_id: UUID, of: str) -> str | None:
    return next((v for name, v in refs.get(hub_id, ()) if name == of), None)
