"""Stripe: snapshot events and thin events.

https://docs.stripe.com/webhooks/signature

Stripe signs every attempt anew and may send several signatures while a secret is rolled. The object in an event is a
snapshot that may be old when it arrives; the record is read. Retries change ``pending_webhooks``, not the event's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from connectors.kit.contract import Notice, Setting
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Incoming, Item, Refused, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks

_SIGNATURE: Final = "stripe-signature"
_MOST_SIGNATURES: Final = 16


class Stripe(Scheme):
    """One delivery, one event."""

    name: ClassVar[str] = "stripe"
    label: ClassVar[str] = "Stripe"
    docs_url: ClassVar[str] = "https://docs.stripe.com/webhooks"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("signing_secret", "Signing secret", "Of the endpoint at Stripe; begins with whsec_.", secret=True),
    )

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        known = checks.generations(secrets, "signing_secret")
        written, given = _parts(checks.needed_header(request, _SIGNATURE))
        sent = checks.fresh(written, now)
        signed = written.encode() + b"." + request.body
        expected = [checks.hex_text(checks.mac("sha256", secret.encode(), signed)) for (secret,) in known]
        if not any(checks.same(value.encode(), expected) for value in given):
            raise checks.wrong_signature()
        return Verified(checks.event_key(request.body, "id"), sent)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        event = jsonbody.mapping(jsonbody.load(body), "the body")
        kind = jsonbody.needed(event, "type")
        object_name, vendor_id, account = _record(event)
        created = event.get("created")
        occurred_at = checks.unix(created) or checks.moment(created)
        key = checks.key_of(jsonbody.needed(event, "id"))
        return [Notice(object_name, vendor_id, occurred_at, kind.endswith(".deleted"), key, account)]


def _parts(header: str) -> tuple[str, list[str]]:
    """Time and signatures of ``t=…,v1=…,v1=…``. Other versions do not count."""
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    given = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not 0 < len(given) <= _MOST_SIGNATURES:
        raise Refused("The header stripe-signature holds no time or no signature.", code="webhook_signature_missing")
    return times[0], given


def _record(event: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Object, id ("" for the few objects without one, such as a balance) and connected account."""
    account = jsonbody.text(event, "account") or jsonbody.text(event, "context")
    related = event.get("related_object")
    if isinstance(related, dict):
        return jsonbody.needed(related, "type"), jsonbody.needed(related, "id"), account
    record = jsonbody.mapping(jsonbody.mapping(event.get("data"), "data").get("object"), "data.object")
    return jsonbody.needed(record, "object"), jsonbody.text(record, "id") or "", account
