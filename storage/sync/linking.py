"""Links as the engine writes them: guarded by their revision, renewed in batches, listed in the vendor's own order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.frozen import dataclass
from storage import bulk
from storage.statements import run, texts
from storage.sync.gathering import LINKED_TO, OF_HUB
from storage.sync.lanes import LaneKey
from storage.sync.values import dumps


def lock(conn: Connection, key: LaneKey, vendor_ids: Iterable[str]) -> dict[str, tuple[int, UUID, bool]]:
    """Lock links to the end of the transaction: vendor id to (revision, hub id, is it live)."""
    wanted = sorted(set(vendor_ids))
    if not wanted:
        return {}
    rows = run(
        conn,
        """
        SELECT l.vendor_id, l.revision, l.entity_id, l.tombstoned_at IS NULL
        FROM unnest(CAST(:ids AS text[])) AS u(vendor_id) JOIN LATERAL (
            SELECT * FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o AND vendor_id = u.vendor_id
            FOR UPDATE) l ON true""",
        key.parameters | {"ids": texts(wanted)},
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def put(conn: Connection, key: LaneKey, entity: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write links: vendor_id, entity_id, base (JSON form), version, fingerprint (hex), origin, tombstone, drop_sent.

    A blank ``version`` or ``origin`` leaves what is known (of a new link: ``pushed``). Each writing raises the revision.
    """
    if not rows:
        return
    run(
        conn,
        """
        INSERT INTO link AS l (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, base, vendor_version,
                               fingerprint, origin, tombstoned_at, sent)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), r.vendor_id, CAST(:entity AS text), r.entity_id, r.base,
               nullif(r.version, ''), nullif(decode(r.fingerprint, 'hex'), ''), coalesce(nullif(r.origin, ''), k.origin, 'pushed'),
               CASE WHEN r.tombstone THEN now() END, CASE WHEN r.drop_sent THEN CAST('{}' AS jsonb) END
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(vendor_id text, entity_id uuid, base jsonb, version text,
             fingerprint text, origin text, tombstone boolean, drop_sent boolean)
        LEFT JOIN LATERAL (SELECT origin FROM link WHERE r.origin = '' AND tenant_id = :t AND connection_id = :c
                           AND vendor_object = :o AND vendor_id = r.vendor_id LIMIT 1) k ON true
        ORDER BY r.vendor_id
        ON CONFLICT (tenant_id, connection_id, vendor_object, vendor_id) DO UPDATE SET
            entity = excluded.entity, entity_id = excluded.entity_id, base = excluded.base,
            origin = excluded.origin,
            vendor_version = coalesce(excluded.vendor_version, l.vendor_version),
            fingerprint = excluded.fingerprint, tombstoned_at = excluded.tombstoned_at,
            sent = CASE WHEN excluded.sent IS NULL THEN l.sent END, revision = l.revision + 1, updated_at = now()""",
        key.parameters | {"entity": entity, "rows": dumps(rows)},
    )


def bury(conn: Connection, key: LaneKey, hub_ids: Iterable[UUID]) -> None:
    """Make tombstones of the live links that hub records have on the lane."""
    gone = set(hub_ids)
    if not gone:
        return
    conn.execute(
        text(f"""
        UPDATE link SET tombstoned_at = now(), sent = NULL, revision = revision + 1, updated_at = now()
        WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o AND vendor_id = ANY({LINKED_TO})
          AND tombstoned_at IS NULL"""),
        key.parameters | {"ids": bulk.uuids(gone)},
    )


def vendor_ids(conn: Connection, key: LaneKey, hub_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The vendor id of each hub record on the lane: of the live link, else of the last one."""
    rows = conn.execute(
        text(f"""
        SELECT u.id, l.vendor_id FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL (
            SELECT vendor_id FROM {OF_HUB.format("u.id")} k WHERE connection_id = :c AND vendor_object = :o
            ORDER BY tombstoned_at IS NOT NULL, created_at LIMIT 1) l ON true"""),
        key.parameters | {"ids": bulk.uuids(hub_ids)},
    )
    return {row.id: row.vendor_id for row in rows}


def count(conn: Connection, key: LaneKey) -> int:
    """How many live links the lane has."""
    found = conn.execute(
        text("""
        SELECT count(*) FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o AND tombstoned_at IS NULL"""),
        key.parameters,
    )
    return int(found.scalar_one())


def live(conn: Connection, key: LaneKey, hub_ids: Iterable[UUID]) -> list[tuple[UUID, str, str]]:
    """The (hub id, object, vendor id) of live links of hub records on the lane's connection."""
    wanted = set(hub_ids)
    if not wanted:
        return []
    rows = run(
        conn,
        f"""
        SELECT l.entity_id, l.vendor_object, l.vendor_id
        FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL {OF_HUB.format("u.id")} l
          ON l.connection_id = :c AND l.tombstoned_at IS NULL
        ORDER BY l.created_at, l.vendor_object, l.vendor_id""",
        {"t": key.tenant_id, "c": key.connection_id, "ids": bulk.uuids(wanted)},
    )
    return [(hub_id, object_name, vendor_id) for hub_id, object_name, vendor_id in rows]


# ---------------------------------------------------------------- in the vendor's order


_VERSION = "CASE WHEN l.fingerprint IS NULL THEN '' ELSE coalesce(l.vendor_version, '') END"
"""A version that was written and not read back yet is no ground for saying that a record is as it was."""


@dataclass(frozen=True, slots=True)
class Range:
    """The vendor ids behind ``after`` up to and with ``upto``; None: no bound. ``id_order``: numeric or ascii."""

    after: str | None = None
    upto: str | None = None
    id_order: str = "ascii"

    @property
    def order(self) -> str:
        return "length(l.vendor_id), l.vendor_id" if self.id_order == "numeric" else "l.vendor_id"

    @property
    def condition(self) -> str:
        parts = ["l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.tombstoned_at IS NULL"]
        numeric = self.id_order == "numeric"
        alike = numeric and self.after is not None and self.upto is not None and len(self.after) == len(self.upto)
        # Among numbers of one length the order of bytes is theirs, so the primary key serves. (An index by length would not:
        # row-level security keeps functions that might leak out of index conditions.) A range over several lengths walks
        # through all of the lane.
        parts += ["length(l.vendor_id) = length(CAST(:after AS text))"] if alike else []
        by_length = numeric and not alike
        for sign, name, bound in ((">", "after", self.after), ("<=", "upto", self.upto)):
            edge = f"CAST(:{name} AS text)"
            whole = f"({self.order}) {sign} (length({edge}), {edge})" if by_length else f"l.vendor_id {sign} {edge}"
            parts += [whole] if bound is not None else []
        return " AND ".join(parts)

    @property
    def bounds(self) -> dict[str, str]:
        return {n: bound for n, bound in (("after", self.after), ("upto", self.upto)) if bound is not None}


def between(conn: Connection, key: LaneKey, wanted: Range) -> list[tuple[str, str]]:
    """The live links of the range as (vendor id, version), in the order in which the vendor lists ids.

    The version is "" where the link has no fingerprint: what was written last was not read back yet.
    """
    rows: Any = run(
        conn,
        f"SELECT l.vendor_id, {_VERSION} FROM link l WHERE {wanted.condition} ORDER BY {wanted.order}",
        key.parameters | wanted.bounds,
    )
    return list(rows.fetchall())
