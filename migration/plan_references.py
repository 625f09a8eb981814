"""Whether the values of a reference bear out what its name says: how many of them are ids of the records it should name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import floor

from domain.entities import Kind
from domain.records import FieldSchema, ObjectSchema
from migration.audit_model import ObjectAudit

BORNE_OUT_MIN = 0.1
"""Share of values that must be ids of the target for a reference that was inferred: a part of an export may hold few."""

VALUES_MIN = 5
"""Fewer values than that say nothing against a name."""


def shares(audited: ObjectAudit | None) -> dict[str, float]:
    """By field, the share (0–1, rounded down) of values that are ids of its targets, where all of these were read."""
    return {
        o.field: floor((o.references - o.orphans) / o.references * 10_000) / 10_000
        for o in (audited.orphans if audited else ())
        if o.references and not o.unread
    }


def borne_out(schema: ObjectSchema, audited: ObjectAudit | None) -> ObjectSchema:
    """The schema without the inferred references whose values are something else: these are texts."""
    found = shares(audited)
    counts = {o.field: o.references for o in (audited.orphans if audited else ())}
    return replace(schema, fields=tuple(_field(f, found, counts) for f in schema.fields))


def told(found: float, targets: tuple[str, ...] | list[str], *, mapped: bool) -> str:
    """A sentence for the plan: how much of a reference leads somewhere, and what that means where it was not believed."""
    names = "".join(c if c.isprintable() else " " for c in " or ".join(targets))
    share = f"{found * 100:.4g} % of its values are ids of {names}"
    return share if mapped or found >= BORNE_OUT_MIN else f"only {share}: kept as text"


def _field(field: FieldSchema, found: Mapping[str, float], counts: Mapping[str, int]) -> FieldSchema:
    believed = found.get(field.name, 1.0) >= BORNE_OUT_MIN or counts[field.name] < VALUES_MIN
    if not field.inferred or believed:
        return field
    return replace(field, kind=Kind.TEXT, refers_to=())
