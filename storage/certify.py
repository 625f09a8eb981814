"""Reconciliation in SQL: does the canonical store hold what a run staged?

Every function compares, with set-based statements, the staging rows of one object with the canonical rows that they lead
to, and returns counts plus a bounded list of findings. What is read is `stage_<entity>` (read and mapped), what is checked
is `crm_<entity>` and `link`; references, associations and files are in `certify_references` and `certify_files`.

A value that differs because somebody or a later run changed it since is told apart by its row in `field_history`: it is
reported as edited. A value that differs without history is a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    Table,
    and_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    text,
)

from storage.tables import (
    association,
    dead_letter,
    entity_tables,
    field_history,
    link,
    stage_association,
    stage_link,
    stage_tables,
)

LANDED: Final = ("created", "updated", "matched")
"""Actions whose staged values stand in the canonical record. A staged record without an action was created."""

BOUND: Final = (*LANDED, "merged")
"""Actions after which the vendor record is linked to a canonical record."""


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


def prepare(connection: Connection) -> None:
    """Settings of a transaction that compares whole objects."""
    connection.execute(text("SELECT set_config('work_mem', '128MB', true), set_config('jit', 'off', true)"))


# ---------------------------------------------------------------- what was staged


def staged(scope: Scope) -> ColumnElement[bool]:
    """Rows of the scope in its staging table."""
    s = scope.stage.c
    return and_(s.tenant_id == scope.tenant_id, s.run_id == scope.run_id, s.object == scope.object)


def actions(connection: Connection, scope: Scope) -> dict[str, int]:
    """Number of staged rows by action."""
    name = action(scope)
    rows = connection.execute(select(name, func.count()).where(staged(scope)).group_by(name))
    return {name: number for name, number in rows}  # noqa: C416


def action(scope: Scope) -> ColumnElement[str]:
    """What the planner decided for a staged row."""
    return func.coalesce(scope.stage.c.action, "created")


def target(scope: Scope) -> ColumnElement[Any]:
    """The canonical id that a landed row leads to."""
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


def _lettered(scope: Scope) -> ColumnElement[bool]:
    s, d = scope.stage.c, dead_letter.c
    return exists().where(
        d.tenant_id == s.tenant_id,
        d.connection_id == scope.connection_id,
        d.object == scope.object,
        d.vendor_id == s.vendor_id,
    )


def rejected_without_letter(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Rejected rows that are not in the dead-letter queue, where a person could find them."""
    s = scope.stage.c
    query = select(literal("rejected_without_letter").label("kind"), s.vendor_id)
    query = query.where(staged(scope), s.action == "rejected", ~_lettered(scope)).order_by(s.seq)
    return fetch(connection, scope, query, limit)


def links(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Staged records without link, links to another record than planned, and links that nothing staged accounts for."""
    missing = _missing_links(connection, scope, limit)
    if scope.entity == "association":  # equal associations share one row, which `certify_references` finds by its ends
        return missing
    return missing + _wrong_links(connection, scope, limit)


def _missing_links(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Without link and without dead letter: a record that got lost on the way."""
    s = scope.stage.c
    query = select(literal("missing_link").label("kind"), s.vendor_id, target(scope).label("entity_id")).where(
        staged(scope), action(scope).in_(BOUND), ~exists().where(own_link(scope)), ~_lettered(scope)
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
        .where(
            staged(scope), action(scope).in_(BOUND), or_(link.c.entity_id != expected, link.c.entity != scope.entity)
        )
    )
    return fetch(connection, scope, query.order_by(s.seq), limit)


def extra_links(connection: Connection, scope: Scope, limit: int) -> Findings:
    """Links that this run made and that nothing it staged accounts for.

    Also those of associations found inside records: they are filed under ``object.label`` as ``record>other``.
    """
    s, p = scope.stage.c, stage_link.c
    own = and_(
        link.c.vendor_object == scope.object,
        ~exists().where(staged(scope), s.vendor_id == link.c.vendor_id, action(scope).in_(BOUND)),
    )
    found_inside = exists().where(
        staged(scope),
        p.tenant_id == s.tenant_id,
        p.run_id == s.run_id,
        p.object == s.object,
        p.seq == s.seq,
        link.c.vendor_id == s.vendor_id + ">" + p.vendor_id,
        link.c.vendor_object == s.object + "." + p.label,
    )
    inside = and_(func.starts_with(link.c.vendor_object, scope.object + "."), ~found_inside)
    query = select(literal("extra_link").label("kind"), link.c.vendor_id, link.c.entity_id).where(
        link.c.tenant_id == scope.tenant_id,
        link.c.connection_id == scope.connection_id,
        link.c.run_id == scope.run_id,
        or_(own, inside),
    )
    return fetch(connection, scope, query.order_by(link.c.vendor_id), limit)


def origins(connection: Connection, scope: Scope) -> dict[str, int]:
    """How many records of the object the run linked, by origin (created, matched, merged)."""
    query = select(link.c.origin, func.count()).where(
        link.c.tenant_id == scope.tenant_id,
        link.c.connection_id == scope.connection_id,
        link.c.vendor_object == scope.object,
        link.c.run_id == scope.run_id,
    )
    return {origin: number for origin, number in connection.execute(query.group_by(link.c.origin))}  # noqa: C416


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
