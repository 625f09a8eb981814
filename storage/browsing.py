"""Reading records of the canonical store page by page: by id, by time of change, by what is indexed. Every page costs the same.

Filters are offered for indexed fields only: a filter that would read the whole table is refused rather than slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, or_, select, tuple_

from domain.entities import ENTITIES, Entity, Kind
from domain.errors import ConfigurationError
from storage.sync import several
from storage.sync.values import from_text
from storage.tables import entity_tables, field_history, redirect, tombstone

SEARCHED_MOST = 2_000
"""How many records that begin with a word are looked at for the other words of a search."""

_NAMES = ("first_name", "last_name", "name", "email", "company", "domain")


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it stands. ``fields``: typed, lists of associated records among them, blanks left out; ``version`` counts its
    changes.
    """

    entity: str
    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    fields: Mapping[str, Any]
    custom_fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One field that changed, from ``old`` to ``new``. ``origin``: who, in the terms of the change log; ``rule``: why it won."""

    at: datetime
    id: UUID
    field: str
    old: Any
    new: Any
    origin: str
    connection_id: UUID | None
    rule: str | None
    version: int | None


def filterable(entity: Entity) -> list[str]:
    """Fields that lead an index: those of match keys, references and what else is looked up."""
    keys = [key[0] for key in (*entity.match_keys, *entity.indexes)]
    references = [f.name for f in entity.references if f.name not in ("created_by_id", "updated_by_id")]
    return list(dict.fromkeys([*keys, *references]))


def entity_of(name: str) -> Entity:
    """The entity called ``name``. Raises ConfigurationError."""
    if name not in ENTITIES:
        raise ConfigurationError(
            f"There is no entity {name[:80]!a}.", remedy=f"There are: {', '.join(ENTITIES)}.", code="no_such_entity"
        )
    return ENTITIES[name]


def list_records(
    conn: Connection,
    entity: str,
    *,
    filters: Mapping[str, str] | None = None,
    updated_since: datetime | None = None,
    by_change: bool = False,
    after: Sequence[Any] | None = None,
    limit: int = 100,
) -> list[Record]:
    """Records in the order of their ids, or ``by_change`` in the order in which they changed last.

    ``after``: where the page before ended: ``[id]``, or ``[updated_at, id]`` by change. Raises ConfigurationError for a filter that
    no index serves, RecordRejectedError for a value that its field cannot have.
    """
    table = entity_tables[entity_of(entity).name]
    query = select(table)
    for name, value in (filters or {}).items():
        if name not in filterable(ENTITIES[entity]):
            raise ConfigurationError(
                f"Records of {entity} cannot be filtered by {name[:80]!a}.",
                remedy=f"Filters are: {', '.join(filterable(ENTITIES[entity]))}.",
                code="no_filter",
            )
        query = query.where(table.c[name] == from_text(entity, name, value))
    if by_change or updated_since is not None:
        place: Any = tuple_(table.c.updated_at, table.c.id)
        query = query.order_by(table.c.updated_at, table.c.id)
        if updated_since is not None:
            query = query.where(table.c.updated_at >= updated_since)
    else:
        place = tuple_(table.c.id)
        query = query.order_by(table.c.id)
    if after is not None:
        query = query.where(place > tuple_(*after))
    return _records(conn, entity, conn.execute(query.limit(limit)).all())


def get(conn: Connection, entity: str, record_id: UUID, *, lock: bool = False) -> Record | None:
    """One record, or None where it does not stand. ``lock``: nobody changes it before the transaction ends."""
    table = entity_tables[entity_of(entity).name]
    query = select(table).where(table.c.id == record_id)
    rows = conn.execute(query.with_for_update() if lock else query).all()
    return next(iter(_records(conn, entity, rows)), None)


def gone(conn: Connection, entity: str, record_id: UUID) -> tuple[str, UUID | None] | None:
    """What became of a record that does not stand: ``("merged", survivor)`` or ``("deleted", None)``; None: it never was."""
    survivor = conn.scalar(select(redirect.c.to_id).where(redirect.c.entity == entity, redirect.c.from_id == record_id))
    if survivor is not None:
        return "merged", survivor
    left = conn.scalar(
        select(tombstone.c.reason).where(tombstone.c.entity == entity, tombstone.c.entity_id == record_id)
    )
    return None if left is None else ("deleted", None)


def search(conn: Connection, entity: str, text: str, limit: int = 20) -> list[Record]:
    """Records that have a name, address or number beginning with each word of ``text``, in any case of letters.

    The first word that an indexed field begins with decides where to look; the others are compared with what is found there.
    """
    found = entity_of(entity)
    words = text.split()[:8]
    if not words:
        return []
    table = entity_tables[entity]
    indexed = [n for n in filterable(found) if found.field(n).kind in (Kind.TEXT, Kind.EMAIL, Kind.PHONE)]
    looked_in = [n for n in dict.fromkeys([*indexed, *_NAMES]) if n in table.c]
    for place, word in enumerate(words):
        candidates = [select(table.c.id).where(_begins(table.c[n], v)) for n in indexed for v in _spellings(word)]
        if not candidates:
            return []
        ids: list[UUID] = []
        for candidate in candidates:
            ids += conn.scalars(candidate.limit(SEARCHED_MOST))
        rest = [or_(*(_begins(table.c[n], v) for n in looked_in for v in _spellings(w)))
                for i, w in enumerate(words) if i != place]  # fmt: skip
        if ids:
            rows = conn.execute(
                select(table)
                .where(table.c.id.in_(ids), *rest)
                .order_by(table.c.updated_at.desc(), table.c.id)
                .limit(limit)
            )
            if result := _records(conn, entity, rows.all()):
                return result
    return []


def history(
    conn: Connection,
    entity_id: UUID,
    *,
    field: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[Change]:
    """What changed on a record, the newest first; ``before``: time and id of the last of the page before."""
    columns = [field_history.c[name] for name in Change.__slots__]
    query = select(*columns).where(field_history.c.entity_id == entity_id)
    if field is not None:
        query = query.where(field_history.c.field == field)
    if before is not None:
        query = query.where(tuple_(field_history.c.at, field_history.c.id) < tuple_(*before))
    rows = conn.execute(query.order_by(field_history.c.at.desc(), field_history.c.id.desc()).limit(limit))
    return [Change(**row._mapping) for row in rows]


def _begins(column: Any, prefix: str) -> Any:
    """``column`` begins with ``prefix``, in a form that a plain index serves."""
    return and_(column >= prefix, column < prefix + "\U0010ffff")


def _spellings(word: str) -> list[str]:
    """How a word may be written in the store: indexes tell upper from lower case."""
    return list(dict.fromkeys([word, word.lower(), word.capitalize(), word.title(), word.upper()]))


def _records(conn: Connection, entity: str, rows: Sequence[Row[Any]]) -> list[Record]:
    lists: dict[str, Mapping[UUID, Any]] = {
        one.name: several.held(conn, rows[0].tenant_id, entity, one, [row.id for row in rows])
        for one in (ENTITIES[entity].several if rows else ())
    }
    for one in ENTITIES[entity].several if rows else ():
        if one.labels:
            said = several.labels(conn, rows[0].tenant_id, entity, one, [row.id for row in rows])
            lists[one.labels] = {i: several.grouped(pairs) for i, pairs in said.items()}
    return [_record(entity, row, {name: held[row.id] for name, held in lists.items()}) for row in rows]


def _record(entity: str, row: Row[Any], lists: Mapping[str, Any]) -> Record:
    values = dict(row._mapping)
    fields = {n: values[n] for n in ENTITIES[entity].all_fields if values.get(n) is not None}
    return Record(
        entity,
        values["id"],
        values["version"],
        values["created_at"],
        values["updated_at"],
        fields | {name: of for name, of in lists.items() if of},
        values["custom_fields"],
    )
