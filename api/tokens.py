"""JSON web tokens of OpenID Connect providers (RFC 7519, RFC 8725): who someone is, as far as a trusted issuer signed it.

What a token says of itself decides nothing: keys come from the configured place alone, algorithms are pinned, headers that
carry or point to keys are refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jwt import JWTClaimsRegistry

from bootstrap.settings import Settings
from connectors.kit.jwks import PublishedKeys
from domain.errors import ConfigurationError

LEEWAY_S = 30
ALGORITHMS = {"RS256": ("RSA", None), "ES256": ("EC", "P-256")}
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LENGTH_MAX = 8_192
_HEADERS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class KeySource(Protocol):
    """Where the keys of an issuer come from: `connectors.kit.jwks.PublishedKeys`."""

    def current(self) -> list[Mapping[str, Any]]:
        """The keys as last published."""

    def renewed(self) -> list[Mapping[str, Any]]:
        """The keys, read again unless that was just tried."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a verified token is about. ``email`` only where the issuer says that it is verified, in lower case."""

    issuer: str
    subject: str
    email: str | None
    name: str


class RefusedTokenError(Exception):
    """The token proves nothing. The reason is for the log, never for the caller."""


class Verifier:
    """Judges tokens of the ``issuers`` for one ``audience``."""

    def __init__(
        self,
        issuers: Mapping[str, KeySource],
        audience: str,
        algorithms: Collection[str] = ("RS256",),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = dict(issuers)
        self._audience = audience
        self._algorithms = frozenset(algorithms)
        self._clock = clock

    @classmethod
    def of(cls, settings: Settings) -> Verifier | None:
        """By the settings; None where no issuer is set. Raises ConfigurationError."""
        given = [entry.strip() for entry in settings.oidc_issuers.split(",") if entry.strip()]
        if not given:
            return None
        pairs = [entry.partition("=") for entry in given]
        algorithms = frozenset(name.strip() for name in settings.oidc_algorithms.split(","))
        if not settings.oidc_audience or not all(p[0] and p[2] for p in pairs) or not algorithms <= ALGORITHMS.keys():
            raise ConfigurationError(
                "The settings of OpenID Connect do not fit together.",
                remedy="Set SYNCLINE_OIDC_ISSUERS as issuer=keys, SYNCLINE_OIDC_AUDIENCE, and algorithms RS256 or ES256.",
                code="bad_setting",
            )
        return cls({issuer: PublishedKeys(place) for issuer, _, place in pairs}, settings.oidc_audience, algorithms)

    def identity(self, token: str) -> Identity:
        """Who ``token`` is about. Raises RefusedTokenError; TransientError (``bad_jwks``) where no keys can be had."""
        algorithm, kid = self._header(token)
        issuer = self._issuer(token)
        source = self._issuers[issuer]
        key = _chosen(source.current(), kid, algorithm) or _chosen(source.renewed(), kid, algorithm)
        if key is None:
            raise RefusedTokenError("no key of the issuer fits")
        required = {name: {"essential": True} for name in ("exp", "sub")}
        claims_registry = JWTClaimsRegistry(
            now=int(self._clock()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": self._audience},
            **required,  # type: ignore[arg-type]
        )
        try:
            claims = jwt.decode(token, key, algorithms=[algorithm]).claims
            claims_registry.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise RefusedTokenError(type(error).__name__) from None
        return _identity(issuer, claims)

    def _header(self, token: str) -> tuple[str, str | None]:
        if len(token) > _LENGTH_MAX or not _SHAPE.fullmatch(token):
            raise RefusedTokenError("not a signed token")
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError, TypeError):
            raise RefusedTokenError("an unreadable header") from None
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if header.keys() - _HEADERS:
            raise RefusedTokenError("a header that is not taken")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise RefusedTokenError("an algorithm that is not taken")
        if not isinstance(kid, str | None) or not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise RefusedTokenError("a header of an odd type")
        return algorithm, kid

    def _issuer(self, token: str) -> str:
        """The issuer that the token names, if it is one of ours: it decides which keys may have signed it, and nothing else."""
        try:
            claims = orjson.loads(jws.extract_compact(token.encode()).payload)
        except (JoseError, ValueError, TypeError):
            raise RefusedTokenError("unreadable claims") from None
        issuer = claims.get("iss") if isinstance(claims, dict) else None
        if not isinstance(issuer, str) or issuer not in self._issuers:
            raise RefusedTokenError("an issuer that is not trusted")
        return issuer


def _chosen(published: list[Mapping[str, Any]], kid: str | None, algorithm: str) -> RSAKey | ECKey | None:
    """The one published key that fits; without ``kid`` only where there is no choice."""
    kind, curve = ALGORITHMS[algorithm]
    fitting = [
        key
        for key in published
        if key.get("kty") == kind
        and (curve is None or key.get("crv") == curve)
        and key.get("alg", algorithm) == algorithm
        and key.get("use", "sig") == "sig"
        and (kid is None or key.get("kid") == kid)
    ]
    if len(fitting) != 1:
        return None
    public = {name: value for name, value in fitting[0].items() if name in ("kty", "n", "e", "crv", "x", "y")}
    try:
        return RSAKey.import_key(public) if kind == "RSA" else ECKey.import_key(public)
    except (JoseError, ValueError, TypeError):
        return None


def _identity(issuer: str, claims: Mapping[str, Any]) -> Identity:
    subject, email, name = claims["sub"], claims.get("email"), claims.get("name", "")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise RefusedTokenError("an odd subject")
    verified = claims.get("email_verified") is True and isinstance(email, str)
    return Identity(issuer, subject, str(email).lower() if verified else None, str(name)[:200])
