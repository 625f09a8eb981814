"""Connections to a stand-in org."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from connectors.salesforce.bulk import Polling
from sandbox.salesforce.server import SandboxServer

FAST = Polling(first_s=0.05, cap_s=0.2)


def password(server: SandboxServer) -> dict[str, Any]:
    known = server.credentials
    return {"username": known.username, "password": known.password, "security_token": known.security_token}


def connection_to(server: SandboxServer, secrets: dict[str, Any] | None = None, **changes: Any) -> Connection:
    """Each its own id: quota, circuit and slots are the account's, and tests must not share them."""
    settings = changes.pop("settings", {})
    tokens = MemoryTokens(password(server) if secrets is None else secrets)
    number = next(_numbers)
    return Connection(f"test-{number}", "salesforce", settings, tokens, base_url=server.url, **changes)


def _count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_numbers = _count()
