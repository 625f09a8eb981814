"""Who listens: endpoints of others, what they want to hear, and how they stand. Their secrets are in `storage.secrets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, insert, select, text, update

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import change_feed, secrets
from storage.tables_outbound import subscription
from storage.tenancy import current_tenant

_CHANGEABLE = frozenset({"name", "url", "types", "ordered", "bulk", "rate_per_s"})


@dataclass(frozen=True, slots=True)
class Subscription:
    """An endpoint that listens. ``types``: names of events, ``contact.*`` or ``*``.

    ``ordered``: a later event of a record waits for the earlier one. ``bulk``: of a bulk load a summary, or each record.
    ``status``: active, or disabled with a reason; what happens meanwhile is kept. ``failures``: of the endpoint, in a row, for
    which it is left alone until ``paused_until``. ``since_xid``: it hears of transactions from there on.
    """

    id: UUID
    name: str
    url: str
    types: tuple[str, ...]
    ordered: bool
    bulk: str
    rate_per_s: int
    status: str
    status_reason: str | None
    failures: int
    failing_since: datetime | None
    paused_until: datetime | None
    next_at: datetime | None
    since_xid: int
    created_by: str
    created_at: datetime
    updated_at: datetime

    def wants(self, type_name: str) -> bool:
        """Whether it listens to events of a type."""
        return any(
            t in ("*", type_name) or (t.endswith(".*") and type_name.startswith(t.removesuffix("*")))
            for t in self.types
        )


_COLUMNS = [subscription.c[f.name] for f in fields(Subscription)]


def create(conn: Connection, *, created_by: str, **given: Any) -> Subscription:
    """Add an endpoint; it hears of everything that commits from now on, and perhaps of what did so just before."""
    tenant, since = UUID(current_tenant(conn)), change_feed.horizon(conn)
    conn.execute(
        text("""
        INSERT INTO event_relay (tenant_id, low, high) VALUES (:t, :now, :now)
        ON CONFLICT (tenant_id) DO UPDATE SET low = excluded.low, high = excluded.high, change_seq = 0, event_seq = 0
        WHERE NOT EXISTS (SELECT FROM webhook_subscription s WHERE s.tenant_id = :t)"""),
        {"t": tenant, "now": since},
    )
    values = {**given, "types": list(given["types"]), "created_by": created_by, "since_xid": since}
    row = conn.execute(insert(subscription).values(tenant_id=tenant, id=new_id(), **values).returning(*_COLUMNS)).one()
    return _subscription(row)


def get(conn: Connection, subscription_id: UUID, *, lock: bool = False) -> Subscription:
    """One endpoint, locked to the end of the transaction where asked. Raises ConfigurationError."""
    query = select(*_COLUMNS).where(subscription.c.id == subscription_id)
    row = conn.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    if row is None:
        raise ConfigurationError(
            "There is no webhook subscription with this id.",
            remedy="List the subscriptions.",
            code="no_such_subscription",
        )
    return _subscription(row)


def list_all(conn: Connection) -> list[Subscription]:
    """The tenant's endpoints, the newest last."""
    return [_subscription(row) for row in conn.execute(select(*_COLUMNS).order_by(subscription.c.id))]


def change(conn: Connection, subscription_id: UUID, changes: Mapping[str, Any]) -> Subscription:
    """Change what a person may change. Raises ConfigurationError."""
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")
    get(conn, subscription_id, lock=True)
    return set_columns(conn, subscription_id, **changes)


def disable(conn: Connection, subscription_id: UUID, reason: str) -> Subscription:
    """Send nothing any more. What happens meanwhile is kept for it."""
    get(conn, subscription_id, lock=True)
    return set_columns(conn, subscription_id, status="disabled", status_reason=reason)


def enable(conn: Connection, subscription_id: UUID, now: datetime) -> Subscription:
    """Send again: everything that waits is due at once, in order, and with a fresh schedule of retries."""
    get(conn, subscription_id, lock=True)
    conn.execute(
        text("""
        UPDATE webhook_delivery SET due_at = :now, attempts = 0
        WHERE tenant_id = :t AND subscription_id = :s AND status = 'pending'"""),
        {"t": current_tenant(conn), "s": subscription_id, "now": now},
    )
    healthy = {"failures": 0, "failing_since": None, "paused_until": None}
    return set_columns(conn, subscription_id, status="active", status_reason=None, **healthy)


def remove(conn: Connection, subscription_id: UUID) -> None:
    """Forget an endpoint, its secrets, and everything that was or was to be delivered to it."""
    get(conn, subscription_id, lock=True)
    secrets.remove(conn, subscription_id)
    conn.execute(delete(subscription).where(subscription.c.id == subscription_id))


def set_columns(conn: Connection, subscription_id: UUID, **values: Any) -> Subscription:
    """Write columns of a row that the caller has locked."""
    shown = {name: list(value) if name == "types" else value for name, value in values.items()}
    row = conn.execute(
        update(subscription)
        .where(subscription.c.id == subscription_id)
        .values(**shown, updated_at=text("now()"))
        .returning(*_COLUMNS)
    ).one()
    return _subscription(row)


def active_with_work(conn: Connection, now: datetime) -> Sequence[UUID]:
    """Endpoints to which something could be sent at once."""
    return list(
        conn.scalars(
            text("""
            SELECT s.id FROM webhook_subscription s WHERE s.tenant_id = :t AND s.status = 'active'
                AND coalesce(s.paused_until <= :now, true) AND EXISTS (
                    SELECT FROM webhook_delivery d WHERE d.tenant_id = :t AND d.subscription_id = s.id AND d.status = 'pending'
                    AND d.due_at <= :now AND coalesce(d.lease_until <= :now, true))
            ORDER BY s.id"""),
            {"t": current_tenant(conn), "now": now},
        )
    )


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(**{**row._mapping, "types": tuple(row.types)})
