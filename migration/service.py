"""Every verb of a migration in one place: what the command line and the API call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from connectors.kit.contract import Connector, SupportsDelete
from domain.errors import ConfigurationError, PlanChangedError, SynclineError
from domain.ids import new_id
from domain.records import WriteResult
from migration import dry_run as dry
from migration.certificate import Certificate, certify
from migration.dry_run import ObjectPreview
from migration.ledger import ObjectLedger, ledgers
from migration.plan_document import to_document
from migration.plan_drift import require_compatible
from migration.plan_model import Phase, Plan
from migration.plan_reading import from_document
from migration.progress import OnProgress, silent
from migration.run import RunContext, Runner
from migration.sample import sample
from migration.stages import PIPELINE_OBJECT, covered_objects
from migration.undo import DeleteAt, Undo, UndoResult
from storage import connections, events, runs, staging, undoing
from storage.database import Database
from storage.events import Event
from storage.runs import Run, RunKey
from storage.undoing import Scope

OpenConnector = Callable[[UUID], Connector]


@dataclass(slots=True)
class DryRun:
    """What a run would do, object by object."""

    objects: dict[str, ObjectPreview]
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "objects": {
                name: {
                    **p.ledger.to_json(),
                    "diffs": [asdict(d) for d in p.diffs],
                    "merges": p.merges,
                    "unresolved": p.unresolved,
                    "creates": p.creates,
                }
                for name, p in self.objects.items()
            },
        }


@dataclass(slots=True)
class RunResult:
    """How a run ended. ``certificate`` is None when it was not asked for."""

    run_id: UUID
    ledgers: dict[str, ObjectLedger] = field(default_factory=dict)
    certificate: Certificate | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run_id),
            "seconds": self.seconds,
            "objects": {n: x.to_json() for n, x in self.ledgers.items()},
            "certificate": self.certificate.to_json() if self.certificate else None,
        }


@dataclass(slots=True)
class RunStatus:
    """A run as it stands. ``alive``: a process is working on it right now."""

    run: Run
    connection_name: str
    ledgers: dict[str, ObjectLedger]
    alive: bool

    @property
    def state(self) -> str:
        return "interrupted" if self.run.status in ("running", "undoing") and not self.alive else self.run.status

    def to_json(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run.id),
            "connection": self.connection_name,
            "kind": self.run.kind,
            "status": self.state,
            "phase": self.run.phase,
            "started_at": self.run.started_at.isoformat(),
            "error": self.run.error,
            "finished_at": self.run.finished_at.isoformat() if self.run.finished_at else None,
            "objects": {n: x.to_json() for n, x in self.ledgers.items()},
        }


@dataclass(frozen=True, slots=True)
class SentOn:
    """How many records of an object streams made at a connection of what a run created."""

    connection: str
    object: str
    count: int


class Migrations:
    """Migrations of one tenant. ``app_url`` is the database's URL for mapping processes; ``processes`` how many of them.

    ``on_done`` hears of each connection whose run ended well: what was kept to prepare it is of no more use.
    ``suppression_key``: what people who were erased are recognised by (see `storage.suppression`).
    """

    def __init__(
        self,
        database: Database,
        app_url: str,
        tenant_id: UUID,
        open_connector: OpenConnector,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        processes: int | None = None,
        on_done: Callable[[UUID], None] = lambda _: None,
        suppression_key: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        self._database = database
        self._app_url = app_url
        self._tenant_id = tenant_id
        self._open = open_connector
        self._clock = clock
        self._processes = processes
        self._on_done = on_done
        self._suppression_key = suppression_key

    # ------------------------------------------------------------ doing

    def run(
        self,
        connection_id: UUID,
        plan: Plan,
        on_progress: OnProgress = silent,
        *,
        limit: int | None = None,
        percent: float | None = None,
        certificate: bool = True,
        run_id: UUID | None = None,
    ) -> RunResult:
        """Migrate, as a run of a fresh id unless one is given.

        Raises PlanChangedError (not approved, source changed), RunInProgressError, and what the connector raises.
        """
        plan.require_approved()
        with self._exclusive(connection_id), self._connector(connection_id) as connector:
            context = self._context(connection_id, connector, plan, on_progress, limit=limit, percent=percent)
            key = self._start(run_id or new_id(), connection_id, plan, "run", {"limit": limit, "percent": percent})
            return self._finish(context, key, certificate=certificate)

    def resume(
        self, run_id: UUID | None = None, on_progress: OnProgress = silent, *, certificate: bool = True
    ) -> RunResult | UndoResult:
        """Go on with a run (or an undo) that was interrupted; the newest one when none is named."""
        run = self._interrupted(run_id)
        if run.status == "undoing":
            return self.undo(
                run.id,
                objects=run.options.get("undo_objects"),
                force=bool(run.options.get("undo_force")),
                also_at_vendors=bool(run.options.get("undo_also")),
                on_progress=on_progress,
            )
        with self._exclusive(run.connection_id), self._connector(run.connection_id) as connector:
            plan = self._stored_plan(run)
            context = self._context(
                run.connection_id,
                connector,
                plan,
                on_progress,
                limit=run.options.get("limit"),
                percent=run.options.get("percent"),
            )
            with self._database.tenant(self._tenant_id) as connection:
                key = runs.take(connection, self._tenant_id, run.id)
                runs.save(connection, key, status="running")
            return self._finish(context, key, certificate=certificate)

    def dry_run(
        self,
        connection_id: UUID,
        plan: Plan,
        on_progress: OnProgress = silent,
        *,
        limit: int | None = None,
        percent: float | None = None,
    ) -> DryRun:
        """Plan the whole run (or a part) and show it; nothing is written to the canonical store."""
        run_id, started = new_id(), self._clock()
        with self._exclusive(connection_id), self._connector(connection_id) as connector:
            context = self._context(connection_id, connector, plan, on_progress, limit=limit, percent=percent)
            key = self._start(run_id, connection_id, plan, "dry_run", {"limit": limit, "percent": percent})
            runner = Runner(context, key, dry_run=True)
            try:
                counted = runner.execute()
                everything = {name: runner.load_job(name).staged for name in counted}
                previews = {
                    name: dry.preview(runner.load_job(name), ledger, everything) for name, ledger in counted.items()
                }
                for name, preview in previews.items():
                    preview.unresolved = dry.unresolved(runner.load_job(name), everything, covered_objects(plan))
            except SynclineError as error:
                self._save(key, status="failed", finished_at=self._clock(), error=_told(error))
                raise
            finally:
                self._forget_staged(key, [p.entity for p in plan.objects])
        result = DryRun(previews, (self._clock() - started).total_seconds())
        self._save(
            key, status="done", finished_at=self._clock(), totals={n: p.ledger.to_json() for n, p in previews.items()}
        )
        return result

    def undo(
        self,
        run_id: UUID | None = None,
        *,
        objects: Sequence[str] | None = None,
        force: bool = False,
        also_at_vendors: bool = False,
        on_progress: OnProgress = silent,
    ) -> UndoResult:
        """Take a run back: whole, or the named objects (or phases) of it.

        ``also_at_vendors``: what streams made of its records at other vendors is deleted there, too, before the hub's record goes.
        It is a person's wish, and no brake holds it. Raises what a vendor raises; `resume` goes on.
        """
        run = self._undoable(run_id)
        with self._exclusive(run.connection_id), ExitStack() as opened:
            chosen = _objects_of(run, objects)
            with self._database.tenant(self._tenant_id) as connection:
                key = runs.take(connection, self._tenant_id, run.id)
                runs.save(
                    connection,
                    key,
                    status="undoing",
                    options={
                        **run.options,
                        "undo_objects": None if objects is None else list(objects),
                        "undo_force": force,
                        "undo_also": also_at_vendors,
                    },
                )
            delete_at = self._deleting(opened) if also_at_vendors else None
            undo = Undo(self._database, run, key, list(_entities(run).items()), force, on_progress, delete_at)
            result = undo.execute(chosen)
            self._forget_staged(key, _entities(run).values())
            partly = not result.whole or result.kept_total
            told = _event("undone", run.id, run.connection_id, partly=bool(partly))
            self._save(key, told, status="partly undone" if partly else "undone", finished_at=self._clock())
            return result

    def _deleting(self, opened: ExitStack) -> DeleteAt:
        """Deletes records at connections, each of which is opened once."""
        known: dict[UUID, Connector] = {}

        def delete(connection_id: UUID, name: str, vendor_ids: Sequence[str]) -> Sequence[WriteResult]:
            if connection_id not in known:
                known[connection_id] = opened.enter_context(self._connector(connection_id))
            connector = known[connection_id]
            if not isinstance(connector, SupportsDelete):
                raise ConfigurationError(f"{connector.manifest.label} lets nobody delete records.")
            return connector.delete(name, vendor_ids)

        return delete

    # ------------------------------------------------------------ looking

    def sent_on(self, run_id: UUID, objects: Sequence[str] | None = None) -> list[SentOn]:
        """What streams made, at other connections, of the records that a run created: what an undo would leave there."""
        run = self._undoable(run_id)
        chosen, found = _objects_of(run, objects), Counter[tuple[UUID, str]]()
        with self._database.tenant(self._tenant_id) as connection:
            for name, entity in _entities(run).items():
                if chosen is None or name in chosen:
                    found.update(
                        undoing.sent_on(connection, Scope(self._tenant_id, run.id, run.connection_id, name, entity))
                    )
            names = {c.id: c.name for c in connections.list_all(connection)}
        return [SentOn(names.get(i, str(i)), name, count) for (i, name), count in found.items()]

    def status(self, run_id: UUID | None = None, *, limit: int = 20) -> list[RunStatus]:
        """Runs, newest first, with their ledgers so far."""
        with self._database.tenant(self._tenant_id) as connection:
            found = (
                [runs.get(connection, self._tenant_id, run_id)]
                if run_id
                else runs.latest(connection, self._tenant_id, limit=limit)
            )
            names = {c.id: c.name for c in connections.list_all(connection)}
            counted = {
                r.id: ledgers(runs.chunks(connection, self._tenant_id, r.id), _entities(r))
                for r in found
                if r.kind == "run"
            }
        return [
            RunStatus(r, names.get(r.connection_id, "(removed)"), counted.get(r.id, {}), self._alive(r)) for r in found
        ]

    def report(self, run_id: UUID | None = None) -> Certificate:
        """The certificate of a finished run, the newest when none is named."""
        run = self._named_or_newest(run_id, ("done",), "There is no finished run.")
        if run.certificate is None:
            raise ConfigurationError(
                f"Run {run.id} has no certificate.",
                remedy="Runs started with --no-certificate have none.",
                code="no_certificate",
            )
        return Certificate.from_json(run.certificate)

    def finished(self, run_id: UUID | None = None, *, connection_id: UUID | None = None) -> tuple[Run, Plan]:
        """A finished run and the plan it followed: the one that is named, or the newest of the source.

        Raises ConfigurationError where no run of the source is finished; and, without ``connection_id``, where runs of several are.
        """
        none = "There is no finished run to go on from."
        if run_id is not None:
            run = self._named_or_newest(run_id, ("done",), none)
            return run, self._stored_plan(run)
        with self._database.tenant(self._tenant_id) as connection:
            known = runs.newest_done(connection, self._tenant_id)
        found = [(r, name) for r, name in known if connection_id in (None, r.connection_id)]
        if not found:
            raise ConfigurationError(none, remedy="List runs with `syncline migrate status`.", code="no_such_run")
        if len(found) > 1:
            raise ConfigurationError(
                f"Runs of {len(found)} sources are finished: {', '.join(f'{r.id} of {name}' for r, name in found)}.",
                remedy="Name the run that is meant; the first characters of its id are enough.",
                code="several_sources",
            )
        return found[0][0], self._stored_plan(found[0][0])

    # ------------------------------------------------------------ pieces

    def _exclusive(self, connection_id: UUID) -> Any:
        return runs.exclusive(self._database, self._tenant_id, connection_id)

    @contextmanager
    def _connector(self, connection_id: UUID) -> Iterator[Connector]:
        connector = self._open(connection_id)
        try:
            yield connector
        finally:
            connector.close()

    def _context(
        self,
        connection_id: UUID,
        connector: Connector,
        plan: Plan,
        on_progress: OnProgress,
        *,
        limit: int | None,
        percent: float | None,
    ) -> RunContext:
        """Sign in, compare the source with the plan, and choose the sample."""
        account = connector.check()
        if account.remote_account != plan.remote_account:
            raise PlanChangedError(
                f"The plan was made for {plan.display_name or plan.remote_account}, but the connection leads to "
                f"{account.display_name or account.remote_account}.",
                remedy="Plan again for this connection.",
            )
        catalog = connector.describe([p.object for p in plan.objects])
        require_compatible(plan, catalog)
        chosen = None if percent is None else {o: frozenset(ids) for o, ids in sample(connector, plan, percent).items()}
        context = RunContext(
            self._database,
            self._app_url,
            connection_id,
            connector,
            plan,
            catalog,
            chosen=chosen,
            limit=limit,
            on_progress=on_progress,
            suppression_key=self._suppression_key(),
        )
        return context if self._processes is None else replace(context, processes=self._processes)

    def _start(self, run_id: UUID, connection_id: UUID, plan: Plan, kind: str, options: Mapping[str, Any]) -> RunKey:
        with self._database.tenant(self._tenant_id) as connection:
            self._refuse_unfinished(connection, connection_id, kind)
            self._forget_killed_dry_runs(connection, connection_id)
            staging.drop_finished(connection, self._tenant_id, connection_id)
            runs.create(
                connection,
                self._tenant_id,
                run_id,
                connection_id,
                kind=kind,
                at=self._clock(),
                plan=to_document(plan),
                plan_checksum=plan.checksum,
                options={**options, "objects": _objects(plan)},
            )
            if kind == "run":
                events.emit(connection, _event("started", run_id, connection_id))
            return runs.take(connection, self._tenant_id, run_id)

    def _refuse_unfinished(self, connection: Any, connection_id: UUID, kind: str) -> None:
        if kind == "dry_run":
            return
        for run in runs.latest(connection, self._tenant_id, connection_id=connection_id):
            if run.kind == "run" and run.status in ("running", "undoing", "failed"):
                raise ConfigurationError(
                    f"Run {run.id} of this connection was interrupted and is not finished.",
                    remedy=f"Run `syncline migrate resume {run.id}` to finish it, "
                    f"or `syncline migrate undo {run.id}` to take it back.",
                    code="unfinished_run",
                )

    def _forget_killed_dry_runs(self, connection: Any, connection_id: UUID) -> None:
        """Whoever starts a run holds the connection's lock, so a dry run that still says it is running was killed."""
        for run in runs.latest(connection, self._tenant_id, connection_id=connection_id):
            if run.kind == "dry_run" and run.status == "running":
                key = runs.take(connection, self._tenant_id, run.id)
                staging.drop_run(connection, key, list(_entities(run).values()))
                runs.save(connection, key, status="failed", finished_at=self._clock())

    def _finish(self, context: RunContext, key: RunKey, *, certificate: bool) -> RunResult:
        started = self._clock()
        try:
            counted = Runner(context, key).execute()
            result = RunResult(key.run_id, counted)
            if certificate:
                result.certificate = certify(self._database, key, context, counted, context.on_progress)
        except SynclineError as error:
            told = _event("failed", key.run_id, context.connection_id, code=error.code)
            self._save(key, told, status="failed", error=_told(error))
            raise
        result.seconds = (self._clock() - started).total_seconds()
        self._save(
            key,
            _completed(key.run_id, context.connection_id, counted),
            status="done",
            phase=None,
            finished_at=self._clock(),
            totals={n: x.to_json() for n, x in counted.items()},
            certificate=result.certificate.to_json() if result.certificate else None,
        )
        self._forget_staged(key, [p.entity for p in context.plan.objects])
        self._on_done(context.connection_id)
        return result

    def _forget_staged(self, key: RunKey, entities: Iterable[str]) -> None:
        with self._database.tenant(self._tenant_id) as connection:
            staging.drop_run(connection, key, list(entities))

    def _save(self, key: RunKey, *told: Event, **values: Any) -> None:
        with self._database.tenant(self._tenant_id) as connection:
            runs.save(connection, key, **values)
            events.emit(connection, *told)

    def _stored_plan(self, run: Run) -> Plan:
        return from_document(run.plan, f"the plan of run {run.id}")

    def _alive(self, run: Run) -> bool:
        return run.status in ("running", "undoing") and runs.is_locked(
            self._database, self._tenant_id, run.connection_id
        )

    def _interrupted(self, run_id: UUID | None) -> Run:
        return self._named_or_newest(run_id, ("running", "failed", "undoing"), "There is no interrupted run to resume.")

    def _undoable(self, run_id: UUID | None) -> Run:
        return self._named_or_newest(
            run_id, ("done", "running", "failed", "undoing", "partly undone"), "There is no run to undo."
        )

    def _named_or_newest(self, run_id: UUID | None, statuses: Sequence[str], none: str) -> Run:
        with self._database.tenant(self._tenant_id) as connection:
            if run_id is not None:
                run = runs.get(connection, self._tenant_id, run_id)
                if run.kind != "run":
                    raise ConfigurationError(
                        f"Run {run_id} is a dry run: it wrote nothing.",
                        remedy="Name a real run; `syncline migrate status` lists them.",
                        code="wrong_run_status",
                    )
                if run.status not in statuses:
                    raise ConfigurationError(
                        f"Run {run_id} is {run.status}.",
                        remedy="Look at it with `syncline migrate status`.",
                        code="wrong_run_status",
                    )
                return run
            found = [
                r
                for r in runs.latest(connection, self._tenant_id, limit=200)
                if r.kind == "run" and r.status in statuses
            ]
        if not found:
            raise ConfigurationError(none, remedy="List runs with `syncline migrate status`.", code="no_such_run")
        return found[0]


def _event(what: str, run_id: UUID, connection_id: UUID, **more: Any) -> Event:
    return Event(f"migration.{what}", {"run_id": run_id, "connection_id": connection_id, **more}, subject=run_id)


def _completed(run_id: UUID, connection_id: UUID, counted: Mapping[str, ObjectLedger]) -> Event:
    totals = {name: sum(getattr(x, name) for x in counted.values()) for name in ("created", "updated", "rejected")}
    return _event("completed", run_id, connection_id, **totals)


def _told(error: SynclineError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "remedy": error.remedy}


def _objects(plan: Plan) -> list[list[str]]:
    """Vendor object, entity and phase of everything that a run of the plan brings, in load order."""
    made = [[o, "stage", Phase.METADATA.label] for o in sorted(covered_objects(plan))]
    pipelines = [[PIPELINE_OBJECT, "pipeline", Phase.METADATA.label]] if made else []
    return [*pipelines, *made, *([p.object, p.entity, p.phase.label] for p in plan.objects)]


def _objects_of(run: Run, names: Sequence[str] | None) -> list[str] | None:
    """Objects named by object, entity or phase. Raises ConfigurationError for a name that is none of them."""
    if names is None:
        return None
    chosen: list[str] = []
    listed: list[list[str]] = run.options["objects"]
    for name in names:
        fitting = [o for o, entity, phase in listed if name in (o, entity, phase, phase.replace(" ", "-"))]
        if not fitting:
            known = ", ".join(dict.fromkeys([phase for _, _, phase in listed] + [o for o, _, _ in listed]))
            raise ConfigurationError(
                f"The run has no object or stage called {name}.", remedy=f"It has: {known}.", code="no_such_object"
            )
        chosen += fitting
    return chosen


def _entities(run: Run) -> dict[str, str]:
    """Objects of a run in load order, with their entities; as stored, so that no later version of a mapping matters."""
    return {o: entity for o, entity, _ in run.options["objects"]}
