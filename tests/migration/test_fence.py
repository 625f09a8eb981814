"""Every transaction that moves a run forward is refused once another process owns the run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.kit.contract import ReadRequest
from domain.errors import RunInProgressError
from mappings.compile import compile_spec
from migration import load
from migration.extract import ObjectJob, PageStager
from migration.load import LoadJob
from migration.plan_model import Plan
from storage import runs
from storage.planning import StagedObject
from storage.runs import RunKey
from tests.migration.conftest import World
from tests.migration.test_run import contact, org


def _taken_over(world: World) -> RunKey:
    """The key of a run's former owner."""
    world.migrate(org([contact(1)]))
    run = world.migrations.status()[0].run
    with world.db.tenant(world.tenant_id) as connection:
        runs.take(connection, world.tenant_id, run.id)
    return RunKey(world.tenant_id, run.id, run.generation)


def _job(world: World, plan: Plan, key: RunKey) -> ObjectJob:
    planned, schema = plan.object("Contact"), world.source.describe().objects["Contact"]
    return ObjectJob(
        key,
        world.connection_id,
        plan.vendor,
        plan.remote_account,
        "Contact",
        "contact",
        planned.spec,
        schema,
        plan.context,
    )


def test_a_zombie_stages_nothing(world: World) -> None:
    key = _taken_over(world)
    job = _job(world, world.plan, key)
    page = next(world.source.read(ReadRequest("Contact")))
    stager = PageStager(world.db, replace(job, compare=False))
    with pytest.raises(RunInProgressError):
        stager.stage(page, 99, 1_000)
    assert world.count("stage_contact") == 0


def test_a_zombie_loads_nothing(world: World) -> None:
    key = _taken_over(world)
    job = _job(world, world.plan, key)
    lens = compile_spec(job.spec, job.schema, job.context)
    staged = StagedObject(key, world.connection_id, "Contact", "contact")
    zombie = LoadJob(world.db, staged, lens, rows=10 * load.RANGE_ROWS, staged_rows=1, filled=frozenset(), threads=1)
    with pytest.raises(RunInProgressError):
        load.create(zombie, lambda rows, counts: None)
    assert world.count("crm_contact") == 1
