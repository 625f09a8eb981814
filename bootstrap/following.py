"""After a migration: keep the source's changes coming until the day of the cut-over, then prove that both sides agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from bootstrap.syncing_rules import StreamSettings
from connectors.kit.contract import SupportsFiles
from domain.errors import ConfigurationError
from sync_engine.core.model import Policy
from sync_engine.verify import Verified

if TYPE_CHECKING:
    from bootstrap.syncing import Syncs
    from bootstrap.wiring import Hub
    from migration.plan_model import Plan
    from storage.runs import Run
    from storage.streams import Stream
    from sync_engine.engine import Report

CUT_OVER = "cut over"


@dataclass(frozen=True, slots=True)
class Cutover:
    """The certificate of a cut-over: every followed object compared with the source. ``left_out``: objects not followed."""

    run_id: UUID
    at: datetime
    objects: Sequence[Verified]
    left_out: Sequence[str] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether something could be compared, and nothing of it differs."""
        compared = [o for o in self.objects if o.compared]
        return bool(compared) and all(o.ok for o in compared)


def follow(hub: Hub, syncs: Syncs, run_id: UUID, policy: Policy) -> tuple[Run, list[str]]:
    """Make streams of a finished run's objects, from the moment it began on; returns the run and what it cannot follow."""
    run, plan = hub.migrations.finished(run_id)
    followed, left_out = _split(syncs, plan, run.connection_id)
    known = {s.object for s in syncs.list(run.connection_id)}
    settings = StreamSettings(direction="in", policy=policy)
    specs = {p.object: p.spec for p in plan.objects}
    new = [name for name in followed if name not in known]
    if new:
        syncs.add(run.connection_id, new, settings, specs)
        syncs.start_from(run.connection_id, new, run.started_at)
    return run, left_out


def _split(syncs: Syncs, plan: Plan, connection_id: UUID) -> tuple[list[str], list[str]]:
    """Objects whose changes can be followed, and those that only another run brings (junctions, file content)."""
    connector = syncs.connector(connection_id)
    files = connector.file_objects if isinstance(connector, SupportsFiles) else ()
    followed = [p.object for p in plan.objects if p.entity != "association" and p.object not in files]
    return followed, [p.object for p in plan.objects if p.object not in followed]


def catch_up(syncs: Syncs, connection_id: UUID, on_pass: Callable[[Stream, Report], None] = lambda *_: None) -> int:
    """Take over what changed since; returns how many records changed here."""
    changed = 0

    def count(stream: Stream, report: Report) -> None:
        nonlocal changed
        changed += sum(
            n for name, n in report.counts.items() if name not in ("unchanged", "superseded", "skipped", "rejected")
        )
        on_pass(stream, report)

    syncs.settle([connection_id], on_pass=count)
    return changed


def cut_over(hub: Hub, syncs: Syncs, run_id: UUID) -> Cutover:
    """Stop the direction after a last pass, and compare everything. Raises ConfigurationError when nothing is followed."""
    run, plan = hub.migrations.finished(run_id)
    streams = syncs.list(run.connection_id)
    if not streams:
        raise ConfigurationError(
            "The run's source is not followed.", remedy="Begin with `syncline migrate follow`.", code="not_followed"
        )
    catch_up(syncs, run.connection_id)
    verified = [syncs.verify(stream) for stream in streams]
    syncs.set_status(run.connection_id, CUT_OVER)
    _, left_out = _split(syncs, plan, run.connection_id)
    return Cutover(run.id, datetime.now(UTC), verified, left_out)


def take_back(hub: Hub, syncs: Syncs, run_id: UUID) -> int:
    """Go on following after a cut-over; returns how many streams."""
    run, _ = hub.migrations.finished(run_id)
    return syncs.set_status(run.connection_id, "idle")
