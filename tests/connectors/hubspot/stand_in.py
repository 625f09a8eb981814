"""Connections to a stand-in portal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from sandbox.hubspot.records import Record
from sandbox.hubspot.server import HubSpotServer
from sandbox.hubspot.times import iso
from sandbox.kit.wire import Reply, Request

_numbers = count(1)


class Unlimited:
    """No waiting in tests that are not about limits."""

    def reserve(self, *_args: Any) -> float:
        return 0.0

    def hold(self, *_args: Any) -> None:
        """Nobody is held."""


def token(server: HubSpotServer) -> dict[str, Any]:
    return {"access_token": server.token}


def connection_to(server: HubSpotServer, secrets: Mapping[str, Any] | None = None, **changes: Any) -> Connection:
    """Each its own id: limits, quota and circuit are the account's, and tests must not share them."""
    changes.setdefault("limiter", Unlimited())
    tokens = MemoryTokens(token(server) if secrets is None else secrets)
    return Connection(f"test-{next(_numbers)}", "hubspot", {}, tokens, base_url=server.url, **changes)


def unhurried(server: HubSpotServer) -> HubSpotServer:
    """A portal whose limits no test meets by accident, and whose index sees a write at once."""
    limits = server.sandbox.limits
    limits.burst = limits.searches = 1_000_000
    server.portal.lag.least_s = server.portal.lag.most_s = 0.0
    return server


def seed(
    server: HubSpotServer, record_id: str, *, modified: int | None = None, archived: int | None = None, **values: str
) -> None:
    """A contact as it is, known to the index, without a call: milliseconds of its last change and of its archiving."""
    at = server.portal.now() if modified is None else modified
    own = {
        "hs_object_id": record_id,
        "createdate": iso(at),
        "lastmodifieddate": iso(at),
        "lastname": f"Name {record_id}",
    }
    record = Record(record_id, own | values, at, at, archived)
    record.indexed = None if archived else record.values
    server.portal.tables["contacts"][record_id] = record


def answering(
    server: HubSpotServer,
    path: str,
    body: Any,
    status: int,
    *,
    times: int = 1_000,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Let the next ``times`` calls whose path holds ``path`` get an answer that the vendor documents."""
    carry_out, left = server.sandbox.handle, [times]

    def handle(request: Request) -> Reply:
        if path not in request.path or left[0] <= 0:
            return carry_out(request)
        left[0] -= 1
        return Reply(status, body, headers=dict(headers or {}))

    server.sandbox.handle = handle  # type: ignore[method-assign]
