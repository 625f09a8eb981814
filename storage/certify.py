"""Reconciliation in SQL: does the canonical store hold what a run staged?

Every function compares, with set-based statements, the staging rows of one object with the canonical rows that they lead
to, and returns counts plus a bounded list of findings. What is read is `stage_<entity>` (read and mapped), what is checked
is `crm_<entity>` and `link`; references, associations and files are in `certify_references` and `certify_files`.

A value that differs because somebody or a later run changed it since is told apart by its row in `field_history`: it is
reported as edited. A value that differs without history is a difference.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Numeric,
    Select,
    String,
    Table,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from domain.entities import ENTITIES, Kind
from storage.tables import (
    association,
    dead_letter,
    entity_tables,
    field_history,
    link,
    migration_chunk,
    stage_association,
    stage_tables,
)

LANDED: Final = ("created", "updated")
"""Actions whose staged values stand in the canonical record."""

BOUND: Final = ("created", "updated", "merged", "unchanged")
"""Actions after which the vendor record is linked to a canonical record."""

_OWNERS = ("owner_id", "created_by_id", "updated_by_id")
_DATES = ("source_created_at", "source_updated_at")


@dataclass(frozen=True, slots=True)
class Scope:
    """One object of one run. ``mapped``: the canonical fields that its mapping feeds. ``since``: when the run began."""

    tenant_id: UUID
    run_id: UUID
    connection_id: UUID
    object: str
    entity: str
    since: datetime
    mapped: frozenset[str] = frozenset()

    @property
    def stage(self) -> Table:
        return stage_association if self.entity == "association" else stage_tables[self.entity]

    @property
    def hub(self) -> Table:
        return association if self.entity == "association" else entity_tables[self.entity]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: ``expected`` (from the source) and ``found`` (in the hub) as text."""

    kind: str
    object: str
    vendor_id: str | None = None
    entity_id: UUID | None = None
    field: str | None = None
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """At most so many findings as were asked for, and how many there are in all."""

    total: int = 0
    items: tuple[Finding, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(self.total + other.total, self.items + other.items)


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


# ---------------------------------------------------------------- what was staged


def staged(scope: Scope) -> ColumnElement[bool]:
    """Rows of the scope in its staging table."""
    s = scope.stage.c
    return and_(s.tenant_id == scope.tenant_id, s.run_id == scope.run_id, s.object == scope.object)


def actions(connection: Connection, scope: Scope) -> dict[str, int]:
    """Number of staged rows by action; ``undecided`` for those without one."""
    s = scope.stage.c
    action = func.coalesce(s.action, "undecided")
    rows = connection.execute(select(action, func.count()).where(staged(scope)).group_by(action))
    return dict(rows.tuples().all())


def extracted(connection: Connection, scope: Scope) -> tuple[int, dict[str, int]]:
    """Records that the source listed, and what the extraction already decided of them (counts by name)."""
    m = migration_chunk.c
    rows = connection.execute(
        select(m.rows, m.counts).where(
            m.tenant_id == scope.tenant_id, m.run_id == scope.run_id, m.object == scope.object, m.phase == "extract"
        )
    )
    listed, counts = 0, dict[str, int]()
    for number, chunk_counts in rows.tuples():
        listed += number
        for name, value in chunk_counts.items():
            if isinstance(value, int):
                counts[name] = counts.get(name, 0) + value
    return listed, counts


def target(scope: Scope) -> ColumnElement[Any]:
    """The canonical id that a created, updated or unchanged row leads to."""
    s = scope.stage.c
    return func.coalesce(s.target_id, s.id)


def own_link(scope: Scope, alias: FromClause | None = None) -> ColumnElement[bool]:
    """Joins a staged row to the link of its vendor record."""
    s, k = scope.stage.c, (alias if alias is not None else link).c
    return and_(
        k.tenant_id == s.tenant_id,
        k.connection_id == scope.connection_id,
        k.vendor_object == scope.object,
        k.vendor_id == s.vendor_id,
    )


def fetch(connection: Connection, scope: Scope, query: Select[Any], limit: int) -> Findings:
    """Run a query whose columns are (some of) Finding's, and count all it would give."""
    counted = query.add_columns(func.count().over().label("total")).limit(limit)
    total, items = 0, []
    for row in connection.execute(counted).mappings():
        total = row["total"]
        values = {name: row[name] for name in row if name != "total"}
        items.append(Finding(object=scope.object, **values))
    return Findings(total, tuple(items))


# ---------------------------------------------------------------- records and links


def undecided(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Staged rows that no planner decided on."""
    s = scope.stage.c
    query = select(literal("undecided").label("kind"), s.vendor_id).where(staged(scope), s.action.is_(None))
    return fetch(connection, scope, query.order_by(s.seq), limit)


def rejected_without_letter(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Rejected rows that are not in the dead-letter queue, where a person could find them."""
    s, d = scope.stage.c, dead_letter.c
    lettered = exists().where(
        d.tenant_id == s.tenant_id,
        d.connection_id == scope.connection_id,
        d.object == scope.object,
        d.vendor_id == s.vendor_id,
    )
    query = select(literal("rejected_without_letter").label("kind"), s.vendor_id)
    query = query.where(staged(scope), s.action == "rejected", ~lettered).order_by(s.seq)
    return fetch(connection, scope, query, limit)


def links(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Staged records without link, links to another record than planned, and links that nothing staged accounts for."""
    return (
        _missing_links(connection, scope, limit)
        + _wrong_links(connection, scope, limit)
        + _extra_links(connection, scope, limit)
    )


def _missing_links(connection: Connection, scope: Scope, limit: int) -> Findings:
    s = scope.stage.c
    query = select(literal("missing_link").label("kind"), s.vendor_id, target(scope).label("entity_id")).where(
        staged(scope), s.action.in_(BOUND), ~exists().where(own_link(scope))
    )
    return fetch(connection, scope, query.order_by(s.seq), limit)


def _wrong_links(connection: Connection, scope: Scope, limit: int) -> Findings:
    s, survivor = scope.stage.c, scope.stage.alias("survivor")
    expected = func.coalesce(s.target_id, survivor.c.target_id, survivor.c.id, s.id)
    joined = scope.stage.join(link, own_link(scope)).outerjoin(
        survivor,
        and_(
            survivor.c.tenant_id == s.tenant_id,
            survivor.c.run_id == s.run_id,
            survivor.c.object == s.object,
            survivor.c.seq == s.survivor_seq,
        ),
    )
    query = (
        select(
            literal("wrong_link").label("kind"),
            s.vendor_id,
            link.c.entity_id,
            cast(expected, String).label("expected"),
            cast(link.c.entity_id, String).label("found"),
        )
        .select_from(joined)
        .where(staged(scope), s.action.in_(BOUND), or_(link.c.entity_id != expected, link.c.entity != scope.entity))
    )
    return fetch(connection, scope, query.order_by(s.seq), limit)


def _extra_links(connection: Connection, scope: Scope, limit: int) -> Findings:
    s = scope.stage.c
    query = select(literal("extra_link").label("kind"), link.c.vendor_id, link.c.entity_id).where(
        link.c.tenant_id == scope.tenant_id,
        link.c.connection_id == scope.connection_id,
        link.c.vendor_object == scope.object,
        link.c.run_id == scope.run_id,
        ~exists().where(staged(scope), s.vendor_id == link.c.vendor_id, s.action.in_(BOUND)),
    )
    return fetch(connection, scope, query.order_by(link.c.vendor_id), limit)


def missing_records(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Links of this object, those of records that did not change included, whose canonical record is not there."""
    h = scope.hub.c
    query = select(literal("missing_record").label("kind"), link.c.vendor_id, link.c.entity_id).where(
        link.c.tenant_id == scope.tenant_id,
        link.c.connection_id == scope.connection_id,
        link.c.vendor_object == scope.object,
        link.c.entity == scope.entity,
        link.c.tombstoned_at.is_(None),
        ~exists().where(h.tenant_id == link.c.tenant_id, h.id == link.c.entity_id),
    )
    return fetch(connection, scope, query.order_by(link.c.vendor_id), limit)


def linked(connection: Connection, scope: Scope) -> int:
    """How many records of the object are linked, tombstoned ones left out."""
    query = select(func.count()).where(
        link.c.tenant_id == scope.tenant_id,
        link.c.connection_id == scope.connection_id,
        link.c.vendor_object == scope.object,
        link.c.tombstoned_at.is_(None),
    )
    return connection.execute(query).scalar_one()


# ---------------------------------------------------------------- fields


def value_fields(scope: Scope, *, skip: Collection[str] = ()) -> list[str]:
    """The fields compared by value: all but references (which are compared by what they lead to)."""
    if scope.entity == "association":
        return ["label", "is_primary", *_DATES, "custom_fields"]
    own = [f.name for f in ENTITIES[scope.entity].all_fields.values() if f.kind is not Kind.REFERENCE]
    return [name for name in [*own, "custom_fields"] if name not in skip]


def _hub_value(scope: Scope, field: str) -> ColumnElement[Any]:
    """The hub's value, or the staged one where the run had no say.

    A record created by the run holds exactly what was staged. An updated one may hold more: fields that the mapping does
    not feed, custom fields of other systems and, where it stood in the hub before, values that the source leaves blank.
    """
    s, h = scope.stage.c[field], scope.hub.c[field]
    updated = scope.stage.c.action == "updated"
    if field == "custom_fields":
        return case((and_(updated, h.op("@>")(s)), s), else_=h)
    if field not in scope.mapped:
        return case((updated, s), else_=h)
    return case((and_(updated, s.is_(None), link.c.origin != "created"), s), else_=h)


def _landed(scope: Scope) -> FromClause:
    h = scope.hub.c
    hub_row = and_(h.tenant_id == scope.stage.c.tenant_id, h.id == target(scope))
    return scope.stage.join(scope.hub, hub_row).join(link, own_link(scope))


def _hash(vendor_id: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    text = func.concat(vendor_id, "\x1f", cast(value, String))
    hashed = case((value.is_(None), literal(0)), else_=func.hashtextextended(text, 0))
    return cast(func.coalesce(func.sum(cast(hashed, Numeric)), 0), String)


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
            func.count().filter(s[name].is_distinct_from(hub)).label(f"differing_{number}"),
        ]
    query = select(*columns).select_from(_landed(scope)).where(staged(scope), s.action.in_(LANDED))
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


def edited_since(scope: Scope, entity_id: ColumnElement[Any], field: str) -> ColumnElement[bool]:
    """Whether the field has a history after the run began that is not the run's own."""
    f = field_history.c
    return exists().where(
        f.tenant_id == scope.tenant_id,
        f.entity_id == entity_id,
        f.field == field,
        f.at >= scope.since,
        f.run_id.is_distinct_from(scope.run_id),
    )


def differing(
    connection: Connection, scope: Scope, fields: Sequence[str], limit: int, *, edited: bool = False
) -> Findings:
    """Records whose value of one of ``fields`` differs: without history, or (``edited``) changed since."""
    if not fields:
        return Findings()
    s = scope.stage.c
    parts = []
    for name in fields:
        hub = _hub_value(scope, name)
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
            .where(staged(scope), s.action.in_(LANDED), s[name].is_distinct_from(hub), changed if edited else ~changed)
        )
    united = union_all(*parts).subquery()
    return fetch(connection, scope, select(united).order_by(united.c.vendor_id, united.c.field), limit)


def _shown(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """The value as text of bounded length."""
    return case((value.is_(None), null()), else_=func.left(cast(value, String), 500))
