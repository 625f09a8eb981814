"""Storing what a person connected: connection and credentials together, and the same account never twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from connectors.kit import registry
from connectors.kit.auth import run
from connectors.kit.contract import AuthKind, AuthMethod, Connection, Manifest
from connectors.kit.http import VendorClient
from connectors.kit.oauth import AuthorizationCode, SignInPage, strategy
from connectors.kit.tokens import MemoryTokens
from domain.errors import ConfigurationError, ReauthRequiredError, SynclineError
from domain.ids import new_id
from domain.records import AccountInfo
from storage import connections, credentials
from storage.connections import StoredConnection

if TYPE_CHECKING:
    from bootstrap.wiring import Hub

_LASTING = {"refresh_token", "offline_access"}
"""Scopes that ask for a connection that lasts."""


def sign_in(
    vendor: str, settings: Mapping[str, str], secrets: Mapping[str, Any], base_url: str | None
) -> tuple[AccountInfo, Mapping[str, Any]]:
    """Try credentials that are stored nowhere yet. Returns the account, and the credentials with the tokens signing in brought."""
    tokens = MemoryTokens(secrets)
    connection = Connection(id="new", vendor=vendor, settings=settings, tokens=tokens, base_url=base_url)
    connector = registry.load(vendor)(connection)
    try:
        return connector.check(), tokens.load()
    finally:
        connector.close()


@dataclass(frozen=True, slots=True)
class BrowserSignIn:
    """Signing in by authorization code with PKCE: `start` says where to send a person, `finish` takes what they bring back."""

    manifest: Manifest
    settings: Mapping[str, str]
    secrets: Mapping[str, Any]
    base_url: str | None = None

    @property
    def label(self) -> str:
        """The vendor, as a person calls it."""
        return self.manifest.label

    def start(self, callback: str) -> SignInPage:
        """A fresh sign-in whose answer goes to ``callback``. Raises ConfigurationError."""
        page = self._flow(callback).start(str(self.secrets.get("client_id", "")))
        with self._client() as client:
            url = client.gate.hosts.resolve(page.url)
        return dataclasses.replace(page, url=url)

    def finish(self, page: SignInPage, answer: Mapping[str, str], now: float) -> Mapping[str, Any]:
        """The credentials with tokens. Raises what `AuthorizationCode.code` and the vendor's token address raise."""
        flow = self._flow(page.callback)
        code = flow.code(page, answer)
        with self._client() as client:
            credentials = run(flow.exchange(self.secrets, page, code, now), client)
        if not credentials.get("refresh_token") and _LASTING & set(flow.scopes):
            raise ConfigurationError(
                f"{self.label} gave no refresh token, so that this connection would end within hours.",
                remedy="Allow the app to refresh tokens at any time (scope refresh_token), then connect again.",
                code="no_refresh_token",
            )
        return credentials

    def _flow(self, callback: str) -> AuthorizationCode:
        flow = strategy(self._method(), self.settings, redirect_uri=callback)
        assert isinstance(flow, AuthorizationCode)  # noqa: S101
        return flow

    def _method(self) -> AuthMethod:
        return next(m for m in self.manifest.auth if m.kind is AuthKind.OAUTH2_CODE)

    def _client(self) -> closing[VendorClient]:
        tokens = MemoryTokens(self.secrets)
        connection = Connection(
            id="new", vendor=self.manifest.name, settings=self.settings, tokens=tokens, base_url=self.base_url
        )
        return closing(VendorClient.of(self.manifest, connection))


def store_connection(
    hub: Hub,
    *,
    vendor: str,
    name: str,
    settings: Mapping[str, str],
    secrets: Mapping[str, Any],
    account: AccountInfo,
    base_url: str | None = None,
) -> StoredConnection:
    """Store a connection that signed in. One of the same name and account is connected anew and keeps its id.

    Raises ConfigurationError when the name belongs to another account: its records would change hands.
    """
    facts = {
        "settings": dict(settings), "base_url": base_url, "remote_account": account.remote_account,
        "status": "ok", "status_message": None, "verified_at": datetime.now(UTC),
    }  # fmt: skip
    with hub.db.tenant(hub.tenant_id) as conn:
        known = connections.by_name(conn, name)
        if known is None:
            connection_id = new_id()
            connections.create(conn, connection_id, vendor=vendor, name=name)
        else:
            _require_same(known, vendor, account.remote_account)
            connection_id = known.id
        stored = connections.update(conn, connection_id, **facts)
        if secrets:
            credentials.save(conn, hub.vault, hub.tenant_id, connection_id, secrets)
    return stored


def verify(hub: Hub, connection_id: UUID) -> AccountInfo:
    """Sign in with a stored connection, and remember how it went. Raises what the connector raises."""
    try:
        connector = hub.open_connector(connection_id)
        try:
            account = connector.check()
        finally:
            connector.close()
    except SynclineError as error:
        status = "reauth" if isinstance(error, ReauthRequiredError) else None
        _remember(hub, connection_id, status_message=error.message, **({"status": status} if status else {}))
        raise
    _remember(hub, connection_id, status="ok", status_message=None, verified_at=datetime.now(UTC))
    return account


def _remember(hub: Hub, connection_id: UUID, **facts: Any) -> None:
    with hub.db.tenant(hub.tenant_id) as conn:
        connections.update(conn, connection_id, **facts)


def _require_same(known: StoredConnection, vendor: str, remote_account: str) -> None:
    if known.vendor == vendor and known.remote_account in (None, remote_account):
        return
    raise ConfigurationError(
        f"The connection {known.name} belongs to another account, whose records would change hands.",
        remedy="Choose another name with --name.",
        code="other_account",
    )
