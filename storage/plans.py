"""Stored migration plans: the text that a person edits, and whose approval it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert

from domain.errors import ConfigurationError, PlanChangedError
from storage.tables_plans import migration_plan
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan. ``approved``: the checksum that somebody approved; it counts only while it equals ``checksum``."""

    id: UUID
    connection_id: UUID
    text: str
    checksum: str
    approved: str | None
    approved_by: str | None
    approved_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_approved(self) -> bool:
        return self.approved == self.checksum


def put(conn: Connection, plan_id: UUID, connection_id: UUID, text: str, checksum: str) -> StoredPlan:
    """Store a plan, or another text of it. An approval of the text before does not cover another one."""
    values = {"text": text, "checksum": checksum}
    statement = insert(migration_plan).values(
        tenant_id=current_tenant(conn), id=plan_id, connection_id=connection_id, **values
    )
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "id"], set_=values | {"updated_at": datetime.now(UTC)}
        )
    )
    return get(conn, plan_id)


def approve(conn: Connection, plan_id: UUID, checksum: str, by: str) -> StoredPlan:
    """Approve a plan as it was read: with ``checksum``. Raises PlanChangedError where it is another by now."""
    if get(conn, plan_id, lock=True).checksum != checksum:
        raise PlanChangedError("The plan changed since it was read.", remedy="Read it again, then approve it.")
    facts = {"approved": checksum, "approved_by": by, "approved_at": datetime.now(UTC)}
    conn.execute(migration_plan.update().where(migration_plan.c.id == plan_id).values(facts))
    return get(conn, plan_id)


def get(conn: Connection, plan_id: UUID, *, lock: bool = False) -> StoredPlan:
    """The plan with this id. Raises ConfigurationError."""
    query = select(*_columns()).where(migration_plan.c.id == plan_id)
    row = conn.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise ConfigurationError("There is no plan with this id.", remedy="List the plans.", code="no_such_plan")
    return _plan(row)


def list_plans(
    conn: Connection, *, connection_id: UUID | None = None, before: UUID | None = None, limit: int = 100
) -> Sequence[StoredPlan]:
    """Plans, the newest first."""
    query = select(*_columns()).order_by(migration_plan.c.id.desc()).limit(limit)
    if connection_id is not None:
        query = query.where(migration_plan.c.connection_id == connection_id)
    if before is not None:
        query = query.where(migration_plan.c.id < before)
    return [_plan(row) for row in conn.execute(query)]


def _columns() -> list[Any]:
    return [migration_plan.c[name] for name in StoredPlan.__slots__]


def _plan(row: Row[Any]) -> StoredPlan:
    return StoredPlan(**row._mapping)
