"""Who may call: a private app's token, which doesn't expire, and OAuth's short-lived ones.

https://developers.hubspot.com/docs/guides/apps/authentication/working-with-oauth
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sandbox.hubspot.errors import ApiError
from sandbox.hubspot.times import iso, to_ms
from sandbox.kit.clock import Clock

_DOCS = "https://developers.hubspot.com/docs/methods/auth/oauth-overview"
_OBJECTS = ("contacts", "companies", "deals", "line_items", "quotes", "products", "custom", "owners")
ALL_SCOPES = frozenset(
    {f"crm.objects.{name}.{right}" for name in _OBJECTS for right in ("read", "write")}
    | {
        f"crm.schemas.{name}.{right}"
        for name in ("contacts", "companies", "deals", "custom")
        for right in ("read", "write")
    }
    | {
        "tickets",
        "e-commerce",
        "files",
        "files.ui_hidden.read",
        "crm.lists.read",
        "crm.lists.write",
        "oauth",
        "sales-email-read",
    }
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an app of this portal signs in with: either ``token``, or the other two and a code from ``/oauth/authorize``."""

    token: str = "pat-na1-5a4db0c5-5a4d-4b0c-8e5d-2f1c5a4db0c5"  # noqa: S105 - everybody's, of a portal that holds nothing
    client_id: str = "7fff1e36-2d40-4ae1-bbb1-5266d59564fb"
    client_secret: str = "2a1c9e57-3b64-4f0e-8f1d-0c6a7b3e9d42"  # noqa: S105
    user: str = "admin@syncline.example"


@dataclass(frozen=True, slots=True)
class Grant:
    """One access token. ``expires`` None: never. ``private``: of a private app."""

    expires: datetime | None
    scopes: frozenset[str]
    private: bool
    refresh: str = ""


@dataclass(slots=True)
class Code:
    redirect: str
    scopes: frozenset[str]
    challenge: str
    expires: datetime


class Auth:
    """Tokens of one portal. ``scopes`` is what its apps have been granted; taking one away works at once."""

    def __init__(self, clock: Clock, known: Credentials, portal_id: int, life: timedelta) -> None:
        self.clock, self.known, self.portal_id, self.life = clock, known, portal_id, life
        self.scopes = set(ALL_SCOPES)
        self.grants: dict[str, Grant] = {known.token: Grant(None, ALL_SCOPES, private=True)}
        self.codes: dict[str, Code] = {}
        self.refreshes: dict[str, frozenset[str]] = {}
        self._numbers = count(1)

    def check(self, header: str) -> Grant:
        """The caller's grant. Raises 401."""
        kind, _, token = header.partition(" ")
        grant = self.grants.get(token.strip()) if kind.lower() == "bearer" else None
        if grant is None:
            told = f"Authentication credentials not found. This API supports OAuth 2.0 authentication: see {_DOCS}"
            raise ApiError(401, "INVALID_AUTHENTICATION", told)
        if grant.expires is not None and grant.expires <= self.clock.now():
            raise self.expired(grant.expires)
        return grant

    def expired(self, at: datetime | None = None) -> ApiError:
        at = at or self.clock.now()
        seconds = int((self.clock.now() - at).total_seconds())
        message = f"The OAuth token used to make this call expired {seconds} second(s) ago."
        return ApiError(401, "EXPIRED_AUTHENTICATION", message, context={"expire time": [iso(to_ms(at))]})

    def require(self, grant: Grant, scopes: Iterable[str]) -> None:
        """Raises 403 unless the app has every one of these scopes."""
        held = grant.scopes & self.scopes
        missing = sorted(scope for scope in scopes if scope not in held)
        if missing:
            raise missing_scopes(missing)

    # ------------------------------------------------------------ OAuth

    def authorize(self, redirect: str, scopes: Iterable[str], challenge: str = "") -> str:
        """The code that the consent page sends back with."""
        code = self._secret("code")
        self.codes[code] = Code(
            redirect, frozenset(scopes) or ALL_SCOPES, challenge, self.clock.now() + timedelta(minutes=1)
        )
        return code

    def redeem(self, code: str, redirect: str, verifier: str) -> dict[str, Any]:
        """Tokens for a code, once. A challenge that came with it has to be met. Raises 400."""
        found = self.codes.pop(code, None)
        if found is None or found.redirect != redirect or found.expires <= self.clock.now():
            raise oauth_refusal("BAD_AUTH_CODE", "missing or unknown auth code")
        if found.challenge and found.challenge not in {verifier, _s256(verifier)}:
            raise oauth_refusal("BAD_CODE_VERIFIER", "code verifier does not match the code challenge")
        refresh = self._secret("refresh")
        self.refreshes[refresh] = found.scopes
        return self.issue(refresh)

    def renew(self, refresh: str) -> dict[str, Any]:
        """A new access token; the refresh token stays the same. Raises 400."""
        if refresh not in self.refreshes:
            raise oauth_refusal("BAD_REFRESH_TOKEN", "missing or unknown refresh token")
        return self.issue(refresh)

    def issue(self, refresh: str) -> dict[str, Any]:
        token = "CL" + self._secret("access")
        self.grants[token] = Grant(
            self.clock.now() + self.life, self.refreshes[refresh], private=False, refresh=refresh
        )
        return {
            "token_type": "bearer",
            "refresh_token": refresh,
            "access_token": token,
            "hub_id": self.portal_id,
            "scopes": sorted(self.refreshes[refresh]),
            "expires_in": int(self.life.total_seconds()),
        }

    def connect(self) -> dict[str, Any]:
        """Tokens as if somebody had just agreed on the consent page."""
        refresh = self._secret("refresh")
        self.refreshes[refresh] = ALL_SCOPES
        return self.issue(refresh)

    def expire_all(self) -> None:
        """Every OAuth access token ends now; private apps' tokens and refresh tokens stay."""
        now = self.clock.now()
        for token, grant in self.grants.items():
            if not grant.private:
                self.grants[token] = Grant(now, grant.scopes, private=False, refresh=grant.refresh)

    def about(self, token: str) -> dict[str, Any]:
        """What the vendor tells of an access token. Raises 404."""
        grant = self.grants.get(token)
        if grant is None or grant.private:
            raise ApiError(404, "OBJECT_NOT_FOUND", "No token found")
        left = (grant.expires - self.clock.now()).total_seconds() if grant.expires else 0
        return self._about(grant.scopes) | {"token": token, "expires_in": max(0, int(left)), "token_type": "access"}

    def about_refresh(self, refresh: str) -> dict[str, Any]:
        if refresh not in self.refreshes:
            raise ApiError(404, "OBJECT_NOT_FOUND", "No token found")
        told = self._about(self.refreshes[refresh])
        return told | {"token": refresh, "client_id": self.known.client_id, "token_type": "refresh"}

    def _about(self, scopes: frozenset[str]) -> dict[str, Any]:
        user = {"user": self.known.user, "hub_domain": "syncline-sandbox.example", "user_id": 1}
        return user | {"scopes": sorted(scopes), "hub_id": self.portal_id, "app_id": 1_111_111}

    def _secret(self, kind: str) -> str:
        """Counted up, so that the same calls give the same tokens."""
        return hashlib.sha256(f"{self.known.client_secret}:{kind}:{next(self._numbers)}".encode()).hexdigest()[:36]


def missing_scopes(scopes: list[str]) -> ApiError:
    message = "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes."
    error = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": scopes},
    }
    links = {"links": {"scopes": "https://developers.hubspot.com/scopes"}}
    return ApiError(403, "MISSING_SCOPES", message, errors=[error], extra=links)


def oauth_refusal(status: str, message: str) -> ApiError:
    """The token endpoint has an envelope of its own."""
    error = {"error": "invalid_grant", "error_description": message, "status": status}
    return ApiError(400, status, message, extra=error)


def _s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
