"""What the hub knows about a batch of vendor records: links, hub records or their tombstones, candidates, references.

Look-ups are ``LATERAL … LIMIT``, which leaves the planner nothing but the keys, whatever it believes about the tables. Statements
that change rows name them by ``key = ANY(…)`` for the same reason: of a table without statistics PostgreSQL assumes that a lane
has one row, and would rather walk through all of the lane for each batch than look its records up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES, PLAIN, Kind
from domain.frozen import dataclass
from storage import bulk
from storage.planning import key_terms
from storage.statements import run, texts
from storage.sync.lanes import LaneKey
from storage.sync.values import CUSTOM, decode, dumps, loads
from storage.tables import column_type, table_name

_CANDIDATES_AT_MOST = 50


@dataclass(frozen=True, slots=True)
class StoredLink:
    """A link; ``base`` and ``sent`` in JSON form. ``base`` None: what the hub record itself says."""

    vendor_id: str
    entity_id: UUID
    base: Mapping[str, Any] | None
    sent: Mapping[str, Any] | None
    version: str
    fingerprint: bytes
    origin: str
    revision: int
    tombstoned: bool


@dataclass(frozen=True, slots=True)
class StoredHub:
    """A hub record or what is left of it; ``values`` flat and typed, without blanks."""

    id: UUID
    version: int
    values: Mapping[str, Any]
    deleted: bool
    deleted_by: UUID | None


LINK_COLUMNS = """vendor_id, entity_id, CAST(base AS text) AS base, CAST(sent AS text) AS sent,
    coalesce(vendor_version, '') AS version, coalesce(fingerprint, '') AS fingerprint,
    origin, revision, tombstoned_at IS NOT NULL AS tombstoned"""


OF_HUB = "(SELECT * FROM link WHERE entity_id = {} AND tenant_id = :t OFFSET 0)"
"""The links of one hub record. OFFSET keeps other conditions out: by connection and object, too, the planner might rather walk
through all links of a lane than look a hub record up."""

LINKED_TO = f"""ARRAY(
    SELECT k.vendor_id FROM unnest(CAST(:ids AS uuid[])) AS u(id)
    JOIN LATERAL {OF_HUB.format("u.id")} k ON k.connection_id = :c AND k.vendor_object = :o)"""
"""The vendor ids of the lane's links to the hub records ``:ids``."""

OBJECTS = """vendor_object = ANY(CASE WHEN {0} = '*' THEN ARRAY(
    SELECT object FROM stream WHERE tenant_id = :t AND connection_id = :c) ELSE ARRAY[{0}] END)"""
"""A vendor object by name; ``*`` means every object that the connection keeps in step."""


def hub_table(entity: str) -> str:
    """The entity's table as an SQL identifier."""
    return bulk.quoted(table_name(entity))


def stored_link(row: Sequence[Any]) -> StoredLink:
    """A link from the columns of `LINK_COLUMNS`."""
    vendor_id, entity_id, base, sent, version, fingerprint, origin, revision, tombstoned = row
    return StoredLink(
        vendor_id, entity_id, loads(base), loads(sent), version, bytes(fingerprint), origin, revision, tombstoned
    )


def links(conn: Connection, key: LaneKey, vendor_ids: Iterable[str]) -> list[StoredLink]:
    """The links of vendor records, tombstones included."""
    wanted = sorted(set(vendor_ids))
    if not wanted:
        return []
    rows = run(
        conn,
        f"""
        SELECT l.* FROM unnest(CAST(:ids AS text[])) AS u(vendor_id) JOIN LATERAL (
            SELECT {LINK_COLUMNS} FROM link
            WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o AND vendor_id = u.vendor_id LIMIT 1) l ON true""",
        key.parameters | {"ids": texts(wanted)},
    )
    return [stored_link(row) for row in rows]


_PLAIN = ", ".join(f"'{label}'" for label in PLAIN)


def several_of(entity: str) -> str:
    """SQL that adds the lists of associated records to the JSON of a record ``h``; nothing for most entities."""
    parts = [
        f"""'{s.name}', (SELECT jsonb_agg(x.id ORDER BY x.id) FROM (
            SELECT a.to_id AS id FROM crm_association a WHERE a.tenant_id = :t AND a.from_entity = '{entity}' AND a.from_id = h.id
              AND a.to_entity = '{s.refers_to}'
            UNION SELECT h.{bulk.quoted(s.main)} WHERE h.{bulk.quoted(s.main)} IS NOT NULL) x)"""
        for s in ENTITIES[entity].several
    ]
    parts += [
        f"""'{s.labels}', (SELECT jsonb_agg(x.said ORDER BY x.said COLLATE "C") FROM (
            SELECT a.to_id || ' ' || a.label AS said FROM crm_association a WHERE a.tenant_id = :t AND a.from_entity = '{entity}'
              AND a.from_id = h.id AND a.to_entity = '{s.refers_to}' AND a.label NOT IN ({_PLAIN})) x)"""
        for s in ENTITIES[entity].several
        if s.labels
    ]
    return f" || jsonb_build_object({', '.join(parts)})" if parts else ""


def hubs(conn: Connection, tenant_id: UUID, entity: str, ids: Iterable[UUID]) -> dict[UUID, StoredHub]:
    """Hub records by id, with the lists of what is associated with them, and tombstones of those that are gone."""
    found = _standing(conn, tenant_id, entity, wanted := set(ids))
    if missing := wanted - found.keys():
        found |= _buried(conn, tenant_id, entity, missing)
    if missing := wanted - found.keys():  # restored between the two looks?
        found |= _standing(conn, tenant_id, entity, missing)
    return found


def _buried(conn: Connection, tenant_id: UUID, entity: str, ids: Set[UUID]) -> dict[UUID, StoredHub]:
    rows = run(
        conn,
        """
        SELECT x.entity_id, x.version, CAST(x.snapshot AS text), x.deleted_by
        FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL (
            SELECT * FROM tombstone WHERE tenant_id = :t AND entity = :entity AND entity_id = u.id LIMIT 1) x ON true""",
        {"t": tenant_id, "entity": entity, "ids": bulk.uuids(ids)},
    )
    return {
        hub_id: StoredHub(hub_id, version, decode(entity, loads(snapshot)), True, deleted_by)
        for hub_id, version, snapshot, deleted_by in rows
    }


def _standing(conn: Connection, tenant_id: UUID, entity: str, ids: Set[UUID]) -> dict[UUID, StoredHub]:
    """Records by columns: no JSON is made of them and read again."""
    if not ids:
        return {}
    columns, lists = _columns(entity), ENTITIES[entity].several
    labels = [one.labels for one in lists if one.labels]
    rows = run(conn, _record_query(entity), {"t": tenant_id, "ids": bulk.uuids(ids)})
    moments = [name for name, kind in columns.items() if kind is Kind.TIMESTAMP]
    result: dict[UUID, StoredHub] = {}
    for hub_id, version, custom, *rest in rows:
        values = {name: value for name, value in zip(columns, rest, strict=False) if value is not None}
        for name in moments:
            if name in values and values[name].tzinfo is not UTC:
                values[name] = values[name].astimezone(UTC)
        if custom is not None:
            values.update((CUSTOM + name, value) for name, value in custom.items())
        for one, others in zip(lists, rest[len(columns) :], strict=False):
            main = values.get(one.main)
            if others or main is not None:
                values[one.name] = sorted({*others, main} - {None})
        for name, said in zip(labels, rest[len(columns) + len(lists) :], strict=True):
            if said:
                values[name] = sorted(said)
        result[hub_id] = StoredHub(hub_id, version, values, False, None)
    return result


@cache
def _columns(entity: str) -> dict[str, Kind]:
    return {name: field.kind for name, field in ENTITIES[entity].all_fields.items()}


@cache
def _record_query(entity: str) -> str:
    lists = [
        f"""ARRAY(SELECT a.to_id FROM crm_association a WHERE a.tenant_id = :t AND a.from_entity = '{entity}'
            AND a.from_id = h.id AND a.to_entity = '{s.refers_to}')"""
        for s in ENTITIES[entity].several
    ]
    labels = [
        f"""ARRAY(SELECT a.to_id || ' ' || a.label FROM crm_association a WHERE a.tenant_id = :t AND a.from_entity = '{entity}'
            AND a.from_id = h.id AND a.to_entity = '{s.refers_to}' AND a.label NOT IN ({_PLAIN}))"""
        for s in ENTITIES[entity].several
        if s.labels
    ]
    columns = [f"h.{bulk.quoted(n)}" for n in _columns(entity)]
    wanted = ", ".join(["h.id, h.version, nullif(h.custom_fields, '{}')", *columns, *lists, *labels])
    return f"""
        SELECT {wanted} FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL (
            SELECT * FROM {hub_table(entity)} WHERE tenant_id = :t AND id = u.id LIMIT 1) h ON true"""


def lock_hubs(conn: Connection, tenant_id: UUID, entity: str, ids: Iterable[UUID]) -> dict[UUID, tuple[int, bool]]:
    """Lock hub records to the end of the transaction: id to (version, is it live); a tombstone tells the version it went with."""
    wanted = set(ids)
    if not wanted:
        return {}
    parameters = {"t": tenant_id, "ids": bulk.uuids(wanted)}
    graves = run(
        conn,
        """
        SELECT entity_id, version FROM tombstone WHERE tenant_id = :t AND entity = :entity AND entity_id = ANY(CAST(:ids AS uuid[]))
        ORDER BY entity_id FOR UPDATE""",
        parameters | {"entity": entity},
    )
    found = {hub_id: (version, False) for hub_id, version in graves}
    records = run(
        conn,
        f"""
        SELECT id, version FROM {hub_table(entity)} WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[]))
        ORDER BY id FOR NO KEY UPDATE""",
        parameters,
    )
    return found | {hub_id: (version, True) for hub_id, version in records}


def redirects(conn: Connection, tenant_id: UUID, entity: str, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Where merged hub records lead, step by step to the survivor."""
    wanted = set(ids)
    if not wanted:
        return {}
    rows = run(
        conn,
        """
        WITH RECURSIVE step AS (
            SELECT from_id, to_id FROM redirect WHERE tenant_id = :t AND entity = :entity AND from_id = ANY(CAST(:ids AS uuid[]))
            UNION
            SELECT r.from_id, r.to_id FROM step JOIN redirect r
              ON r.tenant_id = :t AND r.entity = :entity AND r.from_id = step.to_id)
        SELECT from_id, to_id FROM step""",
        {"t": tenant_id, "entity": entity, "ids": bulk.uuids(wanted)},
    )
    return dict(rows.fetchall())


def references(
    conn: Connection, key: LaneKey, wanted: Sequence[tuple[tuple[str, ...], str]]
) -> dict[tuple[tuple[str, ...], str], UUID]:
    """The hub ids that vendor references lead to; of several objects, the first named. A deleted record is not found."""
    if not wanted:
        return {}
    rows = conn.execute(
        text(f"""
        SELECT u.place, l.entity_id
        FROM jsonb_to_recordset(CAST(:refs AS jsonb)) AS u(place integer, objects jsonb, id text) JOIN LATERAL (
            SELECT x.entity_id FROM jsonb_array_elements_text(u.objects) WITH ORDINALITY AS o(name, rank) JOIN LATERAL (
                SELECT entity, entity_id FROM link
                WHERE tenant_id = :t AND connection_id = :c AND vendor_id = u.id AND tombstoned_at IS NULL
                  AND entity <> 'association' AND {OBJECTS.format("o.name")}) x ON true
            WHERE NOT EXISTS (SELECT FROM tombstone d WHERE d.tenant_id = :t AND d.entity = x.entity AND d.entity_id = x.entity_id)
            ORDER BY o.rank LIMIT 1) l ON true"""),
        {"t": key.tenant_id, "c": key.connection_id}
        | {"refs": dumps([{"place": n, "objects": objects, "id": ref} for n, (objects, ref) in enumerate(wanted)])},
    )
    return {wanted[row.place]: row.entity_id for row in rows}


def candidates(
    conn: Connection, key: LaneKey, entity: str, matches: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, tuple[UUID, ...]]:
    """Hub records that agree with an unlinked vendor record on a match key, and that the lane has no live link to."""
    found: dict[str, dict[UUID, None]] = {}
    by_key: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for vendor_id, keys in matches.items():
        for values in keys:
            by_key.setdefault(tuple(values), []).append({"vendor_id": vendor_id, **values})
    for rule, rows in by_key.items():
        for vendor_id, hub_id in run(conn, *_matching(key, entity, rule, rows)):
            found.setdefault(vendor_id, {})[hub_id] = None
    return {vendor_id: tuple(ids) for vendor_id, ids in found.items()}


def _matching(key: LaneKey, entity: str, rule: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> tuple[str, Any]:
    """The statement that finds hub records by one match key, and its parameters."""
    typed = "".join(
        f", {bulk.quoted(n)} {column_type(ENTITIES[entity].field(n)).compile(dialect=bulk.DIALECT)}" for n in rule
    )
    ours, theirs = key_terms(entity, rule, "h."), key_terms(entity, rule, "m.")
    agree = " AND ".join(f"{a} = {b}" for a, b in zip(ours, theirs, strict=True))
    present = " AND ".join(f"h.{bulk.quoted(n)} IS NOT NULL" for n in rule)
    statement = f"""
        SELECT m.vendor_id, x.id FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS m(vendor_id text {typed}) JOIN LATERAL (
            SELECT h.id FROM {hub_table(entity)} h WHERE h.tenant_id = :t AND {agree} AND {present}
              AND NOT EXISTS (SELECT FROM {OF_HUB.format("h.id")} l
                              WHERE l.connection_id = :c AND l.vendor_object = :o AND l.tombstoned_at IS NULL)
            LIMIT {_CANDIDATES_AT_MOST}) x ON true ORDER BY 1, 2"""
    return statement, key.parameters | {"rows": dumps(rows)}


def intents(conn: Connection, key: LaneKey) -> list[tuple[UUID, Any, datetime, int]]:
    """Creates of the lane whose outcome is not recorded: (hub id, JSON form of what was sent, at, generation)."""
    rows = run(
        conn,
        """
        SELECT entity_id, CAST(sent AS text), at, generation FROM sync_intent
        WHERE tenant_id = :t AND connection_id = :c AND object = :o ORDER BY entity_id""",
        key.parameters,
    )
    return [(row[0], loads(row[1]), row[2], row[3]) for row in rows]


def times(conn: Connection, tenant_id: UUID, ids: Iterable[UUID]) -> dict[UUID, dict[str, datetime]]:
    """When fields of hub records were last set, as far as history tells."""
    wanted = set(ids)
    if not wanted:
        return {}
    rows = run(
        conn,
        """
        SELECT u.id, f.field, f.at FROM unnest(CAST(:ids AS uuid[])) AS u(id) JOIN LATERAL (
            SELECT field, max(at) AS at FROM field_history WHERE tenant_id = :t AND entity_id = u.id GROUP BY field) f ON true""",
        {"t": tenant_id, "ids": bulk.uuids(wanted)},
    )
    result: dict[UUID, dict[str, datetime]] = {}
    for hub_id, field, at in rows:
        result.setdefault(hub_id, {})[field] = at
    return result
