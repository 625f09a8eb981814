"""What people do by the command line stands in the audit log, as what they do by the API: the same actions, done by ``command``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from domain.access import Actor

if TYPE_CHECKING:
    from cli.session import Session
    from storage.database import Connection

COMMAND_LINE = Actor("command", "command line")


def note(
    conn: Connection, action: str, target_kind: str, target_id: object, detail: Mapping[str, Any] | None = None
) -> None:
    """Note what is done in the caller's transaction."""
    from storage import audit

    audit.record(conn, COMMAND_LINE, action, target_kind, target_id, detail)


def note_alone(
    session: Session, action: str, target_kind: str, target_id: object, detail: Mapping[str, Any] | None = None
) -> None:
    """Note in a transaction of its own what commits step by step itself: before it begins, so that a bad end is told of, too."""
    with session.hub.db.tenant(session.tenant_id) as conn:
        note(conn, action, target_kind, target_id, detail)
