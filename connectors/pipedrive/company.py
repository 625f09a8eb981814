"""The line to one Pipedrive company: signing in, where its API is, what a call costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from connectors.kit.auth import ApiKey, Auth, Authenticator, Credentials
from connectors.kit.contract import Connection, Manifest
from connectors.kit.gate import Gate
from connectors.kit.hosts import HostPolicy
from connectors.kit.http import Content, Params, Reply, VendorClient
from connectors.kit.oauth import RefreshToken
from connectors.pipedrive.errors import ERRORS
from domain.errors import ConfigurationError, TransientError

OAUTH_HOST = "https://oauth.pipedrive.com"
TOKEN_URL = f"{OAUTH_HOST}/oauth/token"
AUTHORIZE_URL = f"{OAUTH_HOST}/oauth/authorize"
STORAGE_HOSTS = ("*.amazonaws.com", "*.pipedrive.com", "*.pipedriveassets.com")
"""Where file contents are stored. They hear no credential: the address is signed itself."""

Json = dict[str, Any]


class ApiToken(ApiKey):
    """A person's own token, in the header that both versions of the API take."""

    def __init__(self) -> None:
        super().__init__(header="x-api-token", prefix="", name="api_token")


def strategy(credentials: Credentials) -> Auth:
    """How the stored credentials sign in."""
    if credentials.get("api_token"):
        return ApiToken()
    return RefreshToken(token_url=TOKEN_URL, basic_client=True)


class DailyBudget:
    """The most that Pipedrive said was left of a day, so that "left" can be told as "used of".

    It tells what is left (``x-daily-requests-left``) and never the whole.
    """

    def __init__(self) -> None:
        self._most = 0
        self._lock = threading.Lock()

    def read(self, headers: Mapping[str, str]) -> tuple[int, int] | None:
        """See `connectors.kit.limits.ReadQuota`."""
        try:
            left = int(headers.get("x-daily-requests-left", ""))
        except ValueError:
            return None
        with self._lock:
            self._most = max(self._most, left)
            return self._most - left, self._most


class Company:
    """Calls to one company. Thread-safe; close it when done."""

    def __init__(self, manifest: Manifest, connection: Connection, now: Callable[[], float] = time.time) -> None:
        self._connection = connection
        gate = Gate.of(manifest, connection, errors=ERRORS, read_quota=DailyBudget().read)
        self._plain = VendorClient(gate)
        self._signer = Authenticator(strategy(connection.tokens.load()), connection.tokens, self._plain, now)
        stored = HostPolicy(STORAGE_HOSTS, gate.hosts.sandbox)
        self._storage = VendorClient(replace(gate, hosts=stored, account=f"{gate.account}:files", read_quota=None))
        self._api: VendorClient | None = None

    def close(self) -> None:
        """Release sockets."""
        self._plain.close()
        self._storage.close()

    @property
    def storage(self) -> VendorClient:
        """A client that proves nothing: for file contents at their storage host."""
        return self._storage

    @property
    def api(self) -> VendorClient:
        """The signing client. Raises ForeignHostError when the company's own address is none of Pipedrive's."""
        if self._api is None:
            self._api = self._plain.signed_by(self._signer, self._base())
        return self._api

    def _base(self) -> str:
        told = self._signer.credentials().get("api_domain")
        if isinstance(told, str) and told:
            return self._plain.gate.hosts.resolve(told)
        return self._plain.gate.hosts.resolve(f"https://{company_host(self._connection.settings)}")

    # ------------------------------------------------------------ calls

    def get(self, path: str, params: Params | None = None, scope: str = "default") -> Json:
        """The JSON object that answers a reading call."""
        return json_of(self.api.request("GET", path, params=_filled(params), scope=scope))

    def found(self, path: str) -> Json | None:
        """The record at ``path``, or None when there is none (any more)."""
        reply = self.api.request("GET", path, accept=(404, 410))
        if reply.status >= 400:
            return None
        data = json_of(reply).get("data")
        return data if isinstance(data, dict) else None

    def send(self, method: str, path: str, body: Mapping[str, Any], *, idempotent: bool | None = None) -> Json:
        """The record after a write."""
        data = json_of(self.api.request(method, path, json=dict(body), idempotent=idempotent)).get("data")
        return data if isinstance(data, dict) else {}

    def post_content(self, path: str, content: Content, headers: Mapping[str, str]) -> Json:
        """The record that a content of its own made. Never sent twice."""
        reply = self.api.request("POST", path, content=content, headers=headers, idempotent=False)
        data = json_of(reply).get("data")
        return data if isinstance(data, dict) else {}

    def pages(self, path: str, params: Params) -> Iterable[list[Json]]:
        """Every page of a small v2 listing."""
        cursor: str | None = None
        while True:
            reply = self.get(path, {**params, "cursor": cursor})
            yield list(reply.get("data") or [])
            cursor = next_cursor(reply)
            if cursor is None:
                return


def company_host(settings: Mapping[str, str]) -> str:
    """``acme.pipedrive.com`` of ``acme``, of itself or of its web address; ``api.pipedrive.com`` without a setting."""
    given = settings.get("company_domain", "").strip().lower()
    host = urlsplit(given if "://" in given else f"https://{given}").hostname if given else "api"
    name = (host or "").removesuffix(".pipedrive.com")
    if not name or not name.replace("-", "").isalnum():
        raise ConfigurationError(
            "The company domain is no name that Pipedrive gives.", remedy="Give the first part of the address: acme."
        )
    return f"{name}.pipedrive.com"


def next_cursor(reply: Mapping[str, Any]) -> str | None:
    """The cursor of the following page, None on the last."""
    more = (reply.get("additional_data") or {}).get("next_cursor")
    return str(more) if more else None


def json_of(reply: Reply) -> Json:
    """The object that Pipedrive answers with. Raises TransientError (``bad_reply``) for anything else."""
    found = reply.json()
    if isinstance(found, dict):
        return found
    raise TransientError("Pipedrive's reply is not the object it should be.", code="bad_reply")


def _filled(params: Params | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}
