"""Reconciliation of what refers to what: references, owners and associations.

A staged reference is a vendor id. It is *resolved* when the canonical column holds the record that this id is linked to,
*pending* when nothing is linked to it and `pending_reference` remembers it, *elsewhere* when the id belongs to a record of
another object (one polymorphic lookup feeds several columns; only one of them is meant). A record that stood in the hub before
keeps what it refers to where the other end is unknown. Everything else is a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from domain.entities import ENTITIES
from storage.certify import BOUND, LANDED, Findings, Scope, action, edited_since, fetch, own_link, staged, target
from storage.certify_fields import kept
from storage.loading import ALIAS
from storage.tables import association, link, pending_reference, stage_link


@dataclass(frozen=True, slots=True)
class ReferenceSum:
    """What became of the staged references of one field; the five numbers add up to ``staged``."""

    field: str
    staged: int
    resolved: int
    pending: int
    elsewhere: int
    wrong: int
    lost: int


@dataclass(frozen=True, slots=True)
class AssociationSum:
    """What became of the staged associations of one object; the numbers add up to ``staged``."""

    staged: int
    present: int
    pending: int
    lost: int


# ---------------------------------------------------------------- references


def _hub_link(
    scope: Scope, vendor_id: ColumnElement[Any], objects: Sequence[str], found: ColumnElement[Any]
) -> FromClause:
    """The link that a staged vendor id leads to; the one that ``found`` agrees with, where ids are not unique."""
    k = link.alias("k").c
    query = select(k.entity, k.entity_id).where(
        k.tenant_id == scope.tenant_id, k.connection_id == scope.connection_id, k.vendor_id == vendor_id
    )
    if "*" not in objects:
        query = query.where(k.vendor_object.in_(list(objects)))
    return query.order_by((k.entity_id == found).desc().nulls_last()).limit(1).lateral("leads_to")


def _linked_anywhere(scope: Scope, vendor_id: ColumnElement[Any]) -> ColumnElement[bool]:
    k = link.alias("anywhere").c
    return exists().where(
        k.tenant_id == scope.tenant_id, k.connection_id == scope.connection_id, k.vendor_id == vendor_id
    )


def _remembered(scope: Scope, vendor_id: ColumnElement[Any], field: str) -> ColumnElement[bool]:
    p = pending_reference.c
    return exists().where(
        p.tenant_id == scope.tenant_id,
        p.connection_id == scope.connection_id,
        p.vendor_id == vendor_id,
        p.entity_id == target(scope),
        p.field == field,
    )


def _verdict(scope: Scope, field: str, refers_to: str, leads_to: FromClause) -> ColumnElement[Any]:
    staged_id, found = scope.stage.c[field], scope.hub.c[field]
    stood_before = action(scope) != "created"
    known = and_(leads_to.c.entity_id.is_not(None), leads_to.c.entity == refers_to)
    return case(
        (staged_id.is_(None), "extra"),
        (and_(known, found == leads_to.c.entity_id), "resolved"),
        (and_(stood_before, kept(scope, field)), "resolved"),
        (and_(known, found.is_(None)), "lost"),
        (known, "wrong"),
        (_remembered(scope, staged_id, field), "pending"),
        (and_(found.is_not(None), ~stood_before), "wrong"),
        (_linked_anywhere(scope, staged_id), "elsewhere"),
        (stood_before, "pending"),
        else_="lost",
    )


def _judged(scope: Scope, field: str, objects: Sequence[str]) -> Select[Any]:
    """One row a reference that is staged, or that a created record has without its source saying so."""
    s, h = scope.stage.c, scope.hub.c
    refers_to = ENTITIES[scope.entity].field(field).refers_to or ""
    leads_to = _hub_link(scope, s[field], objects, h[field])
    joined = scope.stage.join(scope.hub, and_(h.tenant_id == s.tenant_id, h.id == target(scope)))
    return (
        select(
            _verdict(scope, field, refers_to, leads_to).label("verdict"),
            s.vendor_id,
            h.id.label("entity_id"),
            s[field].label("expected"),
            h[field].label("found"),
            edited_since(scope, h.id, field).label("edited"),
        )
        .select_from(joined.outerjoin(leads_to, true()))
        .where(
            staged(scope),
            action(scope).in_(LANDED),
            or_(s[field].is_not(None), and_(action(scope) == "created", h[field].is_not(None))),
        )
    )


def reference_sum(connection: Connection, scope: Scope, field: str, objects: Sequence[str]) -> ReferenceSum:
    """Count what became of the references in ``field``; ``objects``: vendor objects that they may name."""
    judged = _judged(scope, field, objects).subquery()
    verdict = judged.c.verdict
    counts = {name: number for name, number in connection.execute(select(verdict, func.count()).group_by(verdict))}  # noqa: C416
    wrong = counts.pop("extra", 0) + counts.get("wrong", 0)
    return ReferenceSum(
        field,
        staged=sum(counts.values()),
        resolved=counts.get("resolved", 0),
        pending=counts.get("pending", 0),
        elsewhere=counts.get("elsewhere", 0),
        wrong=wrong,
        lost=counts.get("lost", 0),
    )


def references(
    connection: Connection, scope: Scope, field: str, objects: Sequence[str], limit: int, *, verdict: str = "different"
) -> Findings:
    """The references of ``field`` that are ``different`` (wrong or lost, without history), ``edited`` or ``pending``."""
    judged = _judged(scope, field, objects).subquery()
    kind = case(
        (judged.c.verdict == "pending", "pending"),
        (judged.c.edited, "edited"),
        (judged.c.verdict == "lost", "lost_reference"),
        else_="wrong_owner" if field in ("owner_id", "created_by_id", "updated_by_id") else "wrong_reference",
    ).label("kind")
    query = select(
        kind,
        judged.c.vendor_id,
        judged.c.entity_id,
        literal(field).label("field"),
        judged.c.expected,
        cast(judged.c.found, String).label("found"),
    )
    bad = judged.c.verdict.in_(("wrong", "lost", "extra"))
    chosen = {
        "different": and_(bad, ~judged.c.edited),
        "edited": and_(bad, judged.c.edited),
        "pending": judged.c.verdict == "pending",
    }[verdict]
    return fetch(connection, scope, query.where(chosen).order_by(judged.c.vendor_id), limit)


# ---------------------------------------------------------------- associations


def _end(name: str) -> FromClause:
    return link.alias(name)


def _end_join(
    scope: Scope, end: FromClause, vendor_id: ColumnElement[Any], objects: Sequence[str]
) -> ColumnElement[bool]:
    k = end.c
    parts = [k.tenant_id == scope.tenant_id, k.connection_id == scope.connection_id, k.vendor_id == vendor_id]
    if "*" not in objects:
        parts.append(k.vendor_object.in_(list(objects)))
    return and_(*parts)


def _same_pair(a: FromClause, start: FromClause, end: FromClause, label: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(
        a.c.tenant_id == start.c.tenant_id,
        a.c.from_entity == start.c.entity,
        a.c.from_id == start.c.entity_id,
        a.c.to_entity == end.c.entity,
        a.c.to_id == end.c.entity_id,
        a.c.label == func.coalesce(label, ""),
    )


def _pairs(
    rows: Select[Any], start: FromClause, end: FromClause, label: ColumnElement[Any], key: Sequence[Any]
) -> Select[Any]:
    """One row a staged association: whether any pair of linked ends is associated, and whether both ends are linked."""
    both = and_(start.c.entity_id.is_not(None), end.c.entity_id.is_not(None))
    present = func.coalesce(exists().where(_same_pair(association, start, end, label)), false())
    return rows.add_columns(
        func.bool_or(both).label("both_linked"), func.bool_or(and_(both, present)).label("present")
    ).group_by(*key)


def _junction(scope: Scope, from_objects: Sequence[str], to_objects: Sequence[str]) -> Select[Any]:
    """Associations that are records of their own (contact roles, campaign members, file links)."""
    s = scope.stage.c
    start, end = _end("start_link"), _end("end_link")
    rows = (
        select(s.vendor_id, s.from_id.label("source"), s.to_id.label("destination"), s.label.label("label"))
        .select_from(
            scope.stage.outerjoin(start, _end_join(scope, start, s.from_id, from_objects)).outerjoin(
                end, _end_join(scope, end, s.to_id, to_objects)
            )
        )
        .where(staged(scope), action(scope).in_(BOUND))
    )
    return _pairs(rows, start, end, s.label, (s.seq, s.vendor_id, s.from_id, s.to_id, s.label))


def _embedded(scope: Scope, within: Sequence[str]) -> Select[Any]:
    """Associations that stand inside records (polymorphic and custom lookups); those to objects that nobody migrates apart."""
    s, p = scope.stage.c, stage_link.c
    start, end = _end("start_link"), _end("end_link")
    same_record = and_(p.tenant_id == s.tenant_id, p.run_id == s.run_id, p.object == s.object, p.seq == s.seq)
    ends = and_(
        end.c.tenant_id == p.tenant_id,
        end.c.connection_id == scope.connection_id,
        end.c.vendor_id == p.vendor_id,
        or_(literal("*") == p.vendor_objects.any_(), end.c.vendor_object == p.vendor_objects.any_()),
    )
    anything = literal("*") == p.vendor_objects.any_()
    meant = or_(anything, p.vendor_objects.overlap(cast(list(within), ARRAY(Text()))))
    rows = (
        select(s.vendor_id, s.vendor_id.label("source"), p.vendor_id.label("destination"), p.label.label("label"))
        .select_from(
            scope.stage.join(stage_link, same_record).outerjoin(start, own_link(scope, start)).outerjoin(end, ends)
        )
        .where(
            staged(scope),
            action(scope).in_(BOUND),
            p.label != ALIAS,  # another name of the record itself
            or_(end.c.entity_id.is_(None), start.c.entity_id.is_(None), end.c.entity_id != start.c.entity_id),
            or_(meant, end.c.entity_id.is_not(None)),
        )
    )
    return _pairs(rows, start, end, p.label, (s.seq, s.vendor_id, p.vendor_id, p.label))


def associations(
    scope: Scope, from_objects: Sequence[str], to_objects: Sequence[str], within: Sequence[str]
) -> Select[Any]:
    """Every association that the object's records stage, each with whether it is present in the hub.

    ``from_objects``, ``to_objects``: what the ends of a junction object may name. ``within``: the objects of the run.
    """
    if scope.entity == "association":
        return _junction(scope, from_objects, to_objects)
    return _embedded(scope, within)


def association_sum(connection: Connection, pairs: Select[Any]) -> AssociationSum:
    """Count what became of them."""
    p = pairs.subquery().c
    query = select(
        func.count(),
        func.count().filter(p.present),
        func.count().filter(~p.both_linked),
        func.count().filter(and_(p.both_linked, ~p.present)),
    )
    return AssociationSum(*connection.execute(query).one())


def association_findings(
    connection: Connection, scope: Scope, pairs: Select[Any], limit: int, *, pending: bool
) -> Findings:
    """The lost ones, or the pending ones (an end that is not in the hub)."""
    p = pairs.subquery().c
    query = select(
        literal("pending" if pending else "lost_association").label("kind"),
        p.vendor_id,
        p.label.label("field"),
        func.concat(p.source, " → ", p.destination).label("expected"),
    )
    chosen = ~p.both_linked if pending else and_(p.both_linked, ~p.present)
    return fetch(connection, scope, query.where(chosen).order_by(p.vendor_id, p.destination), limit)
