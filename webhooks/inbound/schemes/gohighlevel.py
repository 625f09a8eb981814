"""GoHighLevel (HighLevel) marketplace apps.

https://marketplace.gohighlevel.com/docs/webhook/WebhookIntegrationGuide/

HighLevel publishes its public keys: an Ed25519 key, whose signatures are in ``X-GHL-Signature``, and the RSA key that it
replaces, in ``X-WH-Signature``. The kind of the stored key decides which header counts. The body holds the time and the id
of the delivery; HighLevel tries again for more than an hour without dating it anew, so that more than five minutes
have to pass, and ``webhookId`` tells repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from connectors.kit.contract import Notice, Setting
from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Incoming, Item, Refused, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks
from webhooks.inbound.schemes.publickeys import PUBLIC_KEY, Algorithm, PublicKey, public_keys, signed_by

_HEADERS: Final[tuple[tuple[str, Algorithm], ...]] = (
    ("x-ghl-signature", "ed25519"),
    ("x-wh-signature", "rsa-sha256"),
)
_EVENT: Final = re.compile(
    r"(?P<object>[A-Z][A-Za-z]*?)(?P<verb>Create|(?:AssignedTo|Dnd|MonetaryValue|Stage|Status|Tag)?Update|Delete|Complete"
    r"|(?:Partially)?Paid|Sent|Void)"
    r"|(?:Inbound|Outbound)(?P<message>Message)"
)
_TWO_HOURS_S: Final = 7_200


class GoHighLevel(Scheme):
    """``past_s``: how old a delivery may be."""

    name: ClassVar[str] = "gohighlevel"
    label: ClassVar[str] = "GoHighLevel"
    docs_url: ClassVar[str] = "https://marketplace.gohighlevel.com/docs/webhook/WebhookIntegrationGuide/"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting(PUBLIC_KEY, "Public key", "As HighLevel publishes it (Ed25519, or the older RSA key). No secret."),
    )

    past_s: Annotated[int, Field(ge=60, le=86_400, title="Oldest delivery accepted, in seconds")] = _TWO_HOURS_S

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        keys = public_keys(secrets)
        given = [(name, algorithm) for name, algorithm in _HEADERS if _fits(keys, algorithm) and request.header(name)]
        if not given:
            raise Refused("The header x-ghl-signature or x-wh-signature is missing.", code="webhook_signature_missing")
        if not any(_signed(keys, algorithm, request, name) for name, algorithm in given):
            raise checks.wrong_signature()
        try:
            event = jsonbody.mapping(jsonbody.load(request.body), "the body")
        except RecordRejectedError:
            return Verified(checks.digest(request.body))
        sent = checks.moment(event.get("timestamp"))
        if sent is not None:
            checks.bounded((now - sent).total_seconds(), self.past_s)
        return Verified(_key(event) or checks.never_again(request.body, now), sent)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        event = jsonbody.mapping(jsonbody.load(body), "the body")
        named = _EVENT.fullmatch(jsonbody.needed(event, "type"))
        if named is None:
            raise jsonbody.unexpected("the type is not of a record")
        object_name = named["object"] or named["message"]
        data = event.get("data")
        record: Mapping[str, Any] = data if isinstance(data, dict) else event
        account = jsonbody.text(event, "locationId") or jsonbody.text(record, "locationId")
        vendor_id = jsonbody.text(record, "id") or jsonbody.needed(
            record, f"{object_name[0].lower()}{object_name[1:]}Id"
        )
        sent = checks.moment(event.get("timestamp"))
        return [Notice(object_name, vendor_id, sent, named["verb"] == "Delete", _key(event), account)]


def _fits(keys: list[PublicKey], algorithm: Algorithm) -> bool:
    return any(isinstance(key, Ed25519PublicKey) == (algorithm == "ed25519") for key in keys)


def _signed(keys: list[PublicKey], algorithm: Algorithm, request: Incoming, name: str) -> bool:
    raw = checks.base64_bytes(request.header(name) or "")
    return raw is not None and signed_by(keys, algorithm, raw, request.body)


def _key(event: Mapping[str, Any]) -> str | None:
    """None without an id: a record that is changed back looks as it did before, and so does its event."""
    own = jsonbody.text(event, "webhookId")
    return checks.key_of(own) if own else None
