"""Links as the engine writes them: guarded by their revision, renewed in batches, listed in the vendor's own order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from storage.sync.lanes import LaneKey
from storage.sync.values import dumps

_THIS = "l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o"


def lock(conn: Connection, key: LaneKey, vendor_ids: Iterable[str]) -> dict[str, tuple[int, UUID, bool]]:
    """Lock links to the end of the transaction: vendor id to (revision, hub id, is it live)."""
    rows = conn.execute(
        text("""
        SELECT l.vendor_id, l.revision, l.entity_id, l.tombstoned_at IS NULL
        FROM unnest(CAST(:ids AS text[])) AS u(vendor_id) JOIN LATERAL (
            SELECT * FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o AND vendor_id = u.vendor_id
            FOR UPDATE) l ON true"""),
        key.parameters | {"ids": sorted(set(vendor_ids))},
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def put(conn: Connection, key: LaneKey, entity: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write links: vendor_id, entity_id, base (JSON form), version, fingerprint (hex), origin, tombstone, drop_sent.

    ``version`` and ``fingerprint`` that are blank leave what is known; each writing raises the revision.
    """
    if not rows:
        return
    conn.execute(
        text("""
        INSERT INTO link AS l (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, base, vendor_version,
                               fingerprint, origin, tombstoned_at, sent)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), r.vendor_id, CAST(:entity AS text), r.entity_id, r.base,
               nullif(r.version, ''), nullif(decode(r.fingerprint, 'hex'), ''), r.origin, CASE WHEN r.tombstone THEN now() END,
               CASE WHEN r.drop_sent THEN CAST('{}' AS jsonb) END
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(vendor_id text, entity_id uuid, base jsonb, version text,
             fingerprint text, origin text, tombstone boolean, drop_sent boolean)
        ORDER BY r.vendor_id
        ON CONFLICT (tenant_id, connection_id, vendor_object, vendor_id) DO UPDATE SET
            entity = excluded.entity, entity_id = excluded.entity_id, base = excluded.base, origin = excluded.origin,
            vendor_version = coalesce(excluded.vendor_version, l.vendor_version),
            fingerprint = coalesce(excluded.fingerprint, l.fingerprint), tombstoned_at = excluded.tombstoned_at,
            sent = CASE WHEN excluded.sent IS NULL THEN l.sent END, revision = l.revision + 1, updated_at = now()"""),
        key.parameters | {"entity": entity, "rows": dumps(rows)},
    )


def live(conn: Connection, key: LaneKey, hub_ids: Iterable[UUID]) -> list[tuple[UUID, str, str]]:
    """The (hub id, object, vendor id) of live links of hub records on the lane's connection."""
    rows = conn.execute(
        text("""
        SELECT l.entity_id, l.vendor_object, l.vendor_id FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL (
            SELECT * FROM link WHERE entity_id = u.id AND tenant_id = :t AND connection_id = :c AND tombstoned_at IS NULL) l ON true
        ORDER BY l.created_at, l.vendor_object, l.vendor_id"""),
        {"t": key.tenant_id, "c": key.connection_id, "ids": sorted(set(hub_ids))},
    )
    return [(row.entity_id, row.vendor_object, row.vendor_id) for row in rows]


# ---------------------------------------------------------------- in the vendor's order


def between(
    conn: Connection, key: LaneKey, after: str | None, upto: str | None, limit: int
) -> list[tuple[str, str]]:
    """Live links as (vendor id, version) behind ``after`` up to ``upto``, in the order in which the vendor lists ids."""
    where, order, bounds = _range(conn, key, after, upto)
    rows = conn.execute(
        text(f"""
        SELECT l.vendor_id, coalesce(l.vendor_version, '') FROM link l WHERE {where} AND l.tombstoned_at IS NULL
        ORDER BY {order} LIMIT :limit"""),
        key.parameters | bounds | {"limit": limit},
    )
    return [(row[0], row[1]) for row in rows]


def digest(conn: Connection, key: LaneKey, after: str | None, upto: str | None) -> tuple[int, str]:
    """How many live links the range has, and the SHA-256 (hex) of their lines ``vendor_id US version LF`` in the vendor's order."""
    where, order, bounds = _range(conn, key, after, upto)
    row = conn.execute(
        text(f"""
        SELECT count(*), encode(sha256(convert_to(coalesce(string_agg(line, '' ORDER BY {order.replace("l.", "x.")}), ''),
                                                  'UTF8')), 'hex')
        FROM (SELECT l.vendor_id, l.vendor_id || chr(31) || coalesce(l.vendor_version, '') || chr(10) AS line
              FROM link l WHERE {where} AND l.tombstoned_at IS NULL ORDER BY {order}) x"""),
        key.parameters | bounds,
    ).one()
    return int(row[0]), str(row[1])


def _range(conn: Connection, key: LaneKey, after: str | None, upto: str | None) -> tuple[str, str, dict[str, str]]:
    """Condition, order and parameters of a range of links, by the lane's order of ids."""
    numeric = (
        conn.execute(
            text("SELECT id_order FROM stream WHERE tenant_id = :t AND connection_id = :c AND object = :o"),
            key.parameters,
        ).scalar_one_or_none()
        == "numeric"
    )
    columns = "(length(l.vendor_id), l.vendor_id)" if numeric else "l.vendor_id"
    conditions = [_THIS, "l.vendor_id ~ '^[0-9]+$'"] if numeric else [_THIS]
    for sign, name, bound in ((">", "after", after), ("<=", "upto", upto)):
        if bound is not None:
            edge = f"CAST(:{name} AS text)"
            conditions.append(f"{columns} {sign} {f'(length({edge}), {edge})' if numeric else edge}")
    bounds = {name: bound for name, bound in (("after", after), ("upto", upto)) if bound is not None}
    return " AND ".join(conditions), columns.strip("()") if numeric else columns, bounds
