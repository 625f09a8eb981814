"""One HubSpot account's API: signing in, calls through the kit, and the vendor's SDK on the same road.

Records are read and written through the kit's own client: the SDK needs many times as long to unpack a page. The SDK is
used for what is rare (properties, schemas, pipelines, owners); it is imported and its API objects are built when first
needed, once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import orjson

from connectors.hubspot.errors import error_table
from connectors.kit.auth import Auth, Authenticator, Bearer, Credentials
from connectors.kit.contract import Connection, Manifest
from connectors.kit.gate import Gate
from connectors.kit.http import Reply, StreamedReply, VendorClient
from connectors.kit.oauth import RefreshToken
from connectors.kit.sdk_urllib3 import KitPool

API = "https://api.hubapi.com"
TOKEN_URL = f"{API}/oauth/v1/token"
SEARCH_SCOPE = "search"
_DAILY, _REMAINING = "X-HubSpot-RateLimit-Daily", "X-HubSpot-RateLimit-Daily-Remaining"


def read_quota(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """(used, limit) of the account's day. Search replies and OAuth apps are not told."""
    limit, left = headers.get(_DAILY) or "", headers.get(_REMAINING) or ""
    return (int(limit) - int(left), int(limit)) if limit.isdigit() and left.isdigit() else None


def strategy(stored: Credentials) -> Auth:
    """OAuth where there is a refresh token, else the token of a private app, which never changes by itself."""
    return RefreshToken(token_url=TOKEN_URL) if stored.get("refresh_token") else Bearer()


class Portal:
    """Calls to the account of one connection. Thread-safe."""

    def __init__(self, manifest: Manifest, connection: Connection, gate: Gate | None = None) -> None:
        self.gate = gate or Gate.of(manifest, connection, errors=error_table(), read_quota=read_quota)
        self._connection = connection
        self.plain = VendorClient(self.gate, base=API, headers={"Accept": "application/json"})
        self._lock = threading.Lock()
        self._apis: dict[str, Any] = {}

    @cached_property
    def _client(self) -> VendorClient:
        auth = strategy(self._connection.tokens.load())
        return self.plain.signed_by(Authenticator(auth, self._connection.tokens, self.plain))

    def close(self) -> None:
        """Release sockets."""
        self.plain.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        scope: str = "default",
        idempotent: bool | None = None,
        accept: Container[int] = (),
    ) -> Reply:
        """One call; errors as the table says."""
        return self._client.request(
            method,
            path,
            json=json,
            content=content,
            headers=headers,
            params=params,
            scope=scope,
            idempotent=idempotent,
            accept=accept,
        )

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a GET."""
        return self.request("GET", path, params=params).json()

    def ask(self, path: str, body: Any, *, scope: str = "default", params: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a POST that only reads, and may be repeated."""
        return self.request("POST", path, json=body, scope=scope, params=params, idempotent=True).json()

    @contextmanager
    def stream(self, url: str) -> Iterator[StreamedReply]:
        """A GET without the connection's token, for signed addresses. Raises ForeignHostError."""
        with self.plain.stream("GET", url, headers={"Accept": "*/*"}) as reply:
            yield reply

    def sdk(self, api: str, call: Callable[[Any], Any]) -> Any:
        """The JSON that ``call`` gets from an API object of the vendor's SDK, named by its path (``crm.owners.owners_api``).

        Unpacking into the SDK's models is left out: it costs more than the call and refuses values that are newer than it.
        """
        return orjson.loads(call(self._api(api)).data)

    def _api(self, name: str) -> Any:
        with self._lock:
            if name not in self._apis:
                self._apis[name] = self._built(name)
            return self._apis[name]

    def _built(self, name: str) -> Any:
        from hubspot import HubSpot

        found: Any = HubSpot(host=API)
        for part in name.split("."):
            found = getattr(found, part)
        found.api_client.rest_client.pool_manager = KitPool(self._client)
        return found
