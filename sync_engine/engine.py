"""The engine: one lane at a time, gather → plan → apply, for what comes in and what goes out.

A pass takes the lane's lease, answers notices, polls, compares in full where a cursor was lost, and pushes what is due. It
may be killed between any two calls of its store and its vendor; whatever was committed stands, and the next pass goes on there.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from domain.errors import CursorExpiredError, SynclineError, TransientError
from domain.records import Cursor
from storage.tracing import span
from sync_engine.braking import Deletes, deletes_of
from sync_engine.comparing import Findings, parts
from sync_engine.core.merge import same
from sync_engine.core.model import Decision, Failure, Hub, Incoming, Known, Outcome, Record, Rules
from sync_engine.core.planning import needs_another_look
from sync_engine.core.pull import is_doubtful, plan_pull
from sync_engine.core.recovery import Brake, Next, recover
from sync_engine.core.stand_ins import NOWHERE, PIPELINE, STAGE, for_records
from sync_engine.ports import (
    Gathered,
    Lane,
    LaneState,
    Lease,
    LeaseLostError,
    Projection,
    PullCommit,
    PullQuery,
    Raw,
    Refs,
    Resync,
    Span,
    StaleError,
    SyncStore,
    VendorPort,
)
from sync_engine.resolving import keys_of_creates, match_values, resolve
from sync_engine.survivors import with_survivors
from sync_engine.views import Beside, look, named_by, placed, strangers

REPLANS_MAX = 8
LOOKED_THROUGH_MAX, LOOKED_THROUGH_SIZE = 10_000, 1_000
"""Of how many records a pass asks for the lists of associated records that no listing tells, and how many at once."""


@dataclass(frozen=True, slots=True)
class Settings:
    lease_for: timedelta = timedelta(minutes=2)
    pages_max: int = 1_000_000
    push_batches_max: int = 50
    brake: Brake = field(default_factory=Brake)


@dataclass(slots=True)
class Report:
    """What a pass did: ``counts`` by outcome. ``stopped``: why it ended before its work was done.

    Incomplete: the vendor's listing broke off, or was never read to its end; so nothing was sent. ``compared``: it began, or went
    on with, a full comparison. ``listed``: how many records the vendor listed.
    """

    counts: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    error: SynclineError | None = None
    retry_after_s: float = 0.0
    more: bool = False
    compared: bool = False
    listed: int = 0


class Pass:
    """One pass over one lane, holding its lease. Not shared between threads."""

    def __init__(
        self,
        store: SyncStore,
        port: VendorPort,
        lease: Lease,
        clock: Callable[[], datetime],
        settings: Settings,
        report: Report,
        over: Callable[[], bool] = lambda: False,
        told: Callable[[Report], None] = lambda _: None,
    ) -> None:
        self.store, self.port, self.clock, self.settings, self.report = store, port, clock, settings, report
        self._over, self._told = over, told
        self.lease = lease
        self.lane = lease.lane
        self.asked: dict[str, datetime] = {}
        """When the records that this pass last read by their ids, and took account of, were asked for."""
        self.later: set[UUID] = set()
        """Hub records that this pass does not send, although they are due: they may be there already as what they were before."""
        self.refused: dict[UUID, str] = {}
        """Hub records whose create the vendor has just refused, and the vendor record that stands in their way."""
        self.unsure = False
        """Whether a listing showed records that have to be read by their ids, as notices say now."""

    @cached_property
    def began(self) -> LaneState:
        """The lane as the pass found it."""
        return self.store.state(self.lane)

    @cached_property
    def deletes(self) -> Deletes:
        return Deletes(self.lane, self.began, self.settings.brake, self.clock, lambda: self.store.live_links(self.lane))

    @property
    def rules(self) -> Rules:
        return self.port.rules

    def check(self) -> None:
        """Nothing is sent on an expired lease. Raises LeaseLostError."""
        if self.clock() >= self.lease.until:
            raise LeaseLostError(self.lane.object)

    def renew(self) -> None:
        """Hold the lease for longer, if half of its time is over. Raises LeaseLostError where someone else took it."""
        now = self.clock()
        if self.lease.until - now > self.settings.lease_for / 2:
            return
        lease = self.store.take(self.lane, self.lease.owner, now, now + self.settings.lease_for)
        if lease is None:
            raise LeaseLostError(self.lane.object)
        if lease.generation != self.lease.generation + 1:  # somebody held it in between: what this pass knows is old
            self.store.release(lease)
            raise LeaseLostError(self.lane.object)
        self.lease = lease

    def yields(self) -> bool:
        """Whether the pass has to end here, between two batches, although there is more to do; then the report says so."""
        if self._over():
            self.report.more = True
        return self.report.more

    @property
    def ended(self) -> bool:
        """Whether nothing more is done in this pass: its turn is over, or it was stopped."""
        return self.report.more or bool(self.report.stopped)

    def _listed(self, count: int) -> None:
        """Say that the vendor listed so many more."""
        self.report.listed += count
        self._told(self.report)

    # ------------------------------------------------------------ pulling

    def poll(self) -> bool:
        """Read what changed since the cursor; from the beginning where there is none. Tells whether it came to the end."""
        state, complete = self.store.state(self.lane), False
        if not self.rules.pulls or state.resync is not None:
            return True
        started = self.clock()
        try:
            for page in self.port.pages(state.cursor):
                self.renew()
                if self.brakes(page.raws):
                    return False
                complete = page.last
                verified = started if page.last else None
                self.apply(
                    page.raws,
                    PullCommit(self.rules.entity, cursor=page.cursor, verified_at=verified, rejects=page.rejects),
                    listed=True,
                )
                self._listed(len(page.raws))
                if not page.last and self.yields():
                    return False
        except CursorExpiredError as error:
            self.begin_resync(error.message)
            return True
        return complete

    def may_push(self) -> bool:
        """Whether all of the vendor's records were compared: before, what is created there may be there already."""
        state = self.store.state(self.lane)
        return not self.rules.pulls or (state.resync is None and state.verified_at is not None)

    def brakes(self, raws: Sequence[Raw]) -> bool:
        """Whether these delete too much; most of what is gone may be known to be gone already."""
        gone = sum(1 for raw in raws if raw.incoming.deleted)
        if self.deletes.too_many(gone) is None:
            return False
        return self.stops(deletes_of(self.plan(with_survivors(self.store, self.port, self.lane, raws))[1]))

    def stops(self, gone: int, *, counted_anew: bool = False) -> bool:
        """Stop the stream if so many deletes are too many: a person has to say that they are meant.

        ``counted_anew``: many records may have come or gone since the pass began, so the links are counted again.
        """
        failure = self.deletes.too_many(gone, counted_anew=counted_anew)
        if failure is None:
            return False
        self.store.pause(self.lane, "braked", failure)
        self.report.stopped = "braked"
        return True

    def answer_notices(self) -> None:
        """Read the records that notices name, each once however many notices it had."""
        while notices := self.store.notices(self.lane, self.port.ids_size):
            self.renew()
            self.asked = dict.fromkeys((n.vendor_id for n in notices), self.clock())
            raws = self.port.fetch(list(self.asked))
            if self.brakes(raws):
                return
            self.apply(raws, PullCommit(self.rules.entity, notices=[n.id for n in notices]))
            if self.yields():
                return

    def apply(self, raws: Sequence[Raw], commit: PullCommit, *, listed: bool = False) -> list[Decision]:
        """Plan and commit a batch, anew whenever something changed meanwhile; the cursor moves with the last of it.

        ``listed``: as a listing shows them, which may lag behind what the vendor says of each by its id.
        """
        with span("pull", object=self.lane.object, records=len(raws)):
            return self._apply(raws, commit, listed and self.port.settle_s > 0)

    def _apply(self, raws: Sequence[Raw], commit: PullCommit, may_lag: bool) -> list[Decision]:
        pending, done = with_survivors(self.store, self.port, self.lane, raws), list[Decision]()
        for _ in range(REPLANS_MAX):
            query, decisions, known = self.plan(pending)
            if may_lag:
                decisions = self._ask_about(decisions, known)
            ready = [d for d in decisions if not needs_another_look(d)]
            again = {id(d.incoming) for d in decisions if needs_another_look(d)}
            part = replace(commit, decisions=ready, matches=keys_of_creates(query, ready), beside=self._beside(known))
            if again:
                part = replace(part, cursor=None, resync=None, notices=(), rejects=(), verified_at=None)
            try:
                self.commit(part)
            except StaleError:
                continue
            done += ready
            pending = [r for r, d in zip(pending, decisions, strict=True) if id(d.incoming) in again]
            if not pending:
                self.report.counts.update(str(d.outcome) for d in done)
                return done
        raise TransientError(
            f"Records of {self.lane.object} kept changing while they were planned.",
            remedy="The next pass takes them up again.",
            code="kept_changing",
        )

    def _ask_about(self, decisions: Sequence[Decision], known: Known) -> list[Decision]:
        """Of what may be older than what the hub knows, or newer, nothing is taken: a notice has it read by its id."""
        doubtful = {id(d) for d in decisions if d.incoming and is_doubtful(d.incoming, known.links.get(d.vendor_id))}
        if not doubtful:
            return list(decisions)
        self.store.add_notices(self.lane, {d.vendor_id: False for d in decisions if id(d) in doubtful})
        self.unsure = True
        return [
            Decision(d.vendor_id, Outcome.SUPERSEDED, incoming=d.incoming) if id(d) in doubtful else d
            for d in decisions
        ]

    def _beside(self, known: Known) -> tuple[str, frozenset[str]] | None:
        membership = self.port.membership
        return None if membership is None else (membership.other, frozenset(known.elsewhere))

    def commit(self, commit: PullCommit) -> None:
        """Commit a batch, and with it the deletes that it adds to the brake's tally. Raises StaleError."""
        tally = self.deletes.tally_with(commit.decisions) if deletes_of(commit.decisions) else None
        self.store.commit_pull(self.lease, replace(commit, deletes=tally))
        if tally is not None:
            self.deletes.tally = tally

    def plan(self, raws: Sequence[Raw]) -> tuple[PullQuery, list[Decision], Known]:
        """What would be done about these records, and what that was decided from. Changes nothing."""
        if not raws:
            return PullQuery((), self.rules.entity), [], Known()
        beside = look(self.store, self.lane, self.port.membership, named_by(raws))
        query = self._query(raws, beside)
        gathered = self.store.gather_pull(self.lane, query)
        taken = self._taken(raws, gathered.known, beside)
        known = replace(self._projected(gathered), taken=taken, elsewhere=beside.elsewhere, became=beside.became)
        known = replace(known, refused=self.refused)
        items = self.placed(resolve(raws, gathered), known)
        if self.rules.part:  # what has left is only what it was linked to, or announced as
            here = {i.vendor_id for i in items if not i.outside}
            known = replace(known, candidates={v: ids for v, ids in known.candidates.items() if v in here})
        return query, plan_pull(items, known, self.rules, self.port.new_id), known

    def placed(self, items: Sequence[Incoming], known: Known) -> list[Incoming]:
        """The records with whether another object holds them: see `sync_engine.views`."""
        membership = self.port.membership
        new = [i for i in items if i.vendor_id not in known.links and i.outside is False]
        others = strangers(self.store, self.lane, membership, new)
        return placed(membership, self.rules.becomes, items, known, others)

    def _taken(self, raws: Sequence[Raw], known: Known, beside: Beside) -> Mapping[UUID, str]:
        """Which hub records that these would be linked to are linked to a record of this object already."""
        unlinked = [raw.incoming for raw in raws if raw.incoming.vendor_id not in known.links]
        wanted = {item.key for item in unlinked if item.key is not None}
        wanted |= {link.entity_id for link in known.links.values() if link.tombstoned}
        wanted |= set(beside.became.values())
        wanted |= {known.redirects[i] for i in wanted if i in known.redirects}
        if not wanted:
            return {}
        refs = self.store.vendor_refs(self.lane, sorted(wanted))
        return {hub: vid for hub, pairs in refs.items() for name, vid in pairs if name == self.lane.object}

    def _query(self, raws: Sequence[Raw], beside: Beside) -> PullQuery:
        refs = {ref: None for raw in raws for ref in raw.referred}
        ids = dict.fromkeys(raw.incoming.vendor_id for raw in raws)
        ids.update(dict.fromkeys(raw.incoming.merged_into for raw in raws if raw.incoming.merged_into))
        return PullQuery(
            list(ids),
            self.rules.entity,
            list(refs),
            {raw.incoming.vendor_id: match_values(raw.incoming, self.rules.match_keys) for raw in raws},
            [*(raw.incoming.key for raw in raws if raw.incoming.key is not None), *beside.became.values()],
            times=self.rules.needs_times,
        )

    def _projected(self, gathered: Gathered) -> Known:
        known = gathered.known
        held = {link.entity_id: link.base for link in known.links.values() if not link.tombstoned}
        projected, _ = self.project(list(known.hubs.values()), held)
        seen = zip(known.hubs.items(), projected, strict=True)
        return replace(known, hubs={i: hub.seen_as(projection.seen) for (i, hub), projection in seen})

    def project(self, hubs: Sequence[Hub], held: Mapping[UUID, Record | None]) -> tuple[list[Projection], Refs]:
        """Hub records as the vendor can hold them, and the vendor's ids of what they refer to there.

        ``held``: what the vendor last said of each that it has. Stages and pipelines of other vendors are stood in for.
        """
        failures: Mapping[UUID, Failure] = {}
        if self.rules.writes_field(STAGE) and any(STAGE in hub.values or PIPELINE in hub.values for hub in hubs):
            hubs, failures = for_records(hubs, lambda hub: held.get(hub.id), self.store.set_up(self.lane), self.rules)
        refs = self.refs_of(hubs, held)
        found = zip(hubs, self.port.project(hubs, refs, held), strict=True)
        return [
            replace(p, waits=tuple(w for w in p.waits if w.entity_id != NOWHERE), failure=failures.get(h.id, p.failure))
            if p.waits or failures
            else p
            for h, p in found
        ], refs

    def refs_of(self, hubs: Sequence[Hub], held: Mapping[UUID, Record | None]) -> Refs:
        """The vendor's ids of whatever these hub records refer to, and of what they were associated with at the vendor."""
        wanted = {v for hub in hubs for v in hub.values.values() if isinstance(v, UUID)}
        for name in self.rules.links:
            for said in (*(hub.values for hub in hubs), *(base for base in held.values() if base)):
                wanted |= set(said.get(name) or ())
        return self.store.vendor_refs(self.lane, sorted(wanted)) if wanted else {}

    # ------------------------------------------------------------ what no listing tells

    def look_through(self, *, every: bool = False) -> None:
        """Ask for lists of associated records whose changes no listing tells, and read the records where they differ.

        ``every``: also where there are more than a pass asks for (`LOOKED_THROUGH_MAX`).
        """
        if not self.rules.pulls or not self.port.untold(every=every):
            return
        if not every and self.store.live_links(self.lane) > LOOKED_THROUGH_MAX:
            return
        linked = [i for i, _ in self.store.links_between(self.lane, Span(None, None, self.port.id_order))]
        for start in range(0, len(linked), LOOKED_THROUGH_SIZE):
            self.renew()
            found = self._reassociated(linked[start : start + LOOKED_THROUGH_SIZE], every=every)
            for first in range(0, len(found), self.port.ids_size):
                self.apply(self.port.fetch(found[first : first + self.port.ids_size]), PullCommit(self.rules.entity))
            if not every and self.yields():
                return

    def _reassociated(self, vendor_ids: Sequence[str], *, every: bool) -> list[str]:
        """Those of the records whose lists differ from what the vendor last said, as far as the hub knows the other ends."""
        raws = self.port.associated(vendor_ids, every=every)
        refs = list({ref: None for raw in raws for ref in raw.referred})
        gathered = self.store.gather_pull(self.lane, PullQuery(vendor_ids, self.rules.entity, refs))
        links, found = gathered.known.links, []
        for item in resolve(raws, gathered):
            link = links.get(item.vendor_id)
            if link is not None and any(not same(v, (link.base or {}).get(n)) for n, v in item.values.items()):
                found.append(item.vendor_id)
        return found

    # ------------------------------------------------------------ comparing in full

    def begin_resync(self, reason: str) -> None:
        """Note that everything has to be compared, and from when on the next poll has to read."""
        state = self.store.state(self.lane)
        if state.resync is None:
            self.store.commit_pull(
                self.lease, PullCommit(self.rules.entity, resync=Resync(self.clock(), reason=reason))
            )

    def resync(self) -> None:
        """Go on with a full comparison: changed and new records first, then, if the brake lets it, deletes."""
        state = self.store.state(self.lane)
        if state.resync is None:
            return
        self.report.compared = True
        if not self.port.can_compare:
            self._relist(state.resync)
            return
        under_way = self._compare(state.resync)
        if under_way is not None and under_way.missing and not under_way.deleting:
            if self.stops(under_way.missing, counted_anew=True):
                return
            under_way = self._compare(replace(under_way, after=None, deleting=True))
        if under_way is not None:
            self._end_resync(under_way)

    def _relist(self, under_way: Resync) -> None:
        """A vendor that lists no versions: read everything again, and ask for each linked record that was not listed.

        The cursor moves at the end only: a listing that breaks off implies no delete, and begins again;
        so a turn that is over waits for its end.
        """
        listed: set[str] = set()
        for page in self.port.pages(None):
            self.renew()
            listed.update(raw.incoming.vendor_id for raw in page.raws)
            self.apply(page.raws, PullCommit(self.rules.entity, rejects=page.rejects), listed=True)
            self._listed(len(page.raws))
            if page.last:
                self._end_relist(under_way, listed, page.cursor)

    def _end_relist(self, under_way: Resync, listed: Collection[str], cursor: Cursor) -> None:
        linked = self.store.links_between(self.lane, Span(None, None, self.port.id_order))
        missing = [vendor_id for vendor_id, _ in linked if vendor_id not in listed]
        if self.stops(len(missing), counted_anew=True):
            return
        commit = PullCommit(self.rules.entity, cursor=cursor, clears_resync=True, verified_at=under_way.started_at)
        self.apply(self._fetched(missing), commit)

    def _compare(self, under_way: Resync) -> Resync | None:
        """Compare from where it stands to the end of the vendor's listing; None if the listing broke off."""
        complete, found = False, Findings(under_way)

        def on_page(count: int) -> None:
            self.renew()
            self._listed(0 if under_way.deleting else count)

        for part in parts(self.port, under_way.after, on_page):
            found.add(part, self.store.links_between(self.lane, part.span))
            complete = part.last
            over = not complete and self.yields()
            if complete or over or found.is_enough(self.port.ids_size):
                found = self._act_on(found)
            if over:
                return None
        if found.rows:
            found = self._act_on(found)
        return found.since if complete else None

    def _act_on(self, found: Findings) -> Findings:
        """Take in what was found, and note how far the comparison has come."""
        self.apply(self._fetched(found.wanted), PullCommit(self.rules.entity, resync=found.state))
        return Findings(found.state)

    def _fetched(self, vendor_ids: Sequence[str]) -> list[Raw]:
        size = self.port.ids_size
        return [raw for i in range(0, len(vendor_ids), size) for raw in self.port.fetch(list(vendor_ids[i : i + size]))]

    def _end_resync(self, under_way: Resync) -> None:
        """Polling goes on from the moment the comparison began."""
        self.look_through(every=True)
        self.store.commit_pull(
            self.lease,
            PullCommit(
                self.rules.entity,
                cursor=self.port.cursor_at(under_way.started_at),
                clears_resync=True,
                verified_at=under_way.started_at,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a pass is to do; `Engine.run` explains."""

    poll: bool
    compare: bool
    over: Callable[[], bool]
    told: Callable[[Report], None]
    notices_first: bool


class Engine:
    """Runs passes. ``port_of`` gives the vendor's side of a lane; ``clock`` the time, with a zone."""

    def __init__(
        self,
        store: SyncStore,
        port_of: Callable[[Lane], VendorPort],
        clock: Callable[[], datetime],
        settings: Settings | None = None,
        *,
        owner: Callable[[], str] = lambda: uuid.uuid4().hex,
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._store, self._port_of, self._clock, self._owner, self._jitter = store, port_of, clock, owner, jitter
        self._settings = settings or Settings()

    def run(
        self,
        lane: Lane,
        *,
        poll: bool = True,
        compare: bool = False,
        over: Callable[[], bool] = lambda: False,
        told: Callable[[Report], None] = lambda _: None,
        owner: str | None = None,
        ended: Callable[[Report], None] = lambda _: None,
    ) -> Report:
        """One pass. Returns what was done and, if it stopped early, why; raises LeaseLostError when another worker took over.

        ``compare``: begin a full comparison, where the vendor can be compared with. ``over`` is asked after every batch: True ends
        the pass there, with ``Report.more``. ``told`` gets the report as it stands, whenever the vendor listed more. ``ended`` is
        told how it went, whatever ended it, before the lane is given back: a pass that never tells is known by its lease, which
        ``owner`` holds. Nothing that a vendor or the network does is raised: the report and the lane's status tell.
        """
        report = Report()
        now = self._clock()
        lease = self._store.take(lane, owner or self._owner(), now, now + self._settings.lease_for)
        if lease is None:
            report.stopped = "busy"
            return report
        held = [lease]
        try:
            state = self._store.state(lane)
            if state.status not in ("idle", ""):
                report.stopped = state.status
            else:
                # A first listing tells of no deletes: what a notice had read just before it began could be gone unnoticed.
                wanted = _Wanted(poll, compare, over, told, notices_first=state.cursor is not None)
                self._work(held, report, wanted)
        except LeaseLostError:
            report.stopped = "taken over"
            raise
        except BaseException:
            report.stopped = "broken off"
            raise
        finally:
            try:
                ended(report)
            finally:
                # By its generation: a lease that was taken over meanwhile stays its new holder's.
                self._store.release(held[-1])
        return report

    def _work(self, held: list[Lease], report: Report, wanted: _Wanted) -> None:
        lane = held[-1].lane
        try:
            port = self._port_of(lane)
            run = Pass(self._store, port, held[-1], self._clock, self._settings, report, wanted.over, wanted.told)
            try:
                self._carry_out(run, wanted)
            finally:
                held.append(run.lease)
        except SynclineError as error:
            self._recover(lane, error, report)

    def _carry_out(self, run: Pass, wanted: _Wanted) -> None:
        from sync_engine.pushing import push

        if wanted.notices_first:
            run.answer_notices()
        if wanted.compare and run.port.can_compare and not run.ended:
            run.begin_resync("scheduled")
        complete = run.poll() if wanted.poll and not run.ended else True
        if wanted.poll and complete and not run.ended:
            run.look_through()
        if (run.unsure or not wanted.notices_first) and not run.ended:
            run.answer_notices()
        if not run.ended:
            run.resync()
        if run.ended:
            return
        if complete and run.may_push():
            push(run, self._jitter)
        else:
            run.report.stopped = "incomplete"

    def _recover(self, lane: Lane, error: SynclineError, report: Report) -> None:
        what = recover(error, 1, self._jitter())
        report.error, report.retry_after_s, report.stopped = error, what.delay_s, str(what.next)
        if what.next in (Next.PAUSE_CONNECTION, Next.STOP_STREAM):
            status = "reauth" if what.next is Next.PAUSE_CONNECTION else "stopped"
            self._store.pause(lane, status, Failure(error.code, error.message, fault="vendor"))
