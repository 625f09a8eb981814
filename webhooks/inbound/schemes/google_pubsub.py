"""Google Pub/Sub push, which is how Gmail tells that a mailbox changed.

https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions
https://developers.google.com/workspace/gmail/api/guides/push

A JSON Web Token says who sends; the body is not signed. Google's keys are at ``keys_url`` and change every few days: the
intake passes them as the secret `JWKS`, and fetches them anew when it is told ``webhook_key_unknown``, which anybody can bring
about, but not more often than once a minute.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from pydantic import Field

from connectors.kit.contract import Notice
from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import JWKS, Incoming, Item, Refused, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks
from webhooks.inbound.schemes.publickeys import SMALLEST_RSA_BITS, bad_key

GOOGLES_KEYS: Final = "https://www.googleapis.com/oauth2/v3/certs"
_ISSUERS: Final = ["https://accounts.google.com", "accounts.google.com"]
_ALGORITHM: Final = "RS256"
_LEEWAY_S: Final = 60
_LONGEST_TOKEN: Final = 8_192
_SHORTEST_MODULUS: Final = -(-SMALLEST_RSA_BITS // 6)
"""In base64, six bits a character."""


class GooglePubSub(Scheme):
    """``audience`` and ``service_account``: what the push subscription's authentication was set to. ``keys_url``: Google's keys."""

    name: ClassVar[str] = "google_pubsub"
    label: ClassVar[str] = "Google Pub/Sub (Gmail)"
    docs_url: ClassVar[str] = "https://developers.google.com/workspace/gmail/api/guides/push"

    audience: Annotated[str, Field(min_length=1, title="Audience")]
    service_account: Annotated[str, Field(pattern=r"^\S+@\S+$", title="Service account")]
    keys_url: Annotated[str, Field(pattern=r"^https?://", max_length=500, title="Address of the keys")] = GOOGLES_KEYS

    def keys_at(self) -> str:
        return self.keys_url

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        keys = [key for (text,) in checks.generations(secrets, JWKS) for key in _keys(text)]
        scheme, _, token = checks.needed_header(request, "authorization").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii():
            raise _invalid()
        self._authentic(token, keys, now)
        try:
            message = _envelope(request.body)
        except RecordRejectedError as error:
            raise checks.refusing(error) from None
        return Verified(checks.key_of(jsonbody.needed(message, "messageId")), checks.moment(message.get("publishTime")))

    def _authentic(self, token: str, keys: list[RSAKey], now: datetime) -> None:
        claims = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=_LEEWAY_S,
            iss={"essential": True, "values": _ISSUERS},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
            fitting = [key for key in keys if isinstance(kid, str) and key.kid == kid]
            if not fitting:
                raise Refused(
                    "The token names a key that is not known.",
                    code="webhook_key_unknown",
                    remedy="Google's keys have to be fetched anew; the hub does so by itself.",
                )
            found = jwt.decode(token, KeySet(list(fitting)), algorithms=[_ALGORITHM]).claims
            claims.validate(found)
        except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
            # A stranger's header may hold anything: joserfc iterates over a ``crit`` that is a number.
            raise _invalid() from None
        if found.get("email") != self.service_account or found.get("email_verified") is not True:
            raise _invalid()

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        message = _envelope(body)
        try:
            data = base64.b64decode(jsonbody.needed(message, "data"), validate=True)
        except (binascii.Error, ValueError):
            raise jsonbody.unexpected("the message's data is no base64") from None
        change = jsonbody.mapping(jsonbody.load(data), "the message's data")
        mailbox = jsonbody.needed(change, "emailAddress")
        # A mailbox's history only grows: whoever read up to this id once needs not do it again.
        key = checks.key_of(mailbox, jsonbody.needed(change, "historyId"))
        sent = checks.moment(message.get("publishTime"))
        return [Notice("messages", "", sent, dedupe_key=key, account=mailbox)]


def _invalid() -> Refused:
    return Refused(
        "The token is not one of Google's for this endpoint.",
        code="webhook_token_invalid",
        remedy="Compare audience and service account with those of the push subscription.",
    )


@lru_cache(maxsize=64)
def _keys(text: str) -> tuple[RSAKey, ...]:
    """The RSA keys of a key set that are long enough. Raises Refused (503) where there is none."""
    try:
        given = [
            key for key in json.loads(text)["keys"] if key.get("kty") == "RSA" and len(key["n"]) >= _SHORTEST_MODULUS
        ]
        keys = tuple(RSAKey.import_key(key) for key in given)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise bad_key() from None
    if not keys:
        raise bad_key()
    return keys


def _envelope(body: bytes) -> Mapping[str, Any]:
    message = jsonbody.mapping(jsonbody.mapping(jsonbody.load(body), "the body").get("message"), "message")
    jsonbody.needed(message, "messageId")
    return message
