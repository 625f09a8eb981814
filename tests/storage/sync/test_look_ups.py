"""What a batch costs does not grow with its lane, not even before PostgreSQL has its first statistics of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from storage.database import Database
from storage.sync import letters, linking, pushing, queueing
from storage.sync.lanes import LaneKey

LANE, BATCH = 3000, 50
CONNECTION = UUID(int=7)
NOW = datetime(2026, 1, 5, tzinfo=UTC)

FILLED = {
    "push_work": """
        INSERT INTO push_work (tenant_id, connection_id, object, entity, entity_id)
        SELECT :t, :c, 'people', 'contact', CAST(lpad(to_hex(n), 32, '0') AS uuid) FROM generate_series(1, :n) n""",
    "sync_intent": """
        INSERT INTO sync_intent (tenant_id, connection_id, object, entity_id, sent, at, generation)
        SELECT :t, :c, 'people', CAST(lpad(to_hex(n), 32, '0') AS uuid), '{}', now(), 1 FROM generate_series(1, :n) n""",
    "link": """
        INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, sent)
        SELECT :t, :c, 'people', 'v' || n, 'contact', CAST(lpad(to_hex(n), 32, '0') AS uuid), 'created', '{"email": "a"}'
        FROM generate_series(1, :n) n""",
    "push_wait": """
        INSERT INTO push_wait (tenant_id, connection_id, wait_id, wait_entity, object, entity, entity_id)
        SELECT :t, :c, CAST(lpad(to_hex(n), 32, '0') AS uuid), 'contact', 'deals', 'opportunity', gen_random_uuid()
        FROM generate_series(1, :n) n""",
    "vendor_wait": """
        INSERT INTO vendor_wait (tenant_id, connection_id, wait_id, wait_object, object, vendor_id)
        SELECT :t, :c, 'v' || n, 'people', 'deals', 'd' || n FROM generate_series(1, :n) n""",
}

Work = Callable[[Connection, LaneKey, Sequence[UUID]], object]


def _finish(conn: Connection, key: LaneKey, ids: Sequence[UUID]) -> None:
    tokens = conn.execute(
        text("SELECT entity_id, token FROM push_work WHERE entity_id = ANY(:ids)"), {"ids": list(ids)}
    )
    pushing.finish(conn, key, {row[0]: row[1] for row in tokens}, ids, ids)


WORK: dict[str, tuple[str, Work]] = {
    "finish": ("push_work", _finish),
    "forget intents": ("sync_intent", pushing.forget_intents),
    "postpone": ("push_work", lambda c, k, ids: pushing.postpone(c, k, [(i, 1, "due", NOW) for i in ids])),
    "announce": (
        "link",
        lambda c, k, ids: pushing.announce_updates(c, k, {f"v{i.int}": {"email": "b"} for i in ids}),
    ),
    "forget sent": ("link", pushing.forget_sent),
    "bury": ("link", linking.bury),
    "lock": ("link", lambda c, k, ids: linking.lock(c, k, [f"v{i.int}" for i in ids])),
    "settle hub waits": ("push_wait", lambda c, k, ids: queueing.settle(c, k.tenant_id, ids)),
    "settle vendor waits": ("vendor_wait", lambda c, k, ids: queueing.settle(c, k.tenant_id, ids)),
    "close letters": (
        "dead_letter",
        lambda c, k, ids: letters.close_pulled(c, k, {f"v{i.int}": False for i in ids}),
    ),
}


@pytest.mark.parametrize("name", WORK)
def test_a_batch_reads_its_own_rows_only(name: str, db: Database, tenant_id: UUID) -> None:
    table, work = WORK[name]
    key = LaneKey(tenant_id, CONNECTION, "people")
    with db.tenant(tenant_id, look_ups=True) as conn:
        for statement in FILLED.values():
            conn.execute(text(statement), {"t": tenant_id, "c": CONNECTION, "n": LANE})
    with db.tenant(tenant_id, look_ups=True) as conn:
        before = _read(conn, table)
        work(conn, key, [UUID(int=n) for n in range(1, BATCH + 1)])
        assert _read(conn, table) - before <= 12 * BATCH


def _read(conn: Connection, table: str) -> int:
    """How many rows of the table this transaction has looked at so far."""
    found = conn.execute(
        text(
            "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = :t"
        ),
        {"t": table},
    )
    return int(found.scalar_one())
