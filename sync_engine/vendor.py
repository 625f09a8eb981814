"""One object of one connection in the hub's terms: a connector behind a lens, as the engine's `VendorPort`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from connectors.kit.contract import (
    Connector,
    Ends,
    EndsChange,
    ObjectInfo,
    ReadRequest,
    SupportsAssociations,
    SupportsCursorAt,
    SupportsDelete,
    SupportsFind,
    SupportsLabels,
    SupportsUpsert,
    SupportsVersions,
)
from domain.entities import ENTITIES, Kind
from domain.errors import ConfigurationError, SynclineError
from domain.ids import record_id
from domain.records import MISSING, Cursor, MappedBatch, Outgoing, Page, Problem, WriteResult
from domain.versions import comparable
from mappings.compile import OUT_OF_SCOPE, Lens
from mappings.fingerprint import fingerprints
from mappings.transforms.compound import BODY, FORMAT, in_format
from storage.suppression import ERASED, STAYS
from sync_engine import labels
from sync_engine.core.merge import is_blank
from sync_engine.core.model import Failure, Hub, HubRef, Incoming, Record, Rules
from sync_engine.ports import Held, Listing, Projection, Raw, Refs, Versions, Write
from sync_engine.ruling import labels_of
from sync_engine.tabular import closed_lists, first_problems, records_of, uuid_of
from sync_engine.views import Membership

CUSTOM = "custom_fields."
MARGIN_S = 5.0
_NO_ID = "-"
_CURRENCY = "currency"
_LEFT_OUT = (OUT_OF_SCOPE, STAYS)


def _as_it_is(batch: MappedBatch) -> MappedBatch:
    return batch


def _nobody(_: Sequence[Any]) -> Collection[int]:
    return ()


@dataclass
class ConnectorObject:
    """See `sync_engine.ports.VendorPort`. ``key_field``: the vendor's unique field that holds hub ids, where it has one.

    ``namespace``: from `domain.ids.record_namespace`. ``screen`` refuses records of people who were erased; ``naming`` tells the
    places of payloads, which could not be read as records, in which one of them stands.
    """

    connector: Connector
    lens: Lens
    rules: Rules
    namespace: bytes
    key_field: str | None = None
    screen: Callable[[MappedBatch], MappedBatch] = _as_it_is
    several: Mapping[str, Ends] = field(default_factory=dict)
    naming: Callable[[Sequence[Any]], Collection[int]] = _nobody
    membership: Membership | None = None

    def __post_init__(self) -> None:
        self._entity = ENTITIES[self.rules.entity]
        self._blank = dict.fromkeys(sorted(self.rules.writes & self._entity.all_fields.keys()))
        self._references = tuple(f.name for f in self._entity.references)
        fields = self.rules.writes - {"custom_fields"} - self.several.keys() - self.rules.labels
        self._written = tuple(self._written_line(name) for name in sorted(fields))
        self.object = self.lens.spec.object
        info = self._info()
        self.batch_size, self.ids_size = max(info.batch_size, 1), max(info.ids_size, 1)
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
        self._options = closed_lists(self.lens)
        known = self.lens.schema.fields if self.lens.schema else ()
        self._kept = frozenset(f.name for f in known if f.required and f.updateable and not f.createable)
        """What a record need not have, and never loses."""
        kinds = {n: f.kind for n, f in ENTITIES[self.lens.entity].all_fields.items()}
        self._amounts = frozenset(
            n for n, line in self.lens.spec.fields.items() if line.via == "money" and kinds[n] is Kind.DECIMAL
        )
        self._labels = labels_of(self.lens.entity, self.several) if isinstance(self.connector, SupportsLabels) else {}
        self._label_names: dict[str, Sequence[str]] = {}
        told = [self.several[of].labels_field for of in self._labels.values()]
        self._own = {self.key_field, *(ends.field for ends in self.several.values()), *told}
        """Fields of the vendor's that are no custom ones of the hub."""
        names = [*self.lens.source_fields, *([self.key_field] if self.key_field else [])]
        names += [*(ends.field for ends in self.several.values()), *told]
        names += [self.membership.field] if self.membership else []
        self.fields = tuple(dict.fromkeys(names)) if self.lens.schema is not None else None

    def _written_line(self, name: str) -> tuple[str, frozenset[str], bool]:
        """A field that may be written, the vendor's fields that it goes to, and whether what it says is read back."""
        line = self.lens.spec.fields.get(name)
        return (name, frozenset(), False) if line is None else (name, frozenset(line.sources), line.reads)

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
            named = self.naming([r.raw for r in page.rejects]) if page.rejects else ()
            rejects = [
                (Failure(r.code, r.message, r.place.column), None if place in named else r.raw)
                for place, r in enumerate(page.rejects)
            ]
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
        fields, rows = self._mapped(page)
        batch = self.screen(self.lens.forward(fields, rows))
        prints = fingerprints(self.lens, fields, rows)
        refused = first_problems(batch)
        unkept = self._unkept(page, refused)
        versions = self._column(page, self.lens.spec.version)
        keys = self._column(page, self.key_field)
        lists = {name: self._column(page, ends.field) for name, ends in self.several.items()}
        as_what = {name: self._column(page, self.several[of].labels_field) for name, of in self._labels.items()}
        places = self._column(page, self.membership.field if self.membership else None)
        all_values = records_of(batch.columns, len(batch))
        for row, vendor_id in enumerate(batch.vendor_ids):
            problem = refused.get(row)
            if problem is None or problem.code not in _LEFT_OUT:
                said = {name: str(column[row] or "") for name, column in lists.items() if column[row] is not MISSING}
                what = {name: str(column[row] or "") for name, column in as_what.items() if self._labels[name] in said}
                print_ = prints[row] + "|".join([*said.values(), *what.values()]).encode() if said else prints[row]
                raw = self._raw(page, batch, row, all_values[row], print_, problem, versions[row], keys[row])
                if self.membership is not None:
                    raw = replace(raw, incoming=replace(raw.incoming, outside=self.membership.outside(places[row])))
                if row in unkept:
                    raw = Raw(replace(raw.incoming, values={}, raw=None))
                listed = {n: self._list(n, text) for n, text in said.items()}
                labelled = {n: (listed[self._labels[n]][0], labels.pairs(labels.told(t))) for n, t in what.items()}
                result.append(replace(raw, lists=listed, labels=labelled))
            elif vendor_id:
                result.append(Raw(Incoming(vendor_id, deleted=True)))
        return result

    def _unkept(self, page: Page, refused: Mapping[int, Problem]) -> set[int]:
        """Rows that the mapping refuses, and that name someone who was erased: nothing of them is kept."""
        rows = [row for row, problem in refused.items() if problem.code not in (ERASED, *_LEFT_OUT)]
        named = self.naming([list(page.rows[row]) for row in rows]) if rows else ()
        return {rows[place] for place in named}

    def _mapped(self, page: Page) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
        """The page's columns without lists of associated records that the mapping knows nothing of."""
        unknown = {n for ends in self.several.values() for n in (ends.field, ends.labels_field)}
        unknown -= set(self.lens.source_fields)
        places = [n for n, name in enumerate(page.fields) if name not in unknown]
        if len(places) == len(page.fields):
            return page.fields, page.rows
        return tuple(page.fields[n] for n in places), [[row[n] for n in places] for row in page.rows]

    def _column(self, page: Page, name: str | None) -> Sequence[Any]:
        place = page.fields.index(name) if name in page.fields else None
        return [None if place is None else row[place] for row in page.rows]

    def _raw(
        self,
        page: Page,
        batch: MappedBatch,
        row: int,
        values: dict[str, Any],
        print_: bytes,
        problem: Problem | None,
        version: Any,
        key: Any,
    ) -> Raw:
        if problem is not None and problem.code == ERASED:
            return Raw(Incoming(batch.vendor_ids[row], error=(problem.code, problem.message, None)))
        refs = {
            name: (objects, values.pop(name)) for name, objects in batch.refs.items() if values.get(name) is not None
        }
        if custom := batch.custom_fields[row]:
            values.update((CUSTOM + n, v) for n, v in custom.items() if n not in self._own)
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
                key=uuid_of(key),
                raw=raw,
                error=None if problem is None else (problem.code, problem.message, problem.source_field),
            ),
            refs,
        )

    def _list(self, name: str, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """A list of associated records: their object, and their ids."""
        ends = self.several[name]
        return (ends.target,), tuple(i for i in text.split(ends.separator) if i)

    def untold(self, *, every: bool) -> bool:
        """See `VendorPort.untold`."""
        return any(ends.asked(every=every) for ends in self.several.values())

    def associated(self, vendor_ids: Sequence[str], *, every: bool) -> Sequence[Raw]:
        """See `VendorPort.associated`."""
        if not isinstance(self.connector, SupportsAssociations):
            return []
        asked = {name: ends for name, ends in self.several.items() if ends.asked(every=every)}
        held = {name: self._associated(ends, vendor_ids) for name, ends in asked.items()}
        found = {name: (ends, {i: list(of) for i, of in held[name].items()}) for name, ends in asked.items()}
        return [
            Raw(
                Incoming(i),
                {main: ((found[n][0].target,), ids[0]) for n, main in self.rules.mains.items()
                 if n in found and not found[n][0].told and (ids := found[n][1].get(i))},
                {n: ((ends.target,), tuple(ids.get(i, ()))) for n, (ends, ids) in found.items()},
                {n: ((asked[of].target,), labels.pairs(held[of].get(i, {})))
                 for n, of in self._labels.items() if of in asked},
            )
            for i in vendor_ids
        ]  # fmt: skip

    def _associated(self, ends: Ends, vendor_ids: Sequence[str]) -> Mapping[str, labels.Labels]:
        """By record, the associated ones in order, with their labels where they are exchanged."""
        if ends.labels and isinstance(self.connector, SupportsLabels):
            return self.connector.labelled(self.object, ends.field, vendor_ids)
        if not isinstance(self.connector, SupportsAssociations):
            return {}
        found = self.connector.associated(self.object, ends.field, vendor_ids)
        return {i: dict.fromkeys(others, ()) for i, others in found.items()}

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

    def project(self, hubs: Sequence[Hub], refs: Refs, held: Held | None = None) -> Sequence[Projection]:
        """See `VendorPort.project`: through the lens to the vendor's fields, and back, all records at once."""
        if not hubs:
            return []
        records = [self._record(hub.values, refs) for hub in hubs]
        there = [{self.lens.spec.id: _NO_ID, **self._held(self._filled(self.lens.backward(r), r))} for r, _ in records]
        named = {tuple(values): values for values in there}  # most records have the same fields, in one order
        names = tuple(dict.fromkeys(name for some in named for name in some))
        rows: list[Sequence[Any]] = [tuple(values.values()) for values in there]
        if len(named) > 1:
            rows = [[values.get(name, MISSING) for name in names] for values in there]
        mapped = self.lens.forward(names, rows)
        said = records_of({n: column for n, column in mapped.columns.items() if n in self._blank}, len(hubs))
        back = {vendor_id: hub_id for hub_id, pairs in refs.items() for _, vendor_id in pairs}
        result = []
        for row, (hub, (record, waits)) in enumerate(zip(hubs, records, strict=True)):
            seen = self._seen(record, said[row], there[row].keys())
            for name in self.lens.refs.keys() & seen.keys():
                if seen[name]:
                    seen[name] = back.get(seen[name], hub.values.get(name))
            if (becomes := self.rules.becomes) is not None and becomes.into in seen and self.rules.part:
                seen[becomes.into] = hub.values.get(becomes.into)
            if known := record["custom_fields"]:
                seen.update((CUSTOM + n, v) for n, v in mapped.custom_fields[row].items() if n in known)
            listed, missing = self._several_seen(hub, refs)
            seen |= listed
            waits += missing
            labelled, lacking = self._labels_seen(hub, listed, (held or {}).get(hub.id) or {})
            seen |= labelled
            foreign = self._is_foreign(record, there[row].keys())
            if foreign:  # no amount may count as one of another currency
                seen = {n: v for n, v in seen.items() if n not in self._amounts}
            # A price is one of several that a product may have, and goes with its currency; what a sale brings has to arrive.
            told = foreign and self.rules.follows.get(_CURRENCY) not in self._amounts
            result.append(Projection(seen, waits, _no_currency(record) if told else lacking))
        return result

    def _labels_seen(self, hub: Hub, listed: Record, held: Record) -> tuple[dict[str, list[str]], Failure | None]:
        """As what records are associated, as far as the vendor has the labels; and why not all of them."""
        result: dict[str, list[str]] = {}
        lacking: list[Failure | None] = []
        for name, of in self._labels.items():
            said = hub.values.get(name) or ()
            if not said and not held.get(name):
                continue
            here = {str(i) for i in listed.get(of) or ()}
            ends = self.several[of]
            result[name], absent = labels.as_held(
                said, here, self._known_labels(of), held.get(name) or (), single=ends.single
            )
            lacking.append(labels.failure(name, absent))
        return result, next(filter(None, lacking), None)

    def _known_labels(self, of: str) -> Sequence[str]:
        if of not in self._label_names and isinstance(self.connector, SupportsLabels):
            self._label_names[of] = self.connector.labels(self.object, self.several[of].field)
        return self._label_names.get(of, ())

    def _several_seen(self, hub: Hub, refs: Refs) -> tuple[dict[str, list[UUID]], tuple[HubRef, ...]]:
        """The lists of associated records, without those that the vendor does not have yet; and these.

        A list with a main one is left out as long as that one is not known there: it is associated first.
        """
        if not self.several:
            return {}, ()
        lists = {name: hub.values.get(name) or [] for name in self.several if self.rules.writes_field(name)}
        known = {n: [i for i in ids if self._end(n, i, refs) is not None] for n, ids in lists.items()}
        entities = {s.name: s.refers_to for s in self._entity.several}
        led = {n: hub.values.get(main) for n, main in self.rules.mains.items() if lists.get(n)}
        held = {n: ids for n, ids in known.items() if n not in led or led[n] in ids}
        return held, tuple(HubRef(n, entities[n], i) for n, ids in lists.items() for i in ids if i not in known[n])

    def _end(self, name: str, hub_id: UUID, refs: Refs) -> str | None:
        """The vendor's id of an associated record."""
        target = self.several[name].target
        return next((vendor_id for known, vendor_id in refs.get(hub_id, ()) if known == target), None)

    def _is_foreign(self, record: Mapping[str, Any], held: Set[str]) -> bool:
        """Whether the record's amounts have no place at the vendor: its account has other currencies, or none but its own."""
        line, value = self.lens.spec.fields.get(_CURRENCY), record.get(_CURRENCY)
        if line is None or value is None or all(record.get(n) is None for n in self._amounts):
            return False
        (source,) = line.sources
        if self.lens.schema is None or source in self.lens.schema.field_names:
            return source not in held and self.lens.writable(source)  # one that is only read follows another record's
        return bool(value != self.lens.context.default_currency)

    def _seen(self, record: Mapping[str, Any], said: Mapping[str, Any], held: Set[str]) -> dict[str, Any]:
        """One record as the vendor would say it, were it there; without values that the vendor's lists don't have."""
        return {
            name: said.get(name) if reads else record[name]
            for name, sources, reads in self._written
            if name in record and held >= sources
        }

    def _filled(self, values: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
        """The vendor's fields with those that may not be blank written from what the spec falls back on."""
        for source, name in self.lens.spec.fallback.items():
            value = record.get(name)
            if is_blank(values.get(source)) and value is not None and self.lens.writable(source):
                values[source] = self._title(source, value) if isinstance(value, str) else value
        return values

    def _title(self, source: str, text: str) -> str:
        """The first line of a text, as much of it as the field holds."""
        known = self.lens.schema.field(source) if self.lens.schema is not None else None
        return text.strip().partition("\n")[0][: known.length if known is not None else None].strip()

    def _held(self, values: dict[str, Any]) -> dict[str, Any]:
        """The vendor's fields without values that it cannot hold; a label stands for the value of a closed list."""
        result = {n: v for n, v in values.items() if v is not None or n not in self._kept}
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
        record: dict[str, Any] = {**self._blank, **in_format(values, self.lens.spec.constants.get(FORMAT))}
        custom: dict[str, Any] = {}
        if CUSTOM in " ".join(record):  # one search spares one in each name
            for name in [n for n in record if n.startswith(CUSTOM)]:
                custom[name[len(CUSTOM) :]] = record.pop(name)
        record["custom_fields"] = custom
        for name in (*self.several, *self._labels):
            record.pop(name, None)
        waits: list[HubRef] = []
        for name in self._references:
            value = record.get(name)
            if not isinstance(value, UUID):
                continue
            found = self._vendor_id(name, value, refs) if self.rules.writes_field(name) else None
            if found is not None:
                record[name] = found
                continue
            del record[name]
            if self.rules.writes_field(name):
                waits.append(HubRef(name, self._entity.field(name).refers_to or "", value))
            elif name in self._blank:
                record[name] = None
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
        if not self.several:
            return self._upsert(writes, refs)
        results = {
            w.entity_id: WriteResult(str(w.entity_id), w.vendor_id, created=False, version=w.expected_version)
            for w in writes
        }
        # A record goes with its main one last, and else comes to it first.
        early = {
            (n, w.entity_id) for n, main in self.rules.mains.items() for w in writes if w.fields.get(main, 0) is None
        }
        self._associate_all([w for w in writes if w.vendor_id], refs, results, lambda key: key in early)
        lists = self.several.keys() | self._labels.keys()
        plain = [w for w in writes if w.vendor_id is None or w.fields.keys() - lists - self._parted(w)]
        plain = [w for w in plain if results[w.entity_id].ok]
        results |= zip((w.entity_id for w in plain), self._upsert(plain, refs), strict=True)
        self._associate_all(writes, refs, results, lambda key: key not in early)
        return [results[w.entity_id] for w in writes]

    def _parted(self, write: Write) -> set[str]:
        """Blank main records that the vendor tells by the list itself: parting from what the hub knew says it all, and no more."""
        lines = self.lens.spec.fields
        return {
            main
            for name, main in self.rules.mains.items()
            if write.fields.get(main, 0) is None and lines[main].sources == (self.several[name].field,)
        }

    def _associate_all(
        self,
        writes: Sequence[Write],
        refs: Refs,
        results: dict[UUID, WriteResult],
        chosen: Callable[[tuple[str, UUID]], bool],
    ) -> None:
        for name, ends in self.several.items():
            about = {name, *(n for n, of in self._labels.items() if of == name)}
            ready = [
                w for w in writes if about & w.fields.keys() and results[w.entity_id].ok and chosen((name, w.entity_id))
            ]
            results |= self._associate(name, ends, ready, refs, results)

    def _associate(
        self, name: str, ends: Ends, writes: Sequence[Write], refs: Refs, results: Mapping[UUID, WriteResult]
    ) -> dict[UUID, WriteResult]:
        """Send what a list gained and lost since the vendor last said it; the results of records where that failed."""
        if not isinstance(self.connector, SupportsAssociations):
            return {}
        changes = {w.entity_id: c for w in writes if not (c := self._change(name, w, refs)).says_nothing}
        if not changes:
            return {}
        try:
            answers = self.connector.associate(self.object, ends.field, list(changes.values()))
        except SynclineError as error:  # other parts of these records may be written
            answers = [WriteResult(c.vendor_id, c.vendor_id, error=error) for c in changes.values()]
        return {
            i: replace(results[i], error=answer.error, version=comparable(answer.version) or results[i].version)
            for i, answer in zip(changes, answers, strict=True)
        }

    def _change(self, name: str, write: Write, refs: Refs) -> EndsChange:
        before = list(write.base.get(name) or ())
        now = list(write.fields.get(name) or ()) if name in write.fields else before
        main = self.rules.mains.get(name, "")
        led = write.fields.get(main, write.base.get(main))  # comes as the main one, by a field of its own
        add = [self._end(name, i, refs) for i in now if i not in before and i != led]
        remove = [self._end(name, i, refs) for i in before if i not in now]
        label, unlabel = self._relabelled(name, write, refs)
        parted = {i for i in remove if i}
        return EndsChange(
            write.vendor_id or "",
            tuple(i for i in add if i),
            tuple(i for i in remove if i),
            label,
            tuple((i, text) for i, text in unlabel if i not in parted),
        )

    def _relabelled(self, of: str, write: Write, refs: Refs) -> tuple[tuple[tuple[str, str], ...], ...]:
        """The labels of a list that pairs gained and lost, by the vendor's ids."""
        name = next((n for n, listed in self._labels.items() if listed == of and n in write.fields), "")
        changes = labels.changes(write.base.get(name) or (), write.fields.get(name) or ())
        ends = ([(self._end(of, UUID(i), refs), text) for i, text in pairs] for pairs in changes)
        label, unlabel = (tuple((i, text) for i, text in found if i) for found in ends)
        return label, unlabel

    def _upsert(self, writes: Sequence[Write], refs: Refs) -> Sequence[WriteResult]:
        if not writes or not isinstance(self.connector, SupportsUpsert):
            return []
        outgoing = [self._outgoing(w, refs) for w in writes]
        if not (self.conditional_writes and len(outgoing) == 1):
            # The engine has just asked what stands there; a connector without conditional writes could only ask once more.
            outgoing = [o if o.expected_version is None else replace(o, expected_version=None) for o in outgoing]
        results = self.connector.upsert(self.object, outgoing, self.key_field if self.repeatable_creates else None)
        return [r if (v := comparable(r.version)) == r.version else replace(r, version=v) for r in results]

    def _outgoing(self, write: Write, refs: Refs) -> Outgoing:
        known = {**write.record, **write.fields}
        if BODY in write.fields and FORMAT in self.lens.spec.constants:  # as the vendor holds it, so in its format
            known[FORMAT] = self.lens.spec.constants[FORMAT]
        record, _ = self._record(known, refs)
        plain: Set[str] = write.fields.keys()
        custom: dict[str, Any] = {}
        if self.several or CUSTOM in " ".join(write.fields):
            lists = self.several.keys() | self._labels.keys()
            plain = {n for n in plain if not n.startswith(CUSTOM) and n not in lists} - self._parted(write)
            custom = {n[len(CUSTOM) :]: v for n, v in write.fields.items() if n.startswith(CUSTOM)}
        values = self.lens.backward(record, plain) if plain else {}
        if custom:
            values.update(self.lens.backward({"custom_fields": custom}, {"custom_fields"}))
        if write.vendor_id is None or set(values) & self.lens.spec.fallback.keys():
            values = self._filled(values, record)
        values = self._held(values)
        if self.membership is not None:
            values = self._moved(self.membership, write, values)
        if write.vendor_id is None and self.key_field is not None:
            values[self.key_field] = str(write.entity_id)
        return Outgoing(str(write.entity_id), values, write.vendor_id, write.expected_version)

    def _moved(self, membership: Membership, write: Write, values: dict[str, Any]) -> dict[str, Any]:
        """The vendor's fields with the one that says which object holds the record, of a new one and of one that is moved over."""
        becomes = self.rules.becomes
        if write.vendor_id is None and membership.given and is_blank(values.get(membership.field)):
            return {**values, membership.field: membership.given}
        if write.vendor_id and membership.part and becomes is not None and write.fields.get(becomes.into) is not None:
            return {**values, membership.field: membership.moves_to}
        return values

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


def _no_currency(record: Mapping[str, Any]) -> Failure:
    message = f"The vendor's account has no currency {record[_CURRENCY]}, in which the amounts are."
    return Failure("no_counterpart", message, _CURRENCY)
