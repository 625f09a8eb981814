"""Taking a person out of what a migration has read and not loaded yet, so that its ledger still adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text, tuple_

from domain.entities import ENTITIES, Kind
from storage import dead_letters, sweeping
from storage.dead_letters import NewLetter
from storage.suppression import ERASED, PEOPLE
from storage.tables import migration_chunk, migration_run, stage_tables
from storage.tenancy import current_tenant

_PHASES = {None: "load", "updated": "update", "matched": "update", "merged": "merge"}
"""By what the planner decided, the phase that does it. Everything else was counted when it was decided."""
_MESSAGE = "The record is of a person who was erased on request, so it was not loaded."


@dataclass(frozen=True, slots=True)
class _Row:
    run_id: UUID
    object: str
    seq: int
    action: str | None


def named(conn: Connection, needles: Sequence[str]) -> int:
    """Delete staged records of people that name the person by an address or a number; returns how many."""
    removed = 0
    for entity in PEOPLE:
        table = stage_tables[entity]
        fields = {f.name for f in ENTITIES[entity].all_fields.values() if f.kind in (Kind.EMAIL, Kind.PHONE)}
        hits = [h.key for h in sweeping.hits(conn, table, needles) if fields & h.values.keys()]
        keys = [(k["run_id"], k["object"], k["seq"]) for k in hits]
        if keys:
            here = tuple_(table.c.run_id, table.c.object, table.c.seq).in_(keys)
            gone = conn.execute(
                table.delete().where(here).returning(table.c.run_id, table.c.object, table.c.seq, table.c.action)
            )
            removed += account(conn, entity, [_Row(**row._mapping) for row in gone])
    return removed


def linked(conn: Connection, entity: str, ids: Sequence[UUID]) -> int:
    """Delete staged rows of an entity that are, or become, one of the records; returns how many."""
    gone = conn.execute(
        text(f"""
        DELETE FROM stage_{entity} s WHERE s.id = ANY(CAST(:ids AS uuid[])) OR s.target_id = ANY(CAST(:ids AS uuid[]))
           OR EXISTS (SELECT FROM link l JOIN migration_run r ON r.tenant_id = l.tenant_id AND r.connection_id = l.connection_id
                      WHERE l.entity_id = ANY(CAST(:ids AS uuid[])) AND r.id = s.run_id
                        AND l.vendor_object = s.object AND l.vendor_id = s.vendor_id)
        RETURNING run_id, object, seq, action"""),
        {"ids": list(ids)},
    )
    return account(conn, entity, [_Row(**row._mapping) for row in gone])


def account(conn: Connection, entity: str, rows: Sequence[_Row]) -> int:
    """Let the run's ledger count rows as refused that were staged and not decided yet; returns how many rows there are."""
    letters = []
    for row in rows:
        pending = _is_pending(conn, row)
        _recount(conn, row, pending=pending)
        if pending:
            letters.append(_letter(conn, entity, row))
    if letters:
        dead_letters.record(conn, UUID(current_tenant(conn)), letters)
    return len(rows)


def _is_pending(conn: Connection, row: _Row) -> bool:
    return row.action in _PHASES and conn.execute(_chunk(row, _PHASES[row.action])).first() is None


def _recount(conn: Connection, row: _Row, *, pending: bool) -> None:
    found = conn.execute(_chunk(row, "extract").with_for_update()).one_or_none()
    if found is None:
        return
    counts: dict[str, Any] = dict(found.counts)
    counts["staged"] = counts.get("staged", 0) - 1
    if pending:
        rejects: Mapping[str, int] = counts.get("rejects") or {}
        counts["rejected"] = counts.get("rejected", 0) + 1
        counts["rejects"] = dict(Counter(rejects) + Counter({ERASED: 1}))
    conn.execute(
        migration_chunk.update()
        .where(*(migration_chunk.c[name] == getattr(row, name) for name in ("run_id", "object")))
        .where(migration_chunk.c.phase == "extract", migration_chunk.c.seq == found.seq)
        .values(counts=counts)
    )


def _chunk(row: _Row, phase: str) -> Any:
    """The chunk of a phase in which the row's place lies."""
    chunk = migration_chunk.c
    query = select(chunk.seq, chunk.counts).where(chunk.run_id == row.run_id, chunk.object == row.object)
    return query.where(chunk.phase == phase, chunk.first_row <= row.seq, chunk.first_row + chunk.rows > row.seq)


def _letter(conn: Connection, entity: str, row: _Row) -> NewLetter:
    connection = conn.scalar(select(migration_run.c.connection_id).where(migration_run.c.id == row.run_id))
    return NewLetter(
        "map", ERASED, _MESSAGE, connection_id=connection, run_id=row.run_id, object=row.object, entity=entity,
        place=f"staged row {row.seq}",
    )  # fmt: skip
