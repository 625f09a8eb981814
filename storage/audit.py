"""The audit log: every change and every look at a payload, append-only, each entry holding the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row, Select, Text, cast, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, insert

from domain.access import Actor
from storage.storable import storable_json, storable_text
from storage.tables_access import audit_head, audit_log
from storage.tenancy import current_tenant

GENESIS = bytes(32)
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """What someone did. ``action`` is ``resource.verb``; ``detail`` names fields and counts, never secrets or values of records."""

    seq: int
    at: datetime
    actor_kind: str
    actor: str
    action: str
    target_kind: str
    target_id: str
    detail: Mapping[str, Any]
    request_id: str | None
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of `verify`. ``broken_at``: the first entry that does not follow from the one before; None: all of them do."""

    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.broken_at is None


def record(
    conn: Connection,
    actor: Actor,
    action: str,
    target_kind: str,
    target_id: object,
    detail: Mapping[str, Any] | None = None,
    *,
    request_id: str | None = None,
) -> int:
    """Add an entry in the caller's transaction, so that it stands exactly when the change does; returns its number.

    Entries of one tenant wait for each other until that transaction ends: record late in it.
    """
    tenant = UUID(current_tenant(conn))
    conn.execute(
        insert(audit_head)
        .values(tenant_id=tenant, seq=0, hash=GENESIS)
        .on_conflict_do_nothing(index_elements=["tenant_id"])
    )
    given = json.loads(storable_json(dict(detail or {})) or "{}")
    # The detail is hashed as PostgreSQL will print it ever after: it brings numbers and names into a form of its own.
    shown = cast(cast(given, JSONB), Text).label("detail")
    head = conn.execute(select(audit_head.c.seq, audit_head.c.hash, shown).with_for_update()).one()
    values: dict[str, Any] = {
        "seq": head.seq + 1,
        "at": datetime.now(UTC),
        "actor_kind": actor.kind,
        "actor": storable_text(actor.name or actor.id),
        "action": action,
        "target_kind": target_kind,
        "target_id": storable_text(str(target_id)),
        "detail": head.detail,
        "request_id": request_id,
    }
    digest = _digest(tenant, values, head.hash)
    stored = values | {"detail": cast(given, JSONB)}
    conn.execute(audit_log.insert().values(tenant_id=tenant, previous=head.hash, hash=digest, **stored))
    conn.execute(audit_head.update().values(seq=values["seq"], hash=digest))
    return int(values["seq"])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries to list: all that agree with everything that is given. ``since`` counts in, ``until`` does not."""

    action: str | None = None
    actor: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def entries(
    conn: Connection, wanted: Wanted | None = None, *, after: int | None = None, limit: int = 100, newest: bool = False
) -> list[Entry]:
    """Entries in order, or the newest first; ``after``: the number of the last one that was seen.

    Those of a window of time come in the order of their times, which are of the clocks of those who wrote them.
    """
    order: list[Any] = [audit_log.c.seq]
    place: list[Any] = [after]
    if wanted is not None and (wanted.since is not None or wanted.until is not None):
        order.insert(0, audit_log.c.at)
        known = audit_log.alias()
        place.insert(0, select(known.c.at).where(known.c.seq == after).scalar_subquery())
    query = _entries(limit).order_by(*(column.desc() if newest else column for column in order))
    if after is not None:
        here, there = tuple_(*order), tuple_(*place)
        query = query.where(here < there if newest else here > there)
    for name in ("action", "actor", "target_kind", "target_id"):
        value = getattr(wanted, name, None)
        if value is not None:
            query = query.where(audit_log.c[name] == value)
    if wanted is not None and wanted.since is not None:
        query = query.where(audit_log.c.at >= wanted.since)
    if wanted is not None and wanted.until is not None:
        query = query.where(audit_log.c.at < wanted.until)
    return [Entry(**{**row._mapping, "detail": json.loads(row.detail)}) for row in conn.execute(query)]


def verify(conn: Connection) -> Verdict:
    """Compute the tenant's whole chain again: an entry that was changed, removed or slipped in breaks it."""
    tenant = UUID(current_tenant(conn))
    previous, count = GENESIS, 0
    for entry in _all(conn):
        count += 1
        values = {str(name): value for name, value in entry._mapping.items() if name not in ("previous", "hash")}
        if entry.seq != count:
            return Verdict(count, previous.hex(), count, "an entry is missing before it")
        if entry.previous != previous or entry.hash != _digest(tenant, values, previous):
            return Verdict(count, previous.hex(), entry.seq, "it was changed, or does not follow from the one before")
        previous = entry.hash
    head = conn.execute(select(audit_head.c.seq, audit_head.c.hash)).one_or_none()
    if head is not None and (head.seq, head.hash) != (count, previous):
        return Verdict(count, previous.hex(), count + 1, "entries are missing at the end")
    return Verdict(count, previous.hex())


def _entries(limit: int) -> Select[Any]:
    """Rows in the form that is hashed: ``detail`` as text."""
    columns = [audit_log.c[f.name] for f in fields(Entry) if f.name != "detail"]
    return select(*columns, cast(audit_log.c.detail, Text).label("detail")).limit(limit)


def _all(conn: Connection) -> Iterator[Row[Any]]:
    after = 0
    pages = _entries(_PAGE).order_by(audit_log.c.seq)
    while page := conn.execute(pages.where(audit_log.c.seq > after)).all():
        yield from page
        after = page[-1].seq


def _digest(tenant: UUID, values: Mapping[str, Any], previous: bytes) -> bytes:
    form = dict(values) | {"tenant": str(tenant), "at": values["at"].astimezone(UTC).isoformat(timespec="microseconds")}
    return hashlib.sha256(previous + orjson.dumps(form, option=orjson.OPT_SORT_KEYS)).digest()
