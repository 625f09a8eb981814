"""Microsoft Graph's change notifications and lifecycle notifications (which may share one endpoint).

https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
https://learn.microsoft.com/en-us/graph/change-notifications-lifecycle-events

Nothing is signed: every notification of a batch, whatever subscription it belongs to, has to repeat the secret that its
subscription was made with. Resource data that may come along is not trusted; the record is read.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from connectors.kit.contract import Notice, Setting, Signal
from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Incoming, Item, Refused, Reply, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks

_LIFECYCLE: Final[Mapping[str, Signal]] = {
    "reauthorizationRequired": Signal.REAUTHORIZE,
    "subscriptionRemoved": Signal.REMOVED,
}
"""``missed``, and whatever Microsoft announces later: comparing is never wrong."""
_LONGEST_TOKEN: Final = 4_096
_BRACKETED: Final = re.compile(r"(?P<collection>[A-Za-z]+)\('(?P<id>[^']*)'\)")


class Graph(Scheme):
    """All subscriptions that point to one endpoint are made with its client state."""

    name: ClassVar[str] = "graph"
    label: ClassVar[str] = "Microsoft Graph"
    docs_url: ClassVar[str] = "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("client_state", "Client state", "Made by the hub; given with every subscription.", secret=True),
    )
    batched: ClassVar[bool] = True

    def handshake(self, request: Incoming, secrets: Secrets, now: datetime) -> Reply | None:
        """Microsoft asks when a subscription is made and expects its token back within 10 seconds, as plain text.

        It is escaped, so that an address that somebody was lured to shows no page of theirs.
        """
        del secrets, now
        tokens = checks.query_values(request, "validationToken")
        if not tokens:
            return None
        checks.only(request, self.methods)
        if len(tokens) != 1 or not tokens[0].isprintable() or not 0 < len(tokens[0]) <= _LONGEST_TOKEN:
            raise Refused("The validation token cannot be repeated.", code="webhook_handshake_invalid", status=400)
        return Reply(200, "text/plain; charset=utf-8", html.escape(tokens[0]).encode())

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        known = [state.encode() for (state,) in checks.generations(secrets, "client_state")]
        try:
            found = _notifications(request.body)
        except RecordRejectedError as error:
            raise checks.refusing(error) from None
        states = [state.encode() if isinstance(state := item.get("clientState"), str) else b"" for item in found]
        if False in [checks.same(state, known) for state in states]:
            raise checks.wrong_credentials()
        keys = [_key(item) for item in found]
        if None in keys:
            return Verified(checks.never_again(request.body, now))
        return Verified(checks.digest(*sorted(key.encode() for key in keys if key)))

    def reply(self, request: Incoming) -> Reply:
        del request
        return Reply(202)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        return checks.each(_notifications(body), lambda item: [_notice(item)])


def _notifications(body: bytes) -> list[Mapping[str, Any]]:
    found = jsonbody.items(jsonbody.mapping(jsonbody.load(body), "the body").get("value"), "value")
    if not found:
        raise jsonbody.unexpected("value is empty")
    return found


def _notice(item: Mapping[str, Any]) -> Notice:
    subscription, key = jsonbody.needed(item, "subscriptionId"), _key(item)
    event = jsonbody.text(item, "lifecycleEvent")
    if event is not None:
        signal = _LIFECYCLE.get(event, Signal.MISSED)
        return Notice("subscription", subscription, dedupe_key=key, account=subscription, signal=signal)
    collection, vendor_id = _resource(item)
    deleted = jsonbody.text(item, "changeType") == "deleted"
    return Notice(collection, vendor_id, None, deleted, key, account=subscription)


def _resource(item: Mapping[str, Any]) -> tuple[str, str]:
    """Collection and id of ``Users/…/Messages/…`` or ``Users('…')/Messages('…')``."""
    *before, last = jsonbody.needed(item, "resource").strip("/").split("/")
    bracketed = _BRACKETED.fullmatch(last)
    collection, vendor_id = (bracketed["collection"], bracketed["id"]) if bracketed else ((before or [""])[-1], last)
    data = item.get("resourceData")
    named = jsonbody.text(data, "id") if isinstance(data, dict) else None
    return collection[:1].lower() + collection[1:], named or vendor_id


def _key(item: Mapping[str, Any]) -> str | None:
    """What tells this notification from the next one of the same record; None where Microsoft sends nothing that does."""
    data = item.get("resourceData")
    version = jsonbody.text(data, "@odata.etag") if isinstance(data, dict) else None
    own = jsonbody.text(item, "id")
    if own is None and version is None:
        return None
    named = (jsonbody.text(item, name) or "" for name in ("subscriptionId", "changeType", "resource"))
    return checks.digest(*(part.encode() for part in (*named, own or "", version or "")))
