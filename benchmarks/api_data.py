"""Contacts, their history and their change log, by SQL alone: what reads are measured on, and what tests of their plans need."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage.database import Database

AT_ONCE: Final = 20_000
CHANGES_EACH: Final = 2
LAST_NAMES: Final = 50_021

_CONTACTS = """
    INSERT INTO crm_contact (tenant_id, id, first_name, last_name, title, email, phone, mailing_city, mailing_country,
                             created_at, updated_at)
    SELECT CAST(:t AS uuid), CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid), 'First' || n % 997,
           'Last' || n % :names, 'Engineer', 'contact' || n || '@example.com', '+1415' || 5550000 + n, 'San Francisco',
           'United States', moment, moment
    FROM generate_series(:first, :last - 1) n, LATERAL (SELECT now() - make_interval(secs => 3600 + n % 86400) AS moment) m"""

_CHANGES = """
    INSERT INTO change (tenant_id, id, entity, entity_id, kind, fields, version)
    SELECT CAST(:t AS uuid), gen_random_uuid(), 'contact',
           CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid), 'updated', '{title}', v
    FROM generate_series(:first, :last - 1) n, generate_series(1, :each) v ORDER BY v, n"""

_HISTORY = """
    INSERT INTO field_history (tenant_id, at, id, entity, entity_id, field, old, new, origin, version)
    SELECT CAST(:t AS uuid), now() - make_interval(secs => v), gen_random_uuid(), 'contact',
           CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid), 'title', '"Analyst"', '"Engineer"', 'hub', v
    FROM generate_series(:first, :last - 1) n, generate_series(1, :each) v"""


def contact_id(number: int) -> UUID:
    """The id of contact ``number``."""
    return UUID(f"{number:012x}70008000000000000000")


def fill(conn: Connection, tenant_id: UUID, first: int, last: int) -> None:
    """Contacts ``first`` up to, not including, ``last``, each changed `CHANGES_EACH` times."""
    numbers = {"t": tenant_id, "first": first, "last": last, "names": LAST_NAMES}
    conn.execute(text(_CONTACTS), numbers)
    for statement in (_CHANGES, _HISTORY):
        conn.execute(text(statement), numbers | {"each": CHANGES_EACH})


def fill_in_parts(db: Database, tenant_id: UUID, rows: int, at_once: int = AT_ONCE) -> None:
    """So many contacts, in transactions of ``at_once``: the change log is read by transactions."""
    for first in range(0, rows, at_once):
        with db.tenant(tenant_id) as conn:
            fill(conn, tenant_id, first, min(first + at_once, rows))
