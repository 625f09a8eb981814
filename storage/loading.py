"""From staging into the canonical tables: creates, merges, references, associations. Set-based, a range of rows at a time.

References are resolved through `link`, so that a reference to a merged record reaches its survivor. What cannot be
resolved yet (the parent comes later, or never) becomes a `pending_reference`, which `resolve_pending` settles.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


def commit_at_once(connection: Connection) -> None:
    """Let this transaction, one of many with a chunk row each, end without waiting for the disk.

    The next ordinary commit makes it durable. What a crash of the server takes away until then, it takes with its chunk row.
    """
    connection.execute(text("SELECT set_config('synchronous_commit', 'off', true)"))


def vouch_for_references(connection: Connection) -> None:
    """Let this transaction create records without PostgreSQL looking up and locking the other end of each reference.

    `create_range` has looked each of them up already. That they stay until it commits is the promise of one lock, which deletes of
    the tenant's records wait for (`syncline_delete_waits`). To be called before anything is read: what is read while waiting
    for the lock may be gone. Where nobody granted the right to it, PostgreSQL checks every reference as ever.
    """
    connection.execute(
        text("""
        SELECT pg_advisory_xact_lock_shared(hashtextextended(current_setting('app.tenant_id'), 0)),
            CASE WHEN has_parameter_privilege('session_replication_role', 'SET')
                 THEN set_config('session_replication_role', 'replica', true) END""")
    )


def create_range(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    filled: Collection[str],
    first: int,
    end: int,
) -> Loaded:
    """Create hub records and links for the staged rows of [first, end) that have no other action.

    ``filled``: the canonical fields that any staged record has a value of; no other is read or written.
    A record that took values from its duplicates has a base from the start: what its own source says, without them.
    Raises whatever the database says about a bad row; the caller's transaction is then void and it tries smaller ranges.
    """
    fields = ENTITIES[staged.entity].all_fields
    used = {name: ref for name, ref in refs.items() if name in filled}
    plain = [name for name, f in fields.items() if f.kind is not Kind.REFERENCE and name in filled] + ["custom_fields"]
    own = {name: f"s.{bulk.quoted(name)}" for name in plain} | {name: _resolved(name) for name in used}
    written = bulk.names([*plain, *used])
    # What links and waiting references need stands in front: reading a row of `src` costs what stands before the last column read.
    sql = f"""
        WITH src AS MATERIALIZED (
            SELECT s.id, s.seq, s.filled, s.vendor_id, s.vendor_version, s.fingerprint, {waits(used)} AS waits,
                   CASE WHEN s.filled <> '{{}}' THEN {_without_filled(json_object(own))} END AS base,
                   {", ".join(f"{value} AS {bulk.quoted(name)}" for name, value in own.items())}
                   {"".join(f", s.{bulk.quoted(name)} AS {_said(name)}" for name in used)}
            FROM {{s}} s {" ".join(reference_join(name, fields[name].refers_to or "", ref) for name, ref in used.items())}
            WHERE {_RANGE} AND s.action IS NULL),
        made AS (
            INSERT INTO {{hub}} (tenant_id, id, {written}) SELECT CAST(:t AS uuid), id, {written} FROM src),
        waiting AS ({_pending_sql(used)}),
        linked AS (
            INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, base, vendor_version,
                              fingerprint, origin, run_id)
            SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), vendor_id, :entity, id, base, vendor_version, fingerprint,
                   'created', CAST(:r AS uuid) FROM src)
        SELECT (SELECT count(*) FROM src), (SELECT count(*) FROM waiting)"""
    rows = staged.run(
        connection,
        sql,
        first=first,
        end=end,
        entity=staged.entity,
        **{f"objects_{name}": list(ref.objects) for name, ref in used.items()},
    )
    return Loaded(*rows.one())


def _without_filled(record: str) -> str:
    """SQL of a record as JSON without the fields named in `filled`."""
    return f"""jsonb_strip_nulls(jsonb_set({record}, '{{custom_fields}}', s.custom_fields - ARRAY(
        SELECT substr(f, 15) FROM unnest(s.filled) f WHERE starts_with(f, 'custom_fields.'))) - s.filled)"""


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
    filled: Collection[str],
    first: int,
    end: int,
    refused: list[Refused],
) -> Loaded:
    """`create_range`, but a record that the database refuses does not take the others with it: it is added to ``refused``."""
    try:
        with connection.begin_nested():
            return create_range(connection, staged, refs, filled, first, end)
    except DBAPIError as error:
        if not concerns_record(error):
            raise
        if end - first == 1:
            refused.append(_refuse(connection, staged, first, reason(error)))
            return Loaded()
    middle = (first + end) // 2
    left = create_isolating(connection, staged, refs, filled, first, middle, refused)
    right = create_isolating(connection, staged, refs, filled, middle, end, refused)
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


def _stands(entity: str) -> str:
    """SQL: whether the hub record of the link `l` is there. A link outlives its record, which may come back."""
    return f"EXISTS (SELECT FROM {bulk.quoted(table_name(entity))} r WHERE r.tenant_id = :t AND r.id = l.entity_id)"


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
        AND l.vendor_id = s.{bulk.quoted(field)} AND l.entity = '{refers_to}' {objects} AND {_stands(refers_to)} LIMIT 1"""
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


def _said(field: str) -> str:
    """The column of `src` with the vendor id that a reference names."""
    return bulk.quoted("said_" + field)


def waits(refs: Mapping[str, Reference]) -> str:
    """SQL: whether a staged record has a reference that leads nowhere yet. Nearly none does, and only those are looked at."""
    lost = [f"s.{bulk.quoted(name)} IS NOT NULL AND {_any_resolved(ref, refs)} IS NULL" for name, ref in refs.items()]
    return " OR ".join(lost) or "false"


WAITS_INSTEAD = """ON CONFLICT (tenant_id, connection_id, waiting_object, waiting_id, field) DO UPDATE SET
    vendor_id = excluded.vendor_id, vendor_objects = excluded.vendor_objects, entity_id = excluded.entity_id,
    run_id = excluded.run_id
    WHERE pending_reference.vendor_id <> excluded.vendor_id OR pending_reference.entity_id <> excluded.entity_id"""
"""A field of a vendor record waits for one record at a time: for the one named last."""


def _pending_sql(refs: Mapping[str, Reference]) -> str:
    """Insert into pending_reference what `src` could not resolve; returns a row each.

    What a survivor took from a duplicate waits in the duplicate's name: only that one can take it back.
    """
    if not refs:
        return "SELECT 1 WHERE false"
    values = ", ".join(
        f"('{name}', src.{_said(name)}, coalesce({', '.join('src.' + bulk.quoted(n) for n in _alternatives(ref, refs))}), "
        f"CAST(:objects_{name} AS text[]), CASE WHEN '{name}' = ANY(src.filled) THEN {_giver(name)} END)"
        for name, ref in refs.items()
    )
    return f"""INSERT INTO pending_reference (tenant_id, connection_id, waiting_object, waiting_id, vendor_id, vendor_objects,
                                       entity, entity_id, field, run_id)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), coalesce(p.giver, src.vendor_id), p.ref, p.objects, :entity,
               src.id, p.field, CAST(:r AS uuid)
        FROM src CROSS JOIN LATERAL (VALUES {values}) AS p(field, ref, resolved, objects, giver)
        WHERE src.waits AND p.ref IS NOT NULL AND p.resolved IS NULL
        {WAITS_INSTEAD} RETURNING 1"""


def _giver(field: str) -> str:
    """SQL: the vendor id of the duplicate that a survivor in `src` took the reference from."""
    return f"""(SELECT min(v.vendor_id) FROM {{s}} v WHERE v.tenant_id = :t AND v.run_id = :r AND v.object = :o
        AND v.survivor_seq = src.seq AND v.{bulk.quoted(field)} = src.{_said(field)})"""


def _alternatives(reference: Reference, refs: Mapping[str, Reference]) -> list[str]:
    """The fields that are read from the same source."""
    return [name for name, other in refs.items() if other.source == reference.source]


def _any_resolved(reference: Reference, refs: Mapping[str, Reference]) -> str:
    return f"coalesce({', '.join(map(_resolved, _alternatives(reference, refs)))})"


def link_merged(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    filled: Collection[str],
    first: int,
    end: int,
) -> int:
    """Link every merged row of a range to the hub record of its survivor (or matched hub record); return how many.

    Its base is what the source says of it, which is not what the survivor says. ``filled``: as in `create_range`.
    """
    fields = ENTITIES[staged.entity].all_fields
    used = {name: ref for name, ref in refs.items() if name in filled}
    plain = [name for name in fields if name in filled and name not in used] + ["custom_fields"]
    says = {name: f"s.{bulk.quoted(name)}" for name in plain} | {name: _resolved(name) for name in used}
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
        {" ".join(reference_join(name, fields[name].refers_to or "", ref) for name, ref in used.items())}
        WHERE {_RANGE} AND s.action = 'merged' AND coalesce(s.target_id, l.entity_id) IS NOT NULL""",
            first=first,
            end=end,
            entity=staged.entity,
            **{f"objects_{name}": list(ref.objects) for name, ref in used.items() if "*" not in ref.objects},
        ).rowcount
    )


def json_object(values: Mapping[str, str]) -> str:
    """SQL that builds one JSON object of expressions by name; a function takes at most 100 arguments, hence in pieces."""
    items = list(values.items())
    pieces = [items[i : i + 40] for i in range(0, max(len(items), 1), 40)]
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

    Where several records that share a hub record wait, the one that waits longest is followed, and all whose other end is there
    stop waiting. What an earlier run left waiting goes to the journal as `settled`, for the undo of this run.
    """
    refers_to = ENTITIES[staged.entity].field(field).refers_to or ""
    return int(
        connection.execute(
            text(f"""
        WITH found AS (
            SELECT p.waiting_object, p.waiting_id, p.entity_id, p.created_at, l.entity_id AS target
            FROM pending_reference p CROSS JOIN LATERAL (
                SELECT l.entity_id FROM unnest(p.vendor_objects) AS o(name) JOIN LATERAL (
                    SELECT l.entity_id FROM link l WHERE l.tenant_id = :t AND l.connection_id = :c
                    AND (l.vendor_object = o.name OR o.name = '*')
                    AND l.vendor_id = p.vendor_id AND l.entity = :refers_to AND {_stands(refers_to)} LIMIT 1) l ON true LIMIT 1) l
            WHERE p.tenant_id = :t AND p.connection_id = :c AND p.entity = :entity AND p.field = :field),
        chosen AS (SELECT DISTINCT ON (entity_id) entity_id, target FROM found
                   ORDER BY entity_id, created_at, waiting_object, waiting_id),
        done AS (
            DELETE FROM pending_reference p USING found WHERE p.tenant_id = :t AND p.connection_id = :c
              AND p.waiting_object = found.waiting_object AND p.waiting_id = found.waiting_id AND p.field = :field
            RETURNING p.*),
        settled AS (
            INSERT INTO migration_journal (tenant_id, run_id, entity, entity_id, object, vendor_id, action, before)
            SELECT CAST(:t AS uuid), CAST(:r AS uuid), :entity, d.entity_id, d.waiting_object, d.waiting_id || '>' || d.field,
                   'settled', to_jsonb(d)
            FROM done d WHERE d.run_id IS DISTINCT FROM CAST(:r AS uuid) ON CONFLICT DO NOTHING)
        UPDATE {bulk.quoted(table_name(staged.entity))} h SET {bulk.quoted(field)} = chosen.target FROM chosen
        WHERE h.tenant_id = :t AND h.id = chosen.entity_id AND h.{bulk.quoted(field)} IS NULL"""),
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


def queue_created(connection: Connection, staged: StagedObject, first: int, end: int) -> None:
    """Make the new records of [first, end) due wherever they are sent to: other systems may be kept in step already."""
    staged.run(
        connection,
        f"""
        INSERT INTO push_work (tenant_id, connection_id, object, entity, entity_id)
        SELECT l.tenant_id, l.connection_id, l.object, l.entity, s.id
        FROM stream l CROSS JOIN LATERAL (SELECT id FROM {{s}} s WHERE {_RANGE} AND s.action IS NULL) s
        WHERE l.tenant_id = :t AND l.entity = :entity AND l.pushes
          AND (l.connection_id, l.object) <> (CAST(:c AS uuid), CAST(:o AS text))
        ON CONFLICT (tenant_id, connection_id, object, entity_id) DO UPDATE
            SET token = DEFAULT, due_at = 'epoch', attempts = 0, state = 'due'""",
        first=first,
        end=end,
        entity=staged.entity,
    )


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
