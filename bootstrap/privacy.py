"""People's rights, wired: a request to erase somebody becomes a job; the job erases in one transaction and proves it."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bootstrap import uploads
from bootstrap.settings import Settings
from domain.access import Actor
from domain.errors import SynclineError
from storage import (
    audit,
    connections,
    dead_letters,
    erasing,
    erasures,
    exporting,
    idempotency,
    jobs,
    persons,
    retention,
    suppression,
    sweeping,
)
from storage.database import Connection
from storage.erasing import Elsewhere
from storage.jobs import Job
from storage.persons import Person, Sought
from storage.suppression import Mark
from storage.sync.changing import Cause
from webhooks.inbound import erasing as inbound_erasing

if TYPE_CHECKING:
    from bootstrap.jobs import Work
    from bootstrap.wiring import Hub

ERASE = "privacy.erase"


def request_erasure(conn: Connection, hub: Hub, sought: Sought, actor: Actor, policy: str) -> Job:
    """Queue an erasure. Neither the job nor the audit log says who it is: that stands sealed in the request.

    Raises ConfigurationError for a record that does not exist.
    """
    persons.find(conn, sought)
    made = erasures.request(conn, hub.vault, sought, policy=policy, by=actor.label)
    return jobs.add(conn, ERASE, {"erasure": str(made)}, actor)


def erase_job(work: Work) -> Mapping[str, Any]:
    """Erase a person. All of it is one transaction: after a crash it was done, or nothing was."""
    hub, erasure_id = work.hub, UUID(str(work.params["erasure"]))
    with hub.db.tenant(hub.tenant_id) as conn:
        held, sought = erasures.hold(conn, hub.vault, erasure_id)
        person = None if sought is None else _erase(conn, hub, work.actor, erasure_id, sought, held.vendors)
    # What a pass had read before the person was suppressed, and wrote after: looked for once more, while we know for whom.
    with hub.db.tenant(hub.tenant_id) as conn:
        late = {} if person is None else _late(conn, hub, person)
        done = erasures.get(conn, erasure_id)
        known = [c.id for c in connections.list_all(conn)] if person is not None else []
    for connection_id in known:
        hub.empty_cache(
            connection_id
        )  # surveys of files hold values of theirs; they are made again when they are needed
    return {"erasure": str(erasure_id), "late": late, **(done.report or {})}


def _late(conn: Connection, hub: Hub, person: Person) -> dict[str, int]:
    found = erasing.search(conn, person.needles)
    answers = _forget_answers(conn, hub, person)
    return found | ({"idempotency_key": answers} if answers else {})


def _forget_answers(conn: Connection, hub: Hub, person: Person) -> int:
    """Forget kept answers of the API that name the person or one of their records. One whose key is gone says nothing any more."""
    ids = [str(i) for i in person.all_ids]
    found = []
    for answer in idempotency.answers(conn):
        body = b""
        with contextlib.suppress(SynclineError):
            if answer.body is not None:
                body = base64.b64decode(hub.vault.open(hub.tenant_id, answer.attempt, answer.body)["body"])
        if body and (sweeping.names(body, person.needles) or any(i.encode() in body for i in ids)):
            found.append(answer.attempt)
    return idempotency.forget(conn, found) if found else 0


def _erase(conn: Connection, hub: Hub, actor: Actor, erasure_id: UUID, sought: Sought, policy: str) -> Person:
    key = suppression.key_of(conn, hub.vault, create=True)
    assert key is not None  # noqa: S101  # just made
    person = persons.find(conn, sought)
    cause = Cause(hub.tenant_id, "hub", by=f"erasure {erasure_id}")
    days = retention.effective(conn, defaults(hub.settings))["uploads"]
    files = uploads.search(hub, person.needles, days)
    answers = _forget_answers(conn, hub, person)
    shared = inbound_erasing.empty(hub.db, hub.tenant_id, person.needles)
    erased = {"idempotency_key": answers, inbound_erasing.PLACE: shared.erased}
    elsewhere = Elsewhere(
        erased={place: n for place, n in erased.items() if n}, searched={inbound_erasing.PLACE: shared.left},
        uploads=files.naming, uploads_unsearched=files.unsearched,
    )  # fmt: skip
    report = erasing.erase(conn, key, person, cause, erasure_id, policy=policy, elsewhere=elsewhere)
    erasures.finish(conn, erasure_id, report)
    proof = {"records": sum(report.records.values()), "left": sum(report.left.values()), "vendors": policy}
    proof |= {"uploads": len(report.uploads), "uploads_unsearched": len(report.uploads_unsearched)}
    proof |= {"complete": report.complete, "sha256": report.sha256.hex()}
    audit.record(conn, actor, "person.erase", "erasure", erasure_id, proof)
    return person


def lift(conn: Connection, hub: Hub, sought: Sought) -> int:
    """Let a person back in who was erased; returns how many marks went."""
    marks: list[Mark] = sought.given
    return suppression.lift(conn, suppression.key_of(conn, hub.vault), marks)


def export(hub: Hub, sought: Sought) -> Iterator[bytes]:
    """The person's archive, piece by piece, as of one moment."""
    with hub.db.tenant(hub.tenant_id) as conn:
        conn.exec_driver_sql("SET TRANSACTION READ ONLY")
        yield from exporting.export(conn, persons.find(conn, sought))


# ---------------------------------------------------------------- retention


def defaults(settings: Settings) -> dict[str, int | None]:
    """Days by kind, as the installation is set. None: for ever."""
    return {
        "dead_letters": settings.letters_kept_days,
        "jobs": settings.letters_kept_days,
        "inbox": settings.inbox_kept_days,
        "webhooks": settings.webhook_kept_days,
        "changes": settings.changes_kept_days,
        "history": None,
        "tombstones": None,
        "uploads": None,
        "conflicts": None,
        "runs": settings.runs_kept_days,
    }


def kept(conn: Connection, settings: Settings, kind: str, now: datetime) -> datetime | None:
    """Up to which moment things of a kind may be deleted; None: nothing may."""
    days = retention.effective(conn, defaults(settings))[kind]
    return None if days is None else now - timedelta(days=days)


def purge(hub: Hub, tenant_id: UUID, now: datetime) -> dict[str, int]:
    """Delete what a tenant keeps no longer: letters, jobs, history, tombstones, conflicts, runs; returns how much of each."""
    gone: dict[str, int] = {}
    with hub.db.tenant(tenant_id) as conn:
        erasures.follow(conn)
    steps = {"dead_letters": dead_letters.purge, "jobs": jobs.purge}
    for kind in ("dead_letters", "jobs", "history", "tombstones", "conflicts", "runs"):
        with hub.db.tenant(tenant_id) as conn:
            before = kept(conn, hub.settings, kind, now)
            if before is not None:
                step = steps.get(kind)
                gone[kind] = retention.purge(conn, kind, before) if step is None else step(conn, before)
    with hub.db.tenant(tenant_id) as conn:
        sent_before = kept(conn, hub.settings, "uploads", now)
    if sent_before is not None:
        gone["uploads"] = uploads.purge(hub.of(tenant_id), sent_before)
    return gone
