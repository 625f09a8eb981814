"""Small pieces of `sync_engine.vendor`: columns as records and back, and what a mapping says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from domain.records import MappedBatch, Problem
from mappings.compile import Lens


def closed_lists(lens: Lens) -> dict[str, dict[str, str]]:
    """The values of each field that takes only listed ones, by value and by label, in small letters.

    References are no such values: whom a record may refer to is known by its links.
    """
    result: dict[str, dict[str, str]] = {}
    referring = {source for name in lens.refs for source in lens.spec.fields[name].sources}
    for known in lens.schema.fields if lens.schema else ():
        if known.closed and not known.multiple and known.name not in referring:
            by_label = {o.label.casefold(): o.value for o in known.options if o.label}
            result[known.name] = by_label | {o.value.casefold(): o.value for o in known.options}
    return result


def records_of(columns: Mapping[str, Sequence[Any]], count: int) -> list[dict[str, Any]]:
    """Columns as records."""
    if not columns:
        return [{} for _ in range(count)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def first_problems(batch: MappedBatch) -> dict[int, Problem]:
    """The first problem of each row that the mapping refuses."""
    first: dict[int, Problem] = {}
    for problem in batch.problems:
        if problem.rejects:
            first.setdefault(problem.row, problem)
    return first


def uuid_of(value: Any) -> UUID | None:
    """A hub id, where the text is one."""
    try:
        return UUID(value) if isinstance(value, str) and value else None
    except ValueError:
        return None
