"""What is not kept in step any more leaves nothing that waits for it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

from domain.ids import new_id
from storage import connections, streams
from storage.database import Database
from storage.streams import Stream
from storage.sync import records
from storage.tables import push_work


def test_a_stream_that_is_removed_leaves_no_work_behind(db: Database, tenant_id: UUID) -> None:
    portal = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, portal, vendor="hubspot", name="Portal")
        for name in ("contacts", "people"):
            streams.put(conn, Stream(portal, name, "contact", settings={}))
        records.create(conn, tenant_id, "contact", {"last_name": "Lovelace"}, "tests")
        assert conn.scalar(select(func.count()).select_from(push_work)) == 2
        assert streams.remove(conn, portal, "contacts")
        assert not streams.remove(conn, portal, "contacts")
        assert conn.scalars(select(push_work.c.object)).all() == ["people"]
