"""Keeping connections in step: streams as a person configures them, and the engine that runs them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bootstrap.syncing_rules import StreamSettings, membership_of
from connectors.kit.contract import Connector, ReadRequest, SupportsCursorAt, SupportsUpsert, SupportsViews
from domain.entities import SET_UP
from domain.errors import ConfigurationError, TransientError
from domain.ids import new_id, record_namespace
from domain.records import AccountInfo, ObjectSchema
from mappings.compile import Lens, MappingContext, compile_spec
from mappings.spec import MappingSpec, load_shipped, parse_spec, spec_to_toml
from migration.plan_mapping import context_of
from migration.plan_model import Plan
from storage import connections, scheduling, stream_runs, streams, suppression
from storage.database import Connection
from storage.stream_runs import StreamRun
from storage.streams import Stream
from storage.suppression import Guard
from sync_engine.core.stand_ins import PIPELINE, STAGE
from sync_engine.engine import Engine, Report, Settings
from sync_engine.ports import Lane, LeaseLostError
from sync_engine.postgres import PostgresSyncStore
from sync_engine.replay import Replays
from sync_engine.ruling import rules_of, several_of
from sync_engine.vendor import ConnectorObject
from sync_engine.verify import Verified, verify_lane
from webhooks.inbound.processing import STAGE as WEBHOOK
from webhooks.inbound.replaying import PostedReplays

if TYPE_CHECKING:
    from bootstrap.wiring import Hub
    from storage.runs import Run

log = logging.getLogger("syncline.sync")

ORDER = ("user", "pipeline", "stage", "account", "contact", "lead", "product", "price", "campaign", "opportunity")
"""Entities in the order in which lanes run: parents before what refers to them; everything else afterwards."""

ROUNDS_MAX = 50

_STAGED = {"stage": STAGE, "pipeline": PIPELINE}


def order_of(entity: str) -> int:
    """Where an entity stands in `ORDER`."""
    return ORDER.index(entity) if entity in ORDER else len(ORDER)


@dataclass
class Opened:
    """A connector with what was learnt about its account."""

    connector: Connector
    account: AccountInfo
    vendor: str
    schemas: dict[str, ObjectSchema] = field(default_factory=dict)


class Syncs:
    """Everything about two-way sync of one tenant. Holds connectors open until `close`; not shared between threads."""

    def __init__(
        self, hub: Hub, settings: Settings | None = None, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._hub = hub
        self._clock = clock or (lambda: datetime.now(UTC))
        self._opened: dict[UUID, Opened] = {}
        self._ports: dict[Lane, ConnectorObject] = {}
        self._settings = settings or Settings()
        self.store = PostgresSyncStore(hub.db)
        self.engine = Engine(self.store, self.port, self._clock, self._settings)

    def close(self) -> None:
        """Close every connector."""
        while self._opened:
            self._opened.popitem()[1].connector.close()
        self._ports.clear()

    # ------------------------------------------------------------ configuring

    def available(self, connection_id: UUID) -> list[str]:
        """Objects of the connection that can be kept in step: those with a shipped mapping to an entity."""
        opened = self._open(connection_id)
        return [name for name, _ in _mapped(opened)]

    def offered(self, connection_id: UUID) -> list[tuple[str, str]]:
        """`available` with the entity of each."""
        return _mapped(self._open(connection_id))

    def usual(self, connection_id: UUID) -> list[str]:
        """Of those, the ones that nobody has to choose between.

        That is the only one of its entity, one of several that different records go to (calls and meetings), or one that is only
        read anyway.
        """
        opened = self._open(connection_id)
        mapped = _mapped(opened)
        kinds = {name: _kinds(load_shipped(opened.vendor, name)) for name, _ in mapped}
        times = Counter((entity, kind) for name, entity in mapped for kind in kinds[name])
        alone = {n for n, entity in mapped if kinds[n] and all(times[entity, kind] == 1 for kind in kinds[n])}
        chosen = {"attachment"}  # and views of what another object holds as well: somebody has to say which it is to be
        views = opened.connector.views if isinstance(opened.connector, SupportsViews) else {}
        return [n for n, e in mapped if (n in alone or e in SET_UP) and e not in chosen and n not in views]

    def add(
        self,
        connection_id: UUID,
        objects: Sequence[str],
        settings: StreamSettings,
        specs: Mapping[str, MappingSpec] | None = None,
        *,
        make_key_field: bool = False,
        noting: Callable[[Connection, Sequence[Stream]], None] = lambda *_: None,
    ) -> list[Stream]:
        """Keep these objects in step from now on. Raises ConfigurationError for an object that cannot be.

        ``specs``: mappings to use instead of the shipped ones (those of a migration that goes on). ``make_key_field``: let the
        connector make the field for hub ids at the vendor. Stages and pipelines that an object refers to come along, to be read.
        ``noting`` is called in the transaction that stores them.
        """
        made = []
        self._check_lead_settings(connection_id, objects, settings)
        for name in (*self._stages_of(connection_id, objects), *objects):
            spec = (specs or {}).get(name) or self._shipped(connection_id, name)
            keyed = make_key_field and spec.entity not in SET_UP
            chosen = replace(settings, key_field=self._key_field(connection_id, name)) if keyed else settings
            made.append(self._stream(connection_id, name, spec, chosen))
        with self._hub.db.tenant(self._hub.tenant_id) as conn:
            for one in made:
                self._note_view(conn, one)
                streams.put(conn, one)
                if one.pushes and settings.creates_out:
                    streams.queue_missing(conn, one)
            noting(conn, made)
        self._ports = {lane: port for lane, port in self._ports.items() if lane.connection_id != connection_id}
        return made

    def _check_lead_settings(self, connection_id: UUID, objects: Sequence[str], settings: StreamSettings) -> None:
        """Lead stages are given to an object of leads, and are stages that there are. Raises ConfigurationError."""
        if not settings.lead_stages and not settings.converted_stage:
            return
        opened = self._open(connection_id)
        views = opened.connector.views if isinstance(opened.connector, SupportsViews) else {}
        named = [name for name in objects if name in views]
        if not named:
            raise ConfigurationError(
                "Lead stages are a setting of an object that is a part of another one's records.",
                remedy=f"Add {' or '.join(views)} with them."
                if views
                else "Leave them out: this vendor has no such object.",
                code="bad_setting",
            )
        for name in named:
            known = {o.value for o in self._schema(opened, name).field(views[name].field).options}
            given = [*settings.lead_stages, *([settings.converted_stage] if settings.converted_stage else [])]
            if unknown := [stage for stage in given if stage not in known]:
                raise ConfigurationError(
                    f"{views[name].of} of this connection have no stage {', '.join(unknown)}.",
                    remedy=f"Known are: {', '.join(sorted(known))}.",
                    code="no_such_set_up",
                )
            if settings.converted_stage in (settings.lead_stages or views[name].inside):
                raise ConfigurationError(
                    f"{settings.converted_stage} is a lead stage, so nobody who is moved there is a contact.",
                    remedy="Choose a later stage, or leave it out of the lead stages.",
                    code="bad_setting",
                )

    def _note_view(self, conn: Connection, wanted: Stream) -> None:
        """Where another part of the records is a stream's from now on, both objects look at all of them again."""
        of, names = wanted.settings.get("of"), ("lead_stages", "converted_stage")
        known = next((s for s in streams.list_all(conn, wanted.connection_id) if s.object == wanted.object), None)
        told = StreamSettings.from_json(wanted.settings)
        before = None if known is None else StreamSettings.from_json(known.settings)
        if of is None or before is None or all(getattr(before, n) == getattr(told, n) for n in names):
            return
        streams.look_again(conn, wanted.connection_id, wanted.object)
        for name in (str(of), wanted.object):
            streams.compare_anew(conn, wanted.connection_id, name, "other stages are lead stages", self._clock())

    def _stages_of(self, connection_id: UUID, objects: Sequence[str]) -> list[str]:
        """Objects of stages and pipelines that records of these objects are at, and that are not kept in step yet."""
        opened = self._open(connection_id)
        known = {*objects, *(s.object for s in self.list(connection_id))}
        specs = [spec for name in objects if (spec := load_shipped(opened.vendor, name)) is not None]
        lines = [line for spec in specs for field in (PIPELINE, STAGE) if (line := spec.fields.get(field)) is not None]
        wanted = dict.fromkeys(name for line in lines for name in line.objects if name not in known)
        return [name for name in wanted if load_shipped(opened.vendor, name) is not None]

    def _check_names(self, opened: Opened, lens: Lens, settings: StreamSettings) -> StreamSettings:
        """Names are given to stages and pipelines that there are; other objects have none. Raises ConfigurationError."""
        lines = {e: line for e, f in _STAGED.items() if (line := lens.spec.fields.get(f)) is not None}
        settings = replace(settings, names=tuple(n for n in settings.names if n[0] in lines))
        for entity, line in lines.items():
            given = {vendor_id for of, _, vendor_id in settings.names if of == entity}
            for name in line.objects if given else ():
                spec = self._shipped_spec(opened, name)
                pages = opened.connector.read(ReadRequest(name, (spec.id,)))
                given -= {str(row[page.fields.index(spec.id)]) for page in pages for row in page.rows}
            if given:
                raise ConfigurationError(
                    f"{lens.spec.object} of this connection has no {entity} {', '.join(sorted(given))}.",
                    remedy=f"Give the vendor's own id of the {entity}, as `syncline explain {entity} NAME` shows it.",
                    code="no_such_set_up",
                )
        return settings

    def _key_field(self, connection_id: UUID, name: str) -> str | None:
        """The field for hub ids, made where it is missing; None where the object is not written."""
        opened = self._open(connection_id)
        make = getattr(opened.connector, "ensure_key_property", None)
        if make is None:
            raise ConfigurationError(
                f"{opened.connector.manifest.label} lets nobody make fields this way.",
                remedy="Make a unique text field there, and name it with --key-field.",
            )
        if not _writable(opened, name):
            return None
        made = make(name)
        opened.schemas.pop(name, None)
        return made if isinstance(made, str) else "syncline_id"

    def _shipped(self, connection_id: UUID, name: str) -> MappingSpec:
        return self._shipped_spec(self._open(connection_id), name)

    def _shipped_spec(self, opened: Opened, name: str) -> MappingSpec:
        spec = load_shipped(opened.vendor, name)
        if spec is None or spec.entity == "association":
            raise ConfigurationError(
                f"{name} cannot be kept in step: no mapping for it comes with the product.",
                remedy=f"These can: {', '.join(n for n, _ in _mapped(opened))}.",
                code="no_such_stream",
            )
        return spec

    def _stream(self, connection_id: UUID, name: str, spec: MappingSpec, settings: StreamSettings) -> Stream:
        opened = self._open(connection_id)
        lens = self._lens(opened, name, spec)
        if lens.entity in SET_UP:
            settings = replace(settings, direction="in")
        settings = self._check_names(opened, lens, settings)
        pushes = settings.pushes and isinstance(opened.connector, SupportsUpsert) and _writable(opened, name)
        membership = membership_of(opened.connector, name, {name: settings}, _entities(opened))
        rules = rules_of(lens, several_of(opened.connector, lens), membership)
        part = {"of": membership.other} if membership is not None else {}
        return Stream(
            connection_id,
            name,
            lens.entity,
            pushes,
            tuple(sorted(rules.writes)) if pushes else (),
            str(getattr(opened.connector, "id_order", "ascii")),
            {**settings.to_json(), "pushes": pushes, "spec": spec_to_toml(spec), **part},
        )

    def start_from(self, connection_id: UUID, objects: Sequence[str], moment: datetime) -> None:
        """Let the first poll of new streams list what changed at or after ``moment``; objects without changes are read whole."""
        connector = self._open(connection_id).connector
        for name in objects:
            try:
                cursor = connector.cursor_at(name, moment) if isinstance(connector, SupportsCursorAt) else None
            except ConfigurationError:
                cursor = None  # an object that the vendor lists only as a whole
            if cursor is not None:
                with self._hub.db.tenant(self._hub.tenant_id) as conn:
                    streams.start_at(conn, connection_id, name, cursor)

    def list(self, connection_id: UUID | None = None) -> list[Stream]:
        """Every stream, parents before children."""
        with self._hub.db.tenant(self._hub.tenant_id) as conn:
            found = streams.list_all(conn, connection_id)
        return sorted(found, key=lambda s: (order_of(s.entity), str(s.connection_id), s.object))

    def set_status(self, connection_id: UUID, status: str, objects: Sequence[str] = ()) -> int:
        """Pause (``paused``) or resume (``idle``) streams; returns how many."""
        names = objects or [s.object for s in self.list(connection_id)]
        with self._hub.db.tenant(self._hub.tenant_id) as conn:
            if status == "idle":
                streams.let_deletes_through(conn, connection_id, names, self._clock())
            return streams.set_status(conn, connection_id, names, status)

    def migrated(self, connection_id: UUID) -> tuple[Run, Plan]:
        """The newest finished migration of a connection, and the plan it followed. Raises ConfigurationError."""
        return self._hub.migrations.finished(connection_id=connection_id)

    def lens(self, connection_id: UUID, name: str, spec: MappingSpec) -> Lens:
        """A mapping compiled against the vendor's own fields."""
        return self._lens(self._open(connection_id), name, spec)

    def connector(self, connection_id: UUID) -> Connector:
        """The open connector of a connection."""
        return self._open(connection_id).connector

    # ------------------------------------------------------------ running

    def lane(self, stream: Stream) -> Lane:
        return Lane(self._hub.tenant_id, stream.connection_id, stream.object)

    def run(self, stream: Stream) -> Report:
        """One pass over one stream."""
        return self.run_lane(self.lane(stream))

    def run_lane(
        self,
        lane: Lane,
        *,
        poll: bool = True,
        compare: bool = False,
        over: Callable[[], bool] = lambda: False,
        told: Callable[[Report], None] = lambda _: None,
    ) -> Report:
        """One pass over one lane, as `Engine.run` explains; how it went is kept."""
        run_id, started, calls = new_id(), self._clock(), self._hub.calls[lane.connection_id]

        def ended(report: Report) -> None:
            self._keep(lane, report, run_id, started, self._hub.calls[lane.connection_id] - calls, poll=poll)

        report = self.engine.run(lane, poll=poll, compare=compare, over=over, told=told, owner=str(run_id), ended=ended)
        log.info("pass", extra={"object": lane.object, "counts": dict(report.counts), "stopped": report.stopped})
        return report

    def _keep(self, lane: Lane, report: Report, run_id: UUID, started: datetime, calls: int, *, poll: bool) -> None:
        """Note how a pass went. What it did is committed: where the database is away, only the note is lost."""
        run = StreamRun(
            lane.connection_id, lane.object, kind_of(report, poll=poll), started, self._clock(),
            {name: count for name, count in report.counts.items() if count}, calls,
            complete=not report.more and not report.stopped, stopped=report.stopped or None,
            code=None if report.error is None else report.error.code, id=run_id,
        )  # fmt: skip
        with suppress(TransientError), self._hub.db.tenant(lane.tenant_id) as conn:
            stream_runs.add(conn, run)

    def compare(self, stream: Stream, told: Callable[[Report], None] = lambda _: None) -> Report:
        """One pass that compares every record of a stream with the vendor's; a comparison under way is gone on with.

        A stream that was never read is read whole instead. Whatever ends it early, workers go on with it, also where somebody else
        works on the stream (``busy``). ``told`` gets the report as it stands, whenever the vendor listed more. Raises nothing that
        a vendor does.
        """
        key = (stream.connection_id, stream.object)
        with self._hub.db.tenant(self._hub.tenant_id) as conn:
            scheduling.ask(conn, *key, self._clock(), compare=True)
        try:
            report = self.run_lane(self.lane(stream), told=told)
        except LeaseLostError:
            return Report(stopped="busy")
        if not report.stopped:
            again = self._clock() + timedelta(seconds=self._hub.settings.compare_every_s)
            with self._hub.db.tenant(self._hub.tenant_id) as conn:
                scheduling.ended_well(conn, *key, compare_at=again)
        return report

    def verify(self, stream: Stream) -> Verified:
        """Compare every record of a stream with the vendor's own listing. Changes nothing."""
        return verify_lane(self.store, self.port(self.lane(stream)), self.lane(stream))

    def settle(
        self,
        connection_ids: Sequence[UUID] | None = None,
        *,
        on_pass: Callable[[Stream, Report], None] = lambda *_: None,
    ) -> int:
        """Run every stream again and again until a whole round changes nothing; returns how many rounds it took.

        Raises ConfigurationError when it does not settle, and the error that stops a stream.
        """
        for round_ in range(1, ROUNDS_MAX + 1):
            quiet = True
            for stream in self.list():
                if stream.status != "idle" or (
                    connection_ids is not None and stream.connection_id not in connection_ids
                ):
                    continue
                report = self.run(stream)
                on_pass(stream, report)
                if report.error is not None and not report.retry_after_s:
                    raise report.error
                changed = {
                    n: c
                    for n, c in report.counts.items()
                    if n not in ("unchanged", "superseded", "skipped", "rejected")
                }
                quiet = quiet and not changed and not report.stopped
            if quiet:
                return round_
        raise ConfigurationError(
            f"The connections still change each other after {ROUNDS_MAX} rounds.",
            remedy="Look at `syncline conflicts list` and `syncline dead-letters groups`.",
            code="does_not_settle",
        )

    def port(self, lane: Lane) -> ConnectorObject:
        """The vendor's side of a lane."""
        known = self._ports.get(lane)
        if known is None:
            known = self._ports[lane] = self._port(lane)
        return known

    def _port(self, lane: Lane) -> ConnectorObject:
        opened = self._open(lane.connection_id)
        settings, spec = self._settings_of(lane)
        lens = self._lens(opened, lane.object, spec)
        several = several_of(opened.connector, lens)
        membership = membership_of(opened.connector, lane.object, self._chosen(lane.connection_id), _entities(opened))
        rules = rules_of(lens, several, membership, **settings.rules(lens.entity))
        space = record_namespace(lane.tenant_id, opened.vendor, opened.account.remote_account, lane.object)
        hub = self._hub
        guard = Guard(hub.db, lambda: hub.vault, lane.tenant_id, lane.connection_id, lane.object)
        return ConnectorObject(
            opened.connector, lens, rules, space, settings.key_field, guard, several, guard.naming, membership
        )

    def _chosen(self, connection_id: UUID) -> dict[str, StreamSettings]:
        """The settings of the connection's streams."""
        return {s.object: StreamSettings.from_json(s.settings) for s in self.list(connection_id)}

    def _settings_of(self, lane: Lane) -> tuple[StreamSettings, MappingSpec]:
        """What the lane goes by: its stream; or, for letters of a migration, the plan of the migration, read only."""
        with self._hub.db.tenant(lane.tenant_id) as conn:
            found = [s for s in streams.list_all(conn, lane.connection_id) if s.object == lane.object]
        if found:
            spec = parse_spec(str(found[0].settings["spec"]), f"{lane.object}.toml")
            return StreamSettings.from_json(found[0].settings), spec
        settings = StreamSettings(direction="in")
        for status in self._hub.migrations.status():
            if status.run.connection_id == lane.connection_id and status.run.kind == "run":
                planned = [p for p in Plan.from_json(status.run.plan).objects if p.object == lane.object]
                if planned:
                    return settings, planned[0].spec
        return settings, self._shipped(lane.connection_id, lane.object)

    def _lens(self, opened: Opened, name: str, spec: MappingSpec) -> Lens:
        context: MappingContext = context_of(opened.account)
        self._describe(opened, name)
        return compile_spec(spec, opened.schemas.get(name), context)

    def _describe(self, opened: Opened, name: str) -> None:
        if name not in opened.schemas:
            opened.schemas.update(opened.connector.describe([name]).objects)

    def _schema(self, opened: Opened, name: str) -> ObjectSchema:
        self._describe(opened, name)
        return opened.schemas[name]

    def _open(self, connection_id: UUID) -> Opened:
        known = self._opened.get(connection_id)
        if known is None:
            connector = self._hub.open_connector(connection_id)
            with self._hub.db.tenant(self._hub.tenant_id) as conn:
                vendor = connections.get(conn, connection_id).vendor
            try:
                account = connector.check()
            except BaseException:
                connector.close()
                raise
            known = self._opened[connection_id] = Opened(connector, account, vendor)
        return known

    # ------------------------------------------------------------ dead letters

    @property
    def replays(self) -> Replays:
        """Showing and replaying dead letters, also of migrations: a stream need not exist for that."""
        posts = PostedReplays(self._hub.db, self._hub.tenant_id, refuse=self._refuse)
        return Replays(
            self._hub.db, self._hub.tenant_id, self.store, self.port, self._clock, self._requeue, self._settings,
            {WEBHOOK: posts},
        )  # fmt: skip

    def _refuse(self, conn: Connection, entity: str, values: Mapping[str, Any]) -> None:
        suppression.refuse(conn, self._hub.vault, entity, values)

    def _requeue(self, lane: Lane, entity: str, ids: Sequence[UUID]) -> None:
        self.store.queue(lane, entity, ids)


def _mapped(opened: Opened) -> list[tuple[str, str]]:
    """Objects with a shipped mapping, and the entity of each."""
    specs = [(info.name, load_shipped(opened.vendor, info.name)) for info in opened.connector.manifest.objects]
    return [(name, spec.entity) for name, spec in specs if spec is not None and spec.entity != "association"]


def _entities(opened: Opened) -> dict[str, str | None]:
    """The entity of each object that the connector knows."""
    return {info.name: info.entity for info in opened.connector.manifest.objects}


def _kinds(spec: MappingSpec | None) -> tuple[object, ...]:
    """The kinds of hub records that an object is made of; one that any record goes to has the kind None."""
    if spec is None:
        return ()
    return tuple(spec.creates.get("kind", (spec.constants.get("kind"),)))


def kind_of(report: Report, *, poll: bool) -> str:
    """What a pass was, by the most that it did: a full comparison, a poll, answering notices, or only sending."""
    if report.compared:
        return "comparison"
    if poll:
        return "poll"
    sent = [name for name in report.counts if name.startswith("push")]
    return "push" if sent and len(sent) == len(report.counts) else "notice"


def _writable(opened: Opened, name: str) -> bool:
    return any(info.name == name and info.writable for info in opened.connector.manifest.objects)


@contextmanager
def syncing(hub: Hub, settings: Settings | None = None) -> Iterator[Syncs]:
    """`Syncs` for a block."""
    syncs = Syncs(hub, settings)
    try:
        yield syncs
    finally:
        syncs.close()
