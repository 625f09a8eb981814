"""OAuth 2 (RFC 6749, 7523, 7636, 9700) as strategies without I/O; authlib builds addresses, challenges and assertions."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7523.assertion import sign_jwt_bearer_assertion
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from connectors.kit.auth import (
    ApiKey,
    Auth,
    Basic,
    Credentials,
    NoAuth,
    Renewal,
    TokenCall,
    basic,
    bearer,
    json_object,
    required,
)
from connectors.kit.contract import AuthKind, AuthMethod
from connectors.kit.faults import safe_code
from connectors.kit.http import Reply, Signed
from domain.errors import ConfigurationError, ReauthRequiredError, SynclineError, TransientError

_ASK_AGAIN = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_MISCONFIGURED = frozenset({"invalid_request", "invalid_scope", "unsupported_grant_type", "unsupported_response_type"})
_ISSUED = ("access_token", "refresh_token", "token_type", "scope", "instance_url", "api_domain", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """What all grants share.

    ``early_s``: renewed this long before expiry, but never in the first half of a token's life. A vendor that sends no
    ``expires_in`` (Salesforce) has its tokens used until a 401. ``basic_client``: client id and secret go into a Basic
    header and not into the form.
    """

    token_url: str
    early_s: float = 120.0
    basic_client: bool = False
    scopes: tuple[str, ...] = ()

    def sign(self, credentials: Credentials) -> Signed:
        """See `auth.Auth.sign`."""
        return bearer(credentials)

    def due(self, credentials: Credentials, now: float) -> bool:
        """See `auth.Auth.due`."""
        if not credentials.get("access_token"):
            return True
        refresh_at = credentials.get("refresh_at")
        return isinstance(refresh_at, int | float) and now >= refresh_at

    def _call(self, credentials: Credentials, form: Mapping[str, str], *, idempotent: bool = True) -> TokenCall:
        client = {n: str(credentials[n]) for n in ("client_id", "client_secret") if credentials.get(n)}
        headers = {"Accept": "application/json"}
        if self.basic_client and "client_secret" in client:
            # RFC 6749 §2.3.1: both are form-encoded before they are joined
            headers["Authorization"] = basic(quote(client["client_id"], ""), quote(client["client_secret"], ""))
            client = {}
        return TokenCall(self.token_url, {**form, **client}, headers=headers, idempotent=idempotent)

    def _scope(self) -> dict[str, str]:
        return {"scope": " ".join(self.scopes)} if self.scopes else {}

    def _issued(self, credentials: Credentials, reply: Reply, now: float) -> Credentials:
        """The credentials after ``reply``. A rotated refresh token replaces the old one; one not sent again stays."""
        body = json_object(reply)
        token = body.get("access_token")
        if reply.status != 200 or not isinstance(token, str) or not token:
            raise refusal(reply.status, body)
        fresh = {n: body[n] for n in _ISSUED if isinstance(body.get(n), str) and body[n]}
        kept = {n: v for n, v in credentials.items() if n not in ("expires_at", "refresh_at")}
        return {**kept, **fresh, **self._lifetime(body.get("expires_in"), now)}

    def _lifetime(self, expires_in: Any, now: float) -> dict[str, float]:
        try:
            life_s = float(expires_in)
        except (TypeError, ValueError):
            return {}
        if not 0 < life_s < 1e9:
            return {}
        return {"expires_at": now + life_s, "refresh_at": now + max(life_s - self.early_s, life_s / 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken(OAuth2):
    """Renew with a refresh token (RFC 6749 §6), however the first one was obtained."""

    def renewal(self, credentials: Credentials, now: float) -> Renewal | None:
        """See `auth.Auth.renewal`."""
        if not credentials.get("refresh_token"):
            return None
        return self._renewal(credentials, now)

    def _renewal(self, credentials: Credentials, now: float) -> Renewal:
        # Sent again when its answer is lost: vendors that rotate accept the old token for a moment, later they would not.
        form = {"grant_type": "refresh_token", "refresh_token": str(credentials["refresh_token"])}
        reply = yield self._call(credentials, form)
        return self._issued(credentials, reply, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials(OAuth2):
    """RFC 6749 §4.4."""

    def renewal(self, credentials: Credentials, now: float) -> Renewal | None:
        """See `auth.Auth.renewal`."""
        return self._renewal(credentials, now)

    def _renewal(self, credentials: Credentials, now: float) -> Renewal:
        required(credentials, "client_id", "client id")
        required(credentials, "client_secret", "client secret")
        reply = yield self._call(credentials, {"grant_type": "client_credentials", **self._scope()})
        return self._issued(credentials, reply, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtBearer(OAuth2):
    """RFC 7523 §2.1, signed RS256: ``client_id`` vouches for ``username`` towards ``audience`` for ``life_s`` seconds.

    Salesforce wants exactly this, valid for at most 3 minutes, with the login host as audience.
    https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_jwt_flow.htm
    """

    audience: str
    life_s: int = 170

    def renewal(self, credentials: Credentials, now: float) -> Renewal | None:
        """See `auth.Auth.renewal`."""
        return self._renewal(credentials, now)

    def _renewal(self, credentials: Credentials, now: float) -> Renewal:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": self._assertion(credentials, int(now)),
            **self._scope(),
        }
        reply = yield TokenCall(self.token_url, form, headers={"Accept": "application/json"})
        return self._issued(credentials, reply, now)

    def _assertion(self, credentials: Credentials, now: int) -> str:
        issuer, subject = (
            required(credentials, "client_id", "client id"),
            required(credentials, "username", "user name"),
        )
        key = required(credentials, "private_key", "private key")
        signed = _signed(key, issuer, self.audience, subject, now, now + self.life_s)
        if signed is None:
            raise ConfigurationError(
                "The private key of this connection cannot sign.",
                remedy="Give an RSA private key in PEM form, without a passphrase.",
                code="bad_credential",
            )
        return signed


def _signed(key: str, issuer: str, audience: str, subject: str, issued_at: int, expires_at: int) -> str | None:
    try:
        return str(
            sign_jwt_bearer_assertion(
                RSAKey.import_key(key),
                issuer,
                audience,
                subject,
                issued_at=issued_at,
                expires_at=expires_at,
                header={"alg": "RS256"},
            )
        )
    except (ValueError, TypeError, JoseError):
        return None


@dataclass(frozen=True, slots=True)
class SignInPage:
    """Where to send a person, and what to remember until they come back. ``verifier`` never leaves the hub before that.

    ``callback``: the redirect address that ``url`` names; the exchange has to name the same.
    """

    url: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    callback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode(RefreshToken):
    """Authorization code with PKCE S256 (RFC 7636), then refresh tokens."""

    authorize_url: str
    redirect_uri: str
    extra: tuple[tuple[str, str], ...] = ()

    def start(self, client_id: str, state: str | None = None) -> SignInPage:
        """A fresh sign-in: unguessable state (the caller's, where it has one to find the sign-in by), a verifier of 86
        characters."""
        state, verifier = state or secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        url = prepare_grant_uri(
            self.authorize_url,
            client_id,
            "code",
            redirect_uri=self.redirect_uri,
            scope=" ".join(self.scopes) or None,
            state=state,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
            **dict(self.extra),
        )
        return SignInPage(str(url), state, verifier, self.redirect_uri)

    def code(self, page: SignInPage, answer: Mapping[str, str]) -> str:
        """The code in the query that the person came back with.

        Raises ConfigurationError when the answer belongs to another sign-in, ReauthRequiredError when the person or the
        vendor said no.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), page.state.encode()):
            raise ConfigurationError(
                "This answer does not belong to the sign-in that was started here.",
                remedy="Start connecting again, in one browser window.",
                code="state_mismatch",
            )
        if "error" in answer or not answer.get("code"):
            raise refusal(400, {"error": answer.get("error", "access_denied")})
        return answer["code"]

    def exchange(self, credentials: Credentials, page: SignInPage, code: str, now: float) -> Renewal:
        """The call that turns ``code`` into tokens. Never sent twice: a code is good for once."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": page.verifier,
        }
        reply = yield self._call(credentials, form, idempotent=False)
        return self._issued(credentials, reply, now)


def refusal(status: int, body: Mapping[str, Any]) -> SynclineError:
    """The error for a token endpoint's answer (RFC 6749 §5.2). Its description may name a person and is left out."""
    code = safe_code(str(body.get("error") or f"status_{status}"))
    context = {"status": status, "vendor_code": code}
    if status == 200 and "error" not in body:
        return TransientError("The vendor's token reply holds no token.", code="bad_reply", context=context)
    if code in _ASK_AGAIN:
        return TransientError(f"The vendor cannot issue tokens now ({code}).", context=context)
    if code in _MISCONFIGURED:
        return ConfigurationError(
            f"The vendor does not accept how this connection signs in ({code}).",
            remedy="Compare the connection's settings with the app's at the vendor.",
            context=context,
        )
    return ReauthRequiredError(
        f"The vendor no longer accepts the credentials of this connection ({code}).",
        remedy="Reconnect this connection.",
        context=context,
    )


def address(template: str, settings: Mapping[str, str]) -> str:
    """``template`` with its ``{setting}`` placeholders filled; a setting may also hold the whole host or its address.

    Raises ConfigurationError for what is no part of a host name.
    """

    def fill(match: re.Match[str]) -> str:
        following = re.match(r"[A-Za-z0-9.-]*", template[match.end() :])
        value = settings.get(match[1], "")
        if value.startswith("https://"):
            value = value.removeprefix("https://").removesuffix("/")
        value = value.removesuffix(following[0] if following else "")
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value):
            raise ConfigurationError(
                f"The setting {match[1]} cannot be part of an address.", remedy="Use letters, digits, dots and hyphens."
            )
        return value

    return re.sub(r"\{(\w+)\}", fill, template)


def strategy(method: AuthMethod, settings: Mapping[str, str], redirect_uri: str = "", audience: str = "") -> Auth:
    """The strategy of a manifest's auth method. ``audience`` (JWT) is the token address's origin unless given.

    Raises ConfigurationError for PASSWORD: a vendor's own login is the connector's own strategy.
    """
    token_url = address(method.token_url, settings)
    match method.kind:
        case AuthKind.NONE:
            return NoAuth()
        case AuthKind.BASIC:
            return Basic()
        case AuthKind.API_KEY:
            return ApiKey()
        case AuthKind.OAUTH2_CLIENT:
            return ClientCredentials(token_url=token_url, scopes=method.scopes)
        case AuthKind.OAUTH2_JWT:
            origin = "/".join(token_url.split("/")[:3])
            return JwtBearer(token_url=token_url, scopes=method.scopes, audience=audience or origin)
        case AuthKind.OAUTH2_CODE:
            authorize = address(method.authorize_url, settings)
            return AuthorizationCode(
                token_url=token_url, scopes=method.scopes, authorize_url=authorize, redirect_uri=redirect_uri
            )
        case _:
            raise ConfigurationError("A vendor's own password login has no general strategy.")
