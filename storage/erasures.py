"""Requests to erase people: who it is stands there sealed until it is done; what stays is the report, without any value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, text

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage.erasing import QUEUED, Report
from storage.persons import Sought
from storage.suppression import DELETE
from storage.tables_privacy import erasure
from storage.tenancy import current_tenant
from storage.vault import Sealed, Vault

PURPOSE = "erasure"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One request. ``status``: requested, done; ``report``: counts by table; ``report_hash``: as the audit log has it, too.

    ``outcomes``: the report's ``at_vendors`` as it was last followed up.
    """

    id: UUID
    status: str
    vendors: str
    report: Mapping[str, Any] | None
    report_hash: bytes | None
    outcomes: Sequence[Mapping[str, Any]] | None
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None


def request(conn: Connection, vault: Vault, sought: Sought, *, policy: str, by: str) -> UUID:
    """Note a request; returns its id. ``policy``: one of `suppression.POLICIES`."""
    tenant, made = UUID(current_tenant(conn)), new_id()
    who = {"email": sought.email, "phone": sought.phone, "record_id": sought.record_id and str(sought.record_id)}
    sealed = vault.seal(tenant, made, who, purpose=PURPOSE).columns()
    conn.execute(
        erasure.insert().values(
            tenant_id=tenant, id=made, status="requested", vendors=policy, requested_by=by, **sealed
        )
    )
    return made


def hold(conn: Connection, vault: Vault, erasure_id: UUID) -> tuple[Erasure, Sought | None]:
    """Lock a request; with who is meant, or None where it is done. Raises ConfigurationError."""
    row = conn.execute(select(erasure).where(erasure.c.id == erasure_id).with_for_update()).one_or_none()
    if row is None:
        raise _unknown()
    if row.ciphertext is None:
        return _erasure(row), None
    who = vault.open(row.tenant_id, row.id, Sealed.of(row), purpose=PURPOSE)
    record = UUID(who["record_id"]) if who["record_id"] else None
    return _erasure(row), Sought(email=who["email"], phone=who["phone"], record_id=record)


def finish(conn: Connection, erasure_id: UUID, report: Report) -> None:
    """Keep the report, and forget who it was."""
    sealed = {"key_id": None, "wrapped_key": None, "ciphertext": None}
    done = {"status": "done", "report": report.to_json(), "report_hash": report.sha256, "finished_at": func.now()}
    conn.execute(erasure.update().where(erasure.c.id == erasure_id).values(**sealed, **done))


def get(conn: Connection, erasure_id: UUID) -> Erasure:
    """One request. Raises ConfigurationError."""
    row = conn.execute(select(erasure).where(erasure.c.id == erasure_id)).one_or_none()
    if row is None:
        raise _unknown()
    return _erasure(row)


def list_all(conn: Connection, *, before: UUID | None = None, limit: int = 100) -> list[Erasure]:
    """Requests, the newest first; ``before``: the last id of the page before."""
    query = select(erasure).order_by(erasure.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(erasure.c.id < before)
    return [_erasure(row) for row in conn.execute(query)]


_NOW = """
    SELECT w.place, CASE
        WHEN c.id IS NULL THEN 'connection_removed'
        WHEN NOT EXISTS (SELECT FROM link l WHERE l.tenant_id = :t AND l.entity_id = w.record AND l.connection_id = w.connection
                         AND l.vendor_object = w.object AND l.tombstoned_at IS NULL) THEN 'deleted'
        WHEN EXISTS (SELECT FROM dead_letter d WHERE d.tenant_id = :t AND d.connection_id = w.connection AND d.object = w.object
                     AND d.entity_id = w.record AND d.stage = 'push' AND d.status = 'open') THEN 'failed'
        WHEN EXISTS (SELECT FROM push_work p WHERE p.tenant_id = :t AND p.connection_id = w.connection AND p.object = w.object
                     AND p.entity_id = w.record) THEN 'queued'
        ELSE 'not_deleted' END AS outcome
    FROM unnest(CAST(:connections AS uuid[]), CAST(:objects AS text[]), CAST(:records AS uuid[]))
         WITH ORDINALITY AS w(connection, object, record, place)
    LEFT JOIN connection c ON c.tenant_id = :t AND c.id = w.connection"""
_OPEN = (QUEUED, "failed", "not_deleted")


def at_vendors(conn: Connection, known: Erasure) -> list[dict[str, Any]]:
    """What became of each record that a vendor held of the person, as of now.

    Of one whose delete was queued: queued still, deleted, failed (a dead letter says why), not_deleted (something else became of
    it: look at its stream), connection_removed.
    """
    told = [dict(entry) for entry in known.outcomes or (known.report or {}).get("at_vendors", ())]
    waiting = [entry for entry in told if entry["outcome"] in _OPEN]
    given = {"connections": [e["connection_id"] for e in waiting], "objects": [e["object"] for e in waiting],
             "records": [e["record"] for e in waiting]}  # fmt: skip
    if waiting:
        for place, outcome in conn.execute(text(_NOW), given | {"t": current_tenant(conn)}):
            waiting[place - 1]["outcome"] = outcome
    return told


def follow(conn: Connection) -> int:
    """Write down what became of deletes at vendors, before links and letters are gone that tell of it; returns how many changed."""
    changed = 0
    for row in conn.execute(select(erasure).where(erasure.c.status == "done", erasure.c.vendors == DELETE)).all():
        known = _erasure(row)
        before = list(known.outcomes or (known.report or {}).get("at_vendors", ()))
        now = at_vendors(conn, known)
        if now != before:
            conn.execute(erasure.update().where(erasure.c.id == known.id).values(outcomes=now))
            changed += 1
    return changed


def _erasure(row: Row[Any]) -> Erasure:
    return Erasure(**{name: row._mapping[name] for name in Erasure.__slots__})


def _unknown() -> ConfigurationError:
    return ConfigurationError("There is no erasure with this id.", remedy="List the erasures.", code="no_such_erasure")
