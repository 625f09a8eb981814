"""Reading the change log, and events written beside it, so that no commit is ever skipped, however late it comes.

Rows are numbered when they are written and seen when they are committed, so a number alone is no place to go on from: a
transaction that wrote number 5 may commit after number 6 was read. Each row therefore tells its transaction, and a reader takes
windows of transactions that have all ended: from the window before up to the *horizon*, the oldest transaction still running.
Whatever commits later is in a later window. Within a window rows come in the order of their numbers, which for one record is the
order of its changes, since a change is numbered while it holds the record's lock; and of two changes of one record that lie in
different windows, the earlier one is in the earlier window.

A transaction of anyone on the same server that stays open holds the horizon, and so everything that is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.errors import SynclineError
from storage.tenancy import current_tenant


class ChangesExpiredError(SynclineError):
    """What a cursor has not read yet was purged: the reader has to read the records anew."""

    code = "changes_expired"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log: transactions from ``low`` up to, not including, ``high``; read up to the row ``seq`` of them."""

    low: int
    high: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change log. ``kind``: created, updated, deleted, merged, restored, or bulk (then ``entity_id`` is None)."""

    id: UUID
    at: datetime
    seq: int
    entity: str
    entity_id: UUID | None
    kind: str
    fields: tuple[str, ...]
    version: int | None
    connection_id: UUID | None
    detail: Mapping[str, Any]
    xid: int
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Changes of one ``window``, and where to go on. ``more``: there may be further ones already."""

    changes: list[Change]
    window: Position
    position: Position
    more: bool


def horizon(conn: Connection) -> int:
    """Every transaction below it has ended. It never goes back."""
    return int(conn.scalar(text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")) or 0)


def window(table: str, where: str = "true") -> str:
    """SQL conditions of a page: rows of the window :low/:high behind :seq.

    The lowest number of a window is looked up once, by its transactions: rows of earlier ones are not read again.
    """
    return f"""
        tenant_id = :t AND {where} AND xid >= :low AND xid < :high AND seq > :seq
        AND (:seq > 0 OR seq >= (SELECT min(seq + 0) FROM {table}
                                 WHERE tenant_id = :t AND {where} AND xid >= :low AND xid < :high))
        ORDER BY seq LIMIT :limit"""


_CHANGES = f"""
    SELECT id, at, seq, entity, entity_id, kind, coalesce(fields, '{{}}') AS fields, version, connection_id,
           coalesce(detail, '{{}}') AS detail, xid, traceparent
    FROM change WHERE {window("change")}"""


def changes(conn: Connection, position: Position, limit: int) -> list[Change]:
    """The next rows of the position's window."""
    parameters = {"t": current_tenant(conn), "low": position.low, "high": position.high, "seq": position.seq}
    rows = conn.execute(text(_CHANGES), parameters | {"limit": limit}).mappings()
    return [Change(**{**row, "fields": tuple(row["fields"])}) for row in rows]


def read(conn: Connection, position: Position, limit: int) -> Page:
    """The next page for a reader of its own. Raises ChangesExpiredError."""
    if position.low <= purged(conn):
        raise ChangesExpiredError(
            "The changes after this cursor are not kept any more.",
            remedy="Read the records anew, then go on from a fresh cursor.",
        )
    if position.low == position.high:
        position = Position(position.low, max(horizon(conn), position.low))
    found = changes(conn, position, limit)
    if len(found) == limit:
        return Page(found, position, replace(position, seq=found[-1].seq), more=True)
    return Page(found, position, Position(position.high, position.high), more=bool(found))


def beginning(conn: Connection) -> Position:
    """Before the oldest change that is kept."""
    first = purged(conn) + 1
    return Position(first, first)


def now(conn: Connection) -> Position:
    """Behind everything that has ended: whatever commits from now on is read, and perhaps a little of just before."""
    at = horizon(conn)
    return Position(at, at)


def newest(conn: Connection) -> tuple[int, int]:
    """Of the changes that can be read: the last transaction and number. It moves whenever there is something new."""
    row = conn.execute(
        text("SELECT xid, seq FROM change WHERE tenant_id = :t AND xid < :high ORDER BY xid DESC, seq DESC LIMIT 1"),
        {"t": current_tenant(conn), "high": horizon(conn)},
    ).one_or_none()
    return (0, 0) if row is None else (row.xid, row.seq)


def purged(conn: Connection) -> int:
    """The greatest transaction whose changes were purged; 0: none."""
    return int(conn.scalar(text("SELECT xid FROM change_purge WHERE tenant_id = :t"), {"t": current_tenant(conn)}) or 0)


def purge(conn: Connection, before: datetime, limit: int = 50_000) -> int:
    """Delete changes from before a moment, but none that the relay has yet to tell; returns how many."""
    parameters = {"t": current_tenant(conn), "before": before, "n": limit}
    gone = conn.execute(
        text("""
        WITH old AS MATERIALIZED (
            SELECT at, id FROM change WHERE tenant_id = :t AND at < :before
                AND xid < coalesce((SELECT low FROM event_relay WHERE tenant_id = :t), 9223372036854775807)
            ORDER BY xid LIMIT :n),
        gone AS (DELETE FROM change c USING old WHERE c.tenant_id = :t AND c.at = old.at AND c.id = old.id RETURNING c.xid)
        SELECT count(*), max(xid) FROM gone"""),
        parameters,
    ).one()
    if gone[0]:
        conn.execute(
            text("""
            INSERT INTO change_purge AS p (tenant_id, xid) VALUES (:t, :xid)
            ON CONFLICT (tenant_id) DO UPDATE SET xid = greatest(p.xid, excluded.xid), at = now()"""),
            {"t": parameters["t"], "xid": gone[1]},
        )
    return int(gone[0])
