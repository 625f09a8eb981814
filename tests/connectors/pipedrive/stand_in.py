"""Connections to a stand-in company."""

from __future__ import annotations

from itertools import count
from typing import Any

from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from sandbox.pipedrive.server import PipedriveServer

_numbers = count(1)


def token(server: PipedriveServer) -> dict[str, Any]:
    return {"api_token": server.credentials.api_token}


def oauth(server: PipedriveServer) -> dict[str, Any]:
    known = server.credentials
    return {
        "client_id": known.client_id,
        "client_secret": known.client_secret,
        "refresh_token": known.refresh_token,
    }


def connection_to(server: PipedriveServer, secrets: dict[str, Any] | None = None, **changes: Any) -> Connection:
    """Each its own id: limits and quota are the account's, and tests must not share them."""
    tokens = MemoryTokens(token(server) if secrets is None else secrets)
    settings = changes.pop("settings", {})
    return Connection(f"test-{next(_numbers)}", "pipedrive", settings, tokens, base_url=server.url, **changes)
