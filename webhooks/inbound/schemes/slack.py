"""Slack's Events API.

https://docs.slack.dev/authentication/verifying-requests-from-slack
https://docs.slack.dev/apis/events-api
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar, Final

from connectors.kit.contract import Setting
from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Carries, Incoming, Item, Posted, Refused, Reply, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks

_SIGNATURE: Final = "x-slack-signature"
_TIMESTAMP: Final = "x-slack-request-timestamp"
_VERSION: Final = b"v0"
_HANDSHAKE: Final = "url_verification"
_LONGEST_CHALLENGE: Final = 1_024


class Slack(Scheme):
    """One delivery, one event."""

    name: ClassVar[str] = "slack"
    label: ClassVar[str] = "Slack"
    docs_url: ClassVar[str] = "https://docs.slack.dev/apis/events-api"
    carries: ClassVar[Carries] = Carries.DATA
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("signing_secret", "Signing secret", "Of the Slack app, under Basic Information.", secret=True),
    )

    def handshake(self, request: Incoming, secrets: Secrets, now: datetime) -> Reply | None:
        """Slack asks when the address is entered, signed like everything else, and expects its challenge back."""
        if _HANDSHAKE.encode() not in request.body:
            return None
        self.verify(request, secrets, now)
        try:
            asked = jsonbody.mapping(jsonbody.load(request.body), "the body")
        except RecordRejectedError:
            return None
        if jsonbody.text(asked, "type") != _HANDSHAKE:
            return None
        challenge = jsonbody.text(asked, "challenge") or ""
        if not challenge or not challenge.isprintable() or len(challenge) > _LONGEST_CHALLENGE:
            raise Refused("The challenge cannot be repeated.", code="webhook_handshake_invalid", status=400)
        return Reply(200, "text/plain; charset=utf-8", challenge.encode())

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        known = checks.generations(secrets, "signing_secret")
        given = checks.needed_header(request, _SIGNATURE)
        written = checks.needed_header(request, _TIMESTAMP)
        sent = checks.fresh(written, now)
        signed = b":".join((_VERSION, written.encode(), request.body))
        macs = [checks.mac("sha256", secret.encode(), signed) for (secret,) in known]
        if not checks.same(given.encode(), [_VERSION + b"=" + checks.hex_text(raw) for raw in macs]):
            raise checks.wrong_signature()
        return Verified(checks.event_key(request.body, "event_id"), sent)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        posted = jsonbody.mapping(jsonbody.load(body), "the body")
        inner = posted.get("event")
        kind = jsonbody.needed(inner if isinstance(inner, dict) else posted, "type")
        occurred_at = checks.unix(posted.get("event_time"))
        key, team = checks.event_key(body, "event_id"), jsonbody.text(posted, "team_id")
        return [Posted(kind, posted, key, occurred_at, team)]
