"""Migration runs and their chunks: what was started, how far it came, and who may go on with it.

A chunk row is written in the transaction that did the chunk's work, so the rows of `migration_chunk` are the truth about
progress. Every such transaction first calls `fence`, so that a worker of a run that was taken over cannot commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.engine import RowMapping

from domain.errors import ConfigurationError, RunInProgressError
from domain.records import Cursor
from storage.database import Database
from storage.tables import connection as source
from storage.tables import migration_chunk, migration_run


@dataclass(frozen=True, slots=True)
class RunKey:
    """Names a run and the right to work on it: ``generation`` grows with every take-over."""

    tenant_id: UUID
    run_id: UUID
    generation: int


@dataclass(frozen=True, slots=True)
class Run:
    """One migration run or dry run as stored. ``at`` is the moment the run stands for in everything it writes."""

    id: UUID
    connection_id: UUID
    kind: str
    status: str
    phase: str | None
    at: datetime
    started_at: datetime
    finished_at: datetime | None
    plan_checksum: str
    plan: Mapping[str, Any]
    options: Mapping[str, Any]
    totals: Mapping[str, Any]
    error: Mapping[str, Any] | None
    certificate: Mapping[str, Any] | None
    generation: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """One finished piece of a phase. ``counts`` adds up to the ledger; ``cursor`` resumes an extraction after it."""

    object: str
    phase: str
    seq: int
    rows: int = 0
    first_row: int | None = None
    cursor: Cursor | None = None
    last: bool = False
    counts: Mapping[str, Any] | None = None


def create(
    connection: Connection,
    tenant_id: UUID,
    run_id: UUID,
    connection_id: UUID,
    *,
    kind: str,
    at: datetime,
    plan: Mapping[str, Any],
    plan_checksum: str,
    options: Mapping[str, Any],
) -> None:
    """Store a new run in status ``running``."""
    connection.execute(
        insert(migration_run).values(
            tenant_id=tenant_id,
            id=run_id,
            connection_id=connection_id,
            kind=kind,
            status="running",
            at=at,
            plan=dict(plan),
            plan_checksum=plan_checksum,
            options=dict(options),
        )
    )


def get(connection: Connection, tenant_id: UUID, run_id: UUID) -> Run:
    """The run ``run_id``. Raises ConfigurationError when there is none."""
    row = (
        connection.execute(
            select(migration_run).where(migration_run.c.tenant_id == tenant_id, migration_run.c.id == run_id)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise ConfigurationError(
            f"There is no migration run {run_id}.",
            remedy="List them with `syncline migrate status`.",
            code="no_such_run",
        )
    return _run(row)


def exists(connection: Connection, tenant_id: UUID, run_id: UUID) -> bool:
    """Whether there is a run of this id."""
    found = select(migration_run.c.id).where(migration_run.c.tenant_id == tenant_id, migration_run.c.id == run_id)
    return connection.scalar(found) is not None


def latest(connection: Connection, tenant_id: UUID, *, connection_id: UUID | None = None, limit: int = 20) -> list[Run]:
    """The newest runs first."""
    query = select(migration_run).where(migration_run.c.tenant_id == tenant_id)
    if connection_id is not None:
        query = query.where(migration_run.c.connection_id == connection_id)
    rows = connection.execute(query.order_by(migration_run.c.started_at.desc(), migration_run.c.id.desc()).limit(limit))
    return [_run(row) for row in rows.mappings()]


def newest_done(connection: Connection, tenant_id: UUID) -> list[tuple[Run, str]]:
    """The newest finished run of each source that is still connected, with the source's name; by name."""
    place = func.row_number().over(
        partition_by=migration_run.c.connection_id,
        order_by=(migration_run.c.started_at.desc(), migration_run.c.id.desc()),
    )
    known = (
        select(migration_run, source.c.name.label("source"), place.label("place"))
        .join(
            source, (source.c.tenant_id == migration_run.c.tenant_id) & (source.c.id == migration_run.c.connection_id)
        )
        .where(migration_run.c.tenant_id == tenant_id, migration_run.c.kind == "run", migration_run.c.status == "done")
        .subquery()
    )
    rows = connection.execute(select(known).where(known.c.place == 1).order_by(known.c.source))
    return [(_run(row), str(row["source"])) for row in rows.mappings()]


def _run(row: RowMapping) -> Run:
    return Run(**{name: row[name] for name in Run.__dataclass_fields__})


def save(connection: Connection, key: RunKey, **values: Any) -> None:
    """Set columns of the run, e.g. ``status``, ``phase``, ``totals``, ``error``, ``finished_at``, ``certificate``."""
    connection.execute(
        update(migration_run)
        .where(migration_run.c.tenant_id == key.tenant_id, migration_run.c.id == key.run_id)
        .values(**values)
    )


@contextmanager
def exclusive(database: Database, tenant_id: UUID, connection_id: UUID) -> Iterator[None]:
    """Hold the right to migrate this connection; raises RunInProgressError when another process holds it.

    An advisory lock of a session of its own: it ends with the process, however the process ends.
    """
    with database.advisory_lock(_lock_key(tenant_id, connection_id)) as held:
        if not held:
            raise RunInProgressError(
                "Another migration of this connection is running.",
                remedy="Wait for it, or look at it with `syncline migrate status`; nothing was changed.",
            )
        yield


def is_locked(database: Database, tenant_id: UUID, connection_id: UUID) -> bool:
    """Whether some process holds the right to migrate this connection at this moment."""
    with database.advisory_lock(_lock_key(tenant_id, connection_id)) as free:
        return not free


def _lock_key(tenant_id: UUID, connection_id: UUID) -> int:
    return int.from_bytes((tenant_id.int ^ connection_id.int).to_bytes(16, "big")[8:], "big", signed=True)


def take(connection: Connection, tenant_id: UUID, run_id: UUID) -> RunKey:
    """Take the run over: from now on commits of earlier owners are refused. Waits for those under way."""
    generation = connection.execute(
        update(migration_run)
        .where(migration_run.c.tenant_id == tenant_id, migration_run.c.id == run_id)
        .values(generation=migration_run.c.generation + 1, error=None)
        .returning(migration_run.c.generation)
    ).scalar_one()
    return RunKey(tenant_id, run_id, generation)


def fence(connection: Connection, key: RunKey) -> None:
    """Refuse to go on unless ``key`` still owns the run. The row stays locked against a take-over until commit."""
    generation = connection.execute(
        select(migration_run.c.generation)
        .where(migration_run.c.tenant_id == key.tenant_id, migration_run.c.id == key.run_id)
        .with_for_update(read=True)
    ).scalar_one()
    if generation != key.generation:
        raise RunInProgressError(
            "This run was taken over by another process.", remedy="Look at it with `syncline migrate status`."
        )


def add_chunk(connection: Connection, key: RunKey, chunk: Chunk) -> None:
    """Record a finished chunk, in the transaction of its work."""
    connection.execute(
        insert(migration_chunk).values(
            tenant_id=key.tenant_id,
            run_id=key.run_id,
            object=chunk.object,
            phase=chunk.phase,
            seq=chunk.seq,
            rows=chunk.rows,
            first_row=chunk.first_row,
            cursor=chunk.cursor,
            last=chunk.last,
            counts=dict(chunk.counts or {}),
        )
    )


def put_chunk(connection: Connection, key: RunKey, chunk: Chunk) -> None:
    """Record a chunk that may be recorded again, such as the result of a phase that is recomputed as a whole."""
    values = {
        "rows": chunk.rows,
        "first_row": chunk.first_row,
        "cursor": chunk.cursor,
        "last": chunk.last,
        "counts": dict(chunk.counts or {}),
    }
    statement = pg_insert(migration_chunk).values(
        tenant_id=key.tenant_id, run_id=key.run_id, object=chunk.object, phase=chunk.phase, seq=chunk.seq, **values
    )
    connection.execute(statement.on_conflict_do_update(constraint=migration_chunk.primary_key, set_=values))


def chunks(
    connection: Connection, tenant_id: UUID, run_id: UUID, *, object_name: str | None = None, phase: str | None = None
) -> list[Chunk]:
    """Finished chunks in order."""
    table = migration_chunk.c
    query = select(migration_chunk).where(table.tenant_id == tenant_id, table.run_id == run_id)
    if object_name is not None:
        query = query.where(table.object == object_name)
    if phase is not None:
        query = query.where(table.phase == phase)
    rows = connection.execute(query.order_by(table.object, table.phase, table.seq)).mappings()
    return [Chunk(**{name: row[name] for name in Chunk.__dataclass_fields__}) for row in rows]


def drop_chunks_from(connection: Connection, key: RunKey, object_name: str, phase: str, seq: int) -> None:
    """Forget the chunks of a phase from ``seq`` on: they lie behind a gap and will be done again."""
    connection.execute(
        text(
            "DELETE FROM migration_chunk WHERE tenant_id = :t AND run_id = :r AND object = :o AND phase = :p AND seq >= :s"
        ),
        {"t": key.tenant_id, "r": key.run_id, "o": object_name, "p": phase, "s": seq},
    )
