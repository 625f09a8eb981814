"""Who may sign in, and the sessions of those who have.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/intro_oauth_and_connected_apps.htm
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from sandbox.salesforce.clock import Clock
from sandbox.salesforce.errors import OAuthError, session_invalid

LOGIN_REFUSED = "Invalid username, password, security token; or user locked out."


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the demo user and the demo connected app sign in with. Invented: they open nothing but this sandbox."""

    username: str = "admin@sandbox.example"
    password: str = "sandbox-password"  # noqa: S105
    security_token: str = "SandboxToken"  # noqa: S105
    client_id: str = "3MVG9sandboxConsumerKey"
    client_secret: str = "SandboxConsumerSecret"  # noqa: S105


@dataclass(slots=True)
class Session:
    user_id: str
    expires: datetime


@dataclass(slots=True)
class Grant:
    """An authorization code waiting to be exchanged, with the PKCE challenge it is bound to."""

    redirect_uri: str
    expires: datetime
    challenge: str | None = None
    method: str = "plain"


@dataclass(slots=True)
class Auth:
    """Sessions, codes and refresh tokens. Tokens are derived from the seed and a counter, so runs repeat."""

    clock: Clock
    org_id: str
    user_id: str
    credentials: Credentials = field(default_factory=Credentials)
    lifetime: timedelta = timedelta(hours=2)
    rotate_refresh_tokens: bool = False
    jwt_keys: dict[str, str] = field(default_factory=dict)
    seed: int = 1
    sessions: dict[str, Session] = field(default_factory=dict)
    codes: dict[str, Grant] = field(default_factory=dict)
    refresh_tokens: set[str] = field(default_factory=set)
    _count: int = 0

    # ------------------------------------------------------------ sessions

    def open_session(self) -> str:
        token = f"{self.org_id[:15]}!AQ0AQ{self._secret('session')}"
        self.sessions[token] = Session(self.user_id, self.clock.now() + self.lifetime)
        return token

    def check(self, authorization: str) -> str:
        """The user of a ``Bearer`` (or ``OAuth``) header. Raises 401 INVALID_SESSION_ID."""
        kind, _, token = authorization.partition(" ")
        session = self.sessions.get(token.strip()) if kind.lower() in {"bearer", "oauth"} else None
        if session is None or session.expires <= self.clock.now():
            raise session_invalid()
        return session.user_id

    def expire_all(self) -> None:
        self.sessions.clear()

    def _secret(self, purpose: str) -> str:
        self._count += 1
        digest = hashlib.sha256(f"{self.seed}/{purpose}/{self._count}".encode()).digest()
        return base64.b64encode(digest, altchars=b"._").decode().rstrip("=")

    # ------------------------------------------------------------ ways in

    def password_login(self, username: str, secret: str, needs_token: bool = True) -> str | None:
        """A session for the user name and password (with the security token appended), or None."""
        known = self.credentials
        allowed = {known.password + known.security_token} | (set() if needs_token else {known.password})
        fits = any(hmac.compare_digest(secret.encode(), good.encode()) for good in allowed)
        return self.open_session() if fits and username.lower() == known.username.lower() else None

    def check_client(self, client_id: str | None, client_secret: str | None, secret_needed: bool = True) -> None:
        if client_id != self.credentials.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        wrong = client_secret is not None and client_secret != self.credentials.client_secret
        if wrong or (secret_needed and client_secret is None):
            raise OAuthError("invalid_client", "invalid client credentials")

    def issue_code(self, redirect_uri: str, challenge: str | None, method: str) -> str:
        code = f"aPrx{self._secret('code')}"
        self.codes[code] = Grant(redirect_uri, self.clock.now() + timedelta(minutes=15), challenge, method)
        return code

    def redeem_code(self, code: str, redirect_uri: str, verifier: str | None) -> None:
        """Once only. Raises invalid_grant when the code is old, used, for another address, or the verifier is wrong."""
        grant = self.codes.pop(code, None)
        if grant is None:
            raise OAuthError("invalid_grant", "invalid authorization code")
        if grant.expires <= self.clock.now():
            raise OAuthError("invalid_grant", "expired authorization code")
        if grant.redirect_uri != redirect_uri:
            raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
        if grant.challenge is not None and not _verified(grant, verifier):
            raise OAuthError("invalid_grant", "invalid code verifier")

    def issue_refresh(self) -> str:
        token = f"5Aep861{self._secret('refresh')}"
        self.refresh_tokens.add(token)
        return token

    def use_refresh(self, token: str) -> str:
        """The refresh token to use from now on: another one when the app rotates them. Raises invalid_grant."""
        if token not in self.refresh_tokens:
            raise OAuthError("invalid_grant", "expired access/refresh token")
        if not self.rotate_refresh_tokens:
            return token
        self.refresh_tokens.discard(token)
        return self.issue_refresh()

    def check_assertion(self, assertion: str, audiences: set[str]) -> None:
        """A JWT bearer assertion: RS256 by the app's key, for this user, for us, not expired. Raises invalid_grant."""
        issuer = self.credentials.client_id
        key = self.jwt_keys.get(issuer)
        if key is None:
            raise OAuthError("invalid_client", "invalid client credentials")
        try:
            claims = jwt.decode(assertion, RSAKey.import_key(key), algorithms=["RS256"]).claims
        except (JoseError, ValueError) as error:
            raise OAuthError("invalid_grant", "invalid assertion") from error
        if claims.get("iss") != issuer:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if str(claims.get("aud", "")).rstrip("/") not in audiences:
            raise OAuthError("invalid_grant", "audience is invalid")
        if float(claims.get("exp", 0)) <= self.clock.now().timestamp():
            raise OAuthError("invalid_grant", "assertion is expired")
        if str(claims.get("sub", "")).lower() != self.credentials.username.lower():
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")

    def signature(self, identity: str, issued_at: str) -> str:
        digest = hmac.new(self.credentials.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256)
        return base64.b64encode(digest.digest()).decode()


def _verified(grant: Grant, verifier: str | None) -> bool:
    """PKCE (RFC 7636): the challenge is the verifier's SHA-256."""
    digest = hashlib.sha256((verifier or "").encode()).digest()
    expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return hmac.compare_digest(expected, grant.challenge or "")
