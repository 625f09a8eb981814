"""Hub records as people and programs change them: with the history, the change log and the work that a vendor's change has, too.

Records are flat (custom fields as ``custom_fields.<name>``) and typed; ``by`` names who did it, in the change log. Everything
runs in the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES
from domain.errors import RecordRejectedError
from domain.ids import new_id
from storage.sync import changing, deleting, gathering, several
from storage.sync.changing import Cause, Edit, Touched
from storage.sync.values import CUSTOM


def create(
    conn: Connection, tenant_id: UUID, entity: str, fields: Mapping[str, Any], by: str, *, record: UUID | None = None
) -> UUID:
    """Create a record and return its id (``record``, where given). Raises RecordRejectedError."""
    check(entity, fields, creating=True)
    _require_references(conn, tenant_id, entity, fields)
    made, cause = record or new_id(), Cause(tenant_id, "hub", by=by)
    if not changing.create(conn, cause, entity, [Edit(made, fields)]):
        raise RecordRejectedError(
            f"There is a {entity} with this id already.", remedy="Edit it, or give another id.", code="record_exists"
        )
    changing.queue(conn, cause, entity, [Touched(made)])
    return made


def create_all(
    conn: Connection, tenant_id: UUID, entity: str, records: Sequence[Mapping[str, Any]], by: str
) -> list[UUID]:
    """`create` many records in a few statements; returns their ids, in order. Raises RecordRejectedError."""
    for fields in records:
        check(entity, fields, creating=True)
        _require_references(conn, tenant_id, entity, fields)
    made, cause = [new_id() for _ in records], Cause(tenant_id, "hub", by=by)
    changing.create(conn, cause, entity, [Edit(i, fields) for i, fields in zip(made, records, strict=True)])
    changing.queue(conn, cause, entity, [Touched(i) for i in made])
    return made


def edit_all(conn: Connection, tenant_id: UUID, entity: str, fields: Mapping[UUID, Mapping[str, Any]], by: str) -> None:
    """`edit` many records that stand and are locked (`lock`), in a few statements. Raises RecordRejectedError."""
    for given in fields.values():
        check(entity, given)
        _require_references(conn, tenant_id, entity, given)
    cause = Cause(tenant_id, "hub", by=by)
    edits = [Edit(i, given, dict.fromkeys(given, "edited")) for i, given in fields.items()]
    changing.queue(conn, cause, entity, changing.update(conn, cause, entity, edits))


def lock(conn: Connection, tenant_id: UUID, entity: str, ids: Iterable[UUID]) -> frozenset[UUID]:
    """Lock records to the end of the transaction; returns those that stand."""
    return frozenset(i for i, (_, stands) in gathering.lock_hubs(conn, tenant_id, entity, ids).items() if stands)


def edit(
    conn: Connection, tenant_id: UUID, entity: str, record: UUID, fields: Mapping[str, Any], by: str
) -> frozenset[str]:
    """Set fields (None blanks one) and return the names of those that changed. Raises RecordRejectedError."""
    check(entity, fields)
    _require_references(conn, tenant_id, entity, fields)
    return edit_as(conn, Cause(tenant_id, "hub", by=by), entity, record, fields, "edited")


def edit_as(
    conn: Connection, cause: Cause, entity: str, record: UUID, fields: Mapping[str, Any], rule: str
) -> frozenset[str]:
    _standing(conn, cause.tenant_id, entity, record)
    touched = changing.update(conn, cause, entity, [Edit(record, fields, dict.fromkeys(fields, rule))])
    changing.queue(conn, cause, entity, touched)
    return frozenset[str]().union(*(t.fields or () for t in touched))


def delete(conn: Connection, tenant_id: UUID, entity: str, record: UUID, by: str) -> None:
    """Delete a record; a tombstone keeps it, references to it are cleared. Raises RecordRejectedError."""
    cause = Cause(tenant_id, "hub", by=by)
    _standing(conn, tenant_id, entity, record)
    _queue_all(conn, cause, deleting.delete(conn, cause, entity, [record]))


def delete_standing(conn: Connection, tenant_id: UUID, entity: str, ids: Iterable[UUID], by: str) -> int:
    """`delete` those of many records that stand; returns how many."""
    cause = Cause(tenant_id, "hub", by=by)
    standing = sorted(lock(conn, tenant_id, entity, ids))
    _queue_all(conn, cause, deleting.delete(conn, cause, entity, standing))
    return len(standing)


def restore(conn: Connection, tenant_id: UUID, entity: str, record: UUID, by: str) -> None:
    """Bring a deleted record back as it was, with what referred to it. Raises RecordRejectedError."""
    cause = Cause(tenant_id, "hub", by=by)
    grave = gathering.hubs(conn, tenant_id, entity, [record]).get(record)
    if grave is None or not grave.deleted:
        raise RecordRejectedError(
            f"No {entity} with this id was deleted.", remedy="Check the id.", code="no_such_record"
        )
    if deleting.was_erased(conn, tenant_id, entity, record):
        raise RecordRejectedError(
            f"The {entity} was erased on its person's request; nothing is left to restore.",
            remedy="If the person agreed anew, lift the suppression and enter the record again.",
            code="person_erased",
        )
    _queue_all(conn, cause, deleting.restore(conn, cause, entity, [Edit(record, grave.values)]))


def _queue_all(conn: Connection, cause: Cause, everyone: Iterable[tuple[str, Touched]]) -> None:
    by_entity: dict[str, list[Touched]] = defaultdict(list)
    for entity, touched in everyone:
        by_entity[entity].append(touched)
    for entity, all_touched in by_entity.items():
        changing.queue(conn, cause, entity, all_touched)


def _standing(conn: Connection, tenant_id: UUID, entity: str, record: UUID) -> None:
    """Lock the record. Raises RecordRejectedError where there is none."""
    if not lock(conn, tenant_id, entity, [record]):
        raise gone(entity)


def gone(entity: str) -> RecordRejectedError:
    """The error for a record that is named and does not stand."""
    return RecordRejectedError(f"There is no {entity} with this id.", remedy="Check the id.", code="no_such_record")


def _require_references(conn: Connection, tenant_id: UUID, entity: str, fields: Mapping[str, Any]) -> None:
    """Hold on to the records that ``fields`` refer to. Raises RecordRejectedError naming a field whose record does not stand."""
    named = [(f.name, f.refers_to, fields.get(f.name)) for f in ENTITIES[entity].references]
    named += [(s.name, s.refers_to, other) for s in ENTITIES[entity].several for other in fields.get(s.name) or ()]
    for name, refers_to, target in named:
        if target is None or refers_to is None:
            continue
        found = conn.execute(
            text(f"SELECT id FROM {gathering.hub_table(refers_to)} WHERE tenant_id = :t AND id = :id FOR KEY SHARE"),
            {"t": tenant_id, "id": target},
        )
        if found.one_or_none() is None:
            raise RecordRejectedError(
                f"{name} refers to a {refers_to} that does not stand.",
                remedy="Create it first, or leave the field out.",
                code="reference_missing",
            )


def check(entity: str, fields: Mapping[str, Any], *, creating: bool = False) -> None:
    """Refuse names that the entity does not have, and blanks where it needs something."""
    if entity not in ENTITIES:
        raise RecordRejectedError(f"There is no entity {entity}.", remedy="Check its name.", code="no_such_entity")
    known, lists = ENTITIES[entity].all_fields, several.names(entity)
    odd = sorted(n for n in fields if n not in known and n not in lists and not n.startswith(CUSTOM))
    if odd:
        raise RecordRejectedError(
            f"A {entity} has no field {', '.join(odd)}.",
            remedy="Custom fields are written custom_fields.<name>.",
            code="no_such_field",
        )
    blank = [n for n, f in known.items() if f.required and (n in fields or creating) and fields.get(n) in (None, "")]
    if blank:
        raise RecordRejectedError(
            f"A {entity} needs {', '.join(blank)}.", remedy="Give the field a value.", code="required_missing"
        )
