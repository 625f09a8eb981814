"""An identity provider of tests: signs tokens, well and badly."""

from __future__ import annotations

import base64
import hmac
import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

ISSUER = "https://login.example.com"
AUDIENCE = "syncline"
ODD_KID = b'{"alg":"RS256","kid":1}'
CRITICAL = b'{"alg":"RS256","kid":"k1","crit":["exp"],"exp":1}'


@cache
def rsa(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@cache
def ec(name: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


@dataclass
class Published:
    """The keys of the issuer (`api.tokens.KeySource`); ``asked`` counts renewals."""

    names: list[str] = field(default_factory=lambda: ["k1"])
    later: list[str] = field(default_factory=list)
    asked: int = 0

    def current(self) -> list[dict[str, Any]]:
        return [*(rsa(name).as_dict(private=False) for name in self.names), ec("e1").as_dict(private=False)]

    def renewed(self) -> list[dict[str, Any]]:
        self.asked += 1
        self.names += self.later
        return self.current()


def claims(**changed: Any) -> dict[str, Any]:
    """Good claims with changes; None takes one out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": now + 300,
        "iat": now,
        "email": "ada@example.com",
        "email_verified": True,
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(body: dict[str, Any] | bytes, key: Any = None, **header: Any) -> str:
    """A token over ``body`` under ``key`` (default: k1) with these header fields."""
    key = key or rsa("k1")
    fields = {"alg": "RS256", "kid": "k1", "typ": "JWT", **header}
    fields = {name: value for name, value in fields.items() if value is not None}
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return jws.serialize_compact(
        fields, payload, key, registry=jws.JWSRegistry(algorithms=[fields["alg"]], strict_check_header=False)
    )


def unsigned(body: dict[str, Any], algorithm: str = "none", signature: str = "") -> str:
    header = {"alg": algorithm, "typ": "JWT"}
    return ".".join([*(encoded(json.dumps(part).encode()) for part in (header, body)), signature])


def hmac_signed(body: dict[str, Any], secret: bytes) -> str:
    """What a library that believes the header would take, given a public key to check with."""
    text = unsigned(body, "HS256").rstrip(".")
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged() -> dict[str, str]:
    """Tokens that must open nothing, by what is wrong with them."""
    pem = rsa("k1").as_pem(private=False)
    stranger = rsa("stranger")
    head, body, signature = signed(claims()).split(".")
    now = int(time.time())
    other = encoded(json.dumps(claims(sub="root")).encode())
    return {
        "alg none": unsigned(claims()),
        "alg None": unsigned(claims(), "None"),
        "alg none, with a signature": unsigned(claims(), "none", signature),
        "public key as an HMAC secret": hmac_signed(claims(), pem),
        "public key in DER as an HMAC secret": hmac_signed(claims(), rsa("k1").as_der(private=False)),
        "an algorithm that is not pinned": signed(claims(), alg="RS512"),
        "PSS instead of PKCS": signed(claims(), alg="PS256"),
        "EC where only RSA is taken": signed(claims(), ec("e1"), alg="ES256", kid="e1"),
        "signed by a stranger under a known kid": signed(claims(), stranger),
        "unknown kid": signed(claims(), stranger, kid="stranger"),
        "kid that is a path": signed(claims(), stranger, kid="../../dev/null"),
        "kid that is SQL": signed(claims(), stranger, kid="k1' OR '1'='1"),
        "kid that is a number": f"{encoded(ODD_KID)}.{body}.{signature}",
        "jwk in the header": signed(claims(), stranger, kid=None, jwk=stranger.as_dict(private=False)),
        "jku in the header": signed(claims(), stranger, jku="https://evil.example.com/jwks.json"),
        "x5u in the header": signed(claims(), stranger, x5u="https://evil.example.com/cert.pem"),
        "x5c in the header": signed(claims(), stranger, x5c=["AAAA"]),
        "crit in the header": f"{encoded(CRITICAL)}.{body}.{signature}",
        "no exp": signed(claims(exp=None)),
        "expired": signed(claims(exp=now - 120)),
        "exp that is text": signed(claims(exp="tomorrow")),
        "not yet valid": signed(claims(nbf=now + 600)),
        "issued in the future": signed(claims(iat=now + 600)),
        "another audience": signed(claims(aud="other")),
        "no audience": signed(claims(aud=None)),
        "another issuer": signed(claims(iss="https://evil.example.com")),
        "an issuer that begins alike": signed(claims(iss=ISSUER + ".evil.example.com")),
        "no issuer": signed(claims(iss=None)),
        "issuer that is a list": signed(claims(iss=[ISSUER])),
        "no subject": signed(claims(sub=None)),
        "subject that is a number": signed(claims(sub=7)),
        "claims that are a list": signed(b"[]"),
        "claims that are no JSON": signed(b"{"),
        "other claims under a signature": f"{head}.{other}.{signature}",
        "signature left out": f"{head}.{body}.",
        "signature cut off": f"{head}.{body}.{signature[:-8]}",
        "encrypted form": f"{head}.{body}.{signature}.{body}.{body}",
        "type of another token": signed(claims(), typ="logout+jwt"),
        "too long": signed(claims(padding="x" * 10_000)),
    }
