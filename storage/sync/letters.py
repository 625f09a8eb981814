"""Dead letters of pulls that a later success got over: closed in the transaction of the success."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from storage.statements import run, texts
from storage.sync.lanes import LaneKey


def close_pulled(conn: Connection, key: LaneKey, outcomes: Mapping[str, str]) -> None:
    """Close the open letters of vendor records (vendor id to resolution) that an earlier pull left."""
    if outcomes:
        run(
            conn,
            """
            UPDATE dead_letter d SET status = 'resolved', resolved_at = now(), resolution = u.resolution
            FROM unnest(CAST(:ids AS text[]), CAST(:resolutions AS text[])) AS u(vendor_id, resolution)
            WHERE d.tenant_id = :t AND d.connection_id = :c AND d.object = :o AND d.vendor_id = ANY(CAST(:ids AS text[]))
              AND d.vendor_id = u.vendor_id AND d.status = 'open' AND d.stage IN ('map', 'pull')""",
            key.parameters | {"ids": texts(outcomes), "resolutions": texts(outcomes.values())},
        )
