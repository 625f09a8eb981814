"""Changing hub records that stand already: gather what three sides say, then apply what was decided.

Values never leave PostgreSQL to come back: deciding is by field name, and the statement takes the named fields from staging.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES, Kind
from storage import bulk
from storage.loading import WAITS_INSTEAD, Reference, json_object, reference_join, waits
from storage.planning import StagedObject
from storage.sync import changing
from storage.sync.changing import Cause, Touched
from storage.sync.lanes import LaneKey


@dataclass(frozen=True, slots=True)
class Sides:
    """One staged record that meets an existing hub record. ``base`` None: never linked before. Values as JSON."""

    seq: int
    vendor_id: str
    hub_id: UUID
    action: str
    base: Mapping[str, Any] | None
    hub: Mapping[str, Any]
    vendor: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """What to take over from the source: canonical fields, custom fields, and custom fields to remove. May be empty."""

    seq: int
    fields: tuple[str, ...] = ()
    custom: tuple[str, ...] = ()
    custom_removed: tuple[str, ...] = ()
    rule: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.fields or self.custom or self.custom_removed)


@dataclass(frozen=True, slots=True)
class Share:
    """One of several equal parts of the hub records: whoever changes them side by side meets none of the other's."""

    number: int = 0
    of: int = 1


WHOLE = Share()


def _loads(value: str | None) -> Any:
    return None if value is None else json.loads(value, parse_float=Decimal)


_CUSTOM = "custom_fields"


def _changing(patches: Sequence[Patch]) -> list[str]:
    """The columns that any of the patches changes."""
    names = {name for patch in patches for name in patch.fields}
    return sorted(names | ({_CUSTOM} if any(p.custom or p.custom_removed for p in patches) else set()))


def _joins(staged: StagedObject, refs: Mapping[str, Reference], *, staged_too: bool = False) -> str:
    fields = ENTITIES[staged.entity].all_fields
    return " ".join(
        reference_join(name, fields[name].refers_to or "", ref, staged_too=staged_too) for name, ref in refs.items()
    )


def _value(name: str, staged: StagedObject, refs: Mapping[str, Reference]) -> str:
    """SQL of what the source says of a field. A reference that leads nowhere yet is blank until it does."""
    if name in refs:
        return f"{bulk.quoted('link_' + name)}.entity_id"
    if name != "custom_fields" and ENTITIES[staged.entity].field(name).kind is Kind.REFERENCE:
        return "CAST(NULL AS uuid)"
    return f"s.{bulk.quoted(name)}"


def _parameters(refs: Mapping[str, Reference]) -> dict[str, Any]:
    return {f"objects_{name}": list(ref.objects) for name, ref in refs.items()}


def gather(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    mapped: Sequence[str],
    after: int,
    limit: int,
    *,
    staged_too: bool = False,
    only: Sequence[int] | None = None,
    share: Share = WHOLE,
) -> list[Sides]:
    """The next ``limit`` staged rows behind row ``after`` that change or match a hub record; ``only`` these rows, if given.

    ``mapped``: the canonical fields that the mapping knows; the others are not the source's to say. ``staged_too``: references
    may lead to records that are only staged (a dry run). The hub records are locked against change, not against being referred to.
    """
    where = f"s.seq > :after {'AND s.seq = ANY(CAST(:only AS bigint[]))' if only is not None else ''}"
    limits: dict[str, Any] = {"after": after, "limit": limit, **({} if only is None else {"only": list(only)})}
    if share.of > 1:
        where += " AND (uuid_hash(s.target_id) & 2147483647) % :of = :number"
        limits |= {"of": share.of, "number": share.number}
    names: Sequence[str] = mapped
    if not staged_too:
        seqs, names = _differing(connection, staged, refs, mapped, where, limits)
        where, limits = "s.seq = ANY(CAST(:seqs AS bigint[]))", {"seqs": seqs, "limit": limit}
        if not seqs:
            return []
    names = [*names, _CUSTOM]
    says = json_object({name: _value(name, staged, refs) for name in names})
    stands = json_object({name: f"h.{bulk.quoted(name)}" for name in names})
    rows = staged.run(
        connection,
        f"""
        SELECT s.seq, s.vendor_id, h.id, s.action, l.vendor_id IS NOT NULL, CAST(l.base AS text),
               CAST({stands} AS text), CAST({says} AS text)
        {_meeting(staged, refs, where, staged_too=staged_too)} ORDER BY s.seq LIMIT :limit""",
        **limits,
        **_parameters(refs),
    ).all()
    result = []
    for seq, vendor_id, hub_id, action, linked, base, hub, vendor in rows:
        stands_now = _loads(hub)
        agreed = None if not linked else stands_now if base is None else _loads(base)
        result.append(Sides(seq, vendor_id, hub_id, action, agreed, stands_now, _loads(vendor)))
    return result


def _meeting(staged: StagedObject, refs: Mapping[str, Reference], where: str, *, staged_too: bool = False) -> str:
    """SQL of staged rows (``s``) with the hub record (``h``), locked, and the link (``l``) that each of them meets."""
    return f"""
        FROM {{s}} s JOIN LATERAL (SELECT * FROM {{hub}} WHERE tenant_id = :t AND id = s.target_id FOR NO KEY UPDATE) h ON true
        LEFT JOIN LATERAL (SELECT * FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o
                           AND vendor_id = s.vendor_id LIMIT 1) l ON true
        {_joins(staged, refs, staged_too=staged_too)}
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action IN ('updated', 'matched') AND {where}"""


def _differing(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    mapped: Sequence[str],
    where: str,
    limits: Mapping[str, Any],
) -> tuple[list[int], list[str]]:
    """The rows of the next batch, and the fields in which any of them differs from its hub record.

    There is nothing to decide about a field of which both say the same, and a change touches few of them.
    """
    tests = "".join(
        f", {_value(name, staged, refs)} IS DISTINCT FROM h.{bulk.quoted(name)} AS {bulk.quoted(name)}"
        for name in mapped
    )
    any_of = "".join(f", bool_or({bulk.quoted(name)})" for name in mapped)
    seqs, *differs = staged.run(
        connection,
        f"""
        SELECT array_agg(seq ORDER BY seq){any_of} FROM (
            SELECT s.seq{tests} {_meeting(staged, refs, where)} ORDER BY s.seq LIMIT :limit) batch""",
        **limits,
        **_parameters(refs),
    ).one()
    return seqs or [], [name for name, one_does in zip(mapped, differs, strict=True) if one_does]


def shared_targets(connection: Connection, staged: StagedObject) -> dict[UUID, dict[str, Any]]:
    """Hub records that several staged rows change, each with nothing noted yet."""
    rows = staged.run(
        connection,
        """
        SELECT target_id FROM {s} WHERE tenant_id = :t AND run_id = :r AND object = :o AND action IN ('updated', 'matched')
        GROUP BY target_id HAVING count(*) > 1""",
    )
    return {target: {} for target in rows.scalars()}


_TRACES = f"""
        journal AS (
            INSERT INTO migration_journal (tenant_id, run_id, entity, entity_id, object, vendor_id, action, before, before_link,
                                           version_after)
            SELECT CAST(:t AS uuid), CAST(:r AS uuid), :entity, src.id, CAST(:o AS text), src.vendor_id, src.action,
                   CASE WHEN c.id IS NOT NULL THEN src.before END, src.before_link,
                   coalesce(c.version, CAST(src.before->>'version' AS bigint))
            FROM src LEFT JOIN changed c ON c.id = src.id AND c.vendor_id = src.vendor_id),
        history AS (
            INSERT INTO field_history (tenant_id, id, entity, entity_id, field, old, new, origin, connection_id, rule, run_id,
                                       version)
            SELECT CAST(:t AS uuid), {bulk.NEW_ID}, :entity, src.id, f.name,
                   coalesce(src.before->f.name, src.before->'custom_fields'->substr(f.name, 15)),
                   coalesce(c.after->f.name, c.after->'custom_fields'->substr(f.name, 15)),
                   'migration', CAST(:c AS uuid), src.rule, CAST(:r AS uuid), c.version
            FROM src JOIN changed c ON c.id = src.id AND c.vendor_id = src.vendor_id CROSS JOIN LATERAL (
                SELECT unnest(src.fields) AS name
                UNION ALL SELECT 'custom_fields.' || k FROM unnest(src.custom || src.removed) k) f),
        touched AS (
            SELECT c.id, c.version,
                   src.fields || ARRAY(SELECT 'custom_fields.' || k FROM unnest(src.custom || src.removed) k) AS fields
            FROM changed c JOIN src ON src.id = c.id AND src.vendor_id = c.vendor_id),
        logged AS (
            INSERT INTO change (tenant_id, id, entity, entity_id, kind, fields, version, connection_id, detail)
            SELECT CAST(:t AS uuid), {bulk.NEW_ID}, :entity, id, 'updated', fields, version, CAST(:c AS uuid),
                   jsonb_build_object('run_id', CAST(:r AS text)) FROM touched)"""
"""What a change leaves behind: the before-images that undo needs, a row of history for each field, and one in the change log."""

_LINKS = """
        agreed AS (
            UPDATE link l SET base = src.before - CAST('{tenant_id,id,created_at,updated_at,version}' AS text[])
            FROM changed c JOIN src ON src.id = c.id AND src.vendor_id = c.vendor_id
            WHERE l.tenant_id = :t AND l.entity_id = src.id AND l.entity = :entity AND l.base IS NULL
              AND (l.connection_id, l.vendor_object, l.vendor_id) <> (CAST(:c AS uuid), CAST(:o AS text), src.vendor_id)),
        bound AS (
            INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, base, base_version,
                              vendor_version, fingerprint, origin, run_id)
            SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), src.vendor_id, :entity, src.id, src.says,
                   coalesce(c.version, src.version), src.vendor_version, src.fingerprint, src.action, CAST(:r AS uuid)
            FROM src LEFT JOIN changed c ON c.id = src.id AND c.vendor_id = src.vendor_id
            ON CONFLICT (tenant_id, connection_id, vendor_object, vendor_id) DO UPDATE SET
                base = excluded.base, base_version = excluded.base_version, vendor_version = excluded.vendor_version,
                fingerprint = excluded.fingerprint, tombstoned_at = NULL, updated_at = now())"""
"""The records are bound anew: their base is now what the source says. Other links of theirs keep what they had agreed on."""


def apply(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    mapped: Sequence[str],
    patches: Sequence[Patch],
) -> int:
    """Write what was decided, with before-images, field history and links; returns how many hub records changed.

    An empty patch only renews the link (the source changed nothing that the hub takes). The statement itself does what the trigger
    of the hub's table does for single records: it counts the version, and writes out what other links had agreed on.
    """
    if not patches:
        return 0
    columns = _changing(patches)
    news = "".join(f", {_value(c, staged, refs)} AS {bulk.quoted('new_' + c)}" for c in columns)
    says = json_object({name: _value(name, staged, refs) for name in [*mapped, "custom_fields"]})
    after = json_object({name: f"h.{bulk.quoted(name)}" for name in columns})
    parameters = {
        "seqs": [p.seq for p in patches],
        "rules": [p.rule for p in patches],
        "entity": staged.entity,
        "patches": [json.dumps({"fields": p.fields, "custom": p.custom, "removed": p.custom_removed}) for p in patches],
        **_parameters(refs),
    }
    connection.execute(_LOADING, {"loading": "on"})
    result = staged.run(
        connection,
        f"""
        WITH src AS MATERIALIZED (
            SELECT s.vendor_id, s.vendor_version, s.fingerprint, s.action, h.id, h.version, {says} AS says, {waits(refs)} AS waits,
                   to_jsonb(h) AS before, to_jsonb(l) AS before_link,
                   u.rule, ARRAY(SELECT jsonb_array_elements_text(u.patch->'fields')) AS fields,
                   ARRAY(SELECT jsonb_array_elements_text(u.patch->'custom')) AS custom,
                   ARRAY(SELECT jsonb_array_elements_text(u.patch->'removed')) AS removed {news}
            FROM unnest(CAST(:seqs AS bigint[]), CAST(:rules AS text[]), CAST(:patches AS jsonb[])) AS u(seq, rule, patch)
            JOIN LATERAL (SELECT * FROM {{s}} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = u.seq
                          LIMIT 1) s ON true
            JOIN LATERAL (SELECT * FROM {{hub}} WHERE tenant_id = :t AND id = s.target_id LIMIT 1) h ON true
            LEFT JOIN LATERAL (SELECT * FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o
                               AND vendor_id = s.vendor_id LIMIT 1) l ON true
            {_joins(staged, refs)}),
        changed AS (
            UPDATE {{hub}} h SET version = h.version + 1, updated_at = now(){_assignments(columns)} FROM src
            WHERE h.tenant_id = :t AND h.id = src.id
              AND cardinality(src.fields) + cardinality(src.custom) + cardinality(src.removed) > 0
            RETURNING h.id, h.version, {after} AS after, src.vendor_id),
        {_TRACES},
        {_LINKS}
        SELECT id, fields FROM touched UNION ALL (SELECT NULL, NULL FROM src WHERE waits LIMIT 1)""",
        **parameters,
    ).all()
    connection.execute(_LOADING, {"loading": "off"})
    touched = [Touched(row.id, frozenset(row.fields)) for row in result if row.id is not None]
    changing.queue(connection, _cause(staged), staged.entity, touched)
    if refs:
        _stop_waiting(connection, staged, refs, parameters)
    if len(touched) < len(result):
        _await_references(connection, staged, refs, parameters)
    return len(touched)


_LOADING = text("SELECT set_config('app.loading', :loading, true)")


def _cause(staged: StagedObject) -> Cause:
    """The lane of the source, if it is kept in step already: it need not be sent what it said itself."""
    tenant_id = staged.key.tenant_id
    return Cause(tenant_id, "migration", LaneKey(tenant_id, staged.connection_id, staged.object))


def _assignments(columns: Sequence[str]) -> str:
    """SQL that goes on setting: the fields which a patch names; the others stay as they are."""
    return "".join(f", {bulk.quoted(c)} = {_NEW_CUSTOM if c == _CUSTOM else _new(c)}" for c in columns)


def _new(column: str) -> str:
    name = bulk.quoted(column)
    return f"CASE WHEN '{column}' = ANY(src.fields) THEN src.{bulk.quoted('new_' + column)} ELSE h.{name} END"


_NEW_CUSTOM = """(h.custom_fields || coalesce((
    SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(src.new_custom_fields) e WHERE e.key = ANY(src.custom)), '{}')
    ) - src.removed"""


def _await_references(
    connection: Connection, staged: StagedObject, refs: Mapping[str, Reference], parameters: Mapping[str, Any]
) -> None:
    """Note which references of changed records lead nowhere yet, as far as nothing else stands in their place."""
    values = ", ".join(
        f"('{name}', s.{bulk.quoted(name)}, {_any_linked(ref.source, refs)}, h.{bulk.quoted(name)}, CAST(:wait_{name} AS text[]))"
        for name, ref in refs.items()
    )
    more = {k: v for k, v in parameters.items() if k not in ("rules", "patches")}
    staged.run(
        connection,
        f"""
        INSERT INTO pending_reference (tenant_id, connection_id, waiting_object, waiting_id, vendor_id, vendor_objects, entity,
                                       entity_id, field, run_id)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), s.vendor_id, p.ref, p.objects, :entity, h.id, p.field,
               CAST(:r AS uuid)
        FROM unnest(CAST(:seqs AS bigint[])) AS u(seq)
        JOIN LATERAL (SELECT * FROM {{s}} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = u.seq LIMIT 1) s ON true
        JOIN LATERAL (SELECT * FROM {{hub}} WHERE tenant_id = :t AND id = s.target_id LIMIT 1) h ON true
        {_joins(staged, refs)}
        CROSS JOIN LATERAL (VALUES {values}) AS p(field, ref, resolved, stands, objects)
        WHERE p.ref IS NOT NULL AND p.resolved IS NULL AND p.stands IS NULL
        {WAITS_INSTEAD}""",
        **more,
        **{f"wait_{name}": list(ref.objects) for name, ref in refs.items()},
    )


def _stop_waiting(
    connection: Connection, staged: StagedObject, refs: Mapping[str, Reference], parameters: Mapping[str, Any]
) -> None:
    """Forget the waiting references of changed records whose source now names another record, or none.

    What another vendor record of the same hub record waits for stays.
    """
    says = ", ".join(f"('{name}', s.{bulk.quoted(name)})" for name in refs)
    staged.run(
        connection,
        f"""
        DELETE FROM pending_reference w USING unnest(CAST(:seqs AS bigint[])) AS u(seq)
        JOIN LATERAL (SELECT * FROM {{s}} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = u.seq LIMIT 1) s ON true
        CROSS JOIN LATERAL (VALUES {says}) AS p(field, ref)
        WHERE w.tenant_id = :t AND w.connection_id = :c AND w.waiting_object = :o AND w.waiting_id = s.vendor_id
          AND w.field = p.field AND s.action = 'updated' AND w.vendor_id IS DISTINCT FROM p.ref""",
        seqs=parameters["seqs"],
    )


def _any_linked(source: str, refs: Mapping[str, Reference]) -> str:
    siblings = [name for name, ref in refs.items() if ref.source == source]
    return "coalesce(" + ", ".join(f"{bulk.quoted('link_' + name)}.entity_id" for name in siblings) + ")"
