"""Migrations as jobs. A run carries its job's id, so that a job that begins again goes on with its own run and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bootstrap.following import catch_up, cut_over, follow
from bootstrap.planning import audit_source, plan_source
from bootstrap.syncing import syncing
from migration.plan_model import Plan
from migration.progress import Progress
from storage import audit, plans, runs
from sync_engine.core.model import Policy

if TYPE_CHECKING:
    from bootstrap.jobs import Work


def audit_job(work: Work) -> Mapping[str, Any]:
    """Look at everything in a source. ``params``: connection_id, objects."""
    found = audit_source(work.hub, UUID(work.params["connection_id"]), _objects(work), _watching(work))
    return {"audit": found.to_json()}


def plan_job(work: Work) -> Mapping[str, Any]:
    """Propose how everything maps; the plan is stored under the job's id. ``params``: connection_id, objects."""
    connection_id = UUID(work.params["connection_id"])
    proposal = plan_source(work.hub, connection_id, _objects(work), _watching(work))
    with work.hub.db.tenant(work.hub.tenant_id) as conn:
        stored = plans.put(conn, work.id, connection_id, proposal.to_toml(), proposal.checksum)
        audit.record(conn, work.actor, "plan.create", "plan", stored.id, {"connection": connection_id})
    return {"plan_id": str(stored.id), "checksum": stored.checksum}


def dry_run_job(work: Work) -> Mapping[str, Any]:
    """Plan every record and write none. ``params``: plan_id, limit, percent."""
    connection_id, plan = approved_plan(work)
    outcome = work.hub.migrations.dry_run(
        connection_id, plan, _watching(work), limit=work.params.get("limit"), percent=work.params.get("percent")
    )
    return outcome.to_json()


def run_job(work: Work) -> Mapping[str, Any]:
    """Migrate by an approved plan. ``params``: plan_id, limit, percent, certificate."""
    certificate = bool(work.params.get("certificate", True))
    if _begun(work):
        result = work.hub.migrations.resume(work.id, _watching(work), certificate=certificate)
        return _ended(work, result.to_json())
    connection_id, plan = approved_plan(work)
    done = work.hub.migrations.run(
        connection_id, plan, _watching(work), run_id=work.id, certificate=certificate,
        limit=work.params.get("limit"), percent=work.params.get("percent"),
    )  # fmt: skip
    return _ended(work, done.to_json())


def resume_job(work: Work) -> Mapping[str, Any]:
    """Go on with a run, or an undo, that was interrupted. ``params``: run_id, certificate."""
    certificate = bool(work.params.get("certificate", True))
    result = work.hub.migrations.resume(UUID(work.params["run_id"]), _watching(work), certificate=certificate)
    return _ended(work, result.to_json())


def undo_job(work: Work) -> Mapping[str, Any]:
    """Take a run back. ``params``: run_id, objects, force, also_at_vendors."""
    run_id = UUID(work.params["run_id"])
    with work.hub.db.tenant(work.hub.tenant_id) as conn:
        status = runs.get(conn, work.hub.tenant_id, run_id).status
    if work.attempt > 1 and status == "undoing":
        return _ended(work, work.hub.migrations.resume(run_id, _watching(work)).to_json())
    if work.attempt > 1 and status in ("undone", "partly undone"):
        return _ended(work, {"run_id": str(run_id), "status": status})
    force = bool(work.params.get("force"))
    outcome = work.hub.migrations.undo(
        run_id,
        objects=_objects(work),
        force=force,
        also_at_vendors=bool(work.params.get("also_at_vendors")),
        on_progress=_watching(work),
    )
    return _ended(work, outcome.to_json())


def follow_job(work: Work) -> Mapping[str, Any]:
    """Keep the source's changes coming: streams are made, and caught up once. ``params``: run_id, policy."""
    policy = Policy(work.params.get("policy", Policy.VENDOR_WINS))
    with syncing(work.hub) as syncs:
        run, left_out = follow(work.hub, syncs, UUID(work.params["run_id"]), policy)
        changes = catch_up(syncs, run.connection_id, lambda *_: work.report({"following": True}))
    return _ended(work, {"run_id": str(run.id), "changes": changes, "not_followed": left_out})


def cutover_job(work: Work) -> Mapping[str, Any]:
    """Stop following after a last pass, and compare everything with the source. ``params``: run_id."""
    with syncing(work.hub) as syncs:
        done = cut_over(work.hub, syncs, UUID(work.params["run_id"]))
    told = [
        {"object": o.object, "compared": o.compared, "ok": o.ok, "listed": o.listed, "linked": o.linked,
         "differences": o.differences}
        for o in done.objects
    ]  # fmt: skip
    return _ended(
        work, {"run_id": str(done.run_id), "ok": done.ok, "objects": told, "not_followed": list(done.left_out)}
    )


def approved_plan(work: Work) -> tuple[UUID, Plan]:
    """The connection and plan that ``params`` name. Raises PlanChangedError where it is not approved as it stands."""
    with work.hub.db.tenant(work.hub.tenant_id) as conn:
        stored = plans.get(conn, UUID(work.params["plan_id"]))
    plan = Plan.from_toml(stored.text, f"plan {stored.id}")
    plan = plan.approve() if stored.is_approved and plan.checksum == stored.checksum else plan
    plan.require_approved()
    return stored.connection_id, plan


def _begun(work: Work) -> bool:
    """Whether an earlier attempt of this job made its run."""
    if work.attempt == 1:
        return False
    with work.hub.db.tenant(work.hub.tenant_id) as conn:
        return runs.exists(conn, work.hub.tenant_id, work.id)


def _objects(work: Work) -> Sequence[str] | None:
    return work.params.get("objects") or None


def _watching(work: Work) -> Callable[[Progress], None]:
    """Progress by object, as the job shows it."""
    seen: dict[str, Any] = {}

    def progress(told: Progress) -> None:
        seen[told.object] = {
            "phase": told.phase, "done": told.done, "total": told.total, "rate": told.rate,
            "seconds_left": told.seconds_left, "counts": dict(told.counts), "finished": told.finished,
        }  # fmt: skip
        work.report({"objects": dict(seen)})

    return progress


def _ended(work: Work, told: dict[str, Any]) -> Mapping[str, Any]:
    """Note in the audit log that a migration's step ended; returns ``told``."""
    with work.hub.db.tenant(work.hub.tenant_id) as conn:
        audit.record(conn, work.actor, "migration.step_ended", "job", work.id, {"run": told.get("run_id")})
    return told
