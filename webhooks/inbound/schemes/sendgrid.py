"""SendGrid's event webhook: what became of e-mails, in batches.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event

SendGrid tries again for 24 hours and does not say whether it signs an attempt anew, so that a day has to pass; every event has an
id, ``sg_event_id``, by which repetitions are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from connectors.kit.contract import Setting
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Carries, Incoming, Item, Posted, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks
from webhooks.inbound.schemes.publickeys import PUBLIC_KEY, public_keys, signed_by

_SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
_TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"
_DAY_S: Final = 86_400


class SendGrid(Scheme):
    """``past_s``: how old a delivery may be."""

    name: ClassVar[str] = "sendgrid"
    label: ClassVar[str] = "SendGrid events"
    docs_url: ClassVar[str] = "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event"
    carries: ClassVar[Carries] = Carries.DATA
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting(
            PUBLIC_KEY, "Verification key", "Under Mail Settings, Event Webhook, Signature Verification. No secret."
        ),
    )
    batched: ClassVar[bool] = True

    past_s: Annotated[int, Field(ge=60, le=3 * _DAY_S, title="Oldest delivery accepted, in seconds")] = (
        _DAY_S + checks.TOLERANCE_S
    )

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        keys = public_keys(secrets)
        given = checks.base64_bytes(checks.needed_header(request, _SIGNATURE))
        written = checks.needed_header(request, _TIMESTAMP)
        sent = checks.fresh(written, now, past_s=self.past_s)
        if given is None or not signed_by(keys, "ecdsa-sha256", given, written.encode() + request.body):
            raise checks.wrong_signature()
        return Verified(checks.digest(request.body), sent)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        return checks.each(jsonbody.items(jsonbody.load(body), "the batch"), lambda event: [_posted(event)])


def _posted(event: Mapping[str, Any]) -> Posted:
    key = checks.key_of(jsonbody.needed(event, "sg_event_id"))
    return Posted(jsonbody.needed(event, "event"), event, key, checks.unix(event.get("timestamp")))
