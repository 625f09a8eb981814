"""Signing in. Strategies are pure: they look at credentials and time, and describe the calls that would renew them.

`Authenticator` makes those calls, under the token store's lock, and signs requests for `http.VendorClient` and
`sdk.KitSession`. OAuth 2 strategies are in `oauth`.

Credentials are a mapping as the token store keeps it: what a person entered (``username``, ``password``, ``api_key``,
``client_id``, ``client_secret``, ``private_key``, …) and what the vendor issued (``access_token``, ``refresh_token``,
``expires_at`` and ``refresh_at`` in Unix seconds, ``instance_url``, …).
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from connectors.kit.contract import TokenStore
from connectors.kit.http import Reply, Signed, VendorClient
from domain.errors import ReauthRequiredError, TransientError

Credentials = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TokenCall:
    """One call to a vendor's login or token address, described and not made. Without ``content`` it is a form POST.

    ``idempotent``: whether sending it twice can do no more harm than losing its answer.
    """

    url: str
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    idempotent: bool = True


Renewal = Generator[TokenCall, Reply, Credentials]
"""Yields calls, is sent their replies (200, 400, 401 and 403 among them), returns the complete new credentials."""


class Auth(Protocol):
    """A way of signing in. Does no I/O."""

    def sign(self, credentials: Credentials) -> Signed:
        """What to add to a request. Raises ReauthRequiredError when the credentials hold nothing to sign with."""

    def due(self, credentials: Credentials, now: float) -> bool:
        """Whether to renew before using them."""

    def renewal(self, credentials: Credentials, now: float) -> Renewal | None:
        """The calls that get newer credentials; None when only a person can."""


class Static:
    """Base of what never changes by itself."""

    def due(self, credentials: Credentials, now: float) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def renewal(self, credentials: Credentials, now: float) -> Renewal | None:  # noqa: ARG002
        """None."""
        return None


class NoAuth(Static):
    """Nothing to prove."""

    def sign(self, credentials: Credentials) -> Signed:  # noqa: ARG002
        """Nothing."""
        return Signed()


@dataclass(frozen=True, slots=True)
class ApiKey(Static):
    """A key in a header (``prefix`` before it), or in the query when ``param`` names a parameter."""

    header: str = "Authorization"
    prefix: str = "Bearer "
    param: str | None = None
    name: str = "api_key"

    def sign(self, credentials: Credentials) -> Signed:
        """See `Auth.sign`."""
        key = required(credentials, self.name, "API key")
        if self.param is not None:
            return Signed(params={self.param: key}, token=key)
        return Signed({self.header: self.prefix + key}, token=key)


@dataclass(frozen=True, slots=True)
class Basic(Static):
    """HTTP Basic (RFC 7617), in UTF-8. The names say where in the credentials user and password are."""

    user: str = "username"
    password: str = "password"  # noqa: S105 - a name, no password

    def sign(self, credentials: Credentials) -> Signed:
        """See `Auth.sign`."""
        user, password = required(credentials, self.user, "user name"), required(credentials, self.password, "password")
        return Signed({"Authorization": basic(user, password)}, token=password)


@dataclass(frozen=True, slots=True)
class Bearer(Static):
    """A token that a person entered or another program keeps fresh in the store."""

    def sign(self, credentials: Credentials) -> Signed:
        """See `Auth.sign`."""
        return bearer(credentials)


def bearer(credentials: Credentials) -> Signed:
    """Sign with ``access_token``."""
    token = required(credentials, "access_token", "access token")
    return Signed({"Authorization": f"Bearer {token}"}, token=token)


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def required(credentials: Credentials, name: str, label: str) -> str:
    """The non-blank text ``credentials[name]``. Raises ReauthRequiredError naming ``label``."""
    value = credentials.get(name)
    if isinstance(value, str) and value:
        return value
    raise ReauthRequiredError(f"This connection has no {label}.", remedy="Connect it again.", context={"field": name})


EARLY_RETRY_S = 15.0


def _valid(credentials: Credentials, now: float) -> bool:
    expires_at = credentials.get("expires_at")
    return isinstance(expires_at, int | float) and now < expires_at and bool(credentials.get("access_token"))


class Authenticator:
    """Keeps one connection signed in. The `http.Signer` of every client of the connection; thread-safe.

    ``client`` signs nothing itself; it carries the token calls. Every address in an answer (``instance_url``) must be an
    allowed host before the answer is stored.
    """

    def __init__(
        self, auth: Auth, tokens: TokenStore, client: VendorClient, clock: Callable[[], float] = time.time
    ) -> None:
        self._auth, self._tokens, self._client, self._clock = auth, tokens, client, clock
        self._lock = threading.Lock()
        self._known: Credentials | None = None
        self._not_before = 0.0

    def credentials(self) -> Credentials:
        """Current credentials, renewed when due. Raises ReauthRequiredError, TransientError, ForeignHostError."""
        known = self._known
        if known is None:
            known = self._remember(self._tokens.load())
        now = self._clock()
        if not self._auth.due(known, now) or now < self._not_before:
            return known
        return self._renewed_early(known, now) if _valid(known, now) else self._exchange(known.get("access_token"))

    def _renewed_early(self, known: Credentials, now: float) -> Credentials:
        """A token that is still good is used on where it cannot be renewed, or not just now."""
        if self._auth.renewal(known, now) is None:
            return known
        try:
            return self._exchange(known.get("access_token"))
        except TransientError:
            self._not_before = now + EARLY_RETRY_S
            return known

    def sign(self) -> Signed:
        """See `http.Signer.sign`."""
        return self._auth.sign(self.credentials())

    def renew(self, refused: Signed) -> bool:
        """See `http.Signer.renew`. Also finds what another process, or a person, stored meanwhile."""
        stored = self._remember(self._tokens.load())
        if self._auth.renewal(stored, self._clock()) is not None:
            stored = self._exchange(refused.token)
        return self._auth.sign(stored).token != refused.token

    def _exchange(self, stale: str | None) -> Credentials:
        return self._remember(self._tokens.refresh(stale, self._drive))

    def _drive(self, current: Credentials) -> Credentials:
        renewal = self._auth.renewal(current, self._clock())
        if renewal is None:
            raise ReauthRequiredError("This connection cannot renew its credentials.", remedy="Connect it again.")
        return run(renewal, self._client)

    def _remember(self, credentials: Credentials) -> Credentials:
        with self._lock:
            self._known = credentials
        return credentials


def run(renewal: Renewal, client: VendorClient) -> Credentials:
    """Make the calls of ``renewal`` through ``client`` and return the credentials, whose addresses are allowed ones."""
    calls = _Calls(renewal)
    while (call := calls.next()) is not None:
        calls.reply = _made(call, client)
    for name, value in calls.result.items():
        if name.endswith("_url") and isinstance(value, str):
            client.gate.hosts.resolve(value)
    return calls.result


class _Calls:
    """A generator whose return value is kept, so that no StopIteration is handled while errors are raised."""

    def __init__(self, renewal: Renewal) -> None:
        self._renewal = renewal
        self.reply: Reply | None = None
        self.result: Credentials = {}

    def next(self) -> TokenCall | None:
        try:
            return next(self._renewal) if self.reply is None else self._renewal.send(self.reply)
        except StopIteration as stop:
            self.result = stop.value
            return None


def _made(call: TokenCall, client: VendorClient) -> Reply:
    return client.request(
        "POST",
        call.url,
        scope="auth",
        idempotent=call.idempotent,
        form=None if call.content is not None else call.form,
        content=call.content,
        headers=call.headers,
        accept={400, 401, 403},
    )


def json_object(reply: Reply) -> Mapping[str, Any]:
    """The reply's JSON object, or an empty one."""
    try:
        parsed = reply.json()
    except TransientError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
