"""Lists of associated records as fields of a record (see `domain.entities.Several`): the rows of `crm_association` behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES, PLAIN, Several
from domain.labels import split as split_label
from storage import bulk
from storage.sync.gathering import hub_table, several_of
from storage.sync.values import dumps

LABEL = "associated"
"""The label of an association that says no more than that two records belong together, as HubSpot's plain one is called here."""


def names(entity: str) -> frozenset[str]:
    """The fields of an entity that are lists of associated records, or of their labels."""
    return frozenset(n for s in ENTITIES[entity].several for n in (s.name, s.labels) if n)


def split(entity: str, fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The columns of a record, and its lists."""
    lists = names(entity)
    return {n: v for n, v in fields.items() if n not in lists}, {
        n: list(v or ()) for n, v in fields.items() if n in lists
    }


def held(conn: Connection, tenant_id: UUID, entity: str, one: Several, ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """What each record's list says now."""
    main = bulk.quoted(one.main)
    rows = conn.execute(
        text(f"""
        SELECT a.from_id, a.to_id FROM crm_association a
        WHERE a.tenant_id = :t AND a.from_entity = :entity AND a.from_id = ANY(CAST(:ids AS uuid[])) AND a.to_entity = :other
        UNION SELECT h.id, h.{main} FROM {hub_table(entity)} h
        WHERE h.tenant_id = :t AND h.id = ANY(CAST(:ids AS uuid[])) AND h.{main} IS NOT NULL ORDER BY 1, 2"""),
        {"t": tenant_id, "entity": entity, "ids": list(ids), "other": one.refers_to},
    )
    found: dict[UUID, list[UUID]] = {i: [] for i in ids}
    for record, other in rows:
        found[record].append(other)
    return found


def labels(conn: Connection, tenant_id: UUID, entity: str, one: Several, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """As what each record's list says now: ``<id> <label>``."""
    rows = conn.execute(
        text("""
        SELECT a.from_id, a.to_id || ' ' || a.label FROM crm_association a
        WHERE a.tenant_id = :t AND a.from_entity = :entity AND a.from_id = ANY(CAST(:ids AS uuid[])) AND a.to_entity = :other
          AND a.label <> ALL(CAST(:plain AS text[]))"""),
        {"t": tenant_id, "entity": entity, "ids": list(ids), "other": one.refers_to, "plain": list(PLAIN)},
    )
    found: dict[UUID, list[str]] = {i: [] for i in ids}
    for record, said in rows:
        found[record].append(said)
    return {i: sorted(said) for i, said in found.items()}


def grouped(said: Iterable[str]) -> dict[str, list[str]]:
    """Labels as people are shown them: by associated record."""
    result: dict[str, list[str]] = {}
    for pair in said:
        record, label = split_label(pair)
        result.setdefault(record, []).append(label)
    return result


def relabel(
    conn: Connection,
    tenant_id: UUID,
    entity: str,
    one: Several,
    added: Sequence[tuple[UUID, str]],
    gone: Sequence[tuple[UUID, str]],
) -> None:
    """Give labels to pairs that are associated, and take them off others, which stay associated plainly."""
    for pairs, statement in ((added, _LABEL), (gone, _UNLABEL)):
        told = [(i, *split_label(pair)) for i, pair in pairs]
        rows = [{"record": i, "other": other, "label": label} for i, other, label in told]
        if rows:
            conn.execute(
                text(statement.format(main=bulk.quoted(one.main), table=hub_table(entity), bulk_id=bulk.NEW_ID)),
                {"t": tenant_id, "entity": entity, "to": one.refers_to, "plain": LABEL, "pairs": dumps(rows)},
            )


_INSERT = """
    INSERT INTO crm_association (tenant_id, id, from_entity, from_id, to_entity, to_id, label)
    SELECT CAST(:t AS uuid), {bulk_id}, :entity, p.record, :to, p.other, """
_PAIRS = "FROM jsonb_to_recordset(CAST(:pairs AS jsonb)) AS p(record uuid, other uuid, label text)"
_LABEL = f"""{_INSERT} p.label {_PAIRS}
    WHERE EXISTS (SELECT FROM crm_association a WHERE a.tenant_id = :t AND a.from_entity = :entity AND a.from_id = p.record
                  AND a.to_entity = :to AND a.to_id = p.other)
       OR EXISTS (SELECT FROM {{table}} h WHERE h.tenant_id = :t AND h.id = p.record AND h.{{main}} = p.other)
    ON CONFLICT DO NOTHING"""
_UNLABEL = f"""
    WITH gone AS (
        DELETE FROM crm_association a USING jsonb_to_recordset(CAST(:pairs AS jsonb)) AS p(record uuid, other uuid, label text)
        WHERE a.tenant_id = :t AND a.from_entity = :entity AND a.from_id = p.record AND a.to_entity = :to AND a.to_id = p.other
          AND a.label = p.label RETURNING a.id, a.from_id AS record, a.to_id AS other),
    loose AS (DELETE FROM link l USING gone WHERE l.entity_id = gone.id AND l.tenant_id = :t AND l.entity = 'association')
    {_INSERT} CAST(:plain AS text) FROM (SELECT DISTINCT record, other FROM gone) p
    ON CONFLICT DO NOTHING"""


def mains(conn: Connection, tenant_id: UUID, entity: str, one: Several, ids: Sequence[UUID]) -> dict[UUID, UUID | None]:
    """The main record of each list now."""
    columns = f"id, {bulk.quoted(one.main)} AS main"
    rows = conn.execute(
        text(f"SELECT {columns} FROM {hub_table(entity)} WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[]))"),
        {"t": tenant_id, "ids": list(ids)},
    )
    return {row.id: row.main for row in rows}


def add(conn: Connection, tenant_id: UUID, entity: str, one: Several, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    """Associate records with others that stand, unless they are associated already, by whichever label."""
    if not pairs:
        return
    conn.execute(
        text(f"""
        INSERT INTO crm_association (tenant_id, id, from_entity, from_id, to_entity, to_id, label)
        SELECT CAST(:t AS uuid), {bulk.NEW_ID}, :entity, p.record, :other, p.other, :label
        FROM jsonb_to_recordset(CAST(:pairs AS jsonb)) AS p(record uuid, other uuid)
        WHERE EXISTS (SELECT FROM {hub_table(one.refers_to)} o WHERE o.tenant_id = :t AND o.id = p.other)
          AND NOT EXISTS (SELECT FROM crm_association a WHERE a.tenant_id = :t AND a.from_entity = :entity AND a.from_id = p.record
                          AND a.to_entity = :other AND a.to_id = p.other)
        ON CONFLICT DO NOTHING"""),
        {"t": tenant_id, "entity": entity, "other": one.refers_to, "label": LABEL}
        | {"pairs": dumps([{"record": record, "other": other} for record, other in pairs])},
    )


def remove(conn: Connection, tenant_id: UUID, entity: str, one: Several, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    """Part records from others: every association from the one to the other goes, with its links."""
    if not pairs:
        return
    conn.execute(
        text("""
        WITH gone AS (
            DELETE FROM crm_association a USING jsonb_to_recordset(CAST(:pairs AS jsonb)) AS p(record uuid, other uuid)
            WHERE a.tenant_id = :t AND a.from_entity = :entity AND a.from_id = p.record AND a.to_entity = :other
              AND a.to_id = p.other RETURNING a.id)
        DELETE FROM link l USING gone WHERE l.entity_id = gone.id AND l.tenant_id = :t AND l.entity = 'association'"""),
        {"t": tenant_id, "entity": entity, "other": one.refers_to}
        | {"pairs": dumps([{"record": record, "other": other} for record, other in pairs])},
    )


def touch(conn: Connection, tenant_id: UUID, entity: str, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Count a version of records of which lists changed; returns it."""
    table = hub_table(entity)
    rows = conn.execute(
        text(f"UPDATE {table} h SET updated_at = clock_timestamp() WHERE h.tenant_id = :t AND h.id = ANY(CAST(:ids AS uuid[])) "
             "RETURNING h.id, h.version"),
        {"t": tenant_id, "ids": list(ids)},
    )  # fmt: skip
    return {row.id: row.version for row in rows}


def keep_bases(conn: Connection, tenant_id: UUID, entity: str, ids: Sequence[UUID]) -> None:
    """Before records change: write out bases that say what the record says, with its lists, which its table knows nothing of."""
    conn.execute(
        text(f"""
        UPDATE link l SET base = (to_jsonb(h) - CAST('{{tenant_id,id,created_at,updated_at,version}}' AS text[]))
                                 {several_of(entity)}
        FROM unnest(CAST(:ids AS uuid[])) AS u(id)
        JOIN LATERAL (SELECT * FROM {hub_table(entity)} WHERE tenant_id = :t AND id = u.id LIMIT 1) h ON true
        WHERE l.entity_id = h.id AND l.tenant_id = :t AND l.entity = :entity AND l.base IS NULL"""),
        {"t": tenant_id, "entity": entity, "ids": list(ids)},
    )
