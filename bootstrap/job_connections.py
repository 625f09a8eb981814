"""Work on connections that takes long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bootstrap import uploads
from domain.errors import ConfigurationError
from storage import audit, connections, disconnecting, runs
from storage.database import Connection

if TYPE_CHECKING:
    from bootstrap.jobs import Work


def purge_job(work: Work) -> Mapping[str, Any]:
    """Remove what a disconnected connection left: its links or, with ``purge`` = records, also what only it had brought.

    ``params``: connection_id, purge. It goes on where it stopped. Raises RunInProgressError while a migration runs,
    ConfigurationError where somebody connected it again meanwhile.
    """
    hub, connection_id, counts = work.hub, UUID(work.params["connection_id"]), Counter(records=0, links=0)
    with runs.exclusive(hub.db, hub.tenant_id, connection_id):
        with hub.db.tenant(hub.tenant_id) as conn:
            if connections.find(conn, connection_id) is None:
                return counts  # begun again after it was done
            _require_disconnected(conn, connection_id)
            disconnecting.end_work(conn, connection_id)
        if work.params["purge"] == "records":
            _remove_records(work, connection_id, counts)
        _remove_links(work, connection_id, counts)
        with hub.db.tenant(hub.tenant_id) as conn:
            _require_disconnected(conn, connection_id)
            disconnecting.remove(conn, connection_id, "the connection was removed")
            audit.record(conn, work.actor, "connection.purged", "connection", connection_id, counts)
    uploads.remove(hub, connection_id)
    hub.forget_connection(connection_id)
    return counts


def _remove_records(work: Work, connection_id: UUID, counts: Counter[str]) -> None:
    hub, after = work.hub, None
    while True:
        with hub.db.tenant(hub.tenant_id) as conn:
            _require_disconnected(conn, connection_id)
            removed, after = disconnecting.remove_own_records(
                conn, hub.tenant_id, connection_id, work.actor.label, after
            )
        counts["records"] += removed
        if after is None:
            return
        work.report(dict(counts))


def _remove_links(work: Work, connection_id: UUID, counts: Counter[str]) -> None:
    removed = 1
    while removed:
        with work.hub.db.tenant(work.hub.tenant_id) as conn:
            _require_disconnected(conn, connection_id)
            removed = disconnecting.remove_links(conn, connection_id)
        counts["links"] += removed
        work.report(dict(counts))


def _require_disconnected(conn: Connection, connection_id: UUID) -> None:
    if connections.get(conn, connection_id, lock=True).status != "disconnected":
        raise ConfigurationError(
            "The connection was connected again, so the rest of what it brought stays.",
            remedy="Disconnect it again to remove that, too.",
            code="connected_again",
        )
