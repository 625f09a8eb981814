"""Every table of the hub, as SQLAlchemy metadata. `revisions/` creates them; a test holds the two together.

Rules: `tenant_id` leads every key and index. Entity and staging tables come from `domain.entities`. `storage.tenancy` adds RLS.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
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

from domain.entities import ENTITIES, Entity
from storage.columns import TIMESTAMP, UUID_TYPE, cause_column, metadata, now_column, tenant_column
from storage.tables_access import api_key, audit_head, audit_log
from storage.tables_inbound import inbound_endpoint, inbox, posted_event, posted_record, route, secret
from storage.tables_jobs import job
from storage.tables_mappings import mapping_version
from storage.tables_oauth import sign_in
from storage.tables_outbound import (
    bulk_expansion,
    change_purge,
    delivery,
    delivery_attempt,
    event,
    event_relay,
    subscription,
)
from storage.tables_plans import migration_plan
from storage.tables_privacy import consent, erasure, retention, suppression, suppression_key
from storage.tables_staging import column_type, stage_association, stage_link, stage_name, stage_tables
from storage.tables_sync import conflict, push_wait, push_work, stream, sync_intent, sync_notice, tombstone, vendor_wait

__all__ = [
    "api_key",
    "association",
    "audit_head",
    "audit_log",
    "blob",
    "blob_part",
    "bulk_expansion",
    "change",
    "change_purge",
    "column_type",
    "conflict",
    "connection",
    "consent",
    "credential",
    "custom_field",
    "dead_letter",
    "delivery",
    "delivery_attempt",
    "entity_tables",
    "erasure",
    "event",
    "event_relay",
    "field_history",
    "inbound_endpoint",
    "inbox",
    "job",
    "link",
    "mapping_version",
    "metadata",
    "migration_chunk",
    "migration_journal",
    "migration_plan",
    "migration_run",
    "outbox",
    "pending_reference",
    "posted_event",
    "posted_record",
    "push_wait",
    "push_work",
    "redirect",
    "retention",
    "route",
    "secret",
    "sign_in",
    "stage_association",
    "stage_link",
    "stage_name",
    "stage_tables",
    "stream",
    "subscription",
    "suppression",
    "suppression_key",
    "sync_intent",
    "sync_notice",
    "table_name",
    "tenant",
    "tombstone",
    "vendor_wait",
]


def table_name(entity: str) -> str:
    """The table of an entity. `user` and `order` are reserved words of SQL: their tables are quoted by SQLAlchemy."""
    return "crm_" + entity


# Author references are not enforced: an author may never have been migrated, and two more checks a row would buy nothing.
_UNENFORCED = ("created_by_id", "updated_by_id")


def _bookkeeping() -> list[Column[Any]]:
    """Columns that the hub keeps on every record. `version` counts updates: 1 = untouched since it was created."""
    return [
        Column("custom_fields", JSONB, nullable=False, server_default=text("'{}'")),
        now_column("created_at"),
        now_column("updated_at"),
        Column("version", BigInteger, nullable=False, server_default=text("1")),
    ]


def _entity_table(entity: Entity) -> Table:
    name = table_name(entity.name)
    parts: list[Any] = [tenant_column(), Column("id", UUID_TYPE, nullable=False)]
    parts += [Column(f.name, column_type(f)) for f in entity.all_fields.values()]
    parts += [*_bookkeeping(), PrimaryKeyConstraint("tenant_id", "id")]
    indexed: dict[tuple[str, ...], None] = {}
    for reference in entity.references:
        if reference.name in _UNENFORCED or reference.refers_to is None:
            continue
        parts.append(
            ForeignKeyConstraint(
                ["tenant_id", reference.name],
                [f"{table_name(reference.refers_to)}.tenant_id", f"{table_name(reference.refers_to)}.id"],
                ondelete=f"SET NULL ({reference.name})",
                use_alter=True,
            )
        )
        indexed[(reference.name,)] = None
    for key in (*entity.match_keys, *entity.indexes):
        indexed[key] = None
    parts += [
        _index(entity, key) for key in indexed if not any(other[: len(key)] == key for other in indexed if other != key)
    ]
    parts.append(Index(None, "tenant_id", "updated_at", "id"))
    return Table(name, metadata, *parts)


def _index(entity: Entity, key: tuple[str, ...]) -> Index:
    """An index over records that have the first field of the key: nobody looks for blanks, and half of a CRM is blank."""
    where = None if entity.field(key[0]).required else text(f"{key[0]} IS NOT NULL")
    return Index(None, "tenant_id", *key, postgresql_where=where)


entity_tables: dict[str, Table] = {name: _entity_table(entity) for name, entity in ENTITIES.items()}

association = Table(
    "crm_association",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("from_entity", Text, nullable=False),
    Column("from_id", UUID_TYPE, nullable=False),
    Column("to_entity", Text, nullable=False),
    Column("to_id", UUID_TYPE, nullable=False),
    Column("label", Text, nullable=False, server_default=text("''")),
    Column("is_primary", Boolean),
    Column("source_created_at", TIMESTAMP),
    Column("source_updated_at", TIMESTAMP),
    *_bookkeeping(),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "from_entity", "from_id", "to_entity", "to_id", "label"),
    Index(None, "tenant_id", "to_entity", "to_id"),
)

# ---------------------------------------------------------------- who is connected

tenant = Table(
    "tenant",
    metadata,
    tenant_column(),
    Column("name", Text, nullable=False),
    now_column("created_at"),
    Column("closed_at", TIMESTAMP),  # nobody gets in and nothing is kept in step; the data stays
    PrimaryKeyConstraint("tenant_id"),
)

connection = Table(
    "connection",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("vendor", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("remote_account", Text),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),
    Column("base_url", Text),
    Column("status", Text, nullable=False, server_default=text("'new'")),  # new, ok, paused, reauth, disconnected
    Column("status_message", Text),
    Column("verified_at", TIMESTAMP),
    Column("quota_used", BigInteger),  # of the vendor's daily quota, as its replies told at `quota_at`
    Column("quota_limit", BigInteger),
    Column("quota_at", TIMESTAMP),
    Column("healthy", Boolean, nullable=False, server_default=text("true")),  # see storage.connection_alerts
    Column("unhealthy_reasons", JSONB, nullable=False, server_default=text("'[]'")),
    Column("health_since", TIMESTAMP),  # when `healthy` last changed; NULL: never
    now_column("created_at"),
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "name"),
)

credential = (
    Table(  # envelope encryption: `ciphertext` under a data key, `wrapped_key` is that key under master key `key_id`
        "credential",
        metadata,
        tenant_column(),
        Column("connection_id", UUID_TYPE, nullable=False),
        Column("key_id", Text, nullable=False),
        Column("wrapped_key", LargeBinary, nullable=False),
        Column("ciphertext", LargeBinary, nullable=False),
        Column("generation", BigInteger, nullable=False, server_default=text("1")),
        now_column("updated_at"),
        PrimaryKeyConstraint("tenant_id", "connection_id"),
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"], ["connection.tenant_id", "connection.id"], ondelete="CASCADE"
        ),
    )
)

custom_field = Table(  # definitions of what stands in custom_fields
    "custom_field",
    metadata,
    tenant_column(),
    Column("entity", Text, nullable=False),
    Column("object_name", Text, nullable=False, server_default=text("''")),
    Column("name", Text, nullable=False),
    Column("label", Text),
    Column("kind", Text, nullable=False),
    Column("options", JSONB),
    Column("connection_id", UUID_TYPE),
    Column("vendor_object", Text),
    Column("vendor_field", Text),
    Column("run_id", UUID_TYPE),
    now_column("created_at"),
    PrimaryKeyConstraint("tenant_id", "entity", "object_name", "name"),
)

# ---------------------------------------------------------------- what is bound to what

link = Table(
    "link",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("vendor_object", Text, nullable=False),
    # Byte order, which is the order in which vendors list text ids: a full comparison walks both sides of it at once.
    Column("vendor_id", Text(collation="C"), nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    # What both sides last agreed on, as canonical fields. NULL while the hub record itself still says so (version = base_version);
    # a trigger on every entity table writes it out before the record changes.
    Column("base", JSONB),
    Column("base_version", BigInteger, nullable=False, server_default=text("1")),
    Column("vendor_version", Text),
    Column("fingerprint", LargeBinary),
    # created, matched (existing hub record), merged (into another vendor record's), adopted
    Column("origin", Text, nullable=False),
    Column("run_id", UUID_TYPE),
    # The source lists this record more than once: a later run must see all its listings to know the last.
    Column("repeated", Boolean, nullable=False, server_default=text("false")),
    Column("tombstoned_at", TIMESTAMP),
    Column(
        "revision", BigInteger, nullable=False, server_default=text("0")
    ),  # counts changes of the link by the engine
    Column("sent", JSONB),  # what a write of unknown outcome would have put there
    now_column("created_at"),
    now_column("updated_at"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "vendor_object", "vendor_id"),
    # The one index that the tenant does not lead: while the table is empty, the planner finds every index on it equally good,
    # and must not look a vendor's record up by tenant alone.
    Index("link_entity_id_idx", "entity_id", "tenant_id"),
    Index("link_run_id_idx", "tenant_id", "run_id", postgresql_where=text("run_id IS NOT NULL")),
)

pending_reference = Table(  # a reference whose other end is not linked yet; resolved as soon as it is
    "pending_reference",
    metadata,
    tenant_column(),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("waiting_object", Text, nullable=False),  # the vendor record that says it: several may share a hub record
    Column("waiting_id", Text, nullable=False),
    Column("vendor_id", Text, nullable=False),
    Column("vendor_objects", ARRAY(Text()), nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    Column("field", Text, nullable=False),
    Column("run_id", UUID_TYPE),
    now_column("created_at"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "waiting_object", "waiting_id", "field"),
    Index(None, "tenant_id", "entity_id"),
    Index(None, "tenant_id", "run_id"),
)

redirect = Table(  # a merged hub record leads to its survivor
    "redirect",
    metadata,
    tenant_column(),
    Column("entity", Text, nullable=False),
    Column("from_id", UUID_TYPE, nullable=False),
    Column("to_id", UUID_TYPE, nullable=False),
    Column("run_id", UUID_TYPE),
    now_column("created_at"),
    PrimaryKeyConstraint("tenant_id", "entity", "from_id"),
)

field_history = Table(  # a row a changed field; a field without a row still has the value its creating link brought
    "field_history",
    metadata,
    tenant_column(),
    Column("at", TIMESTAMP, nullable=False, server_default=text("now()")),
    Column("id", UUID_TYPE, nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE, nullable=False),
    Column("field", Text, nullable=False),
    Column("old", JSONB),
    Column("new", JSONB),
    Column("origin", Text, nullable=False),
    Column("connection_id", UUID_TYPE),
    Column("rule", Text),
    Column("run_id", UUID_TYPE),
    Column("version", BigInteger),
    PrimaryKeyConstraint("tenant_id", "at", "id"),
    Index(None, "tenant_id", "entity_id", "field", "at"),
    Index(None, "tenant_id", "run_id"),
    postgresql_partition_by="RANGE (at)",
)

change = Table(  # the change log; a bulk load is one row a chunk (`kind` = bulk, `detail` names run, object and chunk)
    "change",
    metadata,
    tenant_column(),
    Column("at", TIMESTAMP, nullable=False, server_default=text("now()")),
    Column("id", UUID_TYPE, nullable=False),
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID_TYPE),
    Column("kind", Text, nullable=False),  # created, updated, deleted, merged, restored, bulk
    Column("fields", ARRAY(Text())),
    Column("version", BigInteger),
    Column("connection_id", UUID_TYPE),
    Column("detail", JSONB),
    # Transaction id: a reader only trusts rows below the oldest running transaction, so that no late commit is skipped.
    Column("xid", BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text)::bigint")),
    cause_column(),
    PrimaryKeyConstraint("tenant_id", "at", "id"),
    Index(None, "tenant_id", "seq"),
    Index(None, "tenant_id", "xid", "seq"),
    postgresql_partition_by="RANGE (at)",
)

# ---------------------------------------------------------------- streams, queues

outbox = Table(
    "outbox",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("queue", Text, nullable=False),
    Column("key", Text),
    Column("payload", JSONB, nullable=False),
    now_column("created_at"),
    now_column("available_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("claimed_by", Text),
    Column("claimed_until", TIMESTAMP),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index(None, "tenant_id", "queue", "available_at"),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("connection_id", UUID_TYPE),
    Column("run_id", UUID_TYPE),
    Column("object", Text),
    Column("vendor_id", Text),
    Column("entity", Text),
    Column("entity_id", UUID_TYPE),
    Column("stage", Text, nullable=False),  # extract, map, plan, load, associate, attach, push, …
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("field", Text),
    Column("place", Text),
    Column("payload", JSONB),
    Column("mapped", JSONB),
    Column("fingerprint", Text, nullable=False),
    Column("fault", Text, nullable=False, server_default=text("'data'")),  # data, vendor, ours
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    now_column("first_at"),
    now_column("last_at"),
    Column("status", Text, nullable=False, server_default=text("'open'")),
    Column("resolved_at", TIMESTAMP),
    Column("resolution", Text),
    Column("original", JSONB),  # what the source sent, once a person mended `payload`
    Column("edited_at", TIMESTAMP),
    # One open letter for each record and cause: a repeated failure counts up instead of piling up.
    Column("key", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "key"),
    *(Index(None, "tenant_id", "status", name, "id") for name in ("code", "fault", "fingerprint", "stage")),
    Index(None, "tenant_id", "status", "id"),
    *(Index(None, "tenant_id", name) for name in ("last_at", "entity_id", "run_id")),
    Index(None, "tenant_id", "connection_id", "object", "vendor_id"),
)

# ---------------------------------------------------------------- migration

migration_run = Table(
    "migration_run",
    metadata,
    tenant_column(),
    Column("id", UUID_TYPE, nullable=False),
    Column("connection_id", UUID_TYPE, nullable=False),
    Column("kind", Text, nullable=False),  # run, dry_run
    Column("plan", JSONB, nullable=False),
    Column("plan_checksum", Text, nullable=False),
    Column("catalog", JSONB),
    Column("status", Text, nullable=False),  # running, interrupted, failed, done, undoing, undone
    Column("phase", Text),
    Column("error", JSONB),
    Column("totals", JSONB, nullable=False, server_default=text("'{}'")),
    Column("options", JSONB, nullable=False, server_default=text("'{}'")),
    Column("at", TIMESTAMP, nullable=False),
    Column("started_at", TIMESTAMP, nullable=False, server_default=text("now()")),
    Column("finished_at", TIMESTAMP),
    Column("lease_owner", Text),
    Column("lease_until", TIMESTAMP),
    Column("generation", BigInteger, nullable=False, server_default=text("0")),
    Column("certificate", JSONB),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index(None, "tenant_id", "connection_id", "started_at"),
)

migration_chunk = Table(  # one page or batch of work; its row is written in the transaction that did the work
    "migration_chunk",
    metadata,
    tenant_column(),
    Column("run_id", UUID_TYPE, nullable=False),
    Column("object", Text, nullable=False),
    Column("phase", Text, nullable=False),  # extract, plan, load, resolve, associate, attach
    Column("seq", BigInteger, nullable=False),
    Column("cursor", JSONB),
    Column("last", Boolean, nullable=False, server_default=text("false")),
    Column("first_row", BigInteger),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    now_column("at"),
    PrimaryKeyConstraint("tenant_id", "run_id", "object", "phase", "seq"),
)

migration_journal = (
    Table(  # before-images of what a run changed; what it created is told by link.run_id and link.origin
        "migration_journal",
        metadata,
        tenant_column(),
        Column("run_id", UUID_TYPE, nullable=False),
        Column("entity", Text, nullable=False),
        Column("entity_id", UUID_TYPE, nullable=False),
        Column("object", Text, nullable=False),
        Column("vendor_id", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("before", JSONB),
        Column("before_link", JSONB),
        Column("version_after", BigInteger),
        now_column("at"),
        PrimaryKeyConstraint("tenant_id", "run_id", "entity", "entity_id", "object", "vendor_id"),
    )
)

blob = Table(  # content-addressed file content, once a tenant
    "blob",
    metadata,
    tenant_column(),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    now_column("created_at"),
    PrimaryKeyConstraint("tenant_id", "sha256"),
)

blob_part = Table(
    "blob_part",
    metadata,
    tenant_column(),
    Column("sha256", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant_id", "sha256", "part"),
    ForeignKeyConstraint(["tenant_id", "sha256"], ["blob.tenant_id", "blob.sha256"], ondelete="CASCADE"),
    CheckConstraint("octet_length(content) <= 1048576", name="part_size"),
)
