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
from typing import Any
from uuid import UUID

from domain.errors import CursorExpiredError, SynclineError, TransientError
from domain.records import Cursor
from sync_engine.comparing import Findings, parts
from sync_engine.core.merge import is_blank
from sync_engine.core.model import Decision, Failure, Hub, Incoming, Known, Outcome, Rules, VendorRef
from sync_engine.core.pull import needs_another_look, plan_pull
from sync_engine.core.recovery import Brake, Next, recover
from sync_engine.ports import (
    Gathered,
    Lane,
    LaneState,
    Lease,
    LeaseLostError,
    PullCommit,
    PullQuery,
    Raw,
    Resync,
    Span,
    StaleError,
    SyncStore,
    VendorPort,
)

REPLANS_MAX = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """``fresh_for``: how old the lane's last poll may be for a push to trust it instead of asking the vendor again."""

    lease_for: timedelta = timedelta(minutes=2)
    fresh_for: timedelta = timedelta(0)
    pages_max: int = 1_000_000
    push_batches_max: int = 50
    notices_at_once: int = 100
    brake: Brake = field(default_factory=Brake)


@dataclass(slots=True)
class Report:
    """What a pass did: ``counts`` by outcome. ``stopped``: why it ended before its work was done.

    Incomplete: the vendor's listing broke off, or was never read to its end; so nothing was sent.
    """

    counts: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    error: SynclineError | None = None
    retry_after_s: float = 0.0
    more: bool = False


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
    ) -> None:
        self.store, self.port, self.clock, self.settings, self.report = store, port, clock, settings, report
        self._over = over
        self.lease = lease
        self.lane = lease.lane

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
                if self._brakes(state, page.raws):
                    return False
                complete = page.last
                verified = started if page.last else None
                self.apply(
                    page.raws,
                    PullCommit(self.rules.entity, cursor=page.cursor, verified_at=verified, rejects=page.rejects),
                )
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

    def _brakes(self, state: LaneState, raws: Sequence[Raw]) -> bool:
        gone = sum(1 for raw in raws if raw.incoming.deleted)
        if not self.settings.brake.holds(gone, state.links):
            return False
        gone = sum(1 for decision in self.plan(raws)[1] if decision.delete or decision.tombstone_link)
        if not self.settings.brake.holds(gone, state.links):
            return False  # most of them are known to be gone
        message = f"{gone} of {state.links} records of {self.lane.object} were deleted at the vendor at once."
        self.store.pause(self.lane, "braked", Failure("mass_delete", message, fault="vendor"))
        self.report.stopped = "braked"
        return True

    def answer_notices(self) -> None:
        """Read the records that notices name, each once however many notices it had."""
        while notices := self.store.notices(self.lane, self.settings.notices_at_once):
            self.renew()
            raws = self.port.fetch([n.vendor_id for n in notices])
            self.apply(raws, PullCommit(self.rules.entity, notices=[n.id for n in notices]))
            if self.yields():
                return

    def apply(self, raws: Sequence[Raw], commit: PullCommit) -> list[Decision]:
        """Plan and commit a batch, anew whenever something changed meanwhile; the cursor moves with the last of it."""
        pending, done = list(raws), list[Decision]()
        for _ in range(REPLANS_MAX):
            query, decisions, _ = self.plan(pending)
            ready = [d for d in decisions if not needs_another_look(d)]
            again = {id(d.incoming) for d in decisions if needs_another_look(d)}
            part = replace(commit, decisions=ready, matches=_of(query, ready))
            if again:
                part = replace(part, cursor=None, resync=None, notices=(), rejects=(), verified_at=None)
            try:
                self.store.commit_pull(self.lease, part)
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

    def plan(self, raws: Sequence[Raw]) -> tuple[PullQuery, list[Decision], Known]:
        """What would be done about these records, and what that was decided from. Changes nothing."""
        if not raws:
            return PullQuery((), self.rules.entity), [], Known()
        query = self._query(raws)
        gathered = self.store.gather_pull(self.lane, query)
        known = replace(self._projected(gathered), taken=self._taken(raws, gathered.known))
        return query, plan_pull(resolve(raws, gathered), known, self.rules, self.port.new_id), known

    def _taken(self, raws: Sequence[Raw], known: Known) -> Mapping[UUID, str]:
        """Which hub records that these would be linked to are linked to a record of this object already."""
        unlinked = [raw.incoming for raw in raws if raw.incoming.vendor_id not in known.links]
        wanted = {item.key for item in unlinked if item.key is not None}
        wanted |= {link.entity_id for link in known.links.values() if link.tombstoned}
        wanted |= {known.redirects[i] for i in wanted if i in known.redirects}
        if not wanted:
            return {}
        refs = self.store.vendor_refs(self.lane, sorted(wanted))
        return {hub: vid for hub, pairs in refs.items() for name, vid in pairs if name == self.lane.object}

    def _query(self, raws: Sequence[Raw]) -> PullQuery:
        refs = {ref: None for raw in raws for ref in raw.refs.values()}
        ids = dict.fromkeys(raw.incoming.vendor_id for raw in raws)
        ids.update(dict.fromkeys(raw.incoming.merged_into for raw in raws if raw.incoming.merged_into))
        return PullQuery(
            list(ids),
            self.rules.entity,
            list(refs),
            {raw.incoming.vendor_id: match_values(raw.incoming, self.rules.match_keys) for raw in raws},
            [raw.incoming.key for raw in raws if raw.incoming.key is not None],
            times=True,
        )

    def _projected(self, gathered: Gathered) -> Known:
        known = gathered.known
        refs = self.refs_of(list(known.hubs.values()))
        projected = self.port.project(list(known.hubs.values()), refs)
        seen = zip(known.hubs.items(), projected, strict=True)
        return replace(known, hubs={i: replace(hub, seen=projection.seen) for (i, hub), projection in seen})

    def refs_of(self, hubs: Sequence[Hub]) -> Mapping[UUID, Sequence[tuple[str, str]]]:
        """The vendor's ids of whatever these hub records refer to."""
        wanted = {v for hub in hubs for v in hub.values.values() if isinstance(v, UUID)}
        return self.store.vendor_refs(self.lane, sorted(wanted)) if wanted else {}

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
        if not self.port.can_compare:
            self._relist(state.resync)
            return
        under_way = self._compare(state.resync)
        if under_way is not None and under_way.missing and not under_way.deleting:
            if self._resync_brakes(state, under_way):
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
            self.apply(page.raws, PullCommit(self.rules.entity, rejects=page.rejects))
            if page.last:
                self._end_relist(under_way, listed, page.cursor)

    def _end_relist(self, under_way: Resync, listed: Collection[str], cursor: Cursor) -> None:
        state = self.store.state(self.lane)
        linked = self.store.links_between(self.lane, Span(None, None, self.port.id_order))
        missing = [vendor_id for vendor_id, _ in linked if vendor_id not in listed]
        if self._resync_brakes(state, replace(under_way, missing=len(missing))):
            return
        commit = PullCommit(self.rules.entity, cursor=cursor, clears_resync=True, verified_at=under_way.started_at)
        self.apply(self._fetched(missing), commit)

    def _compare(self, under_way: Resync) -> Resync | None:
        """Compare from where it stands to the end of the vendor's listing; None if the listing broke off."""
        complete, found = False, Findings(under_way)
        for part in parts(self.port, under_way.after, self.renew):
            found.add(part, self.store.links_between(self.lane, part.span))
            complete = part.last
            over = not complete and self.yields()
            if complete or over or found.is_enough(self.settings.notices_at_once):
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
        size = max(self.port.batch_size, 1)
        return [raw for i in range(0, len(vendor_ids), size) for raw in self.port.fetch(list(vendor_ids[i : i + size]))]

    def _resync_brakes(self, state: LaneState, under_way: Resync) -> bool:
        if under_way.confirmed or not self.settings.brake.holds(under_way.missing, state.links):
            return False
        message = (
            f"{under_way.missing} of {state.links} linked records of {self.lane.object} are not at the vendor any more."
        )
        self.store.pause(self.lane, "braked", Failure("mass_delete", message, fault="vendor"))
        self.report.stopped = "braked"
        return True

    def _end_resync(self, under_way: Resync) -> None:
        """Polling goes on from the moment the comparison began."""
        self.store.commit_pull(
            self.lease,
            PullCommit(
                self.rules.entity,
                cursor=self.port.cursor_at(under_way.started_at),
                clears_resync=True,
                verified_at=under_way.started_at,
            ),
        )


def match_values(item: Incoming, match_keys: Sequence[Sequence[str]]) -> list[Mapping[str, Any]]:
    """The values of each match key that the record has all fields of."""
    if item.deleted or item.merged_into is not None or item.error is not None:
        return []
    found = [{name: item.values.get(name) for name in key} for key in match_keys]
    return [values for values in found if not any(is_blank(v) for v in values.values())]


def _of(query: PullQuery, decisions: Sequence[Decision]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The match queries of the records that are created: a commit asks them once more."""
    return {
        d.vendor_id: query.matches[d.vendor_id]
        for d in decisions
        if d.outcome is Outcome.CREATED and query.matches.get(d.vendor_id)
    }


def resolve(raws: Sequence[Raw], gathered: Gathered) -> list[Incoming]:
    """The records with the references that are known; the others become ``waits``."""
    result = []
    for raw in raws:
        values, waits = dict(raw.incoming.values), []
        for name, ref in raw.refs.items():
            target = gathered.refs.get(ref)
            if target is None:
                values.pop(name, None)
                waits.append(VendorRef(name, ref[0], ref[1]))
            else:
                values[name] = target
        # Looked at anew once what it waits for is known, although the vendor says the same: so without a fingerprint.
        print_ = b"" if waits else raw.incoming.fingerprint
        result.append(replace(raw.incoming, values=values, waits=tuple(waits), fingerprint=print_))
    return result


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a pass is to do; `Engine.run` explains."""

    poll: bool
    compare: bool
    over: Callable[[], bool]


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
        self, lane: Lane, *, poll: bool = True, compare: bool = False, over: Callable[[], bool] = lambda: False
    ) -> Report:
        """One pass. Returns what was done and, if it stopped early, why; raises LeaseLostError when another worker took over.

        ``compare``: begin a full comparison, where the vendor can be compared with. ``over`` is asked after every batch: True ends
        the pass there, with ``Report.more``. Nothing that a vendor or the network does is raised: the report and the lane's status
        tell.
        """
        report = Report()
        now = self._clock()
        lease = self._store.take(lane, self._owner(), now, now + self._settings.lease_for)
        if lease is None:
            report.stopped = "busy"
            return report
        held = [lease]
        try:
            status = self._store.state(lane).status
            if status not in ("idle", ""):
                report.stopped = status
            else:
                self._work(held, report, _Wanted(poll, compare, over))
        finally:
            # By its generation: a lease that was taken over meanwhile stays its new holder's.
            self._store.release(held[-1])
        return report

    def _work(self, held: list[Lease], report: Report, wanted: _Wanted) -> None:
        lane = held[-1].lane
        try:
            port = self._port_of(lane)
            run = Pass(self._store, port, held[-1], self._clock, self._settings, report, wanted.over)
            try:
                self._carry_out(run, wanted)
            finally:
                held.append(run.lease)
        except SynclineError as error:
            self._recover(lane, error, report)

    def _carry_out(self, run: Pass, wanted: _Wanted) -> None:
        from sync_engine.pushing import push

        # A first listing tells of no deletes: what a notice had read just before it began could be gone unnoticed.
        listed_before = self._store.state(run.lane).cursor is not None
        if listed_before:
            run.answer_notices()
        if wanted.compare and run.port.can_compare:
            run.begin_resync("scheduled")
        complete = run.poll() if wanted.poll and not run.report.more else True
        if not listed_before and not run.report.more:
            run.answer_notices()
        if not run.report.more:
            run.resync()
        if run.report.more or run.report.stopped:
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
