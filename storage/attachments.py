"""Attachments and their content."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Missing:
    """An attachment whose content was not stored yet. ``size_bytes`` as the vendor told it."""

    id: UUID
    vendor_id: str
    size_bytes: int | None


def without_content(
    connection: Connection, tenant_id: UUID, connection_id: UUID, object_name: str, after: str, limit: int
) -> list[Missing]:
    """Attachments of one vendor object, behind vendor id ``after``, that have no stored content."""
    rows = connection.execute(
        text("""
        SELECT a.id, l.vendor_id, a.size_bytes
        FROM link l JOIN crm_attachment a ON a.tenant_id = l.tenant_id AND a.id = l.entity_id
        WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.entity = 'attachment'
          AND l.vendor_id > :after AND l.origin <> 'merged'
          AND NOT EXISTS (SELECT FROM blob b WHERE b.tenant_id = a.tenant_id AND b.sha256 = a.sha256)
        ORDER BY l.vendor_id LIMIT :n"""),
        {"t": tenant_id, "c": connection_id, "o": object_name, "after": after, "n": limit},
    )
    return [Missing(*row) for row in rows]


def set_content(connection: Connection, tenant_id: UUID, attachment_id: UUID, sha256: str, size_bytes: int) -> None:
    """Bind an attachment to its stored content, as part of its creation (no new version)."""
    connection.execute(text("SELECT set_config('app.loading', 'on', true)"))
    connection.execute(
        text("UPDATE crm_attachment SET sha256 = :h, size_bytes = :n WHERE tenant_id = :t AND id = :id"),
        {"h": sha256, "n": size_bytes, "t": tenant_id, "id": attachment_id},
    )
