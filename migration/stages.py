"""Stages of a source that names them in its deals but lists no stage records: made from what the plan found."""

from __future__ import annotations

from uuid import UUID

from domain.ids import record_id, record_namespace
from mappings.compile import Lens
from migration.plan_model import Plan, PlannedPipeline
from storage.stages import NewPipeline, NewStage

PIPELINE_OBJECT = "Pipeline"


def made_by_plan(plan: Plan) -> list[tuple[PlannedPipeline, str]]:
    """Pipelines that a run makes itself, each with the vendor object that references to its stages name.

    Only where a mapped stage reference reads plain names and no planned object brings the stages as records.
    """
    planned = {p.object: p for p in plan.objects}
    result = []
    for pipeline in plan.pipelines:
        holder, _, source = pipeline.found_in.partition(".")
        line = planned[holder].spec.fields.get("stage_id") if holder in planned else None
        if line is not None and source in line.sources and len(line.objects) == 1 and line.objects[0] not in planned:
            result.append((pipeline, line.objects[0]))
    return result


def covered_objects(plan: Plan) -> frozenset[str]:
    """Vendor objects whose records a run makes itself."""
    return frozenset(stage_object for _, stage_object in made_by_plan(plan))


def new_pipeline(tenant_id: UUID, plan: Plan, pipeline: PlannedPipeline, stage_object: str, lens: Lens) -> NewPipeline:
    """The records of one pipeline. Stage ids are what the mapping makes of the stage names, so that references find them."""
    line = lens.spec.fields["stage_id"]
    namespace = record_namespace(tenant_id, plan.vendor, plan.remote_account, stage_object)
    stages = []
    for position, stage in enumerate(pipeline.stages):
        read = lens.forward_one({lens.spec.id: "x", line.sources[0]: stage.name}).values.get("stage_id")
        vendor_id = str(read or stage.name)
        stages.append(
            NewStage(
                record_id(namespace, vendor_id, position),
                vendor_id,
                stage.name,
                position,
                stage.probability,
                stage.is_won,
                stage.is_closed,
            )
        )
    own = record_namespace(tenant_id, plan.vendor, plan.remote_account, PIPELINE_OBJECT)
    return NewPipeline(
        record_id(own, pipeline.found_in, 0), pipeline.found_in, pipeline.name, PIPELINE_OBJECT, stage_object, stages
    )
