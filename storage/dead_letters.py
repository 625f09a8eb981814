"""Dead letters: what could not be applied, kept with its cause until someone mends it.

One open letter for each record and cause: the same failure again counts up, and a letter that was resolved opens again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, cast, func, literal, null, select, text

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import events
from storage.events import Event
from storage.storable import storable_json, storable_text
from storage.tables import dead_letter
from storage.tenancy import driver_connection

_ROWS_AT_ONCE = 2_000
FORGOTTEN = "The person was erased."


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
    resolution: str | None = None
    resolved_at: datetime | None = None
    edited_at: datetime | None = None
    original: Any = None


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
        "WITH open AS (SELECT key FROM dead_letter WHERE tenant_id = %(tenant_id)s::uuid AND key = ANY(%(key)s::text[]) "
        "AND status = 'open') "
        f"INSERT INTO dead_letter (tenant_id, {', '.join(_COLUMNS)}) "  # names of our own columns
        f"SELECT %(tenant_id)s::uuid, {selected} FROM unnest({values}) AS new({', '.join(_COLUMNS)}) "
        "ON CONFLICT (tenant_id, key) DO UPDATE SET "
        "attempts = dead_letter.attempts + EXCLUDED.attempts, last_at = now(), status = 'open', resolved_at = NULL, "
        f"resolution = NULL, {renewed} "
        "RETURNING key, EXISTS (SELECT FROM open WHERE open.key = dead_letter.key)"
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
        rows = driver_connection(conn).execute(_RECORD.encode(), columns).fetchall()
        _tell(conn, [distinct[key] for key, was_open in rows if not was_open])
    return len(keys)


def _tell(conn: Connection, appeared: Sequence[NewLetter]) -> None:
    """Emit one event for each cause among letters that were not open before."""
    causes: dict[str, list[NewLetter]] = {}
    for letter in appeared:
        causes.setdefault(letter.fingerprint, []).append(letter)
    for fingerprint, group in causes.items():
        first = group[0]
        data = {"connection_id": first.connection_id, "object": first.object, "stage": first.stage, "code": first.code}
        data |= {"field": first.field, "message": storable_text(first.message), "fingerprint": fingerprint}
        events.emit(conn, Event("sync.failed", data | {"letters": len(group)}, cause=fingerprint))


def _as_columns(letters: Sequence[NewLetter]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: [_text(getattr(a, name)) for a in letters] for name in _TEXTS}
    columns |= {name: [getattr(a, name) for a in letters] for name in _UUIDS if name != "id"}
    columns |= {name: [storable_json(getattr(a, name)) for a in letters] for name in _JSONS}
    return columns | {"fingerprint": [a.fingerprint for a in letters]}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters: those that agree with everything that is set. ``since``/``until``: when they last failed."""

    status: str | None = "open"
    ids: tuple[UUID, ...] | None = None
    run_id: UUID | None = None
    connection_id: UUID | None = None
    object: str | None = None
    code: str | None = None
    stage: str | None = None
    fault: str | None = None
    fingerprint: str | None = None
    vendor_id: str | None = None
    entity_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Letters with one cause. ``message`` is one of theirs, as an example."""

    fingerprint: str
    object: str | None
    stage: str
    code: str
    field: str | None
    fault: str
    count: int
    first_at: datetime
    last_at: datetime
    message: str


def list_letters(
    conn: Connection, wanted: Filter | None = None, *, after: UUID | None = None, limit: int = 100, **chosen: Any
) -> list[Letter]:
    """Letters in the order they first came, at most ``limit`` after the id ``after`` (for the next page).

    ``chosen``: fields of a `Filter`, where none is given.
    """
    columns = [dead_letter.c[name] for name in Letter.__slots__]
    query = select(*columns).where(*_conditions(wanted or Filter(**chosen))).order_by(dead_letter.c.id).limit(limit)
    if after is not None:
        query = query.where(dead_letter.c.id > after)
    return [Letter(**row._mapping) for row in conn.execute(query)]


def get(conn: Connection, letter_id: UUID) -> Letter:
    """The letter with this id. Raises ConfigurationError."""
    found = list_letters(conn, Filter(status=None, ids=(letter_id,)), limit=1)
    if not found:
        raise ConfigurationError(
            f"There is no dead letter {letter_id}.",
            remedy="`syncline dead-letters list --status all` shows every one.",
            code="no_such_letter",
        )
    return found[0]


def groups(conn: Connection, wanted: Filter | None = None) -> list[Group]:
    """The letters by cause, the most frequent first."""
    columns = [dead_letter.c[name] for name in ("fingerprint", "object", "stage", "code", "field", "fault")]
    number = func.count().label("count")
    query = (
        select(
            *columns,
            number,
            func.min(dead_letter.c.first_at).label("first_at"),
            func.max(dead_letter.c.last_at).label("last_at"),
            func.min(dead_letter.c.message).label("message"),
        )
        .where(*_conditions(wanted or Filter()))
        .group_by(*columns)
        .order_by(number.desc(), *columns)
    )
    return [Group(**row._mapping) for row in conn.execute(query)]


def edit(conn: Connection, letter_id: UUID, payload: Any) -> None:
    """Put a mended payload in the letter's place; what the source sent first is kept in ``original``."""
    statement = (
        dead_letter.update()
        .where(dead_letter.c.id == letter_id, dead_letter.c.status == "open")
        .values(
            original=func.coalesce(dead_letter.c.original, dead_letter.c.payload), payload=payload, edited_at=func.now()
        )
    )
    if conn.execute(statement).rowcount == 0:
        get(conn, letter_id)
        raise ConfigurationError(
            "The dead letter is closed already.", remedy="Nothing is left to mend.", code="letter_closed"
        )


def resolve(conn: Connection, ids: Sequence[UUID], resolution: str) -> int:
    """Close open letters with a word on how (applied, superseded, discarded: why); returns how many were open."""
    statement = (
        dead_letter.update()
        .where(dead_letter.c.id.in_(list(ids)), dead_letter.c.status == "open")
        .values(status="resolved", resolved_at=text("now()"), resolution=storable_text(resolution))
    )
    return int(conn.execute(statement).rowcount)


def forget(conn: Connection, ids: Sequence[UUID]) -> int:
    """Close letters and keep nothing of what they hold: they are about a person who was erased. Returns how many.

    What the vendor calls the record stays, where that does not name the person (see `storage.sweeping`).
    """
    closed = dead_letter.update().where(dead_letter.c.id.in_(list(ids))).values(
        status="resolved", resolution="erased", resolved_at=func.coalesce(dead_letter.c.resolved_at, func.now()),
        payload=null(), mapped=null(), original=null(), message=FORGOTTEN,
    )  # fmt: skip
    return int(conn.execute(closed).rowcount)


def unname(conn: Connection, places: Sequence[str]) -> int:
    """Keep nothing of letters that stand at these places but that they were there; returns how many.

    The key is a digest of what the vendor called the record, which could be tried out.
    """
    here = dead_letter.c.place.in_(list(places))
    forget(conn, list(conn.scalars(select(dead_letter.c.id).where(here))))
    blank = dead_letter.update().where(here).values(vendor_id=None, key=_erased_key())
    return int(conn.execute(blank).rowcount)


def _erased_key() -> Any:
    return literal("erased:").concat(cast(dead_letter.c.id, Text))


def discard(conn: Connection, wanted: Filter, reason: str) -> int:
    """Close the letters that ``wanted`` means without applying them; returns how many. Raises ConfigurationError."""
    why = reason.strip()
    if not why:
        raise ConfigurationError(
            "A letter is not discarded without a reason.", remedy="Say why.", code="reason_missing"
        )
    wanted, closed = replace(wanted, status="open"), 0
    while page := list_letters(conn, wanted, limit=_ROWS_AT_ONCE):
        closed += resolve(conn, [a.id for a in page], f"discarded: {why}")
    return closed


def purge(conn: Connection, resolved_before: datetime) -> int:
    """Delete letters that were closed before a moment; open ones stay for ever. Returns how many."""
    gone = dead_letter.delete().where(dead_letter.c.status != "open", dead_letter.c.resolved_at < resolved_before)
    return int(conn.execute(gone).rowcount)


def _conditions(wanted: Filter) -> list[Any]:
    plain = (
        "status",
        "run_id",
        "connection_id",
        "object",
        "code",
        "stage",
        "fault",
        "fingerprint",
        "vendor_id",
        "entity_id",
    )
    found = [dead_letter.c[n] == getattr(wanted, n) for n in plain if getattr(wanted, n) is not None]
    if wanted.ids is not None:
        found.append(dead_letter.c.id.in_(list(wanted.ids)))
    if wanted.since is not None:
        found.append(dead_letter.c.last_at >= wanted.since)
    if wanted.until is not None:
        found.append(dead_letter.c.last_at < wanted.until)
    return found


def _text(value: str | None) -> str | None:
    return None if value is None else storable_text(value)


def _digest(*parts: object) -> str:
    text_ = "\x1f".join("" if part is None else str(part) for part in parts)
    return hashlib.blake2b(text_.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
