"""The worlds of the contract: one over PostgreSQL, one over the store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES
from domain.ids import new_id
from storage import connections, streams
from storage.database import Database
from storage.streams import Stream
from storage.sync import conflicts, records
from storage.sync.values import decode_field
from sync_engine.core.model import Record
from sync_engine.ports import Lane
from sync_engine.postgres import PostgresSyncStore
from tests.simulation.memory_store import MemoryStore


@dataclass
class PostgresWorld:
    """A tenant of a real database."""

    db: Database
    tenant_id: UUID

    def __post_init__(self) -> None:
        self.store = PostgresSyncStore(self.db)

    def lane(
        self,
        object_name: str,
        entity: str,
        *,
        connection: UUID | None = None,
        pushes: bool = True,
        writes: Sequence[str] = (),
    ) -> Lane:
        made = connection or new_id()
        every = (*ENTITIES[entity].all_fields, "custom_fields")
        with self.db.tenant(self.tenant_id) as conn:
            if connection is None:
                connections.create(conn, made, vendor="sandbox", name=made.hex)
            streams.put(conn, Stream(made, object_name, entity, pushes, tuple(writes) or every))
        return Lane(self.tenant_id, made, object_name)

    def create(self, entity: str, values: Record) -> UUID:
        with self.db.tenant(self.tenant_id) as conn:
            return records.create(conn, self.tenant_id, entity, values, "someone")

    def edit(self, entity: str, entity_id: UUID, values: Record) -> None:
        with self.db.tenant(self.tenant_id) as conn:
            records.edit(conn, self.tenant_id, entity, entity_id, values, "someone")

    def delete(self, entity: str, entity_id: UUID) -> None:
        with self.db.tenant(self.tenant_id) as conn:
            records.delete(conn, self.tenant_id, entity, entity_id, "someone")

    def history(self, entity_id: UUID) -> list[tuple[str, Any, str]]:
        rows = self._rows(
            "SELECT entity, field, new, rule FROM field_history WHERE entity_id = :id ORDER BY at", id=entity_id
        )
        return [(field, decode_field(entity, field, new), rule) for entity, field, new, rule in rows]

    def conflicts(self, lane: Lane) -> list[tuple[str, str]]:
        with self.db.tenant(self.tenant_id) as conn:
            found = conflicts.list_conflicts(conn, status=None, connection_id=lane.connection_id)
        return [(c.field, "open" if c.status == "open" else "closed") for c in found]

    def letters(self, lane: Lane) -> list[tuple[str, bool]]:
        statement = "SELECT code, status = 'open' FROM dead_letter WHERE connection_id = :c AND object = :o ORDER BY id"
        return [(code, is_open) for code, is_open in self._rows(statement, c=lane.connection_id, o=lane.object)]

    def _rows(self, statement: str, **parameters: Any) -> list[Any]:
        with self.db.tenant(self.tenant_id) as conn:
            return _all(conn, statement, parameters)


def _all(conn: Connection, statement: str, parameters: dict[str, Any]) -> list[Any]:
    return list(conn.execute(text(statement), parameters))


class MemoryWorld:
    """A tenant of a store in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.tenant_id = new_id()

    def lane(
        self,
        object_name: str,
        entity: str,
        *,
        connection: UUID | None = None,
        pushes: bool = True,
        writes: Sequence[str] = (),
    ) -> Lane:
        lane = Lane(self.tenant_id, connection or new_id(), object_name)
        self.store.register(lane, entity, pushes, frozenset(writes) or None)
        return lane

    def create(self, entity: str, values: Record) -> UUID:
        return self.store.create(self.tenant_id, entity, new_id(), values)

    def edit(self, _entity: str, entity_id: UUID, values: Record) -> None:
        self.store.edit(entity_id, values)

    def delete(self, _entity: str, entity_id: UUID) -> None:
        self.store.delete(entity_id)

    def history(self, entity_id: UUID) -> list[tuple[str, Any, str]]:
        rows = [h for h in self.store.tables.history if h.entity_id == entity_id and h.rule != "created"]
        return [(h.name, h.value, h.rule) for h in rows]

    def conflicts(self, lane: Lane) -> list[tuple[str, str]]:
        rows = [c for c in self.store.tables.conflicts if c.lane == lane]
        return [(c.conflict.field, "open" if c.status == "open" else "closed") for c in rows]

    def letters(self, lane: Lane) -> list[tuple[str, bool]]:
        return [(row.failure.code, row.open) for row in self.store.tables.dead.values() if row.lane == lane]
