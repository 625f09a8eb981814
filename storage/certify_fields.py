"""Reconciliation of values: every landed field against its staged value, by checksum and record by record."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Numeric,
    String,
    and_,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.entities import ENTITIES, Kind
from storage.certify import LANDED, Findings, Scope, action, edited_since, fetch, own_link, staged, target
from storage.tables import link, migration_journal

_OWNERS = ("owner_id", "created_by_id", "updated_by_id")
_DATES = ("source_created_at", "source_updated_at")


@dataclass(frozen=True, slots=True)
class FieldSum:
    """Checksums of one field over all landed records, ``source`` and ``hub``: equal sums, equal values.

    Each is the sum of a 64-bit hash of (vendor id, value) over the rows, so that swapped values show as well.
    """

    field: str
    rows: int
    filled: int
    source: str
    hub: str
    differing: int


def value_fields(scope: Scope, *, skip: Collection[str] = ()) -> list[str]:
    """The fields compared by value: all but references (which are compared by what they lead to)."""
    if scope.entity == "association":
        return ["label", "is_primary", *_DATES, "custom_fields"]
    own = [f.name for f in ENTITIES[scope.entity].all_fields.values() if f.kind is not Kind.REFERENCE]
    return [name for name in [*own, "custom_fields"] if name not in skip]


def differs(scope: Scope, field: str) -> ColumnElement[bool]:
    """Whether the hub holds something else than was staged, where the source has a say."""
    s, h = scope.stage.c[field], scope.hub.c[field]
    created = action(scope) == "created"
    if field == "custom_fields":
        return case((created, s.is_distinct_from(h)), else_=~h.bool_op("@>")(s))
    return and_(s.is_distinct_from(h), or_(created, literal(field in scope.mapped)))


def kept(scope: Scope, field: str) -> ColumnElement[bool]:
    """Whether the run rightly left the hub's own value: matched records only have their blanks filled, and in records that
    were linked before, a value that was edited in the hub stays. The journal's before-images tell."""
    j, s, h = migration_journal.c, scope.stage.c, scope.hub.c[field]
    base = j.before_link["base"]
    legitimate: ColumnElement[bool]
    if field == "custom_fields":
        legitimate = case((s.action == "matched", _no_custom_lost(scope)), else_=_custom_edited(scope, base))
    else:
        now = func.to_jsonb(h)
        untouched = or_(j.before.is_(None), _json_value(j.before[field]).is_not_distinct_from(now))
        edited = and_(func.jsonb_typeof(base) == "object", _json_value(base[field]).is_distinct_from(now))
        legitimate = and_(
            untouched, or_(and_(s.action == "matched", h.is_not(None)), and_(s.action == "updated", edited))
        )
    return exists().where(
        j.tenant_id == s.tenant_id,
        j.run_id == s.run_id,
        j.entity == scope.entity,
        j.entity_id == scope.hub.c.id,
        j.vendor_id == s.vendor_id,
        legitimate,
    )


def _json_value(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.nullif(value, cast("null", JSONB))


def _no_custom_lost(scope: Scope) -> ColumnElement[bool]:
    each = func.jsonb_each(scope.stage.c.custom_fields).table_valued("key", "value", name="e")
    return ~exists(select(1).select_from(each).where(~scope.hub.c.custom_fields.bool_op("?")(each.c.key)))


def _custom_edited(scope: Scope, base: ColumnElement[Any]) -> ColumnElement[bool]:
    """Every custom field that differs had been edited in the hub."""
    each = func.jsonb_each(scope.stage.c.custom_fields).table_valued(
        column("key", String), column("value", JSONB), name="e"
    )
    stands = scope.hub.c.custom_fields.op("->")(each.c.key)
    agreed = base.op("->")("custom_fields").op("->")(each.c.key)
    lost = and_(stands.is_distinct_from(each.c.value), or_(agreed.is_(None), agreed.is_not_distinct_from(stands)))
    return ~exists(select(1).select_from(each).where(lost))


def _hub_value(scope: Scope, field: str) -> ColumnElement[Any]:
    """The hub's value, or the staged one where the run rightly left the hub's own."""
    s, h = scope.stage.c[field], scope.hub.c[field]
    # A dictionary, for given tuples `case` first renders each of them as text, which costs more than the whole statement.
    return case({action(scope) == "created": h, ~differs(scope, field): s, kept(scope, field): s}, else_=h)


def _landed(scope: Scope) -> FromClause:
    h = scope.hub.c
    hub_row = and_(h.tenant_id == scope.stage.c.tenant_id, h.id == target(scope))
    return scope.stage.join(scope.hub, hub_row).join(link, own_link(scope))


def _hash(vendor_id: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    text = func.concat(vendor_id, "\x1f", cast(value, String))
    hashed = case({value.is_(None): literal(0)}, else_=func.hashtextextended(text, 0))
    return cast(func.coalesce(func.sum(cast(hashed, Numeric)), 0), String)


def _lost(scope: Scope, field: str) -> ColumnElement[bool]:
    """The hub lacks the staged value for no good reason."""
    created = action(scope) == "created"
    return and_(differs(scope, field), or_(created, ~kept(scope, field)))


def field_sums(connection: Connection, scope: Scope, fields: Sequence[str]) -> list[FieldSum]:
    """Checksums and number of differing records of every field, in one pass over the object."""
    if not fields:
        return []
    s = scope.stage.c
    columns: list[ColumnElement[Any]] = [func.count().label("rows")]
    for number, name in enumerate(fields):
        hub = _hub_value(scope, name)
        columns += [
            func.count(s[name]).label(f"filled_{number}"),
            _hash(s.vendor_id, s[name]).label(f"source_{number}"),
            _hash(s.vendor_id, hub).label(f"hub_{number}"),
            func.count().filter(_lost(scope, name)).label(f"differing_{number}"),
        ]
    query = select(*columns).select_from(_landed(scope)).where(staged(scope), action(scope).in_(LANDED))
    row = connection.execute(query).mappings().one()
    return [
        FieldSum(n, row["rows"], row[f"filled_{i}"], row[f"source_{i}"], row[f"hub_{i}"], row[f"differing_{i}"])
        for i, n in enumerate(fields)
    ]


def difference_kind(field: str) -> str:
    """How a difference in ``field`` is called."""
    if field in _OWNERS:
        return "wrong_owner"
    return "wrong_date" if field in _DATES else "changed_value"


def differing(
    connection: Connection, scope: Scope, fields: Sequence[str], limit: int, *, edited: bool = False
) -> Findings:
    """Records whose value of one of ``fields`` differs: without history, or (``edited``) changed since."""
    if not fields:
        return Findings()
    s = scope.stage.c
    parts = []
    for name in fields:
        changed = edited_since(scope, scope.hub.c.id, name)
        parts.append(
            select(
                literal("edited" if edited else difference_kind(name)).label("kind"),
                s.vendor_id.label("vendor_id"),
                scope.hub.c.id.label("entity_id"),
                literal(name).label("field"),
                _shown(s[name]).label("expected"),
                _shown(scope.hub.c[name]).label("found"),
            )
            .select_from(_landed(scope))
            .where(staged(scope), action(scope).in_(LANDED), _lost(scope, name), changed if edited else ~changed)
        )
    united = union_all(*parts).subquery()
    return fetch(connection, scope, select(united).order_by(united.c.vendor_id, united.c.field), limit)


def _shown(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """The value as text of bounded length."""
    return case((value.is_(None), null()), else_=func.left(cast(value, String), 500))
