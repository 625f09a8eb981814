"""Everything the hub knows about one record: where it is, who set each value and by which rule, and what still waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, or_, select, text

from domain.entities import ENTITIES, SET_UP
from storage import dead_letters
from storage.dead_letters import Filter, Letter
from storage.sync import several
from storage.tables import (
    change,
    conflict,
    connection,
    entity_tables,
    field_history,
    link,
    pending_reference,
    push_wait,
    push_work,
    redirect,
    stream,
    sync_intent,
    sync_notice,
    tombstone,
    vendor_wait,
)

_BOOKKEEPING = frozenset({"tenant_id", "id", "custom_fields", "created_at", "updated_at", "version"})


@dataclass(frozen=True, slots=True)
class FieldStory:
    """One value and where it is from. ``by``: a connection's name, a person, or the migration; ``replaced``: what stood before."""

    field: str
    value: Any
    by: str
    rule: str
    at: datetime | None
    replaced: Any = None


@dataclass(frozen=True, slots=True)
class LinkStory:
    """Where the record is at a vendor. ``behind``: fields in which that vendor lacks the hub's value."""

    connection: str
    vendor: str
    object: str
    vendor_id: str
    origin: str
    version: str
    tombstoned: bool
    uncertain: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to tell about one record. ``state``: live, deleted, or merged (then ``entity_id`` is the survivor's)."""

    entity: str
    entity_id: UUID
    state: str
    label: str
    version: int
    fields: Sequence[FieldStory] = ()
    links: Sequence[LinkStory] = ()
    pending: Sequence[str] = ()
    conflicts: Sequence[Mapping[str, Any]] = ()
    letters: Sequence[Letter] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record that the hub does not have, and what it knows about why."""

    sought: str
    reasons: Sequence[str] = ()
    letters: Sequence[Letter] = field(default_factory=tuple)


def find(conn: Connection, entity: str, sought: str) -> list[UUID]:
    """Hub ids that ``sought`` may mean: a hub id, a vendor's id, an e-mail address, or the record's name."""
    found: dict[UUID, None] = {}
    table = entity_tables[entity]
    wanted = _uuid(sought)
    if wanted is not None:
        survivor = _survivor(conn, entity, wanted)
        if survivor is not None:
            return [survivor]
    rows = conn.execute(
        select(link.c.entity_id).where(link.c.entity == entity, link.c.vendor_id == sought).distinct().limit(20)
    )
    found.update(dict.fromkeys(rows.scalars()))
    names = [n for n in ("email", ENTITIES[entity].label_field) if n in table.c]
    for name in dict.fromkeys(names):
        value = sought.casefold() if name == "email" else sought
        found.update(dict.fromkeys(conn.execute(select(table.c.id).where(table.c[name] == value).limit(20)).scalars()))
    return list(found)


def _survivor(conn: Connection, entity: str, wanted: UUID) -> UUID | None:
    """The record itself, or the one it was merged into; None where there never was one."""
    current, seen = wanted, set[UUID]()
    while current not in seen:
        seen.add(current)
        further = conn.execute(
            select(redirect.c.to_id).where(redirect.c.entity == entity, redirect.c.from_id == current)
        ).scalar()
        if further is None:
            break
        current = further
    table = entity_tables[entity]
    known = conn.execute(select(table.c.id).where(table.c.id == current)).scalar()
    gone = conn.execute(
        select(tombstone.c.entity_id).where(tombstone.c.entity == entity, tombstone.c.entity_id == current)
    ).scalar()
    return known or gone


def explain(conn: Connection, entity: str, entity_id: UUID) -> Explanation:
    """Everything about a record, or about what is left of a deleted one."""
    table = entity_tables[entity]
    row = conn.execute(select(table).where(table.c.id == entity_id)).mappings().one_or_none()
    names = _connection_names(conn)
    links = _links(conn, entity, entity_id, names)
    vendor_ids = [(k.object, k.vendor_id) for k in links]
    common: dict[str, Any] = {
        "links": links,
        "pending": _pending(conn, entity_id, vendor_ids, names),
        "conflicts": _conflicts(conn, entity_id, names),
        "letters": _letters(conn, entity_id, vendor_ids),
    }
    if row is not None:
        lists: dict[str, Any] = {s.name: several.held(conn, row["tenant_id"], entity, s, [entity_id])[entity_id]
                 for s in ENTITIES[entity].several}  # fmt: skip
        lists |= {s.labels: several.labels(conn, row["tenant_id"], entity, s, [entity_id])[entity_id]
                  for s in ENTITIES[entity].several if s.labels}  # fmt: skip
        values = _values({**row, **lists})
        stories = _fields(conn, entity, entity_id, values, names, links, row["created_at"])
        label = str(values.get(ENTITIES[entity].label_field) or "")
        return Explanation(entity, entity_id, "live", label, int(row["version"]), stories, **common)
    grave = (
        conn.execute(select(tombstone).where(tombstone.c.entity == entity, tombstone.c.entity_id == entity_id))
        .mappings()
        .one()
    )
    by = names.get(grave["deleted_by"], ("a person or program", ""))[0]
    note = f"Deleted on {grave['deleted_at']:%Y-%m-%d %H:%M} UTC by {by}; everything it held is kept and can come back."
    values = _values(dict(grave["snapshot"]))
    stories = _fields(conn, entity, entity_id, values, names, links, None)
    label = str(values.get(ENTITIES[entity].label_field) or "")
    return Explanation(entity, entity_id, "deleted", label, int(grave["version"]), stories, notes=(note,), **common)


def why_not(conn: Connection, entity: str, sought: str) -> Unknown:
    """What is known about a record that the hub does not have."""
    letters = dead_letters.list_letters(conn, Filter(status=None, vendor_id=sought), limit=20)
    reasons = [f"It was set aside: {a.message} ({a.status})" for a in letters]
    names = _connection_names(conn)
    hinted = conn.execute(
        select(sync_notice.c.connection_id, sync_notice.c.object, sync_notice.c.at).where(
            sync_notice.c.vendor_id == sought
        )
    )
    reasons += [
        f"{names[c][0]} told at {at:%H:%M} UTC that {o} {sought} changed; it is about to be read."
        for c, o, at in hinted
    ]
    waits = conn.execute(
        select(vendor_wait.c.object, vendor_wait.c.vendor_id, vendor_wait.c.wait_object).where(
            vendor_wait.c.wait_id == sought
        )
    )
    reasons += [f"{o} {v} refers to it as {w} and waits for it." for o, v, w in waits]
    known = conn.execute(select(stream).where(stream.c.entity == entity)).mappings().all()
    if not known:
        reasons.append(f"No connection keeps {entity} records in step: add one with `syncline sync add`.")
    for one in known:
        reasons += _stream_reasons(dict(one), names)
    return Unknown(sought, reasons, letters)


def _stream_reasons(one: Mapping[str, Any], names: Mapping[UUID, tuple[str, str]]) -> list[str]:
    where = f"{one['object']} of {names[one['connection_id']][0]}"
    if one["status"] != "idle":
        told = (one["reason"] or {}).get("message", "")
        return [f"{where} is {one['status']}, so nothing of it is read. {told}".strip()]
    if one["verified_at"] is None:
        return [f"{where} has not been read to its end yet."]
    return [f"{where} was read up to {one['verified_at']:%Y-%m-%d %H:%M:%S} UTC and did not list it."]


# ---------------------------------------------------------------- parts


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {n: v for n, v in row.items() if n not in _BOOKKEEPING and v not in (None, "", [], {})}
    values.update((f"custom_fields.{n}", v) for n, v in dict(row.get("custom_fields") or {}).items())
    return values


def _connection_names(conn: Connection) -> dict[UUID, tuple[str, str]]:
    rows = conn.execute(select(connection.c.id, connection.c.name, connection.c.vendor))
    return {row.id: (row.name, row.vendor) for row in rows}


def _links(conn: Connection, entity: str, entity_id: UUID, names: Mapping[UUID, tuple[str, str]]) -> list[LinkStory]:
    found = conn.execute(
        select(link).where(link.c.entity_id == entity_id, link.c.entity == entity).order_by(link.c.created_at)
    )
    lags = {row[0] for row in conn.execute(_LAGS, {"entity_id": entity_id})}
    result = []
    for row in found.mappings():
        name, vendor = names.get(row["connection_id"], ("a connection that is gone", ""))
        place = f"{row['connection_id']}/{row['vendor_object']}"
        result.append(
            LinkStory(
                name,
                vendor,
                row["vendor_object"],
                row["vendor_id"],
                row["origin"],
                row["vendor_version"] or "",
                row["tombstoned_at"] is not None,
                tuple(sorted(row["sent"] or {})),
                ("the record",) if place in lags else (),
            )
        )
    return result


_LAGS = text("SELECT connection_id || '/' || object FROM push_work WHERE entity_id = :entity_id AND state <> 'waiting'")


def _fields(
    conn: Connection,
    entity: str,
    entity_id: UUID,
    values: Mapping[str, Any],
    names: Mapping[UUID, tuple[str, str]],
    links: Sequence[LinkStory],
    created_at: datetime | None,
) -> list[FieldStory]:
    """Each value with its last row of history; one that never changed is from the link that created the record."""
    told = (  # a change and its history have the moment of their transaction
        (change.c.tenant_id == field_history.c.tenant_id)
        & (change.c.at == field_history.c.at)
        & (change.c.entity_id == field_history.c.entity_id)
        & (change.c.version == field_history.c.version)
        & (field_history.c.origin == "hub")
    )
    rows = conn.execute(
        select(field_history, change.c.detail["by"].astext.label("person"))
        .join(change, told, isouter=True)
        .where(field_history.c.entity_id == entity_id, field_history.c.entity == entity)
        .order_by(field_history.c.at, field_history.c.id)
    ).mappings()
    last = {row["field"]: row for row in rows}
    creator = next((k.connection for k in links if k.origin == "created"), "a person or program")
    result = []
    for name in sorted({*values, *last}):
        row = last.get(name)
        if row is None:
            result.append(FieldStory(name, values[name], creator, "created", created_at))
            continue
        by = names[row["connection_id"]][0] if row["connection_id"] in names else row["person"] or str(row["origin"])
        result.append(FieldStory(name, values.get(name), by, row["rule"] or "", row["at"], row["old"]))
    return result


def _pending(
    conn: Connection, entity_id: UUID, vendor_ids: Sequence[tuple[str, str]], names: Mapping[UUID, tuple[str, str]]
) -> list[str]:
    def name(connection_id: UUID) -> str:
        return names.get(connection_id, ("?", ""))[0]

    told = [
        f"{r.object} of {name(r.connection_id)}: to be sent ({r.state}, tried {r.attempts} times), due {r.due_at:%H:%M:%S} UTC"
        for r in conn.execute(select(push_work).where(push_work.c.entity_id == entity_id))
    ]
    told += [
        _waiting(conn, f"{r.object} of {name(r.connection_id)}", r.wait_entity, r.wait_id)
        for r in conn.execute(select(push_wait).where(push_wait.c.entity_id == entity_id))
    ]
    told += [
        f"{r.object} of {name(r.connection_id)}: created at {r.at:%H:%M:%S} UTC without an answer yet; it is read back first"
        for r in conn.execute(select(sync_intent).where(sync_intent.c.entity_id == entity_id))
    ]
    told += [
        f"{r.field}: refers to {' or '.join(r.vendor_objects)} {r.vendor_id} of {name(r.connection_id)}, which is not here yet"
        for r in conn.execute(select(pending_reference).where(pending_reference.c.entity_id == entity_id))
    ]
    if vendor_ids:
        here = [(vendor_wait.c.object == o) & (vendor_wait.c.vendor_id == v) for o, v in vendor_ids]
        told += [
            f"{r.object} {r.vendor_id} refers to {r.wait_object} {r.wait_id}, which is not here yet"
            for r in conn.execute(select(vendor_wait).where(or_(*here)))
        ]
    return told


def _waiting(conn: Connection, where: str, entity: str, wait_id: UUID) -> str:
    """What a record waits for; of users, pipelines and stages, which only an admin makes, what stands there meanwhile."""
    if entity not in SET_UP:
        return f"{where}: waits until {entity} {wait_id} is there"
    table = entity_tables[entity]
    label = conn.execute(select(table.c[ENTITIES[entity].label_field]).where(table.c.id == wait_id)).scalar()
    return f"{where}: the {entity} {label or wait_id} is unknown there, so the record keeps the one that it has there"


_OF_CONFLICTS = (
    "id", "object", "field", "status", "rule", "winner", "hub_value", "vendor_value", "opened_at", "resolution", "resolved_by"
)  # fmt: skip


def _conflicts(conn: Connection, entity_id: UUID, names: Mapping[UUID, tuple[str, str]]) -> list[dict[str, Any]]:
    rows = conn.execute(
        select(conflict).where(conflict.c.entity_id == entity_id).order_by(conflict.c.opened_at.desc()).limit(100)
    ).mappings()
    return [
        {**{n: r[n] for n in _OF_CONFLICTS}, "connection": names.get(r["connection_id"], ("?", ""))[0]} for r in rows
    ]


def _letters(conn: Connection, entity_id: UUID, vendor_ids: Sequence[tuple[str, str]]) -> list[Letter]:
    found = {a.id: a for a in dead_letters.list_letters(conn, Filter(status=None, entity_id=entity_id), limit=50)}
    for object_name, vendor_id in vendor_ids:
        wanted = Filter(status=None, object=object_name, vendor_id=vendor_id)
        found.update((a.id, a) for a in dead_letters.list_letters(conn, wanted, limit=50))
    return sorted(found.values(), key=lambda a: a.last_at, reverse=True)


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
