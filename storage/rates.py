"""How often each caller may call: a token bucket a caller, in the database so that every process agrees; and how often each did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from storage.tables_access import api_usage
from storage.tenancy import current_tenant


@dataclass(frozen=True, slots=True)
class Granted:
    """``tokens``: calls that this process may let through; ``left``: what the bucket holds besides; ``wait_s``: until the next."""

    tokens: int
    left: int
    wait_s: float


def lease(conn: Connection, caller: str, wanted: int, *, per_s: float, burst: int) -> Granted:
    """Take up to ``wanted`` tokens out of the caller's bucket, which fills at ``per_s`` and holds ``burst``."""
    row = conn.execute(
        text("""
        INSERT INTO rate_bucket AS b (tenant_id, caller, tokens, granted, refilled_at)
        VALUES (:tenant, :caller, :burst - :wanted, :wanted, statement_timestamp())
        ON CONFLICT (tenant_id, caller) DO UPDATE SET (tokens, granted, refilled_at) = (
            SELECT f.held - least(:wanted, floor(f.held)), least(:wanted, floor(f.held)),
                   greatest(b.refilled_at, statement_timestamp())
            FROM (SELECT least(:burst, b.tokens + :per_s * greatest(0, extract(epoch FROM
                         statement_timestamp() - b.refilled_at)::float8)) AS held) f)
        RETURNING granted, tokens"""),
        {"tenant": current_tenant(conn), "caller": caller, "wanted": wanted, "burst": float(burst), "per_s": per_s},
    ).one()
    return Granted(int(row.granted), int(row.tokens), max(0.0, (1 - row.tokens) / per_s))


def count(conn: Connection, day: date, calls: Mapping[str, int]) -> None:
    """Add calls by caller to the day's counts."""
    if not calls:
        return
    tenant = current_tenant(conn)
    statement = insert(api_usage).values(
        [{"tenant_id": tenant, "day": day, "caller": who, "calls": n} for who, n in sorted(calls.items())]
    )
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "day", "caller"], set_={"calls": api_usage.c.calls + statement.excluded.calls}
        )
    )


def usage(conn: Connection, since: date, until: date) -> list[tuple[date, str, int]]:
    """Calls by day and caller, both days included, the oldest first."""
    rows = conn.execute(
        select(api_usage.c.day, api_usage.c.caller, api_usage.c.calls)
        .where(api_usage.c.day.between(since, until))
        .order_by(api_usage.c.day, api_usage.c.caller)
    )
    return [(row.day, row.caller, int(row.calls)) for row in rows]
