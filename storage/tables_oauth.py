"""Table of sign-ins with a browser that were begun and not answered yet."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, PrimaryKeyConstraint, Table, Text

from storage.columns import TIMESTAMP, UUID_TYPE, metadata, now_column, tenant_column

sign_in = (
    Table(  # of the state, only its SHA-256; `ciphertext` holds verifier and client secret, sealed as in credential
        "sign_in",
        metadata,
        tenant_column(),
        Column("state_hash", LargeBinary, nullable=False),
        Column("id", UUID_TYPE, nullable=False),
        Column("key_id", Text, nullable=False),
        Column("wrapped_key", LargeBinary, nullable=False),
        Column("ciphertext", LargeBinary, nullable=False),
        now_column("created_at"),
        Column("expires_at", TIMESTAMP, nullable=False),
        PrimaryKeyConstraint("tenant_id", "state_hash"),
    )
)
