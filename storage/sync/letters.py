"""Dead letters of pulls that a later success got over: closed in the transaction of the success."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from storage.statements import run, texts
from storage.sync.lanes import LaneKey


def close_pulled(conn: Connection, key: LaneKey, over: Mapping[str, bool]) -> None:
    """Close the open letters of vendor records that an earlier pull left. ``over``: vendor id to whether a later change did it."""
    if over:
        run(
            conn,
            """
            UPDATE dead_letter SET status = 'resolved', resolved_at = now(), resolution = CASE
                WHEN vendor_id = ANY(CAST(:later AS text[])) THEN 'superseded by a later change' ELSE 'applied' END
            WHERE tenant_id = :t AND connection_id = :c AND object = :o AND vendor_id = ANY(CAST(:ids AS text[]))
              AND status = 'open' AND stage IN ('map', 'pull')""",
            key.parameters | {"ids": texts(over), "later": texts(v for v, later in over.items() if later)},
        )
