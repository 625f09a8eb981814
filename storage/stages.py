"""Pipelines and stages that a source tells only by name, as records of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from storage.runs import RunKey
from storage.tables import entity_tables, link


@dataclass(frozen=True, slots=True)
class NewStage:
    """One stage. ``id`` is what its vendor id always gives; ``probability`` in per cent."""

    id: UUID
    vendor_id: str
    name: str
    position: int
    probability: Decimal | None = None
    is_won: bool | None = None
    is_closed: bool | None = None


@dataclass(frozen=True, slots=True)
class NewPipeline:
    """One pipeline with its stages; ``stage_object`` is the vendor object that references to stages name."""

    id: UUID
    vendor_id: str
    name: str
    object: str
    stage_object: str
    stages: Sequence[NewStage]


def create(connection: Connection, key: RunKey, connection_id: UUID, pipeline: NewPipeline) -> int:
    """Create the pipeline and its stages with their links, as far as they are not linked; returns how many stages are new."""
    known = _linked(connection, key.tenant_id, connection_id, pipeline.stage_object)
    new = [stage for stage in pipeline.stages if stage.vendor_id not in known]
    if not new:
        return 0
    pipeline_id = _linked(connection, key.tenant_id, connection_id, pipeline.object).get(pipeline.vendor_id)
    if pipeline_id is None:
        pipeline_id = pipeline.id
        _add(
            connection,
            key,
            connection_id,
            "pipeline",
            pipeline.object,
            pipeline.vendor_id,
            {"id": pipeline.id, "name": pipeline.name},
        )
    for stage in new:
        values = {
            "id": stage.id, "name": stage.name, "position": stage.position, "probability": stage.probability,
            "is_won": stage.is_won, "is_closed": stage.is_closed, "pipeline_id": pipeline_id,
        }  # fmt: skip
        _add(connection, key, connection_id, "stage", pipeline.stage_object, stage.vendor_id, values)
    return len(new)


def _linked(connection: Connection, tenant_id: UUID, connection_id: UUID, vendor_object: str) -> dict[str, UUID]:
    rows = connection.execute(
        select(link.c.vendor_id, link.c.entity_id).where(
            link.c.tenant_id == tenant_id, link.c.connection_id == connection_id, link.c.vendor_object == vendor_object
        )
    )
    return {row.vendor_id: row.entity_id for row in rows}


def _add(
    connection: Connection,
    key: RunKey,
    connection_id: UUID,
    entity: str,
    vendor_object: str,
    vendor_id: str,
    values: dict[str, object],
) -> None:
    """One record and its link. A record that another connection of the same account made is taken as it stands."""
    statement = insert(entity_tables[entity]).values(tenant_id=key.tenant_id, **values).on_conflict_do_nothing()
    made = connection.execute(statement.returning(entity_tables[entity].c.id)).one_or_none() is not None
    connection.execute(
        insert(link).values(
            tenant_id=key.tenant_id, connection_id=connection_id, vendor_object=vendor_object, vendor_id=vendor_id, entity=entity,
            entity_id=values["id"], origin="created" if made else "matched", run_id=key.run_id,
        )
    )  # fmt: skip
