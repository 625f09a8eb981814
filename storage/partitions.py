"""Monthly partitions of the large append-only tables. What falls outside of them lands in a default partition."""

from __future__ import annotations

from datetime import UTC, date, datetime

from psycopg import sql
from sqlalchemy import Connection

from storage.tenancy import driver_connection

PARTITIONED = ("change", "field_history")


def ensure_partitions(conn: Connection, months_ahead: int = 3, *, today: date | None = None) -> list[str]:
    """Create the partitions of this month and of ``months_ahead`` more that do not exist yet; returns their names.

    Needs the tables' owner. Rows that already lie in the default partition move to where they belong. New partitions
    are bare until `tenancy.protect` has run, which every upgrade does last.
    """
    start = (today or datetime.now(UTC).date()).replace(day=1)
    created = []
    for table in PARTITIONED:
        month = start
        for _ in range(months_ahead + 1):
            following = _next(month)
            if _create(conn, table, month, following):
                created.append(_name(table, month))
            month = following
    return created


def _name(table: str, month: date) -> str:
    return f"{table}_y{month.year:04d}m{month.month:02d}"


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _create(conn: Connection, table: str, start: date, end: date) -> bool:
    driver = driver_connection(conn)
    name = _name(table, start)
    if driver.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,):
        return False
    parts = {
        "table": sql.Identifier(table),
        "part": sql.Identifier(name),
        "rest": sql.Identifier(f"{table}_default"),
        "from": sql.Literal(f"{start.isoformat()} 00:00+00"),
        "to": sql.Literal(f"{end.isoformat()} 00:00+00"),
    }
    # The default partition refuses a neighbour while it holds that neighbour's rows. FORCE would hide them from their owner.
    for statement in (
        "CREATE TABLE {part} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)",
        "ALTER TABLE {rest} NO FORCE ROW LEVEL SECURITY",
        "WITH moved AS (DELETE FROM {rest} WHERE at >= {from} AND at < {to} RETURNING *)"
        " INSERT INTO {part} OVERRIDING SYSTEM VALUE SELECT * FROM moved",
        "ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({from}) TO ({to})",
        "ALTER TABLE {rest} FORCE ROW LEVEL SECURITY",
    ):
        driver.execute(sql.SQL(statement).format(**parts))
    return True
