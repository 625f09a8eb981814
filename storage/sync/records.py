"""Hub records as people and programs change them: with the history, the change log and the work that a vendor's change has, too.

Records are flat (custom fields as ``custom_fields.<name>``) and typed; ``by`` names who did it, in the change log. Everything
runs in the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES
from domain.errors import ConfigurationError, RecordRejectedError
from domain.ids import new_id
from storage.sync import changing, conflicts, deleting, gathering
from storage.sync.changing import Cause, Edit, Touched
from storage.sync.lanes import LaneKey
from storage.sync.values import CUSTOM, decode, dumps, encode


def create(
    conn: Connection, tenant_id: UUID, entity: str, fields: Mapping[str, Any], by: str, *, record: UUID | None = None
) -> UUID:
    """Create a record and return its id (``record``, where given). Raises RecordRejectedError."""
    _check(entity, fields, creating=True)
    made, cause = record or new_id(), Cause(tenant_id, "hub", by=by)
    if not changing.create(conn, cause, entity, [Edit(made, fields)]):
        raise RecordRejectedError(
            f"There is a {entity} with this id already.", remedy="Edit it, or give another id.", code="record_exists"
        )
    changing.queue(conn, cause, entity, [Touched(made)])
    return made


def edit(
    conn: Connection, tenant_id: UUID, entity: str, record: UUID, fields: Mapping[str, Any], by: str
) -> frozenset[str]:
    """Set fields (None blanks one) and return the names of those that changed. Raises RecordRejectedError."""
    _check(entity, fields)
    return _edit(conn, Cause(tenant_id, "hub", by=by), entity, record, fields, "edited")


def _edit(
    conn: Connection, cause: Cause, entity: str, record: UUID, fields: Mapping[str, Any], rule: str
) -> frozenset[str]:
    _standing(conn, cause.tenant_id, entity, record)
    touched = changing.update(conn, cause, entity, [Edit(record, fields, dict.fromkeys(fields, rule))])
    changing.queue(conn, cause, entity, touched)
    return touched[0].fields or frozenset() if touched else frozenset()


def delete(conn: Connection, tenant_id: UUID, entity: str, record: UUID, by: str) -> None:
    """Delete a record; a tombstone keeps it, references to it are cleared. Raises RecordRejectedError."""
    cause = Cause(tenant_id, "hub", by=by)
    _standing(conn, tenant_id, entity, record)
    _queue_all(conn, cause, deleting.delete(conn, cause, entity, [record]))


def restore(conn: Connection, tenant_id: UUID, entity: str, record: UUID, by: str) -> None:
    """Bring a deleted record back as it was, with what referred to it. Raises RecordRejectedError."""
    cause = Cause(tenant_id, "hub", by=by)
    grave = gathering.hubs(conn, tenant_id, entity, [record]).get(record)
    if grave is None or not grave.deleted:
        raise RecordRejectedError(
            f"No {entity} with this id was deleted.", remedy="Check the id.", code="no_such_record"
        )
    _queue_all(conn, cause, deleting.restore(conn, cause, entity, [Edit(record, decode(entity, grave.values))]))


def resolve(conn: Connection, tenant_id: UUID, conflict_id: UUID, choice: str, by: str, value: Any = None) -> None:
    """Answer an open conflict: ``choice`` is ``hub``, ``vendor`` or ``value`` (then with ``value``, typed).

    The hub takes what was chosen, the vendor's value of the conflict counts as seen, and both other lanes and this one are to
    push what differs. Raises ConfigurationError where there is no such open conflict, RecordRejectedError for a bad value.
    """
    found = conflicts.get(conn, conflict_id, lock=True)
    if found is None or found.status != "open":
        raise ConfigurationError(
            "There is no such open conflict.",
            remedy="`syncline conflicts list` shows those that wait.",
            code="no_such_conflict",
        )
    chosen = {"hub": found.hub_value, "vendor": found.vendor_value, "value": value}[choice]
    _check(found.entity, {found.field: chosen})
    key = LaneKey(tenant_id, found.connection_id, found.object)
    cause = Cause(tenant_id, "hub", by=by)
    _see(conn, key, found)
    conflicts.mark_resolved(conn, conflict_id, None if choice == "value" else choice, choice, by)
    if choice != "hub":
        _edit(conn, cause, found.entity, found.entity_id, {found.field: chosen}, "resolved")
    # The lane itself looks at it in any case: what the vendor holds may differ from what was chosen.
    changing.queue(conn, Cause(tenant_id, "hub", key), found.entity, (), [found.entity_id])


def _see(conn: Connection, key: LaneKey, found: conflicts.StoredConflict) -> None:
    """Take account of the vendor's value in the link's base: from now on only a newer one is a change."""
    custom = found.field.startswith(CUSTOM)
    conn.execute(
        text(f"""
        UPDATE link l SET revision = l.revision + 1, updated_at = now(),
            base = jsonb_set(coalesce(l.base, to_jsonb(h) - CAST('{{tenant_id,id,created_at,updated_at,version}}' AS text[])),
                             '{{custom_fields}}', coalesce(l.base->'custom_fields', CASE WHEN l.base IS NULL THEN h.custom_fields END,
                                                           '{{}}') || CAST(:custom AS jsonb)) || CAST(:plain AS jsonb)
        FROM {gathering.hub_table(found.entity)} h
        WHERE l.tenant_id = :t AND l.connection_id = :c AND l.vendor_object = :o AND l.vendor_id = :v
          AND h.tenant_id = :t AND h.id = l.entity_id"""),
        key.parameters
        | {
            "v": found.vendor_id,
            "custom": dumps({found.field.removeprefix(CUSTOM): found.vendor_value} if custom else {}),
            "plain": dumps({} if custom else encode({found.field: found.vendor_value})),
        },
    )


def _queue_all(conn: Connection, cause: Cause, everyone: Iterable[tuple[str, Touched]]) -> None:
    by_entity: dict[str, list[Touched]] = defaultdict(list)
    for entity, touched in everyone:
        by_entity[entity].append(touched)
    for entity, all_touched in by_entity.items():
        changing.queue(conn, cause, entity, all_touched)


def _standing(conn: Connection, tenant_id: UUID, entity: str, record: UUID) -> None:
    """Lock the record. Raises RecordRejectedError where there is none."""
    if not gathering.lock_hubs(conn, tenant_id, entity, [record]).get(record, (0, False))[1]:
        raise RecordRejectedError(f"There is no {entity} with this id.", remedy="Check the id.", code="no_such_record")


def _check(entity: str, fields: Mapping[str, Any], *, creating: bool = False) -> None:
    """Refuse names that the entity does not have, and blanks where it needs something."""
    if entity not in ENTITIES:
        raise RecordRejectedError(f"There is no entity {entity}.", remedy="Check its name.", code="no_such_entity")
    known = ENTITIES[entity].all_fields
    odd = sorted(n for n in fields if n not in known and not n.startswith(CUSTOM))
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
