"""One object of one connection in the hub's terms: a connector behind a lens, as the engine's `VendorPort`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from connectors.kit.contract import (
    Connector,
    ObjectInfo,
    ReadRequest,
    SupportsCursorAt,
    SupportsDelete,
    SupportsFind,
    SupportsUpsert,
    SupportsVersions,
)
from domain.entities import ENTITIES, Kind
from domain.errors import ConfigurationError
from domain.ids import record_id
from domain.records import MISSING, Cursor, MappedBatch, Outgoing, Page, Problem, WriteResult
from domain.versions import comparable
from mappings.compile import OUT_OF_SCOPE, Lens
from mappings.fingerprint import fingerprints
from sync_engine.core.model import Failure, Hub, HubRef, Incoming, ListKind, Record, Rules
from sync_engine.ports import Listing, Projection, Raw, Versions, Write

CUSTOM = "custom_fields."
MARGIN_S = 5.0
_NO_ID = "-"

Refs = Mapping[UUID, Sequence[tuple[str, str]]]


def rules_of(lens: Lens, **chosen: Any) -> Rules:
    """The rules that follow from a lens: what it reads and writes, what the vendor requires, which lists are sets."""
    fields = ENTITIES[lens.entity].all_fields
    lines = lens.spec.fields
    reads = {name for name, line in lines.items() if line.reads} | set(lens.spec.constants) | {"custom_fields"}
    writes = {n for n, line in lines.items() if line.writes and all(lens.writable(s) for s in line.sources)}
    required = {f.name for f in (lens.schema.fields if lens.schema else ()) if f.required}
    defaults: dict[str, Any] = {
        "entity": lens.entity,
        "reads": frozenset(reads),
        "writes": frozenset(writes | {"custom_fields"}),
        "required": frozenset(n for n in writes if required & set(lines[n].sources)),
        "match_keys": ENTITIES[lens.entity].match_keys,
        "only": dict(lens.spec.constants),
        "lists": {n: ListKind.SET for n, f in fields.items() if f.kind is Kind.TEXT_LIST},
    }
    return Rules(**{**defaults, **chosen})


@dataclass
class ConnectorObject:
    """See `sync_engine.ports.VendorPort`. ``key_field``: the vendor's unique field that holds hub ids, where it has one.

    ``namespace``: from `domain.ids.record_namespace`.
    """

    connector: Connector
    lens: Lens
    rules: Rules
    namespace: bytes
    key_field: str | None = None

    def __post_init__(self) -> None:
        self._writes = self.rules.writes - {"custom_fields"}
        self._sources = {name: frozenset(line.sources) for name, line in self.lens.spec.fields.items()}
        self.object = self.lens.spec.object
        info = self._info()
        self.batch_size = max(info.batch_size, 1)
        self.repeatable_creates = self.key_field is not None and self.upserts_by_key
        self.can_find = self.key_field is not None and isinstance(self.connector, SupportsFind)
        # Set-up objects (stages, owners, …) are no records of their own: they are listed whole each time.
        self.can_compare = (
            self.object not in getattr(self.connector, "uncompared", ())
            and isinstance(self.connector, SupportsVersions)
            and isinstance(self.connector, SupportsCursorAt)
        )
        self.id_order = str(getattr(self.connector, "id_order", "ascii"))
        self.settle_s = self.connector.manifest.visibility_lag.total_seconds() + MARGIN_S
        self._options = _closed_lists(self.lens)
        names = [*self.lens.source_fields, *([self.key_field] if self.key_field else [])]
        self.fields = tuple(dict.fromkeys(names)) if self.lens.schema is not None else None

    @property
    def conditional_writes(self) -> bool:
        return bool(getattr(self.connector, "conditional_writes", False))

    @property
    def upserts_by_key(self) -> bool:
        return bool(getattr(self.connector, "upserts_by_key", True))

    def _info(self) -> ObjectInfo:
        known = {info.name: info for info in self.connector.manifest.objects}
        return known.get(self.object) or ObjectInfo(self.object)

    # ------------------------------------------------------------ reading

    def pages(self, cursor: Cursor | None) -> Iterator[Listing]:
        """See `VendorPort.pages`."""
        for page in self.connector.read(ReadRequest(self.object, self.fields, cursor, deleted=cursor is not None)):
            rejects = [(Failure(r.code, r.message, r.place.column), r.raw) for r in page.rejects]
            yield Listing(self.raws(page), page.cursor, page.last, rejects)

    def fetch(self, vendor_ids: Sequence[str]) -> Sequence[Raw]:
        """See `VendorPort.fetch`."""
        if not vendor_ids:
            return []
        found: dict[str, Raw] = {}
        for page in self.connector.read(ReadRequest(self.object, self.fields, ids=tuple(vendor_ids), deleted=True)):
            found.update((raw.incoming.vendor_id, raw) for raw in self.raws(page))
        return [found.get(i) or Raw(Incoming(i, deleted=True)) for i in dict.fromkeys(vendor_ids)]

    def raws(self, page: Page) -> list[Raw]:
        """The page's records as the hub understands them; those that the mapping leaves out are absent."""
        merged = dict(page.merged)
        result = [Raw(Incoming(loser, merged_into=survivor)) for loser, survivor in merged.items()]
        result += [Raw(Incoming(gone, deleted=True)) for gone in page.deleted if gone not in merged]
        if not page.rows:
            return result
        batch = self.lens.forward(page.fields, page.rows)
        prints = fingerprints(self.lens, page.fields, page.rows)
        refused = _refused(batch)
        versions = self._column(page, self.lens.spec.version)
        keys = self._column(page, self.key_field)
        for row, vendor_id in enumerate(batch.vendor_ids):
            problem = refused.get(row)
            if problem is None or problem.code != OUT_OF_SCOPE:
                result.append(self._raw(page, batch, row, prints[row], problem, versions[row], keys[row]))
            elif vendor_id:
                result.append(Raw(Incoming(vendor_id, deleted=True)))
        return result

    def _column(self, page: Page, name: str | None) -> Sequence[Any]:
        place = page.fields.index(name) if name in page.fields else None
        return [None if place is None else row[place] for row in page.rows]

    def _raw(
        self, page: Page, batch: MappedBatch, row: int, print_: bytes, problem: Problem | None, version: Any, key: Any
    ) -> Raw:
        values: dict[str, Any] = {}
        refs: dict[str, tuple[tuple[str, ...], str]] = {}
        for name, column in batch.columns.items():
            if name in batch.refs and column[row] is not None:
                refs[name] = (batch.refs[name], column[row])
            else:
                values[name] = column[row]
        values.update((CUSTOM + n, v) for n, v in batch.custom_fields[row].items() if n != self.key_field)
        created, modified = values.get("source_created_at"), values.get("source_updated_at")
        raw = {n: v for n, v in zip(page.fields, page.rows[row], strict=True) if v is not MISSING and v is not None}
        return Raw(
            Incoming(
                batch.vendor_ids[row],
                values,
                version=comparable(version),
                modified_at=modified,
                fingerprint=print_,
                created_ms=int(created.timestamp() * 1000) if created is not None else 0,
                key=_uuid(key),
                raw=raw,
                error=None if problem is None else (problem.code, problem.message, problem.source_field),
            ),
            refs,
        )

    def versions(self, after: str | None) -> Iterator[Versions]:
        """See `VendorPort.versions`."""
        if not isinstance(self.connector, SupportsVersions):
            raise ConfigurationError(f"{self.connector.manifest.label} lists no versions.")
        for page in self.connector.versions(self.object, after):
            yield Versions([(i, comparable(v)) for i, v in zip(page.ids, page.versions, strict=True)], page.last)

    def cursor_at(self, moment: datetime) -> Cursor:
        """See `VendorPort.cursor_at`."""
        if not isinstance(self.connector, SupportsCursorAt):
            raise ConfigurationError(f"{self.connector.manifest.label} cannot be read from a moment on.")
        return self.connector.cursor_at(self.object, moment)

    def new_id(self, incoming: Incoming) -> UUID:
        """See `VendorPort.new_id`."""
        return record_id(self.namespace, incoming.vendor_id, incoming.created_ms)

    # ------------------------------------------------------------ writing

    def project(self, hubs: Sequence[Hub], refs: Refs) -> Sequence[Projection]:
        """See `VendorPort.project`: through the lens to the vendor's fields, and back, all records at once."""
        if not hubs:
            return []
        records = [self._record(hub.values, refs) for hub in hubs]
        held = [{self.lens.spec.id: _NO_ID, **self._held(self.lens.backward(record))} for record, _ in records]
        names = tuple(dict.fromkeys(name for values in held for name in values))
        mapped = self.lens.forward(names, [[values.get(name, MISSING) for name in names] for values in held])
        back = {vendor_id: hub_id for hub_id, pairs in refs.items() for _, vendor_id in pairs}
        return [
            Projection(self._seen(hub, record, mapped, row, held[row].keys(), back), waits)
            for row, (hub, (record, waits)) in enumerate(zip(hubs, records, strict=True))
        ]

    def _seen(
        self,
        hub: Hub,
        record: Mapping[str, Any],
        mapped: MappedBatch,
        row: int,
        held: Set[str],
        back: Mapping[str, UUID],
    ) -> dict[str, Any]:
        """One record as the vendor would say it, were it there."""
        seen: dict[str, Any] = {}
        for name in self._writes & record.keys():
            line = self.lens.spec.fields.get(name)
            if line is not None and not held >= self._sources[name]:
                continue  # the vendor's list has no such value: it keeps its own
            column = mapped.columns.get(name)
            value = record[name] if line is None or not line.reads else None if column is None else column[row]
            seen[name] = back.get(value, hub.values.get(name)) if value and name in self.lens.refs else value
        known = record["custom_fields"]
        seen.update((CUSTOM + n, v) for n, v in mapped.custom_fields[row].items() if n in known)
        return seen

    def _held(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The vendor's fields without values that its closed lists don't have; a label stands for its value."""
        result = dict(values)
        for name, options in self._options.items():
            value = result.get(name)
            if value in (None, "") or not isinstance(value, str):
                continue
            known = options.get(value.casefold())
            if known is None:
                del result[name]
            else:
                result[name] = known
        return result

    def _record(self, values: Record, refs: Refs) -> tuple[dict[str, Any], tuple[HubRef, ...]]:
        """The record with vendor ids for references, as `Lens.backward` takes it."""
        record: dict[str, Any] = {"custom_fields": {}}
        waits: list[HubRef] = []
        entity = ENTITIES[self.rules.entity]
        for name, value in values.items():
            if name.startswith(CUSTOM):
                record["custom_fields"][name[len(CUSTOM) :]] = value
            elif not isinstance(value, UUID):
                record[name] = value
            elif self.rules.writes_field(name) and (found := self._vendor_id(name, value, refs)) is not None:
                record[name] = found
            elif self.rules.writes_field(name):
                waits.append(HubRef(name, entity.field(name).refers_to or "", value))
        for name in self.rules.writes:
            if name in entity.all_fields and name not in values:
                record.setdefault(name, None)
        return record, tuple(waits)

    def _vendor_id(self, name: str, hub_id: UUID, refs: Refs) -> str | None:
        line = self.lens.spec.fields.get(name)
        wanted = line.objects if line is not None else ()
        for object_name in wanted or ("*",):
            for known, vendor_id in refs.get(hub_id, ()):
                if object_name in ("*", known):
                    return vendor_id
        return None

    def write(self, writes: Sequence[Write], refs: Refs) -> Sequence[WriteResult]:
        """See `VendorPort.write`."""
        if not isinstance(self.connector, SupportsUpsert):
            raise ConfigurationError(f"{self.connector.manifest.label} cannot be written to.")
        outgoing = [self._outgoing(w, refs) for w in writes]
        if not (self.conditional_writes and len(outgoing) == 1):
            # The engine has just asked what stands there; a connector without conditional writes could only ask once more.
            outgoing = [replace(one, expected_version=None) for one in outgoing]
        results = self.connector.upsert(self.object, outgoing, self.key_field if self.repeatable_creates else None)
        return [replace(r, version=comparable(r.version)) for r in results]

    def _outgoing(self, write: Write, refs: Refs) -> Outgoing:
        record, _ = self._record({**write.record, **write.fields}, refs)
        plain = {n for n in write.fields if not n.startswith(CUSTOM)}
        custom = {n[len(CUSTOM) :]: v for n, v in write.fields.items() if n.startswith(CUSTOM)}
        values = self.lens.backward(record, plain) if plain else {}
        if custom:
            values.update(self.lens.backward({"custom_fields": custom}, {"custom_fields"}))
        values = self._held(values)
        if write.vendor_id is None and self.key_field is not None:
            values[self.key_field] = str(write.entity_id)
        return Outgoing(str(write.entity_id), values, write.vendor_id, write.expected_version)

    def delete(self, vendor_ids: Sequence[str]) -> Sequence[WriteResult]:
        """See `VendorPort.delete`."""
        if not isinstance(self.connector, SupportsDelete):
            raise ConfigurationError(f"{self.connector.manifest.label} cannot delete.")
        return self.connector.delete(self.object, vendor_ids)

    def find(self, keys: Sequence[UUID]) -> Mapping[UUID, str]:
        """See `VendorPort.find`."""
        if self.key_field is None or not isinstance(self.connector, SupportsFind):
            return {}
        found = self.connector.find(self.object, self.key_field, [str(key) for key in keys])
        return {UUID(key): vendor_id for key, vendor_id in found.items()}


def _closed_lists(lens: Lens) -> dict[str, dict[str, str]]:
    """The values of each field that takes only listed ones, by value and by label, in small letters."""
    result: dict[str, dict[str, str]] = {}
    for known in lens.schema.fields if lens.schema else ():
        if known.closed and not known.multiple:
            by_label = {o.label.casefold(): o.value for o in known.options if o.label}
            result[known.name] = by_label | {o.value.casefold(): o.value for o in known.options}
    return result


def _refused(batch: MappedBatch) -> dict[int, Problem]:
    first: dict[int, Problem] = {}
    for problem in batch.problems:
        if problem.rejects:
            first.setdefault(problem.row, problem)
    return first


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) and value else None
    except ValueError:
        return None


def with_rules(port: ConnectorObject, **chosen: Any) -> ConnectorObject:
    """The same object under other rules."""
    return replace(port, rules=replace(port.rules, **chosen))
