"""Tables of two-way sync: work to be sent, what waits for what, announced creates, notices, tombstones, conflicts."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.columns import TIMESTAMP, UUID_TYPE, metadata, now_column, tenant_column


def _traceparent() -> Column[str]:
    """The span that wrote the row, as its transaction says (see `storage.tracing`); empty where it was not traced."""
    default = text("coalesce(current_setting('app.traceparent', true), '')")
    return Column("traceparent", Text, nullable=False, server_default=default)


stream = Table(  # a lane: one object of one connection, held by one worker at a time
    "stream",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("pushes", Boolean, nullable=False, server_default=text("true")),
    Column("writes", ARRAY(Text()), nullable=False, server_default=text("'{}'")),  # canonical fields that may go out
    Column(
        "id_order", Text, nullable=False, server_default=text("'ascii'")
    ),  # how the vendor orders ids: ascii, numeric
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),
    Column("cursor", JSONB),
    Column("resync", JSONB),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    Column("deletes", JSONB, nullable=False, server_default=text("'{}'")),  # taken over of late, by hour: for the brake
    Column("status", Text, nullable=False, server_default=text("'idle'")),  # idle, paused, reauth, stopped, braked
    Column("reason", JSONB),
    Column("generation", BigInteger, nullable=False, server_default=text("0")),
    Column("lease_owner", Text),  # of a pass: its id in stream_run
    Column("lease_since", TIMESTAMP),
    Column("lease_until", TIMESTAMP),
    Column("verified_at", TIMESTAMP),
    # What the scheduler knows: when it may run again, and what was last told to the workers (see storage.scheduling).
    Column("not_before", TIMESTAMP),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # passes in a row that ended in an error
    Column("polled_at", TIMESTAMP),
    Column(
        "poll_asked_at", TIMESTAMP
    ),  # a vendor, not saying what changed, or a person asked for a poll: due unless polled since
    Column("compare_at", TIMESTAMP),  # NULL: one period after its creation
    Column("hinted_at", TIMESTAMP),
    Column("hinted_generation", BigInteger),
    Column("hinted_as", Text),  # notice, poll, backfill
    Column("hints", Integer, nullable=False, server_default=text("0")),  # in a row that nobody followed
    now_column("created_at"),
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "object"),
    Index(None, "tenant_id", "entity"),
)

stream_run = Table(  # how a pass over a stream went; counts and codes, no values
    "stream_run",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("kind", Text, nullable=False),  # poll, notice, comparison, push
    Column("started_at", TIMESTAMP, nullable=False),
    Column("ended_at", TIMESTAMP, nullable=False),
    Column("counts", JSONB, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("stopped", Text),  # why it ended before its work was done
    Column("code", Text),  # of the error
    PrimaryKeyConstraint("tenant_id", "id"),
    Index(None, "tenant_id", "connection_id", "object", "id"),
    Index(None, "tenant_id", "ended_at"),
)

push_work = Table(  # hub records that may have to go out; `token` is new at each queueing: no late answer removes newer work
    "push_work",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    Column("token", BigInteger, Identity(), nullable=False),
    Column("due_at", TIMESTAMP, nullable=False, server_default=text("'epoch'")),  # the epoch: at once
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default=text("'due'")),  # due, uncertain (read back first), waiting
    _traceparent(),
    now_column("created_at"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "object", "entity_id"),
    # Partial, so that no statement about single records can mistake it for the key, which begins with the same columns:
    # before its first statistics PostgreSQL cannot tell the two apart.
    Index(
        "push_work_due_idx",
        "tenant_id",
        "connection_id",
        "object",
        "due_at",
        "token",
        postgresql_where=text("state <> 'waiting'"),
    ),
)

push_wait = Table(  # a hub record that becomes due on a lane once another one is linked on the connection
    "push_wait",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("wait_id", UUID_TYPE, nullable=False),
    Column("wait_entity", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    PrimaryKeyConstraint("tenant_id", "connection_id", "wait_id", "object", "entity_id"),
)

vendor_wait = Table(  # a vendor record whose reference cannot be resolved until a record of `wait_object` is linked
    "vendor_wait",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("wait_id", Text(collation="C"), nullable=False),
    Column("wait_object", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("vendor_id", Text(collation="C"), nullable=False),
    PrimaryKeyConstraint("tenant_id", "connection_id", "wait_id", "wait_object", "object", "vendor_id"),
)

sync_intent = Table(  # a create that was announced and whose outcome is not recorded
    "sync_intent",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    Column("sent", JSONB, nullable=False),
    Column("at", TIMESTAMP, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "connection_id", "object", "entity_id"),
)

sync_notice = Table(  # hints that a vendor record may have changed, one a record; `id` is new at each hint
    "sync_notice",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("vendor_id", Text(collation="C"), nullable=False),
    Column("id", UUID_TYPE, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    _traceparent(),
    now_column("at"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "object", "vendor_id"),
    UniqueConstraint("tenant_id", "id"),
    Index("sync_notice_at_idx", "tenant_id", "connection_id", "object", "at"),
)

tombstone = Table(  # what is left of a deleted record: everything, so that it can come back as it was
    "tombstone",
    metadata,
    tenant_column(),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    Column("snapshot", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
    now_column("deleted_at"),
    Column("deleted_by", UUID_TYPE),  # the connection whose vendor deleted it; NULL: a person or program
    Column("reason", Text, nullable=False),  # deleted, merged
    PrimaryKeyConstraint("tenant_id", "entity", "entity_id"),
)

conflict = Table(  # a field that both sides changed: `hub_value` and `vendor_value` as they stood then
    "conflict",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    Column("vendor_id", Text(collation="C"), nullable=False),
    Column("field", Text, nullable=False),
    Column("status", Text, nullable=False),  # open (a person decides), settled (by rule), resolved
    Column("rule", Text, nullable=False),
    Column("winner", Text),  # hub, vendor; NULL while open
    Column("hub_value", JSONB),
    Column("vendor_value", JSONB),
    now_column("opened_at"),
    Column("resolved_at", TIMESTAMP),
    Column("resolution", Text),
    Column("resolved_by", Text),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index(
        "conflict_open_key",
        "tenant_id",
        "connection_id",
        "object",
        "vendor_id",
        "field",
        unique=True,
        postgresql_where=text("status = 'open'"),
    ),
    Index(None, "tenant_id", "entity_id"),
    Index(None, "tenant_id", "status", "opened_at"),
    Index(None, "tenant_id", "opened_at", "id"),
    Index(None, "tenant_id", "connection_id", "opened_at", "id"),
)
