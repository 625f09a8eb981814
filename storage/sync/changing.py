"""Changes of hub records with everything that they leave behind: version, history, change log, work for other lanes.

Whoever changes a record, a vendor's batch or a person, comes through here. Set-based: a few statements a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES, Several
from domain.frozen import dataclass
from storage import bulk
from storage.statements import run
from storage.sync import several
from storage.sync.gathering import hub_table
from storage.sync.lanes import LaneKey
from storage.sync.values import CUSTOM, dumps, encode


@dataclass(frozen=True, slots=True)
class Cause:
    """Who changes something: a lane (``origin`` sync), or a person or program (``origin`` hub, ``by`` their name or id)."""

    tenant_id: UUID
    origin: str
    lane: LaneKey | None = None
    by: str | None = None

    @property
    def traces(self) -> dict[str, Any]:
        """Parameters of statements that write to the change log."""
        detail = None if self.by is None else dumps({"by": self.by})
        return {"t": self.tenant_id, "c": None if self.lane is None else self.lane.connection_id, "detail": detail}

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of statements that write history, too."""
        return self.traces | {"origin": self.origin}


@dataclass(frozen=True, slots=True)
class Edit:
    """Fields to set on one hub record, flat and typed; None blanks a field. ``rules``: by which rule, field by field."""

    id: UUID
    fields: Mapping[str, Any]
    rules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Touched:
    """A hub record that changed. ``fields`` None: it was created, deleted or restored."""

    id: UUID
    fields: frozenset[str] | None = None


_CHANGE = """
    INSERT INTO change (tenant_id, id, entity, entity_id, kind, fields, version, connection_id, detail)
    SELECT CAST(:t AS uuid), gen_random_uuid(), CAST(:entity AS text), {source}, CAST(:c AS uuid), CAST(:detail AS jsonb)"""


def create(conn: Connection, cause: Cause, entity: str, edits: Sequence[Edit]) -> set[UUID]:
    """Create hub records; returns the ids of those that were not there yet. One that was stays as it stands."""
    edits = [_with_mains(cause, entity, e) for e in edits]
    made = _insert(conn, cause, entity, [{"id": e.id, **encode(e.fields)} for e in edits], "created")
    associate(conn, cause, entity, [e for e in edits if e.id in made])
    return made


def associate(conn: Connection, cause: Cause, entity: str, edits: Sequence[Edit]) -> None:
    """Associate records that have just come with those that their lists name; a main one is one of them by its reference."""
    for one in ENTITIES[entity].several:
        listed = [(e.id, other, e.fields.get(one.main)) for e in edits for other in e.fields.get(one.name) or ()]
        several.add(conn, cause.tenant_id, entity, one, [(i, other) for i, other, main in listed if other != main])
        said = [(e.id, pair) for e in edits for pair in (e.fields.get(one.labels) if one.labels else None) or ()]
        several.relabel(conn, cause.tenant_id, entity, one, said, [])


def _with_mains(cause: Cause, entity: str, edit: Edit) -> Edit:
    """The first of a list as its main one, where a person names none. A vendor's may still be on its way."""
    for one in ENTITIES[entity].several if cause.lane is None else ():
        listed = edit.fields.get(one.name)
        if one.led and listed and edit.fields.get(one.main) is None:
            edit = replace(edit, fields={**edit.fields, one.main: min(listed)})
    return edit


def bring_back(conn: Connection, cause: Cause, entity: str, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Insert records that were deleted, in JSON form with ``id``, ``version`` and ``created_at``."""
    return _insert(conn, cause, entity, rows, "restored")


def _insert(conn: Connection, cause: Cause, entity: str, rows: Sequence[Mapping[str, Any]], kind: str) -> set[UUID]:
    if not rows:
        return set()
    columns = bulk.names(list(ENTITIES[entity].all_fields))
    change = _CHANGE.format(source="id, CAST(:kind AS text), NULL, version")
    result = run(
        conn,
        f"""
        WITH made AS (
            INSERT INTO {hub_table(entity)} (tenant_id, id, {columns}, custom_fields, version, created_at)
            SELECT CAST(:t AS uuid), id, {columns}, coalesce(custom_fields, '{{}}'), coalesce(version, 1),
                   coalesce(created_at, now())
            FROM jsonb_populate_recordset(CAST(NULL AS {hub_table(entity)}), CAST(:rows AS jsonb)) ORDER BY id
            ON CONFLICT (tenant_id, id) DO NOTHING RETURNING id, version),
        logged AS ({change} FROM made)
        SELECT id FROM made""",
        cause.traces | {"entity": entity, "rows": dumps(rows), "kind": kind},
    )
    return {row[0] for row in result}


def update(conn: Connection, cause: Cause, entity: str, edits: Sequence[Edit]) -> list[Touched]:
    """Set fields of records that stand; returns what really changed. A record that is gone is passed over.

    Each id comes once. A custom field that is set to None is removed. A list of associated records is made to say what is given:
    whoever plans it holds the version that it was read with. Its main one is always a member, and stays one when
    another follows it.
    """
    edits = [e for e in edits if e.fields]
    if not edits or not several.names(entity):
        return _update(conn, cause, entity, edits)
    plain: list[Edit] = []
    lists: dict[UUID, dict[str, list[UUID]]] = {}
    for edit in edits:
        fields, lists[edit.id] = several.split(entity, edit.fields)
        plain.append(replace(edit, fields=fields))
    rules = {e.id: e.rules for e in edits}
    several.keep_bases(conn, cause.tenant_id, entity, [e.id for e in edits])
    implied = {key for one in ENTITIES[entity].several for key in _follow_mains(conn, cause, entity, one, plain, lists)}
    wanted = {i: named for i, named in lists.items() if named}
    changed = _associations_as(conn, cause, entity, wanted, rules, plain, implied)
    return _update(conn, cause, entity, plain) + changed


def _associations_as(
    conn: Connection,
    cause: Cause,
    entity: str,
    wanted: Mapping[UUID, Mapping[str, Sequence[UUID]]],
    rules: Mapping[UUID, Mapping[str, str]],
    plain: list[Edit],
    implied: Set[tuple[UUID, str]],
) -> list[Touched]:
    """Associate and part records until their lists say what is wanted. A main record parted from is replaced in ``plain``.

    Of lists that only follow their main ones (``implied``) neither history nor change log tell: they do so of those.
    """
    changed: dict[UUID, dict[str, tuple[list[Any], list[Any]]]] = {}
    for one in ENTITIES[entity].several if wanted else ():
        before = several.held(conn, cause.tenant_id, entity, one, sorted(i for i, w in wanted.items() if one.name in w))
        new = {i: sorted(set(wanted[i][one.name])) for i in before}
        for record, old in before.items():
            if new[record] != old:
                changed.setdefault(record, {})[one.name] = (old, new[record])
        several.add(conn, cause.tenant_id, entity, one, [(i, o) for i in before for o in new[i]])
        gone = [(i, o) for i in before for o in before[i] if o not in new[i]]
        several.remove(conn, cause.tenant_id, entity, one, gone)
        _replace_mains(conn, cause, entity, one, gone, new, plain)
        for record, labelled in _labels_as(conn, cause, entity, one, wanted).items():
            changed.setdefault(record, {})[one.labels or ""] = labelled
    if not changed:
        return []
    told = {i: {n: v for n, v in fields.items() if (i, n) not in implied} for i, fields in changed.items()}
    standing = _tell_lists(conn, cause, entity, {i: fields for i, fields in told.items() if fields}, rules)
    return [Touched(i, frozenset(fields)) for i, fields in changed.items() if i in standing or not told[i]]


def _labels_as(
    conn: Connection, cause: Cause, entity: str, one: Several, wanted: Mapping[UUID, Mapping[str, Sequence[Any]]]
) -> dict[UUID, tuple[list[str], list[str]]]:
    """Label pairs that are associated by now as is wanted; returns what labels were and are, where they changed."""
    name = one.labels or ""
    ids = sorted(i for i, of in wanted.items() if name in of)
    if not ids:
        return {}
    before = several.labels(conn, cause.tenant_id, entity, one, ids)
    added = [(i, pair) for i in ids for pair in wanted[i][name] if pair not in before[i]]
    gone = [(i, pair) for i in ids for pair in before[i] if pair not in wanted[i][name]]
    several.relabel(conn, cause.tenant_id, entity, one, added, gone)
    after = several.labels(conn, cause.tenant_id, entity, one, ids)
    return {i: (before[i], after[i]) for i in ids if before[i] != after[i]}


def _tell_lists(
    conn: Connection,
    cause: Cause,
    entity: str,
    changed: Mapping[UUID, Mapping[str, tuple[list[Any], list[Any]]]],
    rules: Mapping[UUID, Mapping[str, str]],
) -> frozenset[UUID]:
    """Version, history and change log of lists that changed, from old to new; returns the records that stand."""
    if not changed:
        return frozenset()
    versions = several.touch(conn, cause.tenant_id, entity, sorted(changed))
    note_history(
        conn,
        cause,
        entity,
        [
            (i, name, old, new, rules[i].get(name, ""), versions[i])
            for i, fields in changed.items()
            if i in versions
            for name, (old, new) in fields.items()
        ],
    )
    conn.execute(
        text(
            _CHANGE.format(source="u.id, 'updated', u.fields, u.version")
            + """
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS u(id uuid, fields text[], version bigint)"""
        ),
        cause.traces
        | {"entity": entity}
        | {"rows": dumps([{"id": i, "fields": sorted(changed[i]), "version": v} for i, v in versions.items()])},
    )
    return frozenset(versions)


def _follow_mains(
    conn: Connection,
    cause: Cause,
    entity: str,
    one: Several,
    plain: list[Edit],
    lists: Mapping[UUID, dict[str, list[UUID]]],
) -> list[tuple[UUID, str]]:
    """What edits of a main record mean for its list, where they say nothing of that themselves, and the other way round.

    Returns the lists that do nothing else than follow their main records.
    """
    alone = [e.id for e in plain if one.main in e.fields and one.name not in lists[e.id]]
    before = several.mains(conn, cause.tenant_id, entity, one, alone) if alone else {}
    held = several.held(conn, cause.tenant_id, entity, one, sorted(before)) if before else {}
    for place, edit in enumerate(plain):
        if one.main not in edit.fields:
            continue
        main = edit.fields[one.main]
        if edit.id in held:
            parted = {before.get(edit.id)} - {main} if one.moves or (one.led and main is None) else set()
            lists[edit.id][one.name] = [i for i in held[edit.id] if i not in parted]
        members = lists[edit.id].get(one.name)
        if members is None:
            continue  # the record is gone
        if main is not None and main not in members:
            members.append(main)
        elif main is None and members and one.led and (edit.id in held or _promotes(cause, edit, one)):
            plain[place] = replace(edit, fields={**edit.fields, one.main: min(members)})
    return [(record, one.name) for record in held]


def _promotes(cause: Cause, edit: Edit, one: Several) -> bool:
    """Whether another one takes the place of a main record that is gone. A vendor of lists says itself who does, if only later."""
    return cause.lane is None or edit.rules.get(one.main) == "reference_deleted"


def _replace_mains(
    conn: Connection,
    cause: Cause,
    entity: str,
    one: Several,
    gone: Sequence[tuple[UUID, UUID]],
    left: Mapping[UUID, Sequence[UUID]],
    plain: list[Edit],
) -> None:
    """The main record that a record was parted from is not its main one any more: another one is, if it has to have one."""
    mains = several.mains(conn, cause.tenant_id, entity, one, sorted(left)) if left else {}
    parted = {i for i, other in gone if mains.get(i) == other}
    for place, edit in enumerate(plain):
        if edit.id not in left or one.main in edit.fields:
            continue
        others = left[edit.id] if one.led and _promotes(cause, edit, one) else ()
        if edit.id in parted or (others and mains.get(edit.id) is None):
            plain[place] = replace(
                edit,
                fields={**edit.fields, one.main: min(others, default=None)},
                rules={**edit.rules, one.main: edit.rules.get(one.name, "")},
            )


def _update(conn: Connection, cause: Cause, entity: str, edits: Sequence[Edit]) -> list[Touched]:
    rows = [_patch(e) for e in edits if e.fields]
    if not rows:
        return []
    names = sorted({n for e in edits for n in e.fields if not n.startswith(CUSTOM)})
    sets = [f"{q} = CASE WHEN src.form ? '{n}' THEN r.{q} ELSE h.{q} END" for n in names for q in [bulk.quoted(n)]]
    sets.append(
        "custom_fields = (h.custom_fields || coalesce(src.form->'custom_fields', '{}')) "
        "- ARRAY(SELECT jsonb_array_elements_text(src.removed))"
    )
    table = hub_table(entity)
    result = conn.execute(
        text(f"""
        WITH src AS MATERIALIZED (
            SELECT p.*, to_jsonb(h) AS before
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS p(id uuid, form jsonb, removed jsonb, rules jsonb)
            JOIN LATERAL (SELECT * FROM {table} WHERE tenant_id = :t AND id = p.id LIMIT 1) h ON true),
        changed AS (
            UPDATE {table} h SET {", ".join(sets)}
            FROM src CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS {table}), src.form - 'custom_fields') r
            WHERE h.tenant_id = :t AND h.id = src.id RETURNING h.id, h.version, to_jsonb(h) AS after),
        differing AS (
            SELECT src.id, c.version, f.key AS field, f.value AS rule, v.old, v.new
            FROM src JOIN changed c USING (id) CROSS JOIN LATERAL jsonb_each_text(src.rules) f CROSS JOIN LATERAL (SELECT
                coalesce(src.before->f.key, src.before->'custom_fields'->substr(f.key, 15)) AS old,
                coalesce(c.after->f.key, c.after->'custom_fields'->substr(f.key, 15)) AS new) v
            WHERE v.old IS DISTINCT FROM v.new),
        history AS (
            INSERT INTO field_history (tenant_id, id, entity, entity_id, field, old, new, origin, connection_id, rule, version)
            SELECT CAST(:t AS uuid), gen_random_uuid(), :entity, id, field, old, new, :origin, CAST(:c AS uuid), rule, version
            FROM differing),
        touched AS (SELECT id, version, array_agg(field ORDER BY field) AS fields FROM differing GROUP BY id, version),
        logged AS ({_CHANGE.format(source="id, 'updated', fields, version")} FROM touched)
        SELECT id, fields FROM touched"""),
        cause.parameters | {"entity": entity, "rows": dumps(rows)},
    )
    return [Touched(row.id, frozenset(row.fields)) for row in result]


def _patch(edit: Edit) -> dict[str, Any]:
    removed = [n.removeprefix(CUSTOM) for n, v in edit.fields.items() if n.startswith(CUSTOM) and v is None]
    form = encode({n: v for n, v in edit.fields.items() if not (n.startswith(CUSTOM) and v is None)})
    rules = {n: edit.rules.get(n, "") for n in edit.fields}
    return {"id": edit.id, "form": form, "removed": removed, "rules": rules}


def note_history(
    conn: Connection, cause: Cause, entity: str, rows: Iterable[tuple[UUID, str, Any, Any, str, int]]
) -> None:
    """Rows of history for changes made by other statements: (id, field, old, new, rule, version), values in JSON form."""
    names = ("id", "field", "old", "new", "rule", "version")
    forms = [dict(zip(names, row, strict=True)) for row in rows]
    if not forms:
        return
    conn.execute(
        text("""
        INSERT INTO field_history (tenant_id, id, entity, entity_id, field, old, new, origin, connection_id, rule, version)
        SELECT CAST(:t AS uuid), gen_random_uuid(), :entity, r.id, r.field, r.old, r.new, :origin, CAST(:c AS uuid), r.rule,
               r.version
        FROM jsonb_to_recordset(CAST(:rows AS jsonb))
             AS r(id uuid, field text, old jsonb, new jsonb, rule text, version bigint)"""),
        {k: v for k, v in cause.parameters.items() if k != "detail"} | {"entity": entity, "rows": dumps(forms)},
    )


def queue(conn: Connection, cause: Cause, entity: str, touched: Iterable[Touched], own: Iterable[UUID] = ()) -> None:
    """Queue what changed on every lane that pushes the entity and writes one of the fields.

    The lane that caused it is left out, but for the records of ``own``, which that lane has to push whatever changed.
    """
    fields: dict[UUID, set[str] | None] = {}
    for t in touched:
        known = fields.get(t.id, set())
        fields[t.id] = None if t.fields is None or known is None else known | {n.partition(".")[0] for n in t.fields}
    mine = set(own)
    rows = [{"id": i, "fields": None if (f := fields.get(i, set())) is None else sorted(f), "own": i in mine}
            for i in sorted({*fields, *mine})]  # fmt: skip
    if not rows:
        return
    run(
        conn,
        """
        INSERT INTO push_work (tenant_id, connection_id, object, entity, entity_id)
        SELECT s.tenant_id, s.connection_id, s.object, s.entity, q.id
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS q(id uuid, fields jsonb, own boolean)
        JOIN stream s ON s.tenant_id = :t AND s.entity = :entity AND s.pushes AND CASE
            WHEN s.connection_id = CAST(:c AS uuid) AND s.object = CAST(:o AS text) THEN q.own
            ELSE q.fields IS NULL OR s.writes && ARRAY(SELECT jsonb_array_elements_text(q.fields)) END
        ORDER BY s.connection_id, s.object, q.id
        ON CONFLICT (tenant_id, connection_id, object, entity_id) DO UPDATE
            SET token = DEFAULT, due_at = 'epoch', attempts = 0, state = 'due', entity = excluded.entity, traceparent = DEFAULT""",
        {"t": cause.tenant_id, "entity": entity, "rows": dumps(rows)}
        | {"c": cause.lane and cause.lane.connection_id, "o": cause.lane and cause.lane.object},
    )
