"""The audit: read the whole source once, page by page, and say what is in it before anything is moved."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from connectors.kit.contract import Connector, ReadRequest, SupportsCount
from domain.entities import ENTITIES
from domain.errors import ConfigurationError, RecordRejectedError
from domain.records import AccountInfo, Catalog, MappedBatch, ObjectSchema
from mappings.compile import Lens
from migration.audit_model import Audit, ObjectAudit, SourceStage, SourceUser, UnreadObject
from migration.audit_sketch import Budget, HashSample
from migration.audit_tally import IdKey, ObjectTally, plain_id, salesforce_id
from migration.estimate import estimate
from migration.progress import Meter, OnProgress, silent

SAMPLE_RECORDS = 2_000
"""Records read of each object by an audit that is not exact."""

_KEPT_MAX = 20_000


class LensSource(Protocol):
    """Says how an object would be mapped, so that duplicates are found on normalised values; None: not at all."""

    def __call__(self, schema: ObjectSchema, /) -> Lens | None: ...


@dataclass(slots=True)
class _Read:
    """What reading one object gave."""

    tally: ObjectTally
    entity: str | None
    expected: int | None
    sampled: bool
    seconds: float = 0.0


@dataclass(slots=True)
class _Kept:
    users: list[SourceUser] = field(default_factory=list)
    stages: list[SourceStage] = field(default_factory=list)

    def keep(self, batch: MappedBatch) -> None:
        if batch.entity == "user" and len(self.users) < _KEPT_MAX:
            self.users += _users(batch)
        elif batch.entity == "stage" and len(self.stages) < _KEPT_MAX:
            self.stages += _stages(batch)


class _Auditor:
    def __init__(self, connector: Connector, lenses: LensSource, on_progress: OnProgress | None, exact: bool) -> None:
        self._connector = connector
        self._lenses = lenses
        self._report = on_progress or silent
        self._exact = exact
        self._budget = Budget()
        self.kept = _Kept()
        self.unread: list[UnreadObject] = []

    def read_all(self, catalog: Catalog) -> list[_Read]:
        readable = [s for s in catalog.objects.values() if s.readable]
        self.unread += [
            UnreadObject(s.name, str(s.attributes.get("problem") or "The connected user may not read it."))
            for s in catalog.objects.values()
            if not s.readable
        ]
        counts = self._vendor_counts([s.name for s in readable])
        reads = [self._read_or_note(schema, counts.get(schema.name)) for schema in readable]
        return [read for read in reads if read is not None]

    def _vendor_counts(self, names: Sequence[str]) -> Mapping[str, int]:
        return self._connector.count(names) if isinstance(self._connector, SupportsCount) and names else {}

    def _read_or_note(self, schema: ObjectSchema, expected: int | None) -> _Read | None:
        try:
            return self._read(schema, expected)
        except (ConfigurationError, RecordRejectedError) as error:
            self.unread.append(UnreadObject(schema.name, str(error)))
            return None

    def _read(self, schema: ObjectSchema, expected: int | None) -> _Read:
        lens = self._lenses(schema)
        entity = ENTITIES.get(lens.entity) if lens else None
        wants_mapping = entity is not None and bool(entity.match_keys or entity.name == "stage")
        schema, wanted = _without_content(schema)
        tally = ObjectTally(schema, self._budget, entity.match_keys if entity else (), _id_key(self._connector, schema))
        limit = None if self._exact else SAMPLE_RECORDS
        started = time.monotonic()
        meter = Meter(self._report, schema.name, "audit", expected)
        complete = False
        for page in self._connector.read(ReadRequest(schema.name, wanted, expected_count=expected, limit=limit)):
            tally.add(page)
            if lens and wants_mapping and page.rows:
                batch = lens.forward(page.fields, page.rows)
                tally.add_mapped(batch)
                self.kept.keep(batch)
            complete = page.last
            meter.add(len(page), rejected=len(page.rejects))
        meter.finish()
        sampled = not complete or (limit is not None and tally.records >= limit)
        return _Read(tally, lens.entity if lens else None, expected, sampled, time.monotonic() - started)


def _without_content(schema: ObjectSchema) -> tuple[ObjectSchema, tuple[str, ...] | None]:
    """The schema without the field that brings a file's content, and the fields to ask for (None: all).

    Some vendors hand out the text of a note by a call of its own: too much for learning that notes have texts.
    """
    content = schema.attributes.get("content_field")
    if content not in schema.field_names:
        return schema, None
    rest = replace(schema, fields=tuple(f for f in schema.fields if f.name != content))
    return rest, rest.field_names


def audit(
    connector: Connector,
    lenses: LensSource,
    *,
    objects: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
    exact: bool = True,
) -> Audit:
    """Read every readable object (or ``objects``) once and tell what is there.

    Not ``exact``: only the first 2,000 records of each object are read, and counts are the vendor's own. Memory is
    bounded: 16 bytes a record, reference and match key up to 96 MiB, then counts come from a sample and are labelled so.
    An object that can't be read is listed with the reason. Raises what concerns the whole connection: ReauthRequiredError,
    TransientError, and MappingSpecError of a mapping that ``lenses`` gives.
    """
    account = connector.check()
    catalog = connector.describe(objects)
    auditor = _Auditor(connector, lenses, on_progress, exact)
    reads = auditor.read_all(catalog)
    known = _known_ids(reads)
    return Audit(
        vendor=connector.manifest.name,
        remote_account=account.remote_account,
        display_name=account.display_name,
        at=datetime.now(UTC),
        catalog_fingerprint=catalog.fingerprint(),
        objects=tuple(_object_audit(connector, read, known) for read in reads),
        unread=(*auditor.unread, *_left_out(account)),
        users=tuple({u.vendor_id: u for u in auditor.kept.users}.values()),
        stages=tuple({s.vendor_id: s for s in auditor.kept.stages}.values()),
        exact=exact,
    )


def _left_out(account: AccountInfo) -> list[UnreadObject]:
    """What the connector saw and took for no object at all, such as an empty file."""
    skipped = account.details.get("skipped", ())
    return [UnreadObject(s["file"], f"It {s['reason']}." if s["reason"][:3] == "is " else s["reason"]) for s in skipped]


def _known_ids(reads: Sequence[_Read]) -> dict[str, HashSample]:
    """The ids of completely read objects, by object name and by the name that the source's own dialect uses."""
    known = {}
    for read in reads:
        if not read.sampled:
            schema = read.tally.schema
            known[schema.name] = known[str(schema.attributes.get("dialect_object") or schema.name)] = read.tally.ids
    return known


def _object_audit(connector: Connector, read: _Read, known: Mapping[str, HashSample]) -> ObjectAudit:
    tally, schema = read.tally, read.tally.schema
    count = read.expected if read.sampled and read.expected is not None else tally.records
    oldest, newest = tally.span()
    cost = estimate(
        connector.manifest, schema.name, count, pages=tally.pages, records=tally.records, seconds=read.seconds
    )
    return ObjectAudit(
        object=schema.name, label=schema.label, entity=read.entity, custom=schema.custom, count=tally.records,
        vendor_count=read.expected, rejects=tally.rejects, repeated=tally.repeated, sampled=read.sampled,
        fields=tally.fields(), duplicates=tally.duplicates(), shared_emails=tally.shared_emails(),
        orphans=tally.orphans(known), problems=dict(tally.problems), oldest=oldest, newest=newest, estimate=cost,
        notes=tuple(str(note) for note in schema.attributes.get("warnings", ())),
    )  # fmt: skip


def _id_key(connector: Connector, schema: ObjectSchema) -> IdKey:
    dialect = schema.attributes.get("dialect") or connector.manifest.name
    return salesforce_id if dialect == "salesforce" else plain_id


def _column(batch: MappedBatch, name: str) -> list[Any]:
    return batch.columns.get(name) or [None] * len(batch)


def _users(batch: MappedBatch) -> list[SourceUser]:
    rows = zip(
        batch.vendor_ids, _column(batch, "email"), _column(batch, "name"), _column(batch, "is_active"), strict=True
    )
    return [SourceUser(i, email or "", name or "", active is not False) for i, email, name, active in rows]


def _stages(batch: MappedBatch) -> list[SourceStage]:
    names = ("name", "pipeline_id", "position", "probability", "is_won", "is_closed")
    rows = zip(batch.vendor_ids, *(_column(batch, name) for name in names), strict=True)
    return [
        SourceStage(i, name or i, pipeline or "", position, None if odds is None else Decimal(str(odds)), won, closed)
        for i, name, pipeline, position, odds, won, closed in rows
    ]
