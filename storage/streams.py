"""Streams: which objects of a connection are kept in step, and by which rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, exists, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert

from domain.errors import ConfigurationError
from domain.health import StreamState
from storage.tables import connection, entity_tables, link, push_wait, push_work, stream, sync_notice
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class Stream:
    """One object of one connection. ``settings``: its rules, as `bootstrap.syncing` reads them; ``writes``: fields that go out.

    ``status``: idle, paused, reauth, stopped or braked, with its ``reason``; ``verified_at``: up to when the hub has seen the
    vendor's changes; ``counts``: the ledger so far; ``failures``: passes in a row that failed.
    """

    connection_id: UUID
    object: str
    entity: str
    pushes: bool = True
    writes: tuple[str, ...] = ()
    id_order: str = "ascii"
    settings: Mapping[str, Any] = field(default_factory=dict)
    status: str = "idle"
    reason: Mapping[str, Any] | None = None
    cursor: Mapping[str, Any] | None = None
    resync: Mapping[str, Any] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    verified_at: datetime | None = None
    failures: int = 0
    created_at: datetime | None = None

    def state(self) -> StreamState:
        """As `domain.health` judges it. Only of a stream that is stored."""
        since = self.verified_at or self.created_at
        if since is None:
            raise ValueError("the stream is not stored")
        return StreamState(
            self.object, self.status, self.failures, since, verified=self.verified_at is not None,
            reads=self.settings.get("direction") != "out", code=(self.reason or {}).get("code"),
        )  # fmt: skip


_COLUMNS = [stream.c[name] for name in Stream.__slots__]
_IS_SET_UP = stream.c.entity != ""  # a lane that was only leased, for a replay, is no stream


def put(conn: Connection, wanted: Stream) -> None:
    """Add a stream, or change its rules; where it stands is kept."""
    values = {
        "entity": wanted.entity,
        "pushes": wanted.pushes,
        "writes": list(wanted.writes),
        "id_order": wanted.id_order,
        "settings": dict(wanted.settings),
    }
    key = {"tenant_id": current_tenant(conn), "connection_id": wanted.connection_id, "object": wanted.object}
    statement = insert(stream).values(**key, **values)
    conn.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_={**values, "updated_at": text("now()")})
    )


def get(conn: Connection, connection_id: UUID, object_name: str) -> Stream:
    """The stream of an object. Raises ConfigurationError."""
    found = _find(conn, connection_id, object_name)
    if found is None:
        raise ConfigurationError(
            f"{object_name} of this connection is not kept in step.",
            remedy="Add it with `syncline sync add`.",
            code="no_such_stream",
        )
    return found


def _find(conn: Connection, connection_id: UUID, object_name: str) -> Stream | None:
    query = select(*_COLUMNS).where(_IS_SET_UP, stream.c.connection_id == connection_id, stream.c.object == object_name)
    row = conn.execute(query).one_or_none()
    return None if row is None else _stream(row)


def list_all(conn: Connection, connection_id: UUID | None = None) -> list[Stream]:
    """Every stream, or those of one connection, by connection and object."""
    query = select(*_COLUMNS).where(_IS_SET_UP).order_by(stream.c.connection_id, stream.c.object)
    if connection_id is not None:
        query = query.where(stream.c.connection_id == connection_id)
    return [_stream(row) for row in conn.execute(query)]


def remove(conn: Connection, connection_id: UUID, object_name: str) -> bool:
    """Stop keeping an object in step. Its links stay; what waited to be sent or read goes, for nobody would come for it.

    Where it held a part of another object's records, that one is compared anew: they are all its own from now on.
    """
    known = False
    view = _find(conn, connection_id, object_name)
    if view is not None and view.settings.get("of"):
        compare_anew(conn, connection_id, view.settings["of"], f"{object_name} is no longer kept in step", None)
    for table in (stream, push_work, push_wait, sync_notice):
        mine = table.delete().where(table.c.connection_id == connection_id, table.c.object == object_name)
        gone = conn.execute(mine).rowcount > 0
        known = known or (table is stream and gone)
    return known


def start_at(conn: Connection, connection_id: UUID, object_name: str, cursor: Mapping[str, Any]) -> None:
    """Where the first poll of a new stream starts; one that has been polled keeps its place."""
    conn.execute(
        stream.update()
        .where(
            stream.c.connection_id == connection_id,
            stream.c.object == object_name,
            stream.c.cursor.is_(None) | (stream.c.cursor == text("'null'::jsonb")),
        )
        .values(cursor=dict(cursor))
    )


def queue_missing(conn: Connection, wanted: Stream) -> int:
    """Make hub records due that the stream's vendor has never had; returns how many. One statement, whatever their number."""
    table = entity_tables[wanted.entity]
    linked = exists().where(
        link.c.tenant_id == table.c.tenant_id,
        link.c.entity_id == table.c.id,
        link.c.connection_id == wanted.connection_id,
        link.c.vendor_object == wanted.object,
    )
    names = ("tenant_id", "connection_id", "object", "entity", "entity_id")
    due = select(
        table.c.tenant_id,
        literal(wanted.connection_id, push_work.c.connection_id.type),
        literal(wanted.object),
        literal(wanted.entity),
        table.c.id,
    ).where(~linked)
    return int(conn.execute(insert(push_work).from_select(names, due).on_conflict_do_nothing()).rowcount)


def linked_everywhere(conn: Connection, entity: str, vendors: Sequence[str], *, limit: int) -> list[UUID]:
    """Hub records with a live link to a connection of each of these vendors."""
    query = (
        select(link.c.entity_id)
        .join(connection, (connection.c.tenant_id == link.c.tenant_id) & (connection.c.id == link.c.connection_id))
        .where(link.c.entity == entity, link.c.tombstoned_at.is_(None), connection.c.vendor.in_(list(vendors)))
        .group_by(link.c.entity_id)
        .having(func.count(connection.c.vendor.distinct()) == len(vendors))
        .order_by(link.c.entity_id)
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def let_deletes_through(conn: Connection, connection_id: UUID, objects: Sequence[str], now: datetime) -> int:
    """Have braked streams compare everything once more, with a person's word that the deletes are meant; returns how many."""
    confirmed = func.jsonb_build_object(
        "started_at", now.isoformat(), "confirmed", True, "reason", "a person let the deletes through"
    )
    change = (
        stream.update()
        .where(stream.c.connection_id == connection_id, stream.c.object.in_(list(objects)), stream.c.status == "braked")
        .values(resync=confirmed, deletes={})
    )
    return int(conn.execute(change).rowcount)


PAUSED, REAUTH, DISCONNECTED = "connection_paused", "reauth_required", "disconnected"
"""Why streams of a whole connection stand still: the codes of their reasons."""

_HELD = {
    PAUSED: ("paused", ("idle",), "The connection is paused."),
    DISCONNECTED: ("stopped", ("idle", "reauth"), "The connection was disconnected."),
}


def hold(conn: Connection, connection_id: UUID, code: str) -> int:
    """Let the connection's streams stand still; returns how many. What works on one right now can write nothing more.

    Those that stand still for a reason of their own keep it.
    """
    status, moving, message = _HELD[code]
    change = stream.update().where(
        _IS_SET_UP, stream.c.connection_id == connection_id, stream.c.status.in_(list(moving))
    )
    held = {"status": status, "reason": {"code": code, "message": message}}
    return int(
        conn.execute(
            change.values(
                **held, generation=stream.c.generation + 1, lease_owner=None, lease_until=None, updated_at=text("now()")
            )
        ).rowcount
    )


def release(conn: Connection, connection_id: UUID, codes: Sequence[str]) -> int:
    """Let streams go on that stand still for one of these reasons; returns how many."""
    waits = stream.c.reason["code"].astext.in_(list(codes))
    if REAUTH in codes:
        waits |= stream.c.status == "reauth"
    change = (
        stream.update()
        .where(_IS_SET_UP, stream.c.connection_id == connection_id, waits)
        .values(status="idle", reason=None, not_before=None, failures=0, updated_at=text("now()"))
    )
    return int(conn.execute(change).rowcount)


def look_again(conn: Connection, connection_id: UUID, object_name: str) -> None:
    """Have the next full comparison read every record, also those that stand as they stood."""
    conn.execute(
        link.update()
        .where(link.c.connection_id == connection_id, link.c.vendor_object == object_name)
        .values(fingerprint=None)
    )


def compare_anew(conn: Connection, connection_id: UUID, object_name: str, reason: str, now: datetime | None) -> None:
    """Have a stream compare everything from the beginning, also where a comparison is under way: that one can commit no more.

    A person's word that deletes are meant is kept. ``now`` None: the database's.
    """
    now = now or conn.execute(select(func.now())).scalar_one()
    confirmed = func.coalesce(stream.c.resync["confirmed"], text("'false'::jsonb"))
    begun = func.jsonb_build_object("started_at", now.isoformat(), "confirmed", confirmed, "reason", reason)
    change = (
        stream.update()
        .where(_IS_SET_UP, stream.c.connection_id == connection_id, stream.c.object == object_name)
        .values(
            resync=begun, generation=stream.c.generation + 1, lease_owner=None, lease_until=None, not_before=None,
            updated_at=text("now()"),
        )
    )  # fmt: skip
    conn.execute(change)


def set_status(conn: Connection, connection_id: UUID, objects: Sequence[str], status: str) -> int:
    """Pause or resume streams; returns how many. What is resumed waits for no retry any more."""
    change = (
        stream.update()
        .where(stream.c.connection_id == connection_id, stream.c.object.in_(list(objects)))
        .values(status=status, reason=None, not_before=None, failures=0, updated_at=text("now()"))
    )
    return int(conn.execute(change).rowcount)


def make_due(conn: Connection, connection_id: UUID, *, polls: Sequence[str] = (), compares: Sequence[str] = ()) -> None:
    """Let streams be polled, or compared in full, as soon as there is room."""
    mine = (stream.c.connection_id == connection_id,)
    if polls:
        conn.execute(
            stream.update().where(*mine, stream.c.object.in_(polls)).values(poll_asked_at=func.clock_timestamp())
        )
    if compares:
        due = func.least(stream.c.compare_at, func.now())
        conn.execute(stream.update().where(*mine, stream.c.object.in_(compares)).values(compare_at=due))


def _stream(row: Row[Any]) -> Stream:
    values = dict(row._mapping)
    return Stream(**{**values, "writes": tuple(values["writes"])})
