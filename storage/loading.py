"""From staging into the canonical tables: creates, merges, references, associations. Set-based, a range of rows at a time.

References are resolved through `link`, so that a reference to a merged record reaches its survivor. What cannot be
resolved yet (the parent comes later, or never) becomes a `pending_reference`, which `resolve_pending` settles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from domain.entities import ENTITIES, Kind
from storage import bulk
from storage.planning import StagedObject
from storage.staging import concerns_record, reason
from storage.tables import stage_name, table_name

_RANGE = "s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.seq >= :first AND s.seq < :end"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a reference field points: the vendor objects it may name, and the source field it is read from.

    Fields that share a source (who a task is with: a contact or a lead) are alternatives: one resolved is enough.
    """

    objects: Sequence[str]
    source: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a range of staged rows became. ``pending``: references left for later."""

    created: int = 0
    pending: int = 0


def prepare(connection: Connection) -> None:
    """Settings of a bulk transaction: room for sorting, and no version bump when the load completes its own records.

    No sequential scans: the first range is planned while `link` is empty and then reads it while other ranges fill it.
    No waiting for the disk: a server that crashes may lose the newest ranges, each with its chunk row, which is what a crash a
    moment earlier does. Whatever commits next in the ordinary way (the run's end at the latest) makes them durable as well.
    """
    connection.execute(
        text(
            "SELECT set_config('work_mem', '128MB', true), set_config('app.loading', 'on', true), "
            "set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true), "
            "set_config('synchronous_commit', 'off', true)"
        )
    )


def create_range(
    connection: Connection, staged: StagedObject, refs: Mapping[str, Reference], first: int, end: int
) -> Loaded:
    """Create hub records and links for the staged rows of [first, end) that have no other action.

    A record that took values from its duplicates has a base from the start: what its own source says, without them.
    Raises whatever the database says about a bad row; the caller's transaction is then void and it tries smaller ranges.
    """
    entity = ENTITIES[staged.entity]
    used = [f for f in entity.references if f.name in refs]
    plain = [f.name for f in entity.all_fields.values() if f.kind is not Kind.REFERENCE] + ["custom_fields"]
    own = {name: bulk.quoted(name) for name in plain} | {f.name: bulk.quoted("to_" + f.name) for f in used}
    resolved = ", ".join(f"{_resolved(f.name)} AS {bulk.quoted('to_' + f.name)}" for f in used)
    sql = f"""
        WITH src AS MATERIALIZED (
            SELECT s.id, s.vendor_id, s.fingerprint, s.vendor_version, s.filled, {bulk.names(plain, "s.")}
                   {"".join(", s." + bulk.quoted(f.name) for f in used)} {", " + resolved if resolved else ""}
            FROM {{s}} s {" ".join(reference_join(f.name, f.refers_to or "", refs[f.name]) for f in used)}
            WHERE {_RANGE} AND s.action IS NULL),
        made AS (
            INSERT INTO {{hub}} (tenant_id, id, {bulk.names(plain)} {"".join(", " + bulk.quoted(f.name) for f in used)})
            SELECT CAST(:t AS uuid), id, {bulk.names(plain)} {"".join(", " + bulk.quoted("to_" + f.name) for f in used)} FROM src),
        waiting AS ({_pending_sql({f.name: refs[f.name] for f in used})}),
        linked AS (
            INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, base, vendor_version,
                              fingerprint, origin, run_id)
            SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), vendor_id, :entity, id,
                   CASE WHEN filled <> '{{}}' THEN {_without_filled(json_object(own))} END, vendor_version, fingerprint,
                   'created', CAST(:r AS uuid) FROM src)
        SELECT (SELECT count(*) FROM src), (SELECT count(*) FROM waiting)"""
    rows = staged.run(
        connection,
        sql,
        first=first,
        end=end,
        entity=staged.entity,
        **{f"objects_{f.name}": list(refs[f.name].objects) for f in used},
    )
    return Loaded(*rows.one())


def _without_filled(record: str) -> str:
    """SQL of a record as JSON without the fields named in `filled`."""
    return f"""jsonb_strip_nulls(jsonb_set({record}, '{{custom_fields}}', custom_fields - ARRAY(
        SELECT substr(f, 15) FROM unnest(filled) f WHERE starts_with(f, 'custom_fields.'))) - filled)"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A staged record that the canonical tables refuse, and why, in words without its values."""

    seq: int
    vendor_id: str
    why: str


def create_isolating(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    first: int,
    end: int,
    refused: list[Refused],
) -> Loaded:
    """`create_range`, but a record that the database refuses does not take the others with it: it is added to ``refused``."""
    try:
        with connection.begin_nested():
            return create_range(connection, staged, refs, first, end)
    except DBAPIError as error:
        if not concerns_record(error):
            raise
        if end - first == 1:
            refused.append(_refuse(connection, staged, first, reason(error)))
            return Loaded()
    middle = (first + end) // 2
    left = create_isolating(connection, staged, refs, first, middle, refused)
    right = create_isolating(connection, staged, refs, middle, end, refused)
    return Loaded(left.created + right.created, left.pending + right.pending)


def _refuse(connection: Connection, staged: StagedObject, seq: int, why: str) -> Refused:
    vendor_id = staged.run(
        connection,
        """
        UPDATE {s} SET action = 'rejected'
        WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = :seq RETURNING vendor_id""",
        seq=seq,
    ).scalar_one()
    return Refused(seq, vendor_id, why)


def _resolved(field: str) -> str:
    return f"{bulk.quoted('link_' + field)}.entity_id"


def reference_join(field: str, refers_to: str, reference: Reference, *, staged_too: bool = False) -> str:
    """Join of a reference with the link it names; of several possible objects, the first that is of the right entity.

    ``staged_too``: a record that is only staged counts with the id it will get, as a dry run needs it.

    A lateral look-up rather than a plain join: without statistics the planner would filter all links of an object for every row.
    """
    objects = (
        ""
        if "*" in reference.objects
        else (
            f"AND l.vendor_object = (CAST(:objects_{field} AS text[]))[1]"
            if len(reference.objects) == 1
            else f"AND l.vendor_object = ANY(CAST(:objects_{field} AS text[]))"
        )
    )
    linked = f"""SELECT l.entity_id FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c
        AND l.vendor_id = s.{bulk.quoted(field)} AND l.entity = '{refers_to}' {objects} LIMIT 1"""
    alias = bulk.quoted("link_" + field)
    if not staged_too:
        return f"LEFT JOIN LATERAL ({linked}) {alias} ON true"
    among, table = objects.replace("l.vendor_object", "x.object"), bulk.quoted(stage_name(refers_to))
    known, staged = bulk.quoted("known_" + field), bulk.quoted("staged_" + field)
    return f"""LEFT JOIN LATERAL ({linked}) {known} ON true
        LEFT JOIN (SELECT DISTINCT ON (x.vendor_id) x.vendor_id, coalesce(x.target_id, v.id, x.id) AS id
            FROM {table} x LEFT JOIN {table} v ON v.tenant_id = :t AND v.run_id = :r AND v.object = x.object
            AND v.seq = x.survivor_seq WHERE x.tenant_id = :t AND x.run_id = :r AND x.action IS DISTINCT FROM 'superseded' {among}
            ORDER BY x.vendor_id) {staged} ON {staged}.vendor_id = s.{bulk.quoted(field)}
        LEFT JOIN LATERAL (SELECT coalesce({known}.entity_id, {staged}.id) AS entity_id) {alias} ON true"""


def _pending_sql(refs: Mapping[str, Reference]) -> str:
    """Insert into pending_reference what `src` could not resolve; returns a row each."""
    if not refs:
        return "SELECT 1 WHERE false"
    values = ", ".join(
        f"('{field}', src.{bulk.quoted(field)}, {_any_resolved(ref.source, refs)}, CAST(:objects_{field} AS text[]))"
        for field, ref in refs.items()
    )
    return f"""INSERT INTO pending_reference (tenant_id, connection_id, vendor_id, vendor_objects, entity, entity_id, field, run_id)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), p.ref, p.objects, :entity, src.id, p.field, CAST(:r AS uuid)
        FROM src CROSS JOIN LATERAL (VALUES {values}) AS p(field, ref, resolved, objects)
        WHERE p.ref IS NOT NULL AND p.resolved IS NULL RETURNING 1"""


def _any_resolved(source: str, refs: Mapping[str, Reference]) -> str:
    siblings = [name for name, ref in refs.items() if ref.source == source]
    return "coalesce(" + ", ".join(f"src.{bulk.quoted('to_' + name)}" for name in siblings) + ")"


def link_merged(
    connection: Connection, staged: StagedObject, refs: Mapping[str, Reference], first: int, end: int
) -> int:
    """Link every merged row of a range to the hub record of its survivor (or matched hub record); return how many.

    Its base is what the source says of it, which is not what the survivor says.
    """
    fields = ENTITIES[staged.entity].all_fields
    says = {name: f"s.{bulk.quoted(name)}" for name in (*fields, "custom_fields")} | {n: _resolved(n) for n in refs}
    return int(
        staged.run(
            connection,
            f"""
        INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, base, vendor_version,
                          fingerprint, origin, run_id)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), s.vendor_id, :entity, coalesce(s.target_id, l.entity_id),
               jsonb_strip_nulls({json_object(says)}), s.vendor_version, s.fingerprint, 'merged', CAST(:r AS uuid)
        FROM {{s}} s
        LEFT JOIN LATERAL (SELECT v.vendor_id FROM {{s}} v WHERE v.tenant_id = :t AND v.run_id = :r AND v.object = :o
                           AND v.seq = s.survivor_seq LIMIT 1) v ON true
        LEFT JOIN LATERAL (SELECT l.entity_id FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o
                           AND l.vendor_id = v.vendor_id LIMIT 1) l ON true
        {" ".join(reference_join(name, fields[name].refers_to or "", ref) for name, ref in refs.items())}
        WHERE {_RANGE} AND s.action = 'merged' AND coalesce(s.target_id, l.entity_id) IS NOT NULL""",
            first=first,
            end=end,
            entity=staged.entity,
            **{f"objects_{name}": list(ref.objects) for name, ref in refs.items() if "*" not in ref.objects},
        ).rowcount
    )


def json_object(values: Mapping[str, str]) -> str:
    """SQL that builds one JSON object of expressions by name; a function takes at most 100 arguments, hence in pieces."""
    items = list(values.items())
    pieces = [items[i : i + 40] for i in range(0, len(items), 40)]
    return "(" + " || ".join("jsonb_build_object(" + ", ".join(f"'{k}', {v}" for k, v in p) + ")" for p in pieces) + ")"


def mark_repeated(connection: Connection, staged: StagedObject) -> None:
    """Remember of which records the source gave several listings. Repeatable; a second time it writes nothing."""
    staged.run(
        connection,
        """
        UPDATE link SET repeated = true WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o AND NOT repeated
          AND vendor_id = ANY(ARRAY(SELECT DISTINCT vendor_id FROM {s} WHERE tenant_id = :t AND run_id = :r AND object = :o
                                    AND action = 'superseded'))""",
    )


ALIAS = "="
"""Label of a staged link that is not an association but another name of the record itself."""


def link_aliases(connection: Connection, staged: StagedObject, first: int, end: int) -> int:
    """Link the records of a range under their other names (a file's latest version is also its document); returns how many.

    The record listed last has the name. Where another one had it, the journal notes that as `alias`, for undo.
    """
    return int(
        staged.run(
            connection,
            f"""
        WITH named AS MATERIALIZED (
        SELECT DISTINCT ON (x.vendor_id) CAST(:t AS uuid) AS tenant_id, CAST(:c AS uuid) AS connection_id,
               x.vendor_objects[1] AS vendor_object, x.vendor_id, l.entity, l.entity_id, 'alias' AS origin,
               CAST(:r AS uuid) AS run_id
        FROM {{s}} s
        JOIN LATERAL (SELECT * FROM stage_link WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = s.seq
                      AND label = '{ALIAS}' OFFSET 0) x ON true
        JOIN LATERAL (SELECT l.entity, l.entity_id FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c
                      AND l.vendor_object = :o AND l.vendor_id = s.vendor_id LIMIT 1) l ON true
        WHERE {_RANGE} AND s.action IS DISTINCT FROM 'superseded'
        ORDER BY x.vendor_id, s.seq DESC),
        moved AS (
            INSERT INTO migration_journal (tenant_id, run_id, entity, entity_id, object, vendor_id, action, before_link)
            SELECT n.tenant_id, n.run_id, n.entity, n.entity_id, CAST(:o AS text), n.vendor_id, 'alias', to_jsonb(old)
            FROM named n CROSS JOIN LATERAL (SELECT * FROM link o WHERE o.tenant_id = :t AND o.connection_id = :c
                AND o.vendor_object = n.vendor_object AND o.vendor_id = n.vendor_id LIMIT 1) old
            WHERE old.entity_id <> n.entity_id AND old.origin = 'alias' ON CONFLICT DO NOTHING)
        INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, run_id)
        SELECT * FROM named
        ON CONFLICT (tenant_id, connection_id, vendor_object, vendor_id)
        DO UPDATE SET entity_id = excluded.entity_id, updated_at = now()
        WHERE link.entity_id <> excluded.entity_id AND link.origin = 'alias'""",
            first=first,
            end=end,
        ).rowcount
    )


def merged_without_survivor(
    connection: Connection, staged: StagedObject, first: int, end: int
) -> list[tuple[int, str]]:
    """Merged records of a range (row, vendor id) whose survivor could not be loaded."""
    rows = staged.run(
        connection,
        f"""
        SELECT s.seq, s.vendor_id FROM {{s}} s WHERE {_RANGE} AND s.action = 'merged'
        AND (SELECT true FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o
             AND l.vendor_id = s.vendor_id LIMIT 1) IS NULL ORDER BY s.seq""",
        first=first,
        end=end,
    )
    return [(seq, vendor_id) for seq, vendor_id in rows]


def resolve_pending(connection: Connection, staged: StagedObject, field: str) -> int:
    """Set the references of one field whose other end is linked by now; return how many. Repeatable.

    What an earlier run left waiting goes to the journal as `settled`, for the undo of this run.
    """
    refers_to = ENTITIES[staged.entity].field(field).refers_to
    return int(
        connection.execute(
            text(f"""
        WITH found AS (
            SELECT DISTINCT ON (p.entity_id) p.entity_id, p.vendor_id, l.entity_id AS target
            FROM pending_reference p CROSS JOIN LATERAL (
                SELECT l.entity_id FROM unnest(p.vendor_objects) AS o(name) JOIN LATERAL (
                    SELECT l.entity_id FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c
                    AND (l.vendor_object = o.name OR o.name = '*')
                    AND l.vendor_id = p.vendor_id AND l.entity = :refers_to LIMIT 1) l ON true LIMIT 1) l
            WHERE p.tenant_id = :t AND p.connection_id = :c AND p.entity = :entity AND p.field = :field),
        done AS (
            DELETE FROM pending_reference p USING found WHERE p.tenant_id = :t AND p.connection_id = :c
              AND p.vendor_id = found.vendor_id AND p.entity = :entity AND p.entity_id = found.entity_id AND p.field = :field
            RETURNING p.*),
        settled AS (
            INSERT INTO migration_journal (tenant_id, run_id, entity, entity_id, object, vendor_id, action, before)
            SELECT CAST(:t AS uuid), CAST(:r AS uuid), :entity, d.entity_id, CAST(:o AS text), d.field, 'settled', to_jsonb(d)
            FROM done d WHERE d.run_id IS DISTINCT FROM CAST(:r AS uuid) ON CONFLICT DO NOTHING)
        UPDATE {bulk.quoted(table_name(staged.entity))} h SET {bulk.quoted(field)} = found.target FROM found
        WHERE h.tenant_id = :t AND h.id = found.entity_id AND h.{bulk.quoted(field)} IS NULL"""),
            staged.parameters | {"entity": staged.entity, "field": field, "refers_to": refers_to},
        ).rowcount
    )


def pending_by_field(connection: Connection, staged: StagedObject, *, of_run: bool) -> dict[str, int]:
    """References of this object's records that still wait for their other end, by field: this run's, or of any run."""
    mine = "AND p.run_id = :r" if of_run else ""
    rows = connection.execute(
        text(
            "SELECT p.field, count(*) AS n FROM pending_reference p "
            f"WHERE p.tenant_id = :t AND p.connection_id = :c {mine} AND p.entity = :entity "
            "AND EXISTS (SELECT FROM link l WHERE l.tenant_id = :t AND l.entity_id = p.entity_id AND l.connection_id = :c "
            "AND l.vendor_object = :o) GROUP BY 1 ORDER BY 1"
        ),
        staged.parameters | {"entity": staged.entity},
    )
    return {row.field: row.n for row in rows}


def refresh_statistics(connection: Connection, *tables: str) -> None:
    """Tell the planner what a bulk load changed."""
    for table in tables:
        connection.execute(text("SELECT syncline_analyze(:table)"), {"table": table})


def log_bulk_change(
    connection: Connection, staged: StagedObject, change_id: str, first: int, end: int, rows: int
) -> None:
    """One row in the change log for a whole range: readers find the records by `link.run_id`."""
    staged.run(
        connection,
        """
        INSERT INTO change (tenant_id, id, entity, kind, connection_id, detail)
        SELECT :t, :id, :entity, 'bulk', :c, jsonb_build_object('run_id', CAST(:r AS text), 'object', CAST(:o AS text),
            'first', CAST(:first AS bigint), 'end', CAST(:end AS bigint), 'rows', CAST(:n AS bigint))""",
        id=change_id,
        entity=staged.entity,
        first=first,
        end=end,
        n=rows,
    )
