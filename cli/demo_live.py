"""The demo's second half: a HubSpot portal joins, people edit on all three sides, and everything ends in step."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bootstrap.connecting import sign_in, store_connection
from bootstrap.syncing import Syncs, syncing
from bootstrap.syncing_rules import StreamSettings
from cli.sandbox_process import SandboxProcess
from cli.session import Session
from storage import connections, explaining, streams
from storage.sync import records

if TYPE_CHECKING:
    from storage.explaining import Explanation

PORTAL = "demo-hubspot"
SALESFORCE_OBJECTS = ("Account", "Contact")
HUBSPOT_OBJECTS = ("companies", "contacts")
ARRIVAL_TIMEOUT_S = 90.0
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Live:
    """How the second half ended. ``edits``: what each side changed, as (system, field, value); ``missing`` in words."""

    contacts: int
    pushed: int
    edits: tuple[tuple[str, str, str], ...]
    contact: UUID | None
    seconds: float
    missing: tuple[str, ...]


def go_live(inner: Session, salesforce_id: UUID, salesforce: SandboxProcess, hubspot: SandboxProcess) -> Live:
    """Connect an empty portal, fill it, edit everywhere, and compare."""
    hub = inner.hub
    with syncing(hub) as syncs:
        portal_id = _connect_portal(inner, hubspot)
        _keep_in_step(syncs, salesforce_id, portal_id)
        pushed = _settle(inner, syncs, [salesforce_id, portal_id])
        inner.out.say(f"      {pushed:,} records went to HubSpot.")
        return _edit_everywhere(inner, syncs, (salesforce_id, portal_id), (salesforce.url, hubspot.url), pushed)


def _connect_portal(inner: Session, hubspot: SandboxProcess) -> UUID:
    """The sandbox portal is a new one each time, so what an earlier demo knew of its predecessor goes."""
    from sandbox.hubspot.auth import Credentials

    with inner.hub.db.tenant(inner.tenant_id) as conn:
        known = connections.by_name(conn, PORTAL)
        for stream in streams.list_all(conn, known.id) if known else ():
            streams.remove(conn, stream.connection_id, stream.object)
    if known is not None:
        inner.hub.forget_connection(known.id)
    account, secrets = sign_in("hubspot", {}, {"auth": "api_key", "access_token": Credentials().token}, hubspot.url)
    stored = store_connection(
        inner.hub,
        vendor="hubspot",
        name=PORTAL,
        settings={},
        secrets=secrets,
        account=account,
        base_url=hubspot.url,
    )
    return stored.id


def _keep_in_step(syncs: Syncs, salesforce_id: UUID, portal_id: UUID) -> None:
    run, plan = syncs.migrated(salesforce_id)
    specs = {p.object: p.spec for p in plan.objects}
    syncs.add(salesforce_id, SALESFORCE_OBJECTS, StreamSettings(), specs)
    syncs.start_from(salesforce_id, SALESFORCE_OBJECTS, run.started_at)
    syncs.add(portal_id, HUBSPOT_OBJECTS, StreamSettings(), make_key_field=True)


def _settle(inner: Session, syncs: Syncs, both: list[UUID]) -> int:
    sent = 0

    def told(stream: Any, report: Any) -> None:
        nonlocal sent
        sent += sum(n for name, n in report.counts.items() if name.startswith("pushed_"))
        what = ", ".join(f"{n:,} {name}" for name, n in sorted(report.counts.items()) if name != "unchanged")
        if what:
            inner.out.say(f"      [dim]{stream.object}: {what}[/dim]")

    syncs.settle(both, on_pass=told)
    return sent


def _edit_everywhere(inner: Session, syncs: Syncs, both: tuple[UUID, UUID], urls: tuple[str, str], pushed: int) -> Live:
    contact = _contact_of_both(inner)
    if contact is None:
        return Live(0, pushed, (), None, 0.0, ("No contact stands in both systems.",))
    ids = {link.vendor: link.vendor_id for link in contact.links if not link.tombstoned}
    token = f"{time.time_ns() // 1_000_000 % 100_000:05d}"
    wanted = {"title": f"Head of Demos {token}", "mailing_city": f"Reykjavík {token}", "department": f"Demo {token}"}
    _as_person(urls[0], object="Contact", id=ids["salesforce"], properties={"Title": wanted["title"]})
    _as_person(urls[1], object="contacts", id=ids["hubspot"], properties={"city": wanted["mailing_city"]})
    with inner.hub.db.tenant(inner.tenant_id) as conn:
        change = {"department": wanted["department"]}
        records.edit(conn, inner.tenant_id, "contact", contact.entity_id, change, "a person")
    inner.out.say("      One contact was edited in Salesforce, in HubSpot and in the hub, a field each.")
    started = time.monotonic()
    while True:
        _settle(inner, syncs, list(both))
        missing = tuple(_missing(inner, contact.entity_id, wanted)) or tuple(_different(syncs, both))
        if not missing or time.monotonic() - started > ARRIVAL_TIMEOUT_S:
            break
        time.sleep(_PAUSE_S)  # the vendor's search index sees an edit some seconds late, as HubSpot's does
    seconds = time.monotonic() - started
    edits = tuple(zip(("salesforce", "hubspot", "hub"), wanted.keys(), wanted.values(), strict=True))
    return Live(_count(inner), pushed, edits, contact.entity_id, seconds, missing)


def _contact_of_both(inner: Session) -> Explanation | None:
    with inner.hub.db.tenant(inner.tenant_id) as conn:
        for entity_id in streams.linked_everywhere(conn, "contact", ("salesforce", "hubspot"), limit=1):
            return explaining.explain(conn, "contact", entity_id)
    return None


def _count(inner: Session) -> int:
    with inner.hub.db.tenant(inner.tenant_id) as conn:
        return len(streams.linked_everywhere(conn, "contact", ("salesforce", "hubspot"), limit=1_000_000))


def _as_person(url: str, **edit: Any) -> None:
    request = urllib.request.Request(  # noqa: S310 - the sandbox on this machine
        f"{url}/__sandbox__/edit", json.dumps(edit).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        answer.read()


def _missing(inner: Session, contact: UUID, wanted: dict[str, str]) -> Iterator[str]:
    """Edits that have not arrived in the hub or not gone on to a vendor yet."""
    with inner.hub.db.tenant(inner.tenant_id) as conn:
        told = explaining.explain(conn, "contact", contact)
    values = {f.field: f.value for f in told.fields}
    for name, value in wanted.items():
        if values.get(name) != value:
            yield f"The edit of {name} has not arrived."
    for link in told.links:
        if link.behind or link.uncertain:
            yield f"{link.connection} lacks a change yet."


def _different(syncs: Syncs, both: tuple[UUID, UUID]) -> Iterator[str]:
    """Objects in which a vendor and the hub differ, compared record by record."""
    for stream in syncs.list():
        if stream.connection_id in both:
            found = syncs.verify(stream)
            if not found.ok:
                yield f"{stream.object}: {found.differences:,} records differ from the vendor's."
