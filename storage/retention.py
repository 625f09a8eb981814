"""How long a tenant keeps what it does not need any more, by kind; where it says nothing, the installation's settings hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from domain.errors import ConfigurationError
from storage.tables_privacy import retention
from storage.tenancy import current_tenant

KINDS: Mapping[str, str] = MappingProxyType({
    "dead_letters": "Dead letters, since they were settled. Open ones are never deleted.",
    "jobs": "Long work with its results, since it ended.",
    "inbox": "Webhooks that came in, since they were processed.",
    "webhooks": "Events and deliveries that went out.",
    "changes": "The change log: as far back a cursor of the change feed may lie.",
    "history": "Field history: why a value is what it is.",
    "tombstones": "Deleted records: as long they can be restored.",
    "uploads": "Files that were uploaded, since they were sent. Not while a migration that reads them is under way.",
    "conflicts": "Conflicts, since they were settled. Open ones are never deleted.",
    "runs": "How passes over streams went, since they ended.",
})  # fmt: skip
"""Kinds of data with what their time counts from. The audit log is kept for ever."""

_AGED = {
    "history": "DELETE FROM field_history WHERE at < :before",
    "tombstones": """
        DELETE FROM tombstone t WHERE deleted_at < :before AND NOT EXISTS (
            SELECT FROM push_work w WHERE w.tenant_id = t.tenant_id AND w.entity_id = t.entity_id) AND NOT EXISTS (
            SELECT FROM link l WHERE l.tenant_id = t.tenant_id AND l.entity_id = t.entity_id AND l.tombstoned_at IS NULL)""",
    "runs": "DELETE FROM stream_run WHERE ended_at < :before",
    "conflicts": "DELETE FROM conflict WHERE status <> 'open' AND coalesce(resolved_at, opened_at) < :before",
}
"""What is deleted here. A tombstone stays while a delete is to be sent, or a vendor still has the record: it would come back."""


def chosen(conn: Connection) -> dict[str, int | None]:
    """What the tenant chose, in days; None: for ever."""
    return {row.kind: row.days for row in conn.execute(select(retention.c.kind, retention.c.days))}


def effective(conn: Connection, defaults: Mapping[str, int | None]) -> dict[str, int | None]:
    """Days by kind: what the tenant chose, else ``defaults``."""
    own = chosen(conn)
    return {kind: own[kind] if kind in own else defaults.get(kind) for kind in KINDS}


def put(conn: Connection, kind: str, days: int | None) -> None:
    """Keep a kind for so many days, or (None) for ever. Raises ConfigurationError."""
    if kind not in KINDS:
        raise ConfigurationError(
            f"There is no kind of data called {kind}.", remedy=f"Choose one of {', '.join(KINDS)}.", code="no_such_kind"
        )
    if days is not None and not 1 <= days <= 36_500:
        raise ConfigurationError(
            "Data is kept for 1 to 36500 days, or for ever.",
            remedy="Give a number of days in between.",
            code="bad_days",
        )
    statement = insert(retention).values(tenant_id=current_tenant(conn), kind=kind, days=days)
    changed = {"days": days, "updated_at": func.now()}
    conn.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "kind"], set_=changed))


def purge(conn: Connection, kind: str, before: datetime) -> int:
    """Delete what is older, of a kind that has no purge of its own (history, tombstones, conflicts, runs); returns how much."""
    return conn.execute(text(_AGED[kind]), {"before": before}).rowcount
