"""Erasing a person from the installation's own inbox: deliveries for a vendor's whole app, before and after they found a tenant.

They belong to all who use the app. So only those are emptied that are about an account of the tenant which erases, or about one
that nobody connected; another tenant's stay, as its records do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from connectors.kit.contract import Notice
from domain.access import SYSTEM_TENANT
from domain.errors import RecordRejectedError
from storage import dead_letters, inbound_endpoints, inbox, routes, sweeping
from storage.database import Connection, Database
from storage.inbound_endpoints import Endpoint
from storage.inbox import Kept
from storage.tables_inbound import inbox as inbox_table
from webhooks.inbound.processing import items, vendor_of
from webhooks.inbound.schemes import scheme

PLACE: Final = "inbox of the installation"
"""What the proof calls it."""
_WRAPPED: Final = frozenset({"google_pubsub"})
"""Schemes whose bodies hold the notice in base64, where no search of the bytes finds it."""


@dataclass(frozen=True, slots=True)
class Emptied:
    """``erased``: deliveries of which nothing is kept any more; ``left``: those that still name the person, for they wait to be
    followed for another tenant, too."""

    erased: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    id: UUID
    pending: bool
    vendor: str
    accounts: frozenset[str]


def empty(db: Database, tenant_id: UUID, needles: Sequence[str]) -> Emptied:
    """Take a tenant's person out of the installation's inbox and its letters. Done twice, it changes nothing more."""
    if not needles:
        return Emptied()
    with db.tenant(SYSTEM_TENANT) as conn:
        found = _naming(conn, needles)
    owners = {f.id: _owners(db, f) for f in found}
    mine = [f for f in found if not owners[f.id] or tenant_id in owners[f.id]]
    shared = [f for f in mine if f.pending and owners[f.id] - {tenant_id}]
    gone = [f.id for f in mine if f not in shared]
    if gone:
        with db.tenant(SYSTEM_TENANT) as conn:
            inbox.forget(conn, gone)
            dead_letters.unname(conn, [inbox.place_of(delivery) for delivery in gone])
    return Emptied(len(gone), len(shared))


def _naming(conn: Connection, needles: Sequence[str]) -> list[_Found]:
    named = [hit.key["id"] for hit in sweeping.hits(conn, inbox_table, needles)]
    rows = {row.id: row for row in inbox.kept(conn, named)}
    endpoints: dict[UUID, Endpoint] = {}
    found = [_found(conn, row, endpoints) for row in rows.values()]
    for endpoint in inbound_endpoints.of_schemes(conn, _WRAPPED):
        endpoints[endpoint.id] = endpoint
        wrapped = (_found(conn, row, endpoints) for row in inbox.kept_of(conn, endpoint.id) if row.id not in rows)
        found += [
            f for f in wrapped if any(needle in account.casefold() for account in f.accounts for needle in needles)
        ]
    return found


def _found(conn: Connection, row: Kept, endpoints: dict[UUID, Endpoint]) -> _Found:
    endpoint = endpoints.get(row.endpoint_id) or inbound_endpoints.get(conn, row.endpoint_id)
    endpoints[row.endpoint_id] = endpoint
    accounts = frozenset(_accounts(endpoint, row.headers, row.body)) if row.body or row.headers else frozenset()
    return _Found(row.id, row.pending, vendor_of(endpoint), accounts)


def _accounts(endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> list[str]:
    """The accounts that a delivery is about; of what cannot be read, none: then it is nobody's."""
    said = items(scheme(endpoint.scheme, endpoint.settings), body, headers)
    try:
        return [item.account for item in said if isinstance(item, Notice) and item.account]
    except RecordRejectedError:
        return []


def _owners(db: Database, found: _Found) -> frozenset[UUID]:
    """The tenants that connected an account which a delivery is about."""
    known = routes.find(db, found.vendor, found.accounts) if found.accounts else {}
    return frozenset(tenant for places in known.values() for tenant, _ in places)
