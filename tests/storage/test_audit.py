"""The audit log holds together: whatever is changed, taken out, added or cut off shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.access import Actor
from storage import audit
from storage.database import Database

ANNA = Actor("person", "p1", "Anna")


def _write(db: Database, tenant: UUID, count: int) -> None:
    for number in range(count):
        with db.tenant(tenant) as conn:
            audit.record(
                conn, ANNA, "record.update", "contact", number, {"fields": ["e-mail"], "share": 0.5, "n": 2**70}
            )


def test_an_untouched_log_is_whole(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        assert audit.verify(conn).ok
    _write(db, tenant_id, 3)
    with db.tenant(tenant_id) as conn:
        verdict = audit.verify(conn)
        assert (verdict.ok, verdict.entries) == (True, 3)
        assert [e.seq for e in audit.entries(conn, after=1)] == [2, 3]


@pytest.mark.parametrize(
    ("tampering", "shows_at"),
    [
        ("UPDATE audit_log SET actor = 'Eve' WHERE seq = 2 AND tenant_id = %(t)s", 2),
        ("""UPDATE audit_log SET detail = '{"fields": []}' WHERE seq = 1 AND tenant_id = %(t)s""", 1),
        ("UPDATE audit_log SET at = at - interval '1 microsecond' WHERE seq = 3 AND tenant_id = %(t)s", 3),
        ("DELETE FROM audit_log WHERE seq = 2 AND tenant_id = %(t)s", 2),
        ("DELETE FROM audit_log WHERE seq = 4 AND tenant_id = %(t)s", 4),
    ],
)
def test_tampering_by_the_owner_of_the_tables_shows(
    db: Database, admin_url: str, tenant_id: UUID, tampering: str, shows_at: int
) -> None:
    _write(db, tenant_id, 4)
    with psycopg.connect(admin_url) as owner:
        # The owner is subject to row-level security as well, but can switch it off.
        owner.execute("ALTER TABLE audit_log NO FORCE ROW LEVEL SECURITY")
        owner.execute(tampering, {"t": tenant_id})
        owner.execute("ALTER TABLE audit_log FORCE ROW LEVEL SECURITY")
    with db.tenant(tenant_id) as conn:
        verdict = audit.verify(conn)
    assert (verdict.ok, verdict.broken_at) == (False, shows_at)


def test_entries_written_at_the_same_time_make_one_chain(db: Database, tenant_id: UUID) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _write(db, tenant_id, 5), range(4)))
    with db.tenant(tenant_id) as conn:
        verdict = audit.verify(conn)
    assert (verdict.ok, verdict.entries) == (True, 20)


def test_an_entry_stands_exactly_when_its_change_does(db: Database, tenant_id: UUID) -> None:
    with pytest.raises(DBAPIError), db.tenant(tenant_id) as conn:
        conn.execute(text(f"SELECT {audit.record(conn, ANNA, 'key.create', 'key', 'k')} / 0"))
    with db.tenant(tenant_id) as conn:
        assert audit.entries(conn) == []


@pytest.mark.parametrize("value", ["with\0nul", "\ud800", {"deep": [1, {"x": None}]}, 1.0, -0.0, True])
def test_odd_details_are_kept_and_verified(db: Database, tenant_id: UUID, value: Any) -> None:
    with db.tenant(tenant_id) as conn:
        audit.record(conn, ANNA, "a.b", "k", value, {"value": value})
        assert audit.verify(conn).ok
