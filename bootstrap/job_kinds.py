"""The kinds of long work, by name. A kind is a function of `bootstrap.jobs.Work` that returns its result as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bootstrap import job_connections, job_migrations, privacy, remapping
from bootstrap.syncing import syncing
from migration import values
from storage import audit
from storage.dead_letters import Filter

if TYPE_CHECKING:
    from bootstrap.jobs import Work

Kind = Callable[["Work"], Mapping[str, Any] | None]


def replay_letters(work: Work) -> Mapping[str, Any]:
    """Replay dead letters. ``params``: the fields of a `Filter`. Replaying twice changes nothing, so it may begin again."""
    seen: Counter[str] = Counter()

    def progress(count: int) -> None:
        seen["replayed"] += count
        work.report(dict(seen))

    with syncing(work.hub) as syncs:
        outcome = syncs.replays.replay(filter_of(work.params), progress)
    told = {"counts": dict(outcome.counts), "problems": dict(outcome.problems)}
    with work.hub.db.tenant(work.hub.tenant_id) as conn:
        audit.record(conn, work.actor, "dead_letter.replay", "job", work.id, told["counts"])
    return told


def filter_of(params: Mapping[str, Any]) -> Filter:
    """A `Filter` from its JSON form; what is not named has the filter's own default."""
    given = {f.name: params[f.name] for f in fields(Filter) if params.get(f.name) is not None}
    for name in ("run_id", "connection_id", "entity_id"):
        if name in given:
            given[name] = UUID(given[name])
    for name in ("since", "until"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    if "ids" in given:
        given["ids"] = tuple(UUID(i) for i in given["ids"])
    return Filter(**given)


KINDS: dict[str, Kind] = {
    "connection.purge": job_connections.purge_job,
    "dead_letters.replay": replay_letters,
    "mapping.apply": remapping.apply_job,
    "migration.audit": job_migrations.audit_job,
    "migration.plan": job_migrations.plan_job,
    "migration.dry_run": job_migrations.dry_run_job,
    "migration.run": job_migrations.run_job,
    "migration.resume": job_migrations.resume_job,
    "migration.undo": job_migrations.undo_job,
    "migration.follow": job_migrations.follow_job,
    "migration.cutover": job_migrations.cutover_job,
    privacy.ERASE: privacy.erase_job,
}

WITHOUT_VALUES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "migration.dry_run": values.without_values_dry_run,
    "migration.run": values.without_values_run,
    "migration.resume": values.without_values_run,
}
"""Kinds whose results hold values of records, each with what leaves those out."""


def without_values(kind: str, result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The result of a job of this kind, as it may be shown to somebody who may not look at records."""
    if not result:
        return None if result is None else {}
    return WITHOUT_VALUES[kind](result) if kind in WITHOUT_VALUES else dict(result)
