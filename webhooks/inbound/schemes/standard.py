"""Standard Webhooks: symmetric signatures (``v1``) and asymmetric ones (``v1a``).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from connectors.kit.contract import Setting
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Carries, Incoming, Item, Posted, Refused, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks
from webhooks.inbound.schemes.publickeys import bad_key, signed_by

_ID: Final = "webhook-id"
_TIMESTAMP: Final = "webhook-timestamp"
_SIGNATURE: Final = "webhook-signature"
_PUBLIC: Final = "whpk_"
_PLAIN_ID: Final = re.compile(r"[!-\-/-~]{1,200}", re.ASCII)
"""No dot, which separates the signed parts: else two deliveries could have one signature."""
_MOST_SIGNATURES: Final = 16
_SHORTEST_SECRET: Final = 16


class StandardWebhooks(Scheme):
    """The secret says by its prefix which kind of signature it verifies."""

    name: ClassVar[str] = "standard"
    label: ClassVar[str] = "Standard Webhooks"
    docs_url: ClassVar[str] = "https://www.standardwebhooks.com"
    carries: ClassVar[Carries] = Carries.DATA
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("secret", "Secret", "Begins with whsec_, or with whpk_ if it is a public key.", secret=True),
    )

    def kept_headers(self) -> tuple[str, ...]:
        return (_ID,)

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        known = [secret.strip() for (secret,) in checks.generations(secrets, "secret")]
        given = checks.needed_header(request, _SIGNATURE).split(" ")[:_MOST_SIGNATURES]
        message_id = checks.needed_header(request, _ID)
        written = checks.needed_header(request, _TIMESTAMP)
        sent = checks.fresh(written, now)
        if not _PLAIN_ID.fullmatch(message_id):
            raise Refused(f"The header {_ID} is missing or wrong.", code="webhook_header_invalid", status=400)
        symmetric = [value.removeprefix("v1,") for value in given if value.startswith("v1,")]
        asymmetric = [value.removeprefix("v1a,") for value in given if value.startswith("v1a,")]
        signed = b".".join((message_id.encode(), written.encode(), request.body))
        keys = [key for secret in known if (key := _public_key(secret)) is not None]
        webhooks = [webhook for secret in known if (webhook := _webhook(secret)) is not None]
        if not keys and not webhooks:
            raise bad_key()
        raws = [raw for value in asymmetric if (raw := checks.base64_bytes(value)) is not None]
        expected = _expected(webhooks, message_id, sent, written, request.body)
        matches = [checks.same(value.encode(), expected) for value in symmetric]
        matches += [signed_by(keys, "ed25519", raw, signed) for raw in raws]
        if not any(matches):
            raise checks.wrong_signature()
        return Verified(checks.key_of(message_id), sent)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        posted = jsonbody.mapping(jsonbody.load(body), "the body")
        key = checks.key_of(jsonbody.needed(headers, _ID))
        return [Posted(jsonbody.text(posted, "type") or "", posted, key, checks.moment(posted.get("timestamp")))]


def _expected(webhooks: list[Webhook], message_id: str, sent: datetime, written: str, body: bytes) -> list[bytes]:
    """The signatures that the library makes. It writes the time anew and signs text, so that only such a request can have one."""
    if str(int(sent.timestamp())) != written:
        return []
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return []
    return [webhook.sign(message_id, sent, text).removeprefix("v1,").encode() for webhook in webhooks]


def _webhook(secret: str) -> Webhook | None:
    """The library's verifier; None for a public key, and for what is no secret."""
    if secret.startswith(_PUBLIC):
        return None
    try:
        raw = base64.b64decode(_padded(secret.removeprefix("whsec_")), validate=True)
    except (binascii.Error, ValueError):
        return None
    return Webhook(raw) if len(raw) >= _SHORTEST_SECRET else None


def _padded(text: str) -> str:
    """Some senders leave the padding out."""
    bare = text.rstrip("=")
    return bare + "=" * (-len(bare) % 4)


def _public_key(secret: str) -> Ed25519PublicKey | None:
    if not secret.startswith(_PUBLIC):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix(_PUBLIC), validate=True))
    except (binascii.Error, ValueError):
        return None
