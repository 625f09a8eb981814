"""Sending: announce, write, record. An answer that never came is read back before anything is sent again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from domain.errors import RateLimitedError, RecordRejectedError, SynclineError, TransientError
from domain.records import WriteResult
from storage.tracing import span
from sync_engine.braking import deletes_of
from sync_engine.core.merge import is_blank, same
from sync_engine.core.model import (
    Conflict,
    Failure,
    Hub,
    Incoming,
    Known,
    Link,
    Pushable,
    PushDecision,
    PushKind,
    Record,
    Side,
)
from sync_engine.core.push import in_order, plan_push
from sync_engine.core.recovery import Next, recover
from sync_engine.engine import Pass
from sync_engine.ports import (
    Gathered,
    Projection,
    PullCommit,
    PullQuery,
    Pushed,
    PushEnd,
    PushWork,
    Sending,
    StaleError,
    Write,
)
from sync_engine.refusals import Refused, read_what_stands
from sync_engine.refusals import failure as failure_of
from sync_engine.resolving import resolve
from sync_engine.views import look

BATCHES_GATHERED = 10
FRESH_FOR = timedelta(seconds=5)
"""For how many batches what is due is gathered at once, and for how long it is sent without being gathered again."""

GONE = frozenset({"not_found", "ENTITY_IS_DELETED"})
"""Codes by which a connector says that the record to write is not there any more."""

JUST_NOW = timedelta(seconds=1)
"""How long ago a pass may have read a record by its id to change it without another look: no longer than such a look takes."""

WAIT_EVERY, WAIT_AT_MOST = timedelta(seconds=1), timedelta(seconds=30)
"""How much longer each time, and at most, something waits for other records to be read or sent first."""

TRIES_MAX = 12
"""After how many tries something is a dead letter that is read, or waited for, before it is sent again."""

READ_FIRST = frozenset({PushKind.RESTORE, PushKind.FOLLOW})

OUTDATED = frozenset({"conflict"})
"""Codes by which a connector says that the record has a newer version than the one the write named."""


def push(run: Pass, jitter: Callable[[], float]) -> None:
    """Send what is due, batch by batch, until nothing is or the pass has sent enough."""
    if not run.rules.pushes:
        return
    due = _Due(run)
    for left in range(run.settings.push_batches_max, 0, -1):
        run.renew()
        work = due.batch(left)
        if not work or run.later.issuperset(w.item.entity_id for w in work):
            return
        with span("push", object=run.lane.object, records=len(work)):
            batch = _Batch(run, work, jitter)
            batch.send()
        if run.report.stopped or run.yields():
            return
        if batch.learned:
            due.forget()
    run.report.more = True


class _Due:
    """What is due, gathered for several batches at once; each is planned right before it is sent, with the links of then.

    A record that changes meanwhile is due once more, by another token. What is old is gathered again before it is sent.
    """

    def __init__(self, run: Pass) -> None:
        self._run, self._gathered, self._at = run, list[PushWork](), run.clock()

    def batch(self, left: int) -> Sequence[PushWork]:
        """The next batch of at most ``left``, none where nothing is due."""
        run, size = self._run, self._run.port.batch_size
        now = run.clock()
        if not self._gathered or now - self._at > FRESH_FOR:
            limit = size * min(left, BATCHES_GATHERED)
            self._gathered, self._at = list(run.store.push_work(run.lane, run.rules.entity, now, limit)), now
        work, self._gathered = self._gathered[:size], self._gathered[size:]
        return work

    def forget(self) -> None:
        """The hub changed by what a batch learned: the rest is gathered again."""
        self._gathered = []


class _Batch:
    """One batch of push work from what is known to what became of it."""

    def __init__(self, run: Pass, work: Sequence[PushWork], jitter: Callable[[], float]) -> None:
        self.run, self.jitter = run, jitter
        self.work = {w.item.entity_id: w for w in work}
        hubs = [w.item.hub for w in work if w.item.hub is not None]
        held = {w.item.entity_id: w.item.link.base for w in work if w.item.link is not None and _is_linked(w)}
        projected, self.refs = run.project(hubs, held)
        self.projections: dict[UUID, Projection] = {h.id: p for h, p in zip(hubs, projected, strict=True)}
        self.ends: list[Pushed] = []
        self.asked: dict[str, datetime] = {}
        self.refused: list[Refused] = []
        self.learned = False
        """Whether the vendor said something that was taken into the hub."""
        part, links = run.rules.part, [w.item.link for w in work]
        self.elsewhere = look(run.store, run.lane, run.port.membership, [k.vendor_id for k in links if k and part])

    def send(self) -> None:
        held = self._unsettled()
        found = self._found(held)
        joining = self._join(held)
        open_ = [w for i, w in self.work.items() if (i not in held or i in found) and i not in joining]
        current = self._current([w for w in open_ if w.item.entity_id not in held])
        items = [self._item(w, current, found.get(w.item.entity_id)) for w in open_]
        self._carry_out(in_order(plan_push(items, self.run.rules)))

    def _item(self, work: PushWork, current: Mapping[str, Incoming], found: str | None) -> Pushable:
        """What is known of a record, with what the vendor can hold of it and what it says now."""
        item, projection = work.item, self.projections.get(work.item.entity_id)
        hub = item.hub
        if hub is not None and projection is not None:
            hub = hub.seen_as(self._seen(hub, item.link, projection))
        waits = () if projection is None else projection.waits
        failure = None if projection is None else projection.failure
        now = None if item.link is None else current.get(item.link.vendor_id)
        elsewhere = item.link is not None and item.link.vendor_id in self.elsewhere.elsewhere
        return Pushable(item.entity_id, hub, item.link, waits, now, item.intent, found, failure, elsewhere)

    def _seen(self, hub: Hub, link: Link | None, projection: Projection) -> Record:
        """What the vendor can hold of a record; what a record of a part became, only once it is that very record there."""
        membership, becomes = self.run.port.membership, self.run.rules.becomes
        if membership is None or becomes is None or becomes.into not in projection.seen:
            return projection.seen
        now = self.refs.get(projection.seen[becomes.into], ())
        if link is not None and self.run.rules.is_history(hub) and (membership.other, link.vendor_id) in now:
            return projection.seen
        return {n: v for n, v in projection.seen.items() if n != becomes.into}

    # ------------------------------------------------------------ before

    def _join(self, held: Collection[UUID]) -> Collection[UUID]:
        """Creates of what may be at the vendor already, as what it was before: it is read, and linked then; or is waited for."""
        run, membership = self.run, self.run.port.membership
        if membership is None or membership.part:
            return ()
        new = [
            i
            for i, w in self.work.items()
            if i not in held and w.item.intent is None and not _is_linked(w) and w.item.hub and not w.item.hub.deleted
        ]
        found = run.store.joins(run.lane, membership.other, membership.entity, new) if new else {}
        run.store.add_notices(run.lane, {vendor_id: False for vendor_id in found.values() if vendor_id})
        for i, vendor_id in found.items():
            run.later.add(i)
            delay = timedelta(seconds=1) if vendor_id else min(WAIT_EVERY * self.work[i].attempts, WAIT_AT_MOST)
            self._end(i, PushEnd.RETRY, retry_at=run.clock() + delay)
            run.report.counts["push_retry"] += bool(vendor_id)
        if found:
            self._commit()
        return found

    def _unsettled(self) -> dict[UUID, PushWork]:
        """Creates of unknown outcome. Where nobody can ask by key, but a repeated create finds its own record, repeating does."""
        uncertain = {i: w for i, w in self.work.items() if w.item.intent is not None and not _is_linked(w)}
        if self.run.port.can_find or not self.run.port.repeatable_creates:
            return uncertain
        return {i: w for i, w in uncertain.items() if w.item.hub is None or w.item.hub.deleted}

    def _found(self, held: dict[UUID, PushWork]) -> Mapping[UUID, str]:
        """Read back what became of uncertain creates. What is found is adopted; what cannot be there any more is freed."""
        if not held:
            return {}
        port, run = self.run.port, self.run
        found = port.find(sorted(held)) if port.can_find else {}
        settled_at = run.clock() - timedelta(seconds=port.settle_s) - run.settings.lease_for
        verified = run.store.state(run.lane).verified_at
        for entity_id, work in list(held.items()):
            intent = work.item.intent
            if entity_id in found or intent is None:
                continue
            if port.repeatable_creates and work.item.hub is not None and not work.item.hub.deleted:
                del held[entity_id]
                continue
            # Found nowhere, long after the last moment at which an old worker could have sent it: it never arrived.
            looked = port.can_find or (verified is not None and verified > intent.at + run.settings.lease_for)
            if intent.at < settled_at and looked:
                del held[entity_id]
            else:
                later = max(intent.at, settled_at) + run.settings.lease_for + timedelta(seconds=port.settle_s + 1)
                self._end(entity_id, PushEnd.UNCERTAIN, retry_at=later)
        if self.ends:
            self._commit()
        return found

    def _current(self, work: Sequence[PushWork]) -> Mapping[str, Incoming]:
        """What the vendor says right now of the records that are to be changed, but for those that this pass has just read.

        Whoever edited one of them since it was last read would lose that edit otherwise: of most vendors no write can be made on
        condition, and of the others only to the second.
        """
        run = self.run
        linked = [w for w in work if _is_linked(w)]
        planned = plan_push([self._item(w, {}, None) for w in linked], run.rules)
        unread = [
            w.item.link.vendor_id
            for w, decision in zip(linked, planned, strict=True)
            if w.item.link is not None and self._is_unread(w.item.link, decision.kind)
        ]
        if not unread:
            return {}
        asked = run.clock()
        raws = run.port.fetch(unread)
        self.asked = dict.fromkeys(unread, asked)
        refs = list({ref: None for raw in raws for ref in raw.referred})
        gathered = run.store.gather_pull(run.lane, PullQuery((), run.rules.entity, refs)) if refs else Gathered(Known())
        links = {w.item.link.vendor_id: w.item.link for w in linked if w.item.link is not None}
        hubs = {w.item.hub.id: w.item.hub for w in linked if w.item.hub is not None}
        known = Known(links, hubs, elsewhere=self.elsewhere.elsewhere)
        return {i.vendor_id: i for i in run.placed(resolve(raws, gathered), known)}

    def _is_unread(self, link: Link, kind: PushKind) -> bool:
        """Whether the vendor has to be asked first.

        What a delete takes with it is always asked for, to be logged; so is what became of an unanswered write, and of an open
        question, which a change of the hub may have settled.
        """
        if kind is PushKind.DELETE or link.sent or link.open:
            return True
        asked = self.run.asked.get(link.vendor_id)
        return kind is PushKind.UPDATE and (asked is None or self.run.clock() - asked > JUST_NOW)

    # ------------------------------------------------------------ sending

    def _carry_out(self, decisions: Sequence[PushDecision]) -> None:
        self._take_in([d for d in decisions if d.pull is not None and d.kind is not PushKind.RESTORE])
        if self.run.report.stopped:
            return
        self._have_read([d for d in decisions if d.kind in READ_FIRST])
        rest = [d for d in decisions if d.pull is None]
        for decision in rest:
            if decision.kind is PushKind.NOTHING:
                self._end(decision.entity_id, PushEnd.NOTHING, later=decision.later, hub_version=decision.hub_version)
            elif decision.kind is PushKind.WAIT:
                self._end(decision.entity_id, PushEnd.WAITING, waits=decision.waits, hub_version=decision.hub_version)
            elif decision.kind is PushKind.ADOPT:
                self._adopt(decision)
            elif decision.kind is PushKind.REFUSE:
                self._refuse(decision)
            elif decision.kind is PushKind.PART:
                self._end(decision.entity_id, PushEnd.SENT, deleted=True)
        self._commit()
        self._write([d for d in rest if d.kind in (PushKind.CREATE, PushKind.UPDATE)])
        self._delete([d for d in rest if d.kind is PushKind.DELETE])

    def _take_in(self, decisions: Sequence[PushDecision]) -> None:
        """What the vendor said right now goes into the hub first; what is to be sent then is planned in the next batch."""
        if not decisions:
            return
        pulls = [d.pull for d in decisions if d.pull is not None]
        if self.run.stops(deletes_of(pulls)):
            return
        self.learned = True
        try:
            self.run.commit(PullCommit(self.run.rules.entity, pulls))
        except StaleError:
            return  # planned anew in the next batch
        self.run.asked = {d.vendor_id: self.asked[d.vendor_id] for d in pulls}
        self.run.report.counts.update(str(p.outcome) for p in pulls)

    def _have_read(self, decisions: Sequence[PushDecision]) -> None:
        """What became of a record at the vendor: a notice has it read and compared with everything that may match it by now."""
        asked = {d.vendor_id: False for d in decisions if d.vendor_id}
        if asked:
            self.run.store.add_notices(self.run.lane, asked)
        for decision in decisions:
            attempts = self.work[decision.entity_id].attempts + 1
            if attempts > TRIES_MAX:
                self._end(decision.entity_id, PushEnd.DEAD, failure=_unsettled(decision))
                self.run.report.counts["push_dead"] += 1
            else:
                self._end(decision.entity_id, PushEnd.RETRY, retry_at=self._later(attempts))

    def _later(self, attempts: int) -> datetime:
        return self.run.clock() + min(WAIT_EVERY * attempts, WAIT_AT_MOST)

    def _adopt(self, decision: PushDecision) -> None:
        """An earlier create arrived: link it with what was sent then, and have it read."""
        vendor_id = decision.vendor_id or ""
        base = {n: v for n, v in decision.fields.items() if not is_blank(v)}
        self._end(
            decision.entity_id, PushEnd.RETRY, link=(vendor_id, base, ""), created=True, retry_at=self.run.clock()
        )
        self.run.store.add_notices(self.run.lane, {vendor_id: False})

    def _refuse(self, decision: PushDecision) -> None:
        """The vendor has no place for a value that must not be left out: a person has to make one, or to say where it goes."""
        self._end(decision.entity_id, PushEnd.DEAD, failure=decision.failure, mapped=dict(decision.fields))
        self.run.report.counts["push_dead"] += 1

    def _write(self, decisions: Sequence[PushDecision]) -> None:
        if not decisions:
            return
        run = self.run
        run.store.announce(run.lease, run.clock(), [Sending(d.entity_id, d.fields, d.vendor_id) for d in decisions])
        writes = [
            Write(d.entity_id, d.fields, self._record(d.entity_id), d.vendor_id, d.expected_version, self._base(d))
            for d in decisions
        ]
        run.check()
        try:
            results: Sequence[WriteResult] = run.port.write(writes, self.refs)
        except SynclineError as error:
            results = [WriteResult(str(w.entity_id), w.vendor_id, error=error) for w in writes]
        for decision, result in zip(decisions, results, strict=True):
            if result.error is None:
                self._sent(decision, result)
            else:
                self._failed(decision, result.error)
        self._commit()
        self._raise_for_lane(results)
        self._settle_refused()

    def _settle_refused(self) -> None:
        """What stands in the way of creates is read at once; they are sent again later, unless that is in vain."""
        refused, self.refused = self.refused, []
        if not refused:
            return
        self.learned = True
        for entity_id, failure in read_what_stands(self.run, refused).items():
            fields = next(r.decision.fields for r in refused if r.entity_id == entity_id)
            self._end(entity_id, PushEnd.DEAD, failure=failure, mapped=dict(fields))
            self.run.report.counts["push_dead"] += 1
        self._commit()

    def _record(self, entity_id: UUID) -> Record:
        hub = self.work[entity_id].item.hub
        return {} if hub is None else hub.values

    def _base(self, decision: PushDecision) -> Record:
        """What the vendor last said of a record; nothing of one that is created."""
        link = self.work[decision.entity_id].item.link
        return {} if link is None or decision.kind is PushKind.CREATE else link.base or {}

    def _sent(self, decision: PushDecision, result: WriteResult) -> None:
        if decision.vendor_id and result.vendor_id not in (None, "", decision.vendor_id):
            self._met_survivor(decision, result.vendor_id or "")
            return
        link = self.work[decision.entity_id].item.link
        base = {n: v for n, v in {**self._base(decision), **decision.fields}.items() if v or not is_blank(v)}
        vendor_id = result.vendor_id or decision.vendor_id or ""
        self._end(
            decision.entity_id,
            PushEnd.RETRY if decision.more else PushEnd.SENT,
            retry_at=self.run.clock() if decision.more else None,
            link=(vendor_id, base, result.version or ""),
            link_revision=None if link is None or decision.kind is PushKind.CREATE else link.revision,
            created=decision.kind is PushKind.CREATE,
            later=decision.later,
            hub_version=decision.hub_version,
            failure=decision.failure,
            mapped=dict(decision.fields) if decision.failure else None,
        )
        self.run.report.counts["pushed_" + str(decision.kind)] += 1

    def _met_survivor(self, decision: PushDecision, vendor_id: str) -> None:
        """The record was merged away right before the write, which changed its survivor: what stood there is in the log."""
        run = self.run
        run.store.add_notices(run.lane, {decision.vendor_id or "": False, vendor_id: False})
        held = run.store.gather_pull(run.lane, PullQuery([vendor_id], run.rules.entity)).known.links.get(vendor_id)
        base = {} if held is None else held.base or {}
        lost = {n: base[n] for n, v in decision.fields.items() if not is_blank(base.get(n)) and not same(base[n], v)}
        conflicts = (Conflict("*", Side.HUB, "merged_over_edit", None, lost),) if lost else ()
        self._end(decision.entity_id, PushEnd.RETRY, retry_at=self._later(1), conflicts=conflicts)
        run.report.counts["push_retry"] += 1

    def _failed(self, decision: PushDecision, error: Exception) -> None:
        if not isinstance(error, SynclineError):
            raise error
        entity_id, attempts = decision.entity_id, self.work[decision.entity_id].attempts + 1
        if (
            isinstance(error, RecordRejectedError)
            and decision.vendor_id
            and attempts <= TRIES_MAX
            and GONE & {error.code, error.context.get("vendor_code")}
        ):
            self.run.store.add_notices(self.run.lane, {decision.vendor_id: True})
            self._end(entity_id, PushEnd.RETRY, retry_at=self._later(attempts))
            return
        if isinstance(error, RecordRejectedError) and error.code in OUTDATED and decision.vendor_id:
            self.run.asked.pop(decision.vendor_id, None)
            self._end(entity_id, PushEnd.RETRY, retry_at=self.run.clock())  # the next batch reads it first
            return
        refused = self._refused(decision, error, attempts)
        if refused is not None and attempts <= TRIES_MAX:
            self.refused.append(refused)
            self._end(entity_id, PushEnd.RETRY, retry_at=self._later(attempts))
            self.run.report.counts["push_retry"] += 1
            return
        what = recover(error, attempts, self.jitter())
        if what.next is Next.DEAD_LETTER:
            failure = Failure(error.code, error.message, error.context.get("field"))
            if refused is not None:
                failure = failure_of(refused, self.run.lane.object, self.run.rules.entity)
            self._end(entity_id, PushEnd.DEAD, failure=failure, mapped=dict(decision.fields))
            self.run.report.counts["push_dead"] += 1
            return
        lost = decision.kind is not PushKind.DELETE and _may_have_arrived(error)
        retry_at = self.run.clock() + timedelta(seconds=what.delay_s or 1.0)
        self._end(entity_id, PushEnd.UNCERTAIN if lost else PushEnd.RETRY, retry_at=retry_at)

    def _refused(self, decision: PushDecision, error: SynclineError, attempts: int) -> Refused | None:
        """A write that was refused for a record which stands there, and which the vendor names."""
        standing, link = str(error.context.get("existing_id") or ""), self.work[decision.entity_id].item.link
        if decision.kind not in (PushKind.CREATE, PushKind.UPDATE) or standing in ("", decision.vendor_id):
            return None
        return Refused(decision, error, standing, None if link is None else link.vendor_id, attempts)

    def _delete(self, decisions: Sequence[PushDecision]) -> None:
        if not decisions:
            return
        self._note_lost_edits(decisions)
        self.run.check()
        try:
            results: Sequence[WriteResult] = self.run.port.delete([d.vendor_id or "" for d in decisions])
        except SynclineError as error:
            results = [WriteResult(d.vendor_id or "", d.vendor_id, error=error) for d in decisions]
        for decision, result in zip(decisions, results, strict=True):
            if result.error is None:
                self._end(decision.entity_id, PushEnd.SENT, deleted=True)
                self.run.report.counts["pushed_delete"] += 1
            else:
                self._failed(decision, result.error)
        self._commit()
        self._raise_for_lane(results)

    def _note_lost_edits(self, decisions: Sequence[PushDecision]) -> None:
        """Edits that a delete takes with it are in the conflict log before it is sent: afterwards nobody can read them."""
        for decision in decisions:
            if decision.conflicts:
                now = self.run.clock()
                self._end(decision.entity_id, PushEnd.RETRY, conflicts=decision.conflicts, retry_at=now)
        self._commit()

    def _raise_for_lane(self, results: Sequence[WriteResult]) -> None:
        """An error that concerns the whole connection ends the pass, after every record's end is recorded."""
        for result in results:
            if isinstance(result.error, SynclineError) and result.error.code not in OUTDATED:
                what = recover(result.error, 1, self.jitter())
                if what.next is not Next.DEAD_LETTER and not isinstance(result.error, RecordRejectedError):
                    raise result.error

    # ------------------------------------------------------------ after

    def _end(self, entity_id: UUID, end: PushEnd, **more: object) -> None:
        self.ends.append(Pushed(entity_id, self.work[entity_id].token, end, **more))  # type: ignore[arg-type]

    def _commit(self) -> None:
        """Record the ends; where one is stale (a person answered a conflict meanwhile), the others all the same.

        A stale one stays due, with what was sent: the next batch reads it back.
        """
        ends, self.ends = self.ends, []
        if not ends:
            return
        store, lease, entity = self.run.store, self.run.lease, self.run.rules.entity
        try:
            store.commit_push(lease, entity, ends)
        except StaleError:
            for end in ends if len(ends) > 1 else ():
                with suppress(StaleError):
                    store.commit_push(lease, entity, [end])


def _is_linked(work: PushWork) -> bool:
    return work.item.link is not None and not work.item.link.tombstoned


def _unsettled(decision: PushDecision) -> Failure:
    message = (
        f"The record {decision.vendor_id} was changed or merged at the vendor, and its state there cannot be taken in."
    )
    return Failure("not_taken_in", message, fault="vendor")


def _may_have_arrived(error: SynclineError) -> bool:
    """Whether a create may have happened although no answer came."""
    if isinstance(error, RateLimitedError):
        return False
    return isinstance(error, TransientError) and bool(error.context.get("ambiguous", True))
