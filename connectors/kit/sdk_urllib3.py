"""For vendor SDKs built on urllib3: a pool manager that sends through the same gate as `http.VendorClient`.

Give it to the SDK in place of its own pool manager. Refused and lost calls raise the kit's errors, never the SDK's, whose
exceptions hold headers and bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.kit.http import Reply, VendorClient
from domain.errors import ConfigurationError

_OURS = frozenset({"authorization", "user-agent", "accept-encoding", "content-length", "host"})


@dataclass(frozen=True, slots=True)
class PoolReply:
    """What SDKs read of urllib3's response."""

    status: int
    data: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    reason: str = ""

    def getheaders(self) -> Mapping[str, str]:
        """As urllib3's."""
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """As urllib3's."""
        return self.headers.get(name, default)


class KitPool:
    """``request`` of urllib3's PoolManager, as generated SDKs call it."""

    def __init__(self, client: VendorClient) -> None:
        self._client = client

    def request(
        self,
        method: str,
        url: str,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        encode_multipart: bool = False,
        **_options: Any,
    ) -> PoolReply:
        """Send. Authorization is the client's own, whatever the SDK was configured with. Raises the kit's errors."""
        if encode_multipart:
            raise ConfigurationError("Files are not sent through this SDK.", remedy="Use the connector's upload.")
        kept = {name: value for name, value in (headers or {}).items() if name.lower() not in _OURS}
        content = body.encode() if isinstance(body, str) else body
        params = _params(fields) if method.upper() in ("GET", "HEAD") else None
        reply: Reply = self._client.request(method, url, content=content, params=params, headers=kept)
        return PoolReply(reply.status, reply.content, reply.headers)


def _params(fields: Any) -> dict[str, Any] | None:
    """Query parameters from a mapping or a list of pairs, repeated names as lists."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields or ()
    result: dict[str, Any] = {}
    for name, value in pairs:
        result[name] = [*_listed(result[name]), *_listed(value)] if name in result else value
    return result or None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
