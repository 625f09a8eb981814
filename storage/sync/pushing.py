"""Work to push: what is due, what was announced, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.frozen import dataclass
from storage import bulk
from storage.statements import run, texts
from storage.sync.gathering import LINK_COLUMNS, LINKED_TO, OF_HUB, StoredLink, stored_link
from storage.sync.lanes import LaneKey
from storage.sync.values import dumps, loads

_THIS = "tenant_id = :t AND connection_id = :c AND object = :o"


@dataclass(frozen=True, slots=True)
class DueWork:
    """A hub record that may have to go out; ``intent`` is (sent in JSON form, at, generation)."""

    entity_id: UUID
    token: int
    attempts: int
    link: StoredLink | None
    intent: tuple[Any, datetime, int] | None


def due(conn: Connection, key: LaneKey, entity: str, now: datetime, limit: int) -> list[DueWork]:
    """What is due, oldest first. Of several links of a record the oldest live one counts, else the one that was buried last."""
    rows = run(
        conn,
        f"""
        WITH todo AS MATERIALIZED (
            SELECT entity_id, token, attempts FROM push_work
            WHERE {_THIS} AND due_at <= :now AND state <> 'waiting' AND entity = :entity ORDER BY due_at, token LIMIT :limit)
        SELECT w.entity_id, w.token, w.attempts, i.entity_id, CAST(i.sent AS text), i.at, i.generation, l.*
        FROM todo w
        LEFT JOIN LATERAL (SELECT {LINK_COLUMNS} FROM {OF_HUB.format("w.entity_id")} k
            WHERE connection_id = :c AND vendor_object = :o AND entity = :entity
            ORDER BY tombstoned_at IS NOT NULL, tombstoned_at DESC, created_at, vendor_id LIMIT 1) l ON true
        LEFT JOIN LATERAL (SELECT * FROM sync_intent WHERE {_THIS} AND entity_id = w.entity_id LIMIT 1) i ON true
        ORDER BY w.token""",
        key.parameters | {"entity": entity, "now": now, "limit": limit},
    )
    return [_due(row) for row in rows]


def _due(row: Sequence[Any]) -> DueWork:
    entity_id, token, attempts, announced, sent, at, generation, *link = row
    intent = None if announced is None else (loads(sent), at, generation)
    return DueWork(entity_id, token, attempts, None if link[0] is None else stored_link(link), intent)


def writes(conn: Connection, key: LaneKey) -> frozenset[str]:
    """The canonical fields that the lane may write."""
    found = conn.execute(text(f"SELECT writes FROM stream WHERE {_THIS}"), key.parameters).scalar_one_or_none()
    return frozenset(found or ())


def announce_creates(
    conn: Connection, key: LaneKey, generation: int, now: datetime, sent: Mapping[UUID, Mapping[str, Any]]
) -> None:
    """Leave an intent for each create about to be sent (JSON form); an older one of the record is replaced."""
    if not sent:
        return
    run(
        conn,
        """
        INSERT INTO sync_intent (tenant_id, connection_id, object, entity_id, sent, at, generation)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), r.id, r.sent, CAST(:now AS timestamptz),
               CAST(:generation AS bigint)
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, sent jsonb) ORDER BY r.id
        ON CONFLICT (tenant_id, connection_id, object, entity_id) DO UPDATE
            SET sent = excluded.sent, at = excluded.at, generation = excluded.generation""",
        key.parameters
        | {"now": now, "generation": generation}
        | {"rows": dumps([{"id": i, "sent": form} for i, form in sent.items()])},
    )


def announce_updates(conn: Connection, key: LaneKey, sent: Mapping[str, Mapping[str, Any]]) -> None:
    """Leave on each link what is about to be sent (JSON form), beside what is in flight. Its revision stays."""
    if not sent:
        return
    run(
        conn,
        """
        UPDATE link l SET sent = coalesce(l.sent, '{}') || r.sent || CASE WHEN r.sent ? 'custom_fields' THEN jsonb_build_object(
            'custom_fields', coalesce(l.sent->'custom_fields', '{}') || (r.sent->'custom_fields')) ELSE '{}' END
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(vendor_id text, sent jsonb)
        WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.vendor_id = ANY(CAST(:ids AS text[]))
          AND l.vendor_id = r.vendor_id""",
        key.parameters | {"ids": texts(sent)} | {"rows": dumps([{"vendor_id": v, "sent": f} for v, f in sent.items()])},
    )


def forget_sent(conn: Connection, key: LaneKey, ids: Iterable[UUID]) -> None:
    """The outcome of what was announced for these hub records is known: nothing is in flight to any of their links."""
    settled = set(ids)
    if settled:
        conn.execute(
            text(f"""
            UPDATE link SET sent = NULL WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o
              AND vendor_id = ANY({LINKED_TO}) AND sent IS NOT NULL"""),
            key.parameters | {"ids": bulk.uuids(settled)},
        )


def forget_intents(conn: Connection, key: LaneKey, ids: Iterable[UUID]) -> None:
    """Remove the intents of hub records."""
    settled = set(ids)
    if settled:
        conn.execute(
            text(f"DELETE FROM sync_intent WHERE {_THIS} AND entity_id = ANY(CAST(:ids AS uuid[]))"),
            key.parameters | {"ids": bulk.uuids(settled)},
        )


def finish(
    conn: Connection, key: LaneKey, done: Mapping[UUID, int], settled: Iterable[UUID], sent: Iterable[UUID]
) -> None:
    """Remove work that is done (hub id to token), unless it was queued again meanwhile, the intents of those whose outcome is
    known (``settled``), and what dead letters an earlier push left of those that got through (``sent``)."""
    sets = (frozenset(done), frozenset(settled), frozenset(sent))
    texts_of = {ids: bulk.uuids(ids) for ids in set(sets)}  # they mostly name the same records
    parameters = dict(zip(("done", "settled", "sent"), map(texts_of.__getitem__, sets), strict=True))
    run(
        conn,
        # No token comes twice, so it need not be compared record by record.
        f"""
        WITH intents AS (DELETE FROM sync_intent WHERE {_THIS} AND entity_id = ANY(CAST(:settled AS uuid[]))),
        letters AS (
            UPDATE dead_letter SET status = 'resolved', resolved_at = now(), resolution = 'applied'
            WHERE {_THIS} AND entity_id = ANY(CAST(:sent AS uuid[])) AND status = 'open' AND stage = 'push')
        DELETE FROM push_work WHERE {_THIS} AND entity_id = ANY(CAST(:done AS uuid[]))
          AND token = ANY(CAST(:tokens AS bigint[]))""",
        key.parameters | parameters | {"tokens": f"{{{','.join(map(str, done.values()))}}}"},
    )


def postpone(conn: Connection, key: LaneKey, rows: Sequence[tuple[UUID, int, str, datetime | None]]) -> None:
    """Keep work for later: (hub id, token, state, due at: None for at once), unless it was queued again meanwhile."""
    if not rows:
        return
    forms = [{"id": i, "token": token, "state": state, "due_at": due_at} for i, token, state, due_at in rows]
    conn.execute(
        text("""
        UPDATE push_work w SET state = r.state, due_at = coalesce(r.due_at, 'epoch'), attempts = w.attempts + 1
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, token bigint, state text, due_at timestamptz)
        WHERE w.tenant_id = :t AND w.connection_id = :c AND w.object = :o AND w.entity_id = ANY(CAST(:ids AS uuid[]))
          AND w.entity_id = r.id AND w.token = r.token"""),
        key.parameters | {"ids": bulk.uuids(row[0] for row in rows), "rows": dumps(forms)},
    )
