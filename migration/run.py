"""A run: object after object through extract, plan, load; then references, associations, file content.

Progress is what the chunk rows say. `Runner.execute` may be called on a new run or on one that died anywhere: it does what is
not done yet and ends in the same rows either way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any
from uuid import UUID

from connectors.kit.contract import Connector, ReadRequest, SupportsFiles
from domain.records import Catalog, Page
from mappings.compile import Lens
from migration import attach, load
from migration.extract import Counts, ObjectJob
from migration.ledger import ObjectLedger, ledgers
from migration.load import LoadJob
from migration.plan_model import FieldUse, Phase, Plan, PlannedObject
from migration.pool import MappingPool
from migration.progress import Meter, OnProgress, silent
from migration.stages import made_by_plan, new_pipeline
from storage import custom_fields, loading, planning, runs, stages, staging
from storage.database import Database
from storage.planning import Matching, StagedObject
from storage.runs import Chunk, RunKey
from storage.tables import stage_name


@dataclass(frozen=True)
class RunContext:
    """What a run works with. ``app_url`` lets mapping processes open the database themselves."""

    database: Database
    app_url: str
    connection_id: UUID
    connector: Connector
    plan: Plan
    catalog: Catalog
    processes: int = field(default_factory=lambda: min(4, os.cpu_count() or 1))
    chosen: dict[str, frozenset[str]] | None = None
    limit: int | None = None
    on_progress: OnProgress = silent
    suppression_key: bytes | None = field(default=None, repr=False)


class RunStopped(Exception):
    """The run ended while an object was being read ahead."""


class Runner:
    """Executes one run or dry run that it owns (`key`)."""

    def __init__(self, context: RunContext, key: RunKey, *, dry_run: bool = False) -> None:
        self._context = context
        self._key = key
        self._dry_run = dry_run
        self._stopped = Event()
        self._lenses = context.plan.lenses(context.catalog)

    def execute(self) -> dict[str, ObjectLedger]:
        """Do everything that is not done yet; returns the ledger of every object."""
        if not self._dry_run:
            self._define_custom_fields()
            self._make_stages()
        with MappingPool(self._context.database, self._context.app_url, self._context.processes) as pool:
            for planned in self._read_ahead(pool):
                self._enter(planned.phase)
                self.decide(planned)
                if not self._dry_run:
                    self.load(planned)
        if not self._dry_run:
            self._settle()
        return self.ledgers()

    def ledgers(self) -> dict[str, ObjectLedger]:
        """What became of every object so far."""
        entities = {p.object: p.entity for p in self._context.plan.objects}
        with self._context.database.tenant(self._key.tenant_id) as connection:
            return ledgers(runs.chunks(connection, self._key.tenant_id, self._key.run_id), entities)

    def _read_ahead(self, pool: MappingPool) -> Iterator[PlannedObject]:
        """Every object once it is staged, while the next one is being read: a vendor's latency costs no loading time.

        An error of the reader surfaces here; leaving early stops the reader at its next page.
        """
        objects = self._context.plan.objects
        with ThreadPoolExecutor(1, thread_name_prefix="extract") as reader:
            try:
                under_way = reader.submit(self.extract, objects[0], pool) if objects else None
                for planned, following in zip(objects, (*objects[1:], None), strict=True):
                    if under_way is not None:
                        under_way.result()
                    under_way = reader.submit(self.extract, following, pool) if following is not None else None
                    yield planned
            finally:
                self._stopped.set()

    # ------------------------------------------------------------ phases

    def _define_custom_fields(self) -> None:
        with self._context.database.tenant(self._key.tenant_id) as connection:
            runs.fence(connection, self._key)
            for planned in self._context.plan.objects:
                schema = self._context.catalog.objects[planned.object]
                names = [f.name for f in planned.fields if f.use is FieldUse.CUSTOM]
                object_name = str(planned.spec.constants.get("object_name", ""))
                custom_fields.define(
                    connection,
                    self._key.tenant_id,
                    self._context.connection_id,
                    self._key.run_id,
                    planned.entity,
                    object_name,
                    planned.object,
                    [schema.field(n) for n in names if n in schema.field_names],
                )

    def _make_stages(self) -> None:
        """Create the stages that the source names only in its deals."""
        context = self._context
        for pipeline, stage_object in made_by_plan(context.plan):
            lens = self._lenses[pipeline.found_in.partition(".")[0]]
            made = new_pipeline(self._key.tenant_id, context.plan, pipeline, stage_object, lens)
            with context.database.tenant(self._key.tenant_id) as connection:
                runs.fence(connection, self._key)
                stages.create(connection, self._key, context.connection_id, made)

    def _enter(self, phase: Phase) -> None:
        with self._context.database.tenant(self._key.tenant_id) as connection:
            runs.save(connection, self._key, phase=phase.label)

    def extract(self, planned: PlannedObject, pool: MappingPool) -> None:
        """Read and stage what is not staged yet."""
        done = self._staged_chunks(planned)
        if done and done[-1].last:
            return
        rows = sum(c.rows for c in done)
        total = planned.expected_count
        meter = Meter(self._context.on_progress, planned.object, "extract", total, rows)

        def on_counts(counts: Counts) -> None:
            meter.add(counts.listed, rejected=counts.rejected, unchanged=counts.unchanged)

        job = self._object_job(planned, resumed=bool(done) or self._has_loaded(planned))
        pool.stage(job, self._pages(planned, done), (total or 0) - rows, on_counts)
        self._close_listing(planned)
        meter.finish()

    def _pages(self, planned: PlannedObject, done: Sequence[Chunk]) -> Iterator[tuple[Page, int, int]]:
        """Pages behind those staged already, each with its chunk number and the number of its first row."""
        seq, row = len(done), sum(c.rows for c in done)
        wanted = self._wanted_fields(planned)
        request = ReadRequest(
            planned.object,
            fields=wanted,
            cursor=done[-1].cursor if done else None,
            expected_count=planned.expected_count,
            limit=self._context.limit,
        )
        left = None if self._context.limit is None else self._context.limit - row
        for page in self._context.connector.read(request):
            if self._stopped.is_set():
                raise RunStopped
            if left is not None:
                page.last = page.last and len(page.rows) <= left
                page.rows = page.rows[:left]
                left -= len(page.rows)
            yield page, seq, row
            seq, row = seq + 1, row + len(page.rows) + len(page.rejects)
            if left is not None and left <= 0:
                return

    def _wanted_fields(self, planned: PlannedObject) -> tuple[str, ...]:
        known = set(self._context.catalog.objects[planned.object].field_names)
        return tuple(name for name in self.lens(planned).source_fields if name in known)

    def _close_listing(self, planned: PlannedObject) -> None:
        """Mark a listing complete that ended before its source said so: at the limit, or with no page at all."""
        done = self._staged_chunks(planned)
        if done and done[-1].last:
            return
        with self._context.database.tenant(self._key.tenant_id) as connection:
            runs.fence(connection, self._key)
            runs.add_chunk(
                connection,
                self._key,
                Chunk(
                    planned.object,
                    "extract",
                    len(done),
                    first_row=sum(c.rows for c in done),
                    cursor=done[-1].cursor if done else None,
                    last=True,
                ),
            )

    def _staged_chunks(self, planned: PlannedObject) -> list[Chunk]:
        """Extraction chunks up to the first gap; what lies behind a gap, or was lost with the server, is forgotten."""
        with self._context.database.tenant(self._key.tenant_id) as connection:
            runs.fence(connection, self._key)
            done = runs.chunks(
                connection, self._key.tenant_id, self._key.run_id, object_name=planned.object, phase="extract"
            )
            whole = done[: next((i for i, c in enumerate(done) if c.seq != i), len(done))]
            if self._rows_lost(connection, planned, done):
                whole = []
                for phase in ("plan", "load", *load.UPDATE_PHASES, "merge", "alias", "associate"):
                    runs.drop_chunks_from(connection, self._key, planned.object, phase, 0)
            if len(whole) < len(done):
                rows = sum(c.rows for c in whole)
                staging.drop_from(connection, self._key, planned.entity, planned.object, rows)
                runs.drop_chunks_from(connection, self._key, planned.object, "extract", len(whole))
            return whole

    def _staged_count(self, connection: Any, planned: PlannedObject) -> int:
        done = runs.chunks(
            connection, self._key.tenant_id, self._key.run_id, object_name=planned.object, phase="extract"
        )
        return sum((c.counts or {}).get("staged", 0) for c in done)

    def _rows_lost(self, connection: Any, planned: PlannedObject, done: Sequence[Chunk]) -> bool:
        expected = sum((c.counts or {}).get("staged", 0) for c in done)
        found = staging.count(connection, self._key.tenant_id, self._key.run_id, planned.entity, planned.object)
        return bool(expected != found)

    def _has_loaded(self, planned: PlannedObject) -> bool:
        with self._context.database.tenant(self._key.tenant_id) as connection:
            return staging.has_links(connection, self._key.tenant_id, self._context.connection_id, planned.object)

    def decide(self, planned: PlannedObject) -> None:
        """Let the planner decide about the whole object, once."""
        with self._context.database.tenant(self._key.tenant_id) as connection:
            runs.fence(connection, self._key)
            if runs.chunks(connection, self._key.tenant_id, self._key.run_id, object_name=planned.object, phase="plan"):
                return
            staged = self._staged(planned)
            if not self._staged_count(connection, planned):
                runs.add_chunk(connection, self._key, Chunk(planned.object, "plan", 0, last=True))
                return
            loading.refresh_statistics(connection, stage_name(planned.entity))
            owners = (
                {o.vendor_id: o.hub_user_id for o in self._context.plan.owners if o.hub_user_id}
                if planned.entity == "user"
                else {}
            )
            planning.plan(
                connection,
                staged,
                Matching(planned.match_rules, planned.survivor.value, planned.blank_fill, owners),
                self._only_staged(planned) if self._dry_run else (),
            )
            actions = planning.actions(connection, staged)
            runs.add_chunk(
                connection,
                self._key,
                Chunk(
                    planned.object,
                    "plan",
                    0,
                    last=True,
                    counts={"actions": actions, **{n: actions.get(n, 0) for n in ("superseded", "unchanged")}},
                ),
            )

    def _only_staged(self, planned: PlannedObject) -> list[str]:
        """Objects of the same entity that a real run would have loaded by now."""
        names = [p.object for p in self._context.plan.objects]
        before = self._context.plan.objects[: names.index(planned.object)]
        return [p.object for p in before if p.entity == planned.entity]

    def load(self, planned: PlannedObject) -> None:
        """Bring one planned object into the canonical tables."""
        job = self._load_job(planned)
        if not job.staged_rows:
            return
        meter = Meter(self._context.on_progress, planned.object, "load", job.rows)

        def on_rows(rows: int, counts: Any) -> None:
            meter.add(
                rows,
                **{
                    k: v
                    for k, v in counts.items()
                    if isinstance(v, int) and k in ("created", "merged", "updated", "rejected")
                },
            )

        def on_counts(_: int, counts: Any) -> None:
            on_rows(0, counts)

        if planned.entity == "association":
            load.associate(job, on_rows)
        else:
            load.create(job, on_rows)
            load.update(job, on_counts)
            load.link_merged(job, on_counts)
            load.alias(job, on_counts)
        load.mark_repeated(job)
        load.refresh_statistics(job)
        meter.finish()

    def _settle(self) -> None:
        """What needs every object: references in rings, associations found in records, file content."""
        self._enter(Phase.ASSOCIATIONS)
        for planned in self._context.plan.objects:
            if planned.entity != "association":
                job = self._load_job(planned)
                load.resolve(job)
                if job.lens.links:
                    load.associate_found(job, lambda *_: None)
        self._enter(Phase.ATTACHMENTS)
        connector = self._context.connector
        if isinstance(connector, SupportsFiles):
            for planned in self._context.plan.objects:
                if planned.entity == "attachment" and planned.object in connector.file_objects:
                    self._attach(planned, connector)

    def _attach(self, planned: PlannedObject, connector: SupportsFiles) -> None:
        meter = Meter(self._context.on_progress, planned.object, "files", planned.expected_count)
        attach.attach(self._load_job(planned), connector, lambda rows, _: meter.add(rows))
        meter.finish()

    # ------------------------------------------------------------ pieces

    def _object_job(self, planned: PlannedObject, *, resumed: bool) -> ObjectJob:
        context = self._context
        return ObjectJob(
            key=self._key,
            connection_id=context.connection_id,
            vendor=context.plan.vendor,
            remote_account=context.plan.remote_account,
            object=planned.object,
            entity=planned.entity,
            spec=planned.spec,
            schema=context.catalog.objects[planned.object],
            context=context.plan.context,
            dry_run=self._dry_run,
            compare=resumed,
            chosen=None if context.chosen is None else context.chosen.get(planned.object, frozenset()),
            suppression_key=context.suppression_key,
        )

    def _staged(self, planned: PlannedObject) -> StagedObject:
        return StagedObject(self._key, self._context.connection_id, planned.object, planned.entity)

    def _load_job(self, planned: PlannedObject) -> LoadJob:
        with self._context.database.tenant(self._key.tenant_id) as connection:
            done, decided = (
                runs.chunks(connection, self._key.tenant_id, self._key.run_id, object_name=planned.object, phase=phase)
                for phase in ("extract", "plan")
            )
        return LoadJob(
            self._context.database,
            self._staged(planned),
            self.lens(planned),
            rows=sum(c.rows for c in done),
            staged_rows=sum((c.counts or {}).get("staged", 0) for c in done),
            filled=frozenset(name for c in done if c.rows for name in (c.counts or {})["filled"]),
            planned={action: n for c in decided for action, n in (c.counts or {}).get("actions", {}).items()},
        )

    def load_job(self, object_name: str) -> LoadJob:
        """The staged object as loading and dry runs need it."""
        return self._load_job(self._context.plan.object(object_name))

    def lens(self, planned: PlannedObject) -> Lens:
        return self._lenses[planned.object]
