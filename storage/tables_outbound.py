"""Tables of what leaves for others: events, who listens to them, deliveries with every attempt, and how far the relay has come."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.columns import TIMESTAMP, UUID_TYPE, cause_column, metadata, now_column, tenant_column

event = (
    Table(  # what happened, as it is told; one of a record change is written by the relay, and only if someone listens
        "event",
        metadata,
        tenant_column(),
        Column("id", UUID_TYPE, nullable=False),
        Column("type", Text, nullable=False),
        Column("type_version", Integer, nullable=False, server_default=text("1")),
        Column("occurred_at", TIMESTAMP, nullable=False, server_default=text("now()")),
        Column("subject", UUID_TYPE),  # the record it is about: deliveries about one record keep their order
        Column("cause", Text),  # events of one type and cause are told once an hour
        Column("data", JSONB, nullable=False),
        # Written in the transaction of what it tells of, for the relay to find; false: the relay wrote it itself.
        Column("emitted", Boolean, nullable=False, server_default=text("true")),
        Column("told", Boolean, nullable=False, server_default=text("false")),
        Column("seq", BigInteger, Identity(always=True), nullable=False),
        Column("xid", BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text)::bigint")),
        cause_column(),
        PrimaryKeyConstraint("tenant_id", "id"),
        Index("event_emitted_idx", "tenant_id", "xid", "seq", postgresql_where=text("emitted")),
        Index("event_cause_idx", "tenant_id", "cause", "occurred_at", postgresql_where=text("told")),
        Index(None, "tenant_id", "occurred_at"),
    )
)

event_relay = (
    Table(  # a window of finished transactions, and the last row of it that was told (see storage.change_feed)
        "event_relay",
        metadata,
        tenant_column(),
        Column("low", BigInteger, nullable=False),
        Column("high", BigInteger, nullable=False),
        Column("change_seq", BigInteger, nullable=False, server_default=text("0")),
        Column("event_seq", BigInteger, nullable=False, server_default=text("0")),
        now_column("updated_at"),
        PrimaryKeyConstraint("tenant_id"),
    )
)

change_purge = Table(  # how far the change log has been purged: the greatest transaction id of a row that is gone
    "change_purge",
    metadata,
    tenant_column(),
    Column("xid", BigInteger, nullable=False),
    now_column("at"),
    PrimaryKeyConstraint("tenant_id"),
)

subscription = Table(  # an endpoint of somebody else that listens
    "webhook_subscription",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("types", ARRAY(Text()), nullable=False),
    Column("ordered", Boolean, nullable=False, server_default=text("true")),
    Column("bulk", Text, nullable=False, server_default=text("'summary'")),  # summary, each
    Column("rate_per_s", Integer, nullable=False, server_default=text("50")),
    Column("status", Text, nullable=False, server_default=text("'active'")),  # active, disabled
    Column("status_reason", Text),
    Column("since_xid", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # in a row, of the endpoint itself
    Column("failing_since", TIMESTAMP),
    Column("paused_until", TIMESTAMP),
    Column("next_at", TIMESTAMP),  # theoretical arrival time of the next delivery at the endpoint's rate
    Column("created_by", Text, nullable=False),
    now_column("created_at"),
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
)

delivery = Table(  # one event to one endpoint; the primary key is what makes it exactly one
    "webhook_delivery",
    metadata,
    tenant_column(),
    Column("subscription_id", UUID_TYPE, nullable=False),
    Column("event_id", UUID_TYPE, nullable=False),
    Column("type", Text, nullable=False),  # of the event
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("subject", UUID_TYPE),
    Column("status", Text, nullable=False, server_default=text("'pending'")),  # pending, delivered, failed, expired
    Column("due_at", TIMESTAMP, nullable=False, server_default=text("now()")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),  # since it was queued or replayed
    Column("lease", UUID_TYPE),
    Column("lease_until", TIMESTAMP),
    Column("traceparent", Text),  # the span that caused what it tells of
    now_column("created_at"),
    Column("finished_at", TIMESTAMP),
    PrimaryKeyConstraint("tenant_id", "subscription_id", "event_id"),
    ForeignKeyConstraint(
        ["tenant_id", "subscription_id"],
        ["webhook_subscription.tenant_id", "webhook_subscription.id"],
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(["tenant_id", "event_id"], ["event.tenant_id", "event.id"]),
    Index(
        "webhook_delivery_due_idx", "tenant_id", "subscription_id", "seq", postgresql_where=text("status = 'pending'")
    ),
    Index(
        "webhook_delivery_order_idx",
        "tenant_id",
        "subscription_id",
        "subject",
        "seq",
        postgresql_where=text("status = 'pending'"),
    ),
    Index("webhook_delivery_newest_idx", "tenant_id", "subscription_id", "created_at", "seq"),
    Index("webhook_delivery_status_idx", "tenant_id", "subscription_id", "status", "created_at", "seq"),
    Index("webhook_delivery_type_idx", "tenant_id", "subscription_id", "type", "created_at", "seq"),
    Index(None, "tenant_id", "event_id"),
    Index(None, "tenant_id", "created_at"),
)

delivery_attempt = Table(  # every answer, or the lack of one; `excerpt` is the redacted beginning of the answer
    "webhook_attempt",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("subscription_id", UUID_TYPE, nullable=False),
    Column("event_id", UUID_TYPE, nullable=False),
    Column("at", TIMESTAMP, nullable=False),
    Column("ms", Integer, nullable=False),
    Column("http_status", Integer),
    Column("error", Text),
    Column("excerpt", Text),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(
        ["tenant_id", "subscription_id", "event_id"],
        ["webhook_delivery.tenant_id", "webhook_delivery.subscription_id", "webhook_delivery.event_id"],
        ondelete="CASCADE",
    ),
    Index(None, "tenant_id", "subscription_id", "event_id", "at"),
)

bulk_expansion = Table(  # records of a bulk load that an endpoint wants one by one; `after` is the last vendor id told
    "webhook_bulk",
    metadata,
    tenant_column(),
    Column("subscription_id", UUID_TYPE, nullable=False),
    Column("run_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("after", Text(collation="C"), nullable=False, server_default=text("''")),
    Column("again", Boolean, nullable=False, server_default=text("false")),  # more was loaded since the listing began
    Column("due_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("tenant_id", "subscription_id", "run_id", "object"),
    ForeignKeyConstraint(
        ["tenant_id", "subscription_id"],
        ["webhook_subscription.tenant_id", "webhook_subscription.id"],
        ondelete="CASCADE",
    ),
)
