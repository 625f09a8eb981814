"""Dead letters: what could not be applied, kept with its cause until someone mends it.

One open letter for each record and cause: the same failure again counts up, and a letter that was resolved opens again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from domain.ids import new_id
from storage.storable import storable_json, storable_text
from storage.tables import dead_letter
from storage.tenancy import current_tenant, driver_connection

_ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class NewLetter:
    """One failure. ``message`` names field and rule, never the value; ``payload`` is the record as the source sent it.

    ``fault`` says whose it is: data, vendor or ours.
    """

    stage: str
    code: str
    message: str
    connection_id: UUID | None = None
    run_id: UUID | None = None
    object: str | None = None
    vendor_id: str | None = None
    entity: str | None = None
    entity_id: UUID | None = None
    field: str | None = None
    place: str | None = None
    payload: Any = None
    mapped: Any = None
    fault: str = "data"

    @property
    def fingerprint(self) -> str:
        """Groups letters with the same cause, whatever the record."""
        return _digest(self.object, self.stage, self.code, self.field)

    @property
    def key(self) -> str:
        """Identity of the letter: this record, this cause."""
        record = self.vendor_id or self.entity_id or self.place or storable_json(self.payload)
        return _digest(self.connection_id, self.object, record, self.stage, self.code, self.field)


@dataclass(frozen=True, slots=True)
class Letter:
    """A stored dead letter."""

    id: UUID
    connection_id: UUID | None
    run_id: UUID | None
    object: str | None
    vendor_id: str | None
    entity: str | None
    entity_id: UUID | None
    stage: str
    code: str
    message: str
    field: str | None
    place: str | None
    payload: Any
    mapped: Any
    fingerprint: str
    fault: str
    attempts: int
    first_at: datetime
    last_at: datetime
    status: str


@dataclass(frozen=True, slots=True)
class CauseCount:
    """How many letters share a cause; ``message`` is one of theirs, as an example."""

    object: str | None
    stage: str
    code: str
    field: str | None
    count: int
    message: str


_TEXTS = ("object", "vendor_id", "entity", "stage", "code", "message", "field", "place", "fault")
_UUIDS = ("id", "connection_id", "run_id", "entity_id")
_JSONS = ("payload", "mapped")
_COLUMNS = (*_UUIDS, *_TEXTS, *_JSONS, "fingerprint", "key", "attempts")


def _record_statement() -> str:
    kinds = dict.fromkeys(_COLUMNS, "text") | dict.fromkeys(_UUIDS, "uuid") | {"attempts": "integer"}
    values = ", ".join(f"%({name})s::{kinds[name]}[]" for name in _COLUMNS)
    selected = ", ".join(f"{name}::jsonb" if name in _JSONS else name for name in _COLUMNS)
    renewed = ", ".join(f"{name} = EXCLUDED.{name}" for name in ("run_id", "message", "place", "payload", "mapped"))
    return (
        f"INSERT INTO dead_letter (tenant_id, {', '.join(_COLUMNS)}) "  # names of our own columns
        f"SELECT %(tenant_id)s::uuid, {selected} FROM unnest({values}) AS new({', '.join(_COLUMNS)}) "
        "ON CONFLICT (tenant_id, key) DO UPDATE SET "
        "attempts = dead_letter.attempts + EXCLUDED.attempts, last_at = now(), status = 'open', resolved_at = NULL, "
        f"resolution = NULL, {renewed}"
    )


_RECORD = _record_statement()


def record(conn: Connection, tenant_id: UUID, letters: Sequence[NewLetter]) -> int:
    """Store failures in the caller's transaction, set-based; returns how many different letters they are.

    A letter that exists already counts one more attempt and takes the newest message and payload.
    """
    distinct: dict[str, NewLetter] = {}
    times: dict[str, int] = {}
    for letter in letters:
        key = letter.key
        distinct[key] = letter
        times[key] = times.get(key, 0) + 1
    ids = dict(zip(distinct, sorted(new_id() for _ in distinct), strict=True))  # ids in the order of arrival
    keys = sorted(distinct)  # rows in one order for everyone, so that two writers cannot wait for each other
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        part = keys[start : start + _ROWS_AT_ONCE]
        columns = _as_columns([distinct[k] for k in part])
        columns |= {"id": [ids[k] for k in part], "key": part, "attempts": [times[k] for k in part]}
        columns["tenant_id"] = tenant_id
        driver_connection(conn).execute(_RECORD.encode(), columns)
    return len(keys)


def _as_columns(letters: Sequence[NewLetter]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: [_text(getattr(a, name)) for a in letters] for name in _TEXTS}
    columns |= {name: [getattr(a, name) for a in letters] for name in _UUIDS if name != "id"}
    columns |= {name: [storable_json(getattr(a, name)) for a in letters] for name in _JSONS}
    return columns | {"fingerprint": [a.fingerprint for a in letters]}


def list_letters(
    conn: Connection,
    *,
    status: str | None = "open",
    run_id: UUID | None = None,
    connection_id: UUID | None = None,
    object: str | None = None,  # noqa: A002  # the column's name
    code: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Letter]:
    """Letters in the order they first came, at most ``limit`` after the id ``after`` (for the next page)."""
    columns = [dead_letter.c[name] for name in Letter.__slots__]
    wanted = {"status": status, "run_id": run_id, "connection_id": connection_id, "object": object, "code": code}
    query = select(*columns).where(*_conditions(wanted)).order_by(dead_letter.c.id).limit(limit)
    if after is not None:
        query = query.where(dead_letter.c.id > after)
    return [Letter(**row._mapping) for row in conn.execute(query)]


def count_by_code(
    conn: Connection, *, status: str | None = "open", run_id: UUID | None = None, connection_id: UUID | None = None
) -> list[CauseCount]:
    """How many letters each cause has, the most frequent first."""
    cause = [dead_letter.c[name] for name in ("object", "stage", "code", "field")]
    number = func.count().label("count")
    wanted = {"status": status, "run_id": run_id, "connection_id": connection_id}
    query = (
        select(*cause, number, func.min(dead_letter.c.message).label("message"))
        .where(*_conditions(wanted))
        .group_by(*cause)
        .order_by(number.desc(), *cause)
    )
    return [CauseCount(**row._mapping) for row in conn.execute(query)]


def resolve(conn: Connection, ids: Sequence[UUID], resolution: str) -> int:
    """Close open letters with a word on how (replayed, superseded, discarded); returns how many were open."""
    statement = (
        dead_letter.update()
        .where(dead_letter.c.id.in_(list(ids)), dead_letter.c.status == "open")
        .values(status="resolved", resolved_at=text("now()"), resolution=resolution)
    )
    return int(conn.execute(statement).rowcount)


def resolve_pulled(conn: Connection, connection_id: UUID, object_name: str, outcomes: Mapping[str, str]) -> None:
    """Close the open letters of vendor records (vendor id to resolution) that a pull left and a later one got over."""
    if outcomes:
        conn.execute(
            text("""
            UPDATE dead_letter d SET status = 'resolved', resolved_at = now(), resolution = u.resolution
            FROM unnest(CAST(:ids AS text[]), CAST(:resolutions AS text[])) AS u(vendor_id, resolution)
            WHERE d.tenant_id = CAST(:t AS uuid) AND d.connection_id = :c AND d.object = :o AND d.vendor_id = u.vendor_id
              AND d.status = 'open' AND d.stage IN ('map', 'pull')"""),
            {"t": current_tenant(conn), "c": connection_id, "o": object_name}
            | {"ids": list(outcomes), "resolutions": list(outcomes.values())},
        )


def resolve_pushed(conn: Connection, connection_id: UUID, object_name: str, hub_ids: Sequence[UUID]) -> None:
    """Close the open letters of hub records that a push left and a later one got over."""
    if hub_ids:
        conn.execute(
            text("""
            UPDATE dead_letter d SET status = 'resolved', resolved_at = now(), resolution = 'applied'
            FROM unnest(CAST(:ids AS uuid[])) AS u(id)
            WHERE d.tenant_id = CAST(:t AS uuid) AND d.connection_id = :c AND d.object = :o AND d.entity_id = u.id
              AND d.status = 'open' AND d.stage = 'push'"""),
            {"t": current_tenant(conn), "c": connection_id, "o": object_name, "ids": list(hub_ids)},
        )


def _conditions(wanted: dict[str, Any]) -> list[Any]:
    return [dead_letter.c[name] == value for name, value in wanted.items() if value is not None]


def _text(value: str | None) -> str | None:
    return None if value is None else storable_text(value)


def _digest(*parts: object) -> str:
    text_ = "\x1f".join("" if part is None else str(part) for part in parts)
    return hashlib.blake2b(text_.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
