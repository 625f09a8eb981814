"""Who calls: a personal API token, or an app with OAuth 2.

https://pipedrive.readme.io/docs/marketplace-oauth-authorization
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.kit.clock import Clock
from sandbox.kit.wire import Request
from sandbox.pipedrive.errors import ApiError, unauthorized

LIFE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What to sign in with. Nothing here is worth anything outside a sandbox."""

    api_token: str = "5and80x0" * 5
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-client-secret"  # noqa: S105
    refresh_token: str = "1:sandbox-refresh-token"  # noqa: S105


@dataclass(slots=True)
class Auth:
    """Tokens in force."""

    clock: Clock
    known: Credentials = field(default_factory=Credentials)
    tokens: dict[str, datetime] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    _made: int = 0

    def check(self, request: Request) -> None:
        """Raises 401."""
        if request.headers.get("x-api-token") == self.known.api_token:
            return
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        ends = self.tokens.get(token)
        if ends is None or self.clock.now() >= ends:
            raise unauthorized()

    def check_client(self, request: Request, form: dict[str, str]) -> None:
        """Raises 401 unless the app's id and secret came as Basic, or in the form."""
        pair = f"{self.known.client_id}:{self.known.client_secret}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
        told = f"{form.get('client_id')}:{form.get('client_secret')}"
        if basic != request.headers.get("authorization") and told != pair:
            raise ApiError(401, "invalid_client")

    def issue(self) -> str:
        """A fresh access token."""
        self._made += 1
        token = f"v1u:{hashlib.sha256(f'token {self._made}'.encode()).hexdigest()[:32]}"
        self.tokens[token] = self.clock.now() + LIFE
        return token

    def code(self, challenge: str) -> str:
        """A code that a person's consent gives; ``challenge`` is what its exchange must answer (PKCE)."""
        self._made += 1
        code = hashlib.sha256(f"code {self._made}".encode()).hexdigest()[:40]
        self.codes[code] = challenge
        return code
