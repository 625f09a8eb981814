"""What a scheduler reads and writes: which lanes have something to do, which were told to the workers, which have to wait.

Telling is a hint: a lane counts as told until someone takes it (its generation moves) or until the hint is old enough to be
taken for lost. So the whole state of scheduling stands here, and any number of schedulers may use it at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from storage.database import Database
from storage.tenancy import current_tenant

_LOST_AFTER_S = 10
_LOST_AFTER_MOST_S = 640
_HINT_LIVES = (
    f"(s.hinted_generation IS NOT DISTINCT FROM s.generation AND s.hinted_at > CAST(:now AS timestamptz)"
    f" - least({_LOST_AFTER_S} * power(2, least(s.hints, 20) - 1), {_LOST_AFTER_MOST_S}) * interval '1 second')"
)

_LANES = f"""
SELECT * FROM (
    SELECT s.connection_id, s.object, s.entity, s.generation, s.verified_at, s.hinted_at, s.hinted_as,
           coalesce(s.lease_until > :now, false) AS held,
           coalesce({_HINT_LIVES}, false) AS told,
           EXISTS (SELECT FROM sync_notice n WHERE n.tenant_id = s.tenant_id AND n.connection_id = s.connection_id
                   AND n.object = s.object)
           OR (s.pushes AND EXISTS (
                   SELECT FROM push_work w WHERE w.tenant_id = s.tenant_id AND w.connection_id = s.connection_id
                   AND w.object = s.object AND w.state <> 'waiting' AND w.due_at <= :now)) AS hinted,
           s.settings->>'direction' IS DISTINCT FROM 'out'
           AND (coalesce(greatest(s.verified_at, s.polled_at) <= CAST(:now AS timestamptz) - :poll_every, true)
                OR coalesce(s.poll_asked_at > s.polled_at, s.poll_asked_at IS NOT NULL)) AS overdue,
           s.resync IS NOT NULL AS comparing,
           s.settings->>'direction' IS DISTINCT FROM 'out'
           AND coalesce(s.compare_at, s.created_at + :compare_every) <= :now AND s.verified_at IS NOT NULL AS compare,
           c.vendor || '/' || coalesce(c.remote_account, CAST(c.id AS text)) AS account,
           c.quota_used, c.quota_limit, c.quota_at
    FROM stream s JOIN connection c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id
    WHERE s.entity <> '' AND s.status = 'idle' AND coalesce(s.not_before <= :now, true)
) lanes
WHERE held OR told OR hinted OR overdue OR comparing OR compare
ORDER BY verified_at NULLS FIRST, connection_id, object
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lane that someone works on (``held``), that was told to the workers as ``hinted_as`` (``told``), or that has to be.

    ``hinted``: notices or changes to send; ``overdue``: to be polled, because it is time or a person asked; ``comparing``: a
    full comparison is under way; ``compare``: one is due. ``account`` names the remote account; ``quota_used`` of
    ``quota_limit`` is what its replies told at ``quota_at``.
    """

    connection_id: UUID
    object: str
    entity: str
    generation: int
    verified_at: datetime | None
    hinted_at: datetime | None
    hinted_as: str | None
    held: bool
    told: bool
    hinted: bool
    overdue: bool
    comparing: bool
    compare: bool
    account: str
    quota_used: int | None = None
    quota_limit: int | None = None
    quota_at: datetime | None = None


def tenants(database: Database) -> list[UUID]:
    """The ids of all tenants; nothing else of them is shown."""
    nobody = UUID(int=0)
    with database.tenant(nobody) as conn:
        return list(conn.scalars(text("SELECT syncline_tenants()")))


def claim(conn: Connection) -> bool:
    """Be the one who schedules the transaction's tenant; False while another does. Ends with the transaction."""
    key = f"{current_tenant(conn)}/schedule"
    return bool(conn.scalar(text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key}))


def waiting(conn: Connection, now: datetime, poll_every: timedelta, compare_every: timedelta) -> list[Waiting]:
    """The tenant's lanes that are busy or have something to do, the longest unverified first."""
    found = conn.execute(text(_LANES), {"now": now, "poll_every": poll_every, "compare_every": compare_every})
    return [_waiting(row) for row in found]


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(**row._mapping)


def tell(conn: Connection, lane: Waiting, kind: str, now: datetime) -> bool:
    """Note that the lane is told to the workers. False if it was taken, or told by another scheduler, meanwhile."""
    result = conn.execute(
        text("""
        UPDATE stream SET hinted_at = :now, hinted_as = :kind, hinted_generation = generation,
            hints = CASE WHEN hinted_generation = generation THEN hints + 1 ELSE 1 END
        WHERE tenant_id = :tenant AND connection_id = :connection AND object = :object AND generation = :generation
            AND hinted_at IS NOT DISTINCT FROM CAST(:seen AS timestamptz)"""),
        {
            **_key(conn, lane.connection_id, lane.object),
            "now": now, "kind": kind, "generation": lane.generation, "seen": lane.hinted_at,
        },
    )  # fmt: skip
    return bool(result.rowcount == 1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a worker has to know of a lane before it begins. ``stamp`` changes with the rules of the stream or its connection,
    and with those of a stream that holds a part of its records."""

    generation: int
    failures: int
    stamp: str


def standing(conn: Connection, connection_id: UUID, object_name: str) -> Standing | None:
    """How a lane stands, or None where it is not kept in step any more."""
    row = conn.execute(
        text("""
        SELECT s.generation, s.failures,
               md5(concat_ws('/', s.settings::text, c.settings::text, c.base_url, c.remote_account, s.entity,
                             (SELECT string_agg(v.settings::text, '/' ORDER BY v.object) FROM stream v WHERE v.tenant_id = :tenant
                              AND v.connection_id = :connection AND v.settings->>'of' = s.object)))
        FROM stream s JOIN connection c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id
        WHERE s.tenant_id = :tenant AND s.connection_id = :connection AND s.object = :object AND s.entity <> ''"""),
        _key(conn, connection_id, object_name),
    ).one_or_none()
    return None if row is None else Standing(*row)


def causes(conn: Connection, connection_id: UUID, object_name: str, most: int) -> list[str]:
    """The spans that led to what waits on a lane, by the oldest of it."""
    found = conn.scalars(
        text("""
        SELECT DISTINCT traceparent FROM (
            (SELECT traceparent FROM sync_notice
             WHERE tenant_id = :tenant AND connection_id = :connection AND object = :object ORDER BY at LIMIT :most)
            UNION ALL
            (SELECT traceparent FROM push_work
             WHERE tenant_id = :tenant AND connection_id = :connection AND object = :object AND state <> 'waiting'
             ORDER BY due_at, token LIMIT :most)) w
        WHERE traceparent <> '' ORDER BY 1"""),
        {**_key(conn, connection_id, object_name), "most": most},
    )
    return list(found)


def ended_well(
    conn: Connection,
    connection_id: UUID,
    object_name: str,
    *,
    polled_at: datetime | None = None,
    compare_at: datetime | None = None,
) -> None:
    """Note the end of a pass: nothing holds the lane back.

    ``polled_at``: it polled to the end; ``compare_at``: when to compare in full again.
    """
    conn.execute(
        text("""
        UPDATE stream SET not_before = NULL, failures = 0, polled_at = coalesce(:polled_at, polled_at),
            compare_at = coalesce(:compare_at, compare_at)
        WHERE tenant_id = :tenant AND connection_id = :connection AND object = :object"""),
        {**_key(conn, connection_id, object_name), "polled_at": polled_at, "compare_at": compare_at},
    )


def hold_back(conn: Connection, connection_id: UUID, object_name: str, until: datetime) -> None:
    """Let nobody work on the lane before ``until``, and count the failure. A restart changes nothing about it."""
    conn.execute(
        text("""
        UPDATE stream SET not_before = greatest(not_before, :until), failures = failures + 1
        WHERE tenant_id = :tenant AND connection_id = :connection AND object = :object"""),
        {**_key(conn, connection_id, object_name), "until": until},
    )


def ask(conn: Connection, connection_id: UUID, object_name: str, now: datetime, *, compare: bool = False) -> None:
    """Have a lane run as soon as a worker is free, and (``compare``) compare everything. What held it back counts no more.

    A comparison under way is gone on with. One that was never read is read whole anyway; one that is only written has nothing to
    compare.
    """
    begun = {"started_at": now.isoformat(), "confirmed": False, "reason": "a person asked"}
    conn.execute(
        text("""
        UPDATE stream SET not_before = NULL, poll_asked_at = CASE WHEN :compare THEN poll_asked_at ELSE :now END,
            resync = CASE WHEN :compare AND verified_at IS NOT NULL AND settings->>'direction' IS DISTINCT FROM 'out'
                          THEN coalesce(resync, CAST(:begun AS jsonb)) ELSE resync END
        WHERE tenant_id = :tenant AND connection_id = :connection AND object = :object"""),
        {**_key(conn, connection_id, object_name), "now": now, "compare": compare, "begun": json.dumps(begun)},
    )
    conn.execute(
        text("""
        UPDATE push_work SET due_at = 'epoch'
        WHERE tenant_id = :tenant AND connection_id = :connection AND object = :object AND state <> 'waiting'"""),
        _key(conn, connection_id, object_name),
    )


def note_quota(conn: Connection, connection_id: UUID, used: int, limit: int, now: datetime) -> None:
    """Remember what the vendor said of its daily quota, for every connection to the same remote account."""
    conn.execute(
        text("""
        UPDATE connection c SET quota_used = :used, quota_limit = :limit, quota_at = :now
        FROM connection told
        WHERE c.tenant_id = :tenant AND told.tenant_id = :tenant AND told.id = :connection
            AND (c.id = told.id OR (c.vendor, c.remote_account) = (told.vendor, told.remote_account))"""),
        {"tenant": current_tenant(conn), "connection": connection_id, "used": used, "limit": limit, "now": now},
    )


def _key(conn: Connection, connection_id: UUID, object_name: str) -> dict[str, Any]:
    return {"tenant": current_tenant(conn), "connection": connection_id, "object": object_name}
