"""Storing what a person connected: connection and credentials together, and never another account's in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
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
from storage import connections, credentials, routes, streams
from storage.connections import StoredConnection
from storage.database import Connection as Transaction

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
    """Signing in by authorization code with PKCE: `start` says where to send a person, `finish` takes what they bring back.

    ``more_scopes`` are asked for beside those that the connector needs.
    """

    manifest: Manifest
    settings: Mapping[str, str]
    secrets: Mapping[str, Any]
    base_url: str | None = None
    more_scopes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The vendor, as a person calls it."""
        return self.manifest.label

    def start(self, callback: str, state: str | None = None) -> SignInPage:
        """A fresh sign-in whose answer goes to ``callback``; ``state``: unguessable, made here unless given.

        Raises ConfigurationError.
        """
        page = self._flow(callback).start(str(self.secrets.get("client_id", "")), state)
        with self._client() as client:
            url = client.gate.hosts.resolve(page.url)
        return dataclasses.replace(page, url=url)

    def finish(self, page: SignInPage, answer: Mapping[str, str], now: float) -> Mapping[str, Any]:
        """The credentials with tokens.

        Raises ReauthRequiredError when the person declined, else what `AuthorizationCode.code` and the vendor's token
        address raise.
        """
        if answer.get("error") == "access_denied" and answer.get("state") == page.state:
            raise ReauthRequiredError(
                f"The sign-in to {self.label} was declined, so nothing was connected.",
                remedy="Start again and allow access, or ask an administrator who may.",
                code="sign_in_declined",
            )
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
        method = next((m for m in self.manifest.auth if m.kind is AuthKind.OAUTH2_CODE), None)
        if method is None:
            raise ConfigurationError(
                f"{self.label} has no sign-in with a browser.",
                remedy="Connect it with credentials.",
                code="no_browser_sign_in",
            )
        return dataclasses.replace(method, scopes=tuple(dict.fromkeys((*method.scopes, *self.more_scopes))))

    def _client(self) -> closing[VendorClient]:
        tokens = MemoryTokens(self.secrets)
        connection = Connection(
            id="new", vendor=self.manifest.name, settings=self.settings, tokens=tokens, base_url=self.base_url
        )
        return closing(VendorClient.of(self.manifest, connection))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account that was signed in to and is not stored yet. ``settings`` are kept in the clear, ``secrets`` encrypted."""

    vendor: str
    account: AccountInfo
    settings: Mapping[str, str]
    secrets: Mapping[str, Any] = field(repr=False)
    base_url: str | None = None


def add_connection(hub: Hub, conn: Transaction, name: str, signed: SignedIn) -> StoredConnection:
    """Store a new connection. Raises ConfigurationError where the name is taken."""
    made = connections.create(conn, new_id(), vendor=signed.vendor, name=name)
    return _keep(hub, conn, made.id, signed, "ok")


def renew_connection(hub: Hub, conn: Transaction, connection_id: UUID, signed: SignedIn) -> StoredConnection:
    """Store another sign-in to the same account. Its id stays, and streams that waited for it go on; a paused one stays so.

    Raises ConfigurationError for another account: its records would change hands.
    """
    known = connections.get(conn, connection_id, lock=True)
    _require_same(known, signed.vendor, signed.account.remote_account)
    returns = (streams.PAUSED,) if known.status == "disconnected" else ()
    streams.release(conn, connection_id, (streams.REAUTH, streams.DISCONNECTED, *returns))
    return _keep(hub, conn, connection_id, signed, "paused" if known.status == "paused" else "ok")


def _keep(hub: Hub, conn: Transaction, connection_id: UUID, signed: SignedIn, status: str) -> StoredConnection:
    stored = connections.update(
        conn, connection_id, settings=dict(signed.settings), base_url=signed.base_url,
        remote_account=signed.account.remote_account, status=status, status_message=None, verified_at=datetime.now(UTC),
    )  # fmt: skip
    if signed.secrets:
        credentials.save(conn, hub.vault, hub.tenant_id, connection_id, signed.secrets)
    return stored


def store_connection(
    hub: Hub,
    *,
    vendor: str,
    name: str,
    settings: Mapping[str, str],
    secrets: Mapping[str, Any],
    account: AccountInfo,
    base_url: str | None = None,
    noting: Callable[[Transaction, str, StoredConnection], None] = lambda *_: None,
) -> StoredConnection:
    """Store a connection that signed in. One of the same name and account is connected anew and keeps its id.

    ``noting`` is called in the transaction that stores it, with what was done: ``connection.create`` or ``connection.reconnect``.
    Raises ConfigurationError when the name belongs to another account: its records would change hands.
    """
    signed = SignedIn(vendor, account, settings, secrets, base_url)
    with hub.db.tenant(hub.tenant_id) as conn:
        known = connections.by_name(conn, name)
        stored = (
            add_connection(hub, conn, name, signed) if known is None else renew_connection(hub, conn, known.id, signed)
        )
        noting(conn, "connection.create" if known is None else "connection.reconnect", stored)
    routes.keep(hub.db, hub.tenant_id)
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
        _remember(hub, connection_id, "reauth" if isinstance(error, ReauthRequiredError) else None, error.message)
        raise
    _remember(hub, connection_id, "ok", None, verified_at=datetime.now(UTC))
    return account


def _remember(hub: Hub, connection_id: UUID, status: str | None, message: str | None, **facts: Any) -> None:
    """How signing in went. A connection that a person paused or disconnected stays so."""
    with hub.db.tenant(hub.tenant_id) as conn:
        known = connections.get(conn, connection_id, lock=True)
        if known.status == "disconnected":
            return
        if status is not None and known.status != "paused":
            facts["status"] = status
        connections.update(conn, connection_id, status_message=message, **facts)


def _require_same(known: StoredConnection, vendor: str, remote_account: str) -> None:
    if known.vendor == vendor and known.remote_account in (None, remote_account):
        return
    raise ConfigurationError(
        f"The connection {known.name} belongs to another account, whose records would change hands.",
        remedy="Connect that account under another name (on the command line: --name).",
        code="other_account",
    )
