"""Tables of people's rights: who must not come back, what was erased, how long things are kept, who agreed to what."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.columns import TIMESTAMP, UUID_TYPE, metadata, now_column, tenant_column

suppression_key = (
    Table(  # the key of the tenant's digests, sealed as credentials are: without it nobody can try addresses
        "suppression_key",
        metadata,
        tenant_column(),
        Column("key_id", Text, nullable=False),
        Column("wrapped_key", LargeBinary, nullable=False),
        Column("ciphertext", LargeBinary, nullable=False),
        PrimaryKeyConstraint("tenant_id"),
    )
)

suppression = Table(  # keyed digests of what named an erased person; none can be turned back into it
    "suppression",
    metadata,
    tenant_column(),
    Column("digest", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),  # email, phone, record (a vendor's id of the person)
    Column("erasure_id", UUID_TYPE, nullable=False),
    Column("policy", Text, nullable=False, server_default=text("'refuse'")),  # refuse, delete, keep: at vendors
    now_column("created_at"),
    PrimaryKeyConstraint("tenant_id", "digest"),
)

erasure = Table(  # a request to erase a person; who it is stands there sealed, and no longer than until it is done
    "erasure",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("status", Text, nullable=False),  # requested, done
    Column("vendors", Text, nullable=False),  # refuse, delete, keep
    Column("key_id", Text),
    Column("wrapped_key", LargeBinary),
    Column("ciphertext", LargeBinary),
    Column("report", JSONB),  # counts by table, no values
    Column("report_hash", LargeBinary),  # SHA-256 of the report's canonical JSON; stands in the audit log, too
    Column("outcomes", JSONB),  # what became of each record at a vendor, as last followed up
    Column("requested_by", Text, nullable=False),
    now_column("requested_at"),
    Column("finished_at", TIMESTAMP),
    PrimaryKeyConstraint("tenant_id", "id"),
)

retention = Table(  # how long a tenant keeps a kind of data, where it is not the installation's default
    "retention",
    metadata,
    tenant_column(),
    Column("kind", Text, nullable=False),
    Column("days", Integer),  # NULL: for ever
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "kind"),
)

consent = Table(  # what the owner of a connected mailbox agreed to; never changed but for its withdrawal
    "consent",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("who", Text, nullable=False),
    Column("scopes", ARRAY(Text()), nullable=False),
    Column("text_version", Text, nullable=False),
    now_column("given_at"),
    Column("withdrawn_at", TIMESTAMP),
    Column("withdrawn_by", Text),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index(None, "tenant_id", "connection_id"),
)
