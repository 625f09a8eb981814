"""Twilio: messages, calls, recordings; forms as a rule, JSON from some products.

https://www.twilio.com/docs/usage/webhooks/webhooks-security
https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys

The signature covers the address and the form's fields, or the address with the digest of a JSON body in it. It holds no
time, and ``I-Twilio-Idempotency-Token`` is outside of it: whoever captured a request could send it again under
another token. So a delivery is known by what was signed, which a retry repeats.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import orjson

from connectors.kit.contract import Notice, Setting
from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Incoming, Item, Refused, Reply, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks

_SIGNATURE: Final = "x-twilio-signature"
_SETTINGS: Final = "x-twilio-webhooks-signature-settings"
_ALGORITHMS: Final[Mapping[str, str]] = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_FORM: Final = "application/x-www-form-urlencoded"
_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}
_OBJECTS: Final[tuple[tuple[str, str], ...]] = (
    ("RecordingSid", "recordings"),
    ("MessageSid", "messages"),
    ("SmsSid", "messages"),
    ("CallSid", "calls"),
)
"""A recording names its call, too: the most particular id says what it is about."""


class Twilio(Scheme):
    """Set to POST at Twilio, which is its default."""

    name: ClassVar[str] = "twilio"
    label: ClassVar[str] = "Twilio"
    docs_url: ClassVar[str] = "https://www.twilio.com/docs/usage/webhooks/webhooks-security"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("auth_token", "Auth token", "Of the account, or the shared key that signs its webhooks.", secret=True),
    )

    def kept_headers(self) -> tuple[str, ...]:
        return ("content-type",)

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        del now
        checks.only(request, self.methods)
        known = checks.generations(secrets, "auth_token")
        given = checks.needed_header(request, _SIGNATURE).encode()
        algorithm = _ALGORITHMS.get(_algorithm(request.header(_SETTINGS) or ""))
        if algorithm is None:
            raise Refused("The signature's algorithm is not accepted.", code="webhook_signature_version")
        fields = _signed_fields(request, checks.media_type({"content-type": request.header("content-type") or ""}))
        texts = [(url + fields).encode() for url in _addresses(request.url)]
        macs = [checks.mac(algorithm, secret.encode(), text) for (secret,) in known for text in texts]
        if not checks.same(given, [base64.b64encode(raw) for raw in macs]):
            raise checks.wrong_signature()
        return Verified(checks.digest(request.url.encode(), fields.encode()))

    def reply(self, request: Incoming) -> Reply:
        del request
        return Reply(200, "text/xml; charset=utf-8", b'<?xml version="1.0" encoding="UTF-8"?><Response/>')

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        if checks.media_type(headers) == _FORM:
            fields = {name: value for name, value in checks.form(body) if "\0" not in value}
            return [_notice(fields, checks.digest(body))]
        found = jsonbody.load(body)
        events = jsonbody.items(found if isinstance(found, list) else [found], "the batch")
        return checks.each(events, lambda event: [_event(event)])


def _algorithm(settings: str) -> str:
    named = dict(part.strip().split("=", 1) for part in settings.split(",") if "=" in part)
    return named.get("algorithm", "").strip() or "HMAC_SHA1"


def _signed_fields(request: Incoming, media_type: str) -> str:
    """What follows the address in the signed text. Raises Refused for a body that no signature covers."""
    if not request.body:
        return ""
    if media_type == _FORM:
        try:
            return "".join(name + value for name, value in sorted(set(checks.form(request.body))))
        except RecordRejectedError as error:
            raise checks.refusing(error) from None
    given = checks.query_values(request, "bodySHA256")
    if len(given) != 1 or not checks.same(given[0].encode(), [checks.hex_text(hashlib.sha256(request.body).digest())]):
        raise checks.wrong_signature()
    return ""


def _addresses(url: str) -> list[str]:
    """The address with and without the port of its protocol: Twilio signs one or the other."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = host.rpartition(":")[0] if parts.port else host
    named = f"{bare}:{parts.port or _PORTS[parts.scheme]}"
    return [url, *(parts._replace(netloc=netloc).geturl() for netloc in (bare, named))]


def _event(event: Mapping[str, Any]) -> Notice:
    """One CloudEvent of Event Streams, or a bare JSON object with the names of the form."""
    data = event.get("data")
    source = data if isinstance(data, dict) else event
    named = {name[:1].upper() + name[1:]: value for name, value in source.items()}
    occurred_at = checks.moment(event.get("time"))
    event_id = jsonbody.text(event, "id")
    key = checks.key_of(event_id) if event_id else checks.digest(orjson.dumps(event, option=orjson.OPT_SORT_KEYS))
    return _notice(named, key, occurred_at)


def _notice(fields: Mapping[str, Any], key: str, occurred_at: datetime | None = None) -> Notice:
    for name, object_name in _OBJECTS:
        vendor_id = jsonbody.text(fields, name)
        if vendor_id is not None:
            return Notice(
                object_name, vendor_id, occurred_at, dedupe_key=key, account=jsonbody.text(fields, "AccountSid")
            )
    raise jsonbody.unexpected("it names no message, call or recording")
