"""Who acts, and what they may do: permissions are ``resource:action``, roles are named sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

SYSTEM_TENANT = UUID("00000000-0000-7000-8000-000000000000")
"""Owns what belongs to no customer: system administrators, and endpoints that serve a vendor's whole app."""

PERMISSIONS: dict[str, str] = {
    "tenants:read": "See which customers the installation serves.",
    "tenants:write": "Create, rename and close customers.",
    "members:read": "See who may use the tenant, and their roles.",
    "members:write": "Invite people, change their roles, remove them.",
    "keys:read": "See API keys, without their secrets.",
    "keys:write": "Create, rotate and revoke API keys.",
    "connectors:read": "See which systems can be connected, and what each needs.",
    "connections:read": "See connected accounts, their health and freshness.",
    "connections:write": "Connect, reconnect, test, pause and disconnect accounts.",
    "streams:read": "See what is kept in step, and its runs.",
    "streams:write": "Choose what is kept in step, pause and resume it.",
    "streams:run": "Run a stream now, or compare it in full.",
    "mappings:read": "See mappings, validate and preview them.",
    "mappings:write": "Change mappings and apply them again.",
    "records:read": "Read, search and explain records; read the change feed.",
    "records:write": "Create, change and delete records.",
    "conflicts:read": "See conflicts.",
    "conflicts:write": "Decide conflicts.",
    "dead_letters:read": "See what was set aside and why, without the raw record.",
    "dead_letters:write": "Edit, replay, discard and purge what was set aside.",
    "payloads:read": "Look at raw records and messages: customer data. Every look is written to the audit log.",
    "migrations:read": "See migrations, their plans and certificates.",
    "migrations:write": "Upload files, plan, run, undo and cut over migrations.",
    "webhooks:read": "See webhook endpoints, deliveries and the inbox.",
    "webhooks:write": "Create and change webhook endpoints, rotate secrets, replay deliveries.",
    "jobs:read": "See long work: how far it is, and how it ended.",
    "jobs:write": "Cancel long work.",
    "audit:read": "Read and verify the audit log.",
    "usage:read": "See usage and limits.",
    "metrics:read": "Scrape metrics.",
    "privacy:read": "Export what is stored about a person; see consents and retention.",
    "privacy:write": "Erase a person; change retention.",
}
"""Every permission with what it allows, in words."""

_READS = frozenset(p for p in PERMISSIONS if p.endswith(":read"))
_OF_THE_SYSTEM = frozenset({"tenants:read", "tenants:write", "metrics:read"})
_SENSITIVE = frozenset(
    {"payloads:read", "keys:read", "members:read", "audit:read", "privacy:read", "jobs:read", "migrations:read"}
)

ROLES: dict[str, frozenset[str]] = {
    "system_admin": frozenset(PERMISSIONS),
    "tenant_admin": frozenset(PERMISSIONS) - _OF_THE_SYSTEM,
    "support": (_READS - _OF_THE_SYSTEM - {"keys:read", "privacy:read"})
    | {"dead_letters:write", "conflicts:write", "streams:run", "webhooks:write", "jobs:write"},
    "member": (_READS - _OF_THE_SYSTEM - _SENSITIVE) | {"records:write", "conflicts:write"},
    "read_only": _READS - _OF_THE_SYSTEM - _SENSITIVE,
}
"""What each role may do. ``system_admin`` exists in the system tenant only."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. ``kind``: key (an API key), person (signed in), system (the hub itself), command (the command line)."""

    kind: Literal["key", "person", "system", "command"]
    id: str
    name: str = ""

    @property
    def label(self) -> str:
        """As written into change log and history."""
        return f"{self.kind}:{self.name or self.id}"
