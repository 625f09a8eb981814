"""Tables of webhooks that come in: endpoints, their secrets, the inbox, and where a vendor's notices belong."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from storage.columns import TIMESTAMP, UUID_TYPE, metadata, now_column, tenant_column

secret = (
    Table(  # envelope encryption, as `credential`; every generation that has not expired is valid (see storage.secrets)
        "secret",
        metadata,
        tenant_column(),
        Column("owner_id", UUID_TYPE, nullable=False),
        Column("generation", BigInteger, nullable=False),
        Column("key_id", Text, nullable=False),
        Column("wrapped_key", LargeBinary, nullable=False),
        Column("ciphertext", LargeBinary, nullable=False),
        now_column("created_at"),
        Column("expires_at", TIMESTAMP),  # NULL: until it is replaced
        PrimaryKeyConstraint("tenant_id", "owner_id", "generation"),
    )
)

inbound_endpoint = Table(  # an address that somebody posts to
    "inbound_endpoint",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("name", Text, nullable=False),
    Column("scheme", Text, nullable=False),
    Column(
        "connection_id", UUID_TYPE
    ),  # NULL: a poster of data, or (system tenant) an address for a vendor's whole app
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),  # of the scheme; nothing secret
    Column("status", Text, nullable=False, server_default=text("'active'")),  # active, paused, removed
    Column("hinted_at", TIMESTAMP),  # when the workers were last told that something waits here
    Column(
        "purged", JSONB, nullable=False, server_default=text("'{}'")
    ),  # deliveries by outcome that were deleted by age
    now_column("created_at"),
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("inbound_endpoint_name_key", "tenant_id", "name", unique=True, postgresql_where=text("status <> 'removed'")),
)

inbox = Table(  # every delivery that was believed, as it came; ids grow in the order of arrival
    "inbox",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("endpoint_id", UUID_TYPE, nullable=False),
    Column("dedupe_key", Text(collation="C"), nullable=False),
    Column("occurred_at", TIMESTAMP),  # by the sender's clock
    Column("headers", JSONB),  # those that the scheme needs to read the body
    Column("body", LargeBinary, nullable=False),
    now_column("received_at"),
    Column("status", Text, nullable=False, server_default=text("'pending'")),  # pending, done
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", TIMESTAMP),  # NULL: at once
    Column(
        "outcome", Text
    ),  # dead, unroutable, applied, noted, superseded, kept, ignored: the first of them that holds
    Column("reason", Text),
    Column("counts", JSONB),  # its events by outcome
    Column("processed_at", TIMESTAMP),
    Column("traceparent", Text),  # the span of its receipt; NULL where it was not traced
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("inbox_dedupe_key", "tenant_id", "endpoint_id", "dedupe_key", unique=True),
    Index("inbox_pending_idx", "tenant_id", "endpoint_id", "id", postgresql_where=text("status = 'pending'")),
    # Without those that wait: taking a delivery in costs nothing for them.
    Index("inbox_outcome_idx", "tenant_id", "outcome", "id", postgresql_where=text("outcome IS NOT NULL")),
    Index(
        "inbox_endpoint_outcome_idx",
        "tenant_id",
        "endpoint_id",
        "outcome",
        "id",
        postgresql_where=text("outcome IS NOT NULL"),
    ),
)

posted_record = Table(  # up to which moment an endpoint's posts have brought a record: an older post changes nothing
    "posted_record",
    metadata,
    tenant_column(),
    Column("endpoint_id", UUID_TYPE, nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    Column("occurred_at", TIMESTAMP, nullable=False),
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "endpoint_id", "entity_id"),
)

posted_event = Table(  # events that were applied, where one delivery may carry several and deal them out anew
    "posted_event",
    metadata,
    tenant_column(),
    Column("endpoint_id", UUID_TYPE, nullable=False),
    Column("dedupe_key", Text(collation="C"), nullable=False),
    Column("inbox_id", UUID_TYPE, nullable=False),
    now_column("at"),
    PrimaryKeyConstraint("tenant_id", "endpoint_id", "dedupe_key"),
    Index(None, "tenant_id", "inbox_id"),
)

route = Table(  # in the system tenant alone: which connections a vendor's remote account belongs to
    "route",
    metadata,
    tenant_column(),
    Column("vendor", Text, nullable=False),
    Column("remote_account", Text(collation="C"), nullable=False),
    Column("routed_tenant_id", UUID_TYPE, nullable=False),
    Column("connection_id", UUID_TYPE, nullable=False),
    now_column("created_at"),
    PrimaryKeyConstraint("tenant_id", "vendor", "remote_account", "routed_tenant_id", "connection_id"),
    Index(None, "tenant_id", "routed_tenant_id", "connection_id"),
)
