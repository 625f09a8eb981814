"""Stages that a source names only in its deals are made by the run, once, and go with its undo."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from migration.plan_model import Plan, PlannedPipeline, PlannedStage
from tests.migration.conftest import World, plan_of
from tests.migration.source import ListSource
from tests.migration.test_run import ACCOUNTS, USERS
from tests.migration.test_undo import snapshot

STAGES = (
    PlannedStage("Prospecting", Decimal(10), is_won=False, is_closed=False),
    PlannedStage("Closed Won", Decimal(100), is_won=True, is_closed=True),
)
DEALS: dict[str, list[dict[str, Any]]] = {
    "User": USERS,
    "Account": ACCOUNTS,
    "Opportunity": [
        {"Id": "006A", "Name": "A", "AccountId": "001P", "StageName": "Closed Won", "CloseDate": "2024-01-01"},
        {"Id": "006B", "Name": "B", "AccountId": "001P", "StageName": "Prospecting", "CloseDate": "2024-01-01"},
        {"Id": "006C", "Name": "C", "AccountId": "001P", "StageName": "Unheard of", "CloseDate": "2024-01-01"},
    ],
}


def _plan(world: World) -> Plan:
    world.source = ListSource(DEALS)
    pipeline = PlannedPipeline("Sales", "Opportunity.StageName", STAGES)
    return replace(plan_of(world.source), pipelines=(pipeline,)).approve()


def test_deals_refer_to_the_stages_that_the_plan_found(world: World) -> None:
    world.migrations.run(world.connection_id, _plan(world), certificate=False)
    rows = world.rows(
        """SELECT o.name, s.name, s.probability, s.is_won, p.name FROM crm_opportunity o
           LEFT JOIN crm_stage s ON s.id = o.stage_id LEFT JOIN crm_pipeline p ON p.id = s.pipeline_id ORDER BY o.name"""
    )
    assert rows == [
        ("A", "Closed Won", Decimal(100), True, "Sales"),
        ("B", "Prospecting", Decimal(10), False, "Sales"),
        ("C", None, None, None, None),
    ]


def test_a_dry_run_does_not_miss_the_stages_that_the_run_makes(world: World) -> None:
    preview = world.migrations.dry_run(world.connection_id, _plan(world))
    assert preview.objects["Opportunity"].unresolved == {}
    assert world.count("crm_stage") == 0


def test_stages_are_made_once_and_undone_with_the_run(world: World) -> None:
    before = snapshot(world)
    first = world.migrations.run(world.connection_id, _plan(world), certificate=False)
    second = world.migrations.run(world.connection_id, _plan(world), certificate=False)
    assert (world.count("crm_stage"), world.count("crm_pipeline")) == (2, 1)
    world.migrations.undo(second.run_id)
    world.migrations.undo(first.run_id)
    assert snapshot(world) == before
    assert (world.count("crm_stage"), world.count("crm_pipeline")) == (0, 0)
