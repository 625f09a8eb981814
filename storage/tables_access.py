"""Tables of who may use the hub and what they did: keys, members, calls, and an append-only audit log chained by hashes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.columns import TIMESTAMP, UUID_TYPE, metadata, now_column, tenant_column

api_key = (
    Table(  # the secret itself is never stored, only its SHA-256: it is 256 random bits, so a slow hash adds nothing
        "api_key",
        metadata,
        tenant_column(),
        Column("id", UUID_TYPE, nullable=False),
        Column("name", Text, nullable=False),
        Column("secret_hash", LargeBinary, nullable=False),
        Column("role", Text, nullable=False),
        Column("scopes", ARRAY(Text())),  # narrows the role; NULL: everything the role allows
        Column("created_by", Text, nullable=False),
        now_column("created_at"),
        Column("expires_at", TIMESTAMP),
        Column("last_used_at", TIMESTAMP),
        Column("revoked_at", TIMESTAMP),
        PrimaryKeyConstraint("tenant_id", "id"),
    )
)

member = Table(  # a person of the tenant; `issuer` and `subject` are known once they signed in
    "member",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("email", Text, nullable=False),  # in lower case
    Column("name", Text, nullable=False, server_default=text("''")),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'invited'")),  # invited, active, removed
    Column("issuer", Text),
    Column("subject", Text),
    Column("invited_by", Text, nullable=False),
    now_column("created_at"),
    Column("joined_at", TIMESTAMP),
    Column("removed_at", TIMESTAMP),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "email"),
    UniqueConstraint("tenant_id", "issuer", "subject"),
)

idempotency_key = Table(  # an unsafe call and its answer; `status` NULL: under way until `lease_until`
    "idempotency_key",
    metadata,
    tenant_column(),
    Column("caller", Text, nullable=False),
    Column("key", Text(collation="C"), nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    Column("attempt", UUID_TYPE, nullable=False),
    Column("lease_until", TIMESTAMP, nullable=False),
    Column("expires_at", TIMESTAMP, nullable=False),
    Column("status", Integer),
    Column("headers", JSONB),
    Column("key_id", Text),  # the body, sealed as credentials are
    Column("wrapped_key", LargeBinary),
    Column("ciphertext", LargeBinary),
    PrimaryKeyConstraint("tenant_id", "caller", "key"),
    Index(None, "tenant_id", "expires_at"),
)

rate_bucket = Table(  # how many calls a caller may still make; `granted` is what the last process took out
    "rate_bucket",
    metadata,
    tenant_column(),
    Column("caller", Text, nullable=False),
    Column("tokens", Float, nullable=False),
    Column("granted", Float, nullable=False),
    Column("refilled_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("tenant_id", "caller"),
)

failed_sign_in = (
    Table(  # in the system tenant alone: how many tries an address has left; after a crash of the server, all have all
        "failed_sign_in",
        metadata,
        tenant_column(),
        Column("network", Text(collation="C"), nullable=False),
        Column("tries", Float, nullable=False),
        Column("at", TIMESTAMP, nullable=False),
        PrimaryKeyConstraint("tenant_id", "network"),
        Index(None, "tenant_id", "at"),
        prefixes=["UNLOGGED"],
    )
)

api_usage = Table(
    "api_usage",
    metadata,
    tenant_column(),
    Column("day", Date, nullable=False),
    Column("caller", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "day", "caller"),
)

audit_log = Table(  # `hash` covers the entry and the hash before it; the application may insert and read, never change
    "audit_log",
    metadata,
    tenant_column(),
    Column("seq", BigInteger, nullable=False),
    Column("at", TIMESTAMP, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target_kind", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    Column("request_id", Text),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant_id", "seq"),
    Index(None, "tenant_id", "target_kind", "target_id", "seq"),
    Index(None, "tenant_id", "actor", "seq"),
    Index(None, "tenant_id", "action", "seq"),
    Index(None, "tenant_id", "at", "seq"),
)

audit_head = Table(  # the last entry of each tenant's chain; locked while one is added
    "audit_head",
    metadata,
    tenant_column(),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant_id"),
)

APPEND_ONLY = frozenset({"audit_log"})
"""Tables that the application's role may read and add to, and nothing else."""
