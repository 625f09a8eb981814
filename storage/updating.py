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

from sqlalchemy import Connection

from domain.entities import ENTITIES, Kind
from storage import bulk
from storage.loading import Reference, json_object, reference_join
from storage.planning import StagedObject


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


def _loads(value: str | None) -> Any:
    return None if value is None else json.loads(value, parse_float=Decimal)


def _columns(staged: StagedObject) -> list[str]:
    return [*ENTITIES[staged.entity].all_fields, "custom_fields"]


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
) -> list[Sides]:
    """The next ``limit`` staged rows behind row ``after`` that change or match a hub record; ``only`` these rows, if given.

    ``mapped``: the canonical fields that the mapping knows; the others are not the source's to say. ``staged_too``: references
    may lead to records that are only staged (a dry run).
    """
    names = [*mapped, "custom_fields"]
    says = json_object({name: _value(name, staged, refs) for name in names})
    stands = json_object({name: f"h.{bulk.quoted(name)}" for name in names})
    rows = staged.run(
        connection,
        f"""
        SELECT s.seq, s.vendor_id, h.id, s.action, l.vendor_id IS NOT NULL,
               CAST(CASE WHEN l.vendor_id IS NULL THEN NULL ELSE coalesce(l.base, {stands}) END AS text),
               CAST({stands} AS text), CAST({says} AS text)
        FROM {{s}} s JOIN LATERAL (SELECT * FROM {{hub}} WHERE tenant_id = :t AND id = s.target_id FOR UPDATE) h ON true
        LEFT JOIN LATERAL (SELECT * FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o
                           AND vendor_id = s.vendor_id LIMIT 1) l ON true
        {_joins(staged, refs, staged_too=staged_too)}
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.seq > :after AND s.action IN ('updated', 'matched')
          {"" if only is None else "AND s.seq = ANY(CAST(:only AS bigint[]))"}
        ORDER BY s.seq LIMIT :limit""",
        after=after,
        limit=limit,
        **({} if only is None else {"only": list(only)}),
        **_parameters(refs),
    ).all()
    return [
        Sides(seq, vendor_id, hub_id, action, _loads(base), _loads(hub), _loads(vendor))
        for seq, vendor_id, hub_id, action, _, base, hub, vendor in rows
    ]


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
                UNION ALL SELECT 'custom_fields.' || k FROM unnest(src.custom || src.removed) k) f)"""
"""What a change leaves behind: the before-images that undo needs, and a row of history for each field."""


def apply(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    mapped: Sequence[str],
    patches: Sequence[Patch],
) -> int:
    """Write what was decided, with before-images, field history and links; returns how many hub records changed.

    An empty patch only renews the link (the source changed nothing that the hub takes).
    """
    if not patches:
        return 0
    columns = [c for c in _columns(staged) if c in mapped]
    news = "".join(f", {_value(c, staged, refs)} AS {bulk.quoted('new_' + c)}" for c in columns)
    parameters = {
        "seqs": [p.seq for p in patches],
        "rules": [p.rule for p in patches],
        "entity": staged.entity,
        "patches": [json.dumps({"fields": p.fields, "custom": p.custom, "removed": p.custom_removed}) for p in patches],
        **_parameters(refs),
    }
    result = staged.run(
        connection,
        f"""
        WITH src AS MATERIALIZED (
            SELECT s.vendor_id, s.action, h.id, to_jsonb(h) AS before, to_jsonb(l) AS before_link,
                   u.rule, ARRAY(SELECT jsonb_array_elements_text(u.patch->'fields')) AS fields,
                   ARRAY(SELECT jsonb_array_elements_text(u.patch->'custom')) AS custom,
                   ARRAY(SELECT jsonb_array_elements_text(u.patch->'removed')) AS removed,
                   s.custom_fields AS new_custom {news}
            FROM unnest(CAST(:seqs AS bigint[]), CAST(:rules AS text[]), CAST(:patches AS jsonb[])) AS u(seq, rule, patch)
            JOIN LATERAL (SELECT * FROM {{s}} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = u.seq
                          LIMIT 1) s ON true
            JOIN LATERAL (SELECT * FROM {{hub}} WHERE tenant_id = :t AND id = s.target_id LIMIT 1) h ON true
            LEFT JOIN LATERAL (SELECT * FROM link WHERE tenant_id = :t AND connection_id = :c AND vendor_object = :o
                               AND vendor_id = s.vendor_id LIMIT 1) l ON true
            {_joins(staged, refs)}),
        changed AS (
            UPDATE {{hub}} h SET {_assignments(columns)} FROM src
            WHERE h.tenant_id = :t AND h.id = src.id
              AND cardinality(src.fields) + cardinality(src.custom) + cardinality(src.removed) > 0
            RETURNING h.id, h.version, to_jsonb(h) AS after, src.vendor_id),
        {_TRACES}
        SELECT count(*) FROM changed""",
        **parameters,
    )
    changed = int(result.scalar_one())
    _renew_links(connection, staged, refs, mapped, parameters)
    _await_references(connection, staged, refs, parameters)
    return changed


def _assignments(columns: Sequence[str]) -> str:
    """SQL that sets the fields which a patch names, and leaves the others as they are."""
    fields = [
        f"{bulk.quoted(c)} = CASE WHEN '{c}' = ANY(src.fields) THEN src.{bulk.quoted('new_' + c)} ELSE h.{bulk.quoted(c)} END"
        for c in columns
    ]
    custom = """custom_fields = (h.custom_fields || coalesce((
        SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(src.new_custom) e WHERE e.key = ANY(src.custom)), '{}')
        ) - src.removed"""
    return ", ".join([*fields, custom])


def _renew_links(
    connection: Connection,
    staged: StagedObject,
    refs: Mapping[str, Reference],
    mapped: Sequence[str],
    parameters: Mapping[str, Any],
) -> None:
    """Bind the records anew: their base is now what the source says. A statement of its own, after the version trigger."""
    says = json_object({name: _value(name, staged, refs) for name in [*mapped, "custom_fields"]})
    staged.run(
        connection,
        f"""
        INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, base, base_version, vendor_version,
                          fingerprint, origin, run_id)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), CAST(:o AS text), s.vendor_id, :entity, h.id, {says}, h.version,
               s.vendor_version, s.fingerprint, s.action, CAST(:r AS uuid)
        FROM unnest(CAST(:seqs AS bigint[])) AS u(seq)
        JOIN LATERAL (SELECT * FROM {{s}} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = u.seq LIMIT 1) s ON true
        JOIN LATERAL (SELECT * FROM {{hub}} WHERE tenant_id = :t AND id = s.target_id LIMIT 1) h ON true
        {_joins(staged, refs)}
        ON CONFLICT (tenant_id, connection_id, vendor_object, vendor_id) DO UPDATE SET
            base = excluded.base, base_version = excluded.base_version, vendor_version = excluded.vendor_version,
            fingerprint = excluded.fingerprint, tombstoned_at = NULL, updated_at = now()""",
        **{k: v for k, v in parameters.items() if k not in ("rules", "patches")},
    )


def _await_references(
    connection: Connection, staged: StagedObject, refs: Mapping[str, Reference], parameters: Mapping[str, Any]
) -> None:
    """Note which references of changed records lead nowhere yet, as far as nothing else stands in their place.

    What these records waited for before is what their source said before: it goes.
    """
    if not refs:
        return
    _stop_waiting(connection, staged, refs, parameters)
    values = ", ".join(
        f"('{name}', s.{bulk.quoted(name)}, {_any_linked(ref.source, refs)}, h.{bulk.quoted(name)}, CAST(:wait_{name} AS text[]))"
        for name, ref in refs.items()
    )
    more = {k: v for k, v in parameters.items() if k not in ("rules", "patches")}
    staged.run(
        connection,
        f"""
        INSERT INTO pending_reference (tenant_id, connection_id, vendor_id, vendor_objects, entity, entity_id, field, run_id)
        SELECT CAST(:t AS uuid), CAST(:c AS uuid), p.ref, p.objects, :entity, h.id, p.field, CAST(:r AS uuid)
        FROM unnest(CAST(:seqs AS bigint[])) AS u(seq)
        JOIN LATERAL (SELECT * FROM {{s}} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = u.seq LIMIT 1) s ON true
        JOIN LATERAL (SELECT * FROM {{hub}} WHERE tenant_id = :t AND id = s.target_id LIMIT 1) h ON true
        {_joins(staged, refs)}
        CROSS JOIN LATERAL (VALUES {values}) AS p(field, ref, resolved, stands, objects)
        WHERE p.ref IS NOT NULL AND p.resolved IS NULL AND p.stands IS NULL
        ON CONFLICT DO NOTHING""",
        **more,
        **{f"wait_{name}": list(ref.objects) for name, ref in refs.items()},
    )


def _stop_waiting(
    connection: Connection, staged: StagedObject, refs: Mapping[str, Reference], parameters: Mapping[str, Any]
) -> None:
    """Forget the waiting references of changed records whose source now names another record, or none.

    Where several vendor records share a hub record it cannot be told which of them waits: those stay.
    """
    says = ", ".join(f"('{name}', s.{bulk.quoted(name)})" for name in refs)
    staged.run(
        connection,
        f"""
        DELETE FROM pending_reference w USING unnest(CAST(:seqs AS bigint[])) AS u(seq)
        JOIN LATERAL (SELECT * FROM {{s}} WHERE tenant_id = :t AND run_id = :r AND object = :o AND seq = u.seq LIMIT 1) s ON true
        CROSS JOIN LATERAL (VALUES {says}) AS p(field, ref)
        WHERE w.tenant_id = :t AND w.connection_id = :c AND w.entity = :entity AND w.entity_id = s.target_id
          AND w.field = p.field AND s.action = 'updated' AND w.vendor_id IS DISTINCT FROM p.ref
          AND NOT EXISTS (SELECT FROM link o WHERE o.tenant_id = :t AND o.entity_id = s.target_id AND o.connection_id = :c
                          AND o.vendor_object = :o AND o.vendor_id <> s.vendor_id AND o.origin <> 'alias')""",
        seqs=parameters["seqs"],
        entity=staged.entity,
    )


def _any_linked(source: str, refs: Mapping[str, Reference]) -> str:
    siblings = [name for name, ref in refs.items() if ref.source == source]
    return "coalesce(" + ", ".join(f"{bulk.quoted('link_' + name)}.entity_id" for name in siblings) + ")"
