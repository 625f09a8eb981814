"""Replaying dead letters through the ordinary path: mapped anew from what the source sent, planned, applied.

A letter ends as applied or superseded, or stays open with one more attempt. Replaying twice changes nothing.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from domain.errors import ConfigurationError, ReauthRequiredError, RunInProgressError, SynclineError
from domain.records import MISSING, Page
from storage import dead_letters
from storage.database import Database
from storage.dead_letters import Filter, Letter
from storage.suppression import ERASED
from sync_engine.core.merge import same
from sync_engine.core.model import Decision, Known, Outcome
from sync_engine.engine import Pass, Report, Settings
from sync_engine.ports import Lane, Lease, PullCommit, Raw, SyncStore, VendorPort

AT_ONCE = 100
OUTGOING_STAGES = frozenset({"push"})
_UNUSABLE = (ConfigurationError, ReauthRequiredError)


class ReplayPort(VendorPort, Protocol):
    """A vendor's side that can also map a page that it did not list itself."""

    def raws(self, page: Page) -> list[Raw]: ...


@dataclass(frozen=True, slots=True)
class Preview:
    """What replaying one letter would do: ``changes`` by field as (what stands, what would stand)."""

    letter: UUID
    vendor_id: str | None
    outcome: str
    entity_id: UUID | None = None
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    problem: str = ""


@dataclass(slots=True)
class Replayed:
    """How many letters ended how: applied, superseded, still open; ``skipped`` say why."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)


class StageReplay(Protocol):
    """Who takes up letters of a stage that knows no lane."""

    def preview(self, letter: Letter) -> Preview: ...

    def replay(self, letter: Letter) -> tuple[str, str]:
        """Apply the letter; returns how it counts (applied, superseded, still open) and its resolution or what is wrong."""


class Replays:
    """Shows and replays letters of one tenant. ``requeue`` makes hub records due on a lane again; ``stages`` take up others."""

    def __init__(
        self,
        database: Database,
        tenant_id: UUID,
        store: SyncStore,
        port_of: Callable[[Lane], ReplayPort],
        clock: Callable[[], datetime],
        requeue: Callable[[Lane, str, Sequence[UUID]], None],
        settings: Settings | None = None,
        stages: Mapping[str, StageReplay] | None = None,
    ) -> None:
        self._stages = stages or {}
        self._database, self._tenant_id, self._store, self._port_of = database, tenant_id, store, port_of
        self._clock, self._requeue, self._settings = clock, requeue, settings or Settings()

    def preview(self, wanted: Filter, limit: int = 20) -> list[Preview]:
        """What replaying these letters would do. Changes nothing."""
        result = []
        for lane, letters in self._lanes(wanted, limit):
            if lane is None:
                result += [
                    self._stages[a.stage].preview(a) if a.stage in self._stages else _unreplayable(a) for a in letters
                ]
                continue
            try:
                port = self._port_of(lane)
            except _UNUSABLE as error:
                result += [Preview(a.id, a.vendor_id, "still open", problem=error.message) for a in letters]
                continue
            run = Pass(self._store, port, _unheld(lane, self._clock()), self._clock, self._settings, Report())
            for letter in letters:
                result.append(self._preview(run, port, letter))
        return result

    def _preview(self, run: Pass, port: ReplayPort, letter: Letter) -> Preview:
        if letter.stage in OUTGOING_STAGES:
            return Preview(letter.id, letter.vendor_id, "sent again", letter.entity_id)
        raws = port.raws(page_of(letter))
        if not raws:
            return Preview(letter.id, letter.vendor_id, "left out", problem="The mapping leaves this record out.")
        _, decisions, known = run.plan(raws)
        return _shown(letter, decisions[-1], known)

    def replay(self, wanted: Filter, progress: Callable[[int], None] = lambda _: None) -> Replayed:
        """Replay every letter that the filter means, oldest first. Raises RunInProgressError where a lane is busy."""
        result = Replayed()
        for lane, letters in self._lanes(wanted, None):
            if lane is None:
                for letter in letters:
                    self._without_lane(letter, result)
            else:
                self._replay(lane, letters, result)
            progress(len(letters))
        return result

    def _without_lane(self, letter: Letter, result: Replayed) -> None:
        stage = self._stages.get(letter.stage)
        how, told = ("still open", _unreplayable(letter).problem) if stage is None else stage.replay(letter)
        result.counts[how] += 1
        if how == "still open":
            result.problems[told] += 1
        else:
            self._close([letter.id], told)

    def _replay(self, lane: Lane, letters: Sequence[Letter], result: Replayed) -> None:
        outgoing = [a for a in letters if a.stage in OUTGOING_STAGES]
        incoming = [a for a in letters if a.stage not in OUTGOING_STAGES]
        if outgoing:
            self._send_again(lane, outgoing, result)
        if incoming:
            self._apply(lane, incoming, result)

    def _send_again(self, lane: Lane, letters: Sequence[Letter], result: Replayed) -> None:
        by_entity: dict[str, list[UUID]] = defaultdict(list)
        for letter in letters:
            if letter.entity is not None and letter.entity_id is not None:
                by_entity[letter.entity].append(letter.entity_id)
        for entity, ids in by_entity.items():
            self._requeue(lane, entity, ids)
        self._close([a.id for a in letters], "sent again")
        result.counts["sent again"] += len(letters)

    def _apply(self, lane: Lane, letters: Sequence[Letter], result: Replayed) -> None:
        try:
            port = self._port_of(lane)
        except _UNUSABLE as error:  # one account that must be connected again does not keep the others' letters waiting
            result.counts["still open"] += len(letters)
            result.problems[error.message] += len(letters)
            return
        now = self._clock()
        lease = self._store.take(lane, uuid.uuid4().hex, now, now + self._settings.lease_for)
        if lease is None:
            raise RunInProgressError(
                f"{lane.object} is being synchronised right now.", remedy="Try again in a moment.", code="lane_busy"
            )
        run = Pass(self._store, port, lease, self._clock, self._settings, Report())
        try:
            for letter in letters:
                self._apply_one(run, port, letter, result)
        finally:
            self._store.release(run.lease)

    def _apply_one(self, run: Pass, port: ReplayPort, letter: Letter, result: Replayed) -> None:
        run.renew()
        raws = port.raws(page_of(letter))
        try:
            decisions = run.apply(raws, PullCommit(run.rules.entity))
        except SynclineError as error:
            result.counts["still open"] += 1
            result.problems[error.message] += 1
            return
        last = decisions[-1] if decisions else None
        if last is not None and last.outcome is Outcome.REJECTED:
            result.counts["still open"] += 1
            result.problems[last.failure.message if last.failure else ""] += 1
            self._note_other_cause(letter, last)
            return
        how = "left out by the mapping" if last is None else _resolution(last)
        self._close([letter.id], how)
        result.counts["superseded" if last is not None and last.outcome is Outcome.SUPERSEDED else "applied"] += 1

    def _note_other_cause(self, letter: Letter, decision: Decision) -> None:
        """The same record now fails for another reason: that has a letter of its own, and this one is history."""
        failure = decision.failure
        if failure is None or (failure.code, failure.field) == (letter.code, letter.field):
            return
        if failure.code == ERASED:
            with self._database.tenant(self._tenant_id) as conn:
                dead_letters.forget(conn, [letter.id])
            return
        self._close([letter.id], f"replaced: {failure.code}")

    def _close(self, ids: Sequence[UUID], how: str) -> None:
        with self._database.tenant(self._tenant_id) as conn:
            dead_letters.resolve(conn, ids, how)

    def _lanes(self, wanted: Filter, limit: int | None) -> Iterator[tuple[Lane | None, list[Letter]]]:
        """The letters page by page, by lane; None for those that no connection can take."""
        after, left = None, limit
        while left is None or left > 0:
            with self._database.tenant(self._tenant_id) as conn:
                page = dead_letters.list_letters(conn, wanted, after=after, limit=min(AT_ONCE, left or AT_ONCE))
            if not page:
                return
            after, left = page[-1].id, None if left is None else left - len(page)
            by_lane: dict[Lane | None, list[Letter]] = defaultdict(list)
            for letter in page:
                by_lane[self._lane(letter)].append(letter)
            yield from by_lane.items()

    def _lane(self, letter: Letter) -> Lane | None:
        usable = letter.stage in OUTGOING_STAGES or isinstance(letter.payload, dict)
        if letter.connection_id is None or letter.object is None or not usable or letter.stage in self._stages:
            return None
        return Lane(self._tenant_id, letter.connection_id, letter.object)


def page_of(letter: Letter) -> Page:
    """The letter's payload as the page that the vendor might have sent."""
    payload = {k: v for k, v in dict(letter.payload or {}).items() if v is not MISSING}
    return Page(letter.object or "", tuple(payload), [tuple(payload.values())], {})


def _unheld(lane: Lane, now: datetime) -> Lease:
    return Lease(lane, "preview", -1, now)


def _unreplayable(letter: Letter) -> Preview:
    message = "The letter holds no whole record: mend it in the source and read it again."
    return Preview(letter.id, letter.vendor_id, "still open", problem=message)


def _resolution(decision: Decision) -> str:
    if decision.outcome is Outcome.SUPERSEDED:
        return "superseded: the hub knows a later state of the record"
    return f"applied: {decision.outcome}"


def _shown(letter: Letter, decision: Decision, known: Known) -> Preview:
    hub = known.hubs.get(decision.entity_id) if decision.entity_id is not None else None
    stands = {} if hub is None or hub.deleted else hub.values
    changes = {n: (stands.get(n), v) for n, v in decision.set_hub.items() if not same(stands.get(n), v)}
    problem = decision.failure.message if decision.failure is not None else ""
    return Preview(letter.id, letter.vendor_id, str(decision.outcome), decision.entity_id, changes, problem)
