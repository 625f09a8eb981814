"""Hub records that go, come back, or are merged into others: tombstones, and what refers to the record.

References of other records are cleared here, not by foreign keys alone: each is a change of its own, with history and work
for the lanes that push it. A tombstone keeps them, so that a restored record gets its children back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES
from storage import bulk
from storage.sync import changing, queueing, several
from storage.sync.changing import Cause, Edit, Touched
from storage.sync.gathering import OF_HUB, hub_table
from storage.sync.values import decode, dumps, encode, loads
from storage.undoing import referring

Everyone = list[tuple[str, Touched]]
"""Records that changed, of whichever entity."""

_BOOKKEEPING = "'{tenant_id,id,created_at,updated_at,version}'"


def delete(conn: Connection, cause: Cause, entity: str, ids: Iterable[UUID], reason: str = "deleted") -> Everyone:
    """Delete records that stand, leaving tombstones; returns them and the records that referred to them."""
    gone = sorted(set(ids))
    if not gone:
        return []
    children = _children(conn, cause, entity, gone)
    _keep_bases(conn, cause, entity, gone)
    _bury(conn, cause, entity, gone, children, reason)
    changed = _repoint(conn, cause, children, {}, "reference_deleted")
    conn.execute(
        text("""
        DELETE FROM crm_association
        WHERE tenant_id = :t AND (from_id = ANY(CAST(:ids AS uuid[])) OR to_id = ANY(CAST(:ids AS uuid[])))"""),
        {"t": cause.tenant_id, "ids": gone},
    )  # fmt: skip
    _remove(conn, cause, entity, gone, reason)
    return [*changed, *((entity, Touched(i)) for i in gone)]


def _children(conn: Connection, cause: Cause, entity: str, ids: Sequence[UUID]) -> list[tuple[str, str, UUID, UUID]]:
    """What refers to the records: (entity, field, id, id referred to)."""
    parts = [
        f"SELECT '{child}', '{name}', id, {bulk.quoted(name)} FROM {hub_table(child)} "
        f"WHERE tenant_id = :t AND {bulk.quoted(name)} = ANY(CAST(:ids AS uuid[]))"
        for child, name in referring(entity)
    ]
    if not parts:
        return []
    rows = conn.execute(text(" UNION ALL ".join(parts)), {"t": cause.tenant_id, "ids": list(ids)})
    dying = set(ids)
    return [(c, f, i, to) for c, f, i, to in rows if not (c == entity and i in dying)]


def _repoint(
    conn: Connection, cause: Cause, children: Sequence[tuple[str, str, UUID, UUID]], to: Mapping[UUID, UUID], rule: str
) -> Everyone:
    """Lead references elsewhere (``to``), or nowhere."""
    fields: dict[str, dict[UUID, dict[str, UUID | None]]] = defaultdict(lambda: defaultdict(dict))
    for child, name, child_id, parent in children:
        fields[child][child_id][name] = to.get(parent)
    changed: Everyone = []
    for child, records in fields.items():
        edits = [Edit(i, values, dict.fromkeys(values, rule)) for i, values in records.items()]
        changed += [(child, t) for t in changing.update(conn, cause, child, edits)]
    return changed


def _keep_bases(conn: Connection, cause: Cause, entity: str, ids: Sequence[UUID]) -> None:
    """Write out the bases that the records themselves still say: soon they say nothing."""
    conn.execute(
        text(f"""
        UPDATE link l SET base = to_jsonb(h) - CAST({_BOOKKEEPING} AS text[]) FROM {hub_table(entity)} h
        WHERE h.tenant_id = :t AND h.id = ANY(CAST(:ids AS uuid[])) AND l.tenant_id = :t AND l.entity_id = h.id
          AND l.entity = :entity AND l.base IS NULL"""),
        {"t": cause.tenant_id, "entity": entity, "ids": list(ids)},
    )


def _bury(
    conn: Connection,
    cause: Cause,
    entity: str,
    ids: Sequence[UUID],
    children: Sequence[tuple[str, str, UUID, UUID]],
    reason: str,
) -> None:
    referred: dict[UUID, list[list[Any]]] = defaultdict(list)
    for child, name, child_id, parent in children:
        referred[parent].append([child, name, child_id])
    conn.execute(
        text(f"""
        INSERT INTO tombstone (tenant_id, entity, entity_id, snapshot, version, deleted_by, reason)
        SELECT CAST(:t AS uuid), :entity, h.id, to_jsonb(h) || jsonb_build_object(
                   '_children', coalesce(CAST(:children AS jsonb)->CAST(h.id AS text), '[]'),
                   '_associations', (SELECT coalesce(jsonb_agg(to_jsonb(a)), '[]') FROM crm_association a
                                     WHERE a.tenant_id = :t AND (a.from_id = h.id OR a.to_id = h.id))),
               h.version, CAST(:c AS uuid), :reason
        FROM {hub_table(entity)} h WHERE h.tenant_id = :t AND h.id = ANY(CAST(:ids AS uuid[]))
        ON CONFLICT (tenant_id, entity, entity_id) DO UPDATE SET snapshot = excluded.snapshot, version = excluded.version,
            deleted_at = now(), deleted_by = excluded.deleted_by, reason = excluded.reason"""),
        {"t": cause.tenant_id, "c": cause.traces["c"], "entity": entity, "ids": list(ids), "reason": reason}
        | {"children": dumps({str(k): v for k, v in referred.items()})},
    )


def _remove(conn: Connection, cause: Cause, entity: str, ids: Sequence[UUID], kind: str) -> None:
    conn.execute(
        text(f"""
        WITH gone AS (DELETE FROM {hub_table(entity)} WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[])) RETURNING id, version)
        INSERT INTO change (tenant_id, id, entity, entity_id, kind, version, connection_id, detail)
        SELECT CAST(:t AS uuid), gen_random_uuid(), :entity, id, :kind, version, CAST(:c AS uuid), CAST(:detail AS jsonb)
        FROM gone"""),
        cause.traces | {"entity": entity, "ids": list(ids), "kind": kind},
    )


# ---------------------------------------------------------------- coming back


def restore(conn: Connection, cause: Cause, entity: str, edits: Sequence[Edit]) -> Everyone:
    """Bring deleted records back with the fields given, under their old ids and a higher version.

    Children that still refer to nothing, and associations whose other end stands, come back with them.
    """
    if not edits:
        return []
    rows = conn.execute(
        text("""
        DELETE FROM tombstone WHERE tenant_id = :t AND entity = :entity AND entity_id = ANY(CAST(:ids AS uuid[]))
        RETURNING entity_id, CAST(snapshot AS text), version"""),
        {"t": cause.tenant_id, "entity": entity, "ids": [e.id for e in edits]},
    )
    graves = {row[0]: (loads(row[1]), row[2]) for row in rows}
    wanted = [e for e in edits if e.id in graves]
    fields = _standing_references(conn, cause, entity, wanted)
    conn.execute(
        text("DELETE FROM redirect WHERE tenant_id = :t AND entity = :entity AND from_id = ANY(CAST(:ids AS uuid[]))"),
        {"t": cause.tenant_id, "entity": entity, "ids": [e.id for e in wanted]},
    )
    forms = [
        {**encode(fields[e.id]), "id": e.id, "version": version + 1, "created_at": snapshot["created_at"]}
        for e in wanted
        for snapshot, version in [graves[e.id]]
    ]
    back = changing.bring_back(conn, cause, entity, forms)
    _note_differences(conn, cause, entity, [(e, *graves[e.id], fields[e.id]) for e in wanted if e.id in back])
    _restore_associations(conn, cause, [a for i in back for a in graves[i][0].get("_associations", ())])
    changing.associate(conn, cause, entity, [e for e in wanted if e.id in back])
    changed = _restore_children(conn, cause, {i: graves[i][0].get("_children", ()) for i in back})
    queueing.settle(conn, cause.tenant_id, back)
    return [*changed, *((entity, Touched(i)) for i in back)]


def was_erased(conn: Connection, tenant_id: UUID, entity: str, record: UUID) -> bool:
    """Whether a record went for good, on its person's request."""
    reason = conn.scalar(
        text("SELECT reason FROM tombstone WHERE tenant_id = :t AND entity = :entity AND entity_id = :id"),
        {"t": tenant_id, "entity": entity, "id": record},
    )
    return bool(reason == "erased")


def _note_differences(
    conn: Connection, cause: Cause, entity: str, rows: Sequence[tuple[Edit, Mapping[str, Any], int, Mapping[str, Any]]]
) -> None:
    """History of the fields that came back with another value than they went with."""
    history = []
    for edit, snapshot, version, fields in rows:
        before = decode(entity, snapshot)
        for name in sorted({*before, *fields}):
            if before.get(name) != fields.get(name):
                rule = edit.rules.get(name, "restored")
                history.append((edit.id, name, before.get(name), fields.get(name), rule, version + 1))
    changing.note_history(conn, cause, entity, history)


def _standing_references(
    conn: Connection, cause: Cause, entity: str, edits: Sequence[Edit]
) -> dict[UUID, dict[str, Any]]:
    """The fields of each edit, without references to records that are gone."""
    result = {e.id: several.split(entity, e.fields)[0] for e in edits}
    for reference in ENTITIES[entity].references:
        named = {v for e in edits if (v := e.fields.get(reference.name)) is not None}
        if not named or reference.refers_to is None:
            continue
        standing = set(existing(conn, cause.tenant_id, reference.refers_to, named))
        for fields in result.values():
            if fields.get(reference.name) not in standing:
                fields.pop(reference.name, None)
    return result


def existing(conn: Connection, tenant_id: UUID, entity: str, ids: Iterable[UUID]) -> list[UUID]:
    """Those of the ids that are records which stand."""
    statement = text(f"SELECT id FROM {hub_table(entity)} WHERE tenant_id = :t AND id = ANY(CAST(:ids AS uuid[]))")
    return list(conn.execute(statement, {"t": tenant_id, "ids": sorted(set(ids))}).scalars())


def _restore_children(conn: Connection, cause: Cause, children: Mapping[UUID, Sequence[Sequence[str]]]) -> Everyone:
    """Lead references back to restored records, where nothing else stands in their place.

    Where something does, and the reference is to the main one of a list, the restored record is one of the list again.
    """
    wanted: dict[tuple[str, str], dict[UUID, UUID]] = defaultdict(dict)
    for parent, rows in children.items():
        for child, name, child_id in rows:
            wanted[child, name][UUID(child_id)] = parent
    blank = []
    changed: Everyone = []
    for (child, name), parents in wanted.items():
        statement = text(f"""
            SELECT id FROM {hub_table(child)}
            WHERE tenant_id = :t AND {bulk.quoted(name)} IS NULL AND id = ANY(CAST(:ids AS uuid[]))""")
        found = conn.execute(statement, {"t": cause.tenant_id, "ids": sorted(parents)}).scalars()
        empty = set(found)
        blank += [(child, name, i, parents[i]) for i in empty]
        others = {i: parent for i, parent in parents.items() if i not in empty}
        for one in (s for s in ENTITIES[child].several if s.main == name and others):
            held = several.held(conn, cause.tenant_id, child, one, existing(conn, cause.tenant_id, child, others))
            edits = [
                Edit(i, {one.name: [*ids, others[i]]}, {one.name: "reference_restored"}) for i, ids in held.items()
            ]
            changed += [(child, t) for t in changing.update(conn, cause, child, edits)]
    return changed + _repoint(conn, cause, blank, {p: p for p in children}, "reference_restored")


def _restore_associations(conn: Connection, cause: Cause, rows: Sequence[Mapping[str, Any]]) -> None:
    ends = {(r[f"{side}_entity"], UUID(r[f"{side}_id"])) for r in rows for side in ("from", "to")}
    standing: set[tuple[str, UUID]] = set()
    for entity in {e for e, _ in ends} & ENTITIES.keys():
        standing |= {(entity, i) for i in existing(conn, cause.tenant_id, entity, [i for e, i in ends if e == entity])}
    whole = [r for r in rows if all((r[f"{s}_entity"], UUID(r[f"{s}_id"])) in standing for s in ("from", "to"))]
    if not whole:
        return
    columns = """tenant_id, id, from_entity, from_id, to_entity, to_id, label, is_primary, source_created_at, source_updated_at,
        custom_fields, created_at, version"""
    conn.execute(
        text(f"""
        INSERT INTO crm_association ({columns}) SELECT {columns}
        FROM jsonb_populate_recordset(CAST(NULL AS crm_association), CAST(:rows AS jsonb)) ON CONFLICT DO NOTHING"""),
        {"rows": dumps(whole)},
    )


# ---------------------------------------------------------------- merging


def merge(conn: Connection, cause: Cause, entity: str, pairs: Mapping[UUID, UUID]) -> Everyone:
    """Merge records (loser to survivor): links, references and associations move, the loser becomes a redirect.

    A lane that has a live record of each keeps its link of the loser: it has to delete that half.
    """
    if not pairs:
        return []
    losers = sorted(pairs)
    parameters = {"t": cause.tenant_id, "entity": entity, "losers": losers, "survivors": [pairs[i] for i in losers]}
    children = _children(conn, cause, entity, losers)
    _keep_bases(conn, cause, entity, losers)
    _bury(conn, cause, entity, losers, [], "merged")
    own = {pairs[i] for i in losers}
    changed = _repoint(conn, cause, [c for c in children if not (c[0] == entity and c[2] in own)], pairs, "merged")
    changed += _repoint(conn, cause, [c for c in children if c[0] == entity and c[2] in own], {}, "merged")
    pair = "unnest(CAST(:losers AS uuid[]), CAST(:survivors AS uuid[])) AS p(loser, survivor)"
    conn.execute(
        text(f"""
        WITH led AS (INSERT INTO redirect (tenant_id, entity, from_id, to_id)
                     SELECT CAST(:t AS uuid), :entity, loser, survivor FROM {pair}
                     ON CONFLICT (tenant_id, entity, from_id) DO UPDATE SET to_id = excluded.to_id)
        UPDATE link l SET entity_id = p.survivor, revision = l.revision + 1, updated_at = now() FROM {pair}
        WHERE l.tenant_id = :t AND l.entity_id = p.loser AND l.entity = :entity AND l.tombstoned_at IS NULL
          AND NOT (l.connection_id IS NOT DISTINCT FROM CAST(:c AS uuid) AND l.vendor_object IS NOT DISTINCT FROM CAST(:o AS text))
          AND NOT EXISTS (SELECT FROM {OF_HUB.format("p.survivor")} s WHERE s.tombstoned_at IS NULL
                          AND s.connection_id = l.connection_id AND s.vendor_object = l.vendor_object)"""),
        parameters | {"c": cause.lane and cause.lane.connection_id, "o": cause.lane and cause.lane.object},
    )
    for side, other in (("from", "to"), ("to", "from")):
        _move_associations(conn, parameters, pair, side, other)
    _remove(conn, cause, entity, losers, "merged")
    queueing.settle(conn, cause.tenant_id, own)
    return [*changed, *((entity, Touched(i)) for i in [*losers, *own])]


def _move_associations(conn: Connection, parameters: Mapping[str, Any], pair: str, side: str, other: str) -> None:
    """Lead one end of associations to the survivor; those that it has already are dropped."""
    conn.execute(
        text(f"""
        WITH moving AS (
            SELECT DISTINCT ON (p.survivor, a.{other}_entity, a.{other}_id, a.label) a.id, p.survivor
            FROM {pair} JOIN crm_association a ON a.tenant_id = :t AND a.{side}_id = p.loser AND a.{side}_entity = :entity
            WHERE a.{other}_id <> p.survivor AND NOT EXISTS (SELECT FROM crm_association x WHERE x.tenant_id = :t
                AND x.{side}_entity = :entity AND x.{side}_id = p.survivor AND x.{other}_entity = a.{other}_entity
                AND x.{other}_id = a.{other}_id AND x.label = a.label)
            ORDER BY p.survivor, a.{other}_entity, a.{other}_id, a.label, a.id)
        UPDATE crm_association a SET {side}_id = m.survivor FROM moving m WHERE a.tenant_id = :t AND a.id = m.id"""),
        parameters,
    )
    conn.execute(
        text(f"""
        DELETE FROM crm_association a USING {pair}
        WHERE a.tenant_id = :t AND a.{side}_id = p.loser AND a.{side}_entity = :entity"""),
        parameters,
    )
